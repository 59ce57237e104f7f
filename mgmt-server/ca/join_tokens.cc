#include "mgmt-server/ca/join_tokens.h"

#include "libs/base/ids.h"
#include "libs/identity/token.h"

namespace weir::ca {
namespace {

int64_t Seconds(WallTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

Error Unknown() {
  return Unauthenticated("JOIN_TOKEN_UNKNOWN", "the server does not know this join token; make a new one");
}

}  // namespace

NewJoinToken MintJoinToken(std::string cluster_fqn, std::string anchor_sha256, const Clock& clock, Duration lifetime) {
  const auto token = identity::JoinToken::New(std::move(cluster_fqn), std::move(anchor_sha256));
  const auto expires = clock.Wall() + std::chrono::duration_cast<WallTime::duration>(lifetime);
  return {token.ToText(), {token.SecretHash(), token.cluster_fqn, Seconds(expires), false}};
}

Result<std::string> JoinTokenHash(std::string_view text) {
  const auto token = identity::JoinToken::Parse(text);
  if (!token.ok()) return Unknown();
  return token->SecretHash();
}

Result<std::string> Redeem(std::string_view text, const std::optional<JoinTokenRecord>& record, const Clock& clock) {
  const auto token = identity::JoinToken::Parse(text);
  if (!token.ok() || !record || !ConstantTimeEquals(token->SecretHash(), record->hash)) return Unknown();
  // The text names its cluster for the reader; what counts is what the server wrote down.
  if (token->cluster_fqn != record->cluster_fqn) return Unknown();
  if (record->used) {
    return Unauthenticated("JOIN_TOKEN_USED", "this join token was used before; make a new one");
  }
  if (Seconds(clock.Wall()) >= record->expires_unix_seconds) {
    return Unauthenticated("JOIN_TOKEN_EXPIRED", "this join token has expired; make a new one");
  }
  return record->cluster_fqn;
}

}  // namespace weir::ca
