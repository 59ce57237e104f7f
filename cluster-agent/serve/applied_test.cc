#include "cluster-agent/serve/applied.h"

#include <gtest/gtest.h>

#include "api/weir/agent/v1/agent.pb.h"

namespace weir::agent {
namespace {

std::shared_ptr<translate::NodeConfig> Config(const std::string& host_version, const std::string& value) {
  auto config = std::make_shared<translate::NodeConfig>();
  for (const std::string_view url : xds::kEnvoyTypes) config->types[std::string(url)];
  const auto add = [&](std::string_view url, const std::string& name, std::vector<translate::IntentRef> origins,
                       const std::string& bytes) {
    config->types[std::string(url)][name] = std::make_shared<translate::EnvoyResource>(
        translate::EnvoyResource{xds::MakeResource(name, bytes), std::move(origins), {}});
  };
  add(xds::kListener, "80", {{"Listener", "l", "1"}}, "listener");
  add(xds::kRoute, "l", {{"Listener", "l", "1"}}, "routes");
  add(xds::kVirtualHost, "l/h", {{"Host", "h", host_version}}, value);
  return config;
}

xds::AckEvent Ack(const translate::NodeConfig& config, std::string_view url) {
  xds::AckEvent event;
  event.type_url = url;
  for (const auto& [name, resource] : config.types.find(url)->second) {
    event.accepted_resources.push_back({name, resource->resource->version});
  }
  return event;
}

const v1::AppliedIntent* Find(const v1::Applied& applied, const std::string& type) {
  for (const auto& gateway : applied.gateways()) {
    for (const auto& intent : gateway.intents()) {
      if (intent.type() == type) return &intent;
    }
  }
  return nullptr;
}

class AppliedLedgerTest : public testing::Test {
 protected:
  void AckAll(const translate::NodeConfig& config) {
    for (const std::string_view url : {xds::kListener, xds::kRoute, xds::kVirtualHost}) {
      ledger_.OnAck("ns/w", 1, Ack(config, url));
    }
  }
  AppliedLedger ledger_;
};

TEST_F(AppliedLedgerTest, CallsIntentAppliedOnlyWhenEveryResourceOfItRuns) {
  const auto config = Config("1", "a");
  ledger_.OnOpened("ns/w", 1);
  ledger_.SetConfig("ns/w", config);
  ledger_.OnAck("ns/w", 1, Ack(*config, xds::kListener));
  v1::Applied report;
  ASSERT_TRUE(ledger_.Report(true, &report));
  EXPECT_EQ(Find(report, "Listener")->version(), "");  // Its routes are not acknowledged yet.
  ledger_.OnAck("ns/w", 1, Ack(*config, xds::kRoute));
  report.Clear();
  ASSERT_TRUE(ledger_.Report(false, &report));
  EXPECT_EQ(Find(report, "Listener")->version(), "1");
  EXPECT_EQ(Find(report, "Host"), nullptr);  // Unchanged: said before.
  EXPECT_TRUE(report.gateways(0).connected());
}

TEST_F(AppliedLedgerTest, CallsAHostAppliedOnlyWithTheClustersItNeeds) {
  const auto config = Config("1", "a");
  translate::EnvoyResource host = *config->types[std::string(xds::kVirtualHost)]["l/h"];
  host.needs = {"service/s"};
  config->types[std::string(xds::kVirtualHost)]["l/h"] = std::make_shared<translate::EnvoyResource>(host);
  for (const std::string_view url : {xds::kCluster, xds::kEndpoints}) {
    config->types[std::string(url)]["service/s"] = std::make_shared<translate::EnvoyResource>(
        translate::EnvoyResource{xds::MakeResource("service/s", "x"), {}, {}});
  }
  const auto reported = [this] {
    v1::Applied report;
    ledger_.Report(true, &report);
    return *Find(report, "Host");
  };
  ledger_.OnOpened("ns/w", 1);
  ledger_.SetConfig("ns/w", config);
  AckAll(*config);
  ledger_.OnAck("ns/w", 1, Ack(*config, xds::kCluster));
  EXPECT_EQ(reported().version(), "");  // Its endpoints are missing.
  xds::AckEvent nack;
  nack.type_url = xds::kEndpoints;
  nack.error = "bad address";
  nack.rejected_resources = Ack(*config, xds::kEndpoints).accepted_resources;
  ledger_.OnAck("ns/w", 1, nack);
  EXPECT_EQ(reported().rejected_version(), "1");
  EXPECT_EQ(reported().error(), "bad address");
  ledger_.OnAck("ns/w", 1, Ack(*config, xds::kEndpoints));
  EXPECT_EQ(reported().version(), "1");
  EXPECT_EQ(reported().error(), "");
}

TEST_F(AppliedLedgerTest, ReportsARejectionUntilALaterVersionIsTaken) {
  ledger_.OnOpened("ns/w", 1);
  ledger_.SetConfig("ns/w", Config("1", "a"));
  AckAll(*Config("1", "a"));
  const auto bad = Config("2", "b");
  ledger_.SetConfig("ns/w", bad);
  xds::AckEvent nack;
  nack.type_url = xds::kVirtualHost;
  nack.accepted = false;
  nack.error = "no such field";
  nack.rejected_resources = Ack(*bad, xds::kVirtualHost).accepted_resources;
  ledger_.OnAck("ns/w", 1, nack);
  v1::Applied report;
  ASSERT_TRUE(ledger_.Report(false, &report));
  EXPECT_EQ(Find(report, "Host")->rejected_version(), "2");
  EXPECT_EQ(Find(report, "Host")->error(), "no such field");
  const auto good = Config("3", "c");
  ledger_.SetConfig("ns/w", good);
  AckAll(*good);
  report.Clear();
  ASSERT_TRUE(ledger_.Report(false, &report));
  EXPECT_EQ(Find(report, "Host")->version(), "3");
  EXPECT_EQ(Find(report, "Host")->rejected_version(), "");
}

// A listener that is taken before its routes are there is opened with them: only then is its port found to be taken.
TEST_F(AppliedLedgerTest, BelievesALaterRefusalOfWhatWasTaken) {
  const auto config = Config("1", "a");
  ledger_.OnOpened("ns/w", 1);
  ledger_.SetConfig("ns/w", config);
  AckAll(*config);
  const auto reported = [this] {
    v1::Applied report;
    ledger_.Report(true, &report);
    return *Find(report, "Listener");
  };
  EXPECT_EQ(reported().version(), "1");
  xds::AckEvent nack;
  nack.type_url = xds::kListener;
  nack.accepted = false;
  nack.error = "127.0.0.1:80 is in use by another process";
  nack.rejected_resources = Ack(*config, xds::kListener).accepted_resources;
  ledger_.OnAck("ns/w", 1, nack);
  EXPECT_EQ(reported().rejected_version(), "1");
  EXPECT_EQ(reported().error(), nack.error);
  ledger_.OnAck("ns/w", 1, Ack(*config, xds::kListener));
  EXPECT_EQ(reported().version(), "1");
  EXPECT_EQ(reported().rejected_version(), "");
}

TEST_F(AppliedLedgerTest, KeepsWhatAGatewayAcknowledgedWhenItsStreamEndsAndForgetsItWhenANewOneBegins) {
  const auto config = Config("1", "a");
  ledger_.OnOpened("ns/w", 1);
  ledger_.SetConfig("ns/w", config);
  AckAll(*config);
  ledger_.OnClosed("ns/w", 1);
  v1::Applied report;
  ledger_.Report(true, &report);
  EXPECT_FALSE(report.gateways(0).connected());
  EXPECT_EQ(Find(report, "Host")->version(), "1");
  ledger_.OnOpened("ns/w", 2);
  AckAll(*config);  // Late words of the old stream.
  report.Clear();
  ledger_.Report(false, &report);
  EXPECT_EQ(Find(report, "Host")->version(), "");
}

// A successor that is killed before its time, or a stranger with the workload's token, comes and goes beside it.
TEST_F(AppliedLedgerTest, AWorkloadIsConnectedWhileOneOfItsStreamsStandsAndTheNewestOfThemCounts) {
  const auto config = Config("1", "a");
  const auto reported = [this] {
    v1::Applied report;
    ledger_.Report(true, &report);
    return std::pair(report.gateways(0).connected(), Find(report, "Host")->version());
  };
  ledger_.OnOpened("ns/w", 1);
  ledger_.SetConfig("ns/w", config);
  AckAll(*config);
  EXPECT_EQ(reported(), std::pair(true, std::string("1")));
  ledger_.OnOpened("ns/w", 2);
  EXPECT_EQ(reported(), std::pair(true, std::string()));
  ledger_.OnClosed("ns/w", 2);
  EXPECT_EQ(reported(), std::pair(true, std::string("1"))) << "what the standing one has said";
  // What it says meanwhile is kept.
  ledger_.OnOpened("ns/w", 3);
  const auto next = Config("2", "b");
  ledger_.SetConfig("ns/w", next);
  AckAll(*next);
  EXPECT_EQ(reported(), std::pair(true, std::string()));
  EXPECT_FALSE(ledger_.Answered("ns/w", xds::kVirtualHost, "l/h"));
  ledger_.OnClosed("ns/w", 3);
  EXPECT_TRUE(ledger_.Answered("ns/w", xds::kVirtualHost, "l/h"));
  EXPECT_EQ(reported(), std::pair(true, std::string("2")));
  ledger_.OnClosed("ns/w", 1);
  EXPECT_EQ(reported(), std::pair(false, std::string("2")));
}

// The end of an old stream may be noticed long after its gateway has come back on another one.
TEST_F(AppliedLedgerTest, TheLateBeginningAndEndOfAnOldStreamAreNothingToTheNewOne) {
  const auto config = Config("1", "a");
  ledger_.OnOpened("ns/w", 2);
  ledger_.SetConfig("ns/w", config);
  for (const std::string_view url : {xds::kListener, xds::kRoute, xds::kVirtualHost}) {
    ledger_.OnAck("ns/w", 2, Ack(*config, url));
  }
  const auto reported = [this] {
    v1::Applied report;
    ledger_.Report(true, &report);
    return std::pair(report.gateways(0).connected(), Find(report, "Host")->version());
  };
  ledger_.OnOpened("ns/w", 1);
  EXPECT_EQ(reported(), std::pair(true, std::string("1")));
  ledger_.OnClosed("ns/w", 1);
  EXPECT_EQ(reported(), std::pair(true, std::string("1")));
  ledger_.OnClosed("ns/w", 2);
  EXPECT_EQ(reported(), std::pair(false, std::string("1")));
}

TEST_F(AppliedLedgerTest, AWorkloadThatIsDeclaredAgainBeforeItsStreamEndsIsConnected) {
  const auto config = Config("1", "a");
  ledger_.OnOpened("ns/w", 1);
  ledger_.SetConfig("ns/w", config);
  AckAll(*config);
  ledger_.Forget("ns/w");
  v1::Applied report;
  ledger_.Report(true, &report);
  EXPECT_FALSE(report.gateways(0).connected());
  report.Clear();
  ledger_.Report(false, &report);
  ledger_.SetConfig("ns/w", config);
  report.Clear();
  ASSERT_TRUE(ledger_.Report(false, &report));
  EXPECT_TRUE(report.gateways(0).connected());
  EXPECT_EQ(Find(report, "Host")->version(), "1");
  ledger_.Forget("ns/w");
  ledger_.OnClosed("ns/w", 1);
  for (int i = 0; i < 2; ++i) ledger_.Report(false, &report);
  report.Clear();
  ledger_.Report(true, &report);
  EXPECT_EQ(report.gateways_size(), 0) << "nothing of it is kept";
}

TEST_F(AppliedLedgerTest, BelievesNoOldWordWhenAVersionReturns) {
  ledger_.OnOpened("ns/w", 1);
  ledger_.SetConfig("ns/w", Config("1", "a"));
  AckAll(*Config("1", "a"));
  v1::Applied report;
  ledger_.Report(true, &report);
  EXPECT_EQ(Find(report, "Host")->version(), "1");
  ledger_.SetConfig("ns/w", Config("2", "b"));
  xds::AckEvent on_its_way;
  on_its_way.type_url = xds::kVirtualHost;
  on_its_way.replaced = {"l/h"};
  ledger_.OnAck("ns/w", 1, on_its_way);
  ledger_.SetConfig("ns/w", Config("3", "a"));  // The same bytes as the first; the gateway may run "b" by now.
  report.Clear();
  ledger_.Report(true, &report);
  EXPECT_EQ(Find(report, "Host")->version(), "1");
  ledger_.OnAck("ns/w", 1, Ack(*Config("2", "b"), xds::kVirtualHost));
  report.Clear();
  ledger_.Report(true, &report);
  EXPECT_EQ(Find(report, "Host")->version(), "1");
  ledger_.OnAck("ns/w", 1, Ack(*Config("3", "a"), xds::kVirtualHost));
  report.Clear();
  ledger_.Report(true, &report);
  EXPECT_EQ(Find(report, "Host")->version(), "3");
}

TEST_F(AppliedLedgerTest, SaysWhenAGatewayNoLongerHasSomething) {
  const auto config = Config("1", "a");
  ledger_.OnOpened("ns/w", 1);
  ledger_.SetConfig("ns/w", config);
  AckAll(*config);
  v1::Applied report;
  ledger_.Report(true, &report);
  auto without = Config("1", "a");
  without->types[std::string(xds::kVirtualHost)].clear();
  ledger_.SetConfig("ns/w", without);
  report.Clear();
  ledger_.Report(false, &report);
  EXPECT_EQ(Find(report, "Host"), nullptr);  // It still runs there.
  xds::AckEvent on_its_way;
  on_its_way.type_url = xds::kVirtualHost;
  on_its_way.replaced = {"l/h"};
  ledger_.OnAck("ns/w", 1, on_its_way);
  report.Clear();
  ledger_.Report(false, &report);
  EXPECT_EQ(Find(report, "Host"), nullptr);
  xds::AckEvent removed;
  removed.type_url = xds::kVirtualHost;
  removed.removed = {"l/h"};
  ledger_.OnAck("ns/w", 1, removed);
  report.Clear();
  ASSERT_TRUE(ledger_.Report(false, &report));
  EXPECT_TRUE(Find(report, "Host")->removed());
}

}  // namespace
}  // namespace weir::agent
