#pragma once

#include <string>
#include <string_view>

#include "libs/base/clock.h"
#include "libs/base/result.h"
#include "libs/identity/certificates.h"

struct ssl_st;  // OpenSSL's connection.

namespace weir::identity {

// Who the other end of a connection has to be. Every client of ours decides by this alone: never by a common name, an
// e-mail address, or what a TLS library calls a match of the host.
struct PeerRule {
  std::string anchors_pem;  // Trusts exactly these: the server anchor for weir-server, the mesh root for all others.
  std::string spiffe_id;    // The one URI SAN, byte for byte. ServerPeer tells the server's, AgentPeer an agent's.
};

// INVALID_ARGUMENT PEER_RULE, CERTIFICATE_MALFORMED: the rule itself could accept nobody.
Status CheckPeerRule(const PeerRule& rule);

// Verifies what a server presented (leaf first): the chain to an anchor at the clock's time, name constraints included;
// no CA, only URI, DNS and IP names, of which exactly one is a URI, the wanted one. Answers the leaf's facts.
// UNAUTHENTICATED CERTIFICATE_REFUSED (the chain), PEER_REFUSED (another identity).
Result<CertificateFacts> VerifyPeer(std::string_view chain_pem, const PeerRule& rule,
                                    const Clock& clock = Clock::Real());

// What the other end of a connection presented, leaf first, as a client sees it; "" = nothing.
std::string PresentedChain(const ssl_st* connection);

// The rule for weir-server, which its anchor alone tells: the anchor is named spiffe://<installation>.weir-server, the
// server below it spiffe://<installation>.weir-server/weir-server.
// INVALID_ARGUMENT ANCHOR_MALFORMED: not exactly one certificate, or none of a server anchor (the mesh root, say).
Result<PeerRule> ServerPeer(const std::string& anchor_pem);
// The rule for the agent of a cluster.
PeerRule AgentPeer(std::string mesh_roots_pem, std::string_view trust_domain);

}  // namespace weir::identity
