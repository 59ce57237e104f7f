#include "cli/objects.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>

#include <algorithm>

#include "api/weir/v2/access_bindings.pb.h"
#include "api/weir/v2/kind_services.h"
#include "api/weir/v2/metadata.pb.h"
#include "cli/commands.h"
#include "cli/history.h"
#include "cli/output.h"
#include "cli/traffic.h"
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

Status SetAsOf(Message& request, const std::string& as_of) {
  if (as_of.empty()) return {};
  const auto* revision = request.GetDescriptor()->FindFieldByName("as_of_revision");
  if (revision == nullptr) return Usage("bindings have no --as-of; see weir history");
  WEIR_ASSIGN(const Moment moment, ParseMoment("as-of", as_of, UnixNow()));
  if (!moment.seconds) {
    request.GetReflection()->SetInt64(&request, revision, moment.revision);
    return {};
  }
  google::protobuf::Timestamp time;
  time.set_seconds(*moment.seconds);
  const auto* field = request.GetDescriptor()->FindFieldByName("as_of_time");
  request.GetReflection()->MutableMessage(&request, field)->CopyFrom(time);
  return {};
}

// All that the caller may read below a parent, whose names may be "-" for any; `name` "" = all. One call per 1000.
Status ListBelow(Client& client, const resource::KindInfo& kind, const std::string& parent, const std::string& name,
                 const Question& question, std::vector<ResourceMessage>& out) {
  std::string token;
  do {
    const auto [path, request, response] = MethodOf(kind, Verb::kList);
    Set(*request, "parent", parent);
    Set(*request, "page_token", token);
    Set(*request, "name", name);
    Set(*request, "filter", question.filter);
    Set(*request, "order_by", question.order);
    WEIR_TRY(SetAsOf(*request, question.as_of));
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

}  // namespace

document::Node JsonOf(const Message& message) {
  const resource::KindInfo& kind = *resource::KindOf(message);
  document::Node node = document::Node::Map();
  node.Add("apiVersion", document::Node::String(kind.ApiVersion()));
  node.Add("kind", document::Node::String(kind.name));
  for (auto& member : document::FromMessage(message).members) node.members.push_back(std::move(member));
  return node;
}

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
                                                   const resource::KindInfo& kind, const Scope& scope,
                                                   const Question& question) {
  WEIR_ASSIGN(const std::string parent, ParentPattern(session, kind, scope));
  std::vector<ResourceMessage> resources;
  WEIR_TRY(ListBelow(client, kind, parent, "", question, resources));
  return resources;
}

Status DeleteResource(Client& client, const resource::Fqn& fqn, bool cascade, bool dry_run) {
  const auto [path, request, nothing] = MethodOf(resource::Info(fqn.kind), Verb::kDelete);
  Set(*request, "fqn", fqn.text);
  SetSwitch(*request, "cascade", cascade);
  SetSwitch(*request, "dry_run", dry_run);
  return client.CallOnce(path, *request, *nothing);
}

namespace {

// The one field of a request that is the resource itself.
void SetResource(google::protobuf::Message& request, const google::protobuf::Message& resource) {
  for (int i = 0; i < request.GetDescriptor()->field_count(); ++i) {
    const auto* field = request.GetDescriptor()->field(i);
    if (field->message_type() != resource.GetDescriptor()) continue;
    request.GetReflection()->MutableMessage(&request, field)->CopyFrom(resource);
  }
}

}  // namespace

Status CreateResource(Client& client, const std::string& parent, const google::protobuf::Message& resource) {
  const auto [path, request, answer] = MethodOf(*resource::KindOf(resource), Verb::kCreate);
  Set(*request, "parent", parent);
  SetResource(*request, resource);
  return client.CallOnce(path, *request, *answer);
}

Status UpdateResource(Client& client, const resource::Fqn& fqn, const google::protobuf::Message& resource) {
  const auto [path, request, answer] = MethodOf(resource::Info(fqn.kind), Verb::kUpdate);
  Set(*request, "fqn", fqn.text);
  SetResource(*request, resource);
  return client.CallOnce(path, *request, *answer);
}

Result<ResourceMessage> GetResource(Client& client, const resource::Fqn& fqn, const std::string& as_of) {
  auto [path, request, response] = MethodOf(resource::Info(fqn.kind), Verb::kGet);
  Set(*request, "fqn", fqn.text);
  WEIR_TRY(SetAsOf(*request, as_of));
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
  WEIR_TRY(ListBelow(client, *kind, parent, last, {}, found));
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

}  // namespace weir::cli
