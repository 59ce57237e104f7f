#include "libs/base/last_good_file.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>

#include "libs/base/file.h"

namespace weir {
namespace {

constexpr LastGoodKind kKind{"weir-test", 3};

class LastGoodFileTest : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/weir-last-good-file-XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
    path_ = folder_ + "/state";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  Status Write(const std::string& body) { return WriteLastGoodFile(path_, kKind, body); }
  void Put(int generation, const std::string& bytes, mode_t mode = 0600) {
    ASSERT_TRUE(WriteFileAtomic(path_ + "." + std::to_string(generation), bytes, mode).ok());
  }

  std::string folder_, path_;
};

TEST_F(LastGoodFileTest, KeepsTheNewestAndTheOneBefore) {
  EXPECT_EQ(ReadLastGoodFile(path_, kKind).error().reason, "LAST_GOOD_MISSING");
  for (const char* body : {"one", "two", "three"}) ASSERT_TRUE(Write(body).ok());
  EXPECT_EQ(ReadLastGoodFile(path_, kKind)->body, "three");
  std::filesystem::remove(path_ + ".1");
  const auto older = ReadLastGoodFile(path_, kKind);
  EXPECT_EQ(older->body, "two");
  EXPECT_EQ(older->generation, 2);
}

TEST_F(LastGoodFileTest, UsesTheOlderAndSaysWhyTheNewerWasRefused) {
  ASSERT_TRUE(Write("one").ok());
  const std::string good = EncodeLastGoodFile(kKind, "two");
  const std::pair<std::string, const char*> bad[] = {
      {"", "LAST_GOOD_CUT"},
      {"rubbish", "LAST_GOOD_CORRUPT"},
      {good.substr(0, good.size() - 1), "LAST_GOOD_CUT"},
      {good + "x", "LAST_GOOD_CORRUPT"},
      {EncodeLastGoodFile({"weir-test", 2}, "two"), "LAST_GOOD_VERSION"},
      {EncodeLastGoodFile({"weir-other", 3}, "two"), "LAST_GOOD_CORRUPT"}};
  for (const auto& [bytes, reason] : bad) {
    Put(2, EncodeLastGoodFile(kKind, "one"));
    Put(1, bytes);
    const auto read = ReadLastGoodFile(path_, kKind);
    ASSERT_TRUE(read.ok()) << reason;
    EXPECT_EQ(read->body, "one");
    ASSERT_EQ(read->refused.size(), 1u);
    EXPECT_NE(read->refused[0].find(reason), std::string::npos) << read->refused[0];
    // Writing over the damaged one leaves the sound older one where it is.
    ASSERT_TRUE(Write("three").ok());
    EXPECT_EQ(*DecodeLastGoodFile(kKind, *ReadFile(path_ + ".2")), "one");
  }
}

TEST_F(LastGoodFileTest, TheJudgeMayRefuseAWholeBody) {
  ASSERT_TRUE(Write("one").ok());
  ASSERT_TRUE(Write("two").ok());
  const auto read = ReadLastGoodFile(path_, kKind, [](std::string_view body) -> Status {
    if (body == "one") return {};
    return Unauthenticated("EXPIRED", "too old");
  });
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->body, "one");
  EXPECT_EQ(read->generation, 2);
  const auto none = ReadLastGoodFile(path_, kKind, [](std::string_view) -> Status { return Internal("NO", "no"); });
  EXPECT_EQ(none.error().reason, "NO");
  EXPECT_NE(none.error().message.find(path_ + ".2"), std::string::npos);
}

TEST_F(LastGoodFileTest, IsPrivateAndASecretThatOthersMayUseIsRefused) {
  ASSERT_TRUE(Write("one").ok());
  struct stat facts{};
  ASSERT_EQ(stat((path_ + ".1").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
  Put(1, EncodeLastGoodFile(kKind, "two"), 0666);
  EXPECT_EQ(ReadLastGoodFile(path_, {"weir-test", 3, true}).error().reason, "LAST_GOOD_OPEN");
  EXPECT_EQ(ReadLastGoodFile(path_, kKind)->body, "two");
}

}  // namespace
}  // namespace weir
