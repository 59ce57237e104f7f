#include "mgmt-server/services/crud.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/empty.pb.h>
#include <google/protobuf/message.h>

#include "api/weir/v2/cluster.pb.h"
#include "api/weir/v2/metadata.pb.h"
#include "libs/resource/validate.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/services/field_paths.h"

namespace weir::services {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

const FieldDescriptor* Field(const Message& message, const char* name) {
  return message.GetDescriptor()->FindFieldByName(name);
}

// "" for a request of an organization, which has no parent.
std::string Text(const Message& message, const char* name) {
  const FieldDescriptor* field = Field(message, name);
  return field == nullptr ? "" : message.GetReflection()->GetString(message, field);
}

// The one field of the request that is the resource itself.
std::unique_ptr<Message> ResourceOf(const Message& request, const resource::KindInfo& kind) {
  for (int i = 0; i < request.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor* field = request.GetDescriptor()->field(i);
    if (field->message_type() != &kind.descriptor()) continue;
    std::unique_ptr<Message> resource = resource::NewMessage(kind.kind);
    resource->CopyFrom(request.GetReflection()->GetMessage(request, field));
    return resource;
  }
  return resource::NewMessage(kind.kind);
}

Status CheckParent(const resource::KindInfo& kind, const std::string& parent) {
  if (!kind.parent) return {};
  return [&]() -> Status {
    WEIR_TRY(ParseFqnOf(*kind.parent, parent));
    return {};
  }();
}

// Fields that changed belong to the API now, those that are gone to nobody, the rest to whom they did.
Owners Reassign(const Owners& before, const Message& stored, const Message& wanted) {
  const std::set<std::string> set = resource::OwnedFields(wanted);
  Owners owners;
  for (const std::string& field : set) {
    const auto owner = before.find(field);
    owners[field] = owner == before.end() ? kApiManager : owner->second;
  }
  for (const std::string& field : resource::Diff(stored, wanted)) {
    if (set.count(field) > 0) owners[field] = kApiManager;
  }
  return owners;
}

// What could not be read and what is wrong with the rest, in one answer.
Status Refuse(std::string_view what, const CallContext& call, std::vector<FieldViolation> found) {
  std::vector<FieldViolation> violations = call.unread;
  for (FieldViolation& violation : Beyond(call.unread, std::move(found))) violations.push_back(std::move(violation));
  return resource::ToStatus(what, std::move(violations));
}

class Crud {
 public:
  Crud(const Backends& backends, Writes& writes, resource::Kind kind)
      : backends_(backends), writes_(writes), kind_(resource::Info(kind)) {}

  Result<MessagePtr> Create(CallContext& call, const Message& request) const {
    const std::string parent = Text(request, "parent");
    WEIR_TRY(CheckParent(kind_, parent));
    std::unique_ptr<Message> resource = ResourceOf(request, kind_);
    const std::string name = resource::MetadataOf(*resource).name();
    if (!resource::IsDnsLabel(name)) {
      std::vector<FieldViolation> violations;
      Examine(*resource, violations);
      return Refuse(fmt::format("the {}", kind_.name), call, std::move(violations)).error();
    }
    WEIR_ASSIGN(const resource::Fqn fqn, resource::ParseFqn(resource::ChildFqn(parent, kind_.kind, name)));
    Draft draft = MakeDraft(fqn, std::move(resource));
    if (!call.unread.empty()) return Refuse(fqn.text, call, std::move(draft.violations)).error();
    const Owners owners = OwnedBy(*draft.message, kApiManager);
    auto stored = backends_.store->Write([&](store::Txn& txn) -> Result<store::ResourcePtr> {
      std::vector<Issue> issues;
      WEIR_ASSIGN(const store::ResourcePtr created, writes_.Create(txn, call, draft, owners, issues));
      WEIR_TRY(ToStatus(issues));
      return created;
    });
    if (!stored.ok()) return std::move(stored).error();
    return Render(backends_, **stored);
  }

  Result<MessagePtr> Get(CallContext& call, const Message& request) const {
    WEIR_ASSIGN(const resource::Fqn fqn, ParseFqnOf(kind_.kind, Text(request, "fqn")));
    const store::ViewPtr view = backends_.store->Read();
    WEIR_TRY(authz::Authorize(*view, call.principal, authz::Right::kRead, fqn.text));
    const store::ResourcePtr resource = view->Get(fqn.text);
    if (resource == nullptr) return authz::Missing(fqn.text);
    return Render(backends_, *resource);
  }

  // A parent that the caller may not read is listed as if it held only what the caller may read; where that is
  // nothing, as if it did not exist.
  Result<MessagePtr> List(CallContext& call, const Message& request, const Message& prototype) const {
    const std::string parent = Text(request, "parent");
    WEIR_TRY(CheckParent(kind_, parent));
    int page_size = request.GetReflection()->GetInt32(request, Field(request, "page_size"));
    if (page_size == 0) page_size = 100;
    if (page_size < 1 || page_size > 1000) {
      Error error = InvalidArgument("INVALID_REQUEST", "page size out of range");
      error.violations.push_back({.field = "pageSize", .description = "must be 1 to 1000"});
      return error;
    }
    const store::ViewPtr view = backends_.store->Read();
    MessagePtr answer(prototype.New());
    const FieldDescriptor* items = Field(*answer, "items");
    const auto readable = [&](const store::StoredResource& resource) {
      return authz::Allowed(*view, call.principal, authz::Right::kRead, resource);
    };
    std::string token = Text(request, "page_token");
    const bool from_start = token.empty();
    size_t wanted = static_cast<size_t>(page_size);
    size_t found = 0;
    while (wanted > 0) {
      const store::Page page = view->List({parent, std::string(kind_.name), wanted, token});
      for (const store::ResourcePtr& resource : page.items) {
        if (!readable(*resource)) continue;
        WEIR_ASSIGN(MessagePtr message, Render(backends_, *resource));
        answer->GetReflection()->AddAllocatedMessage(answer.get(), items, message.release());
        --wanted;
        ++found;
      }
      token = page.next_page_token;
      if (token.empty()) break;
    }
    if (!token.empty() && !AnyReadable(*view, parent, token, readable)) token.clear();
    if (found == 0 && from_start && kind_.parent) {
      WEIR_TRY(authz::Authorize(*view, call.principal, authz::Right::kRead, parent));
    }
    answer->GetReflection()->SetString(answer.get(), Field(*answer, "next_page_token"), token);
    return answer;
  }

  Result<MessagePtr> Update(CallContext& call, const Message& request) const {
    WEIR_ASSIGN(const resource::Fqn fqn, ParseFqnOf(kind_.kind, Text(request, "fqn")));
    std::unique_ptr<Message> resource = ResourceOf(request, kind_);
    const std::string etag = resource::MetadataOf(*resource).resource_version();
    if (etag.empty() && call.unread.empty()) {
      Error error = InvalidArgument("ETAG_REQUIRED", "an update names the version it replaces");
      error.violations.push_back({.field = "metadata.resourceVersion",
                                  .description = "must be the one that was read (or send it as If-Match)"});
      return error;
    }
    Draft draft = MakeDraft(fqn, std::move(resource));
    if (!call.unread.empty()) return Refuse(fqn.text, call, std::move(draft.violations)).error();
    auto stored = backends_.store->Write([&](store::Txn& txn) -> Result<store::ResourcePtr> {
      std::vector<Issue> issues;
      Owners owners;
      if (const store::ResourcePtr before = txn.Get(fqn.text)) {
        WEIR_ASSIGN(const MessagePtr message, ToMessage(*before));
        KeepUnsaid(*message, draft);
        owners = Reassign(before->field_owners, *message, *draft.message);
      }
      WEIR_ASSIGN(const store::ResourcePtr updated, writes_.Update(txn, call, draft, std::move(owners), etag, issues));
      WEIR_TRY(ToStatus(issues));
      return updated;
    });
    if (!stored.ok()) return std::move(stored).error();
    return Render(backends_, **stored);
  }

  Result<MessagePtr> Delete(CallContext& call, const Message& request) const {
    WEIR_ASSIGN(const resource::Fqn fqn, ParseFqnOf(kind_.kind, Text(request, "fqn")));
    const bool cascade = request.GetReflection()->GetBool(request, Field(request, "cascade"));
    const std::string etag = Text(request, "resource_version");
    WEIR_TRY(backends_.store->Write([&](store::Txn& txn) {
      return writes_.Delete(txn, call, fqn.text, etag.empty() ? std::nullopt : std::optional(etag), cascade);
    }));
    return MessagePtr(new google::protobuf::Empty());
  }

 private:
  // Whether a next page would show anything; a token must not say that there is more than the caller may see.
  template <typename Readable>
  bool AnyReadable(const store::View& view, const std::string& parent, std::string token, Readable readable) const {
    while (!token.empty()) {
      const store::Page page = view.List({parent, std::string(kind_.name), 100, token});
      for (const store::ResourcePtr& resource : page.items) {
        if (readable(*resource)) return true;
      }
      token = page.next_page_token;
    }
    return false;
  }

  const Backends& backends_;
  Writes& writes_;
  const resource::KindInfo& kind_;
};

}  // namespace

Result<resource::Fqn> ParseFqnOf(resource::Kind kind, const std::string& text) {
  WEIR_ASSIGN(resource::Fqn fqn, resource::ParseFqn(text));
  if (fqn.kind != kind) {
    return InvalidArgument("BAD_FQN", "{} is not the name of a {}", text, resource::Info(kind).name);
  }
  return fqn;
}

Result<MessagePtr> Render(const Backends& backends, const store::StoredResource& resource) {
  WEIR_ASSIGN(MessagePtr message, ToMessage(resource));
  if (resource.kind == "Cluster" && backends.cluster_state) {
    *static_cast<v2::Cluster&>(*message).mutable_state() = backends.cluster_state(resource.fqn);
  }
  return message;
}

void AddCrud(MethodTable& table, const Backends& backends, Writes& writes, resource::Kind kind) {
  const auto crud = std::make_shared<Crud>(backends, writes, kind);
  const std::string name(resource::Info(kind).name);
  const std::string service = "weir.v2." + name + "s.";
  const auto* list =
      resource::Info(kind).descriptor().file()->pool()->FindMessageTypeByName("weir.v2.List" + name + "sResponse");
  const Message* prototype = google::protobuf::MessageFactory::generated_factory()->GetPrototype(list);
  table.AddChecking(service + "Create" + name, [crud](CallContext& c, const Message& m) { return crud->Create(c, m); });
  table.Add(service + "Get" + name, [crud](CallContext& c, const Message& m) { return crud->Get(c, m); });
  table.Add(service + "List" + name + "s",
            [crud, prototype](CallContext& c, const Message& m) { return crud->List(c, m, *prototype); });
  table.AddChecking(service + "Update" + name, [crud](CallContext& c, const Message& m) { return crud->Update(c, m); });
  table.Add(service + "Delete" + name, [crud](CallContext& c, const Message& m) { return crud->Delete(c, m); });
}

}  // namespace weir::services
