#include "libs/base/text.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

TEST(Shortened, CutsBetweenCharacters) {
  EXPECT_EQ(Shortened("abc", 3), "abc");
  EXPECT_EQ(Shortened("abc", 2), "ab");
  EXPECT_EQ(Shortened("a\u00fcb", 2), "a");  // Two bytes that belong together.
  EXPECT_EQ(Shortened("a\u00fcb", 3), "a\u00fc");
  EXPECT_EQ(Shortened("\U0001f980", 3), "");
}

TEST(CleanText, EscapesWhatATerminalObeysAndKeepsTheRest) {
  EXPECT_EQ(CleanText("plain \u00fc \U0001f980", 100), "plain \u00fc \U0001f980");
  EXPECT_EQ(CleanText("a\x1b[2Jb\a\r\n\t\x7f", 100), "a\\x1b[2Jb\\x07\\x0d\\x0a\\x09\\x7f");
  EXPECT_EQ(CleanText(std::string_view("a\0b", 3), 100), "a\\x00b");
  EXPECT_EQ(CleanText("\xc2\x9b"
                      "2J",
                      100),
            "\\xc2\\x9b"
            "2J");  // CSI as one C1 character.
  EXPECT_EQ(CleanText("\xff \xc0\xaf \xed\xa0\x80 \xc3", 100), "\\xff \\xc0\\xaf \\xed\\xa0\\x80 \\xc3");
}

TEST(CleanText, IsNeverLongerThanAllowedAndSaysThatItWasCut) {
  EXPECT_EQ(CleanText("abcdef", 6), "abcdef");
  EXPECT_EQ(CleanText("abcdefg", 6), "abc...");
  EXPECT_EQ(CleanText("abc\x1b\x1b", 8), "abc...");
  EXPECT_EQ(CleanText("ab\u00fc\u00fc\u00fc", 6), "ab...");
  EXPECT_EQ(CleanText("abcd", 2), "");
  const std::string cut = CleanText(std::string(5'000'000, '\x1b'), 4096);
  EXPECT_EQ(cut.size(), 4095u);
  EXPECT_TRUE(cut.ends_with("\\x1b..."));
}

}  // namespace
}  // namespace weir
