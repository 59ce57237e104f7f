#include "mgmt-server/ca/ca.h"

#include <gtest/gtest.h>

#include "libs/base/file.h"
#include "libs/base/ids.h"
#include "libs/identity/spiffe_id.h"
#include "libs/identity/token.h"
#include "mgmt-server/ca/join_tokens.h"

namespace weir::ca {
namespace {

constexpr const char* kCluster = "organizations/acme/clusters/edge";

struct Kept {
  ManualClock clock;
  std::string folder = testing::TempDir() + "weir-ca-" + RandomHex(6);
  std::unique_ptr<ServerCa> Open(std::vector<std::string> names = {}) {
    ServerCa::Options options;
    options.organization_domain = "acme.weir.internal";
    options.names = std::move(names);
    auto ca = ServerCa::Open(FileBlobs(folder), options, clock);
    EXPECT_TRUE(ca.ok()) << ca.error().ToString();
    return std::move(ca).value();
  }
};

TEST(ServerCa, KeepsItsRootAndCertificateAcrossRestarts) {
  Kept kept;
  const auto first = kept.Open();
  const auto second = kept.Open();
  EXPECT_EQ(first->root_pem(), second->root_pem());
  EXPECT_EQ(first->server_certificate().chain_pem, second->server_certificate().chain_pem);
}

TEST(ServerCa, TheServersCertificateCarriesItsNamesAndEndsWithTheRoot) {
  Kept kept;
  const auto ca = kept.Open({"weir.example.com", "10.1.2.3", "127.0.0.1"});
  const std::string chain = ca->server_certificate().chain_pem;
  const auto facts = identity::VerifyChain(chain, ca->root_pem(), kept.clock);
  ASSERT_TRUE(facts.ok()) << facts.error().ToString();
  EXPECT_EQ(facts->dns_names, (std::vector<std::string>{"localhost", "weir.example.com"}));
  EXPECT_EQ(facts->ip_addresses, (std::vector<std::string>{"127.0.0.1", "10.1.2.3"}));
  EXPECT_EQ(identity::SplitBundle(chain)->back(), ca->root_pem());
}

TEST(ServerCa, RenewsItsCertificateAtHalfItsLifeAndWhenNamesChange) {
  Kept kept;
  const auto ca = kept.Open();
  const std::string first = ca->server_certificate().chain_pem;
  EXPECT_FALSE(ca->RenewServerCertificateIfDue().value());
  kept.clock.Advance(std::chrono::hours(24 * 46));
  EXPECT_TRUE(ca->RenewServerCertificateIfDue().value());
  EXPECT_NE(ca->server_certificate().chain_pem, first);
  EXPECT_NE(kept.Open({"other.example.com"})->server_certificate().chain_pem, ca->server_certificate().chain_pem);
}

TEST(ServerCa, ARootThatIsDamagedIsNeverReplacedSilently) {
  Kept kept;
  kept.Open();
  const std::string path = kept.folder + "/root.pem", whole = ReadFile(path).value();
  for (const std::string& damaged : {std::string("nonsense"), std::string(), whole.substr(0, whole.size() / 2)}) {
    ASSERT_TRUE(identity::WriteSecretFile(path, damaged).ok());
    EXPECT_EQ(ServerCa::Open(FileBlobs(kept.folder), {}, kept.clock).error().reason, "CA_ROOT_CORRUPT");
    EXPECT_EQ(ReadFile(path).value(), damaged);
  }
}

TEST(ServerCa, SignsAClustersIntermediate) {
  Kept kept;
  const auto ca = kept.Open();
  const std::string key = identity::NewKey().value();
  const auto pem = ca->SignIntermediate(identity::MakeCsr(key).value(), "edge.acme.weir.internal");
  ASSERT_TRUE(pem.ok());
  EXPECT_TRUE(identity::ReadCertificate(*pem)->is_authority);
  identity::LeafRequest request;
  request.csr_pem = identity::MakeCsr(key).value();
  request.spiffe_id = identity::AgentSpiffeId("edge.acme.weir.internal");
  const auto leaf = identity::SignLeaf({*pem, key}, request, kept.clock);
  EXPECT_TRUE(identity::VerifyChain(*leaf + *pem, ca->root_pem(), kept.clock).ok());
}

TEST(JoinTokens, AreUsedOnce) {
  ManualClock clock;
  auto token = MintJoinToken(kCluster, std::string(64, 'a'), clock);
  EXPECT_EQ(token.text.find(token.record.hash), std::string::npos);
  EXPECT_EQ(JoinTokenHash(token.text).value(), token.record.hash);
  EXPECT_EQ(Redeem(token.text, token.record, clock).value(), kCluster);
  token.record.used = true;
  EXPECT_EQ(Redeem(token.text, token.record, clock).error().reason, "JOIN_TOKEN_USED");
}

TEST(JoinTokens, LiveFifteenMinutes) {
  ManualClock clock;
  const auto token = MintJoinToken(kCluster, std::string(64, 'a'), clock);
  clock.Advance(std::chrono::minutes(15));
  EXPECT_EQ(Redeem(token.text, token.record, clock).error().reason, "JOIN_TOKEN_EXPIRED");
}

TEST(JoinTokens, AStrangersTokenIsUnknown) {
  ManualClock clock;
  const auto token = MintJoinToken(kCluster, std::string(64, 'a'), clock);
  const auto other = MintJoinToken(kCluster, std::string(64, 'a'), clock);
  EXPECT_EQ(Redeem(token.text, std::nullopt, clock).error().reason, "JOIN_TOKEN_UNKNOWN");
  EXPECT_EQ(Redeem(token.text, other.record, clock).error().reason, "JOIN_TOKEN_UNKNOWN");
  EXPECT_EQ(JoinTokenHash("weir-join-1.xyz").error().reason, "JOIN_TOKEN_UNKNOWN");
}

}  // namespace
}  // namespace weir::ca
