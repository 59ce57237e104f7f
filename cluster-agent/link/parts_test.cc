#include "cluster-agent/link/parts.h"

#include <gtest/gtest.h>

namespace weir::agent {
namespace {

TEST(Parts, OfFactsAreSmallAndTogetherTheWhole) {
  v1::FactsDelta whole;
  whole.set_sequence(7);
  whole.set_full(true);
  whole.set_hash("abc");
  for (int i = 0; i < 1000; ++i) {
    whole.add_workloads()->set_name("w" + std::to_string(i));
    whole.add_services()->set_name("s" + std::to_string(i));
    whole.add_removed_workloads("n/w" + std::to_string(i));
    whole.add_removed_services("n/s" + std::to_string(i));
  }
  const auto parts = InParts(whole, 1000);
  ASSERT_GT(parts.size(), 10u);
  v1::FactsDelta together;
  for (size_t i = 0; i < parts.size(); ++i) {
    const v1::FactsDelta& part = parts[i].facts();
    EXPECT_LT(part.ByteSizeLong(), 2200u) << "with what the wire adds to each";
    EXPECT_EQ(part.sequence(), 7u);
    EXPECT_TRUE(part.full());
    const bool last = i + 1 == parts.size();
    EXPECT_EQ(part.more(), !last);
    EXPECT_EQ(part.hash(), last ? "abc" : "");
    together.MergeFrom(part);
  }
  together.clear_more();
  EXPECT_EQ(together.SerializeAsString(), whole.SerializeAsString());
  EXPECT_EQ(InParts(whole).size(), 1u);
  EXPECT_EQ(InParts(whole).front().facts().SerializeAsString(), whole.SerializeAsString());
  v1::FactsDelta nothing;
  nothing.set_empty_is_proven(true);
  ASSERT_EQ(InParts(nothing).size(), 1u);
  EXPECT_TRUE(InParts(nothing).front().facts().empty_is_proven());
}

TEST(Parts, OfWhatIsAppliedAreTheWholeAndChangesOfIt) {
  v1::Applied whole;
  whole.set_full(true);
  for (int g = 0; g < 3; ++g) {
    auto& gateway = *whole.add_gateways();
    gateway.set_workload("n/g" + std::to_string(g));
    gateway.set_connected(true);
    for (int i = 0; g != 1 && i < 100; ++i) gateway.add_intents()->set_name("i" + std::to_string(i));
  }
  const auto parts = InParts(whole, 200);
  ASSERT_GT(parts.size(), 4u);
  std::map<std::string, std::vector<std::string>> together;
  for (size_t i = 0; i < parts.size(); ++i) {
    EXPECT_EQ(parts[i].applied().full(), i == 0) << "a second full one would take back the first";
    for (const auto& gateway : parts[i].applied().gateways()) {
      EXPECT_TRUE(gateway.connected());
      for (const auto& intent : gateway.intents()) together[gateway.workload()].push_back(intent.name());
      together[gateway.workload()];
    }
  }
  ASSERT_EQ(together.size(), 3u);
  EXPECT_EQ(together["n/g0"].size(), 100u);
  EXPECT_EQ(together["n/g1"].size(), 0u);
  EXPECT_EQ(together["n/g2"].size(), 100u);
  EXPECT_EQ(InParts(whole).front().applied().SerializeAsString(), whole.SerializeAsString());
}

}  // namespace
}  // namespace weir::agent
