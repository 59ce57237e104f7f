#include "mgmt-server/services/crud.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/empty.pb.h>
#include <google/protobuf/message.h>

#include "api/weir/v2/cluster.pb.h"
#include "api/weir/v2/kind_services.h"
#include "api/weir/v2/metadata.pb.h"
#include "libs/resource/admin_state.h"
#include "libs/resource/field_paths.h"
#include "libs/resource/validate.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/services/kept_answers.h"
#include "mgmt-server/services/listing.h"
#include "mgmt-server/services/page_tokens.h"
#include "mgmt-server/services/request_fields.h"

namespace weir::services {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

const FieldDescriptor* Field(const Message& message, const char* name) {
  return message.GetDescriptor()->FindFieldByName(name);
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
  if (!kind.parent()) return {};
  WEIR_TRY(ParseFqnOf(*kind.parent(), parent));
  return {};
}

// Fields that changed belong to who changed them now, those that are gone to nobody, the rest to whom they did.
Owners Reassign(const Owners& before, const Message& stored, const Message& wanted, const std::string& writer) {
  const std::set<std::string> set = FieldsOwned(wanted);
  Owners owners;
  for (const std::string& field : set) {
    const auto owner = before.find(field);
    owners[field] = owner == before.end() ? writer : owner->second;
  }
  for (const std::string& field : resource::Diff(stored, wanted)) {
    if (set.count(field) > 0) owners[field] = writer;
  }
  return owners;
}

// What could not be read and what is wrong with the rest, in one answer.
Status Refuse(std::string_view what, const CallContext& call, std::vector<FieldViolation> found) {
  std::vector<FieldViolation> violations = call.unread;
  for (FieldViolation& violation : resource::WithoutConsequences(call.unread, std::move(found)))
    violations.push_back(std::move(violation));
  return resource::ToStatus(what, std::move(violations));
}

// What agents report of it, and what verbs set while that counts.
void AddReported(const Backends& backends, Message& resource) {
  if (resource.GetDescriptor() != v2::Cluster::descriptor()) return;
  auto& cluster = static_cast<v2::Cluster&>(resource);
  v2::ClusterState state = backends.fleet->ClusterState(cluster.metadata().fqn());
  state.clear_admin_changes();
  if (resource::AdminChangeOf(cluster) != nullptr) {  // Else a document has set another state since.
    state.mutable_admin_changes()->Swap(cluster.mutable_state()->mutable_admin_changes());
  }
  *cluster.mutable_state() = std::move(state);
}

class Crud {
 public:
  Crud(const Backends& backends, Writes& writes, resource::Kind kind)
      : backends_(backends), writes_(writes), kind_(resource::Info(kind)), tokens_(*backends.store) {}

  Result<MessagePtr> Create(CallContext& call, const Message& request) const {
    const std::string parent = TextOf(request, "parent");
    WEIR_TRY(CheckParent(kind_, parent));
    std::unique_ptr<Message> resource = ResourceOf(request, kind_);
    const std::string name = resource::MetadataOf(*resource).name();
    if (!resource::IsDnsLabel(name)) {
      std::vector<FieldViolation> violations;
      CheckUnnamed(*resource, violations);
      return Refuse(fmt::format("the {}", kind_.name), call, std::move(violations)).error();
    }
    WEIR_ASSIGN(const resource::Fqn fqn, resource::ParseFqn(resource::ChildFqn(parent, kind_.kind, name)));
    Draft draft = MakeDraft(fqn, std::move(resource));
    if (!call.unread.empty()) return Refuse(fqn.text, call, std::move(draft.violations)).error();
    const Owners owners = OwnedBy(*draft.message, ManagerOf(kApiManager, call.principal));
    return WriteOnce(backends_, call, FlagOf(request, "dry_run"), [&](store::Txn& txn) -> Result<MessagePtr> {
      std::vector<Issue> issues;
      WEIR_ASSIGN(const store::ResourcePtr stored, writes_.Create(txn, call, draft, owners, issues));
      WEIR_TRY(ToStatus(issues));
      return ToMessage(*stored);
    });
  }

  Result<MessagePtr> Get(CallContext& call, const Message& request) const {
    WEIR_ASSIGN(const resource::Fqn fqn, ParseFqnOf(kind_.kind, TextOf(request, "fqn")));
    WEIR_ASSIGN(const int64_t as_of, AsOf(request));
    if (as_of > 0) return GetAt(call, fqn, as_of);
    const store::ViewPtr view = backends_.store->Read();
    WEIR_TRY(authz::Authorize(*view, call.principal, authz::Right::kRead, fqn.text));
    const store::ResourcePtr resource = view->Get(fqn.text);
    if (resource == nullptr) return authz::Missing(fqn.text);
    return Render(backends_, *resource);
  }

  // A parent that the caller may not read is listed as if it held only what the caller may read; where nothing of it is
  // his, as if it did not exist.
  Result<MessagePtr> List(CallContext& call, const Message& request, const Message& prototype) const {
    WEIR_ASSIGN(const int64_t as_of, AsOf(request));
    WEIR_ASSIGN(const Listing listing, Listing::Read(Listing::Of(kind_), call, request, tokens_, as_of));
    store::ViewPtr view = backends_.store->Read();
    const std::string& above = listing.above();
    const bool sees = above.empty() || authz::SeesBelow(*view, call.principal, above);
    // Before any work, which would tell how much there is. What is there no more has its rights by what it lay in.
    if (!sees && as_of == 0) WEIR_TRY(authz::Authorize(*view, call.principal, authz::Right::kRead, above));
    PastRights rights(*backends_.store, call.principal, view);
    Listing::MayRead may_read = [&](const store::StoredResource& resource) -> Result<bool> {
      return authz::Allowed(*view, call.principal, authz::Right::kRead, resource);
    };
    Listing::Render render = [&](const store::StoredResource& resource) { return Render(backends_, resource); };
    store::ViewPtr shown = view;
    Past::Turn turn;
    if (as_of > 0) {
      WEIR_ASSIGN(turn, backends_.past->TakeTurn(call));
      WEIR_ASSIGN(shown, backends_.past->ViewAt(call, turn, as_of));
      may_read = [&](const store::StoredResource& resource) { return rights.MayRead(resource); };
      render = ToMessage;  // What agents report was not kept.
    }
    WEIR_ASSIGN(Listing::Page page, listing.Fill(*shown, may_read, render));
    MessagePtr answer(prototype.New());
    const FieldDescriptor* items = Field(*answer, "items");
    for (Listing::Item& item : page.items) {
      listing.Mask(*item.message);
      answer->GetReflection()->AddAllocatedMessage(answer.get(), items, item.message.release());
    }
    if (page.items.empty() && listing.first() && !sees) {
      WEIR_TRY(authz::Authorize(*view, call.principal, authz::Right::kRead, above));
    }
    if (!page.last.empty()) {
      WEIR_ASSIGN(const std::string token, tokens_.Make(listing.question(), page.last));
      answer->GetReflection()->SetString(answer.get(), Field(*answer, "next_page_token"), token);
    }
    return answer;
  }

  Result<MessagePtr> Update(CallContext& call, const Message& request) const {
    WEIR_ASSIGN(const resource::Fqn fqn, ParseFqnOf(kind_.kind, TextOf(request, "fqn")));
    std::unique_ptr<Message> resource = ResourceOf(request, kind_);
    const std::string etag = EtagText(resource::MetadataOf(*resource).resource_version());
    if (etag.empty() && call.if_match.empty() && call.unread.empty()) {
      Error error = InvalidArgument("ETAG_REQUIRED", "an update names the version it replaces");
      error.violations.push_back({.field = "metadata.resourceVersion",
                                  .description = "must be the one that was read (or send it as If-Match)"});
      return error;
    }
    Draft draft = MakeDraft(fqn, std::move(resource));
    if (!call.unread.empty()) return Refuse(fqn.text, call, std::move(draft.violations)).error();
    return WriteOnce(backends_, call, FlagOf(request, "dry_run"), [&](store::Txn& txn) -> Result<MessagePtr> {
      std::vector<Issue> issues;
      Owners owners;
      WEIR_TRY(authz::Authorize(txn.view(), call.principal, authz::Right::kWrite, fqn.text));  // Before any work.
      const store::ResourcePtr before = txn.Get(fqn.text);
      if (before != nullptr) {
        WEIR_ASSIGN(const MessagePtr message, ToMessage(*before));
        FillFromStored(*message, draft);
        owners = Reassign(before->field_owners, *message, *draft.message, ManagerOf(kApiManager, call.principal));
      }
      const std::string wanted = WantedEtag(call, etag, before.get());
      WEIR_ASSIGN(const store::ResourcePtr updated,
                  writes_.Update(txn, call, draft, std::move(owners), wanted, issues));
      WEIR_TRY(ToStatus(issues));
      return ToMessage(*updated);
    });
  }

  Result<MessagePtr> Delete(CallContext& call, const Message& request) const {
    WEIR_ASSIGN(const resource::Fqn fqn, ParseFqnOf(kind_.kind, TextOf(request, "fqn")));
    const bool cascade = FlagOf(request, "cascade");
    const std::string given = EtagText(TextOf(request, "resource_version"));
    const auto some = [&](store::Txn& txn) {
      const std::string etag = WantedEtag(call, given, txn.Get(fqn.text).get());
      return writes_.Delete(txn, call, fqn.text, etag.empty() ? std::nullopt : std::optional(etag), cascade);
    };
    if (FlagOf(request, "dry_run")) {
      WEIR_ASSIGN(const size_t left, backends_.WriteOrTry(call, true, some));
      if (left == 0) return MessagePtr(new google::protobuf::Empty());
      return ResourceExhausted(
          "DRY_RUN_TOO_LARGE",
          "{} holds more than {} resources, which go in several writes and cannot be tried as one; "
          "try parts of it",
          fqn.text, Writes::kMostOfDeletion);
    }
    for (bool begun = false;; begun = true) {
      auto deleted = WriteOnce(backends_, call, false, [&](store::Txn& txn) -> Result<MessagePtr> {
        WEIR_ASSIGN(const size_t left, some(txn));
        return MessagePtr(left == 0 ? new google::protobuf::Empty() : nullptr);
      });
      if (!deleted.ok() && begun)
        deleted.error().message += "; a part of what is below it is deleted already, repeat the call for the rest";
      if (!deleted.ok() || *deleted != nullptr) return deleted;
    }
  }

 private:
  // The revision that a request asks for; 0 = the present.
  Result<int64_t> AsOf(const Message& request) const {
    const auto& from = *request.GetReflection();
    const int64_t revision = from.GetInt64(request, Field(request, "as_of_revision"));
    const FieldDescriptor* time = Field(request, "as_of_time");
    if (revision == 0 && !from.HasField(request, time)) return int64_t{0};
    const auto& at = static_cast<const google::protobuf::Timestamp&>(from.GetMessage(request, time));
    return backends_.past->Resolve("asOf", revision, from.HasField(request, time), at);
  }

  Result<MessagePtr> GetAt(CallContext& call, const resource::Fqn& fqn, int64_t revision) const {
    WEIR_ASSIGN(const Past::Turn turn, backends_.past->TakeTurn(call));
    WEIR_ASSIGN(const store::ViewPtr then, backends_.past->ViewAt(call, turn, revision));
    PastRights rights(*backends_.store, call.principal, backends_.store->Read());
    WEIR_ASSIGN(const store::ResourcePtr resource, rights.Seen(*then, fqn.text));
    if (resource == nullptr) return authz::Missing(fqn.text);
    return ToMessage(*resource);
  }

  const Backends& backends_;
  Writes& writes_;
  const resource::KindInfo& kind_;
  const PageTokens tokens_;
};

}  // namespace

std::string WantedEtag(const CallContext& call, const std::string& in_body, const store::StoredResource* stored) {
  if (call.if_match.empty()) return in_body;
  if (stored == nullptr) return call.if_match.front();
  for (const std::string& etag : call.if_match) {
    if (etag == "*" || etag == stored->etag) return stored->etag;
  }
  return call.if_match.front();
}

Result<resource::Fqn> ParseFqnOf(resource::Kind kind, const std::string& text) {
  WEIR_ASSIGN(resource::Fqn fqn, resource::ParseFqn(text));
  if (fqn.kind != kind) {
    return InvalidArgument("BAD_FQN", "{} is not the name of a {}", text, resource::Info(kind).name);
  }
  return fqn;
}

Result<MessagePtr> Render(const Backends& backends, const store::StoredResource& resource) {
  WEIR_ASSIGN(MessagePtr message, ToMessage(resource));
  AddReported(backends, *message);
  return message;
}

MethodTable::Finish AsReported(const Backends& backends) {
  return [&backends](CallContext& call, const Message&, MessagePtr answer) -> Result<MessagePtr> {
    const store::ViewPtr view = backends.store->Read();
    const store::ResourcePtr now = view->GetByUid(resource::MetadataOf(*answer).uid());
    if (now != nullptr && authz::Allowed(*view, call.principal, authz::Right::kRead, *now))
      AddReported(backends, *answer);
    return answer;
  };
}

void AddCrud(MethodTable& table, const Backends& backends, Writes& writes, resource::Kind kind) {
  const google::protobuf::ServiceDescriptor* service = v2::KindService(resource::Info(kind).name);
  if (service == nullptr) return;  // Its service is written by hand.
  const auto crud = std::make_shared<Crud>(backends, writes, kind);
  const auto name = [&](int method) { return service->method(method)->full_name(); };
  const Message* prototype =
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(service->method(2)->output_type());
  table.AddChecking(name(0), [crud](CallContext& c, const Message& m) { return crud->Create(c, m); });
  table.Add(name(1), [crud](CallContext& c, const Message& m) { return crud->Get(c, m); });
  table.Add(name(2), [crud, prototype](CallContext& c, const Message& m) { return crud->List(c, m, *prototype); });
  table.AddChecking(name(3), [crud](CallContext& c, const Message& m) { return crud->Update(c, m); });
  table.Add(name(4), [crud](CallContext& c, const Message& m) { return crud->Delete(c, m); });
  for (const int stores : {0, 3}) table.Then(name(stores), AsReported(backends));
}

}  // namespace weir::services
