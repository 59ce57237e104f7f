#pragma once

#include <string>

#include "libs/base/result.h"

namespace weir::e2e {

// What a mesh handshake showed of the other end.
struct MeshPeer {
  std::string spiffe_id;
  std::string serial;               // Of the leaf.
  std::string intermediate_serial;  // Of the certificate after it.
};

// One new TLS connection to `address`:15443 for the server name `sni`, with the identity that the gateway in
// `state_dir` keeps on disk at this moment; both sides verify against `roots_pem`. Ends after the handshake and one
// request, whose answer must be an HTTP status. UNAVAILABLE with the reason when anything fails.
Result<MeshPeer> MeshHandshake(const std::string& address, const std::string& sni, const std::string& state_dir,
                               const std::string& roots_pem, const std::string& host);

// The leaf that a gateway keeps now. Its serial tells renewals apart.
Result<MeshPeer> KeptIdentity(const std::string& state_dir);

}  // namespace weir::e2e
