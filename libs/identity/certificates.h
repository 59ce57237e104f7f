#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/clock.h"
#include "libs/base/result.h"
#include "libs/identity/generation.h"

struct x509_st;

namespace weir::identity {

// Everything is PEM text; OpenSSL stays inside. Keys are P-256 (PKCS#8). Functions are pure but for the clock and
// the kernel's random numbers, and safe to call from any thread; each costs well under a millisecond.

// A certificate that may sign, and its key: the server anchor, the mesh root or a cluster's intermediate.
struct Authority {
  std::string certificate_pem;
  std::string key_pem;  // Secret: 0600 on disk, never in a log.
};

// What one certificate says.
struct CertificateFacts {
  WallTime not_before;
  WallTime not_after;
  std::string serial;     // Lower-case hex.
  std::string subject;    // RFC 2253.
  std::string spiffe_id;  // The only URI SAN; "" if there is none. More than one makes the certificate invalid.
  std::vector<std::string> dns_names;
  std::vector<std::string> ip_addresses;
  int other_names = 0;  // SANs of other kinds (e-mail, directory, other names): nobody of ours carries any.
  bool is_authority = false;
  // Whose intermediate signed it, as the anchor says. Only from VerifyChain; unset = nobody's.
  std::optional<ClusterGeneration> cluster;
};

struct IntermediateRequest {
  std::string csr_pem;        // Only its key is used; its signature is checked.
  std::string trust_domain;   // Of the cluster.
  ClusterGeneration cluster;  // What stands in it (generation.h).
  Duration lifetime = std::chrono::hours(24 * 30);
};

struct LeafRequest {
  std::string csr_pem;    // Only its key is used; its signature is checked.
  std::string spiffe_id;  // URI SAN; "" = none.
  std::vector<std::string> dns_names;
  std::vector<std::string> ip_addresses;  // Refused by clusters' intermediates: their constraints exclude every IP.
  Duration lifetime = std::chrono::hours(24);  // Cut to the issuer's end.
};

// Fresh private key.
Result<std::string> NewKey();
// PKCS#10 request for that key; its names are ignored by every signer of Weir.
Result<std::string> MakeCsr(std::string_view key_pem);

// Every certificate begins a tenth of its life, at most 2 hours, before now: clocks differ.

// The mesh root, self-signed: signs one intermediate per cluster. Default 10 years.
Result<Authority> NewRoot(std::string_view common_name, const Clock& clock = Clock::Real(),
                          Duration lifetime = std::chrono::hours(24 * 3650));

// The server anchor, self-signed: signs leaves of weir-server and nothing else (pathlen 0). Its URI SAN is
// spiffe://<16 random hex digits>.weir-server, which names this installation for good; see ServerPeer in peer.h.
Result<Authority> NewServerAnchor(const Clock& clock = Clock::Real(),
                                  Duration lifetime = std::chrono::hours(24 * 3650));

// CA of one cluster under the mesh root: pathlen 0, CRITICAL name constraints: permitted are URIs of host
// `trust_domain` and DNS names of it and below it; e-mail addresses, directory names and IP addresses are excluded. So
// a stolen cluster speaks for nobody else. INVALID_ARGUMENT CSR_MALFORMED, TRUST_DOMAIN_MALFORMED,
// GENERATION_MALFORMED.
Result<std::string> SignIntermediate(const Authority& mesh_root, const IntermediateRequest& request,
                                     const Clock& clock = Clock::Real());

// Leaf for both server and client use, without a subject: its names stand in a critical SAN (RFC 5280 4.2.1.6).
// Returns the leaf alone; a chain is leaf + issuer.certificate_pem.
// INVALID_ARGUMENT CSR_MALFORMED, SPIFFE_ID_MALFORMED, LEAF_LIFETIME.
Result<std::string> SignLeaf(const Authority& issuer, const LeafRequest& request, const Clock& clock = Clock::Real());

// Facts of the first certificate in `pem`. INVALID_ARGUMENT CERTIFICATE_MALFORMED.
Result<CertificateFacts> ReadCertificate(std::string_view pem);
// Each certificate of a bundle as its own PEM block, in order.
Result<std::vector<std::string>> SplitBundle(std::string_view pem);

// What a certificate with a SPIFFE id must be to be somebody's identity: no authority, and no key that may sign
// certificates or revocation lists (SPIFFE X.509-SVID, 4.1 and 4.3).
bool IsLeaf(const x509_st* certificate);

// Verifies leaf (first) + intermediates up to one of `roots_pem` at the clock's time, name constraints included; the
// first must be a leaf (IsLeaf).
// Answers the leaf's facts; who it may be is the caller's to ask (a client: VerifyPeer). UNAUTHENTICATED
// CERTIFICATE_REFUSED with OpenSSL's reason.
Result<CertificateFacts> VerifyChain(std::string_view chain_pem, std::string_view roots_pem,
                                     const Clock& clock = Clock::Real());

// INVALID_ARGUMENT KEY_MISMATCH unless `key_pem` is the key of the first certificate.
Status CheckKeyMatches(std::string_view certificate_pem, std::string_view key_pem);

// Lower-case hex SHA-256 of the first certificate's DER; what a join token pins.
Result<std::string> CertificateSha256(std::string_view pem);

// When to renew: half of the lifetime, moved by up to +-10 % of it by `random01` in [0,1), so that a fleet does not
// knock all at once.
WallTime RenewAt(const CertificateFacts& facts, double random01);
// From `now`, when it was received: 40 to 60 % of what is left then, drawn anew with each call.
Duration RenewIn(const CertificateFacts& facts, WallTime now);

}  // namespace weir::identity
