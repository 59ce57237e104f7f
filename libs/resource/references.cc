#include "libs/resource/references.h"

#include <algorithm>
#include <optional>

#include "api/weir/v2/access_bindings.pb.h"
#include "api/weir/v2/gateway.pb.h"
#include "api/weir/v2/gateway_group.pb.h"
#include "api/weir/v2/tier1_gateway.pb.h"
#include "api/weir/v2/workspace.pb.h"
#include "libs/resource/conflicts.h"
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
    {"weir.v2.Subject.user", ReferenceKind::kUser},
};

class Reader {
 public:
  std::vector<Reference> found;

  void Of(const v2::Workspace& workspace) { Namespaces(workspace.spec().namespace_selector()); }
  void Of(const v2::GatewayGroup& group) { Namespaces(group.spec().namespace_selector()); }
  void Of(const v2::AccessBindings& bindings) {
    for (int i = 0; i < bindings.allow_size(); ++i) {
      const auto& subjects = bindings.allow(i).subjects();
      for (int j = 0; j < subjects.size(); ++j) {
        Add(ReferenceKind::kUser, fmt::format("allow[{}].subjects[{}].user", i, j), subjects[j].user());
      }
    }
  }
  void Of(const v2::Tier1Gateway& gateway) {
    Workloads(gateway.spec().workload_selector());
    const auto& servers = gateway.spec().external_servers();
    for (int i = 0; i < servers.size(); ++i) {
      const std::string at = fmt::format("spec.externalServers[{}]", i);
      hostname_ = servers[i].hostname();
      Tenant(servers[i].tenant(), at);
      Clusters(servers[i].clusters(), at + ".clusters");
    }
  }
  void Of(const v2::Gateway& gateway) {
    Workloads(gateway.spec().workload_selector());
    const auto& servers = gateway.spec().http();
    for (int i = 0; i < servers.size(); ++i) {
      const std::string at = fmt::format("spec.http[{}]", i);
      hostname_ = servers[i].hostname();
      Tenant(servers[i].tenant(), at);
      const auto& rules = servers[i].routing().rules();
      for (int j = 0; j < rules.size(); ++j) {
        const std::string route = fmt::format("{}.routing.rules[{}].route", at, j);
        Clusters(rules[j].route().cluster_destination().clusters(), route + ".clusterDestination.clusters");
        if (!rules[j].route().has_service_destination()) continue;
        const std::string& host = rules[j].route().service_destination().host();
        Add(ReferenceKind::kService, route + ".serviceDestination.host", host.substr(0, host.find('/')));
      }
    }
  }

 private:
  void Add(ReferenceKind kind, std::string field, std::string name) {
    found.push_back({kind, std::move(field), std::move(name), hostname_});
  }
  void Namespaces(const v2::NamespaceSelector& selector) {
    for (int i = 0; i < selector.names_size(); ++i) {
      Add(ReferenceKind::kNamespace, fmt::format("spec.namespaceSelector.names[{}]", i), selector.names(i));
    }
  }
  void Workloads(const v2::WorkloadSelector& selector) {
    Add(ReferenceKind::kWorkloads, "spec.workloadSelector.namespace", selector.namespace_());
  }
  void Tenant(const std::string& name, const std::string& at) {
    if (!name.empty()) Add(ReferenceKind::kTenant, at + ".tenant", name);
  }
  template <typename List>
  void Clusters(const List& clusters, const std::string& at) {
    for (int i = 0; i < clusters.size(); ++i) {
      Add(ReferenceKind::kCluster, fmt::format("{}[{}].name", at, i), clusters[i].name());
    }
  }

  std::string hostname_;
};

template <typename T>
bool ReadAs(const google::protobuf::Message& resource, Reader& reader) {
  const auto* typed = dynamic_cast<const T*>(&resource);
  if (typed != nullptr) reader.Of(*typed);
  return typed != nullptr;
}

// Where gateways may stand whose workspace does not own this namespace beside them; nullopt = nowhere.
std::optional<NamespacePattern> Unowned(const std::vector<NamespacePattern>& territory,
                                        const std::vector<NamespacePattern>& owned, const std::string& name_space) {
  for (const NamespacePattern& place : territory) {
    const NamespacePattern wanted{place.cluster, name_space};
    if (std::none_of(owned.begin(), owned.end(), [&](const auto& outer) { return outer.Contains(wanted); })) {
      return wanted;
    }
  }
  return std::nullopt;
}

}  // namespace

std::span<const ReferenceField> ReferenceFields() { return kFields; }

std::vector<Reference> ReferencesOf(const google::protobuf::Message& resource) {
  Reader reader;
  ReadAs<v2::Tier1Gateway>(resource, reader) || ReadAs<v2::Gateway>(resource, reader) ||
      ReadAs<v2::Workspace>(resource, reader) || ReadAs<v2::GatewayGroup>(resource, reader) ||
      ReadAs<v2::AccessBindings>(resource, reader);
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
