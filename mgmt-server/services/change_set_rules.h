#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "api/weir/v2/change_set.pb.h"
#include "libs/base/result.h"
#include "mgmt-server/services/call.h"
#include "mgmt-server/services/changing.h"
#include "mgmt-server/store/store.h"

// What holds of change sets, whatever is done with them: states, who sees one, how many there are.
namespace weir::services {

enum class ChangeSetVerb { kEdit, kApprove, kCommit, kReject, kAbort, kComplete, kRevert };

bool IsOpen(v2::ChangeSet::State state);      // Not ended.
bool IsEditable(v2::ChangeSet::State state);  // Nor on its way.
// FAILED_PRECONDITION CHANGE_SET_STATE where no transition of the table leads there from its state.
Status Move(ChangeSetVerb verb, v2::ChangeSet::State to, v2::ChangeSet& set);
// Whether it needs approvals or has them all.
v2::ChangeSet::State OpenState(const v2::ChangeSet& set);

v2::ChangeSetPerson Person(const authn::Principal& principal, WallTime now);
bool IsAmong(const google::protobuf::RepeatedPtrField<v2::ChangeSetPerson>& people, const std::string& uid);
// Makes the principal the last of the editors; what he approved counts no more. RESOURCE_EXHAUSTED TOO_MANY_EDITORS.
Status AddEditor(const authn::Principal& principal, WallTime now, v2::ChangeSet& set);

// What ChangeSet.touched says of a change: kinds, each with the uid of the thing or of what it lies in.
std::vector<std::string> TouchedBy(const WouldBe& state, const ChangeOrder& order);
// Whether it exists for the principal.
bool MaySee(const store::View& view, const authn::Principal& principal, const v2::ChangeSet& set);
// Whether the principal may read an object, or one of its kind in what it would lie in, where it is not there.
bool MayReadAt(const store::View& view, const authn::Principal& principal, const std::string& fqn);
// The errors of authz: who rejects it may write all that it touches.
Status CheckMayWrite(const store::View& view, const authn::Principal& principal, const v2::ChangeSet& set);

// DATA_LOSS BAD_BODY.
Result<v2::ChangeSet> ReadRow(const store::ChangeSetRow& row);

struct ChangeSetBounds {
  size_t open_of_one = 20;
  size_t kept_of_one = 100;  // Ended ones too, of which the oldest go.
  size_t bytes_of_one = 8u << 20;
  size_t kept = 10'000;  // Of all together.
  size_t bytes = 256u << 20;
};
// Forgets ended ones, the author's first, until this one has room; it may be stored already. RESOURCE_EXHAUSTED
// TOO_MANY_CHANGE_SETS, unless it is stored and no more of it than an approval is new (`grows` is false).
Status MakeRoom(store::Txn& txn, const ChangeSetBounds& bounds, const store::ChangeSetRow& row, bool grows = true);
// With a new version; in the audit too, where who has set-policy on the organization sees it, unless `action` is "".
Status StoreChangeSet(store::Txn& txn, const CallContext& call, const ChangeSetBounds& bounds,
                      const std::string& action, v2::ChangeSet& set);

}  // namespace weir::services
