#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "api/weir/agent/v1/traffic.pb.h"
#include "libs/base/clock.h"
#include "libs/base/mutex.h"
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

namespace weir::process {
class Backoff;
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

// What has changed of a gateway's health since the agent was told.
class HealthDifference {
 public:
  static constexpr int kMostSetsPerReport = 5'000;

  void AddChanges(proxy::HealthChanges news);  // Answered.
  // The next report; unset = nothing changed. What does not fit comes with the call after.
  std::optional<agent::v1::GatewayHealthReport> Take();
  // A report that says that nothing changed: the agent sees whether it has missed something.
  agent::v1::GatewayHealthReport Unchanged() const;
  // From now on everything is said once more; the whole health must be added before.
  void Restart();
  bool restarted() const { return restarted_; }

 private:
  std::map<std::string, uint64_t> said_;  // Set -> hash of everything but times and texts.
  uint64_t state_ = 0;                    // Sum over said_.
  bool restarted_ = true;
  std::map<std::string, proxy::SetHealthReport> pending_;  // Learned, not taken.
  std::set<std::string> gone_;
};

// What there is to tell. Asked on the thread of LoadReports, between Start and the end of Stop.
class LoadSources {
 public:
  virtual ~LoadSources() = default;
  virtual std::vector<proxy::ShareReport> Shares() = 0;
  virtual proxy::HealthChanges TakeHealthChanges(bool whole) = 0;  // See Engine::TakeHealthChanges.
  virtual std::vector<std::string> Problems() = 0;
};

// Tells the agent each second what the engine delivers (envoy.service.load_stats.v3), and within 200 ms what changes
// of whom it holds for healthy (weir.agent.v1.GatewayHealth); every 10 s that nothing did. Nothing depends on it: an
// agent that is not there, or too old to listen, costs a retry each few seconds. A thread of its own.
class LoadReports {
 public:
  // All outlive Stop.
  LoadReports(const Settings& settings, LoadSources& sources, const Clock& clock);
  ~LoadReports();  // Stop.
  void Start();
  void Stop();

 private:
  void Run();
  // One connection, from dial to loss.
  Status Serve(process::Backoff& backoff);
  Status TellHealth(const std::shared_ptr<grpc::Channel>& channel);
  Status SendHealth(const std::shared_ptr<grpc::Channel>& channel, agent::v1::GatewayHealthReport report);
  bool Wait(Duration time);  // False = stopped.
  // Makes `context` the one that Stop cancels; false = stopped already.
  bool Enter(grpc::ClientContext* context);
  void Leave(grpc::ClientContext* context);

  const Settings& settings_;
  LoadSources& sources_;
  const Clock& clock_;
  LoadDifference difference_;
  MonoTime loads_said_;
  HealthDifference health_;
  MonoTime health_time_;  // Of the last report.
  Mutex mutex_;
  CondVar wake_;
  std::vector<grpc::ClientContext*> calls_ WEIR_GUARDED_BY(mutex_);  // In flight.
  bool stopped_ WEIR_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace weir::gateway
