#include "libs/identity/peer.h"

#include <openssl/ssl.h>

#include "libs/identity/openssl.h"
#include "libs/identity/spiffe_id.h"

namespace weir::identity {
namespace {

constexpr std::string_view kServerDomain = ".weir-server";

}  // namespace

Status CheckPeerRule(const PeerRule& rule) {
  WEIR_ASSIGN(const auto anchors, ParseCertificates(rule.anchors_pem));
  WEIR_ASSIGN(const SpiffeId id, SpiffeId::Parse(rule.spiffe_id));
  if (id.path.empty()) return InvalidArgument("PEER_RULE", "{} names a trust domain and nobody in it", rule.spiffe_id);
  return {};
}

Result<CertificateFacts> VerifyPeer(std::string_view chain_pem, const PeerRule& rule, const Clock& clock) {
  WEIR_TRY(CheckPeerRule(rule));
  auto facts = VerifyChain(chain_pem, rule.anchors_pem, clock);
  if (!facts.ok()) {
    return Unauthenticated("CERTIFICATE_REFUSED", "{} was expected: {}", rule.spiffe_id, facts.error().message);
  }
  if (facts->spiffe_id != rule.spiffe_id || facts->other_names > 0) {
    return Unauthenticated("PEER_REFUSED", "{} was expected, and the other end is {}", rule.spiffe_id,
                           facts->spiffe_id.empty() ? "nobody by SPIFFE id" : "\"" + facts->spiffe_id + "\"");
  }
  return facts;
}

std::string PresentedChain(const ssl_st* connection) {
  std::string pem;
  const STACK_OF(X509)* chain = SSL_get_peer_cert_chain(connection);
  for (int i = 0; i < sk_X509_num(chain); ++i) pem += ToPem(sk_X509_value(chain, i));
  return pem;
}

Result<PeerRule> ServerPeer(const std::string& anchor_pem) {
  const auto malformed = [](std::string_view why) {
    return InvalidArgument(
        "ANCHOR_MALFORMED",
        "not the server's anchor ({}); the server writes it to server-anchor.pem in its state folder", why);
  };
  const auto certificates = ParseCertificates(anchor_pem);
  if (!certificates.ok()) return malformed("not a PEM certificate");
  if (certificates->size() != 1) return malformed(fmt::format("{} certificates instead of one", certificates->size()));
  const auto facts = ReadCertificate(anchor_pem);
  if (!facts.ok()) return malformed(facts.error().message);
  const auto id = SpiffeId::Parse(facts->spiffe_id);
  if (!facts->is_authority || !id.ok() || !id->path.empty() || !id->trust_domain.ends_with(kServerDomain)) {
    return malformed("a certificate of \"" + facts->subject + "\"");
  }
  return PeerRule{anchor_pem, facts->spiffe_id + "/weir-server"};
}

PeerRule AgentPeer(std::string mesh_roots_pem, std::string_view trust_domain) {
  return {std::move(mesh_roots_pem), AgentSpiffeId(trust_domain)};
}

}  // namespace weir::identity
