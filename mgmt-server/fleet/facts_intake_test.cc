#include "mgmt-server/fleet/facts_intake.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libs/facts/check.h"

namespace weir::fleet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

agent::v1::Workload& AddWorkload(agent::v1::FactsDelta& delta, const std::string& name) {
  auto& workload = *delta.add_workloads();
  workload.set_name(name);
  workload.set_namespace_("t2");
  workload.add_addresses("127.0.2.10");
  return workload;
}
void AddService(agent::v1::FactsDelta& delta, const std::string& name, uint32_t port) {
  auto& service = *delta.add_services();
  service.set_name(name);
  service.set_namespace_("shop");
  service.add_ports(port);
  (*service.mutable_selector())["app"] = name;
}
std::vector<std::string> Keys(const std::map<std::string, std::string>& facts) {
  std::vector<std::string> keys;
  for (const auto& [key, bytes] : facts) keys.push_back(key);
  return keys;
}
std::string ProblemTexts(const RefusedFacts& refused) {
  std::vector<v2::ClusterProblem> problems;
  refused.AddProblems(problems);
  std::string text;
  for (const auto& problem : problems) text += problem.source() + " " + problem.text() + "\n";
  return text;
}

TEST(FactsIntake, OneBadFactTakesNoGoodOneAlong) {
  agent::v1::FactsDelta delta;
  delta.set_full(true);
  delta.set_hash("h");
  AddWorkload(delta, "a");
  AddWorkload(delta, "b").set_addresses(0, "not-an-ip\n");
  AddWorkload(delta, "c/d");
  AddWorkload(delta, "e");
  AddService(delta, "good", 80);
  AddService(delta, "bad", 70'000);
  RefusedFacts refused;
  const auto change = TakeGoodFacts(nullptr, delta, refused);
  EXPECT_THAT(Keys(change.workloads), ElementsAre("t2/a", "t2/e"));
  EXPECT_THAT(Keys(change.services), ElementsAre("shop/good"));
  EXPECT_EQ(refused.size(), 3u);
  EXPECT_THAT(ProblemTexts(refused),
              AllOf(HasSubstr("facts workload t2/b: .addresses[0]: \"not-an-ip\\x0a\""),
                    HasSubstr("workload t2/c/d: .name"), HasSubstr("service shop/bad: .ports[0]")));
  EXPECT_EQ(change.hash, "") << "else the agent would not say them again on its next stream";
}

TEST(FactsIntake, WhatWasGoodBeforeStaysUntilItIsGoodAgain) {
  store::ClusterFacts stored;
  stored.workloads.Set("t2/a", "before");
  stored.workloads.Set("t2/gone", "before");
  agent::v1::FactsDelta delta;
  delta.set_full(true);
  delta.set_hash("h");
  AddWorkload(delta, "a").set_addresses(0, "");
  RefusedFacts refused;
  auto change = TakeGoodFacts(&stored, delta, refused);
  EXPECT_TRUE(change.workloads.empty());
  EXPECT_FALSE(change.full);
  EXPECT_THAT(change.removed_workloads, ElementsAre("t2/gone"));
  EXPECT_EQ(refused.size(), 1u);

  agent::v1::FactsDelta cured;
  cured.set_hash("h2");
  AddWorkload(cured, "a");
  change = TakeGoodFacts(&stored, cured, refused);
  EXPECT_THAT(Keys(change.workloads), ElementsAre("t2/a"));
  EXPECT_TRUE(refused.empty());
  EXPECT_EQ(change.hash, "h2");

  AddWorkload(delta, "b").set_addresses(0, "");
  TakeGoodFacts(&stored, delta, refused);
  EXPECT_EQ(refused.size(), 2u);
  agent::v1::FactsDelta removal;
  removal.add_removed_workloads("t2/b");
  removal.add_removed_workloads("t2/b");
  removal.add_removed_workloads("t2/never");
  change = TakeGoodFacts(&stored, removal, refused);
  EXPECT_TRUE(change.removed_workloads.empty());
  EXPECT_EQ(refused.size(), 1u);
}

TEST(FactsIntake, ACompleteSetHasABound) {
  agent::v1::FactsDelta delta;
  delta.set_full(true);
  for (size_t i = 0; i < facts::kMaxServices + 1000; ++i) AddService(delta, "s" + std::to_string(i), 80);
  RefusedFacts refused;
  auto change = TakeGoodFacts(nullptr, delta, refused);
  EXPECT_EQ(change.services.size(), facts::kMaxServices);
  EXPECT_EQ(refused.size(), 1000u);
  EXPECT_THAT(ProblemTexts(refused),
              AllOf(HasSubstr("a cluster may have 10000 services"), HasSubstr("1000 facts are refused")));
  EXPECT_LT(ProblemTexts(refused).size(), 4096u);

  // The full house takes a new one when another goes.
  store::ClusterFacts stored;
  for (const auto& [key, bytes] : change.services) stored.services.Set(key, bytes);
  agent::v1::FactsDelta next;
  next.add_removed_services(Keys(change.services).front());
  AddService(next, "new", 80);
  refused.Clear();
  change = TakeGoodFacts(&stored, next, refused);
  EXPECT_EQ(change.services.size(), 1u);
  EXPECT_TRUE(refused.empty());
}

TEST(FactsIntake, PartsOfADeltaAreOneAndBounded) {
  FactsParts parts;
  const auto part = [](uint64_t sequence, const std::string& name, bool more) {
    agent::v1::FactsDelta delta;
    delta.set_sequence(sequence);
    delta.set_full(true);
    delta.add_workloads()->set_name(name);
    delta.set_more(more);
    if (!more) delta.set_hash("h");
    return delta;
  };
  auto delta = part(1, "alone", false);
  EXPECT_TRUE(parts.Complete(delta).value());
  EXPECT_EQ(delta.workloads_size(), 1);
  delta = part(2, "lost with its end", true);
  EXPECT_FALSE(parts.Complete(delta).value());
  delta = part(3, "a", true);
  EXPECT_FALSE(parts.Complete(delta).value());
  delta = part(3, "b", false);
  EXPECT_TRUE(parts.Complete(delta).value());
  ASSERT_EQ(delta.workloads_size(), 2);
  EXPECT_EQ(delta.workloads(0).name(), "a");
  EXPECT_EQ(delta.workloads(1).name(), "b");
  EXPECT_EQ(delta.hash(), "h");
  EXPECT_TRUE(delta.full());
  EXPECT_FALSE(delta.more());
  delta = part(4, "later", false);
  EXPECT_TRUE(parts.Complete(delta).value());
  EXPECT_EQ(delta.workloads_size(), 1) << "nothing of those before stays";
  const auto large = part(5, std::string(4u << 20, 'x'), true);
  Status taken;
  for (int i = 0; i < 16 && taken.ok(); ++i) {
    delta = large;
    const auto whole = parts.Complete(delta);
    if (!whole.ok()) taken = whole.error();
  }
  ASSERT_FALSE(taken.ok());
  EXPECT_EQ(taken.error().reason, "FACTS_TOO_LARGE");
}

TEST(FactsIntake, GoesToTheStoreInSlicesAndOnlyTheLastOneIsWhole) {
  store::FactsChange change;
  change.hash = "h";
  change.agent_sequence = 7;
  for (int i = 0; i < 25; ++i) change.workloads[std::to_string(i)] = "w";
  for (int i = 0; i < 6; ++i) change.removed_services.push_back(std::to_string(i));
  const auto slices = Slices(std::move(change), 10);
  ASSERT_EQ(slices.size(), 4u);
  size_t workloads = 0, removed = 0;
  for (size_t i = 0; i < slices.size(); ++i) {
    EXPECT_LE(slices[i].workloads.size() + slices[i].removed_services.size(), 10u);
    EXPECT_EQ(slices[i].hash, i == 3 ? "h" : "");
    EXPECT_EQ(slices[i].agent_sequence, 7u);
    workloads += slices[i].workloads.size();
    removed += slices[i].removed_services.size();
  }
  EXPECT_EQ(workloads, 25u);
  EXPECT_EQ(removed, 6u);
  store::FactsChange nothing;
  nothing.hash = "h";
  EXPECT_EQ(Slices(std::move(nothing), 10).size(), 1u) << "the hash must be stored";
}

}  // namespace
}  // namespace weir::fleet
