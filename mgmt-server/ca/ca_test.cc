#include "mgmt-server/ca/ca.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <tuple>

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
  EXPECT_EQ(first->anchor_pem(), second->anchor_pem());
  EXPECT_EQ(first->mesh_root_pem(), second->mesh_root_pem());
  EXPECT_EQ(first->server_certificate().chain_pem, second->server_certificate().chain_pem);
}

TEST(ServerCa, TheServersCertificateCarriesItsNamesAndEndsWithItsAnchor) {
  Kept kept;
  const auto ca = kept.Open({"weir.example.com", "10.1.2.3", "127.0.0.1"});
  const std::string chain = ca->server_certificate().chain_pem;
  const auto facts = identity::VerifyPeer(chain, identity::ServerPeer(ca->anchor_pem()).value(), kept.clock);
  ASSERT_TRUE(facts.ok()) << facts.error().ToString();
  EXPECT_EQ(facts->dns_names, (std::vector<std::string>{"localhost", "weir.example.com"}));
  EXPECT_EQ(facts->ip_addresses, (std::vector<std::string>{"127.0.0.1", "10.1.2.3"}));
  EXPECT_EQ(identity::SplitBundle(chain)->back(), ca->anchor_pem());
  EXPECT_FALSE(identity::VerifyChain(chain, ca->mesh_root_pem(), kept.clock).ok());
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

TEST(ServerCa, AnAuthorityThatIsDamagedOrLostIsNeverReplaced) {
  for (const auto& [name, corrupt, missing] : {std::tuple("root", "CA_ROOT_CORRUPT", "CA_ROOT_MISSING"),
                                               std::tuple("anchor", "CA_ANCHOR_CORRUPT", "CA_ANCHOR_MISSING")}) {
    Kept kept;
    kept.Open();
    const std::string path = kept.folder + "/" + name + ".pem", whole = ReadFile(path).value();
    for (const std::string& damaged : {std::string("nonsense"), std::string(), whole.substr(0, whole.size() / 2)}) {
      ASSERT_TRUE(identity::WriteSecretFile(path, damaged).ok());
      EXPECT_EQ(ServerCa::Open(FileBlobs(kept.folder), {}, kept.clock).error().reason, corrupt);
      EXPECT_EQ(ReadFile(path).value(), damaged);
    }
    ASSERT_EQ(unlink(path.c_str()), 0);
    EXPECT_EQ(ServerCa::Open(FileBlobs(kept.folder), {}, kept.clock).error().reason, missing);
    EXPECT_FALSE(ReadFile(path).ok());
  }
}

TEST(ServerCa, AFirstStartThatWasCutGoesOn) {
  Kept kept;
  kept.Open();
  ASSERT_EQ(unlink((kept.folder + "/anchor.pem").c_str()), 0);
  ASSERT_EQ(unlink((kept.folder + "/server.pem").c_str()), 0);
  EXPECT_FALSE(kept.Open()->made_anchor_for_old_state());
}

// A server of before had one root: for clusters and for its own certificate.
TEST(ServerCa, AStateWithOneRootKeepsItForTheMeshAndGetsAnAnchor) {
  Kept kept;
  const auto root = identity::NewRoot("Weir root acme", kept.clock).value();
  identity::LeafRequest request;
  const std::string key = identity::NewKey().value();
  request.csr_pem = identity::MakeCsr(key).value();
  request.dns_names = {"localhost"};
  const std::string leaf = identity::SignLeaf(root, request, kept.clock).value();
  ASSERT_TRUE(identity::WriteSecretFile(kept.folder + "/root.pem", root.key_pem + root.certificate_pem).ok());
  ASSERT_TRUE(identity::WriteSecretFile(kept.folder + "/server.pem", key + leaf + root.certificate_pem).ok());
  kept.clock.Advance(std::chrono::hours(24 * 200));  // That certificate has run out long ago.
  const auto ca = kept.Open();
  EXPECT_TRUE(ca->made_anchor_for_old_state());
  EXPECT_EQ(ca->mesh_root_pem(), root.certificate_pem);
  EXPECT_FALSE(identity::VerifyChain(ca->server_certificate().chain_pem, root.certificate_pem, kept.clock).ok());
  const auto again = kept.Open();
  EXPECT_FALSE(again->made_anchor_for_old_state());
  EXPECT_EQ(again->anchor_pem(), ca->anchor_pem());
}

TEST(ServerCa, SignsAClustersIntermediate) {
  Kept kept;
  const auto ca = kept.Open();
  const std::string key = identity::NewKey().value();
  const auto pem = ca->SignIntermediate(identity::MakeCsr(key).value(), "edge.acme.weir.internal", {"uid-edge", 1});
  ASSERT_TRUE(pem.ok());
  EXPECT_TRUE(identity::ReadCertificate(*pem)->is_authority);
  identity::LeafRequest request;
  request.csr_pem = identity::MakeCsr(key).value();
  request.spiffe_id = identity::AgentSpiffeId("edge.acme.weir.internal");
  const auto leaf = identity::SignLeaf({*pem, key}, request, kept.clock);
  EXPECT_FALSE(identity::VerifyChain(*leaf + *pem, ca->anchor_pem(), kept.clock).ok());
  const auto facts = identity::VerifyChain(*leaf + *pem, ca->mesh_root_pem(), kept.clock);
  ASSERT_TRUE(facts.ok()) << facts.error().ToString();
  EXPECT_EQ(facts->cluster, (identity::ClusterGeneration{"uid-edge", 1}));
}

TEST(JoinTokens, AreKeptAsTheHashOfTheirSecret) {
  ManualClock clock;
  const auto token = MintJoinToken(kCluster, std::string(64, 'a'), clock);
  EXPECT_EQ(token.text.find(token.hash), std::string::npos);
  EXPECT_EQ(JoinTokenHash(token.text).value(), token.hash);
  EXPECT_EQ(token.expires, clock.Wall() + std::chrono::minutes(15));
  EXPECT_EQ(JoinTokenHash("weir-join-1.xyz").error().reason, "JOIN_TOKEN_UNKNOWN");
}

}  // namespace
}  // namespace weir::ca
