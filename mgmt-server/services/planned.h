#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "api/weir/v2/plan.pb.h"
#include "libs/base/clock.h"
#include "libs/base/result.h"
#include "mgmt-server/store/store.h"

namespace weir::services {

// What would be written, on the state of `revision`.
struct PlanQuestion {
  struct Change {
    std::string fqn;
    store::ResourcePtr before;  // Null: there is none.
    store::ResourcePtr after;   // Null: it is gone.
  };
  int64_t revision = 0;
  std::vector<Change> changes;
  std::vector<std::string> documents;                       // FQNs of what is looked over for findings.
  std::function<bool(const std::string& fqn)> may_read;     // Of the caller.
  std::function<Status()> go_on = [] { return Status(); };  // Not ok: nobody waits any more.
  MonoTime deadline{};                                      // Of all; half of the time until then is for gateways.
};

// What the caller would see of it.
struct PlanEffect {
  v2::PlanResponse seen;  // `clusters`, `losses` and `findings`, cut to size.
  std::string digest;     // Of all that he may see of the intent, before anything was cut: equal only if that is.
};

// Whom it would change something for.
struct Concerned {
  std::set<std::string> clusters;  // FQNs.
  std::set<std::string> hosts;     // Patterns ("*.example.com") too.
};

}  // namespace weir::services
