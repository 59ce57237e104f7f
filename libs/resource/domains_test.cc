#include "libs/resource/domains.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace weir::resource {
namespace {

TEST(Domains, OverlapWhenOneIsTheOtherOrBelowIt) {
  EXPECT_TRUE(DomainsOverlap("a.test", "a.test"));
  EXPECT_TRUE(DomainsOverlap("b.a.test", "a.test"));
  EXPECT_TRUE(DomainsOverlap("a.test", "c.b.a.test"));
  EXPECT_TRUE(DomainsOverlap("A.Test", "a.test"));
  EXPECT_FALSE(DomainsOverlap("ba.test", "a.test"));
  EXPECT_FALSE(DomainsOverlap("a.test", "b.test"));
  EXPECT_FALSE(DomainsOverlap("a.test.b", "a.test"));
  EXPECT_FALSE(DomainsOverlap("", "a.test"));
}

bool AtOrBelow(std::string name, const std::string& above) {  // Label by label.
  while (true) {
    if (name == above) return true;
    const size_t dot = name.find('.');
    if (dot == std::string::npos) return false;
    name = name.substr(dot + 1);
  }
}

// Organizations with domains that do not overlap, any cluster names: no two trust domains are equal or nested.
TEST(Domains, NoTwoTrustDomainsAreEqualOrNestedWhateverTheNames) {
  std::mt19937 random(11);
  const auto label = [&] { return std::string(1, static_cast<char>('a' + random() % 3)); };
  for (int round = 0; round < 300; ++round) {
    std::vector<std::string> organizations, trust_domains;
    for (int i = 0; i < 6; ++i) {
      std::string domain = label();
      for (unsigned more = random() % 3; more > 0; --more) domain = label() + "." + domain;
      bool overlaps = false, nested = false;
      for (const std::string& other : organizations) {
        overlaps = overlaps || DomainsOverlap(domain, other);
        nested = nested || AtOrBelow(domain, other) || AtOrBelow(other, domain);
      }
      ASSERT_EQ(overlaps, nested) << domain;
      if (overlaps) continue;
      organizations.push_back(domain);
      for (const char* cluster : {"a", "b", "c"}) trust_domains.push_back(std::string(cluster) + "." + domain);
    }
    for (size_t i = 0; i < trust_domains.size(); ++i) {
      for (size_t j = 0; j < trust_domains.size(); ++j) {
        ASSERT_EQ(AtOrBelow(trust_domains[i], trust_domains[j]), i == j) << trust_domains[i];
      }
    }
  }
}

}  // namespace
}  // namespace weir::resource
