#pragma once

#include <string>
#include <string_view>

#include "libs/base/result.h"

namespace weir::identity {

// What a person carries from the server to a new agent: used once, lives 15 minutes (docs/life-of-an-identity.md). It
// also tells the agent which anchor to believe, so the first connection is authenticated both ways.
struct JoinToken {
  std::string secret;         // 64 hex characters, random.
  std::string cluster_fqn;    // "organizations/acme/clusters/edge"
  std::string anchor_sha256;  // identity::CertificateSha256 of the server anchor.
  // Says to an agent that is a member already: give that membership up and use this token. Without it such an agent
  // uses none.
  bool rejoin = false;

  static JoinToken New(std::string cluster_fqn, std::string anchor_sha256);
  // "weir-join-1.<base64url>" or "weir-rejoin-1.<base64url>", one line.
  std::string ToText() const;
  // Surrounding white space is allowed. INVALID_ARGUMENT JOIN_TOKEN_MALFORMED.
  static Result<JoinToken> Parse(std::string_view text);
  // Last segment of the FQN.
  std::string cluster() const;
  // What the server keeps instead of the secret: hex SHA-256.
  std::string SecretHash() const;
};

// 256 random bits as hex: what the tokens of an agent's workloads are made from.
std::string NewWorkloadKey();
// The bearer token of a workload: an HMAC-SHA-256 of its name under the agent's key, as hex.
std::string WorkloadToken(const std::string& key, std::string_view workload);

std::string Base64Url(std::string_view bytes);  // RFC 4648 section 5, no padding.
Result<std::string> FromBase64Url(std::string_view text);

// Writes 0600 in one step; folders are made 0700.
Status WriteSecretFile(const std::string& path, std::string_view content);
// Refuses a file that group or others may read (FAILED_PRECONDITION SECRET_FILE_OPEN, says the chmod to run).
Result<std::string> ReadSecretFile(const std::string& path);

}  // namespace weir::identity
