#include "libs/base/admission.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <vector>

namespace weir {
namespace {

class Places : public ::testing::Test {
 protected:
  // -1: no place.
  int Enter(const std::string& source) {
    const int number = static_cast<int>(ids_.size());
    const auto id = admission_.Enter(source, [this, number] { closed_.push_back(number); });
    ids_.push_back(id.value_or(0));
    return id ? number : -1;
  }
  Admission admission_{5, 3};
  std::vector<Admission::Id> ids_;
  std::vector<int> closed_;
};

TEST_F(Places, TheSilentOneOfTheSameSourceThatWasSilentLongestGoes) {
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Enter("a"), i);
  EXPECT_EQ(Enter("b"), 3);
  admission_.SetSilent(ids_[0], false);
  EXPECT_EQ(Enter("a"), 4);
  EXPECT_EQ(closed_, std::vector<int>{1});
  admission_.SetSilent(ids_[0], true);  // Silent again, but not for long.
  EXPECT_EQ(Enter("a"), 5);
  EXPECT_EQ(closed_, (std::vector<int>{1, 2}));
  EXPECT_EQ(admission_.size(), 4u);
}

TEST_F(Places, AFullHouseSendsAwayTheOneThatIsSilentLongest) {
  for (const char* source : {"a", "b", "c", "d", "e"}) EXPECT_GE(Enter(source), 0);
  admission_.SetSilent(ids_[0], false);
  EXPECT_EQ(Enter("f"), 5);
  EXPECT_EQ(closed_, std::vector<int>{1});
  EXPECT_EQ(admission_.size(), 5u);
}

TEST_F(Places, WhereNobodyIsSilentTheNewcomerGoes) {
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Enter("a"), i);
  for (int i = 0; i < 3; ++i) admission_.SetSilent(ids_[i], false);
  EXPECT_EQ(Enter("a"), -1);
  EXPECT_EQ(Enter("b"), 4);
  EXPECT_EQ(Enter("c"), 5);
  admission_.SetSilent(ids_[4], false);
  admission_.SetSilent(ids_[5], false);
  EXPECT_EQ(Enter("d"), -1);
  EXPECT_TRUE(closed_.empty());
  EXPECT_FALSE(admission_.CloseOldestSilent());
  admission_.Leave(ids_[0]);
  EXPECT_EQ(Enter("d"), 7);
  EXPECT_TRUE(admission_.CloseOldestSilent());
  EXPECT_EQ(closed_, std::vector<int>{7});
  admission_.Leave(ids_[7]);
  EXPECT_EQ(admission_.size(), 4u);
}

TEST(Source, IsAnAddressOrTheNetworkThatOneHostGets) {
  const auto of4 = [](const char* text) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    inet_pton(AF_INET, text, &address.sin_addr);
    return SourceOf(reinterpret_cast<const sockaddr*>(&address));
  };
  const auto of6 = [](const char* text) {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    inet_pton(AF_INET6, text, &address.sin6_addr);
    return SourceOf(reinterpret_cast<const sockaddr*>(&address));
  };
  EXPECT_EQ(of4("192.0.2.7"), "192.0.2.7");
  EXPECT_EQ(of6("::ffff:192.0.2.7"), "192.0.2.7");
  EXPECT_EQ(of6("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
  EXPECT_EQ(of6("2001:db8:1:2:ffff::"), "2001:db8:1:2::");
}

}  // namespace
}  // namespace weir
