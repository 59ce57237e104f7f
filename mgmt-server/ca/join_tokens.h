#pragma once

#include <string>
#include <string_view>

#include "libs/base/clock.h"
#include "libs/base/result.h"

namespace weir::ca {

struct NewJoinToken {
  std::string text;  // For the person who asked; shown once, kept nowhere, goes into no log.
  std::string hash;  // identity::JoinToken::SecretHash(): the key under which the store keeps it.
  WallTime expires;  // Whole seconds.
};

inline constexpr Duration kJoinTokenLifetime = std::chrono::minutes(15);

NewJoinToken MintJoinToken(std::string cluster_fqn, std::string anchor_sha256, const Clock& clock = Clock::Real(),
                           Duration lifetime = kJoinTokenLifetime);

// Key under which the record of this token's text stands. UNAUTHENTICATED JOIN_TOKEN_UNKNOWN when malformed. Whether it
// may be used says store::Txn::UseJoinToken.
Result<std::string> JoinTokenHash(std::string_view text);

}  // namespace weir::ca
