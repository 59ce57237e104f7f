#include <gmock/gmock.h>
#include <openssl/x509v3.h>

#include "libs/identity/openssl.h"
#include "libs/proxy/mesh_test_tiers.h"

// Peers whose membership has ended: on new connections, on connections that stand, on resumed ones, on both sides.
namespace weir::proxy {
namespace {

using testing::StartsWith;
using Lowest = std::map<std::string, uint64_t, std::less<>>;

std::shared_ptr<const identity::ValidGenerations> Valid(Lowest lowest) {
  return std::make_shared<const identity::ValidGenerations>(identity::ValidGenerations{std::move(lowest)});
}

// The backend answers when it is let.
class GenerationTest : public MeshTiersTest {
 protected:
  GenerationTest()
      : backend([this](Conn& conn) {
          while (!conn.TakeHead().empty()) {
            ++asked;
            Eventually([this] { return !held || over; });
            if (!conn.Send("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret")) return;
          }
        }) {}
  ~GenerationTest() override { over = true; }

  Identity IdentityOf(const std::string& domain, const std::string& id, identity::ClusterGeneration cluster,
                      Lowest lowest) {
    identity::Authority ca;
    ca.key_pem = *identity::NewKey();
    ca.certificate_pem =
        *identity::SignIntermediate(root, {*identity::MakeCsr(ca.key_pem), domain, cluster, std::chrono::hours(1)});
    Identity identity = weir::proxy::IdentityOf(ca, id);
    if (signs_others) identity.certificate_chain = MaySign(identity.certificate_chain, ca);
    identity.roots = root.certificate_pem;
    identity.generations = Valid(std::move(lowest));
    return identity;
  }
  void Run(const Identity& first_is, const Identity& second_is) {
    MeshTiersTest::Run(first_is, second_is, backend.port);
  }
  Identity First(uint64_t generation, Lowest lowest) {
    return IdentityOf("edge.acme", kT1, {"uid-edge", generation}, std::move(lowest));
  }
  Identity Second(uint64_t generation, Lowest lowest) {
    return IdentityOf("c1.acme", kT2, {"uid-c1", generation}, std::move(lowest));
  }

  // The chain whose first certificate says of itself that it is an authority.
  static std::string MaySign(const std::string& chain, const identity::Authority& issuer) {
    const auto both = *identity::SplitBundle(chain);
    const identity::CertPtr leaf = std::move(identity::ParseCertificates(both[0])->front());
    const identity::KeyPtr key = std::move(identity::ParseKey(issuer.key_pem).value());
    X509_EXTENSION_free(X509_delete_ext(leaf.get(), X509_get_ext_by_NID(leaf.get(), NID_basic_constraints, -1)));
    const identity::ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, nullptr, NID_basic_constraints, "CA:TRUE"));
    EXPECT_EQ(X509_add_ext(leaf.get(), extension.get(), -1), 1);
    EXPECT_GT(X509_sign(leaf.get(), key.get(), EVP_sha256()), 0);
    return identity::ToPem(leaf.get()) + issuer.certificate_pem;
  }

  bool signs_others = false;
  std::atomic<int> asked{0};
  std::atomic<bool> held{false}, over{false};
  Backend backend;
};

TEST_F(GenerationTest, WhoIsListedOrLaterIsLetIn) {
  Run(First(3, {{"uid-edge", 1}, {"uid-c1", 4}}), Second(4, {{"uid-edge", 2}, {"uid-c1", 1}}));
  EXPECT_EQ(Ask(), "200");
}

TEST_F(GenerationTest, ACallerOfAnEndedGenerationIsRefused) {
  Run(First(1, {{"uid-c1", 1}}), Second(1, {{"uid-edge", 2}}));
  EXPECT_THAT(Ask(), StartsWith("50"));  // As the handshake broke before or after our side was done.
  EXPECT_GE(t2.GetStats().identity_refused, 1u);
  EXPECT_EQ(asked, 0);
}

TEST_F(GenerationTest, AnUpstreamOfAnEndedGenerationIsRefused) {
  Run(First(1, {{"uid-c1", 2}}), Second(1, {{"uid-edge", 1}}));
  EXPECT_THAT(Ask(), StartsWith("50"));
  EXPECT_GE(t1.GetStats().identity_refused, 1u);
  EXPECT_EQ(asked, 0);
}

// A cluster that was deleted is not listed; one that has its name now has another uid.
TEST_F(GenerationTest, AClusterThatIsNotListedIsRefusedWhateverItsName) {
  Run(First(9, {{"uid-c1", 1}}), Second(1, {{"uid-edge-again", 1}}));
  EXPECT_THAT(Ask(), StartsWith("50"));
  EXPECT_GE(t2.GetStats().identity_refused, 1u);
}

TEST_F(GenerationTest, AChainWithoutAGenerationIsRefused) {
  Identity bare = weir::proxy::IdentityOf(root, kT1);  // Signed by the root itself.
  bare.generations = Valid({{"uid-c1", 1}});
  Run(bare, Second(1, {{"uid-edge", 1}}));
  EXPECT_THAT(Ask(), StartsWith("50"));
  EXPECT_EQ(asked, 0);
}

// SPIFFE X.509-SVID, 4.1: an identity is a leaf. Of the right id, cluster and generation.
TEST_F(GenerationTest, ACallerWhoseCertificateMaySignOthersIsRefused) {
  const Identity second = Second(1, {{"uid-edge", 1}});
  signs_others = true;
  Run(First(1, {{"uid-c1", 1}}), second);
  EXPECT_THAT(Ask(), StartsWith("50"));
  EXPECT_GE(t2.GetStats().identity_refused, 1u);
  EXPECT_EQ(asked, 0);
}

TEST_F(GenerationTest, AnUpstreamWhoseCertificateMaySignOthersIsRefused) {
  const Identity first = First(1, {{"uid-c1", 1}});
  signs_others = true;
  Run(first, Second(1, {{"uid-edge", 1}}));
  EXPECT_THAT(Ask(), StartsWith("50"));
  EXPECT_GE(t1.GetStats().identity_refused, 1u);
  EXPECT_EQ(asked, 0);
}

TEST_F(GenerationTest, ConnectionsStandWhenSomebodyElseEnds) {
  const Identity second = Second(1, {{"uid-edge", 1}, {"uid-other", 1}});
  Run(First(1, {{"uid-c1", 1}}), second);
  EXPECT_EQ(Ask(), "200");
  Identity next = second;
  next.generations = Valid({{"uid-edge", 1}, {"uid-other", 2}});
  ASSERT_TRUE(t2.SetIdentity(next).ok());
  EXPECT_EQ(Ask(), "200");
  EXPECT_EQ(t1.GetStats().upstream_connections, 1u);
}

TEST_F(GenerationTest, AnIdleConnectionOfAnEndedCallerIsClosedAtOnce) {
  const Identity second = Second(1, {{"uid-edge", 1}});
  Run(First(1, {{"uid-c1", 1}}), second);
  EXPECT_EQ(Ask(), "200");
  ASSERT_EQ(t2.GetStats().connections_open, 1u);
  Identity next = second;
  next.generations = Valid({{"uid-edge", 2}});
  ASSERT_TRUE(t2.SetIdentity(next).ok());
  ASSERT_TRUE(Eventually([&] { return t2.GetStats().connections_open == 0; }));
  EXPECT_THAT(Ask(), StartsWith("50"));
  EXPECT_EQ(asked, 1);
}

TEST_F(GenerationTest, ABusyConnectionOfAnEndedCallerIsClosedAtOnce) {
  const Identity second = Second(1, {{"uid-edge", 1}});
  Run(First(1, {{"uid-c1", 1}}), second);
  held = true;
  Conn conn = Conn::To(t1.Port("public"));
  conn.Send(kGet);
  ASSERT_TRUE(Eventually([&] { return asked == 1; }));
  Identity next = second;
  next.generations = Valid({{"uid-edge", 2}});
  ASSERT_TRUE(t2.SetIdentity(next).ok());
  EXPECT_TRUE(Response(conn).first.starts_with("HTTP/1.1 50"));  // While the backend still holds its answer back.
  EXPECT_EQ(t2.GetStats().connections_open, 0u);
}

TEST_F(GenerationTest, ABusyConnectionToAnEndedUpstreamIsClosedAtOnceAndAnIdleOneToo) {
  const Identity first = First(1, {{"uid-c1", 1}});
  Run(first, Second(1, {{"uid-edge", 1}}));
  held = true;
  Conn conn = Conn::To(t1.Port("public"));
  conn.Send(kGet);
  ASSERT_TRUE(Eventually([&] { return asked == 1; }));
  Identity next = first;
  next.generations = Valid({{"uid-c1", 2}});
  ASSERT_TRUE(t1.SetIdentity(next).ok());
  EXPECT_TRUE(Response(conn).first.starts_with("HTTP/1.1 50"));  // While the backend still holds its answer back.
  held = false;
  ASSERT_TRUE(Eventually([&] { return t2.GetStats().connections_open == 0; }));
  ASSERT_TRUE(t1.SetIdentity(first).ok());
  ASSERT_TRUE(Eventually([&] { return Ask() == "200"; }));
  ASSERT_TRUE(t1.SetIdentity(next).ok());
  ASSERT_TRUE(Eventually([&] { return t2.GetStats().connections_open == 0; }));
}

// ---- Resumption: a ticket must not be a way around.

class Resumption : public GenerationTest, public testing::WithParamInterface<int> {};

TEST_P(Resumption, AResumedConnectionEndsWithItsMembershipAndItsTicketOpensNothing) {
  const Identity second = Second(1, {{"uid-edge", 1}, {"uid-c1", 1}});
  Run(First(1, {{"uid-c1", 1}}), second);
  Resumer caller(First(1, {}));
  ASSERT_EQ(caller.Ask(t2.Port("public"), GetParam()), "200");
  for (int again = 0; again < 3; ++again) {  // By a ticket of a resumed connection, too.
    ASSERT_EQ(caller.Ask(t2.Port("public"), GetParam()), "200");
    ASSERT_TRUE(caller.resumed());
  }
  Identity next = second;
  next.generations = Valid({{"uid-edge", 1}, {"uid-c1", 2}});  // Somebody else's end leaves it standing.
  ASSERT_TRUE(t2.SetIdentity(next).ok());
  ASSERT_EQ(caller.Again(), "200");
  next.generations = Valid({{"uid-edge", 2}, {"uid-c1", 2}});
  ASSERT_TRUE(t2.SetIdentity(next).ok());
  ASSERT_TRUE(Eventually([&] { return t2.GetStats().connections_open == 0; }));
  EXPECT_EQ(caller.Again(), "");
  EXPECT_EQ(caller.Ask(t2.Port("public"), GetParam()), "");
}

INSTANTIATE_TEST_SUITE_P(EachVersion, Resumption, testing::Values(TLS1_2_VERSION, TLS1_3_VERSION));

}  // namespace
}  // namespace weir::proxy
