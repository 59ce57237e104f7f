#include "libs/traffic/route_table.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace weir::traffic {
namespace {

std::shared_ptr<const VirtualHost> Host(std::string name, std::vector<std::string> domains,
                                        std::vector<RouteRule> rules = {{PathKind::kPrefix, "/", 0}}) {
  return std::make_shared<VirtualHost>(VirtualHost{std::move(name), std::move(domains), std::move(rules)});
}
RouteTable Table(std::vector<std::shared_ptr<const VirtualHost>> hosts) {
  auto table = RouteTable::Build(std::move(hosts));
  EXPECT_TRUE(table.ok()) << table.error().ToString();
  return std::move(table).value();
}
std::string NameOf(const RouteTable& table, std::string_view authority) {
  const auto found = table.FindHost(authority);
  return found.host ? found.host->name : "";
}

TEST(RouteTable, PrefersTheExactNameThenTheLongestSuffixThenAny) {
  const auto table = Table({Host("any", {"*"}), Host("com", {"*.example.com"}), Host("deep", {"*.a.example.com"}),
                            Host("exact", {"x.a.example.com"})});
  EXPECT_EQ(NameOf(table, "x.a.example.com"), "exact");
  EXPECT_EQ(NameOf(table, "y.a.example.com"), "deep");
  EXPECT_EQ(NameOf(table, "z.y.a.example.com"), "deep");
  EXPECT_EQ(NameOf(table, "a.example.com"), "com");
  EXPECT_EQ(NameOf(table, "example.com"), "any");
  EXPECT_EQ(NameOf(table, "other.org"), "any");
  EXPECT_EQ(NameOf(table, ""), "any");
}

// The suffix ".b.test" is as long as the exact name "ab.test".
TEST(RouteTable, TakesNoExactNameForAWildcard) {
  const auto table = Table({Host("exact", {"ab.test"}), Host("wild", {"*.b.test"})});
  EXPECT_EQ(NameOf(table, "ab.test"), "exact");
  EXPECT_EQ(NameOf(table, "x.b.test"), "wild");
  EXPECT_EQ(NameOf(table, "xab.test"), "");
  EXPECT_EQ(NameOf(table, "x.ab.test"), "");
}

TEST(RouteTable, IgnoresTheDotOfTheRoot) {
  const auto table = Table({Host("a", {"a.example"}), Host("wild", {"*.b.example."})});
  for (const char* name : {"a.example", "a.example.", "A.EXAMPLE.", "a.example.:80"}) {
    EXPECT_EQ(NameOf(table, name), "a") << name;
  }
  EXPECT_EQ(NameOf(table, "x.b.example."), "wild");
  EXPECT_EQ(NameOf(table, "a.example.."), "");
  EXPECT_EQ(NameOf(table, "."), "");
  std::array<char, kMaxHost> out;
  EXPECT_EQ(FoldedHost("A.Example.:443", out), "a.example");
  EXPECT_EQ(FoldedHost(std::string(300, 'A'), out), std::string(300, 'A'));
}

TEST(RouteTable, IgnoresCaseAndPort) {
  const auto table = Table({Host("a", {"ServiceA.example.com:*", "servicea.example.com"}), Host("six", {"[::1]"})});
  EXPECT_EQ(NameOf(table, "SERVICEA.EXAMPLE.com:18080"), "a");
  EXPECT_EQ(NameOf(table, "[::1]:80"), "six");
  EXPECT_EQ(NameOf(table, "[::1]"), "six");
  EXPECT_EQ(NameOf(table, "nobody.example.com"), "");
}

TEST(RouteTable, DoesNotTakeADottedNameForAWildcard) {
  const auto table = Table({Host("wild", {"*.example.com"})});
  EXPECT_EQ(NameOf(table, ".example.com"), "");
  EXPECT_EQ(NameOf(table, "example.com"), "");
  EXPECT_EQ(NameOf(table, "a.example.com"), "wild");
}

TEST(RouteTable, RefusesADomainTwiceAndFormsItDoesNotServe) {
  EXPECT_EQ(RouteTable::Build({Host("a", {"x.com"}), Host("b", {"X.com:80"})}).error().reason, "DUPLICATE_DOMAIN");
  EXPECT_EQ(RouteTable::Build({Host("a", {"*"}), Host("b", {"*"})}).error().reason, "DUPLICATE_DOMAIN");
  for (const char* bad : {"", "a.*", "*a.com", "a*.com", "*.*.com"}) {
    EXPECT_EQ(RouteTable::Build({Host("a", {bad})}).error().reason, "BAD_DOMAIN") << bad;
  }
}

TEST(RouteTable, TakesTheFirstRuleThatAcceptsInTheOrderGiven) {
  const auto table = Table(
      {Host("a", {"*"},
            {{PathKind::kExact, "/x", 1}, {PathKind::kPathSeparated, "/api", 2}, {PathKind::kPrefix, "/ap", 3}})});
  const auto action = [&](std::string_view path) {
    const auto found = table.Match("h", path);
    return found.rule ? static_cast<int>(found.rule->action) : -1;
  };
  EXPECT_EQ(action("/x"), 1);
  EXPECT_EQ(action("/x?q=1"), 1);
  EXPECT_EQ(action("/x/"), -1);
  EXPECT_EQ(action("/api"), 2);
  EXPECT_EQ(action("/api/v1?x"), 2);
  EXPECT_EQ(action("/apis"), 3);
  EXPECT_EQ(action("/"), -1);
}

TEST(RouteTable, AgreesWithAPlainSearchOnRandomNames) {
  std::mt19937_64 random(11);
  const auto label = [&] { return std::string(1, static_cast<char>('a' + random() % 3)); };
  const auto name = [&] {
    std::string out = label();
    for (size_t i = random() % 4; i > 0; --i) out += "." + label();
    return out;
  };
  for (int round = 0; round < 300; ++round) {
    std::map<std::string, std::string> domains;
    std::vector<std::shared_ptr<const VirtualHost>> hosts;
    for (size_t i = 0; i < 1 + random() % 30; ++i) {
      const std::string domain = (random() % 2 ? "*." : "") + name();
      if (domains.emplace(domain, domain).second) hosts.push_back(Host(domain, {domain}));
    }
    const auto table = Table(hosts);
    for (int query = 0; query < 100; ++query) {
      const std::string asked = name();
      std::string expected = domains.count(asked) ? asked : "";
      for (size_t dot = asked.find('.'); expected.empty() && dot != std::string::npos; dot = asked.find('.', dot + 1)) {
        if (domains.count("*" + asked.substr(dot))) expected = "*" + asked.substr(dot);
      }
      ASSERT_EQ(NameOf(table, asked), expected) << asked;
    }
  }
}

}  // namespace
}  // namespace weir::traffic
