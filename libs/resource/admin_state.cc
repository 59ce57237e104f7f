#include "libs/resource/admin_state.h"

#include <google/protobuf/util/time_util.h>

#include "api/weir/v2/traffic.pb.h"

namespace weir::resource {
namespace {

using Changes = google::protobuf::RepeatedPtrField<v2::AdminChange>;

using google::protobuf::util::TimeUtil;

google::protobuf::Timestamp TimestampOf(WallTime time) {
  return TimeUtil::NanosecondsToTimestamp(
      std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count());
}

bool HasEnded(const v2::AdminChange& change, WallTime now) {
  return change.has_expire_time() && change.expire_time() <= TimestampOf(now);
}

// A document that set another state ended what the verbs said.
Changes& Record(v2::Cluster& cluster) {
  Changes& changes = *cluster.mutable_state()->mutable_admin_changes();
  if (AdminChangeOf(cluster) == nullptr) changes.Clear();
  return changes;
}

// Takes the last away and what had ended below it; the first of all stays.
void StepBack(WallTime now, v2::Cluster& cluster) {
  Changes& changes = *cluster.mutable_state()->mutable_admin_changes();
  do {
    changes.RemoveLast();
  } while (changes.size() > 1 && HasEnded(changes.rbegin()[0], now));
  cluster.mutable_spec()->set_admin_state(changes.rbegin()->state());
}

}  // namespace

bool TakesNoRequests(v2::AdminState state) { return state == v2::DRAINING || state == v2::MAINTENANCE; }

bool Leaves(const v2::Cluster& before, const v2::Cluster& after) {
  return !TakesNoRequests(before.spec().admin_state()) && TakesNoRequests(after.spec().admin_state());
}

bool LeavesAlone(const v2::FailoverPlan& plan) {
  if (plan.served_now()) return !plan.served_then();
  return plan.panic_now() && !plan.panic_then() && !plan.served_then();
}

const v2::AdminChange* AdminChangeOf(const v2::Cluster& cluster) {
  const Changes& changes = cluster.state().admin_changes();
  return changes.empty() || changes.rbegin()->state() != cluster.spec().admin_state() ? nullptr : &*changes.rbegin();
}

bool SetAdminState(const AdminOrder& order, WallTime now, v2::Cluster& cluster) {
  const bool same = cluster.spec().admin_state() == order.state;
  v2::AdminChange present;
  if (const v2::AdminChange* change = AdminChangeOf(cluster); same && change != nullptr) present = *change;
  const bool new_reason = !order.reason.empty() && order.reason != present.reason();
  const bool new_end = order.ttl && (*order.ttl > Duration(0) || present.has_expire_time());
  if (same && !new_reason && !new_end) return false;
  Changes& changes = Record(cluster);
  if (changes.empty()) changes.Add()->set_state(cluster.spec().admin_state());
  if (same && changes.size() > 1) changes.RemoveLast();  // Said anew: what it goes back to stays what it was.
  if (changes.size() == kMostAdminChanges) changes.DeleteSubrange(1, 1);  // Where all of it began stays known.
  v2::AdminChange& change = *changes.Add();
  change = std::move(present);
  change.set_state(order.state);
  if (new_reason) change.set_reason(order.reason);
  change.set_author(order.author);
  *change.mutable_time() = TimestampOf(now);
  if (new_end) change.clear_expire_time();
  if (order.ttl && *order.ttl > Duration(0)) {
    *change.mutable_expire_time() = TimestampOf(now + std::chrono::duration_cast<WallTime::duration>(*order.ttl));
  }
  cluster.mutable_spec()->set_admin_state(order.state);
  return true;
}

Status UndoAdminState(WallTime now, v2::Cluster& cluster) {
  if (AdminChangeOf(cluster) == nullptr || cluster.state().admin_changes_size() < 2) {
    return FailedPrecondition("NOTHING_TO_UNDO",
                              "no verb set its admin state to {}, or what was before is undone already; set the state "
                              "that you want",
                              v2::AdminState_Name(cluster.spec().admin_state()));
  }
  StepBack(now, cluster);
  return {};
}

bool ExpireAdminState(WallTime now, v2::Cluster& cluster) {
  const v2::AdminChange* change = AdminChangeOf(cluster);
  if (change == nullptr || cluster.state().admin_changes_size() < 2 || !HasEnded(*change, now)) return false;
  StepBack(now, cluster);
  return true;
}

std::optional<v2::AdminState> OverdueAdminState(WallTime now, const v2::Cluster& cluster) {
  v2::Cluster then = cluster;
  if (!ExpireAdminState(now - std::chrono::duration_cast<WallTime::duration>(kAdminOverdue), then)) return std::nullopt;
  return then.spec().admin_state();
}

}  // namespace weir::resource
