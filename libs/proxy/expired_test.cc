#include <google/protobuf/struct.pb.h>
#include <gtest/gtest.h>

#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "libs/proxy/engine_test_peers.h"
#include "libs/proxy/envoy_snapshot.h"
#include "libs/proxy/sayings.h"
#include "tests/support/real_time.h"

// Peers whose leaf has run out, because the agent that would renew it is away.
namespace weir::proxy {
namespace {

using std::chrono::seconds;

class ExpiredTest : public testing::Test {
 protected:
  static constexpr char kT1[] = "spiffe://edge.acme/ns/t1/sa/t1", kT2[] = "spiffe://c1.acme/ns/t2/sa/t2";

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
    Config second({At("c1", 1, {echo.backend.port})});
    second.tls = DownstreamTls{true, {{kT1, false}}};
    second.server_names = {"a.example"};
    ASSERT_TRUE(t2.Start({}).ok());
    ASSERT_TRUE(t2.SetIdentity(second_is).ok());
    ASSERT_TRUE(ApplyAndWait(t2, second.Build()).ok());
    Config first({At("c1", 1, {t2.Port("public")}, kT2)});
    first.destination->tls = UpstreamTls{"a.example", {}};
    ASSERT_TRUE(t1.Start({}).ok());
    ASSERT_TRUE(t1.SetIdentity(first_is).ok());
    ASSERT_TRUE(ApplyAndWait(t1, first.Build()).ok());
  }
  std::string Ask() {
    Conn conn = Conn::To(t1.Port("public"));
    conn.Send(kGet);
    return Response(conn).first.substr(9, 3);
  }
  Identity First(seconds left, uint64_t generation = 2) {
    return IdentityOf("edge.acme", kT1, left, seconds(0), generation);
  }
  Identity Second(seconds left, seconds grace) { return IdentityOf("c1.acme", kT2, left, grace); }

  identity::Authority root = *identity::NewRoot("test root");
  Echo echo{"secret"};
  Engine t1, t2;
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
