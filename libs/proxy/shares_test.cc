#include "libs/proxy/shares.h"

#include <gtest/gtest.h>

#include "libs/proxy/engine_test_peers.h"
#include "libs/proxy/worker.h"

namespace weir::proxy {
namespace {

Snapshot TwoClusters(uint32_t first, uint32_t second) {
  Snapshot snapshot;
  auto destination = std::make_shared<DestinationSet>();
  destination->name = "set";
  destination->localities = {At("c1", first, {1}), At("c2", second, {2})};
  snapshot.destination_sets["set"] = destination;
  return snapshot;
}

TEST(Shares, TellWhatIsIntendedBeforeAnyRequest) {
  const auto shares = SharesOf(TwoClusters(3, 1), {}, {});
  ASSERT_EQ(shares.size(), 2u);
  EXPECT_EQ(shares[0].cluster, "c1");
  EXPECT_EQ(shares[0].host, "");
  EXPECT_DOUBLE_EQ(shares[0].intended, 0.75);
  EXPECT_DOUBLE_EQ(shares[1].intended, 0.25);
  EXPECT_DOUBLE_EQ(shares[0].delivered, 0);
}

TEST(Shares, FollowHealthAndDrain) {
  auto health = std::make_shared<SetHealth>();
  health->localities = {{"c1", false, 10, traffic::Reason::kGatewaysDown}, {"c2", true, 10, traffic::Reason::kNone}};
  auto shares = SharesOf(TwoClusters(3, 1), {}, {{"set", health}});
  EXPECT_DOUBLE_EQ(shares[0].intended, 0);
  EXPECT_DOUBLE_EQ(shares[1].intended, 1);
  Snapshot drained = TwoClusters(3, 1);
  auto destination = std::make_shared<DestinationSet>(*drained.destination_sets["set"]);
  destination->localities[1].drained = true;
  drained.destination_sets["set"] = destination;
  shares = SharesOf(drained, {}, {});
  EXPECT_DOUBLE_EQ(shares[0].intended, 1);
}

TEST(Shares, CountByHost) {
  const ShareCounts counts = {{{"set", "a.example", "c1"}, {60, 1, 30}},
                              {{"set", "a.example", "c2"}, {20, 0, 10}},
                              {{"set", "b.example", "c2"}, {5, 0, 5}}};
  const auto shares = SharesOf(TwoClusters(3, 1), counts, {});
  ASSERT_EQ(shares.size(), 4u);
  EXPECT_EQ(shares[0].host, "a.example");
  EXPECT_DOUBLE_EQ(shares[0].delivered, 0.75);
  EXPECT_EQ(shares[0].requests, 60u);
  EXPECT_EQ(shares[0].errors, 1u);
  EXPECT_DOUBLE_EQ(shares[3].delivered, 1);
  std::string text;
  RenderShares(text, shares);
  EXPECT_NE(text.find("weir_traffic_share_delivered{cluster=\"c1\",host=\"a.example\"} 0.75"), std::string::npos)
      << text;
  EXPECT_NE(text.find("weir_traffic_share_intended{cluster=\"c2\",host=\"b.example\"} 0.25"), std::string::npos);
}

TEST(ShareWatch, AlarmsOnlyWhenWhatIsIntendedHasStoodForTheWindow) {
  ShareWatch watch;
  const auto look = [&](uint64_t first, uint64_t second, uint64_t now_ms) {
    const ShareCounts counts = {{{"set", "a", "c1"}, {first, 0, first}}, {{"set", "a", "c2"}, {second, 0, second}}};
    auto shares = SharesOf(TwoClusters(3, 1), counts, {});
    watch.FindDeviations(shares, now_ms);
    return shares[0].deviates;
  };
  EXPECT_FALSE(look(50, 50, 1'000));   // Not settled.
  EXPECT_TRUE(look(50, 50, 12'500));   // 0.25 off.
  EXPECT_FALSE(look(25, 25, 13'000));  // Too few to say.
  EXPECT_FALSE(look(750, 250, 14'000));
  EXPECT_FALSE(look(720, 280, 15'000));  // 0.03 off.
  EXPECT_TRUE(look(650, 350, 16'000));
}

TEST(RecentCounts, CoverTheLastTenWholeSeconds) {
  Counters counters;
  for (uint64_t second = 100; second < 130; ++second) counters.Add(200, second * 1000 + 5);
  EXPECT_EQ(counters.Recent(130'000), 10u);
  EXPECT_EQ(counters.Recent(135'000), 5u);
  EXPECT_EQ(counters.Recent(500'000), 0u);
}

TEST_F(EngineTest, ReportsIntendedAndDeliveredShares) {
  Echo one("1"), two("2");
  Options options;
  options.workers = 2;
  StartByHand(Config({At("c1", 75, {one.backend.port}), At("c2", 25, {two.backend.port})}), options);
  for (int connection = 0; connection < 4; ++connection) {
    Conn conn = Conn::To(port);
    for (int i = 0; i < 100; ++i) {
      conn.Send(kGet);
      Response(conn);
    }
  }
  Pass(1s);  // The present second does not count.
  const auto shares = engine.Shares();
  ASSERT_EQ(shares.size(), 2u);
  EXPECT_EQ(shares[0].host, "a.example");
  EXPECT_DOUBLE_EQ(shares[0].intended, 0.75);
  EXPECT_EQ(shares[0].recent + shares[1].recent, 400u);
  EXPECT_NEAR(shares[0].delivered, 0.75, 0.006);
  std::string metrics;
  engine.RenderMetrics(metrics);
  EXPECT_NE(metrics.find("weir_traffic_share_intended{cluster=\"c1\",host=\"a.example\"} 0.75"), std::string::npos);
}

}  // namespace
}  // namespace weir::proxy
