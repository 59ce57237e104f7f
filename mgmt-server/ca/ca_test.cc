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
  EXPECT_EQ(first->mesh_roots_pem(), second->mesh_roots_pem());
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
  EXPECT_FALSE(identity::VerifyChain(chain, ca->mesh_roots_pem(), kept.clock).ok());
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
  EXPECT_EQ(ca->mesh_roots_pem(), root.certificate_pem);
  EXPECT_FALSE(identity::VerifyChain(ca->server_certificate().chain_pem, root.certificate_pem, kept.clock).ok());
  const auto again = kept.Open();
  EXPECT_FALSE(again->made_anchor_for_old_state());
  EXPECT_EQ(again->anchor_pem(), ca->anchor_pem());
}

// What an agent signs with an intermediate of now.
std::string ChainOf(const ServerCa& ca, const Clock& clock) {
  identity::Authority agent;
  agent.key_pem = *identity::NewKey();
  agent.certificate_pem =
      ca.SignIntermediate(*identity::MakeCsr(agent.key_pem), "edge.acme.weir.internal", {"uid-edge", 1}).value();
  identity::LeafRequest leaf;
  leaf.csr_pem = *identity::MakeCsr(*identity::NewKey());
  leaf.spiffe_id = "spiffe://edge.acme.weir.internal/ns/n/sa/s";
  return *identity::SignLeaf(agent, leaf, clock) + agent.certificate_pem;
}

TEST(ServerCa, ItsRootIsReplacedInThreeStepsThatSurviveARestart) {
  Kept kept;
  auto ca = kept.Open();
  const std::string first = ca->mesh_roots_pem();
  EXPECT_EQ(ca->UseNextRoot().error().reason, "ROOT_PHASE");
  EXPECT_EQ(ca->DropOldRoot().error().reason, "ROOT_PHASE");
  ASSERT_TRUE(ca->IntroduceRoot().ok());
  EXPECT_EQ(ca->IntroduceRoot().error().reason, "ROOT_PHASE");
  ca = kept.Open();
  ASSERT_EQ(ca->root_phase(), RootPhase::kIntroduced);
  ASSERT_TRUE(ca->mesh_roots_pem().starts_with(first));
  const std::string second = ca->mesh_roots_pem().substr(first.size());
  EXPECT_TRUE(identity::VerifyChain(ChainOf(*ca, kept.clock), first, kept.clock).ok())
      << "the next one signs nothing yet";
  ASSERT_TRUE(ca->UseNextRoot().ok());
  ca = kept.Open();
  ASSERT_EQ(ca->root_phase(), RootPhase::kRetiring);
  EXPECT_EQ(ca->mesh_roots_pem(), second + first);
  EXPECT_TRUE(identity::VerifyChain(ChainOf(*ca, kept.clock), second, kept.clock).ok());
  ASSERT_TRUE(ca->DropOldRoot().ok());
  ca = kept.Open();
  EXPECT_EQ(ca->root_phase(), RootPhase::kOne);
  EXPECT_EQ(ca->mesh_roots_pem(), second);
}

TEST(ServerCa, AnIntroducedRootMayBeGivenUp) {
  Kept kept;
  auto ca = kept.Open();
  const std::string first = ca->mesh_roots_pem();
  ASSERT_TRUE(ca->IntroduceRoot().ok() && ca->DropOldRoot().ok());
  EXPECT_EQ(ca->mesh_roots_pem(), first);
  EXPECT_EQ(kept.Open()->mesh_roots_pem(), first);
}

// Wherever the disk ends it, the next start finds the step done or not begun, and a key for what signs.
TEST(ServerCa, AStepThatIsCutIsDoneOrNotBegun) {
  for (int writes = 0; writes <= 3; ++writes) {
    SCOPED_TRACE(writes);
    Kept kept;
    Blobs blobs = FileBlobs(kept.folder);
    int left = 1000;
    const auto save = blobs.save;
    blobs.save = [&](const std::string& name, const std::string& content) -> Status {
      if (left-- <= 0) return Unavailable("CUT", "cut");
      return save(name, content);
    };
    ServerCa::Options options;
    options.organization_domain = "acme.weir.internal";
    const auto ca = ServerCa::Open(blobs, options, kept.clock).value();
    const std::string first = ca->mesh_roots_pem();
    ASSERT_TRUE(ca->IntroduceRoot().ok());
    const std::string second = ca->mesh_roots_pem().substr(first.size());
    left = writes;
    EXPECT_EQ(ca->UseNextRoot().ok(), writes == 3);
    const auto after = kept.Open();
    const bool done = after->root_phase() == RootPhase::kRetiring;
    EXPECT_EQ(done, writes >= 2);
    EXPECT_EQ(after->mesh_roots_pem(), done ? second + first : first + second);
    EXPECT_TRUE(identity::VerifyChain(ChainOf(*after, kept.clock), done ? second : first, kept.clock).ok());
    EXPECT_TRUE(done ? after->DropOldRoot().ok() : after->UseNextRoot().ok());
  }
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
  const auto facts = identity::VerifyChain(*leaf + *pem, ca->mesh_roots_pem(), kept.clock);
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
