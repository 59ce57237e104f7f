#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "envoy/config/accesslog/v3/accesslog.pb.h"
#include "envoy/extensions/access_loggers/stream/v3/stream.pb.h"
#include "libs/translate/xds/samples.h"

namespace weir::translate {
namespace {

using namespace samples;  // NOLINT
using ::envoy::extensions::access_loggers::stream::v3::StdoutAccessLog;
using testing::UnorderedElementsAre;

// What all chains of all listeners of a node log to, by "PORT NAME-OF-CHAIN"; null where nothing is logged.
std::map<std::string, std::optional<StdoutAccessLog>> Logs(const NodeConfig& config) {
  std::map<std::string, std::optional<StdoutAccessLog>> out;
  for (const std::string& port : Names(config, xds::kListener)) {
    const auto listener = Get<envoy_v3::listener::Listener>(config, xds::kListener, port);
    for (const auto& chain : listener.filter_chains()) {
      hcm::HttpConnectionManager http;
      EXPECT_TRUE(chain.filters(0).typed_config().UnpackTo(&http));
      auto& log = out[port + " " + chain.name()];
      if (http.access_log().empty()) continue;
      EXPECT_EQ(http.access_log_size(), 1);
      EXPECT_TRUE(http.access_log(0).filter().has_not_health_check_filter());
      EXPECT_TRUE(http.access_log(0).typed_config().UnpackTo(&log.emplace()));
    }
  }
  return out;
}

struct Place {
  Intent intent;
  Facts facts;
  std::string cluster, workload;
};
std::vector<Place> EveryTier() {
  return {{EdgeIntent(), Edge(), "edge", "edge/t1"},
          {InClusterIntent(), InCluster(), "c1", "in/t2"},
          {InClusterIntent(), InCluster(), "c1", "shop/pod1"}};
}

TEST(AccessLog, EveryChainOfAStockEnvoyHasOneAndOursAskTheirBootstrap) {
  for (const Place& place : EveryTier()) {
    Translator translator(Identity(place.cluster));
    const auto stock = Logs(*translator.Translate(place.intent, place.facts, place.workload, kStock));
    EXPECT_FALSE(stock.empty()) << place.workload;
    for (const auto& [chain, log] : stock) EXPECT_TRUE(log.has_value()) << place.workload << " " << chain;
    for (const auto& [chain, log] : Logs(*translator.Translate(place.intent, place.facts, place.workload, kOurs))) {
      EXPECT_FALSE(log.has_value()) << place.workload << " " << chain;
    }
  }
}

TEST(AccessLog, HasTheWordsOfOurOwnAndNothingThatOpensADoor) {
  Translator translator(Identity("edge"));
  const auto logs = Logs(*translator.Translate(EdgeIntent(), Edge(), "edge/t1", kStock));
  ASSERT_EQ(logs.size(), 1u);
  ASSERT_TRUE(logs.begin()->second.has_value());
  const auto& format = logs.begin()->second->log_format();
  EXPECT_TRUE(format.omit_empty_values());  // As ours: what is not there is not named.
  const auto& fields = format.json_format().fields();
  for (const char* word : {"time", "method", "host", "path", "status", "durationUs", "bytesIn", "bytesOut", "cluster",
                           "endpoint", "reason", "detail", "requestId", "peer", "identity"}) {
    EXPECT_TRUE(fields.contains(word)) << word;
  }
  std::vector<std::string> read;  // From what caller and endpoint say.
  for (const auto& [word, value] : fields) {
    if (value.string_value().find('(') != std::string::npos) read.push_back(value.string_value());
  }
  // No header that may carry a credential, and no query: queries carry tokens.
  EXPECT_THAT(read, UnorderedElementsAre("%REQ(:METHOD)%", "%REQ(:AUTHORITY)%", "%PATH(NQ)%", "%REQ(X-REQUEST-ID)%",
                                         "%RESP(x-weir-reason)%", "%UPSTREAM_METADATA(dev.weir:cluster)%",
                                         "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%"));
}

}  // namespace
}  // namespace weir::translate
