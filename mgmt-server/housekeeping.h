#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "mgmt-server/repeating.h"
#include "mgmt-server/retention.h"
#include "mgmt-server/services/admin_states.h"

namespace weir::obs {
class Metrics;
}

namespace weir::server {

// What a server does with its state by itself now and then: it forgets what retention lets go (each hour), and ends
// admin states whose time has come (each second). What fails is logged and tried again.
class Housekeeping {
 public:
  // All of it outlives Stop. `forgot`: told how each attempt to forget ended.
  void Start(const services::Backends& backends, obs::Metrics& metrics, const RetentionBounds& bounds,
             std::function<void(const Status&)> forgot);
  // Does this too, again and again.
  void Also(const Clock& clock, Duration interval, std::function<void()> task);
  void Stop();

 private:
  std::unique_ptr<services::AdminStateEnds> ends_;
  Repeating forgetting_, admin_states_;
  std::vector<std::unique_ptr<Repeating>> others_;
};

}  // namespace weir::server
