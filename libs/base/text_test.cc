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

}  // namespace
}  // namespace weir
