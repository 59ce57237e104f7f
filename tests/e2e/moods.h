#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/e2e/said.h"

namespace weir::e2e {

struct Mood;

// A host that is served or not, in turn for each reason there is. READY is never said of what is not answered, and what
// is said instead is what `weir explain` says, while c2 is drained and activated all the time.
class Moods {
 public:
  static const unsigned kKinds;

  Moods(Scene& scene, std::string name) : scene_(scene), name_(std::move(name)) {}

  // Applies the next one, and looks until it says what it must, at every turn whether it lies. `turns`: is counted up
  // before each time that anything is done to c2; `looks`: at each look.
  void Next(unsigned number, const std::atomic<uint64_t>& turns, std::atomic<uint64_t>& looks);
  uint64_t ready = 0, unserved = 0;
  std::vector<std::string> lies;

 private:
  void Lie(const Mood& mood, const std::string& what);
  Said Look(const Mood& mood, const std::atomic<uint64_t>& turns);

  Scene& scene_;
  const std::string name_;
};

}  // namespace weir::e2e
