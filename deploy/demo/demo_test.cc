#include "deploy/demo/demo.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "libs/base/file.h"

namespace weir::demo {
namespace {

std::string TempFolder() {
  std::string path = testing::TempDir() + "/weir-demo-XXXXXX";
  EXPECT_NE(mkdtemp(path.data()), nullptr);
  return path;
}
test::LoadReport Counts(std::map<std::string, uint64_t> by_backend) {
  test::LoadReport report;
  for (const auto& [backend, count] : by_backend) report.requests += count;
  report.by_backend = std::move(by_backend);
  return report;
}
const Weights kFounding{{"cluster1", 0.75}, {"cluster2", 0.25}};

TEST(CheckShares, AllowsOneRequestPerWorker) {
  EXPECT_TRUE(CheckShares(Counts({{"cluster1", 7500}, {"cluster2", 2500}}), kFounding, 4).ok());
  EXPECT_TRUE(CheckShares(Counts({{"cluster1", 7504}, {"cluster2", 2496}}), kFounding, 4).ok());
  EXPECT_EQ(CheckShares(Counts({{"cluster1", 7505}, {"cluster2", 2495}}), kFounding, 4).error().reason, "SHARE_OFF");
}

TEST(CheckShares, RefusesAnswersOfStrangersAndSilence) {
  EXPECT_FALSE(CheckShares(Counts({{"cluster1", 7500}, {"cluster2", 2500}, {"", 1}}), kFounding, 4).ok());
  EXPECT_FALSE(CheckShares(Counts({{"cluster1", 10'000}}), kFounding, 4).ok());
}

TEST(CheckSurvival, NamesTheBarThatWasMissed) {
  DemoReport good;
  good.share_after_kill = {{"cluster1", 0}, {"cluster2", 1}};
  good.share_after_return = {{"cluster1", 0.74}, {"cluster2", 0.26}};
  good.seconds_to_return = 25;
  EXPECT_TRUE(CheckSurvival(good).ok());
  const auto missed = [&](auto change) {
    DemoReport bad = good;
    change(bad);
    const Status status = CheckSurvival(bad);
    return status.ok() ? "" : status.error().message;
  };
  EXPECT_NE(missed([](DemoReport& report) { report.failed_in_kill = 1; }), "");
  EXPECT_NE(missed([](DemoReport& report) { report.seconds_to_full_success = 5.1; }), "");
  EXPECT_NE(missed([](DemoReport& report) { report.share_after_kill["cluster1"] = 0.001; }), "");
  EXPECT_NE(missed([](DemoReport& report) { report.share_after_return["cluster1"] = 0.72; }), "");
  EXPECT_NE(missed([](DemoReport& report) { report.seconds_to_return = 31; }), "");
}

TEST(DemoFolder, IsForOneDemoAtATime) {
  const std::string folder = TempFolder();
  bool leftover = true;
  auto first = DemoFolder::Take(folder, &leftover);
  ASSERT_TRUE(first.ok());
  EXPECT_FALSE(leftover);
  const auto second = DemoFolder::Take(folder, &leftover);
  EXPECT_EQ(second.error().reason, "DEMO_RUNNING");
  EXPECT_NE(second.error().message.find(std::to_string(getpid())), std::string::npos);
  first->reset();
  EXPECT_TRUE(DemoFolder::Take(folder, &leftover).ok());
}

TEST(DemoFolder, RemovesWhatAnEarlierDemoLeft) {
  const std::string folder = TempFolder();
  ASSERT_TRUE(MakeFolders(folder + "/server").ok());
  ASSERT_TRUE(WriteFileAtomic(folder + "/report.json", "{}").ok());
  bool leftover = false;
  ASSERT_TRUE(DemoFolder::Take(folder, &leftover).ok());
  EXPECT_TRUE(leftover);
  EXPECT_FALSE(std::filesystem::exists(folder + "/server"));
}

TEST(DemoFolder, TouchesNothingThatNoDemoMade) {
  const std::string folder = TempFolder();
  ASSERT_TRUE(WriteFileAtomic(folder + "/thesis.txt", "years of work").ok());
  ASSERT_TRUE(MakeFolders(folder + "/server").ok());
  bool leftover = false;
  EXPECT_EQ(DemoFolder::Take(folder, &leftover).error().reason, "FOLDER_NOT_OURS");
  EXPECT_TRUE(std::filesystem::exists(folder + "/server"));
  EXPECT_TRUE(std::filesystem::exists(folder + "/thesis.txt"));
}

TEST(DemoReport, IsTheJsonThatIsPromised) {
  DemoReport report;
  report.requests = 24'000;
  report.share_before = {{"cluster1", 0.75}, {"cluster2", 0.25}};
  report.share_after_kill = {{"cluster1", 0}, {"cluster2", 1}};
  report.share_after_return = {{"cluster1", 0.75}, {"cluster2", 0.25}};
  report.seconds_to_return = 23.5;
  report.share_after_change = {{"cluster1", 0.5}, {"cluster2", 0.5}};
  report.seconds_to_new_share = 0.0123;
  report.status = "READY";
  EXPECT_EQ(report.ToJson(),
            "{\n  \"requests\": 24000,\n  \"failed\": 0,\n"
            "  \"share_before\": {\"cluster1\": 0.750000, \"cluster2\": 0.250000},\n"
            "  \"share_after_kill\": {\"cluster1\": 0.000000, \"cluster2\": 1.000000},\n"
            "  \"failed_in_kill\": 0,\n  \"seconds_to_full_success\": 0.0000,\n"
            "  \"share_after_return\": {\"cluster1\": 0.750000, \"cluster2\": 0.250000},\n"
            "  \"seconds_to_return\": 23.5000,\n"
            "  \"share_after_change\": {\"cluster1\": 0.500000, \"cluster2\": 0.500000},\n"
            "  \"seconds_to_new_share\": 0.0123,\n  \"status\": \"READY\"\n}\n");
}

}  // namespace
}  // namespace weir::demo
