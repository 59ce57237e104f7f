#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "api/weir/agent/v1/traffic.pb.h"
#include "libs/base/clock.h"
#include "libs/base/mutex.h"

namespace envoy::service::load_stats::v3 {
class LoadStatsRequest;
}

namespace weir::agent::v1 {
class Problems;
}

namespace weir::agent {

// What the gateways of this cluster say of the clusters behind them: counts by LRS, health by GatewayHealth; turned
// into what the server is told. Bounded per gateway. Thread-safe.
class TrafficLedger {
 public:
  static constexpr size_t kMostSets = 20'000;                         // Of one gateway; more are not kept.
  static constexpr size_t kMostClusters = 1'000;                      // Of one set, likewise.
  static constexpr size_t kMostNameBytes = 1024;                      // Longer names are nobody's.
  static constexpr size_t kMostSetsPerMessage = 5'000;                // The others go with the next message.
  static constexpr Duration kLeast = std::chrono::milliseconds(950);  // Between two messages about one gateway.
  static constexpr Duration kSoon = std::chrono::milliseconds(150);   // The same when somebody waits for its word.
  static constexpr Duration kMost = std::chrono::seconds(10);         // So often without a change.
  static constexpr Duration kSilent = std::chrono::seconds(25);       // A gateway unheard so long is not spoken of.

  explicit TrafficLedger(const Clock& clock) : clock_(clock) {}

  // A stream of reports began and no other of the workload stands: it will say all that it knows.
  void OnOpened(const std::string& workload);
  // Counts since the last report. Localities are clusters (sub_zone); the metric "dev.weir.intended" is the share.
  void OnLoad(const std::string& workload, const envoy::service::load_stats::v3::LoadStatsRequest& report);
  // False: it does not follow what is known of this gateway; it is not taken, and the gateway must say everything.
  bool OnHealth(const std::string& workload, v1::GatewayHealthReport report);
  void Forget(const std::string& workload);

  // What the server is to be told now; `full`: all that is known. False: nothing.
  bool Report(bool full, std::vector<v1::GatewayTraffic>* out);
  // What the gateways had to refuse, by workload.
  void AddProblems(v1::Problems* out) const;

 private:
  struct Counts {
    std::optional<double> intended;
    uint64_t requests = 0;  // Not told yet.
    uint64_t errors = 0;
  };
  using Clusters = std::map<std::string, Counts>;
  struct Gateway {
    std::optional<MonoTime> told;
    MonoTime heard;
    double seconds = 0;  // That the counts stand for.
    std::map<std::string, Clusters> sets;
    std::set<std::string> changed;
    std::map<std::string, v1::SetHealth> health;
    std::vector<std::string> problems;
    bool health_known = false;
    uint64_t health_state = 0;
    bool health_anew = false;              // The server must hear it whole.
    bool urgent = false;                   // A word that READY waits for: the first of a set, or that it was checked.
    std::set<std::string> health_changed;  // Names; not told yet, as the next.
    std::set<std::string> health_removed;
  };

  Gateway& Heard(const std::string& workload) WEIR_REQUIRES(mutex_);
  static void TellTraffic(Gateway* gateway, v1::GatewayTraffic* out);
  static void TellHealth(Gateway* gateway, v1::GatewayTraffic* out);

  const Clock& clock_;
  mutable Mutex mutex_;
  std::map<std::string, Gateway> gateways_ WEIR_GUARDED_BY(mutex_);
};

}  // namespace weir::agent
