#include "libs/identity/peer.h"

#include <gtest/gtest.h>
#include <openssl/x509v3.h>

#include "libs/identity/openssl.h"
#include "libs/identity/spiffe_id.h"

namespace weir::identity {
namespace {

constexpr char kDomain[] = "a.acme.weir.internal";

std::string Chain(const Authority& issuer, const std::string& id, const Clock& clock) {
  LeafRequest request;
  request.csr_pem = *MakeCsr(*NewKey());
  request.spiffe_id = id;
  request.dns_names = {"localhost"};
  return *SignLeaf(issuer, request, clock) + issuer.certificate_pem;
}

TEST(ServerPeer, IsToldByTheAnchorAlone) {
  ManualClock clock;
  const Authority anchor = *NewServerAnchor(clock);
  const auto rule = ServerPeer(anchor.certificate_pem);
  ASSERT_TRUE(rule.ok()) << rule.error().ToString();
  EXPECT_TRUE(rule->spiffe_id.ends_with(".weir-server/weir-server")) << rule->spiffe_id;
  EXPECT_EQ(rule->anchors_pem, anchor.certificate_pem);
  EXPECT_TRUE(VerifyPeer(Chain(anchor, rule->spiffe_id, clock), *rule, clock).ok());
  EXPECT_NE(ServerPeer(NewServerAnchor(clock)->certificate_pem)->spiffe_id, rule->spiffe_id);
}

TEST(ServerPeer, IsNoOtherCertificate) {
  ManualClock clock;
  const Authority anchor = *NewServerAnchor(clock), root = *NewRoot("acme", clock);
  const std::string leaf = Chain(anchor, ServerPeer(anchor.certificate_pem)->spiffe_id, clock);
  for (const std::string& pem : {root.certificate_pem, leaf, anchor.certificate_pem + root.certificate_pem,
                                 root.certificate_pem + anchor.certificate_pem, std::string("PEM"), std::string()}) {
    EXPECT_EQ(ServerPeer(pem).error().reason, "ANCHOR_MALFORMED") << pem;
  }
}

// The certificate with another extension of that kind, signed anew by `issuer`.
std::string Changed(const std::string& pem, int kind, const std::string& value, const Authority& issuer) {
  const CertPtr certificate = std::move(ParseCertificates(pem)->front());
  const KeyPtr key = std::move(ParseKey(issuer.key_pem).value());
  X509_EXTENSION_free(X509_delete_ext(certificate.get(), X509_get_ext_by_NID(certificate.get(), kind, -1)));
  const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, nullptr, kind, value.c_str()));
  EXPECT_EQ(X509_add_ext(certificate.get(), extension.get(), -1), 1);
  EXPECT_GT(X509_sign(certificate.get(), key.get(), EVP_sha256()), 0);
  return ToPem(certificate.get());
}
std::string Renamed(const std::string& pem, const std::string& names, const Authority& issuer) {
  return Changed(pem, NID_subject_alt_name, names, issuer);
}

TEST(ServerPeer, IsATrustDomainOfServersAsAWhole) {
  ManualClock clock;
  const Authority anchor = *NewServerAnchor(clock);
  EXPECT_TRUE(ServerPeer(Renamed(anchor.certificate_pem, "URI:spiffe://x.weir-server", anchor)).ok());
  for (const char* names :
       {"URI:spiffe://x.weir-server/y", "URI:spiffe://x.weir-servers", "URI:spiffe://weir-server",
        "URI:https://x.weir-server", "DNS:x.weir-server", "URI:spiffe://x.weir-server,URI:spiffe://y.weir-server"}) {
    EXPECT_EQ(ServerPeer(Renamed(anchor.certificate_pem, names, anchor)).error().reason, "ANCHOR_MALFORMED") << names;
  }
}

// Whoever has a name of another kind beside its id is none of ours.
TEST(VerifyPeer, TakesNobodyWithNamesOfOtherKinds) {
  ManualClock clock;
  const Authority root = *NewRoot("acme", clock);
  LeafRequest request;
  request.csr_pem = *MakeCsr(*NewKey());
  request.spiffe_id = "spiffe://a/b";
  const std::string leaf = *SignLeaf(root, request, clock);
  const PeerRule rule{root.certificate_pem, request.spiffe_id};
  EXPECT_TRUE(VerifyPeer(Renamed(leaf, "URI:spiffe://a/b,DNS:c", root), rule, clock).ok());
  for (const char* names :
       {"URI:spiffe://a/b,email:a@b.c", "URI:spiffe://a/b,RID:1.2.3", "URI:spiffe://a/b,otherName:1.2.3.4;UTF8:x"}) {
    const auto refused = VerifyPeer(Renamed(leaf, names, root), rule, clock);
    ASSERT_FALSE(refused.ok()) << names;
    EXPECT_EQ(refused.error().reason, "PEER_REFUSED") << names;
  }
}

// Who may sign others is nobody's identity, whatever name it has: not by its constraints, nor by what its key may do.
TEST(VerifyPeer, TakesNoCertificateThatMaySignOthers) {
  ManualClock clock;
  const Authority root = *NewRoot("acme", clock);
  LeafRequest request;
  request.csr_pem = *MakeCsr(*NewKey());
  request.spiffe_id = "spiffe://a/b";
  const std::string leaf = *SignLeaf(root, request, clock);
  const PeerRule rule{root.certificate_pem, request.spiffe_id};
  EXPECT_TRUE(VerifyPeer(Changed(leaf, NID_key_usage, "critical,digitalSignature", root), rule, clock).ok());
  for (const auto& [kind, value] :
       {std::pair(NID_basic_constraints, "critical,CA:TRUE"), std::pair(NID_basic_constraints, "CA:TRUE,pathlen:0"),
        std::pair(NID_key_usage, "digitalSignature,keyCertSign"),
        std::pair(NID_key_usage, "digitalSignature,cRLSign")}) {
    const auto refused = VerifyPeer(Changed(leaf, kind, value, root), rule, clock);
    ASSERT_FALSE(refused.ok()) << value;
    EXPECT_EQ(refused.error().reason, "CERTIFICATE_REFUSED") << value;
    EXPECT_NE(refused.error().message.find("may sign others"), std::string::npos) << refused.error().message;
  }
}

TEST(VerifyPeer, TakesTheExpectedIdByteForByte) {
  ManualClock clock;
  const Authority root = *NewRoot("acme", clock);
  Authority a;
  a.key_pem = *NewKey();
  a.certificate_pem = *SignIntermediate(root, {*MakeCsr(a.key_pem), kDomain, {"uid", 1}}, clock);
  LeafRequest request;
  request.csr_pem = *MakeCsr(*NewKey());
  request.spiffe_id = AgentSpiffeId(kDomain);
  const std::string chain = *SignLeaf(a, request, clock) + a.certificate_pem;
  const PeerRule rule = AgentPeer(root.certificate_pem, kDomain);
  const auto facts = VerifyPeer(chain, rule, clock);
  ASSERT_TRUE(facts.ok()) << facts.error().ToString();
  EXPECT_EQ(facts->spiffe_id, rule.spiffe_id);
  for (const std::string& other :
       {rule.spiffe_id + "2", rule.spiffe_id.substr(0, rule.spiffe_id.size() - 1), rule.spiffe_id + "/x",
        WorkloadSpiffeId(kDomain, "shop", "web"), AgentSpiffeId("A.acme.weir.internal"), std::string("spiffe://a/x")}) {
    EXPECT_FALSE(VerifyPeer(chain, {root.certificate_pem, other}, clock).ok()) << other;
  }
  EXPECT_EQ(VerifyPeer(chain, {root.certificate_pem, rule.spiffe_id + "2"}, clock).error().reason, "PEER_REFUSED");
  // Of an intermediate itself, of nobody, of a trust domain as a whole, under another anchor, too late.
  EXPECT_FALSE(VerifyPeer(a.certificate_pem, rule, clock).ok());
  EXPECT_FALSE(VerifyPeer("", rule, clock).ok());
  EXPECT_EQ(VerifyPeer(chain, {root.certificate_pem, "spiffe://" + std::string(kDomain)}, clock).error().reason,
            "PEER_RULE");
  EXPECT_EQ(VerifyPeer(chain, {NewServerAnchor(clock)->certificate_pem, rule.spiffe_id}, clock).error().reason,
            "CERTIFICATE_REFUSED");
  clock.Advance(std::chrono::hours(25));
  EXPECT_EQ(VerifyPeer(chain, rule, clock).error().reason, "CERTIFICATE_REFUSED");
}

TEST(AgentId, NamesItsTrustDomainAndNobodyElseDoes) {
  EXPECT_EQ(TrustDomainOfAgent("spiffe://a.acme/weir-agent"), "a.acme");
  for (const char* other :
       {"spiffe://a.acme/agent", "spiffe://a.acme/weir-agent2", "spiffe://a.acme/weir-agent/x", "spiffe://a.acme",
        "spiffe://A.acme/weir-agent", "spiffe://a.acme/ns/x/sa/weir-agent", ""}) {
    EXPECT_EQ(TrustDomainOfAgent(other), "") << other;
  }
}

}  // namespace
}  // namespace weir::identity
