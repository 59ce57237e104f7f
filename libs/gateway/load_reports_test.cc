#include "libs/gateway/load_reports.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>

#include "api/weir/agent/v1/traffic.grpc.pb.h"
#include "envoy/service/load_stats/v3/lrs.grpc.pb.h"
#include "libs/base/file.h"
#include "libs/base/mutex.h"
#include "libs/identity/certificates.h"
#include "libs/identity/spiffe_id.h"
#include "libs/identity/token.h"
#include "libs/rpc/server.h"
#include "tests/support/real_time.h"

namespace weir::gateway {
namespace {

using envoy::service::load_stats::v3::LoadReportingService;
using envoy::service::load_stats::v3::LoadStatsRequest;
using envoy::service::load_stats::v3::LoadStatsResponse;
using std::chrono::seconds;

proxy::ShareReport Share(const std::string& set, const std::string& cluster, double intended, uint64_t requests,
                         uint64_t errors = 0) {
  proxy::ShareReport share;
  share.set = set;
  share.cluster = cluster;
  share.intended = intended;
  share.requests = requests;
  share.errors = errors;
  return share;
}

TEST(LoadDifference, SaysEverythingOnceThenOnlyWhatChanged) {
  LoadDifference difference;
  auto said = difference.Take({Share("set", "c1", 0.75, 3), Share("set", "c2", 0.25, 1)}, seconds(2));
  ASSERT_EQ(said.size(), 1u);
  const auto& stats = said[0].cluster_stats(0);
  EXPECT_EQ(stats.cluster_name(), "set");
  EXPECT_EQ(stats.load_report_interval().seconds(), 2);
  EXPECT_EQ(stats.upstream_locality_stats(0).locality().sub_zone(), "c1");
  EXPECT_EQ(stats.upstream_locality_stats(0).total_issued_requests(), 3u);
  const auto& metric = stats.upstream_locality_stats(1).load_metric_stats(0);
  EXPECT_EQ(metric.metric_name(), "dev.weir.intended");
  EXPECT_EQ(metric.num_requests_finished_with_metric(), 1u);
  EXPECT_EQ(metric.total_metric_value(), 0.25);

  EXPECT_TRUE(difference.Take({Share("set", "c1", 0.75, 3), Share("set", "c2", 0.25, 1)}, seconds(1)).empty());
  said = difference.Take({Share("set", "c1", 0.75, 10, 2), Share("set", "c2", 0.25, 1)}, seconds(1));
  ASSERT_EQ(said.size(), 1u);
  EXPECT_EQ(said[0].cluster_stats(0).upstream_locality_stats(0).total_successful_requests(), 5u);
  EXPECT_EQ(said[0].cluster_stats(0).upstream_locality_stats(0).total_error_requests(), 2u);
  EXPECT_EQ(said[0].cluster_stats(0).upstream_locality_stats(1).total_issued_requests(), 0u);
  said = difference.Take({Share("set", "c1", 1, 10, 2), Share("set", "c2", 0, 1)}, seconds(1));
  EXPECT_EQ(said.size(), 1u);  // Shares moved without a request.
  difference.Restart();
  said = difference.Take({Share("set", "c1", 1, 10, 2), Share("set", "c2", 0, 1)}, seconds(1));
  ASSERT_EQ(said.size(), 1u);
  EXPECT_EQ(said[0].cluster_stats(0).upstream_locality_stats(0).total_issued_requests(), 0u);
}

TEST(LoadDifference, CountsFromZeroWhenTheTotalsDo) {
  LoadDifference difference;
  difference.Take({Share("set", "c1", 1, 100, 50)}, seconds(1));
  const auto said = difference.Take({Share("set", "c1", 1, 4, 1)}, seconds(1));
  EXPECT_EQ(said.at(0).cluster_stats(0).upstream_locality_stats(0).total_issued_requests(), 4u);
  EXPECT_EQ(said.at(0).cluster_stats(0).upstream_locality_stats(0).total_error_requests(), 1u);
}

TEST(LoadDifference, CountsNothingTwiceWhenTheEngineDidNotAnswer) {
  LoadDifference difference;
  difference.Take({Share("set", "c1", 1, 100)}, seconds(1));
  EXPECT_TRUE(difference.Take({}, seconds(1)).empty());
  const auto said = difference.Take({Share("set", "c1", 1, 101)}, seconds(1));
  EXPECT_EQ(said.at(0).cluster_stats(0).upstream_locality_stats(0).total_issued_requests(), 1u);
}

TEST(LoadDifference, CutsWhatIsTooMuchForOneMessage) {
  std::vector<proxy::ShareReport> shares;
  for (size_t i = 0; i < LoadDifference::kMostSetsPerMessage + 1; ++i) {
    shares.push_back(Share("set" + std::to_string(i), "c1", 1, 1));
  }
  EXPECT_EQ(LoadDifference().Take(shares, seconds(1)).size(), 2u);
}

proxy::SetHealthReport HealthOf(const std::string& set, bool can_serve) {
  proxy::SetHealthReport report{set, {}};
  report.localities.emplace_back().cluster = "c1";
  report.localities[0].can_serve = can_serve;
  report.localities[0].since = ManualClock().Wall();
  return report;
}

proxy::HealthChanges News(bool whole, std::vector<proxy::SetHealthReport> sets, std::vector<std::string> gone = {}) {
  return {true, whole, std::move(sets), std::move(gone)};
}

TEST(HealthDifference, SaysEverythingOnceThenOnlyWhatChanged) {
  HealthDifference difference;
  difference.AddChanges(News(true, {HealthOf("a", true), HealthOf("b", true)}));
  auto said = difference.Take();
  ASSERT_TRUE(said.has_value());
  EXPECT_TRUE(said->full());
  EXPECT_EQ(said->sets_size(), 2);
  const uint64_t whole = said->state();
  EXPECT_FALSE(difference.Take().has_value());
  difference.AddChanges(News(false, {HealthOf("a", true), HealthOf("b", true)}));
  EXPECT_FALSE(difference.Take().has_value()) << "times say nothing new";
  EXPECT_EQ(difference.Unchanged().follows(), whole);
  EXPECT_EQ(difference.Unchanged().sets_size(), 0);

  difference.AddChanges(News(false, {HealthOf("b", false)}));
  said = difference.Take();
  ASSERT_TRUE(said.has_value());
  EXPECT_FALSE(said->full());
  EXPECT_EQ(said->follows(), whole);
  ASSERT_EQ(said->sets_size(), 1);
  EXPECT_EQ(said->sets(0).destination_set(), "b");
  difference.AddChanges(News(false, {}, {"a", "never"}));
  said = difference.Take();
  ASSERT_TRUE(said.has_value());
  ASSERT_EQ(said->removed_sets_size(), 1);
  EXPECT_EQ(said->removed_sets(0), "a");
  difference.AddChanges(News(false, {HealthOf("a", true), HealthOf("b", true)}));
  said = difference.Take();
  EXPECT_EQ(said->state(), whole) << "the same is the same, however it came about";
  difference.AddChanges(News(true, {HealthOf("b", true)}));  // The engine had lost something: it says all again.
  said = difference.Take();
  ASSERT_TRUE(said.has_value());
  EXPECT_EQ(said->sets_size(), 0);
  EXPECT_EQ(said->removed_sets_size(), 1);
  difference.Restart();
  EXPECT_TRUE(difference.restarted());
  difference.AddChanges(News(true, {}));
  said = difference.Take();
  ASSERT_TRUE(said.has_value());
  EXPECT_TRUE(said->full());
  EXPECT_EQ(said->sets_size(), 0);
}

TEST(HealthDifference, ThatNothingWasFoundOutYetIsAnotherWord) {
  HealthDifference difference;
  proxy::SetHealthReport set = HealthOf("a", true);
  for (const bool unchecked : {true, false}) {
    set.localities[0].unchecked = unchecked;
    difference.AddChanges(News(false, {set}));
    const auto said = difference.Take();
    ASSERT_TRUE(said.has_value()) << unchecked;
    EXPECT_EQ(said->sets(0).clusters(0).unchecked(), unchecked);
  }
}

TEST(HealthDifference, CutsWhatIsTooMuchForOneReport) {
  std::vector<proxy::SetHealthReport> sets;
  for (int i = 0; i < HealthDifference::kMostSetsPerReport + 1; ++i) sets.push_back(HealthOf(std::to_string(i), true));
  HealthDifference difference;
  difference.AddChanges(News(true, sets));
  const auto first = difference.Take();
  const auto second = difference.Take();
  ASSERT_TRUE(first && second);
  EXPECT_EQ(second->sets_size(), 1);
  EXPECT_FALSE(second->full());
  EXPECT_EQ(second->follows(), first->state());
  EXPECT_FALSE(difference.Take().has_value());
}

// An agent as far as reports go.
class Listener : public LoadReportingService::Service, public agent::v1::GatewayHealth::Service {
 public:
  grpc::Status StreamLoadStats(grpc::ServerContext* context,
                               grpc::ServerReaderWriter<LoadStatsResponse, LoadStatsRequest>* stream) override {
    LoadStatsRequest request;
    while (stream->Read(&request)) {
      MutexLock lock(mutex_);
      heard_.token = rpc::BearerToken(*context);
      if (request.has_node()) heard_.node = request.node().id();
      for (const auto& stats : request.cluster_stats()) {
        heard_.requests += stats.upstream_locality_stats(0).total_issued_requests();
      }
      if (request.has_node()) stream->Write(LoadStatsResponse());
    }
    return grpc::Status::OK;
  }
  grpc::Status Report(grpc::ServerContext*, const agent::v1::GatewayHealthReport* report,
                      agent::v1::GatewayHealthAck*) override {
    MutexLock lock(mutex_);
    ++heard_.healths;
    heard_.last = *report;
    return grpc::Status::OK;
  }

  struct Heard {
    std::string token, node;
    uint64_t requests = 0;
    int healths = 0;
    agent::v1::GatewayHealthReport last;
  };
  Heard Now() {
    MutexLock lock(mutex_);
    return heard_;
  }

 private:
  Mutex mutex_;
  Heard heard_ WEIR_GUARDED_BY(mutex_);
};

// One set that one cluster serves.
struct OneSet final : LoadSources {
  std::vector<proxy::ShareReport> Shares() override { return {Share("set", "c1", 1, count)}; }
  proxy::HealthChanges TakeHealthChanges(bool whole) override { return News(whole, {HealthOf("set", can_serve)}); }
  std::vector<std::string> Problems() override { return {"a file is cut"}; }
  std::atomic<uint64_t> count = 5;
  std::atomic<bool> can_serve = true;
};

TEST(LoadReports, TellsCountsEachSecondAndHealthWhenItChanges) {
  const std::string folder = testing::TempDir() + "load-reports-" + std::to_string(::getpid());
  ASSERT_TRUE(MakeFolders(folder, 0700).ok());
  ASSERT_TRUE(identity::WriteSecretFile(folder + "/token", "secret\n").ok());
  constexpr const char* kDomain = "edge.acme.weir.internal";
  const identity::Authority root = identity::NewRoot("acme").value();
  identity::Authority cluster;
  cluster.key_pem = identity::NewKey().value();
  cluster.certificate_pem =
      identity::SignIntermediate(
          root, {identity::MakeCsr(cluster.key_pem).value(), kDomain, {"uid", 1}, std::chrono::hours(1)})
          .value();
  identity::LeafRequest leaf;
  const std::string key = identity::NewKey().value();
  leaf.csr_pem = identity::MakeCsr(key).value();
  leaf.spiffe_id = identity::AgentSpiffeId(kDomain);
  leaf.dns_names = {identity::AgentDnsName(kDomain)};
  rpc::ServerTls tls;
  tls.chain_pem = identity::SignLeaf(cluster, leaf).value() + cluster.certificate_pem;
  tls.key_pem = key;
  Listener listener;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", rpc::FixedServerTls(tls).value(), &port);
  builder.RegisterService(static_cast<LoadReportingService::Service*>(&listener));
  builder.RegisterService(static_cast<agent::v1::GatewayHealth::Service*>(&listener));
  const auto server = builder.BuildAndStart();

  Settings settings;
  settings.agent = "127.0.0.1:" + std::to_string(port);
  settings.agent_id = identity::AgentSpiffeId(kDomain);
  settings.root_pem = root.certificate_pem;
  settings.token_file = folder + "/token";
  settings.node_id = "edge/ingress/t1";
  OneSet sources;
  ManualClock clock;
  LoadReports reports(settings, sources, clock);
  reports.Start();
  const auto eventually = [&](uint64_t requests, int healths) {
    return Eventually([&] {
      clock.Advance(std::chrono::milliseconds(100));
      const Listener::Heard now = listener.Now();
      return now.requests == requests && now.healths == healths;
    });
  };
  EXPECT_TRUE(eventually(5, 1));
  EXPECT_EQ(listener.Now().token, "secret");
  EXPECT_EQ(listener.Now().node, "edge/ingress/t1");
  EXPECT_TRUE(listener.Now().last.sets(0).clusters(0).can_serve());
  EXPECT_EQ(listener.Now().last.problems(0), "a file is cut");
  sources.count = 9;
  sources.can_serve = false;
  EXPECT_TRUE(eventually(9, 2));
  EXPECT_FALSE(listener.Now().last.sets(0).clusters(0).can_serve());
  reports.Stop();
  server->Shutdown();
}

}  // namespace
}  // namespace weir::gateway
