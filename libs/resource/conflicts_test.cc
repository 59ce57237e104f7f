#include "libs/resource/conflicts.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <random>

#include "api/weir/v2/gateway.pb.h"
#include "api/weir/v2/workspace.pb.h"
#include "libs/resource/kinds.h"
#include "libs/resource/validate.h"

namespace weir::resource {
namespace {

using ::testing::ElementsAre;

v2::NamespaceSelector Names(std::vector<std::string> names) {
  v2::NamespaceSelector selector;
  for (auto& name : names) selector.add_names(std::move(name));
  return selector;
}

TEST(Namespaces, OverlapThroughWildcards) {
  EXPECT_EQ(NamespaceOverlap(Names({"c1/a"}), Names({"c1/b", "c2/a"})), std::nullopt);
  EXPECT_EQ(NamespaceOverlap(Names({"c1/a", "c1/x"}), Names({"*/x"})), "c1/x");
  EXPECT_EQ(NamespaceOverlap(Names({"c1/*"}), Names({"*/x"})), "c1/*");
  EXPECT_TRUE(Matches(Names({"c1/*"}), "c1", "any"));
  EXPECT_FALSE(Matches(Names({"c1/*"}), "c2", "any"));
  std::vector<FieldViolation> violations;
  CheckWithin(Names({"c1/a", "*/a", "c2/b"}), Names({"c1/*", "c2/b"}), violations);
  ASSERT_EQ(violations.size(), 1u);
  EXPECT_EQ(violations[0].field, "spec.namespaceSelector.names[1]");
}

TEST(Namespaces, IntersectInWhatLiesInBoth) {
  const std::vector<NamespacePattern> all = PatternsOf(Names({"*/*", "c1/*", "*/a", "c1/a", "c2/a", "c1/b", "c2/*"}));
  for (const NamespacePattern& one : all) {
    for (const NamespacePattern& other : all) {
      const auto both = one.Intersection(other);
      for (const char* cluster : {"c1", "c2", "c3"}) {
        for (const char* name : {"a", "b", "x"}) {
          EXPECT_EQ(both && both->Matches(cluster, name), one.Matches(cluster, name) && other.Matches(cluster, name));
        }
      }
    }
  }
}

TEST(Namespaces, WithinIsWhatSomePatternContains) {
  std::mt19937 random(5);
  const auto part = [&](char letter) {
    return random() % 4 == 0 ? std::string("*") : std::string(1, letter) + std::to_string(random() % 3);
  };
  const auto names = [&](unsigned count) {
    v2::NamespaceSelector selector;
    for (unsigned i = 0; i < count; ++i) selector.add_names(part('c') + "/" + part('n'));
    return selector;
  };
  for (int round = 0; round < 500; ++round) {
    const v2::NamespaceSelector inner = names(4), outer = names(random() % 4);
    std::vector<FieldViolation> violations;
    CheckWithin(inner, outer, violations);
    std::vector<std::string> expected;
    for (int i = 0; i < inner.names_size(); ++i) {
      const auto patterns = PatternsOf(outer);
      const auto one = ParseNamespacePattern(inner.names(i));
      if (std::none_of(patterns.begin(), patterns.end(), [&](const auto& it) { return it.Contains(*one); })) {
        expected.push_back(fmt::format("spec.namespaceSelector.names[{}]", i));
      }
    }
    std::vector<std::string> found;
    for (const FieldViolation& violation : violations) found.push_back(violation.field);
    EXPECT_EQ(found, expected) << inner.ShortDebugString() << " in " << outer.ShortDebugString();
  }
}

TEST(Namespaces, AreAThousandAtMost) {
  for (const int count : {1000, 1001}) {
    v2::Workspace workspace;
    workspace.mutable_metadata()->set_name("w");
    for (int i = 0; i < count; ++i) {
      workspace.mutable_spec()->mutable_namespace_selector()->add_names(fmt::format("c/n{}", i));
    }
    std::vector<FieldViolation> violations;
    Validate(workspace, violations);
    EXPECT_EQ(violations.size(), count > 1000 ? 1u : 0u);
  }
}

TEST(Hosts, HavePatternsThatCoverThem) {
  EXPECT_THAT(PatternsFor("a.b.com"), ElementsAre("a.b.com", "*.b.com", "*.com"));
  EXPECT_THAT(PatternsFor("*.b.com"), ElementsAre("*.b.com", "*.com")) << "itself once";
  EXPECT_THAT(PatternsFor("com"), ElementsAre("com"));
  for (const char* host : {"a.b.com", "*.b.com", "*.com", "com"}) {
    const std::vector<std::string> patterns = PatternsFor(host);
    for (const char* other : {"a.b.com", "x.b.com", "*.b.com", "b.com", "*.com", "*.b.net"}) {
      EXPECT_EQ(Covers(other, host), std::count(patterns.begin(), patterns.end(), other) == 1) << other << " " << host;
    }
  }
}

TEST(HostClaims, AreOnePerHost) {
  auto gateway = std::make_shared<v2::Gateway>();
  for (int port = 1; port <= 3; ++port) {
    for (const char* host : {"*.com", "a.com"}) {
      auto& server = *gateway->mutable_spec()->add_http();
      server.set_hostname(host);
      server.set_port(static_cast<uint32_t>(port));
    }
  }
  const auto claims = HostClaims(FormOf(gateway));
  ASSERT_EQ(claims.size(), 2u);
  EXPECT_EQ(claims[0].field, "spec.http[0].hostname");
  EXPECT_EQ(claims[1].hostname, "a.com");
}

}  // namespace
}  // namespace weir::resource
