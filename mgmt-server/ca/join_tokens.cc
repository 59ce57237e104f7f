#include "mgmt-server/ca/join_tokens.h"

#include "libs/identity/token.h"

namespace weir::ca {

NewJoinToken MintJoinToken(std::string cluster_fqn, std::string anchor_sha256, const Clock& clock, Duration lifetime) {
  const auto token = identity::JoinToken::New(std::move(cluster_fqn), std::move(anchor_sha256));
  const auto expires = clock.Wall() + std::chrono::duration_cast<WallTime::duration>(lifetime);
  return {token.ToText(), token.SecretHash(), std::chrono::floor<std::chrono::seconds>(expires)};
}

Result<std::string> JoinTokenHash(std::string_view text) {
  const auto token = identity::JoinToken::Parse(text);
  if (!token.ok()) {
    return Unauthenticated("JOIN_TOKEN_UNKNOWN", "the server does not know this join token; make a new one");
  }
  return token->SecretHash();
}

}  // namespace weir::ca
