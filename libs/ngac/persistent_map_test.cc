#include "libs/ngac/persistent_map.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

namespace weir {
namespace {

size_t compared = 0;
struct Counting {
  bool operator()(int a, int b) const {
    ++compared;
    return a < b;
  }
};
using Map = PersistentMap<int, int, Counting>;
using Differing = std::map<int, std::pair<int, int>>;  // Key -> before, after; -1 = it is not there.

Differing DifferencesOf(const Map& before, const Map& after) {
  Differing found;
  int last = -1;
  before.VisitDifferences(after, [&](int key, const int* was, const int* is) {
    EXPECT_GT(key, last) << "in order";
    last = key;
    found[key] = {was == nullptr ? -1 : *was, is == nullptr ? -1 : *is};
  });
  return found;
}

// Sets or erases up to four keys.
Differing Change(std::mt19937& random, int turn, Map& map) {
  Differing changed;
  for (size_t i = random() % 5; i > 0; --i) {
    const int key = static_cast<int>(random() % 40'000);
    const int* had = map.Find(key);
    const int was = had == nullptr ? -1 : *had;
    if (!changed.emplace(key, std::pair(was, -1)).second) continue;
    if (had != nullptr && random() % 2 == 0) {
      map.Erase(key);
    } else {
      map.Set(key, 100'000 + turn);
      changed[key].second = 100'000 + turn;
    }
  }
  return changed;
}

// Of two copies with a common past, in both directions.
TEST(PersistentMap, TellsWhatDiffersAndLooksAtNothingElse) {
  std::mt19937 random(11);
  Map grown;
  for (int key = 0; key < 20'000; ++key) grown.Set(key * 2, key);
  size_t dearest = 0;
  for (int turn = 0; turn < 300; ++turn) {
    Map changed = grown;
    Differing expected = Change(random, turn, changed);
    compared = 0;
    ASSERT_EQ(DifferencesOf(grown, changed), expected);
    dearest = std::max(dearest, compared);
    for (auto& [key, values] : expected) std::swap(values.first, values.second);
    ASSERT_EQ(DifferencesOf(changed, grown), expected);
    grown = changed;
  }
  EXPECT_LT(dearest, 1'000u) << "of 20,000";
}

TEST(PersistentMap, TellsStrangersApart) {
  Map one, other;
  for (int key = 0; key < 50; ++key) (key % 3 == 0 ? one : other).Set(key, key);
  EXPECT_EQ(DifferencesOf(one, other).size(), 50u);
  EXPECT_EQ(DifferencesOf(Map(), other).size(), other.size());
  EXPECT_EQ(DifferencesOf(other, Map()).size(), other.size());
  EXPECT_TRUE(DifferencesOf(other, other).empty());
}

TEST(PersistentMap, KeepsOrderBalanceAndEarlierCopies) {
  std::mt19937 random(7);
  PersistentMap<int, int> map;
  std::map<int, int> model;
  std::vector<std::pair<PersistentMap<int, int>, std::map<int, int>>> copies;
  for (int i = 0; i < 5000; ++i) {
    const int key = static_cast<int>(random() % 700);
    if (random() % 3 == 0) {
      EXPECT_EQ(map.Erase(key), model.erase(key) == 1);
    } else {
      map.Set(key, i);
      model[key] = i;
    }
    if (i % 500 == 0) copies.emplace_back(map, model);
  }
  copies.emplace_back(map, model);
  for (const auto& [copy, expected] : copies) {
    EXPECT_EQ(copy.size(), expected.size());
    auto at = expected.lower_bound(300);
    copy.VisitFrom(300, [&](int key, int value) {
      EXPECT_EQ(std::make_pair(key, value), std::make_pair(at->first, at->second));
      ++at;
      return true;
    });
    EXPECT_EQ(at, expected.end());
    for (int key = -1; key <= 701; ++key) {
      ASSERT_EQ(copy.CountBefore(key), static_cast<size_t>(std::distance(expected.begin(), expected.lower_bound(key))));
    }
  }
}

}  // namespace
}  // namespace weir
