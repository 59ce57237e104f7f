#include "libs/base/text.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

TEST(Text, TellsUtf8FromOtherBytes) {
  for (const std::string good : {"", "abc", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\xF4\x8F\xBF\xBF"}) {
    EXPECT_TRUE(IsUtf8(good)) << Printable(good);
    EXPECT_EQ(ToUtf8(good), good);
  }
  // Cut, stray, overlong, surrogate, above U+10FFFF.
  for (const std::string bad : {"\xC3", "\xC3(", "\x80", "\xFF", "\xC0\xAF", "\xE0\x80\xAF", "\xED\xA0\x80",
                                "\xF0\x80\x80\xAF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80"}) {
    EXPECT_FALSE(IsUtf8(bad)) << Printable(bad);
    EXPECT_TRUE(IsUtf8(ToUtf8(bad)));
    EXPECT_TRUE(HasControl(bad));
  }
  EXPECT_EQ(ToUtf8("a\xC3(b"), "a\xEF\xBF\xBD(b");
}

TEST(Text, WritesWhatATerminalWouldObey) {
  EXPECT_EQ(Printable("red \x1B[31mtext\r\n\tend\x7F"), "red \\x1b[31mtext\\x0d\\x0a\\x09end\\x7f");
  EXPECT_EQ(Printable("a\n\tb\r", true), "a\n\tb\\x0d");
  EXPECT_EQ(Printable("\xC2\x9B"
                      "31m"),
            "\\xc2\\x9b31m");  // C1 CSI.
  EXPECT_EQ(Printable("\xE2\x80\xAE"
                      "gpj"),
            "\\xe2\\x80\\xaegpj");  // Right-to-left override.
  EXPECT_EQ(Printable("\xFF"), "\\xff");
  EXPECT_EQ(Printable("Gr\xC3\xBC\xC3\x9F"
                      "e"),
            "Gr\xC3\xBC\xC3\x9F"
            "e");
  EXPECT_FALSE(
      HasControl("Gr\xC3\xBC\xC3\x9F"
                 "e"));
  EXPECT_FALSE(HasControl("a\nb", true));
  for (const std::string bad : {"\n", "\x01", "\x7F", "\xC2\x80", "\xE2\x80\xA8", "\xE2\x81\xA6"}) {
    EXPECT_TRUE(HasControl("a" + bad + "b"));
  }
}

TEST(AsciiLower, ChangesTheLettersOfAsciiAndNothingElse) {
  EXPECT_EQ(AsciiLower("ABC-xyz_09@[`{Z"), "abc-xyz_09@[`{z");
  EXPECT_EQ(AsciiLower("\u00c4\xff"), "\u00c4\xff");
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
