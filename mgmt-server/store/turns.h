#pragma once

#include <deque>
#include <map>
#include <string>
#include <utility>

namespace weir::store {

// Who waits for the writer. Owners are served in turn, each in the order of its own calls, so that one who has many
// does not keep the others waiting. Not thread-safe.
template <typename Call>
class Turns {
 public:
  bool empty() const { return waiting_.empty(); }
  void Add(const std::string& owner, Call call) {
    const auto [found, first] = waiting_.try_emplace(owner);
    found->second.push_back(std::move(call));
    if (first) turns_.push_back(owner);
  }
  // The next one, which must be there, and whose it is.
  std::pair<std::string, Call> Take() {
    std::string owner = std::move(turns_.front());
    turns_.pop_front();
    const auto found = waiting_.find(owner);
    Call call = std::move(found->second.front());
    found->second.pop_front();
    if (found->second.empty())
      waiting_.erase(found);
    else
      turns_.push_back(owner);
    return {std::move(owner), std::move(call)};
  }
  // It was taken and has its turn again, before all others. Of several: the last taken first.
  void PutBack(std::string owner, Call call) {
    const auto [found, first] = waiting_.try_emplace(owner);
    found->second.push_front(std::move(call));
    if (!first) std::erase(turns_, owner);
    turns_.push_front(std::move(owner));
  }

 private:
  std::map<std::string, std::deque<Call>> waiting_;
  std::deque<std::string> turns_;  // Each owner that waits, once.
};

}  // namespace weir::store
