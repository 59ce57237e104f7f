#include "libs/resource/references.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <map>
#include <optional>

#include "api/weir/v2/gateway_group.pb.h"
#include "api/weir/v2/workspace.pb.h"
#include "libs/resource/conflicts.h"
#include "libs/resource/kinds.h"
#include "libs/resource/status_reason.h"

namespace weir::resource {
namespace {

constexpr ReferenceField kFields[] = {
    {"weir.v2.NamespaceSelector.names", ReferenceKind::kNamespace},
    {"weir.v2.WorkloadSelector.namespace", ReferenceKind::kWorkloads},
    {"weir.v2.ServiceDestination.host", ReferenceKind::kService},
    {"weir.v2.ClusterDestination.name", ReferenceKind::kCluster},
    {"weir.v2.Tier1ExternalServer.tenant", ReferenceKind::kTenant},
    {"weir.v2.HttpServer.tenant", ReferenceKind::kTenant},
    {"weir.v2.InvariantPlace.tenant", ReferenceKind::kTenant},
    {"weir.v2.InvariantPlace.outside_tenant", ReferenceKind::kTenant},
    {"weir.v2.InvariantPlace.namespace", ReferenceKind::kNamespace},
    {"weir.v2.Subject.user", ReferenceKind::kUser},
    {"weir.v2.Subject.team", ReferenceKind::kUser},
    {"weir.v2.Subject.service_account", ReferenceKind::kUser},
    {"weir.v2.TeamSpec.members", ReferenceKind::kMember},
};

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

const ReferenceField* RuleOf(const FieldDescriptor& field) {
  for (const ReferenceField& rule : kFields) {
    if (rule.field == field.full_name()) return &rule;
  }
  return nullptr;
}

// Which fields of a message refer to something or hold a message that does, at any depth. Lives until the program ends.
struct Reading {
  const FieldDescriptor* field;
  const ReferenceField* rule;  // nullptr = look inside.
};
using Readings = std::map<const Descriptor*, std::vector<Reading>>;

bool Collect(const Descriptor& message, Readings& readings) {
  const auto [at, fresh] = readings.try_emplace(&message);
  if (!fresh) return !at->second.empty();
  std::vector<Reading> found;
  for (int i = 0; i < message.field_count(); ++i) {
    const FieldDescriptor& field = *message.field(i);
    const ReferenceField* rule = RuleOf(field);
    const bool inside = rule == nullptr && field.message_type() != nullptr && !field.is_map() &&
                        Collect(*field.message_type(), readings);
    if (rule != nullptr || inside) found.push_back({&field, rule});
  }
  return !(readings[&message] = std::move(found)).empty();
}

const std::vector<Reading>& ReadingsOf(const Descriptor& message) {
  static const auto& readings = *[] {
    auto* made = new Readings;
    for (const KindInfo& kind : Kinds()) Collect(kind.descriptor(), *made);
    return made;
  }();
  static const std::vector<Reading> kNothing;
  const auto found = readings.find(&message);
  return found == readings.end() ? kNothing : found->second;
}

class Reader {
 public:
  std::vector<Reference> found;

  void Of(const Message& message) {
    const size_t length = path_.size();
    const auto& reflection = *message.GetReflection();
    const std::string outer = hostname_;
    if (const auto* hostname = message.GetDescriptor()->FindFieldByName("hostname")) {
      hostname_ = reflection.GetString(message, hostname);
    }
    for (const Reading& reading : ReadingsOf(*message.GetDescriptor())) {
      if (length > 0) path_ += '.';
      path_ += reading.field->json_name();
      if (!reading.field->is_repeated()) {
        if (reflection.HasField(message, reading.field)) One(message, reading, -1);
      } else {
        const size_t name = path_.size();
        for (int i = 0; i < reflection.FieldSize(message, reading.field); ++i) {
          path_.append("[").append(std::to_string(i)).append("]");
          One(message, reading, i);
          path_.resize(name);
        }
      }
      path_.resize(length);
    }
    hostname_ = outer;
  }

 private:
  void One(const Message& message, const Reading& reading, int index) {
    const auto& reflection = *message.GetReflection();
    if (reading.rule == nullptr) {
      return Of(index < 0 ? reflection.GetMessage(message, reading.field)
                          : reflection.GetRepeatedMessage(message, reading.field, index));
    }
    std::string text = index < 0 ? reflection.GetString(message, reading.field)
                                 : reflection.GetRepeatedString(message, reading.field, index);
    if (reading.rule->kind == ReferenceKind::kService) text.resize(std::min(text.size(), text.find('/')));
    found.push_back({reading.rule->kind, path_, std::move(text), hostname_});
  }

  std::string path_;
  std::string hostname_;  // Of the server around.
};

// Where gateways may stand whose workspace does not own this namespace beside them; nullopt = nowhere.
std::optional<NamespacePattern> Unowned(const std::vector<NamespacePattern>& territory,
                                        const std::vector<NamespacePattern>& owned, const std::string& name_space) {
  for (const NamespacePattern& place : territory) {
    NamespacePattern wanted{place.cluster, name_space};
    if (std::none_of(owned.begin(), owned.end(), [&](const auto& outer) { return outer.Contains(wanted); })) {
      return wanted;
    }
  }
  return std::nullopt;
}

}  // namespace

std::span<const ReferenceField> ReferenceFields() { return kFields; }

std::vector<Reference> ReferencesOf(const Message& resource) {
  Reader reader;
  reader.Of(resource);
  return std::move(reader.found);
}

bool MayServe(const v2::Workspace& workspace, std::string_view cluster, std::string_view name_space) {
  return workspace.spec().privileged() || Matches(workspace.spec().namespace_selector(), cluster, name_space);
}

std::vector<ScopeViolation> CheckScope(const google::protobuf::Message& gateway, const v2::Workspace& workspace,
                                       const v2::GatewayGroup& group) {
  std::vector<ScopeViolation> violations;
  const std::vector<NamespacePattern> owned = PatternsOf(workspace.spec().namespace_selector());
  std::vector<NamespacePattern> territory;
  for (Reference& reference : ReferencesOf(gateway)) {
    if (reference.kind == ReferenceKind::kWorkloads) {
      territory = Territory(&workspace, &group, reference.name);
      if (!territory.empty()) continue;
      violations.push_back(
          {Word(StatusReason::kWorkloadsOutsideWorkspace),
           {std::move(reference.field),
            fmt::format("workspace and group have no namespace {} in any cluster: name one that is theirs, or let "
                        "somebody who may write the tenant add \"<cluster>/{}\" to spec.namespaceSelector.names of "
                        "the workspace",
                        reference.name, reference.name),
            0, 0}});
    } else if (reference.kind == ReferenceKind::kService && !workspace.spec().privileged()) {
      const auto outside = Unowned(territory, owned, reference.name);
      if (!outside) continue;
      violations.push_back(
          {Word(StatusReason::kServiceOutsideWorkspace),
           {std::move(reference.field),
            fmt::format("the workspace does not own {}/{}: let somebody who may write the tenant add it to "
                        "spec.namespaceSelector.names of the workspace, or somebody who may write the organization set "
                        "spec.privileged of it",
                        outside->cluster, outside->name),
            0, 0}});
    }
  }
  return violations;
}

}  // namespace weir::resource
