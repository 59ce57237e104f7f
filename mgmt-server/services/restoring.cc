#include "mgmt-server/services/restoring.h"

#include <google/protobuf/message.h>
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <set>

#include "api/weir/v2/metadata.pb.h"
#include "api/weir/v2/service_account.pb.h"
#include "api/weir/v2/team.pb.h"
#include "libs/resource/kinds.h"
#include "libs/resource/validate.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/authz/roles.h"
#include "mgmt-server/authz/subjects.h"
#include "mgmt-server/services/cross_checks.h"
#include "mgmt-server/services/differences.h"

namespace weir::services {
namespace {

using google::protobuf::Message;
using store::ResourcePtr;

constexpr std::string_view kTool = "restore";

bool IsBindings(const store::StoredResource& resource) { return resource.kind == authz::kBindingsKind; }

// What says who is there and may what, and not what they made: it comes back only where that is asked for.
bool IsAside(const store::StoredResource& resource) {
  return IsBindings(resource) || authz::IsRole(resource) || !authz::SubjectNode(resource).empty();
}

// Clusters: gateways name them, and these go or turn elsewhere before.
bool IsNamedByGateways(const store::StoredResource& resource) {
  return resource::FindKind(resource.kind)->rules.effect == resource::Effect::kCluster;
}

// Nothing else of it.
v2::ServiceAccount WithKeysOf(const v2::ServiceAccount& account) {
  v2::ServiceAccount keys;
  *keys.mutable_spec()->mutable_keys() = account.spec().keys();
  return keys;
}

// Fields that are brought back belong to who brings them back, the others to whom they did.
Owners OwnersAfter(const store::StoredResource& stored, const Message& now, const Message& wanted,
                   const std::string& manager) {
  Owners owners = OwnedBy(wanted, manager);
  const auto changed = resource::Diff(now, wanted);
  const std::set<std::string> differs(changed.begin(), changed.end());
  for (auto& [field, owner] : owners) {
    const auto before = stored.field_owners.find(field);
    if (before != stored.field_owners.end() && !differs.contains(field)) owner = before->second;
  }
  return owners;
}

}  // namespace

Restoring::Restoring(store::Txn& txn, const CallContext& call, const Backends& backends, Writes& writes,
                     PastRights& rights, const store::View& then, const v2::RestoreResourcesRequest& request)
    : txn_(txn),
      call_(call),
      backends_(backends),
      writes_(writes),
      rights_(rights),
      then_(then),
      request_(request),
      manager_(ManagerOf(kTool, call.principal)) {}

Result<v2::RestoreResourcesResponse> Restoring::Run(WouldBe& state) {
  state = {};
  state.before = std::make_shared<const store::View>(txn_.view());
  WEIR_TRY(Plan());
  WEIR_TRY(Store());
  WEIR_TRY(Check());
  if (response_.items_size() > 0) {
    response_.set_revision(txn_.revision());
    txn_.Annotate({.message = request_.message(), .change_set = ""});
  }
  state.after = std::make_shared<const store::View>(txn_.view());
  if (txn_.event()) {
    state.changes = txn_.event()->changes;
    state.revision = txn_.revision();
  }
  return std::move(response_);
}

// What goes makes room for what comes; clusters go when nothing names them any more. Who may what comes last.
Status Restoring::Store() {
  for (const ResourcePtr& gone : gone_) {
    if (!IsNamedByGateways(*gone)) WEIR_TRY(Delete(*gone));
  }
  for (const ResourcePtr& wanted : wanted_) WEIR_TRY(BringBack(*wanted));
  for (const ResourcePtr& gone : gone_) {
    if (IsNamedByGateways(*gone)) WEIR_TRY(Delete(*gone));
  }
  for (const ResourcePtr& wanted : bindings_) {
    if (IsTheSame(resource::ParentFqn(wanted->fqn))) WEIR_TRY(BringBackNamedBindings(*wanted));
  }
  return {};
}

Status Restoring::Plan() {
  const std::string& root = request_.fqn();
  const ResourcePtr then = then_.Get(root);
  if (then == nullptr || !rights_.MayReadIn(txn_.view(), *then)) return authz::Missing(root);
  const ResourcePtr now = txn_.Get(root);
  if (now != nullptr && now->uid != then->uid) {
    response_.add_notes(fmt::format("{} is another one than it was then: it was deleted and created again", root));
  }
  wanted_.push_back(then);
  return request_.subtree() ? ChooseBelow() : Status();
}

Status Restoring::ChooseBelow() {
  const std::string& root = request_.fqn();
  // What the caller may not read is left as it is.
  then_.ForEach(root, "", [&](const ResourcePtr& child) {
    if ((IsAside(*child) && !request_.access()) || !rights_.MayReadIn(txn_.view(), *child)) return true;
    (IsBindings(*child) ? bindings_ : wanted_).push_back(child);
    return true;
  });
  txn_.view().ForEach(root, "", [&](const ResourcePtr& child) {
    if (!IsAside(*child) && then_.Get(child->fqn) == nullptr) gone_.push_back(child);
    return true;
  });
  if (request_.access()) SayWhichAreOthers();
  // As the list of kinds has it: what is referred to comes first and goes last.
  const auto order = [](const ResourcePtr& each) { return resource::FindKind(each->kind)->kind; };
  std::stable_sort(gone_.begin(), gone_.end(),
                   [&](const ResourcePtr& a, const ResourcePtr& b) { return order(a) > order(b); });
  std::stable_sort(wanted_.begin(), wanted_.end(),
                   [&](const ResourcePtr& a, const ResourcePtr& b) { return order(a) < order(b); });
  const auto depth = [](const ResourcePtr& each) { return std::count(each->fqn.begin(), each->fqn.end(), '/'); };
  std::stable_sort(bindings_.begin(), bindings_.end(),
                   [&](const ResourcePtr& a, const ResourcePtr& b) { return depth(a) > depth(b); });
  return {};
}

// Whoever has the name of a user, a team or a role today has it for himself.
void Restoring::SayWhichAreOthers() {
  std::erase_if(wanted_, [&](const ResourcePtr& wanted) {
    const ResourcePtr now = txn_.Get(wanted->fqn);
    if (!IsAside(*wanted) || now == nullptr || now->uid == wanted->uid) return false;
    response_.add_notes(fmt::format("{} stays as it is: it is another one than it was then", wanted->fqn));
    return true;
  });
}

bool Restoring::IsTheSame(const std::string& fqn) const {
  const ResourcePtr then = then_.Get(fqn), now = txn_.Get(fqn);
  return then != nullptr && now != nullptr && then->uid == now->uid;
}

bool Restoring::IsTheSameRole(const std::string& bindings, const std::string& role) const {
  const auto fqn = resource::ParseFqn(bindings);
  if (resource::IsBuiltInRole(role) || !fqn.ok()) return true;
  return IsTheSame(resource::ChildFqn(fmt::format("organizations/{}", fqn->organization()), resource::Kind::kRole,
                                      resource::LastName(role)));
}

v2::RestoredResource& Restoring::Note(v2::RevisionChange::What what, const store::StoredResource& resource) {
  v2::RestoredResource& item = *response_.add_items();
  item.set_what(what);
  item.set_fqn(resource.fqn);
  item.set_kind(resource.kind);
  return item;
}

Status Restoring::CheckSize() const {
  if (static_cast<size_t>(response_.items_size()) < kMostRestored) return {};
  return ResourceExhausted("TOO_MANY_CHANGES",
                           "more than {} resources are different; bring parts of it back, one after the other",
                           kMostRestored);
}

Status Restoring::BringBack(const store::StoredResource& wanted) {
  if (wanted.kind == authz::kBindingsKind) return BringBackNamedBindings(wanted);
  WEIR_ASSIGN(const resource::Fqn fqn, resource::ParseFqn(wanted.fqn));
  WEIR_ASSIGN(MessagePtr message, ToMessage(wanted));
  resource::MutableMetadataOf(*message).clear_resource_version();
  if (fqn.kind == resource::Kind::kTeam) KeepMembersStillThere(static_cast<v2::Team&>(*message));
  if (fqn.kind == resource::Kind::kServiceAccount && request_.access()) {
    KeepKeysOfToday(static_cast<v2::ServiceAccount&>(*message));
  }
  Draft draft = MakeDraft(fqn, std::move(message));
  const ResourcePtr now = txn_.Get(wanted.fqn);
  // One that he may not see is created, as by anybody who does not know of it: refused where it may be.
  if (now == nullptr || !authz::Allowed(txn_.view(), call_.principal, authz::Right::kRead, *now)) {
    return Create(wanted, std::move(draft));
  }
  return Update(*now, std::move(draft));
}

// Whoever has the name of a member today is not who was one.
void Restoring::KeepMembersStillThere(v2::Team& team) {
  auto& members = *team.mutable_spec()->mutable_members();
  const auto gone = std::remove_if(members.begin(), members.end(), [&](const std::string& member) {
    if (IsTheSame(member)) return false;
    response_.add_notes(
        fmt::format("{}: {} did not come back: that subject is not there any more", team.metadata().fqn(), member));
    return true;
  });
  members.erase(gone, members.end());
}

// A key was taken away because somebody has it who should not. Named itself an account has those of then again.
void Restoring::KeepKeysOfToday(v2::ServiceAccount& account) {
  const std::string& fqn = account.metadata().fqn();
  v2::ServiceAccount now;
  if (const ResourcePtr stored = txn_.Get(fqn)) now.ParseFromString(stored->body);
  if (!google::protobuf::util::MessageDifferencer::Equals(WithKeysOf(account), WithKeysOf(now))) {
    response_.add_notes(fmt::format("{}: its keys stay as they are today", fqn));
  }
  *account.mutable_spec()->mutable_keys() = now.spec().keys();
}

Status Restoring::Create(const store::StoredResource& wanted, Draft draft) {
  WEIR_TRY(CheckSize());
  Owners owners = OwnedBy(*draft.message, manager_);
  WEIR_ASSIGN(const ResourcePtr stored, writes_.Create(txn_, call_, draft, std::move(owners), issues_));
  written_.push_back({stored, nullptr});
  Note(v2::RevisionChange::CREATED, *stored);
  return BringBackBindings(wanted.fqn);
}

Status Restoring::Update(const store::StoredResource& now, Draft draft) {
  WEIR_ASSIGN(MessagePtr current, ToMessage(now));
  FillFromStored(*current, draft);
  auto differences = FieldDifferences(current.get(), draft.message.get());
  if (differences.empty()) return {};
  WEIR_TRY(CheckSize());
  Owners owners = OwnersAfter(now, *current, *draft.message, manager_);
  WEIR_ASSIGN(const ResourcePtr stored, writes_.Update(txn_, call_, draft, std::move(owners), now.etag, issues_));
  written_.push_back({stored, std::move(current)});
  v2::RestoredResource& item = Note(v2::RevisionChange::UPDATED, *stored);
  for (v2::FieldDifference& difference : differences) *item.add_fields() = std::move(difference);
  return {};
}

Status Restoring::Delete(const store::StoredResource& gone) {
  WEIR_TRY(CheckSize());
  if (!authz::Allowed(txn_.view(), call_.principal, authz::Right::kRead, gone)) {
    return PermissionDenied("RIGHT_MISSING", "something below {} was not there then, and you may not read it",
                            request_.fqn());
  }
  WEIR_ASSIGN(const size_t left, writes_.Delete(txn_, call_, gone.fqn, gone.etag, false));
  if (left > 0) return Internal("DELETION_LEFT", "{} is not gone", gone.fqn);
  Note(v2::RevisionChange::DELETED, gone);
  return {};
}

Result<v2::AccessBindings> Restoring::StillThere(const store::StoredResource& bindings) {
  v2::AccessBindings was, still;
  if (!was.ParseFromString(bindings.body)) return DataLoss("BAD_BODY", "{} cannot be read", bindings.fqn);
  for (const v2::AccessBinding& binding : was.allow()) {
    v2::AccessBinding kept;
    kept.set_role(binding.role());
    if (!IsTheSameRole(bindings.fqn, binding.role())) {
      response_.add_notes(
          fmt::format("{}: {} did not come back: that role is not there any more", bindings.fqn, binding.role()));
      continue;
    }
    for (const v2::Subject& subject : binding.subjects()) {
      if (IsTheSame(authz::FqnOf(subject))) {
        *kept.add_subjects() = subject;
        continue;
      }
      response_.add_notes(fmt::format("{}: {} of {} did not come back: that subject is not there any more",
                                      bindings.fqn, binding.role(),
                                      authz::FqnOf(subject).empty() ? "a subject" : authz::FqnOf(subject)));
    }
    if (kept.subjects_size() > 0) *still.add_allow() = std::move(kept);
  }
  return still;
}

// Of what was created anew. Its creator holds all of it and so may grant what it had; what he may not is a note.
Status Restoring::BringBackBindings(const std::string& owner) {
  const ResourcePtr was = then_.Get(resource::AccessBindingsFqn(owner));
  if (was == nullptr) return {};
  if (!rights_.MayReadIn(txn_.view(), *was)) {
    response_.add_notes(fmt::format("{}: its bindings did not come back: you may not see what they were", owner));
    return {};
  }
  WEIR_ASSIGN(const v2::AccessBindings still, StillThere(*was));
  for (const v2::AccessBinding& binding : still.allow()) {
    for (const v2::Subject& subject : binding.subjects()) {
      const auto granted = authz::Grant(txn_, call_.principal, owner, binding.role(), subject);
      if (!granted.ok() && granted.error().code != Code::kPermissionDenied) return granted.error();
      if (!granted.ok()) {
        response_.add_notes(fmt::format("{}: {} of {} did not come back: {}", was->fqn, binding.role(),
                                        authz::FqnOf(subject), granted.error().message));
        continue;
      }
      if (granted->after == granted->before) continue;
      WEIR_TRY(Record(txn_, call_, "set-policy", granted->before.get(), granted->after.get(), granted->decision.path));
    }
  }
  return {};
}

Status Restoring::BringBackNamedBindings(const store::StoredResource& wanted) {
  const std::string owner = resource::ParentFqn(wanted.fqn);
  const ResourcePtr then = then_.Get(owner), now = txn_.Get(owner);
  if (now == nullptr) return authz::Missing(wanted.fqn);
  if (then == nullptr || then->uid != now->uid) {
    return FailedPrecondition("NOT_THE_SAME",
                              "{} is another one than it was then; bindings are not inherited by a name", owner);
  }
  WEIR_ASSIGN(const v2::AccessBindings still, StillThere(wanted));
  WEIR_ASSIGN(const auto changed, authz::SetBindings(txn_, call_.principal, owner, still, std::nullopt));
  if (changed.after == changed.before) return {};
  WEIR_TRY(CheckSize());
  v2::RestoredResource& item = Note(v2::RevisionChange::UPDATED, *changed.after);
  WEIR_ASSIGN(const MessagePtr before, ToMessage(*changed.before));
  WEIR_ASSIGN(const MessagePtr after, ToMessage(*changed.after));
  for (v2::FieldDifference& field : FieldDifferences(before.get(), after.get())) *item.add_fields() = std::move(field);
  return Record(txn_, call_, "set-policy", changed.before.get(), changed.after.get(), changed.decision.path);
}

// What was wrong on the way may be right in the end, where two exchanged a host: the end counts. Where nothing was
// wrong on the way nothing is: of two that contradict each other the later one was checked against the earlier.
Status Restoring::Check() {
  if (issues_.empty()) return {};
  std::vector<Issue> issues;
  CrossChecks checks(*backends_.store);
  const auto may = [&](authz::Right right) {
    return [this, right](const store::StoredResource& other) {
      return authz::Allowed(txn_.view(), call_.principal, right, other);
    };
  };
  for (const Written& written : written_) {
    const ResourcePtr last = txn_.Get(written.stored->fqn);
    if (last == nullptr) continue;
    checks.Check(txn_.view(), *last, {may(authz::Right::kRead), may(authz::Right::kWrite), written.before}, issues);
  }
  return ToStatus(issues);
}

}  // namespace weir::services
