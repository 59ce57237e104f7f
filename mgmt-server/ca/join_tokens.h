#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "libs/base/clock.h"
#include "libs/base/result.h"

namespace weir::ca {

// What the store keeps of a join token, under the key `hash`. The secret itself is shown once and never kept.
struct JoinTokenRecord {
  std::string hash;  // identity::JoinToken::SecretHash().
  std::string cluster_fqn;
  int64_t expires_unix_seconds = 0;
  bool used = false;
};

struct NewJoinToken {
  std::string text;  // For the person who asked; goes into no log.
  JoinTokenRecord record;
};

inline constexpr Duration kJoinTokenLifetime = std::chrono::minutes(15);

NewJoinToken MintJoinToken(std::string cluster_fqn, std::string anchor_sha256, const Clock& clock = Clock::Real(),
                           Duration lifetime = kJoinTokenLifetime);

// Key under which the record of this token's text stands. UNAUTHENTICATED JOIN_TOKEN_UNKNOWN when malformed.
Result<std::string> JoinTokenHash(std::string_view text);

// Whether the token may be used now; `record` as found by JoinTokenHash. The caller sets `used` in the same
// transaction in which it asks. Answers the cluster's FQN.
// UNAUTHENTICATED JOIN_TOKEN_UNKNOWN, JOIN_TOKEN_EXPIRED, JOIN_TOKEN_USED.
Result<std::string> Redeem(std::string_view text, const std::optional<JoinTokenRecord>& record,
                           const Clock& clock = Clock::Real());

}  // namespace weir::ca
