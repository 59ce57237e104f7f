#pragma once

#include <atomic>
#include <string>

#include "cluster-agent/link/membership.h"
#include "libs/base/clock.h"
#include "libs/base/result.h"

namespace weir::agent {

struct JoiningOptions {
  std::string server;           // "host:port"
  std::string membership_path;  // SaveMembership's; beside it "<path>.token", the hash of the token that made it.
  std::string token_file;       // "" = no token is given.
};

// The membership that is stored, or a new one by the token. A member uses a token only if that says so
// (JoinToken::rejoin) and it has not used it already; StoredMembership::unused_token says why one is not used. Who is
// no member tries for as long as the server cannot be reached, a member for 20 s. FAILED_PRECONDITION NOT_JOINED;
// CANCELLED STOPPED; errors of Join and LoadMembership.
Result<StoredMembership> EnsureMembership(const JoiningOptions& options, const std::atomic<bool>& stop,
                                          const Clock& clock);

}  // namespace weir::agent
