#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "api/weir/bootstrap/v1/bootstrap.pb.h"
#include "libs/base/clock.h"
#include "libs/base/result.h"
#include "mgmt-server/store/store.h"

namespace weir::server {

void FillDefaults(bootstrap::v1::Retention& retention);
// Of filled ones; appends violations with "retention." before the field.
void Check(const bootstrap::v1::Retention& retention, std::vector<FieldViolation>& violations);

// How long the past is kept: as api/weir/bootstrap/v1/bootstrap.proto says. What is present is never touched, nor the
// last kept_revisions and kept_records, whatever their age.
struct RetentionBounds {
  Duration history_age{};
  int64_t history_changes = 0;
  Duration audit_age{};
  int64_t audit_records = 0;
  int64_t kept_revisions = store::Txn::kKeptRevisions;
  int64_t kept_records = store::Txn::kKeptAudit;
};
RetentionBounds BoundsOf(const bootstrap::v1::Retention& retention);

// One pass: what is over age or count is forgotten, and its rows go in writes of at most kSlice rows, so that others
// have their turn between. An agent names its state by the mark of a revision until its certificate has run out, so
// those, with their authors, stay for kMarks at least. Ends early once `stopping`.
inline constexpr int64_t kSlice = 500;
inline constexpr std::chrono::hours kMarks{24 * 400};
Status Forget(store::Store& store, const RetentionBounds& bounds, WallTime now, const std::atomic<bool>& stopping);

}  // namespace weir::server
