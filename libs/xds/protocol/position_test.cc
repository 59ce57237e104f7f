#include "libs/xds/protocol/position.h"

#include <gtest/gtest.h>

namespace weir::xds {
namespace {

const std::string kA(32, 'a'), kB(32, 'b'), kC(32, 'c');

TEST(Position, ReadsWhatItWrites) {
  for (const Position& position :
       {Position{{kA}, "0-"}, Position{{kA, kB}, "120-00ff"}, Position{{kC, kA, kB}, "7-e"}}) {
    const auto read = ParsePosition(position.ToText());
    ASSERT_TRUE(read.ok()) << position.ToText();
    EXPECT_EQ(*read, position);
  }
  EXPECT_EQ((Position{{kA}, "120-00ff"}.revision()), 120);
  EXPECT_EQ((Position{{kA, kB}, "0-"}.ToText()), "0-/" + kB + "/" + kA);
}

TEST(Position, RefusesEveryOtherForm) {
  std::string many = "1-a";
  for (size_t i = 0; i <= kMaxLineages; ++i) many += "/" + kA;
  for (const std::string& text : std::vector<std::string>{
           "", "1-a", "1-a/", "/" + kA, "-a/" + kA, "1/" + kA, "x-a/" + kA, "1-g/" + kA, "1-a/" + kA + "/",
           "1-a/" + kA.substr(1), "1-a/" + kA + "a", "1-a//" + kA, "1-a/" + std::string(32, 'A'),
           std::string(19, '9') + "-a/" + kA, "1-" + std::string(64, 'a') + "/" + kA, many}) {
    EXPECT_FALSE(ParsePosition(text).ok()) << text;
  }
}

TEST(Position, FollowsOnlyItsOwnHistoryOrOneAdoptedInItsPlace) {
  struct {
    Position held, offered;
    const char* refused;  // "" = may follow.
  } const cases[] = {
      {{{kA}, "5-1"}, {{kA}, "5-1"}, ""},
      {{{kA}, "5-1"}, {{kA}, "6-2"}, ""},
      {{{kA}, "5-1"}, {{kA}, "4-2"}, "STATE_OLDER"},
      {{{kA}, "0-"}, {{kA}, "0-"}, ""},
      {{{kA}, "5-1"}, {{kB}, "9-2"}, "STATE_FOREIGN"},
      {{{kA}, "5-1"}, {{kA, kB}, "3-2"}, ""},               // Adopted in place of what is held.
      {{{kA, kB}, "5-1"}, {{kA}, "9-2"}, "STATE_FOREIGN"},  // A copy from before the adoption.
      {{{kA, kB}, "5-1"}, {{kA, kB}, "4-2"}, "STATE_OLDER"},
      {{{kA, kB}, "5-1"}, {{kA, kB, kC}, "1-2"}, ""},
      {{{kA, kB}, "5-1"}, {{kA, kC}, "9-2"}, "STATE_FOREIGN"},
  };
  for (const auto& c : cases) {
    const Status status = MayFollow(c.held, c.offered);
    EXPECT_EQ(status.ok() ? "" : status.error().reason, c.refused) << c.held.ToText() << " <- " << c.offered.ToText();
  }
}

}  // namespace
}  // namespace weir::xds
