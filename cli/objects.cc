#include "cli/objects.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <iostream>

#include "api/weir/v2/access_bindings.pb.h"
#include "api/weir/v2/kind_services.h"
#include "api/weir/v2/metadata.pb.h"
#include "cli/commands.h"
#include "libs/resource/validate.h"

namespace weir::cli {
namespace {

using google::protobuf::Message;

// A method of the service that every kind has, and the messages that it takes and gives.
struct Method {
  std::string path;  // "Tenants/GetTenant"
  ResourceMessage request;
  ResourceMessage response;
};
enum class Verb { kCreate, kGet, kList, kUpdate, kDelete };  // In the order of v2::KindService.

ResourceMessage Make(const google::protobuf::Descriptor* type) {
  return ResourceMessage(google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
}
Method MethodOf(const resource::KindInfo& kind, Verb verb) {
  const auto* service = v2::KindService(kind.name);
  if (service == nullptr) {  // Bindings, of which only this is asked for.
    return {"AccessBindingsService/GetAccessBindings", std::make_unique<v2::GetAccessBindingsRequest>(),
            std::make_unique<v2::AccessBindings>()};
  }
  const auto* method = service->method(static_cast<int>(verb));
  return {fmt::format("{}/{}", service->name(), method->name()), Make(method->input_type()),
          Make(method->output_type())};
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

// All that the caller may read below a parent, whose names may be "-" for any; `name` "" = all. One call per 1000.
Status ListBelow(Client& client, const resource::KindInfo& kind, const std::string& parent, const std::string& name,
                 std::vector<ResourceMessage>& out) {
  std::string token;
  do {
    const auto [path, request, response] = MethodOf(kind, Verb::kList);
    Set(*request, "parent", parent);
    Set(*request, "page_token", token);
    Set(*request, "name", name);
    request->GetReflection()->SetInt32(request.get(), request->GetDescriptor()->FindFieldByName("page_size"), 1000);
    WEIR_TRY(client.Call(path, *request, *response));
    const auto* type = response->GetDescriptor();
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

// The names that the scope gives, by level: below an organization stand a tenant, a workspace and a group.
struct Level {
  const char* flag;
  const std::string* name;
};
std::vector<Level> LevelsOf(const Scope& scope) {
  return {{"tenant", &scope.tenant}, {"workspace", &scope.workspace}, {"group", &scope.group}};
}

// Where a kind may stand, "-" for each name that is not given; "" of an organization. USAGE for a name of a level that
// does not stand above the kind.
Result<std::string> ParentPattern(const Session& session, const resource::KindInfo& kind, const Scope& scope) {
  const std::vector<Level> levels = LevelsOf(scope);
  // Tenants and what is below them stand below the organization; clusters and users do, too, but have no more above.
  for (size_t i = 0; i < levels.size(); ++i) {
    if (i + 1 < kind.above.size() || levels[i].name->empty()) continue;
    return Usage(
        fmt::format("{} does not stand below a {}; leave --{} out", kind.name, levels[i].flag, levels[i].flag));
  }
  std::string pattern;
  for (size_t i = 0; i < kind.above.size(); ++i) {
    const std::string& given = i == 0 ? session.organization : *levels[i - 1].name;
    pattern = resource::ChildFqn(pattern, kind.above[i], given.empty() ? "-" : given);
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

// What a person looks for first, as the kind says it.
std::string Detail(const Message& message) {
  std::vector<std::string> parts = resource::KindOf(message)->rules.summary(message);
  std::erase(parts, "");
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
  const auto [path, request, nothing] = MethodOf(kind, Verb::kDelete);
  Set(*request, "fqn", fqn.text);
  SetSwitch(*request, "cascade", flags.Has("cascade"));
  WEIR_TRY(client.Call(path, *request, *nothing));
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
  const std::vector<resource::Kind>& above = resource::Info(resource::Kind::kGateway).above;
  const std::vector<Level> levels = LevelsOf(scope);
  bool ended = false;
  for (size_t i = 0; i < levels.size(); ++i) {
    if (levels[i].name->empty()) {
      ended = true;
    } else if (ended) {
      return Usage("--workspace wants --tenant too, and --group both");
    } else {
      parent = resource::ChildFqn(parent, above[i + 1], *levels[i].name);
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
  auto [path, request, response] = MethodOf(resource::Info(fqn.kind), Verb::kGet);
  Set(*request, "fqn", fqn.text);
  WEIR_TRY(client.Call(path, *request, *response));
  return std::move(response);
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

KIND is the name of a kind or its short name, in any case, singular or plural; `weir kinds` lists them. (For `weir get traffic` see its own --help.) Without NAME all that you may
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
