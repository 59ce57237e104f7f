#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "cluster-agent/discovery/discovery.h"
#include "libs/base/clock.h"

namespace weir::agent {

// Text of a discovery file -> facts. INVALID_ARGUMENT with every violation and its line. `has_good` = a good reading is
// being served: then
//  - a reading without any workload and service needs proof, which is that the document itself says `workloads: []` and
//    `services: []`; an empty file proves nothing (FAILED_PRECONDITION DISCOVERY_EMPTY);
//  - a text that does not end with a line end is cut (FAILED_PRECONDITION DISCOVERY_CUT): "127.0.2.2" may be what is
//    left of "127.0.2.21";
//  - with `sealed` (the reading before ended with the line "...", YAML's end mark) one without it is cut too: a list
//    that is cut between two lines is a shorter list, which nothing else tells from a wish.
Result<translate::Facts> ReadDiscovery(std::string_view text, bool has_good, bool sealed = false);
// Ends with the end mark.
bool IsSealed(std::string_view text);

struct FileDiscoveryOptions {
  std::string path;
  Duration poll = std::chrono::seconds(5);
  std::string last_good_path;  // Where the last good reading is kept, see StoredFacts; "" = nowhere.
  std::string owner;           // The cluster's trust domain.
  const Clock* clock = &Clock::Real();
};

// The facts of a YAML file, read again when its folder says that it changed (inotify, so that a rename over it counts,
// and symlinked folders as Kubernetes mounts them) and every `poll` in any case. A missing, broken, cut or unproven
// empty file changes nothing, also across a restart: the last good reading is kept on disk and served. The reason is
// logged once and stands in State.
class FileDiscovery : public Discovery {
 public:
  explicit FileDiscovery(FileDiscoveryOptions options);
  ~FileDiscovery() override;
  // Reads once before it returns. A file that is bad at the start is no error: the kept reading is served, or the agent
  // waits for a good one.
  Status Start(std::function<void(const translate::Facts&)> on_facts) override;
  void Stop() override;
  DiscoveryState State() const override;

 private:
  struct Core;
  std::unique_ptr<Core> core_;
};

}  // namespace weir::agent
