#pragma once

#include "api/weir/v2/change_set.pb.h"
#include "cli/client.h"
#include "cli/flags.h"

// What committing a change set begins: waves, and waits.
namespace weir::cli {

// --wave and what holds of them: into the contents of a change set. USAGE.
Status SetWaves(const Flags& flags, v2::ChangeSet& set);

// How far its waves are, with what was found; nothing for one without a rollout.
void PrintRollout(const v2::ChangeSet& set);

// Prints each step of a rollout until it is ended, for at most so many seconds (0 = as long as it may take). kExitOk:
// committed; kExitRefused: reverted, or ended by somebody; kExitTimedOut.
Result<int> FollowRollout(Client& client, v2::ChangeSet set, int seconds);

// After a commit without waves: until every gateway concerned serves what it wrote.
Result<int> WaitUntilServed(Client& client, const v2::ChangeSet& set, int seconds);

}  // namespace weir::cli
