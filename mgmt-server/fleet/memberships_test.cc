#include "mgmt-server/fleet/memberships.h"

#include <gtest/gtest.h>

#include <random>

#include "api/weir/v2/cluster.pb.h"
#include "api/weir/v2/organization.pb.h"
#include "libs/identity/certificates.h"
#include "libs/identity/spiffe_id.h"
#include "mgmt-server/audit/audit.h"
#include "mgmt-server/ca/ca.h"
#include "mgmt-server/ca/generations.h"
#include "mgmt-server/ca/join_tokens.h"
#include "mgmt-server/store/temp_store.h"

namespace weir::fleet {
namespace {

const std::string kOrganization = "organizations/acme";
const std::string kCluster = kOrganization + "/clusters/c1";
constexpr char kPeer[] = "ipv4:10.0.0.1:5";

class MembershipsTest : public testing::Test {
 protected:
  MembershipsTest() : store_(store::NoPolicy::Get(), clock_) {
    v2::Organization organization;
    organization.mutable_spec()->set_domain("acme.test");
    Put("Organization", kOrganization, organization);
    Create();
  }
  void Put(const std::string& kind, const std::string& fqn, const google::protobuf::Message& message) {
    ASSERT_TRUE(store_
                    ->Write([&](store::Txn& txn) -> Status {
                      WEIR_ASSIGN(const auto put, txn.Put({kind, fqn, message.SerializeAsString(), {}, {}}));
                      return {};
                    })
                    .ok());
  }
  void Create() { Put("Cluster", kCluster, v2::Cluster()); }
  void Delete() {
    ASSERT_TRUE(store_->Write([&](store::Txn& txn) { return txn.Delete(kCluster); }).ok());
  }
  void Revoke() {
    ASSERT_TRUE(store_
                    ->Write([&](store::Txn& txn) {
                      const store::ResourcePtr cluster = txn.Get(kCluster);
                      return ca::SetGeneration(txn, *cluster, ca::GenerationOf(*cluster) + 1);
                    })
                    .ok());
  }
  std::string Token() {
    const auto minted = ca::MintJoinToken(kCluster, ca_->anchor_sha256(), clock_);
    EXPECT_TRUE(store_
                    ->Write([&](store::Txn& txn) {
                      return txn.PutJoinToken({minted.hash, txn.Get(kCluster)->uid, txn.now(), minted.expires, false});
                    })
                    .ok());
    return minted.text;
  }
  // What an agent presents.
  std::string ChainOf(const std::string& intermediate_pem, const std::string& key_pem,
                      const std::string& id = identity::AgentSpiffeId("c1.acme.test")) {
    identity::LeafRequest request;
    request.csr_pem = *identity::MakeCsr(*identity::NewKey());
    request.spiffe_id = id;
    return *identity::SignLeaf({intermediate_pem, key_pem}, request, clock_) + intermediate_pem;
  }
  Result<std::string> Join(const std::string& token, const std::string& peer = kPeer) {
    const std::string key = *identity::NewKey();
    agent::v1::JoinRequest request;
    request.set_token(token);
    request.set_csr_pem(*identity::MakeCsr(key));
    WEIR_ASSIGN(const auto response, memberships_.Join(request, peer));
    return ChainOf(response.intermediate_pem(), key);
  }
  Result<std::string> Renew(const std::string& chain, const std::string& peer = kPeer) {
    const std::string key = *identity::NewKey();
    WEIR_ASSIGN(const auto response, memberships_.Renew(chain, *identity::MakeCsr(key), peer));
    return ChainOf(response.intermediate_pem(), key);
  }
  std::string Refusal(const std::string& chain) {
    const auto member = memberships_.MemberOf(chain);
    return member.ok() ? "" : member.error().reason;
  }
  uint64_t Generation() { return ca::GenerationOf(*store_->Read()->Get(kCluster)); }
  std::vector<store::AuditRow> Audit() { return *store_->Audit({}); }

  ManualClock clock_;
  store::TempStore store_;
  std::unique_ptr<ca::ServerCa> ca_ = *ca::ServerCa::Open(ca::FileBlobs(store_.folder()), {}, clock_);
  Memberships memberships_{*store_, *ca_, clock_};
};

TEST_F(MembershipsTest, AJoinMakesTheFirstGenerationAndARenewalKeepsIt) {
  const auto joined = Join(Token());
  ASSERT_TRUE(joined.ok()) << joined.error().ToString();
  EXPECT_EQ(memberships_.MemberOf(*joined)->cluster, kCluster);
  EXPECT_EQ(memberships_.MemberOf(*joined)->generation.generation, 1u);
  const auto renewed = Renew(*joined);
  ASSERT_TRUE(renewed.ok()) << renewed.error().ToString();
  EXPECT_EQ(memberships_.MemberOf(*renewed)->generation.generation, 1u);
  EXPECT_EQ(Refusal(*joined), "");
  EXPECT_EQ(Generation(), 1u);
}

TEST_F(MembershipsTest, OfTwoJoinsOnlyTheLastIsValid) {
  const auto first = Join(Token());
  const auto second = Join(Token());
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(Refusal(*first), "MEMBERSHIP_ENDED");
  EXPECT_EQ(Renew(*first).error().reason, "MEMBERSHIP_ENDED");
  EXPECT_EQ(Refusal(*second), "");
  EXPECT_EQ(memberships_.MemberOf(*second)->generation.generation, 2u);
}

TEST_F(MembershipsTest, AClusterThatIsCreatedAgainUnderTheNameGivesTheOldAgentNothing) {
  const auto old = Join(Token());
  Delete();
  EXPECT_EQ(Refusal(*old), "CLUSTER_UNKNOWN");
  Create();
  EXPECT_EQ(Refusal(*old), "CLUSTER_UNKNOWN");
  const auto fresh = Join(Token());  // Generation 1 again, of another uid.
  EXPECT_EQ(Refusal(*fresh), "");
  EXPECT_EQ(Refusal(*old), "CLUSTER_UNKNOWN");
  EXPECT_EQ(Renew(*old).error().reason, "CLUSTER_UNKNOWN");
}

TEST_F(MembershipsTest, ARefusedRequestUsesNothingUp) {
  const std::string token = Token();
  agent::v1::JoinRequest request;
  request.set_token(token);
  request.set_csr_pem("nonsense");
  EXPECT_EQ(memberships_.Join(request, "p").error().reason, "CSR_MALFORMED");
  EXPECT_EQ(Generation(), 0u);
  EXPECT_TRUE(Join(token).ok());
  EXPECT_EQ(Join(token).error().reason, "JOIN_TOKEN_USED");
  EXPECT_EQ(Generation(), 1u);
  const std::string late = Token();
  clock_.Advance(std::chrono::minutes(15));
  EXPECT_EQ(Join(late).error().reason, "JOIN_TOKEN_EXPIRED");
}

TEST_F(MembershipsTest, OnlyTheAgentsOwnIdentityIsTheAgent) {
  const std::string key = *identity::NewKey();
  agent::v1::JoinRequest request;
  request.set_token(Token());
  request.set_csr_pem(*identity::MakeCsr(key));
  const auto joined = memberships_.Join(request, "p");
  ASSERT_TRUE(joined.ok());
  EXPECT_EQ(Refusal(ChainOf(joined->intermediate_pem(), key, "spiffe://c1.acme.test/ns/n/sa/s")), "NOT_THE_AGENT");
  EXPECT_EQ(Refusal(ChainOf(joined->intermediate_pem(), key, "spiffe://c2.acme.test/weir-agent")),
            "CERTIFICATE_REFUSED");
  EXPECT_EQ(Refusal(""), "PEER_IDENTITY_MISSING");
}

// The store was restored from a backup: what the root has signed since counts on, and the next join goes beyond it.
TEST_F(MembershipsTest, ASignedGenerationThatTheStoreHasForgottenIsNotGivenTwice) {
  ASSERT_TRUE(Join(Token()).ok());
  const auto agent = Join(Token());
  ASSERT_TRUE(store_->Write([&](store::Txn& txn) { return ca::SetGeneration(txn, *txn.Get(kCluster), 1); }).ok());
  ASSERT_TRUE(memberships_.RecordGeneration(*memberships_.MemberOf(*agent)).ok());  // As its stream is opened.
  EXPECT_EQ(Generation(), 2u);
  ASSERT_TRUE(store_->Write([&](store::Txn& txn) { return ca::SetGeneration(txn, *txn.Get(kCluster), 1); }).ok());
  EXPECT_TRUE(Renew(*agent).ok());
  EXPECT_EQ(Generation(), 2u);
}

// Whatever happens in whatever order, those who may speak are exactly those whom the last join made, and what they
// renewed.
TEST_F(MembershipsTest, AfterAnySequenceOnlyTheLastMembershipSpeaks) {
  struct Agent {
    std::string chain;
    bool valid;
  };
  std::vector<Agent> agents;
  bool exists = true;
  const auto end_all = [&] {
    for (Agent& agent : agents) agent.valid = false;
  };
  std::mt19937 random(7);
  for (int step = 0; step < 60; ++step) {
    switch (random() % 6) {
      case 0:
      case 1: {
        if (!exists) break;
        end_all();
        agents.push_back({*Join(Token()), true});
        break;
      }
      case 2:
      case 3: {
        if (agents.empty()) break;
        const Agent who = agents[random() % agents.size()];
        const auto renewed = Renew(who.chain);
        ASSERT_EQ(renewed.ok(), who.valid) << step;
        if (renewed.ok()) agents.push_back({*renewed, true});
        break;
      }
      case 4:
        if (exists) Revoke();
        end_all();
        break;
      case 5:
        exists ? Delete() : Create();
        exists = !exists;
        end_all();
        break;
    }
    for (const Agent& agent : agents) ASSERT_EQ(Refusal(agent.chain).empty(), agent.valid) << step;
  }
}

TEST_F(MembershipsTest, JoinsRenewalsAndRefusalsStandInTheAuditAndRefusalsAreBounded) {
  const auto first = Join(Token());
  const auto renewed = Renew(*first);
  const auto second = Join(Token());
  const int64_t before = static_cast<int64_t>(Audit().size());
  ASSERT_EQ(before, 3);
  EXPECT_EQ(Audit()[0].action, "join");
  EXPECT_EQ(Audit()[0].fqn, kCluster);
  EXPECT_EQ(Audit()[0].peer, "ipv4:10.0.0.1:5");
  EXPECT_EQ(Audit()[1].action, "renew");
  EXPECT_EQ(Audit()[2].action, "join");
  EXPECT_NE(Audit()[2].path.find("generation 2"), std::string::npos);

  for (int i = 0; i < 500; ++i) {
    EXPECT_FALSE(Renew(*first).ok());
    EXPECT_FALSE(Join("weir-join-1.nonsense", fmt::format("ipv4:10.0.0.1:{}", i)).ok()) << "of one source";
  }
  EXPECT_EQ(Audit().size(), 3u + 40u);
  EXPECT_EQ(Audit()[3].action, "renew-refused");
  EXPECT_EQ(Audit()[3].path, "MEMBERSHIP_ENDED spiffe://c1.acme.test/weir-agent");
  EXPECT_EQ(Audit()[4].action, "join-refused");
  clock_.Advance(std::chrono::seconds(31));
  EXPECT_FALSE(Join("weir-join-1.nonsense").ok());
  EXPECT_EQ(Audit().back().path, "JOIN_TOKEN_UNKNOWN (and 480 more that are not recorded)");
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(Renew(*second).ok());  // Valid ones of one cluster are bounded too.
  EXPECT_EQ(Audit().size(), 3u + 40u + 1u + 9u);
  EXPECT_TRUE(audit::Verify(*store_).ok());
}

// Who was refused, as far as anybody can know.
TEST_F(MembershipsTest, ARefusalNamesTheClusterWhoseCertificateOrTokenItWas) {
  const std::string token = Token();
  const auto first = Join(token);
  const std::string uid = store_->Read()->Get(kCluster)->uid;
  const auto last = [&] {
    const store::AuditRow row = Audit().back();
    return fmt::format("{}, {}, {}, {}", row.action, row.fqn, row.uid == uid ? "its uid" : row.uid, row.path);
  };
  EXPECT_FALSE(Join(token).ok());
  EXPECT_EQ(last(), "join-refused, organizations/acme/clusters/c1, its uid, JOIN_TOKEN_USED");
  Revoke();
  EXPECT_FALSE(Renew(*first).ok());
  EXPECT_EQ(last(),
            "renew-refused, organizations/acme/clusters/c1, its uid, MEMBERSHIP_ENDED "
            "spiffe://c1.acme.test/weir-agent");
  Delete();
  EXPECT_FALSE(Renew(*first).ok());
  EXPECT_EQ(last(), "renew-refused, , its uid, CLUSTER_UNKNOWN spiffe://c1.acme.test/weir-agent");
  EXPECT_FALSE(Renew("").ok());
  EXPECT_EQ(last(), "renew-refused, , , PEER_IDENTITY_MISSING");
}

TEST_F(MembershipsTest, NobodysRefusalsHideAnothers) {
  const std::string used = Token();
  const auto first = Join(used);
  const std::string other = kOrganization + "/clusters/c2";
  Put("Cluster", other, v2::Cluster());
  const auto of_other = [&] {
    const auto minted = ca::MintJoinToken(other, ca_->anchor_sha256(), clock_);
    EXPECT_TRUE(store_
                    ->Write([&](store::Txn& txn) {
                      return txn.PutJoinToken({minted.hash, txn.Get(other)->uid, txn.now(), minted.expires, false});
                    })
                    .ok());
    return minted.text;
  }();
  ASSERT_TRUE(Join(of_other).ok());
  Revoke();
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(Renew(*first, "ipv4:10.0.0.9:5").ok());
  const auto recorded = [&](const auto& refuse) {
    const size_t was = Audit().size();
    refuse();
    return Audit().size() - was;
  };
  EXPECT_EQ(recorded([&] { EXPECT_FALSE(Renew(*first, "ipv4:10.0.0.9:6").ok()); }), 0u);
  EXPECT_EQ(recorded([&] { EXPECT_FALSE(Renew(*first, "ipv4:10.0.0.8:5").ok()); }), 1u) << "another source";
  EXPECT_EQ(recorded([&] { EXPECT_FALSE(Join(used, "ipv4:10.0.0.9:5").ok()); }), 1u) << "another action";
  EXPECT_EQ(recorded([&] { EXPECT_FALSE(Join(of_other, "ipv4:10.0.0.9:5").ok()); }), 1u) << "another cluster";
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(Renew(*first, fmt::format("ipv6:%5B2001:db8::{}%5D:5", i)).ok());
  EXPECT_EQ(recorded([&] { EXPECT_FALSE(Renew(*first, "ipv6:%5B2001:db8::ff%5D:5").ok()); }), 0u) << "of one /64";
  for (int i = 0; i < 1'000; ++i) EXPECT_FALSE(Renew(*first, fmt::format("ipv4:10.1.{}.{}:5", i / 256, i % 256)).ok());
  EXPECT_LT(Audit().size(), 400u) << "bounded whatever the number of sources";
}

}  // namespace
}  // namespace weir::fleet
