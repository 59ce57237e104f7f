#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "libs/base/clock.h"
#include "libs/base/result.h"
#include "libs/gateway/settings.h"
#include "libs/proxy/report.h"

namespace grpc {
class Channel;
class ClientContext;
}  // namespace grpc
namespace envoy::service::load_stats::v3 {
class LoadStatsRequest;
}

namespace weir::gateway {

// What counts since the last report say: the difference of totals, and shares as they are.
class LoadDifference {
 public:
  static constexpr size_t kMostSetsPerMessage = 2'000;

  // The reports to send for `now`; empty when nothing happened. After Restart everything is said once.
  std::vector<envoy::service::load_stats::v3::LoadStatsRequest> Take(const std::vector<proxy::ShareReport>& now,
                                                                     Duration interval);
  void Restart() { restarted_ = true; }

 private:
  struct Said {
    uint64_t requests = 0;
    uint64_t errors = 0;
    double intended = 0;
  };
  using Key = std::pair<std::string, std::string>;  // Set, cluster.
  std::map<Key, Said> said_;
  bool restarted_ = true;
};

// Tells the agent each second what the engine delivers (envoy.service.load_stats.v3), and on change and every 10 s
// whom it holds for healthy (weir.agent.v1.GatewayHealth). Nothing depends on it: an agent that is not there, or too
// old to listen, costs a retry each few seconds. A thread of its own.
class LoadReports {
 public:
  struct Sources {
    std::function<std::vector<proxy::ShareReport>()> shares;
    std::function<std::vector<proxy::SetHealthReport>()> health;
    std::function<std::vector<std::string>()> problems;
  };

  LoadReports(const Settings& settings, Sources sources);
  ~LoadReports();  // Stop.
  void Start();
  void Stop();

 private:
  void Run();
  // One connection, from dial to loss.
  Status Serve();
  Status TellHealth(const std::shared_ptr<grpc::Channel>& channel, bool serves_nothing);
  bool Wait(Duration time);  // False = stopped.
  // Makes `context` the one that Stop cancels; false = stopped already.
  bool Enter(grpc::ClientContext* context);
  void Leave(grpc::ClientContext* context);

  const Settings& settings_;
  const Sources sources_;
  LoadDifference difference_;
  MonoTime loads_said_;
  uint64_t health_said_ = 0;  // Hash of what was said last.
  MonoTime health_time_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<grpc::ClientContext*> calls_;  // In flight.
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace weir::gateway
