#include "mgmt-server/fleet/traffic.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "api/weir/agent/v1/agent.pb.h"
#include "mgmt-server/compile/compile.h"
#include "mgmt-server/fleet/applied.h"
#include "mgmt-server/fleet/waves.h"

namespace weir::fleet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kOrganization[] = "organizations/o";
constexpr char kEdge[] = "organizations/o/clusters/edge";
constexpr char kGroup[] = "organizations/o/tenants/t/workspaces/w/gatewaygroups/g";

template <typename T>
T From(const std::string& text) {
  T message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}
template <typename T>
void Put(compile::World& world, const std::string& fqn, const std::string& text) {
  world.Put(fqn, std::make_shared<T>(From<T>(text)));
}

// One edge cluster with two tier-1 gateways, one host over c1 (75) and c2 (25), and one host with two rules.
class Traffic : public ::testing::Test {
 protected:
  Traffic() {
    compile::World world;
    Put<v2::Organization>(world, kOrganization, "spec { domain: 'o.example' }");
    for (const char* cluster : {"edge", "c1", "c2"}) {
      Put<v2::Cluster>(world, std::string(kOrganization) + "/clusters/" + cluster, "spec {}");
    }
    Put<v2::Workspace>(world, "organizations/o/tenants/t/workspaces/w", "spec { namespace_selector { names: '*/*' } }");
    Put<v2::GatewayGroup>(world, kGroup, "spec {}");
    Put<v2::Tier1Gateway>(world, std::string(kGroup) + "/tier1gateways/entry",
                          R"(spec { workload_selector { namespace: "n" labels { key: "app" value: "t1" } }
                             external_servers { name: "s" hostname: "a.example" port: 80
                               clusters { name: "c1" weight: 75 } clusters { name: "c2" weight: 25 } }
                             external_servers { name: "w" hostname: "*.wild.example" port: 80 clusters { name: "c1" } }
                             external_servers { name: "x" hostname: "x.wild.example" port: 80 clusters { name: "c1" } }
                             })");
    Put<v2::Gateway>(world, std::string(kGroup) + "/gateways/rules",
                     R"(spec { workload_selector { namespace: "n" labels { key: "app" value: "t1" } }
                        http { name: "r" hostname: "b.example" port: 80 routing {
                          rules { match { uri { prefix: "/x" } } route { cluster_destination { clusters { name: "c1" } } } }
                          rules { route { cluster_destination { clusters { name: "c2" } } } } } } })");
    for (const char* name : {"gw1", "gw2"}) {
      world.PutWorkload(kEdge, From<agent::v1::Workload>(std::string("name: '") + name + R"(' namespace: "n"
        labels { key: "app" value: "t1" } addresses: "127.0.0.1")"));
    }
    compilation_ = compile::Compilation(std::move(world));
  }

  // `rest` of a report of a.example.
  void Report(const std::string& workload, double seconds, const std::string& rest) {
    auto report = From<agent::v1::GatewayTraffic>(rest);
    report.set_workload(workload);
    report.set_seconds(seconds);
    for (auto& set : *report.mutable_traffic()) set.set_destination_set(SetName(set.destination_set()));
    for (auto& set : *report.mutable_health()) set.set_destination_set(SetName(set.destination_set()));
    table_.Report(kEdge, report, wall_, now_);
  }
  // "a.example/s/0" -> the whole name.
  static std::string SetName(const std::string& end) {
    return end.starts_with("service/") ? end : "n:app=t1/80/" + end;
  }
  void Pass(Duration time) {
    now_ += time;
    wall_ += std::chrono::duration_cast<WallTime::duration>(time);
  }
  std::vector<v2::HostTraffic> Ask(const std::string& parent = kOrganization, const std::string& host = "") {
    return TrafficOf(table_, compilation_, {parent, host}, now_);
  }

  compile::Compilation compilation_;
  TrafficTable table_;
  MonoTime now_{std::chrono::hours(1)};
  WallTime wall_{std::chrono::hours(500'000)};
};

constexpr char kTenToTwo[] = R"(traffic { destination_set: "a.example/s/0"
  clusters { cluster: "c1" intended: 0.75 requests: 60 } clusters { cluster: "c2" intended: 0.25 requests: 40 errors: 20 } })";

TEST_F(Traffic, SaysIntendedAndDeliveredSharesOfEachGateway) {
  Report("n/gw2", 10, kTenToTwo);
  Report("n/gw1", 10, kTenToTwo);
  const auto items = Ask();
  ASSERT_EQ(items.size(), 2u);
  EXPECT_EQ(items[0].gateway(), "n/gw1");
  EXPECT_EQ(items[1].gateway(), "n/gw2");
  EXPECT_EQ(items[0].host(), "a.example");
  EXPECT_EQ(items[0].gateway_cluster(), "edge");
  EXPECT_EQ(items[0].source(), std::string(kGroup) + "/tier1gateways/entry");
  EXPECT_EQ(items[0].route(), "s/0");
  EXPECT_EQ(items[0].time().seconds(), 500'000 * 3600);
  ASSERT_EQ(items[0].clusters_size(), 2);
  EXPECT_DOUBLE_EQ(items[0].clusters(0).intended(), 0.75);
  EXPECT_DOUBLE_EQ(items[0].clusters(0).delivered(), 0.6);
  EXPECT_DOUBLE_EQ(items[0].clusters(0).requests_per_second(), 6);
  EXPECT_DOUBLE_EQ(items[0].clusters(1).errors_per_second(), 2);
  EXPECT_TRUE(items[0].clusters(1).can_serve());
}

TEST_F(Traffic, CountsTheLastTenSecondsOverShortReports) {
  for (int i = 0; i < 15; ++i) {
    Report("n/gw1", 1,
           i < 5 ? R"(traffic { destination_set: "a.example/s/0" clusters { cluster: "c2" requests: 1000 } })"
                 : R"(traffic { destination_set: "a.example/s/0" clusters { cluster: "c1" requests: 30 } })");
    Pass(std::chrono::seconds(1));
  }
  auto items = Ask();
  ASSERT_EQ(items.size(), 1u);
  EXPECT_DOUBLE_EQ(items[0].clusters(0).delivered(), 1);
  EXPECT_NEAR(items[0].clusters(0).requests_per_second(), 27, 0.1);  // The tenth is just gone.
  Pass(std::chrono::seconds(20));  // Quiet: nothing is delivered, what is intended stays.
  items = Ask();
  EXPECT_EQ(items[0].clusters(0).delivered(), 0);
  EXPECT_DOUBLE_EQ(items[0].clusters(0).intended(), 0.75);  // As told: this gateway did not say.
}

TEST_F(Traffic, KeepsRulesOfAHostApart) {
  Report("n/gw1", 10, R"(traffic { destination_set: "b.example/r/0" clusters { cluster: "c1" requests: 1 } }
                         traffic { destination_set: "b.example/r/1" clusters { cluster: "c2" requests: 1 } })");
  const auto items = Ask(kOrganization, "b.example");
  ASSERT_EQ(items.size(), 2u);
  EXPECT_EQ(items[0].route(), "r/0");
  EXPECT_EQ(items[0].clusters(0).cluster(), "c1");
  EXPECT_EQ(items[1].clusters(0).cluster(), "c2");
}

TEST_F(Traffic, AnswersForTheParentThatIsAskedFor) {
  Report("n/gw1", 10, kTenToTwo);
  EXPECT_EQ(Ask(std::string(kGroup) + "/tier1gateways/entry").size(), 1u);
  EXPECT_EQ(Ask("organizations/o/tenants/t").size(), 1u);
  EXPECT_EQ(Ask(kEdge).size(), 1u);
  EXPECT_THAT(Ask("organizations/o/tenants/other"), IsEmpty());
  EXPECT_THAT(Ask("organizations/o/clusters/c1"), IsEmpty());
  EXPECT_THAT(Ask("organizations/p"), IsEmpty());
  EXPECT_THAT(Ask(kOrganization, "other.example"), IsEmpty());
  EXPECT_THAT(SourcesOf(compilation_, {kOrganization, "a.example"}),
              ElementsAre(std::string(kGroup) + "/tier1gateways/entry"));
  EXPECT_THAT(SourcesOf(compilation_, {"organizations/p", "a.example"}), IsEmpty());
  EXPECT_EQ(SourcesOf(compilation_, {"organizations/o/tenants/t", "a.example"}).size(), 1u);
  EXPECT_THAT(SourcesOf(compilation_, {"organizations/o/tenants/other", "a.example"}), IsEmpty());
  EXPECT_EQ(SourcesOf(compilation_, {"organizations/o/clusters/c1", "a.example"}).size(), 1u);
}

TEST_F(Traffic, FindsTheWildcardThatServesAHost) {
  Report("n/gw1", 10, R"(traffic { destination_set: "*.wild.example/w/0" clusters { cluster: "c1" requests: 1 } }
                         traffic { destination_set: "x.wild.example/x/0" clusters { cluster: "c1" requests: 1 } })");
  ASSERT_EQ(Ask(kOrganization, "y.wild.example").size(), 1u);
  EXPECT_EQ(Ask(kOrganization, "y.wild.example")[0].host(), "*.wild.example");
  ASSERT_EQ(Ask(kOrganization, "x.wild.example").size(), 1u);
  EXPECT_EQ(Ask(kOrganization, "x.wild.example")[0].host(), "x.wild.example");
  EXPECT_EQ(Ask(kOrganization, "*.wild.example").size(), 1u);
  EXPECT_EQ(SourcesOf(compilation_, {kOrganization, "y.wild.example"}).size(), 1u);
}

TEST_F(Traffic, ExplainsHealthInTheOrderOfTheDocument) {
  Report("n/gw1", 0, R"(health_known: true health { destination_set: "a.example/s/0"
    clusters { cluster: "c2" can_serve: true returning: 4 since { seconds: 7 } }
    clusters { cluster: "c1" reason: "gateways_down"
      evidence { endpoint: "127.0.2.10:15443" source: "digest" text: "no beat for 2.1 s" time { seconds: 9 } } } })");
  Report("n/gw2", 10, kTenToTwo);  // Says nothing of health.
  const auto items = HealthOf(table_, compilation_, {kOrganization, "a.example"});
  ASSERT_EQ(items.size(), 2u);
  ASSERT_EQ(items[0].clusters_size(), 2);
  EXPECT_EQ(items[0].clusters(0).cluster(), "c1");
  EXPECT_FALSE(items[0].clusters(0).can_serve());
  EXPECT_EQ(items[0].clusters(0).reason(), "gateways_down");
  EXPECT_EQ(items[0].clusters(0).evidence(0).text(), "no beat for 2.1 s");
  EXPECT_EQ(items[0].clusters(1).returning(), 4u);
  EXPECT_EQ(items[0].clusters(1).since().seconds(), 7);
  EXPECT_EQ(items[1].clusters_size(), 0);
  EXPECT_FALSE(Ask(kOrganization)[0].clusters(0).can_serve());
  Report("n/gw1", 1, kTenToTwo);  // Says nothing of health: as before.
  EXPECT_EQ(HealthOf(table_, compilation_, {kOrganization, "a.example"})[0].clusters_size(), 2);
  Report("n/gw1", 1, "health_known: true health { destination_set: 'b.example/r/0' clusters { cluster: 'c1' } }");
  EXPECT_EQ(HealthOf(table_, compilation_, {kOrganization, "a.example"}).size(), 1u);  // It serves that no longer.
}

TEST_F(Traffic, IsForgottenAfterTheAgentAndWithItsGatewayAndItsHost) {
  Report("n/gw1", 10, kTenToTwo);
  Report("n/stranger", 10, kTenToTwo);
  Report("n/gw2", 10, R"(traffic { destination_set: "gone.example/s/0" clusters { cluster: "c1" requests: 1 } })");
  table_.Sweep(compilation_, now_);
  size_t gateways = 0, sets = 0;
  table_.ForEach([&](const std::string&, const TrafficTable::Gateways& reports) {
    gateways += reports.size();
    for (const auto& [name, gateway] : reports) sets += gateway.sets.size();
  });
  EXPECT_EQ(gateways, 2u);
  EXPECT_EQ(sets, 1u);
  table_.AgentLeft(kEdge, now_);
  Pass(std::chrono::seconds(29));
  table_.Sweep(compilation_, now_);
  EXPECT_EQ(Ask().size(), 1u);
  EXPECT_EQ(Ask()[0].time().seconds(), 500'000 * 3600);  // Old: that is how it is known to be stale.
  Pass(std::chrono::seconds(1));
  table_.Sweep(compilation_, now_);
  EXPECT_THAT(Ask(), IsEmpty());
}

TEST_F(Traffic, StaysWhenTheAgentComesBack) {
  Report("n/gw1", 10, kTenToTwo);
  table_.AgentLeft(kEdge, now_);
  table_.AgentCame(kEdge);
  Pass(std::chrono::minutes(5));
  table_.Sweep(compilation_, now_);
  EXPECT_EQ(Ask().size(), 1u);
}

TEST_F(Traffic, KeepsWhatATier2SaysOfItsServices) {
  const std::string set = "service/app/web.app.svc.cluster.local:8080";
  Report("n/gw1", 1,
         "health_known: true health { destination_set: '" + set + "' clusters { cluster: 'edge' can_serve: true } }" +
             " traffic { destination_set: '" + set + "' clusters { cluster: 'edge' requests: 5 } }");
  table_.Sweep(compilation_, now_);
  const auto* said = table_.HealthOf(kEdge, "n/gw1", set, "edge", now_);
  ASSERT_NE(said, nullptr);
  EXPECT_TRUE(said->can_serve());
  EXPECT_THAT(Ask(), IsEmpty()) << "it is no tier-1 traffic";
  std::string text;
  RenderTraffic(table_, now_, text);
  EXPECT_THAT(text, Not(HasSubstr("cluster=\"edge\"")));
}

TEST_F(Traffic, AVoiceIsHeardOnlyThroughAnAgentThatIsThereAndFollows) {
  AppliedTable applied;
  bool astray = false;
  const auto voice = [&] {
    const auto plight = [&](const std::string&) {
      return astray ? status::Shortfall{"STATE_CONFLICT", "it follows another state"} : status::Shortfall{};
    };
    return HealthInTables(table_, applied, plight, now_).VoiceOf(kEdge, "n/gw1");
  };
  EXPECT_EQ(voice(), status::Voice::kAgentAway);
  applied.SetConnected(kEdge, true, {});
  EXPECT_EQ(voice(), status::Voice::kNotYet) << "its agent has not said yet who is there";
  const auto say = [&](const std::string& gateway) {
    applied.Report(kEdge, From<agent::v1::Applied>("full: true " + gateway), {});
  };
  say("");
  EXPECT_EQ(voice(), status::Voice::kAway);
  say("gateways { workload: 'n/gw1' connected: false reports_health: true }");
  EXPECT_EQ(voice(), status::Voice::kAway);
  say("gateways { workload: 'n/gw1' connected: true }");
  EXPECT_EQ(voice(), status::Voice::kMute);
  say("gateways { workload: 'n/gw1' connected: true reports_health: true }");
  EXPECT_EQ(voice(), status::Voice::kNotYet);
  Report("n/gw1", 1, "health_known: true");
  EXPECT_EQ(voice(), status::Voice::kHeard);
  astray = true;
  EXPECT_EQ(voice(), status::Voice::kAstray);
  astray = false;
  Pass(std::chrono::seconds(31));
  EXPECT_EQ(voice(), status::Voice::kNotYet) << "it is silent";
  applied.SetConnected(kEdge, false, {});
  EXPECT_EQ(voice(), status::Voice::kAgentAway);
}

// A gateway that is told nothing because of its cluster's plight is not slow, and not away.
TEST_F(Traffic, StatusNamesThePlightOfACluster) {
  AppliedTable applied;
  applied.SetConnected(kEdge, true, {});
  applied.Report(kEdge,
                 From<agent::v1::Applied>("full: true gateways { workload: 'n/gw1' connected: true intents { type: "
                                          "'Host' name: 'h' version: 'old' } }"),
                 {});
  const auto status = [&](const std::string& version, const std::string& plight) {
    return StatusOf("x", "", 1, {{kEdge, {"n/gw1", "n/gw2"}, {{{"Host", "h"}, version}}}}, applied,
                    [&](const std::string&) { return status::Shortfall{plight, "do this"}; });
  };
  EXPECT_EQ(status("new", "").gateways(0).reason(), "WAITING_FOR_ACK");
  EXPECT_EQ(status("new", "").reason(), "DISCONNECTED");
  EXPECT_EQ(status("new", "STATE_CONFLICT").reason(), "STATE_CONFLICT");
  EXPECT_THAT(status("new", "STATE_CONFLICT").message(), HasSubstr("do this"));
  EXPECT_EQ(status("old", "STATE_CONFLICT").gateways(0).state(), v2::ResourceStatus::READY) << "it runs just this";
  applied.SetConnected(kEdge, false, {});
  EXPECT_EQ(status("old", "REVOKED").gateways(0).reason(), "REVOKED");
}

TEST_F(Traffic, IsBounded) {
  for (size_t i = 0; i <= TrafficTable::kMaxGateways; ++i) Report("n/x" + std::to_string(i), 1, kTenToTwo);
  std::string evidence;
  for (int i = 0; i < 100; ++i) evidence += " evidence { text: '" + std::string(1000, 'x') + "' }";
  Report("n/x1", 1,
         "health_known: true health { destination_set: 'a.example/s/0' clusters { cluster: 'c1'" + evidence + " } }");
  size_t gateways = 0;
  table_.ForEach([&](const std::string&, const TrafficTable::Gateways& reports) {
    gateways += reports.size();
    const auto& kept = reports.find("n/x1")->second.sets.begin()->second.health.at("c1");
    EXPECT_EQ(kept.evidence_size(), 16);
    EXPECT_EQ(kept.evidence(0).text().size(), 256u);
  });
  EXPECT_EQ(gateways, TrafficTable::kMaxGateways);
}

TEST_F(Traffic, ShowsAsMetrics) {
  Report("n/gw1", 10, kTenToTwo);
  Report("n/gw2", 10, R"(health_known: true health { destination_set: "a.example/s/0" clusters { cluster: "c1" } })");
  std::string text;
  RenderTraffic(table_, now_, text);
  EXPECT_THAT(text, HasSubstr("weir_server_traffic_gateways{state=\"reporting\"} 2"));
  EXPECT_THAT(text, HasSubstr("weir_server_cluster_requests_per_second{cluster=\"c1\",organization=\"o\"} 6"));
  EXPECT_THAT(text, HasSubstr("weir_server_cluster_errors_per_second{cluster=\"c2\",organization=\"o\"} 2"));
  EXPECT_THAT(text, HasSubstr("weir_server_cluster_sets_unservable{cluster=\"c1\",organization=\"o\"} 1"));
}

// Of a rollout: who is told, of which hosts, from when on, and nobody else.
class RolloutTraffic : public Traffic {
 protected:
  RolloutTraffic() {
    question_.hosts = {"a.example"};
    question_.wave = question_.told = {Of("c2")};
    question_.from = question_.after = now_;
  }
  static std::string Of(const std::string& cluster) { return std::string(kOrganization) + "/clusters/" + cluster; }
  std::vector<std::string> Count() {
    status::WaveSeen seen;
    seen.now = now_;
    CountWave(table_, compilation_, question_, seen);
    std::vector<std::string> lines;
    for (const auto& one : seen.counted) {
      lines.push_back(
          fmt::format("{} {} {} {}/{}", one.host(), one.cluster(), one.gateway(), one.errors(), one.requests()));
    }
    for (const auto& one : seen.unservable)
      lines.push_back(fmt::format("{} {} {}", one.host(), one.cluster(), one.text()));
    return lines;
  }
  // That c2 cannot serve, as gw1 says it; since so many seconds before now.
  std::vector<std::string> AfterHealth(const char* reason, int64_t before) {
    const int64_t since = std::chrono::duration_cast<std::chrono::seconds>(wall_.time_since_epoch()).count() - before;
    Report("n/gw1", 1,
           fmt::format("health_known: true health {{ destination_set: 'a.example/s/0' clusters {{ cluster: 'c2' "
                       "reason: '{}' since {{ seconds: {} }} }} }}",
                       reason, since));
    return Count();
  }
  status::WaveQuestion question_;
};

TEST_F(RolloutTraffic, CountsWhatConcernsItAndNothingElse) {
  Pass(std::chrono::seconds(5));
  Report("n/gw1", 6, kTenToTwo);  // Began before.
  EXPECT_THAT(Count(), IsEmpty());
  Pass(std::chrono::seconds(1));
  Report("n/gw1", 1, kTenToTwo);
  Report("n/gw2", 1, kTenToTwo);
  EXPECT_THAT(Count(), ElementsAre("a.example c2 edge 40/80"));
  question_.hosts = {"b.example"};
  EXPECT_THAT(Count(), IsEmpty());
  question_.hosts = {"*.example"};
  question_.told = {Of("edge")};  // Its own gateways run it: all that they send counts.
  EXPECT_THAT(Count(), ElementsAre("a.example c1 edge 0/120", "a.example c2 edge 40/80"));
  question_.after = now_;  // Each report is counted once.
  EXPECT_THAT(Count(), IsEmpty());
}

TEST_F(RolloutTraffic, FindsClustersThatCannotServeSinceTheyWereTold) {
  question_.released = wall_;
  EXPECT_THAT(AfterHealth("no_endpoint", 60), IsEmpty()) << "it was so before";
  EXPECT_THAT(AfterHealth("drained", 0), IsEmpty());
  EXPECT_THAT(AfterHealth("no_endpoint", 0), ElementsAre("a.example c2 no_endpoint"));
  question_.told = {Of("c1")};
  EXPECT_THAT(Count(), IsEmpty());
}

}  // namespace
}  // namespace weir::fleet
