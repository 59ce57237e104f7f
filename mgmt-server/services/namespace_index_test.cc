#include "mgmt-server/services/namespace_index.h"

#include <gtest/gtest.h>

#include <random>

#include "api/weir/v2/workspace.pb.h"

namespace weir::services {
namespace {

v2::NamespaceSelector Selector(std::initializer_list<std::string> names) {
  v2::NamespaceSelector selector;
  for (const std::string& name : names) selector.add_names(name);
  return selector;
}

TEST(NamespaceIndex, FindsEveryWorkspaceThatOverlaps) {
  std::mt19937 random(11);
  const auto part = [&](char letter) {
    return random() % 4 == 0 ? std::string("*") : std::string(1, letter) + std::to_string(random() % 5);
  };
  NamespaceIndex index;
  std::map<std::string, v2::NamespaceSelector> all;
  for (int i = 0; i < 300; ++i) {
    v2::NamespaceSelector selector;
    for (unsigned k = 0; k < 1 + random() % 3; ++k) selector.add_names(part('c') + "/" + part('n'));
    const std::set<std::string> candidates = index.Candidates("organizations/o", selector);
    for (const auto& [fqn, theirs] : all) {
      if (resource::NamespaceOverlap(selector, theirs)) {
        EXPECT_TRUE(candidates.contains(fqn)) << selector.ShortDebugString() << " | " << theirs.ShortDebugString();
      }
    }
    const std::string fqn = "w" + std::to_string(i);
    index.Add("organizations/o", fqn, selector);
    all.emplace(fqn, std::move(selector));
  }
  EXPECT_TRUE(index.Candidates("organizations/other", Selector({"*/*"})).empty());
  EXPECT_EQ(index.Candidates("organizations/o", Selector({"*/*"})).size(), 300u);
}

TEST(NamespaceIndex, LooksAtWhatIsTouchedOnly) {
  NamespaceIndex index;
  for (int i = 0; i < 5000; ++i) {
    const std::string number = std::to_string(i);
    index.Add("o", "w" + number, Selector({(i % 2 == 0 ? "*" : "c" + number) + "/n" + number}));
  }
  EXPECT_EQ(index.Candidates("o", Selector({"*/new"})).size(), 0u);
  EXPECT_EQ(index.Candidates("o", Selector({"c7/new", "*/n4"})), std::set<std::string>{"w4"});
  EXPECT_EQ(index.Candidates("o", Selector({"c7/n7"})), std::set<std::string>{"w7"});
  EXPECT_EQ(index.Candidates("o", Selector({"c8/n8"})), std::set<std::string>{"w8"});
  EXPECT_EQ(index.size(), 5000u);
  index.Add("o", "w1", Selector({"c1/n1"}));
  EXPECT_EQ(index.size(), 5000u) << "the same again is the same";
}

}  // namespace
}  // namespace weir::services
