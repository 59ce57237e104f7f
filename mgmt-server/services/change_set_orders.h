#pragma once

#include "api/weir/v2/change_set.pb.h"
#include "mgmt-server/services/backends.h"
#include "mgmt-server/services/changing.h"

// A change set as the change that it is.
namespace weir::services {

ChangeText ContentsOf(const v2::ChangeSet& set);
// Whoever does it, the fields are the author's.
Result<ChangeOrder> OrderOf(const v2::ChangeSet& set);

// Does all of it and takes it back: what it would do in the caller's name, by every right of this moment.
Status TryAll(const Backends& backends, Writes& writes, const CallContext& call, ChangeOrder& order, WouldBe& done);
// The same as a write of it, which Invariants may refuse too.
Status TryWrite(const Backends& backends, Writes& writes, const CallContext& call, ChangeOrder& order, WouldBe& done);
// FAILED_PRECONDITION APPROVALS_MISSING: of those who approved it too few could do all of it now.
Status CheckApprovals(const Backends& backends, Writes& writes, const CallContext& call, const v2::ChangeSet& set,
                      ChangeOrder& order);

// Inside a write: it, if it is still the version that was looked at. ABORTED ETAG_MISMATCH.
Result<v2::ChangeSet> FindSame(store::Txn& txn, const v2::ChangeSet& seen);

}  // namespace weir::services
