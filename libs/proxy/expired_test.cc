#include <google/protobuf/struct.pb.h>
#include <gtest/gtest.h>

#include <atomic>

#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "libs/proxy/envoy_snapshot.h"
#include "libs/proxy/mesh_test_tiers.h"
#include "libs/proxy/sayings.h"
#include "tests/support/real_time.h"

// Peers whose leaf has run out, because the agent that would renew it is away.
namespace weir::proxy {
namespace {

using std::chrono::seconds;

class ExpiredTest : public MeshTiersTest {
 protected:
  // Of a leaf that ends `left` from now (before 0: has ended); believes those that ended at most `grace` ago.
  Identity IdentityOf(const std::string& domain, const std::string& id, seconds left, seconds grace,
                      uint64_t generation = 1) {
    identity::Authority ca;
    ca.key_pem = *identity::NewKey();
    ca.certificate_pem = *identity::SignIntermediate(root, {*identity::MakeCsr(ca.key_pem),
                                                            domain,
                                                            {"uid-" + domain.substr(0, domain.find('.')), generation},
                                                            std::chrono::hours(10)});
    constexpr seconds kLife(10);
    ManualClock then;
    SetToPresent(then);
    then.JumpWall(left - kLife);
    identity::LeafRequest request;
    const std::string key = *identity::NewKey();
    request.csr_pem = *identity::MakeCsr(key);
    request.spiffe_id = id;
    request.lifetime = kLife;
    Identity made{*identity::SignLeaf(ca, request, then) + ca.certificate_pem, key, root.certificate_pem};
    made.generations = std::make_shared<const identity::ValidGenerations>(
        identity::ValidGenerations{{{"uid-edge", 2}, {"uid-c1", 1}}, grace});
    return made;
  }
  void Run(const Identity& first_is, const Identity& second_is) {
    MeshTiersTest::Run(first_is, second_is, echo.backend.port);
  }
  Identity First(seconds left, uint64_t generation = 2) {
    return IdentityOf("edge.acme", kT1, left, seconds(0), generation);
  }
  Identity Second(seconds left, seconds grace) { return IdentityOf("c1.acme", kT2, left, grace); }

  Echo echo{"secret"};
};

TEST_F(ExpiredTest, IsRefusedWithoutAGrace) {
  Run(First(seconds(-60)), Second(seconds(9), seconds(0)));
  EXPECT_NE(Ask(), "200");
  EXPECT_GE(t2.GetStats().tls_failures, 1u);
}

TEST_F(ExpiredTest, IsBelievedWithinTheGraceOfTheReceiver) {
  Run(First(seconds(-60)), Second(seconds(9), seconds(120)));
  EXPECT_EQ(Ask(), "200");
}

TEST_F(ExpiredTest, IsRefusedWhenTheGraceIsOver) {
  Run(First(seconds(-180)), Second(seconds(9), seconds(120)));
  EXPECT_NE(Ask(), "200");
}

TEST_F(ExpiredTest, NothingElseIsForgiven) {
  Run(First(seconds(-60), 1), Second(seconds(9), seconds(120)));
  EXPECT_NE(Ask(), "200") << "its membership has ended";
  EXPECT_GE(t2.GetStats().identity_refused, 1u);
}

TEST_F(ExpiredTest, AStrangerIsNotForgiven) {
  const Identity second = Second(seconds(9), seconds(120));
  const std::string trusted = root.certificate_pem;
  root = *identity::NewRoot("another root");
  Identity first = First(seconds(9));
  first.roots = trusted;
  Run(first, second);
  EXPECT_NE(Ask(), "200") << "its leaf is young, its root is nobody's";
}

// Its signature is good, and its authority is of the very membership that counts; the name is not that authority's to
// give.
TEST_F(ExpiredTest, AnotherFaultOfTheLeafIsNotForgiven) {
  Run(IdentityOf("edge.evil", kT1, seconds(9), seconds(0), 2), Second(seconds(9), seconds(120)));
  EXPECT_NE(Ask(), "200");
  EXPECT_GE(t2.GetStats().tls_failures, 1u);
}

TEST_F(ExpiredTest, ASessionOfTheCallerIsNoWayRoundAGraceThatIsTakenBack) {
  std::atomic<int> asked{0};
  std::atomic<bool> held{false};
  Backend slow([&](Conn& conn) {
    while (!conn.TakeHead().empty()) {
      ++asked;
      Eventually([&] { return !held; });
      if (!conn.Send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")) return;
    }
  });
  Identity first = IdentityOf("edge.acme", kT1, seconds(9), seconds(120), 2);
  MeshTiersTest::Run(first, Second(seconds(-60), seconds(0)), slow.port);
  ASSERT_EQ(Ask(), "200");  // Has a session now.
  held = true;
  Conn busy = Conn::To(t1.Port("public"));
  busy.Send(kGet);
  ASSERT_TRUE(Eventually([&] { return asked == 2; }));
  auto without = std::make_shared<identity::ValidGenerations>(*first.generations);
  without->expired_grace = seconds(0);
  first.generations = without;
  ASSERT_TRUE(t1.SetIdentity(first).ok());
  EXPECT_NE(Ask(), "200") << "by another connection than the busy one";
  EXPECT_EQ(asked, 2);
  held = false;
}

TEST_F(ExpiredTest, ATicketIsNoWayRoundAGraceThatIsTakenBack) {
  Run(First(seconds(9)), Second(seconds(9), seconds(120)));
  Resumer late(First(seconds(-60)));
  ASSERT_EQ(late.Ask(t2.Port("public"), TLS1_3_VERSION), "200");
  ASSERT_EQ(late.Ask(t2.Port("public"), TLS1_3_VERSION), "200");
  ASSERT_TRUE(late.resumed());
  ASSERT_TRUE(t2.SetIdentity(Second(seconds(9), seconds(0))).ok());
  EXPECT_NE(late.Ask(t2.Port("public"), TLS1_3_VERSION), "200");
}

TEST_F(ExpiredTest, AnUpstreamIsForgivenByWhoCallsIt) {
  Identity first = IdentityOf("edge.acme", kT1, seconds(9), seconds(120), 2);
  Run(first, Second(seconds(-60), seconds(0)));
  EXPECT_EQ(Ask(), "200");
}

TEST_F(ExpiredTest, AConnectionThatStandsOutlivesTheLeaf) {
  Run(First(seconds(2)), Second(seconds(9), seconds(0)));
  ASSERT_EQ(Ask(), "200");
  const Stopwatch since;
  ASSERT_TRUE(Eventually([&] { return since.Elapsed() > seconds(3); }));
  EXPECT_EQ(Ask(), "200");
  EXPECT_EQ(t2.GetStats().connections_accepted, 1u);
}

TEST(ExpiredGrace, ComesWithTheSecretAndIsBounded) {
  const auto read = [](double grace) {
    ::envoy::extensions::transport_sockets::tls::v3::Secret secret;
    secret.set_name("trust");
    auto& context = *secret.mutable_validation_context();
    context.mutable_trusted_ca()->set_inline_string(identity::NewRoot("r")->certificate_pem);
    google::protobuf::Struct fields;
    (*fields.mutable_fields())["uid"].set_number_value(3);
    if (grace > 0) (*fields.mutable_fields())["expired.grace"].set_number_value(grace);
    context.mutable_custom_validator_config()->set_name("dev.weir.generations");
    context.mutable_custom_validator_config()->mutable_typed_config()->PackFrom(fields);
    const auto built =
        BuildSnapshot(std::vector{EnvoyResource{"type.googleapis.com/" + secret.GetDescriptor()->full_name(), "trust",
                                                secret.SerializeAsString()}},
                      "1");
    EXPECT_TRUE(built.ok());
    return *built->generations;
  };
  EXPECT_EQ(read(0).expired_grace, seconds(0));
  EXPECT_EQ(read(60).expired_grace, seconds(60));
  EXPECT_EQ(read(60).lowest, (std::map<std::string, uint64_t, std::less<>>{{"uid", 3}}));
  EXPECT_EQ(read(86'400).expired_grace, seconds(3600));
}

TEST(Sayings, TheSameWordsComeOnceAMinute) {
  Sayings sayings;
  EXPECT_TRUE(sayings.New("a", 1'000));
  EXPECT_FALSE(sayings.New("a", 60'999));
  EXPECT_TRUE(sayings.New("b", 1'000));
  EXPECT_TRUE(sayings.New("a", 61'000));
  EXPECT_FALSE(sayings.New("a", 61'001));
  for (size_t i = 0; i < 2 * Sayings::kMost; ++i) EXPECT_TRUE(sayings.New(std::to_string(i), 61'001));
}

}  // namespace
}  // namespace weir::proxy
