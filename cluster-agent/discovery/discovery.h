#pragma once

#include <functional>
#include <string>
#include <vector>

#include "libs/base/result.h"
#include "libs/translate/facts.h"

namespace weir::agent {

// What a source of facts says of itself, for metrics and the admin door.
struct DiscoveryState {
  bool has_reading = false;  // At least one good reading was taken.
  uint64_t accepted = 0;
  uint64_t refused = 0;
  Error last_refusal;                     // Code kOk: the newest reading was good. Else with every violation.
  std::string started_from;               // "generation 1 of last-good"; "" = nothing was kept.
  std::vector<std::string> kept_refused;  // Why kept readings were refused at the start, until a good one is kept.
  std::string unkept;                     // Why the newest one is not on disk; "" = nothing failed. Tried again.
};

// A source of facts: workloads and services of this cluster. Readings are complete; what a source cannot prove it does
// not say (a broken or empty reading never replaces a good one).
class Discovery {
 public:
  virtual ~Discovery() = default;  // Stops.
  // `on_facts` is called with each changed reading, on the source's own thread, one at a time.
  virtual Status Start(std::function<void(const translate::Facts&)> on_facts) = 0;
  virtual void Stop() = 0;
  virtual DiscoveryState State() const = 0;
};

}  // namespace weir::agent
