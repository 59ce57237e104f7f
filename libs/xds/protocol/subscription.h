#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace weir::xds {

// What a client wants of one type. Explicit on purpose: "no names" means three different things (T15, T16, T17).
class Subscription {
 public:
  explicit Subscription(bool legacy_possible) : legacy_possible_(legacy_possible) {}

  // Delta: names to add and to drop. `first` = the first request of this type on the stream.
  struct Change {
    std::vector<std::string> added;              // Named in this request, known before or not (T21).
    std::vector<std::string> dropped;            // No longer covered by anything.
    std::vector<std::string> uncovered_by_name;  // Dropped by name while a wildcard still covers them (T22).
    bool wildcard_began = false;
    bool wildcard_ended = false;
  };
  template <typename Names>
  Change ApplyDelta(bool first, const Names& subscribe, const Names& unsubscribe);
  // State of the world: the whole list. `added` holds only names that were not listed before.
  template <typename Names>
  Change ApplyWorld(bool first, const Names& names);

  bool all() const { return legacy_ || wildcard_; }
  bool Covers(std::string_view name) const { return all() || names_.contains(name); }
  const std::set<std::string, std::less<>>& names() const { return names_; }

 private:
  bool legacy_possible_;
  bool legacy_ = false;    // An empty first request of a type that allows it.
  bool wildcard_ = false;  // "*".
  std::set<std::string, std::less<>> names_;
};

template <typename Names>
Subscription::Change Subscription::ApplyDelta(bool first, const Names& subscribe, const Names& unsubscribe) {
  Change change;
  const bool before = all();
  if (first && subscribe.empty() && unsubscribe.empty() && legacy_possible_) legacy_ = true;
  for (const std::string& name : subscribe) {
    if (name == "*") {
      wildcard_ = true;
    } else {
      names_.insert(name);
      change.added.push_back(name);
    }
  }
  for (const std::string& name : unsubscribe) {
    if (name == "*") {
      wildcard_ = legacy_ = false;
    } else if (names_.erase(name) > 0) {
      (all() ? change.uncovered_by_name : change.dropped).push_back(name);
    }
  }
  change.wildcard_began = all() && !before;
  change.wildcard_ended = !all() && before;
  return change;
}

template <typename Names>
Subscription::Change Subscription::ApplyWorld(bool first, const Names& listed) {
  Change change;
  const bool before = all();
  std::set<std::string, std::less<>> next;
  wildcard_ = false;
  for (const std::string& name : listed) {
    if (name == "*")
      wildcard_ = true;
    else
      next.insert(name);
  }
  // Once any name was given, an empty list is the end of every subscription, not "all" (T15).
  if (!listed.empty())
    legacy_possible_ = legacy_ = false;
  else if (first)
    legacy_ = legacy_possible_;
  else if (!legacy_)
    legacy_possible_ = false;
  for (const std::string& name : next) {
    if (!names_.contains(name)) change.added.push_back(name);
  }
  for (const std::string& name : names_) {
    if (!next.contains(name) && !all()) change.dropped.push_back(name);
  }
  names_ = std::move(next);
  change.wildcard_began = all() && !before;
  change.wildcard_ended = !all() && before;
  return change;
}

}  // namespace weir::xds
