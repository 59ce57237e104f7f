#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "cluster-agent/discovery/discovery.h"
#include "libs/base/clock.h"

namespace weir::agent {

// Text of a discovery file -> facts. INVALID_ARGUMENT with every violation and its line. `has_good` = a good reading is
// being served: then a reading without any workload and service needs proof, which is that the document itself says
// `workloads: []` and `services: []`; an empty or cut file proves nothing (FAILED_PRECONDITION DISCOVERY_EMPTY).
Result<Facts> ReadDiscovery(std::string_view text, bool has_good);

// The facts of a YAML file, read again when its folder says that it changed (inotify, so that a rename over it counts,
// and symlinked folders as Kubernetes mounts them) and every `poll` in any case. A missing, broken or unproven empty
// file changes nothing; the reason is logged once and stands in State.
class FileDiscovery : public Discovery {
 public:
  explicit FileDiscovery(std::string path, Duration poll = std::chrono::seconds(5));
  ~FileDiscovery() override;
  // Reads once before it returns. A file that is bad at the start is no error: the agent waits for a good one.
  Status Start(std::function<void(const Facts&)> on_facts) override;
  void Stop() override;
  DiscoveryState State() const override;

 private:
  struct Core;
  std::unique_ptr<Core> core_;
};

}  // namespace weir::agent
