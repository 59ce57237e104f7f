#include "mgmt-server/services/writes.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/message.h>

#include <algorithm>

#include "api/weir/v2/metadata.pb.h"
#include "libs/resource/kinds.h"
#include "libs/resource/validate.h"
#include "mgmt-server/audit/audit.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/authz/roles.h"
#include "mgmt-server/authz/subjects.h"
#include "mgmt-server/services/quotas.h"
#include "mgmt-server/services/references.h"

namespace weir::services {
namespace {

void SetTime(WallTime time, google::protobuf::Timestamp& out) {
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
  out.set_seconds(micros / 1'000'000);
  out.set_nanos(static_cast<int32_t>(micros % 1'000'000 * 1000));
}

Writer WriterOf(const store::View& view, const authn::Principal& principal,
                std::shared_ptr<const google::protobuf::Message> before) {
  const auto may = [&](authz::Right right) {
    return [&view, &principal, right](const store::StoredResource& resource) {
      return authz::Allowed(view, principal, right, resource);
    };
  };
  return {may(authz::Right::kRead), may(authz::Right::kWrite), std::move(before)};
}

// The stored version with what a person may set, and what the server keeps of a cluster.
std::string StoredBody(const Draft& draft, const google::protobuf::Message* stored, WallTime now) {
  std::unique_ptr<google::protobuf::Message> copy(draft.message->New());
  copy->CopyFrom(*draft.message);
  v2::Metadata& metadata = resource::MutableMetadataOf(*copy);
  metadata.clear_resource_version();
  if (const auto& stamp = resource::Info(draft.fqn.kind).rules.stamp) {
    google::protobuf::Timestamp at;
    SetTime(now, at);
    stamp(stored, at, *copy);
  }
  return Serialize(*copy);
}

}  // namespace

std::string Serialize(const google::protobuf::Message& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&coded);
  }
  return bytes;
}

Draft MakeDraft(const resource::Fqn& fqn, std::unique_ptr<google::protobuf::Message> resource) {
  Draft draft;
  draft.fqn = fqn;
  draft.message = std::move(resource);
  draft.unset = resource::UnsetKept(*draft.message);
  resource::ClearOutputOnly(*draft.message);
  v2::Metadata& metadata = resource::MutableMetadataOf(*draft.message);
  v2::Metadata given = metadata;
  resource::SetNames(fqn, metadata);
  const auto compare = [&](const char* field, const std::string& said, const std::string& is) {
    // Bindings have no names of their own; those of their resource are how it was found.
    if (said.empty() || said == is || fqn.kind == resource::Kind::kAccessBindings) return;
    draft.violations.push_back({.field = fmt::format("metadata.{}", field),
                                .description = fmt::format("is \"{}\" but the path says \"{}\"", said, is)});
  };
  compare("name", given.name(), metadata.name());
  compare("organization", given.organization(), metadata.organization());
  compare("tenant", given.tenant(), metadata.tenant());
  compare("workspace", given.workspace(), metadata.workspace());
  compare("group", given.group(), metadata.group());
  resource::Default(*draft.message);
  resource::Validate(*draft.message, draft.violations);
  return draft;
}

void FillFromStored(const google::protobuf::Message& stored, const Draft& draft) {
  resource::Keep(stored, draft.unset, *draft.message);
}

void CheckUnnamed(google::protobuf::Message& resource, std::vector<FieldViolation>& violations) {
  resource::ClearOutputOnly(resource);
  resource::Default(resource);
  resource::Validate(resource, violations);
}

std::string ManagerOf(std::string_view tool, const authn::Principal& principal) {
  return principal.fqn.empty() ? std::string(tool) : fmt::format("{} of {}", tool, principal.fqn);
}

std::set<std::string> FieldsOwned(const google::protobuf::Message& resource) {
  std::set<std::string> fields = resource::OwnedFields(resource);
  if (fields.empty()) fields.insert("metadata.name");
  return fields;
}

Owners OwnedBy(const google::protobuf::Message& resource, const std::string& manager) {
  Owners owners;
  for (const std::string& field : FieldsOwned(resource)) owners[field] = manager;
  return owners;
}

Result<MessagePtr> ToMessage(const store::StoredResource& resource) {
  const resource::KindInfo* kind = resource::FindKind(resource.kind);
  if (kind == nullptr) return DataLoss("BAD_BODY", "unknown kind {}", resource.kind);
  MessagePtr message = resource::NewMessage(kind->kind);
  if (!message->ParseFromString(resource.body)) return DataLoss("BAD_BODY", "{} cannot be read", resource.fqn);
  WEIR_ASSIGN(const resource::Fqn fqn, resource::ParseFqn(resource.fqn));
  v2::Metadata& metadata = resource::MutableMetadataOf(*message);
  resource::SetNames(fqn, metadata);
  metadata.set_uid(resource.uid);
  metadata.set_revision(resource.revision);
  metadata.set_resource_version(resource.etag);
  SetTime(resource.create_time, *metadata.mutable_create_time());
  SetTime(resource.update_time, *metadata.mutable_update_time());
  return message;
}

Status Record(store::Txn& txn, const CallContext& call, std::string action, const store::StoredResource* before,
              const store::StoredResource* after, const std::string& path) {
  const store::StoredResource* subject = after != nullptr ? after : before;
  return audit::Append(txn, {.principal = call.principal.fqn,
                             .principal_uid = call.principal.uid,
                             .action = std::move(action),
                             .fqn = subject != nullptr ? subject->fqn : "",
                             .uid = subject != nullptr ? subject->uid : "",
                             .before_etag = before != nullptr ? before->etag : "",
                             .after_etag = after != nullptr ? after->etag : "",
                             .path = path,
                             .peer = call.peer,
                             .request_id = call.request_id});
}

Status Writes::CheckRoom(const store::View& view, std::string_view fqn) const {
  const auto check = [&](std::string_view owner, size_t most) -> Status {
    if (view.CountBelow(owner) < most) return {};
    return ResourceExhausted("TOO_MANY_RESOURCES",
                             "{} holds {} resources and bindings already; delete what is not used", owner, most);
  };
  const std::string_view organization = resource::OrganizationFqn(fqn), second = resource::FirstNames(fqn, 2);
  if (second == organization) return {};
  WEIR_TRY(check(organization, bounds_.of_organization));
  if (second == fqn || !second.substr(organization.size()).starts_with("/tenants/")) return {};
  return check(second, bounds_.of_tenant);
}

Result<store::ResourcePtr> Writes::Create(store::Txn& txn, const CallContext& call, const Draft& draft, Owners owners,
                                          std::vector<Issue>& issues) {
  WEIR_TRY(CheckWanted(call));
  auto decision = authz::Authorize(txn.view(), call.principal, authz::Right::kCreate, draft.fqn.parent, draft.fqn.kind);
  if (!decision.ok()) {
    Error error = std::move(decision).error();
    if (error.code == Code::kNotFound) error.reason = "PARENT_MISSING";
    return error;
  }
  WEIR_TRY(resource::ToStatus(draft.fqn.text, draft.violations));
  WEIR_TRY(CheckRights(txn.view(), call.principal, draft.fqn.text, nullptr, *draft.message));
  WEIR_TRY(CheckRoom(txn.view(), draft.fqn.text));
  WEIR_TRY(CheckObjects(txn.view(), draft.fqn.text));
  WEIR_ASSIGN(const store::ResourcePtr stored, txn.Put({.kind = std::string(resource::Info(draft.fqn.kind).name),
                                                        .fqn = draft.fqn.text,
                                                        .body = StoredBody(draft, nullptr, txn.now()),
                                                        .field_owners = std::move(owners),
                                                        .expected_etag = ""}));
  WEIR_TRY(authz::OnCreate(txn, *stored, call.principal));
  checks_.Check(txn.view(), *stored, WriterOf(txn.view(), call.principal, nullptr), issues);
  WEIR_TRY(Record(txn, call, "create", nullptr, stored.get(), decision->path));
  return stored;
}

Result<store::ResourcePtr> Writes::Update(store::Txn& txn, const CallContext& call, const Draft& draft, Owners owners,
                                          const std::optional<std::string>& etag, std::vector<Issue>& issues,
                                          std::string action) {
  WEIR_TRY(CheckWanted(call));
  WEIR_ASSIGN(const authz::Decision decision,
              authz::Authorize(txn.view(), call.principal, authz::Right::kWrite, draft.fqn.text));
  const store::ResourcePtr before = txn.Get(draft.fqn.text);
  if (before == nullptr) return authz::Missing(draft.fqn.text);
  if (etag && *etag != before->etag) {
    return Aborted("ETAG_MISMATCH", "{} was changed in the meantime: read it again and repeat the change",
                   draft.fqn.text);
  }
  std::vector<FieldViolation> violations = draft.violations;
  WEIR_ASSIGN(MessagePtr read, ToMessage(*before));
  const std::shared_ptr<const google::protobuf::Message> stored_message = std::move(read);
  FillFromStored(*stored_message, draft);
  resource::CheckUpdate(*stored_message, *draft.message, violations);
  WEIR_TRY(resource::ToStatus(draft.fqn.text, std::move(violations)));
  WEIR_TRY(CheckRights(txn.view(), call.principal, draft.fqn.text, stored_message.get(), *draft.message));
  // Of updates only that of a team moves roles.
  const bool had_administrator = authz::IsTeam(*before) && authz::HasAdministrator(txn.view(), draft.fqn.text);
  WEIR_ASSIGN(const store::ResourcePtr stored, txn.Put({.kind = before->kind,
                                                        .fqn = before->fqn,
                                                        .body = StoredBody(draft, stored_message.get(), txn.now()),
                                                        .field_owners = std::move(owners),
                                                        .expected_etag = before->etag}));
  if (stored->etag == before->etag) return stored;
  WEIR_TRY(authz::CheckAdministrator(txn.view(), draft.fqn.text, had_administrator));
  checks_.Check(txn.view(), *stored, WriterOf(txn.view(), call.principal, stored_message), issues);
  WEIR_TRY(Record(txn, call, std::move(action), before.get(), stored.get(), decision.path));
  return stored;
}

void Writes::AlsoDelete(resource::Kind kind, Farewell farewell) {
  farewells_[resource::Info(kind).name] = std::move(farewell);
}

// FAILED_PRECONDITION DELETION_PROTECTED when one of these says so. Who may not read it learns that it is there, as he
// does of HAS_CHILDREN, and no name.
Status Writes::CheckUnprotected(const store::View& view, const CallContext& call,
                                const std::vector<store::ResourcePtr>& going) const {
  for (const store::ResourcePtr& each : going) {
    WEIR_ASSIGN(const MessagePtr message, ToMessage(*each));
    if (!resource::MetadataOf(*message).deletion_protection()) continue;
    const bool readable = authz::Allowed(view, call.principal, authz::Right::kRead, *each);
    return FailedPrecondition("DELETION_PROTECTED",
                              "{} is protected against deletion; set metadata.deletionProtection of it to false before",
                              readable ? each->fqn : "something below it");
  }
  return {};
}

Status Writes::DeleteOne(store::Txn& txn, const CallContext& call, const store::StoredResource& resource,
                         const std::string& going, const std::string& path) {
  WEIR_TRY(authz::OnDelete(txn, resource, going));
  WEIR_ASSIGN(const store::ResourcePtr before, txn.Delete(resource.fqn));
  if (const auto farewell = farewells_.find(before->kind); farewell != farewells_.end()) {
    WEIR_TRY(farewell->second(txn, *before));
  }
  return Record(txn, call, "delete", before.get(), nullptr, path);
}

namespace {

// Names only what the caller may read, and counts nothing else.
Error HasChildren(const store::View& view, const authn::Principal& principal, std::string_view fqn,
                  const std::vector<store::ResourcePtr>& below) {
  for (const store::ResourcePtr& each : below) {
    if (authz::Allowed(view, principal, authz::Right::kRead, *each)) continue;
    return FailedPrecondition("HAS_CHILDREN", "{} holds what you may not read; it is deleted before", fqn);
  }
  return FailedPrecondition("HAS_CHILDREN", "{} holds {} resource{}, {} first; delete them before, or ask for cascade",
                            fqn, below.size(), below.size() == 1 ? "" : "s", below.front()->fqn);
}

// Invariants before what they are about, else what goes first would break them. Deepest first: a child's name begins
// with its parent's.
void SortForDeletion(std::vector<store::ResourcePtr>& going) {
  const auto others = std::stable_partition(going.begin(), going.end(), [](const store::ResourcePtr& each) {
    const resource::KindInfo* kind = resource::FindKind(each->kind);
    return kind != nullptr && kind->rules.invariant != nullptr;
  });
  std::sort(others, going.end(), [](const auto& a, const auto& b) { return a->fqn.size() > b->fqn.size(); });
}

// Whoever may delete what they lie in may delete these too, unless his role is about some kinds only.
Status CheckMayDelete(const store::View& view, const authn::Principal& principal, std::string_view fqn,
                      const std::vector<store::ResourcePtr>& below) {
  for (const store::ResourcePtr& each : below) {
    if (authz::Allowed(view, principal, authz::Right::kDelete, *each)) continue;
    const bool readable = authz::Allowed(view, principal, authz::Right::kRead, *each);
    return PermissionDenied("RIGHT_MISSING", "you lack the right 'delete' on {}, which would go with {}",
                            readable ? each->fqn : "something below it", fqn);
  }
  return {};
}

}  // namespace

Result<size_t> Writes::Delete(store::Txn& txn, const CallContext& call, const std::string& fqn,
                              const std::optional<std::string>& etag, bool cascade) {
  WEIR_TRY(CheckWanted(call));
  WEIR_ASSIGN(const authz::Decision decision, authz::Authorize(txn.view(), call.principal, authz::Right::kDelete, fqn));
  const store::ResourcePtr before = txn.Get(fqn);
  if (before == nullptr) return authz::Missing(fqn);
  if (etag && *etag != before->etag) {
    return Aborted("ETAG_MISMATCH", "{} was changed in the meantime: read it again and repeat the deletion", fqn);
  }
  if (resource::IsAtOrBelow(call.principal.fqn, fqn)) {
    return FailedPrecondition("DELETES_SELF", "deleting {} would delete you; another administrator can", fqn);
  }
  std::vector<store::ResourcePtr> below;
  txn.view().ForEach(fqn, "", [&](const store::ResourcePtr& child) {
    if (child->kind != authz::kBindingsKind && child->fqn != fqn) below.push_back(child);
    return true;
  });
  if (!below.empty() && !cascade) return HasChildren(txn.view(), call.principal, fqn, below);
  WEIR_TRY(CheckMayDelete(txn.view(), call.principal, fqn, below));
  WEIR_ASSIGN(const bool lifts_quotas, SetsQuotas(*before));
  if (lifts_quotas) {
    WEIR_TRY(authz::Authorize(txn.view(), call.principal, authz::Right::kSetPolicy, resource::ParentFqn(fqn)));
  }
  below.push_back(before);
  WEIR_TRY(CheckUnprotected(txn.view(), call, below));
  for (const store::ResourcePtr& each : below) {
    WEIR_TRY(authz::CheckUnbound(txn.view(), call.principal, *each, fqn));
    if (each->kind != "Cluster") continue;
    const std::string user = checks_.UserOfCluster(txn.view(), *each, fqn);
    if (user.empty()) continue;
    const store::ResourcePtr gateway = txn.Get(user);
    const bool readable = authz::Allowed(txn.view(), call.principal, authz::Right::kRead, *gateway);
    return FailedPrecondition("CLUSTER_IN_USE", "{} is named by {}", each->fqn, readable ? user : "a gateway");
  }
  SortForDeletion(below);
  const size_t now = std::min(below.size(), kMostOfDeletion);
  for (size_t i = 0; i < now; ++i) WEIR_TRY(DeleteOne(txn, call, *below[i], fqn, decision.path));
  return below.size() - now;
}

}  // namespace weir::services
