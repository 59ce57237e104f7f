#include "cluster-agent/serve/telemetry.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "api/weir/agent/v1/traffic.grpc.pb.h"
#include "envoy/service/load_stats/v3/lrs.grpc.pb.h"
#include "libs/rpc/time.h"

namespace weir::agent {
namespace {

using envoy::service::load_stats::v3::LoadReportingService;
using envoy::service::load_stats::v3::LoadStatsRequest;
using envoy::service::load_stats::v3::LoadStatsResponse;
using std::chrono::seconds;

LoadStatsRequest Load(const std::string& set, int good, int bad, const std::string& share = "") {
  LoadStatsRequest report;
  auto* stats = report.add_cluster_stats();
  stats->set_cluster_name(set);
  stats->mutable_load_report_interval()->set_seconds(1);
  auto* locality = stats->add_upstream_locality_stats();
  locality->mutable_locality()->set_sub_zone("c1");
  locality->set_total_successful_requests(static_cast<uint64_t>(good));
  locality->set_total_error_requests(static_cast<uint64_t>(bad));
  if (share.empty()) return report;
  auto* metric = locality->add_load_metric_stats();
  metric->set_metric_name("dev.weir.intended");
  metric->set_num_requests_finished_with_metric(1);
  metric->set_total_metric_value(std::stod(share));
  return report;
}

v1::GatewayHealthReport Health(bool can_serve) {
  v1::GatewayHealthReport report;
  auto* set = report.add_sets();
  set->set_destination_set("set");
  auto* cluster = set->add_clusters();
  cluster->set_cluster("c1");
  cluster->set_can_serve(can_serve);
  report.set_full(true);
  return report;
}

std::vector<v1::GatewayTraffic> Said(TrafficLedger& ledger, bool full = false) {
  std::vector<v1::GatewayTraffic> out;
  ledger.Report(full, &out);
  return out;
}

TEST(TrafficLedger, AddsUpWhatWasDeliveredSinceTheLastMessage) {
  ManualClock clock;
  TrafficLedger ledger(clock);
  ledger.OnOpened("edge/t1");
  ledger.OnLoad("edge/t1", Load("set", 7, 1, "0.75"));
  ledger.OnLoad("edge/t1", Load("set", 2, 0, "0.75"));
  const auto said = Said(ledger);
  ASSERT_EQ(said.size(), 1u);
  EXPECT_EQ(said[0].workload(), "edge/t1");
  EXPECT_EQ(said[0].seconds(), 2);
  const auto& cluster = said[0].traffic(0).clusters(0);
  EXPECT_EQ(cluster.cluster(), "c1");
  EXPECT_EQ(cluster.requests(), 10u);
  EXPECT_EQ(cluster.errors(), 1u);
  EXPECT_EQ(cluster.intended(), 0.75);
  EXPECT_FALSE(said[0].health_known());
}

TEST(TrafficLedger, SaysNothingOfSharesThatAGatewayDoesNotKnow) {
  ManualClock clock;
  TrafficLedger ledger(clock);
  ledger.OnLoad("edge/envoy", Load("set", 1, 0));
  EXPECT_FALSE(Said(ledger).at(0).traffic(0).clusters(0).has_intended());
}

TEST(TrafficLedger, SpeaksAtMostOncePerSecondAndOnlyOfChanges) {
  ManualClock clock;
  TrafficLedger ledger(clock);
  ledger.OnLoad("edge/t1", Load("set", 1, 0, "1"));
  EXPECT_EQ(Said(ledger).size(), 1u);
  ledger.OnLoad("edge/t1", Load("set", 1, 0, "1"));
  EXPECT_TRUE(Said(ledger).empty());  // Too early.
  clock.Advance(seconds(1));
  EXPECT_EQ(Said(ledger).size(), 1u);
  clock.Advance(seconds(1));
  ledger.OnLoad("edge/t1", Load("set", 0, 0, "1"));
  EXPECT_TRUE(Said(ledger).empty());  // Nothing new.
  clock.Advance(seconds(9));
  const auto alive = Said(ledger);  // Silence would mean that it is gone.
  ASSERT_EQ(alive.size(), 1u);
  EXPECT_EQ(alive[0].traffic_size(), 0);
  clock.Advance(seconds(26));
  EXPECT_TRUE(Said(ledger).empty());
}

TEST(TrafficLedger, SaysHealthWholeWhenItChangedAndEverythingToANewStream) {
  ManualClock clock;
  TrafficLedger ledger(clock);
  ledger.OnLoad("edge/t1", Load("set", 0, 0, "1"));
  ledger.OnHealth("edge/t1", Health(false));
  auto said = Said(ledger);
  ASSERT_TRUE(said.at(0).health_known());
  EXPECT_FALSE(said[0].health(0).clusters(0).can_serve());
  clock.Advance(seconds(1));
  ledger.OnLoad("edge/t1", Load("set", 1, 0, "1"));
  said = Said(ledger);
  EXPECT_FALSE(said.at(0).health_known());
  said = Said(ledger, true);
  EXPECT_TRUE(said.at(0).health_known());
  EXPECT_EQ(said[0].traffic(0).clusters(0).intended(), 1);
  EXPECT_EQ(said[0].traffic(0).clusters(0).requests(), 0u);
}

TEST(TrafficLedger, HandsOnOnlyWhatChangedOfHealth) {
  ManualClock clock;
  TrafficLedger ledger(clock);
  v1::GatewayHealthReport report = Health(true);
  for (int i = 0; i < 100; ++i) report.add_sets()->set_destination_set("other" + std::to_string(i));
  report.set_state(7);
  EXPECT_TRUE(ledger.OnHealth("edge/t1", report));
  auto said = Said(ledger);
  EXPECT_TRUE(said.at(0).health_known());
  EXPECT_EQ(said[0].health_size(), 101);

  v1::GatewayHealthReport change = Health(false);
  change.set_full(false);
  change.add_removed_sets("other7");
  change.set_follows(8);
  change.set_state(9);
  EXPECT_FALSE(ledger.OnHealth("edge/t1", change)) << "one between them was missed";
  change.set_follows(7);
  EXPECT_TRUE(ledger.OnHealth("edge/t1", change));
  EXPECT_FALSE(ledger.OnHealth("edge/new", change)) << "nothing is known of this one";
  clock.Advance(seconds(1));
  said = Said(ledger);
  const auto t1 = std::find_if(said.begin(), said.end(), [](const auto& one) { return one.workload() == "edge/t1"; });
  ASSERT_NE(t1, said.end());
  EXPECT_FALSE(t1->health_known());
  EXPECT_TRUE(t1->health_changes());
  ASSERT_EQ(t1->health_size(), 1);
  EXPECT_FALSE(t1->health(0).clusters(0).can_serve());
  ASSERT_EQ(t1->removed_sets_size(), 1);
  EXPECT_EQ(t1->removed_sets(0), "other7");
  clock.Advance(seconds(10));
  said = Said(ledger);
  EXPECT_EQ(said.at(0).health_size(), 0) << "nothing changed";
  EXPECT_EQ(Said(ledger, true).at(1).health_size(), 100);
}

// READY waits for the first word of a set, and for the end of what was not found out.
TEST(TrafficLedger, SaysSoonWhatSomebodyWaitsFor) {
  ManualClock clock;
  TrafficLedger ledger(clock);
  const auto word = [&](bool unchecked) {
    v1::GatewayHealthReport report = Health(true);
    report.set_full(false);
    report.mutable_sets(0)->mutable_clusters(0)->set_unchecked(unchecked);
    return ledger.OnHealth("edge/t1", report);
  };
  v1::GatewayHealthReport whole;
  whole.set_full(true);
  EXPECT_TRUE(ledger.OnHealth("edge/t1", whole));
  EXPECT_EQ(Said(ledger).size(), 1u);
  for (const bool unchecked : {true, false}) {
    EXPECT_TRUE(word(unchecked));
    EXPECT_TRUE(Said(ledger).empty()) << "however often it changes its mind";
    clock.Advance(TrafficLedger::kSoon);
    const auto said = Said(ledger);
    ASSERT_EQ(said.size(), 1u) << unchecked;
    EXPECT_EQ(said[0].health(0).clusters(0).unchecked(), unchecked);
  }
  EXPECT_TRUE(word(false));
  clock.Advance(TrafficLedger::kSoon);
  EXPECT_TRUE(Said(ledger).empty()) << "nobody waits for this";
}

TEST(TrafficLedger, IsBoundedHoweverMuchOneGatewayReports) {
  ManualClock clock;
  TrafficLedger ledger(clock);
  for (int i = 0; i < 30; ++i) {
    LoadStatsRequest report;
    auto* stats = report.add_cluster_stats();
    stats->set_cluster_name("set");
    for (int j = 0; j < 100; ++j) {
      auto* locality = stats->add_upstream_locality_stats();
      locality->mutable_locality()->set_sub_zone(std::to_string(i * 100 + j));
      locality->set_total_successful_requests(1);
    }
    ledger.OnLoad("edge/t1", report);
  }
  LoadStatsRequest wide;
  wide.add_cluster_stats()->set_cluster_name(std::string(1'000'000, 'x'));
  ledger.OnLoad("edge/t1", wide);
  v1::GatewayHealthReport health;
  health.set_full(true);
  for (size_t i = 0; i < 2 * TrafficLedger::kMostSets; ++i) health.add_sets()->set_destination_set(std::to_string(i));
  EXPECT_TRUE(ledger.OnHealth("edge/t2", health));
  size_t clusters = 0, sets = 0, healths = 0;
  for (int i = 0; i < 10; ++i) {
    for (const auto& said : Said(ledger, i == 0)) {
      healths += static_cast<size_t>(said.health_size());
      for (const auto& set : said.traffic()) {
        ++sets;
        clusters += static_cast<size_t>(set.clusters_size());
      }
    }
    clock.Advance(seconds(1));
  }
  EXPECT_EQ(sets, 1u);
  EXPECT_EQ(clusters, TrafficLedger::kMostClusters);
  EXPECT_EQ(healths, TrafficLedger::kMostSets);
}

TEST(TrafficLedger, ForgetsSetsThatAGatewayNoLongerServes) {
  ManualClock clock;
  TrafficLedger ledger(clock);
  ledger.OnLoad("edge/t1", Load("gone", 1, 0));
  ledger.OnLoad("edge/t1", Load("set", 1, 0));
  ledger.OnHealth("edge/t1", Health(true));
  const auto said = Said(ledger);
  ASSERT_EQ(said.at(0).traffic_size(), 1);
  EXPECT_EQ(said[0].traffic(0).destination_set(), "set");
  ledger.Forget("edge/t1");
  EXPECT_TRUE(Said(ledger, true).empty());
}

TEST(TrafficLedger, BoundsWhatOneMessageHolds) {
  ManualClock clock;
  TrafficLedger ledger(clock);
  for (size_t i = 0; i < TrafficLedger::kMostSetsPerMessage + 10; ++i) {
    ledger.OnLoad("edge/t1", Load("set" + std::to_string(i), 1, 0));
  }
  EXPECT_EQ(Said(ledger).at(0).traffic_size(), static_cast<int>(TrafficLedger::kMostSetsPerMessage));
  clock.Advance(seconds(1));
  EXPECT_EQ(Said(ledger).at(0).traffic_size(), 10);
}

TEST(TrafficLedger, KeepsNoNamesBeyondItsBounds) {
  ManualClock clock;
  TrafficLedger ledger(clock);
  ledger.OnOpened("edge/t1");
  ledger.OnLoad("edge/t1", Load(std::string(TrafficLedger::kMostNameBytes + 1, 's'), 1, 0));
  LoadStatsRequest many = Load("set", 1, 0);
  for (size_t i = 0; i < TrafficLedger::kMostClusters + 10; ++i) {
    auto* locality = many.mutable_cluster_stats(0)->add_upstream_locality_stats();
    locality->mutable_locality()->set_sub_zone("c" + std::to_string(i + 2));
    locality->set_total_successful_requests(1);
  }
  ledger.OnLoad("edge/t1", many);
  const auto said = Said(ledger);
  ASSERT_EQ(said.at(0).traffic_size(), 1);
  EXPECT_EQ(said[0].traffic(0).clusters_size(), static_cast<int>(TrafficLedger::kMostClusters));
}

class TelemetryTest : public testing::Test {
 protected:
  TelemetryTest() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    telemetry_.Register(builder);
    server_ = builder.BuildAndStart();
    channel_ = grpc::CreateChannel("127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials());
  }
  ~TelemetryTest() override {
    telemetry_.Shutdown();
    server_->Shutdown(rpc::DeadlineIn(seconds(5)));
    server_->Wait();
  }
  static void SetUp(grpc::ClientContext& context, const std::string& token) {
    context.AddMetadata("authorization", "Bearer " + token);
    context.set_deadline(rpc::DeadlineIn(seconds(20)));
  }

  TrafficLedger ledger_{Clock::Real()};
  Telemetry telemetry_{[](const std::string& token) -> Result<std::string> {
                         if (token == "t1-token") return std::string("edge/t1");
                         return Unauthenticated("TOKEN_UNKNOWN", "who?");
                       },
                       &ledger_};
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(TelemetryTest, AsksForAllLoadsEachSecondAndKnowsTheGatewayByItsToken) {
  grpc::ClientContext context;
  SetUp(context, "t1-token");
  const auto stream = LoadReportingService::NewStub(channel_)->StreamLoadStats(&context);
  LoadStatsRequest hello;
  hello.mutable_node()->set_id("c9/somebody/else");  // Believed by nobody.
  ASSERT_TRUE(stream->Write(hello));
  LoadStatsResponse answer;
  ASSERT_TRUE(stream->Read(&answer));
  EXPECT_TRUE(answer.send_all_clusters());
  EXPECT_EQ(answer.load_reporting_interval().seconds(), 1);
  ASSERT_TRUE(stream->Write(Load("set", 3, 0, "0.5")));
  ASSERT_TRUE(stream->WritesDone());
  EXPECT_FALSE(stream->Read(&answer));
  EXPECT_TRUE(stream->Finish().ok());
  const auto said = Said(ledger_);
  ASSERT_EQ(said.size(), 1u);
  EXPECT_EQ(said[0].workload(), "edge/t1");
  EXPECT_EQ(said[0].traffic(0).clusters(0).requests(), 3u);
}

TEST_F(TelemetryTest, RefusesWhoHasNoToken) {
  grpc::ClientContext context;
  SetUp(context, "stolen");
  const auto stream = LoadReportingService::NewStub(channel_)->StreamLoadStats(&context);
  LoadStatsResponse answer;
  EXPECT_FALSE(stream->Read(&answer));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);
  grpc::ClientContext unary;
  SetUp(unary, "");
  v1::GatewayHealthAck ack;
  EXPECT_EQ(v1::GatewayHealth::NewStub(channel_)->Report(&unary, Health(true), &ack).error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_TRUE(Said(ledger_, true).empty());
}

TEST_F(TelemetryTest, TakesHealth) {
  grpc::ClientContext context;
  SetUp(context, "t1-token");
  v1::GatewayHealthAck ack;
  ASSERT_TRUE(v1::GatewayHealth::NewStub(channel_)->Report(&context, Health(false), &ack).ok());
  EXPECT_FALSE(Said(ledger_).at(0).health(0).clusters(0).can_serve());
}

TEST_F(TelemetryTest, ANewerStreamOfAWorkloadTakesThePlaceOfItsOldest) {
  struct One {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReaderWriter<LoadStatsRequest, LoadStatsResponse>> stream;
  };
  std::vector<std::unique_ptr<One>> all;
  LoadStatsResponse answer;
  for (int i = 0; i < 6; ++i) {
    One& one = *all.emplace_back(std::make_unique<One>());
    SetUp(one.context, "t1-token");
    one.stream = LoadReportingService::NewStub(channel_)->StreamLoadStats(&one.context);
    ASSERT_TRUE(one.stream->Write(LoadStatsRequest()) && one.stream->Read(&answer)) << i;
  }
  for (int i = 0; i < 2; ++i) {
    EXPECT_FALSE(all[i]->stream->Read(&answer));
    EXPECT_FALSE(all[i]->stream->Finish().ok());
  }
  for (int i = 2; i < 6; ++i) {
    all[i]->stream->WritesDone();
    EXPECT_FALSE(all[i]->stream->Read(&answer));
    EXPECT_TRUE(all[i]->stream->Finish().ok()) << i;
  }
}

// The one that stands says only what changes: what it has said is not to be lost by another that comes and goes.
TEST_F(TelemetryTest, ASecondStreamOfAWorkloadTakesNothingFromTheFirst) {
  grpc::ClientContext first, second;
  LoadStatsResponse answer;
  SetUp(first, "t1-token");
  const auto stands = LoadReportingService::NewStub(channel_)->StreamLoadStats(&first);
  ASSERT_TRUE(stands->Write(Load("set", 7, 0, "0.75")) && stands->Read(&answer));
  SetUp(second, "t1-token");
  const auto passes = LoadReportingService::NewStub(channel_)->StreamLoadStats(&second);
  ASSERT_TRUE(passes->Write(LoadStatsRequest()) && passes->Read(&answer));
  passes->WritesDone();
  EXPECT_TRUE(passes->Finish().ok());
  const auto said = Said(ledger_);
  ASSERT_EQ(said.size(), 1u);
  ASSERT_EQ(said[0].traffic_size(), 1);
  EXPECT_EQ(said[0].traffic(0).clusters(0).intended(), 0.75);
  EXPECT_EQ(said[0].traffic(0).clusters(0).requests(), 7u);
}

TEST_F(TelemetryTest, SaysOfAMessageThatItCannotBeRead) {
  grpc::ClientContext context;
  SetUp(context, "t1-token");
  const auto stream = LoadReportingService::NewStub(channel_)->StreamLoadStats(&context);
  LoadStatsRequest request;
  request.mutable_node()->set_id("\xff");  // No UTF-8.
  ASSERT_TRUE(stream->Write(request));
  LoadStatsResponse answer;
  EXPECT_FALSE(stream->Read(&answer));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(TelemetryTest, EndsItsStreamsWhenItStops) {
  grpc::ClientContext context;
  SetUp(context, "t1-token");
  const auto stream = LoadReportingService::NewStub(channel_)->StreamLoadStats(&context);
  ASSERT_TRUE(stream->Write(LoadStatsRequest()));
  LoadStatsResponse answer;
  ASSERT_TRUE(stream->Read(&answer));
  telemetry_.Shutdown();
  EXPECT_FALSE(stream->Read(&answer));
  EXPECT_FALSE(stream->Finish().ok());
}

}  // namespace
}  // namespace weir::agent
