#include "mgmt-server/services/change_set_rules.h"

#include <algorithm>
#include <optional>
#include <set>

#include "libs/base/ids.h"
#include "libs/resource/kinds.h"
#include "libs/rpc/time.h"
#include "mgmt-server/audit/audit.h"
#include "mgmt-server/authz/authz.h"

namespace weir::services {
namespace {

using v2::ChangeSet;

constexpr int kMostEditors = 20;

struct Transition {
  ChangeSetVerb verb;
  ChangeSet::State from, to;
};
constexpr Transition kTransitions[] = {
    {ChangeSetVerb::kEdit, ChangeSet::PENDING_APPROVAL, ChangeSet::PENDING_APPROVAL},
    {ChangeSetVerb::kEdit, ChangeSet::APPROVED, ChangeSet::PENDING_APPROVAL},
    {ChangeSetVerb::kEdit, ChangeSet::APPROVED, ChangeSet::APPROVED},  // Needs none, or would do the same.
    {ChangeSetVerb::kApprove, ChangeSet::PENDING_APPROVAL, ChangeSet::PENDING_APPROVAL},
    {ChangeSetVerb::kApprove, ChangeSet::PENDING_APPROVAL, ChangeSet::APPROVED},
    {ChangeSetVerb::kCommit, ChangeSet::APPROVED, ChangeSet::COMMITTED},
    {ChangeSetVerb::kReject, ChangeSet::PENDING_APPROVAL, ChangeSet::REJECTED},
    {ChangeSetVerb::kReject, ChangeSet::APPROVED, ChangeSet::REJECTED},
    {ChangeSetVerb::kAbort, ChangeSet::PENDING_APPROVAL, ChangeSet::ABORTED},
    {ChangeSetVerb::kAbort, ChangeSet::APPROVED, ChangeSet::ABORTED},
    {ChangeSetVerb::kCommit, ChangeSet::APPROVED, ChangeSet::ROLLING_OUT},  // With waves.
    {ChangeSetVerb::kComplete, ChangeSet::ROLLING_OUT, ChangeSet::COMMITTED},
    {ChangeSetVerb::kRevert, ChangeSet::ROLLING_OUT, ChangeSet::REVERTED},
    {ChangeSetVerb::kReject, ChangeSet::ROLLING_OUT, ChangeSet::REJECTED},
    {ChangeSetVerb::kAbort, ChangeSet::ROLLING_OUT, ChangeSet::ABORTED},
};

const char* Word(ChangeSetVerb verb) {
  switch (verb) {
    case ChangeSetVerb::kEdit:
      return "changed";
    case ChangeSetVerb::kApprove:
      return "approved";
    case ChangeSetVerb::kCommit:
      return "committed";
    case ChangeSetVerb::kReject:
      return "rejected";
    case ChangeSetVerb::kAbort:
      return "aborted";
    case ChangeSetVerb::kComplete:
      return "completed";
    case ChangeSetVerb::kRevert:
      return "reverted";
  }
  return "";
}

// Calls fn(kind, there) for each: the thing itself, or what it would lie in; null where that is gone.
template <typename Fn>
void ForEachTouched(const store::View& view, const ChangeSet& set, Fn fn) {
  for (const std::string& touched : set.touched()) {
    const size_t blank = touched.find(' ');
    const resource::KindInfo* kind = resource::FindKind(touched.substr(0, blank));
    if (kind != nullptr) fn(*kind, view.GetByUid(touched.substr(blank + 1)));
  }
}

// It, or the nearest that it would lie in; null: nothing of that is there.
store::ResourcePtr NearestThere(const store::View& view, std::string fqn) {
  for (; !fqn.empty(); fqn = resource::ParentFqn(fqn)) {
    if (store::ResourcePtr there = view.Get(fqn)) return there;
  }
  return nullptr;
}

}  // namespace

bool IsEditable(ChangeSet::State state) { return state == ChangeSet::PENDING_APPROVAL || state == ChangeSet::APPROVED; }
bool IsOpen(ChangeSet::State state) { return IsEditable(state) || state == ChangeSet::ROLLING_OUT; }

Status Move(ChangeSetVerb verb, ChangeSet::State to, ChangeSet& set) {
  for (const Transition& each : kTransitions) {
    if (each.verb != verb || each.from != set.state() || each.to != to) continue;
    set.set_state(to);
    return {};
  }
  std::string why;
  if (verb == ChangeSetVerb::kCommit && set.state() == ChangeSet::PENDING_APPROVAL) {
    why = fmt::format(": it has {} of {} approvals", set.approvals_size(), set.approvals_required());
  } else if (set.state() == ChangeSet::ROLLING_OUT) {
    why = ": abort it, which reverts it";
  } else if (verb == ChangeSetVerb::kApprove && IsOpen(set.state())) {
    why = ": it needs no more approvals";
  }
  return FailedPrecondition("CHANGE_SET_STATE", "{} is {} and cannot be {}{}", set.fqn(),
                            ChangeSet::State_Name(set.state()), Word(verb), why);
}

ChangeSet::State OpenState(const ChangeSet& set) {
  return set.approvals_size() < set.approvals_required() ? ChangeSet::PENDING_APPROVAL : ChangeSet::APPROVED;
}

v2::ChangeSetPerson Person(const authn::Principal& principal, WallTime now) {
  v2::ChangeSetPerson person;
  person.set_user(principal.fqn);
  person.set_uid(principal.uid);
  *person.mutable_time() = rpc::ToTimestamp(now);
  return person;
}

bool IsAmong(const google::protobuf::RepeatedPtrField<v2::ChangeSetPerson>& people, const std::string& uid) {
  return std::any_of(people.begin(), people.end(), [&](const v2::ChangeSetPerson& each) { return each.uid() == uid; });
}

Status AddEditor(const authn::Principal& principal, WallTime now, ChangeSet& set) {
  const auto remove = [&](google::protobuf::RepeatedPtrField<v2::ChangeSetPerson>& people) {
    const auto same = [&](const v2::ChangeSetPerson& each) { return each.uid() == principal.uid; };
    people.erase(std::remove_if(people.begin(), people.end(), same), people.end());
  };
  remove(*set.mutable_editors());
  remove(*set.mutable_approvals());
  if (set.editors_size() >= kMostEditors) {
    return ResourceExhausted("TOO_MANY_EDITORS", "{} people changed {} already; create another one", kMostEditors,
                             set.fqn());
  }
  *set.add_editors() = Person(principal, now);
  return {};
}

std::vector<std::string> TouchedBy(const WouldBe& state, const ChangeOrder& order) {
  std::set<std::string> touched;
  const auto add = [&](std::string_view kind, const std::string& fqn) {
    const store::ResourcePtr there = NearestThere(*state.before, fqn);
    touched.insert(fmt::format("{} {}", kind, there == nullptr ? "" : there->uid));
  };
  for (const Applied& document : order.documents) {
    const std::string& fqn = document.draft.fqn.text;
    const bool bindings = document.kind->kind == resource::Kind::kAccessBindings;
    add(document.kind->name, bindings ? resource::ParentFqn(fqn) : fqn);
  }
  // With what they take along, by kind.
  for (const store::ResourceChange& change : DeletedBy(state)) {
    const auto named = std::find_if(order.deletions.begin(), order.deletions.end(),
                                    [&](const std::string& each) { return resource::IsAtOrBelow(change.fqn, each); });
    add(change.kind, named == order.deletions.end() ? change.fqn : *named);
  }
  return {touched.begin(), touched.end()};
}

bool MaySee(const store::View& view, const authn::Principal& principal, const ChangeSet& set) {
  if (set.author().uid() == principal.uid || set.ended_by().uid() == principal.uid ||
      set.started_by().uid() == principal.uid || IsAmong(set.editors(), principal.uid) ||
      IsAmong(set.approvals(), principal.uid)) {
    return true;
  }
  const store::ResourcePtr organization = view.Get(resource::ParentFqn(set.fqn()));
  bool may = organization != nullptr;
  ForEachTouched(view, set, [&](const resource::KindInfo& kind, const store::ResourcePtr& there) {
    if (!may) return;
    const store::StoredResource& place = there == nullptr ? *organization : *there;
    if (kind.kind == resource::Kind::kAccessBindings)
      may = authz::Allowed(view, principal, authz::Right::kSetPolicy, place);
    else
      may = authz::AllowedOn(view, principal, authz::Right::kRead, kind.kind, place);
  });
  return may;
}

bool MayReadAt(const store::View& view, const authn::Principal& principal, const std::string& fqn) {
  const auto parsed = resource::ParseFqn(fqn);
  const store::ResourcePtr place = parsed.ok() ? NearestThere(view, fqn) : nullptr;
  return place != nullptr && authz::AllowedOn(view, principal, authz::Right::kRead, parsed->kind, *place);
}

Status CheckMayWrite(const store::View& view, const authn::Principal& principal, const ChangeSet& set) {
  Status failed;
  ForEachTouched(view, set, [&](const resource::KindInfo& kind, const store::ResourcePtr& there) {
    if (!failed.ok()) return;
    const std::string place = there == nullptr ? resource::ParentFqn(set.fqn()) : there->fqn;
    const bool itself = there != nullptr && there->kind == kind.name;
    const auto right = kind.kind == resource::Kind::kAccessBindings ? authz::Right::kSetPolicy
                       : itself                                     ? authz::Right::kWrite
                                                                    : authz::Right::kCreate;
    const auto may = right == authz::Right::kCreate ? authz::Authorize(view, principal, right, place, kind.kind)
                                                    : authz::Authorize(view, principal, right, place);
    if (!may.ok()) failed = may.error();
  });
  return failed;
}

Result<ChangeSet> ReadRow(const store::ChangeSetRow& row) {
  ChangeSet set;
  if (!set.ParseFromString(row.body)) return DataLoss("BAD_BODY", "{} cannot be read", row.fqn);
  return set;
}

Status MakeRoom(store::Txn& txn, const ChangeSetBounds& bounds, const store::ChangeSetRow& row, bool grows) {
  size_t open = 0, kept_of_one = 1, kept = 1, bytes_of_one = row.body.size(), bytes = row.body.size();
  std::vector<store::ChangeSetPtr> ended;
  txn.view().ForEachChangeSet("", [&](const store::ChangeSetPtr& each) {
    if (each->fqn == row.fqn) return true;
    const bool own = each->author_uid == row.author_uid;
    open += own && each->open ? 1 : 0;
    kept_of_one += own ? 1 : 0;
    bytes_of_one += own ? each->body.size() : 0;
    ++kept;
    bytes += each->body.size();
    if (!each->open) ended.push_back(each);
    return true;
  });
  if (row.open && open >= bounds.open_of_one) {
    return ResourceExhausted("TOO_MANY_CHANGE_SETS", "{} of yours are open; commit or abort some", open);
  }
  std::sort(ended.begin(), ended.end(), [](const auto& a, const auto& b) { return a->created < b->created; });
  for (const bool own_only : {true, false}) {
    for (const store::ChangeSetPtr& each : ended) {
      const bool own = each->author_uid == row.author_uid;
      const bool crowded = kept > bounds.kept || bytes > bounds.bytes;
      const bool crowded_own = kept_of_one > bounds.kept_of_one || bytes_of_one > bounds.bytes_of_one;
      if (own != own_only || !(crowded || (own && crowded_own))) continue;
      WEIR_TRY(txn.DeleteChangeSet(each->fqn));
      --kept;
      bytes -= each->body.size();
      kept_of_one -= own ? 1 : 0;
      bytes_of_one -= own ? each->body.size() : 0;
    }
  }
  if (!row.open || !grows) return {};  // An end makes room at the next call, approvals are few and small: both may be.
  if (kept_of_one <= bounds.kept_of_one && bytes_of_one <= bounds.bytes_of_one && kept <= bounds.kept &&
      bytes <= bounds.bytes) {
    return {};
  }
  return ResourceExhausted("TOO_MANY_CHANGE_SETS",
                           "open change sets of yours, or of all, hold more than may be kept; "
                           "commit or abort some");
}

namespace {

// "plan 5d2f…, wave 2, SUCCESS_RATE"
std::string AuditPath(const ChangeSet& set) {
  std::string path = "plan " + set.plan();
  const v2::Rollout& rollout = set.rollout();
  if (rollout.wave() > 0) path += fmt::format(", wave {}", rollout.wave());
  if (rollout.reason() != v2::Rollout::REASON_UNSPECIFIED) path += ", " + v2::Rollout::Reason_Name(rollout.reason());
  return path;
}

}  // namespace

Status StoreChangeSet(store::Txn& txn, const CallContext& call, const ChangeSetBounds& bounds,
                      const std::string& action, ChangeSet& set) {
  const std::string before = set.resource_version();
  std::optional<ChangeSet> was;
  if (const store::ChangeSetPtr stored = txn.view().FindChangeSet(set.fqn())) {
    WEIR_ASSIGN(was, ReadRow(*stored));
  }
  set.set_resource_version(RandomHex(8));
  *set.mutable_update_time() = rpc::ToTimestamp(txn.now());
  store::ChangeSetRow row{.fqn = set.fqn(),
                          .uid = set.uid(),
                          .author_uid = set.author().uid(),
                          .open = IsOpen(set.state()),
                          .created = rpc::FromTimestamp(set.create_time()),
                          .body = Serialize(set)};
  // What is on its way goes on, whatever else is kept.
  if (set.state() != ChangeSet::ROLLING_OUT)
    WEIR_TRY(MakeRoom(txn, bounds, row, !was || was->approvals_size() >= set.approvals_size()));
  WEIR_TRY(txn.PutChangeSet(std::move(row)));
  if (action.empty()) return {};
  const store::ResourcePtr organization = txn.Get(resource::ParentFqn(set.fqn()));
  return audit::Append(txn, {.principal = call.principal.fqn,
                             .principal_uid = call.principal.uid,
                             .action = action,
                             .fqn = set.fqn(),
                             .uid = organization == nullptr ? "" : organization->uid,
                             .before_etag = before,
                             .after_etag = set.resource_version(),
                             .path = AuditPath(set),
                             .peer = call.peer,
                             .request_id = call.request_id});
}

}  // namespace weir::services
