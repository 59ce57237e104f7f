#include "mgmt-server/retention.h"

#include <algorithm>

#include "mgmt-server/audit/audit.h"

namespace weir::server {
namespace {

constexpr int64_t kHour = 3600, kDay = 24 * kHour;
// Each time that records are forgotten leaves one: an idle server's own are not forgotten by one more each hour.
constexpr int64_t kWorthARecord = 24;

int64_t Over(int64_t count, int64_t bound) { return std::max<int64_t>(0, count - bound); }

Result<int64_t> HistoryFloor(const store::Store& store, const RetentionBounds& bounds, WallTime now) {
  const store::ViewPtr view = store.Read();
  int64_t floor = view->history_floor();
  const auto by_age = store.RevisionAt(now - bounds.history_age);
  if (!by_age.ok() && by_age.error().reason != "REVISION_UNKNOWN") return by_age.error();
  if (by_age.ok()) floor = std::max(floor, *by_age);
  WEIR_ASSIGN(const int64_t by_count, store.FloorOf(bounds.history_changes));
  floor = std::max(floor, by_count);
  return std::min(floor, Over(view->revision(), bounds.kept_revisions));
}

// The last record that goes, 0 = none.
Result<int64_t> LastOldRecord(const store::Store& store, const RetentionBounds& bounds, WallTime now) {
  const store::ViewPtr view = store.Read();
  WEIR_ASSIGN(int64_t last, store.AuditUntil(now - bounds.audit_age));
  last = std::max(last, Over(view->audit_count(), bounds.audit_records));
  last = std::min(last, Over(view->audit_count(), bounds.kept_records));
  return last - view->audit_anchor().sequence < kWorthARecord ? 0 : last;
}

Status ForgetRecords(store::Store& store, int64_t last, int64_t kept) {
  if (last == 0) return {};
  WEIR_ASSIGN(const auto rows, store.Audit({last - 1, 1}));
  if (rows.empty() || rows.front().sequence != last)
    return DataLoss("AUDIT_CHAIN_BROKEN", "record {} is missing", last);
  return store.Write([&](store::Txn& txn) { return audit::Forget(txn, rows.front(), kept); });
}

}  // namespace

void FillDefaults(bootstrap::v1::Retention& retention) {
  if (!retention.has_history_age()) retention.mutable_history_age()->set_seconds(400 * kDay);
  if (!retention.has_history_changes()) retention.set_history_changes(1'000'000);
  if (!retention.has_audit_age()) retention.mutable_audit_age()->set_seconds(400 * kDay);
  if (!retention.has_audit_records()) retention.set_audit_records(10'000'000);
}

void Check(const bootstrap::v1::Retention& retention, std::vector<FieldViolation>& violations) {
  const auto violate = [&](const char* field, const char* text) {
    violations.push_back({.field = std::string("retention.") + field, .description = text});
  };
  const auto age_is_wrong = [](int64_t seconds) { return seconds < kHour || seconds > 3660 * kDay; };
  if (age_is_wrong(retention.history_age().seconds())) violate("historyAge", "must be 1h to 3660 days");
  if (age_is_wrong(retention.audit_age().seconds())) violate("auditAge", "must be 1h to 3660 days");
  if (retention.history_changes() < 5'000 || retention.history_changes() > 100'000'000) {
    violate("historyChanges", "must be 5000 to 100000000");
  }
  if (retention.audit_records() < 1'000 || retention.audit_records() > 1'000'000'000) {
    violate("auditRecords", "must be 1000 to 1000000000");
  }
}

RetentionBounds BoundsOf(const bootstrap::v1::Retention& retention) {
  return {.history_age = std::chrono::seconds(retention.history_age().seconds()),
          .history_changes = static_cast<int64_t>(retention.history_changes()),
          .audit_age = std::chrono::seconds(retention.audit_age().seconds()),
          .audit_records = static_cast<int64_t>(retention.audit_records())};
}

Status Forget(store::Store& store, const RetentionBounds& bounds, WallTime now, const std::atomic<bool>& stopping) {
  WEIR_ASSIGN(const int64_t floor, HistoryFloor(store, bounds, now));
  if (floor > store.Read()->history_floor()) {
    WEIR_TRY(store.Write([&](store::Txn& txn) { return txn.ForgetHistory(floor, bounds.kept_revisions); }));
  }
  WEIR_ASSIGN(const int64_t last, LastOldRecord(store, bounds, now));
  WEIR_TRY(ForgetRecords(store, last, bounds.kept_records));
  const WallTime marks = now - std::max<Duration>(bounds.history_age, kMarks);
  while (!stopping) {
    WEIR_ASSIGN(const int64_t dropped, store.Write([&](store::Txn& txn) { return txn.DropForgotten(kSlice, marks); }));
    if (dropped == 0) break;
  }
  while (!stopping) {
    WEIR_ASSIGN(const int64_t dropped,
                store.Write([&](store::Txn& txn) { return txn.DropKeys(now - store::kKeyLifetime, kSlice); }));
    if (dropped == 0) break;
  }
  return {};
}

}  // namespace weir::server
