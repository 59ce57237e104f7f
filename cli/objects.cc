#include "cli/objects.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/empty.pb.h>
#include <google/protobuf/message.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <iostream>

#include "api/weir/v2/access_bindings.pb.h"
#include "api/weir/v2/cluster.pb.h"
#include "api/weir/v2/gateway.pb.h"
#include "api/weir/v2/metadata.pb.h"
#include "api/weir/v2/organization_setting.pb.h"
#include "api/weir/v2/tier1_gateway.pb.h"
#include "api/weir/v2/user.pb.h"
#include "api/weir/v2/workspace.pb.h"
#include "cli/commands.h"
#include "libs/resource/validate.h"

namespace weir::cli {
namespace {

using google::protobuf::Message;

// The requests of all kinds have the same shape, so they are made by name: "Get" + "Tier1Gateway" + "Request".
ResourceMessage MakeRequest(std::string_view verb, std::string_view noun) {
  const auto* type = google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(
      fmt::format("weir.v2.{}{}Request", verb, noun));
  return ResourceMessage(google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
}
void Set(Message& message, const std::string& field, const std::string& value) {
  if (const auto* found = message.GetDescriptor()->FindFieldByName(field)) {
    message.GetReflection()->SetString(&message, found, value);
  }
}
void SetSwitch(Message& message, const std::string& field, bool value) {
  if (const auto* found = message.GetDescriptor()->FindFieldByName(field)) {
    message.GetReflection()->SetBool(&message, found, value);
  }
}

std::string Method(std::string_view verb, const resource::KindInfo& kind, bool plural = false) {
  return fmt::format("{0}s/{1}{0}{2}", kind.name, verb, plural ? "s" : "");
}

// All that the caller may read below a parent, whose names may be "-" for any; `name` "" = all. One call per 1000.
Status ListBelow(Client& client, const resource::KindInfo& kind, const std::string& parent, const std::string& name,
                 std::vector<ResourceMessage>& out) {
  std::string token;
  do {
    const ResourceMessage request = MakeRequest("List", fmt::format("{}s", kind.name));
    Set(*request, "parent", parent);
    Set(*request, "page_token", token);
    Set(*request, "name", name);
    request->GetReflection()->SetInt32(request.get(), request->GetDescriptor()->FindFieldByName("page_size"), 1000);
    const auto* type = google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(
        fmt::format("weir.v2.List{}sResponse", kind.name));
    const ResourceMessage response(google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
    WEIR_TRY(client.Call(Method("List", kind, true), *request, *response));
    const auto& from = *response->GetReflection();
    const auto* items = type->FindFieldByName("items");
    for (int i = 0; i < from.FieldSize(*response, items); ++i) {
      ResourceMessage copy(from.GetRepeatedMessage(*response, items, i).New());
      copy->CopyFrom(from.GetRepeatedMessage(*response, items, i));
      out.push_back(std::move(copy));
    }
    token = from.GetString(*response, type->FindFieldByName("next_page_token"));
  } while (!token.empty());
  return {};
}

const std::string& GivenName(resource::Kind kind, const Session& session, const Scope& scope) {
  switch (kind) {
    case resource::Kind::kOrganization:
      return session.organization;
    case resource::Kind::kTenant:
      return scope.tenant;
    case resource::Kind::kWorkspace:
      return scope.workspace;
    default:
      return scope.group;
  }
}

// Where a kind may stand, "-" for each name that is not given; "" of an organization. USAGE for a name of a level that
// does not stand above the kind.
Result<std::string> ParentPattern(const Session& session, const resource::KindInfo& kind, const Scope& scope) {
  std::vector<const resource::KindInfo*> above;
  for (auto at = kind.parent; at; at = resource::Info(*at).parent) above.insert(above.begin(), &resource::Info(*at));
  const std::pair<resource::Kind, const char*> levels[] = {{resource::Kind::kTenant, "tenant"},
                                                           {resource::Kind::kWorkspace, "workspace"},
                                                           {resource::Kind::kGatewayGroup, "group"}};
  for (const auto& [level, flag] : levels) {
    const bool stands = std::any_of(above.begin(), above.end(), [&](const auto* info) { return info->kind == level; });
    if (!stands && !GivenName(level, session, scope).empty()) {
      return Usage(fmt::format("{} does not stand below a {}; leave --{} out", kind.name, flag, flag));
    }
  }
  std::string pattern;
  for (const auto* info : above) {
    const std::string& given = GivenName(info->kind, session, scope);
    pattern = resource::ChildFqn(pattern, info->kind, given.empty() ? "-" : given);
  }
  return pattern;
}

std::string Joined(const std::vector<std::string>& parts) {
  std::string out;
  for (const std::string& part : parts) {
    if (!part.empty()) out += (out.empty() ? "" : ", ") + part;
  }
  return out;
}

// What a person looks for first, per kind.
std::string Detail(const Message& message) {
  std::vector<std::string> parts;
  if (const auto* tier1 = dynamic_cast<const v2::Tier1Gateway*>(&message)) {
    for (const auto& server : tier1->spec().external_servers()) {
      std::string text = fmt::format("{}:{} ->", server.hostname(), server.port());
      for (const auto& cluster : server.clusters()) {
        text += " " + cluster.name() + (cluster.has_weight() ? fmt::format("={}", cluster.weight()) : "");
      }
      parts.push_back(std::move(text));
    }
  } else if (const auto* gateway = dynamic_cast<const v2::Gateway*>(&message)) {
    for (const auto& server : gateway->spec().http())
      parts.push_back(fmt::format("{}:{}", server.hostname(), server.port()));
  } else if (const auto* cluster = dynamic_cast<const v2::Cluster*>(&message)) {
    parts = {cluster->state().connected() ? "connected"
             : cluster->state().has_last_seen()
                 ? "not connected since " + google::protobuf::util::TimeUtil::ToString(cluster->state().last_seen())
                 : "never joined",
             fmt::format("{} workloads", cluster->state().workloads()),
             fmt::format("{} services", cluster->state().services())};
    if (cluster->spec().admin_state() == v2::DRAINING) parts.insert(parts.begin(), "DRAINING");
    if (!cluster->state().problems().empty()) {
      const v2::ClusterProblem& first = cluster->state().problems(0);
      parts.insert(parts.begin(), fmt::format("{}: {}", first.source(), first.text()));
    }
  } else if (const auto* setting = dynamic_cast<const v2::OrganizationSetting*>(&message)) {
    const auto& failover = setting->spec().failover_settings();
    parts = {v2::FailoverSettings::Mode_Name(failover.mode())};
    for (const auto& pair : failover.regional_failover()) parts.push_back(pair.from() + " -> " + pair.to());
  } else if (const auto* workspace = dynamic_cast<const v2::Workspace*>(&message)) {
    for (const auto& name : workspace->spec().namespace_selector().names()) parts.push_back(name);
  } else if (const auto* user = dynamic_cast<const v2::User*>(&message)) {
    parts = {user->spec().email()};
  }
  if (parts.size() > 3) {
    const size_t more = parts.size() - 3;
    parts.resize(3);
    parts.push_back(fmt::format("and {} more", more));
  }
  return Joined(parts);
}

std::string TableOf(const std::vector<ResourceMessage>& resources) {
  std::vector<std::vector<std::string>> rows = {{"NAME", "IN", "REVISION", "UPDATED", ""}};
  for (const auto& message : resources) {
    const v2::Metadata& metadata = resource::MetadataOf(*message);
    std::string in;
    for (const std::string* part :
         {&metadata.organization(), &metadata.tenant(), &metadata.workspace(), &metadata.group()}) {
      if (!part->empty()) in += (in.empty() ? "" : "/") + *part;
    }
    rows.push_back({metadata.name(), in, std::to_string(metadata.revision()),
                    metadata.has_update_time()
                        ? google::protobuf::util::TimeUtil::ToString(metadata.update_time()).substr(0, 19) + "Z"
                        : "",
                    Detail(*message)});
  }
  return Table(rows);
}

document::Node JsonOf(const Message& message) {
  const resource::KindInfo& kind = *resource::KindOf(message);
  document::Node node = document::Node::Map();
  node.Add("apiVersion", document::Node::String(kind.ApiVersion()));
  node.Add("kind", document::Node::String(std::string(kind.name)));
  for (auto& member : document::FromMessage(message).members) node.members.push_back(std::move(member));
  return node;
}

Result<int> Print(const std::vector<ResourceMessage>& resources, const std::string& format, bool single) {
  if (format == "json") {
    document::Node list = document::Node::Sequence();
    for (const auto& message : resources) list.items.push_back(JsonOf(*message));
    std::cout << document::WriteJson(single ? list.items[0] : list, true);
  } else if (format == "yaml") {
    for (size_t i = 0; i < resources.size(); ++i) {
      std::cout << (i == 0 ? "" : "---\n") << document::WriteYaml(DocumentOf(*resources[i]));
    }
  } else if (resources.empty()) {
    std::cerr << "There are none that you may read.\n";
  } else {
    std::cout << TableOf(resources);
  }
  return kExitOk;
}

// A table says little about bindings.
std::string FormatOf(const Flags& flags, const resource::KindInfo& kind) {
  const std::string format = flags.Get("output", "table");
  return format == "table" && kind.kind == resource::Kind::kAccessBindings ? "yaml" : format;
}

Result<int> Get(const Flags& flags) {
  const std::string format = flags.Get("output", "table");
  if (format != "table" && format != "yaml" && format != "json") return Usage("-o is table, yaml or json");
  if (flags.words.empty() || flags.words.size() > 2) return Usage("get wants KIND [NAME]");
  const bool is_fqn = flags.words[0].find('/') != std::string::npos;
  const resource::KindInfo* kind = resource::FindLoosely(flags.words[0]);
  if (kind == nullptr && !is_fqn)
    return Usage(fmt::format("\"{}\" is not a kind; see weir get --help", flags.words[0]));
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  if (flags.words.size() == 2 || is_fqn) {
    WEIR_ASSIGN(const resource::Fqn fqn, ResolveName(client, session, flags.words, ScopeOf(flags)));
    WEIR_ASSIGN(ResourceMessage message, GetResource(client, fqn));
    std::vector<ResourceMessage> one;
    one.push_back(std::move(message));
    return Print(one, FormatOf(flags, resource::Info(fqn.kind)), true);
  }
  if (kind->kind == resource::Kind::kAccessBindings)
    return Usage("get accessbindings wants the full name of a resource");
  WEIR_ASSIGN(const auto resources, ListResources(client, session, *kind, ScopeOf(flags)));
  return Print(resources, format, false);
}

Result<int> Delete(const Flags& flags) {
  if (flags.words.empty() || flags.words.size() > 2) return Usage("delete wants KIND NAME or a full name");
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  WEIR_ASSIGN(const resource::Fqn fqn, ResolveName(client, session, flags.words, ScopeOf(flags)));
  if (fqn.kind == resource::Kind::kAccessBindings)
    return Usage("bindings go with their resource; apply an empty list instead");
  const resource::KindInfo& kind = resource::Info(fqn.kind);
  const ResourceMessage request = MakeRequest("Delete", kind.name);
  Set(*request, "fqn", fqn.text);
  SetSwitch(*request, "cascade", flags.Has("cascade"));
  google::protobuf::Empty nothing;
  WEIR_TRY(client.Call(Method("Delete", kind), *request, nothing));
  std::cout << fqn.text << " deleted\n";
  return kExitOk;
}

}  // namespace

document::Node DocumentOf(const Message& resource) {
  const ResourceMessage copy(resource.New());
  copy->CopyFrom(resource);
  resource::ClearOutputOnly(*copy);
  v2::Metadata& metadata = resource::MutableMetadataOf(*copy);
  if (resource::IsAccessBindings(metadata.fqn())) metadata.set_fqn(resource::ParentFqn(metadata.fqn()));
  return JsonOf(*copy);
}

Result<std::string> FqnArgument(const Session& session, const std::string& word, resource::Kind kind) {
  const std::string fqn =
      word.find('/') != std::string::npos ? word : resource::ChildFqn(session.OrganizationFqn(), kind, word);
  auto parsed = resource::ParseFqn(fqn);
  if (!parsed.ok() || parsed->kind != kind) {
    return Usage(fmt::format("\"{}\" is not the name of a {}", word, resource::Info(kind).name));
  }
  return fqn;
}

Result<std::string> ParentOf(const Session& session, const Scope& scope) {
  std::string parent = session.OrganizationFqn();
  const std::pair<resource::Kind, const std::string*> levels[] = {{resource::Kind::kTenant, &scope.tenant},
                                                                  {resource::Kind::kWorkspace, &scope.workspace},
                                                                  {resource::Kind::kGatewayGroup, &scope.group}};
  bool ended = false;
  for (const auto& [kind, name] : levels) {
    if (name->empty()) {
      ended = true;
    } else if (ended) {
      return Usage("--workspace wants --tenant too, and --group both");
    } else {
      parent = resource::ChildFqn(parent, kind, *name);
    }
  }
  return parent;
}

Scope ScopeOf(const Flags& flags) { return {flags.Get("tenant"), flags.Get("workspace"), flags.Get("group")}; }

Result<std::vector<ResourceMessage>> ListResources(Client& client, const Session& session,
                                                   const resource::KindInfo& kind, const Scope& scope) {
  WEIR_ASSIGN(const std::string parent, ParentPattern(session, kind, scope));
  std::vector<ResourceMessage> resources;
  WEIR_TRY(ListBelow(client, kind, parent, "", resources));
  return resources;
}

Result<ResourceMessage> GetResource(Client& client, const resource::Fqn& fqn) {
  const resource::KindInfo& kind = resource::Info(fqn.kind);
  const ResourceMessage request = MakeRequest("Get", kind.name);
  Set(*request, "fqn", fqn.text);
  ResourceMessage response = resource::NewMessage(fqn.kind);
  const bool bindings = fqn.kind == resource::Kind::kAccessBindings;
  WEIR_TRY(
      client.Call(bindings ? "AccessBindingsService/GetAccessBindings" : Method("Get", kind), *request, *response));
  return response;
}

Result<resource::Fqn> ResolveName(Client& client, const Session& session, const std::vector<std::string>& words,
                                  const Scope& scope) {
  const std::string& last = words.back();
  const resource::KindInfo* kind = words.size() == 2 ? resource::FindLoosely(words[0]) : nullptr;
  if (words.size() == 2 && kind == nullptr) return Usage(fmt::format("\"{}\" is not a kind", words[0]));
  if (last.find('/') != std::string::npos) {
    const bool bindings = kind != nullptr && kind->kind == resource::Kind::kAccessBindings;
    auto fqn =
        resource::ParseFqn(bindings && !resource::IsAccessBindings(last) ? resource::AccessBindingsFqn(last) : last);
    if (!fqn.ok()) return Usage(fqn.error().message);
    if (kind != nullptr && fqn->kind != kind->kind) return Usage(fmt::format("{} is not a {}", last, kind->name));
    return fqn;
  }
  if (kind == nullptr) return Usage("which kind? Give KIND NAME or a full name like organizations/o/tenants/t");
  if (kind->kind == resource::Kind::kAccessBindings)
    return Usage("bindings are named by the full name of their resource");
  if (!resource::IsDnsLabel(last)) return Usage(fmt::format("\"{}\" is not a name", last));
  WEIR_ASSIGN(const std::string parent, ParentPattern(session, *kind, scope));
  if (parent.find("/-") == std::string::npos) return resource::ParseFqn(resource::ChildFqn(parent, kind->kind, last));
  std::vector<ResourceMessage> found;
  WEIR_TRY(ListBelow(client, *kind, parent, last, found));
  if (found.empty()) return NotFound("NOT_FOUND", "there is no {} \"{}\" that you may read", kind->name, last);
  if (found.size() > 1) {
    std::vector<std::string> holders;
    holders.reserve(found.size());
    for (const auto& message : found) holders.push_back(resource::ParentFqn(resource::MetadataOf(*message).fqn()));
    return Usage(fmt::format("several are called \"{}\", in {}; narrow it with --tenant, --workspace, --group", last,
                             Joined(holders)));
  }
  return resource::ParseFqn(resource::MetadataOf(*found.front()).fqn());
}

namespace {

constexpr std::string_view kGetHelp =
    R"(Usage: weir get KIND [NAME] [-o table|yaml|json] [--tenant T] [--workspace W] [--group G]
       weir get FULL-NAME [-o ...]

KIND: organization, organizationsetting, tenant, workspace, gatewaygroup, cluster, user, tier1gateway, gateway,
accessbindings; any case, singular or plural. (For `weir get traffic` see its own --help.) Without NAME all that you may
read are listed; --tenant, --workspace and --group narrow that.

  weir get tier1gateways
  weir get tier1gateway shop -o yaml > shop.yaml       edit it, then: weir apply -f shop.yaml
  weir get accessbindings organizations/o/tenants/t

-o yaml prints documents that `weir apply` takes, with the version that was read: applying one that somebody changed
meanwhile is refused and shows the difference. -o json prints all that the server knows, for scripts.
)";
constexpr std::string_view kDeleteHelp =
    R"(Usage: weir delete KIND NAME [--cascade] [--tenant T] [--workspace W] [--group G]
       weir delete FULL-NAME [--cascade]

  --cascade    delete everything below it too; without it a resource with children is refused.
               More than 500 go in several writes, the deepest first
)";
}  // namespace

Command GetCommand() {
  return {"get",
          "list resources, or print one",
          kGetHelp,
          {{"tenant", "workspace", "group", "output"}, {}, {{'o', "output"}}},
          Get};
}
Command DeleteCommand() {
  return {"delete", "delete a resource", kDeleteHelp, {{"tenant", "workspace", "group"}, {"cascade"}, {}}, Delete};
}

}  // namespace weir::cli
