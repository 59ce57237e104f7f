#include "libs/identity/peer.h"

#include <gtest/gtest.h>

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
