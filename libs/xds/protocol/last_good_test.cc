#include "libs/xds/protocol/last_good.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "libs/base/file.h"

namespace weir::xds {
namespace {

Snapshot Make(const std::string& value, Duration ttl = Duration{0}) {
  Snapshot snapshot;
  auto map = std::make_shared<Resources>();
  (*map)["a"] = MakeResource("a", value, ttl);
  snapshot.types[std::string(kCluster)] = std::move(map);
  snapshot.types[std::string(kListener)] = std::make_shared<Resources>();
  return snapshot;
}

class LastGoodTest : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/weir-last-good-XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    path_ = std::string(folder) + "/good";
  }
  Status Write(const std::string& value) { return WriteLastGood(path_, Make(value), "c1", clock_.Wall()); }
  void Replace(int generation, const std::string& bytes) {
    ASSERT_TRUE(WriteFileAtomic(path_ + "." + std::to_string(generation), bytes).ok());
  }
  std::string Read(int generation) { return *ReadFile(path_ + "." + std::to_string(generation)); }

  ManualClock clock_;
  std::string path_;
};

TEST_F(LastGoodTest, ReadsWhatWasWrittenTypesWithoutResourcesIncluded) {
  ASSERT_TRUE(Write("one").ok());
  const auto good = ReadLastGood(path_, "c1");
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(good->snapshot.Find(kCluster, "a")->value, "one");
  EXPECT_EQ(good->snapshot.Find(kCluster, "a")->version, ContentVersion("one"));
  EXPECT_TRUE(good->snapshot.types.contains(kListener));
  EXPECT_EQ(good->written, clock_.Wall());
  EXPECT_EQ(good->generation, 1);
}

TEST_F(LastGoodTest, FallsBackToTheOlderGeneration) {
  ASSERT_TRUE(Write("one").ok());
  ASSERT_TRUE(Write("two").ok());
  std::string bytes = Read(1);
  bytes.back() ^= 1;
  Replace(1, bytes);
  const auto good = ReadLastGood(path_, "c1");
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(good->generation, 2);
  EXPECT_EQ(good->snapshot.Find(kCluster, "a")->value, "one");
  ASSERT_EQ(good->refused.size(), 1u);
  EXPECT_NE(good->refused[0].find("LAST_GOOD_CORRUPT"), std::string::npos);
}

TEST_F(LastGoodTest, ADamagedNewestDoesNotPushOutTheOlder) {
  ASSERT_TRUE(Write("one").ok());
  ASSERT_TRUE(Write("two").ok());
  Replace(1, "rubbish");
  ASSERT_TRUE(Write("three").ok());
  Replace(1, "rubbish");
  EXPECT_EQ(ReadLastGood(path_, "c1")->snapshot.Find(kCluster, "a")->value, "one");
}

TEST_F(LastGoodTest, WritingTheSameAgainKeepsTheOlderGeneration) {
  ASSERT_TRUE(Write("one").ok());
  ASSERT_TRUE(Write("two").ok());
  clock_.Advance(std::chrono::minutes(1));
  ASSERT_TRUE(Write("two").ok());
  EXPECT_EQ(ReadLastGood(path_, "c1")->written, clock_.Wall());
  Replace(1, "");
  EXPECT_EQ(ReadLastGood(path_, "c1")->snapshot.Find(kCluster, "a")->value, "one");
}

TEST_F(LastGoodTest, EveryCutAndEveryFlippedBitIsRefused) {
  const std::string bytes = EncodeLastGood(Make("value"), "c1", clock_.Wall());
  ASSERT_TRUE(DecodeLastGood(bytes, "c1").ok());
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(DecodeLastGood(bytes.substr(0, length), "c1").ok()) << length;
  }
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(DecodeLastGood(flipped, "c1").ok()) << bit;
  }
}

TEST_F(LastGoodTest, SaysExactlyWhyItRefuses) {
  const std::string bytes = EncodeLastGood(Make("value"), "c1", clock_.Wall());
  EXPECT_EQ(DecodeLastGood("rubbish", "c1").error().reason, "LAST_GOOD_CORRUPT");
  EXPECT_EQ(DecodeLastGood(bytes.substr(0, bytes.size() - 1), "c1").error().reason, "LAST_GOOD_CUT");
  EXPECT_EQ(DecodeLastGood("weir-last-good 1\n", "c1").error().reason, "LAST_GOOD_VERSION");
  EXPECT_EQ(DecodeLastGood(bytes, "c2").error().reason, "LAST_GOOD_OWNER");
  EXPECT_EQ(DecodeLastGood(EncodeLastGood({}, "c1", clock_.Wall()), "c1").error().reason, "LAST_GOOD_EMPTY");
  EXPECT_EQ(ReadLastGood(path_, "c1").error().reason, "LAST_GOOD_MISSING");
}

TEST_F(LastGoodTest, KeepsWhereInTheServersHistoryItComesFrom) {
  Snapshot snapshot = Make("value");
  snapshot.origin = "12-ab/0123";
  EXPECT_EQ(DecodeLastGood(EncodeLastGood(snapshot, "c1", clock_.Wall()), "c1")->snapshot.origin, "12-ab/0123");
  ASSERT_TRUE(WriteLastGood(path_, snapshot, "c1", clock_.Wall()).ok());
  EXPECT_EQ(ReadLastGood(path_, "c1")->snapshot.origin, "12-ab/0123");
}

TEST_F(LastGoodTest, ResourcesWithATtlAreNeverWritten) {
  const Snapshot snapshot = Make("promise", std::chrono::seconds(15));
  EXPECT_EQ(WriteLastGood(path_, snapshot, "c1", clock_.Wall()).error().reason, "LAST_GOOD_EMPTY");
}

// A promise among what lasts is left out alone: after a restart nobody is there who would renew it.
TEST_F(LastGoodTest, APromiseAmongWhatLastsIsLeftOut) {
  Snapshot snapshot = Make("lasts");
  auto mixed = std::make_shared<Resources>(snapshot.Of(kCluster));
  (*mixed)["promise"] = MakeResource("promise", "p", std::chrono::seconds(15));
  snapshot.types[std::string(kCluster)] = mixed;
  ASSERT_TRUE(WriteLastGood(path_, snapshot, "c1", clock_.Wall()).ok());
  const auto read = ReadLastGood(path_, "c1");
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->snapshot.Find(kCluster, "promise"), nullptr);
  EXPECT_EQ(read->snapshot.Of(kCluster).size(), mixed->size() - 1);
}

}  // namespace
}  // namespace weir::xds
