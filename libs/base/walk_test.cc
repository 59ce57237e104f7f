#include "libs/base/walk.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

namespace weir {
namespace {

TEST(WalkBoth, VisitsEveryKeyOnceInOrder) {
  const std::map<std::string, int> a{{"a", 1}, {"b", 2}, {"d", 4}}, b{{"b", 20}, {"c", 30}, {"e", 50}};
  const auto seen = [](const auto& left, const auto& right) {
    std::string text;
    WalkBoth(left, right, [&](const std::string& key, const int* was, const int* is) {
      text += fmt::format("{}:{}/{} ", key, was != nullptr ? *was : 0, is != nullptr ? *is : 0);
    });
    return text;
  };
  EXPECT_EQ(seen(a, b), "a:1/0 b:2/20 c:0/30 d:4/0 e:0/50 ");
  EXPECT_EQ(seen(a, decltype(a)()), "a:1/0 b:2/0 d:4/0 ");
  EXPECT_EQ(seen(decltype(a)(), b), "b:0/20 c:0/30 e:0/50 ");
}

}  // namespace
}  // namespace weir
