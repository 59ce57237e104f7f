#include <google/protobuf/text_format.h>

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "libs/proxy/envoy_snapshot.h"
#include "libs/proxy/health_test_tiers.h"
#include "libs/proxy/shares.h"

namespace weir::proxy {
namespace {

class PanicTest : public HealthTest {
 protected:
  // All pods are ill by what their health page says, and would answer.
  void StartIll(bool panic) {
    StartAll();
    auto snapshot = std::make_shared<Snapshot>(*Tier1());
    auto& cluster = snapshot->destination_sets.begin()->second;
    auto changed = std::make_shared<DestinationSet>(*cluster);
    changed->panic = panic;
    cluster = changed;
    ASSERT_TRUE(ApplyAndWait(t1, snapshot).ok());
    pod[0].healthy = pod[1].healthy = false;
    ASSERT_TRUE(Eventually(3s, [&] { return Out("c1", "no_endpoint") && Out("c2", "no_endpoint"); }));
  }
  std::string AskSaying(const std::string& line) {
    Conn conn = Conn::To(t1.Port("public"));
    conn.Send("GET / HTTP/1.1\r\nHost: a.example\r\n" + line + "\r\n");
    return Response(conn).first.substr(0, 12);
  }
};

TEST_F(PanicTest, WhereNobodyCanServeAllAreAskedByTheirWeightsAndTheTierBehindIsTold) {
  StartIll(true);
  EXPECT_EQ(Ask(40), (std::map<std::string, int>{{"1", 20}, {"2", 20}}));
  for (const ShareReport& share : t1.Shares()) EXPECT_EQ(share.intended, 0.5) << share.cluster;
  EXPECT_FALSE(Of("c1").can_serve) << "what is known stays said";
  pod[1].healthy = true;
  ASSERT_TRUE(Eventually(2s, [&] { return Of("c2").can_serve; }));
  EXPECT_EQ(Ask(20), (std::map<std::string, int>{{"2", 20}})) << "somebody can: health counts again";
}

TEST_F(PanicTest, IsNotTheDefaultAndNobodyOutsideMayAskForIt) {
  StartIll(false);
  const auto behind = [&] { return t2[0]->GetStats().requests + t2[1]->GetStats().requests; };
  const uint64_t before = behind();
  EXPECT_EQ(AskSaying(""), "HTTP/1.1 503");
  EXPECT_EQ(AskSaying("x-weir-panic: 1\r\n"), "HTTP/1.1 503");
  EXPECT_EQ(behind(), before) << "nobody was asked";
}

TEST_F(PanicTest, LeavesADrainedClusterAlone) {
  StartAll();
  auto snapshot = std::make_shared<Snapshot>(*Tier1());
  auto changed = std::make_shared<DestinationSet>(*snapshot->destination_sets.begin()->second);
  changed->panic = true;
  changed->localities[0].drained = true;
  snapshot->destination_sets.begin()->second = changed;
  ASSERT_TRUE(ApplyAndWait(t1, snapshot).ok());
  pod[0].healthy = pod[1].healthy = false;
  ASSERT_TRUE(Eventually(3s, [&] { return Out("c1", "drained") && Out("c2", "no_endpoint"); }));
  EXPECT_EQ(Ask(10), (std::map<std::string, int>{{"2", 10}}));
}

TEST(EnvoyPanic, IsReadFromItsThreshold) {
  const auto read = [](const std::string& threshold) {
    ::envoy::config::cluster::v3::Cluster message;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
        "name: 'set' type: EDS eds_cluster_config { eds_config { ads {} resource_api_version: V3 } } "
        "connect_timeout { seconds: 1 } common_lb_config { healthy_panic_threshold { " +
            threshold + " } }",
        &message));
    return BuildSnapshot(std::vector{EnvoyResource{"type.googleapis.com/" + message.GetDescriptor()->full_name(), "set",
                                                   message.SerializeAsString()}},
                         "1");
  };
  const auto panics = [&](const std::string& threshold) {
    const auto built = read(threshold);
    EXPECT_TRUE(built.ok()) << built.error().ToString();
    const auto found = built->snapshot->destination_sets.find("set");
    return found != built->snapshot->destination_sets.end() && found->second->panic;
  };
  EXPECT_FALSE(panics(""));
  EXPECT_TRUE(panics("value: 1"));
  const auto half = read("value: 50");
  EXPECT_TRUE(!half.ok() || !half->snapshot->destination_sets.contains("set"))
      << "a threshold that is not served is refused";
}

}  // namespace
}  // namespace weir::proxy
