#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "libs/proxy/health_view.h"
#include "libs/proxy/plan.h"
#include "libs/proxy/report.h"
#include "libs/proxy/snapshot.h"

namespace weir::proxy {

// Requests of one (set, host, cluster), summed over the workers.
struct ShareCount {
  uint64_t requests = 0;
  uint64_t errors = 0;  // 5xx or lost.
  uint64_t recent = 0;  // Of the last 10 s.
};
using ShareCounts = std::map<std::tuple<std::string, std::string, std::string>, ShareCount>;
using HealthBySet = TextMap<std::shared_ptr<const SetHealth>>;

// What was intended and what was delivered; sorted by set, host and cluster. Sets with a single locality without a
// weight have nothing to share.
std::vector<ShareReport> SharesOf(const Snapshot& snapshot, const ShareCounts& counts, const HealthBySet& health);

// The metrics of them, by host: where several sets serve one host, intended is their mean by requests.
void RenderShares(std::string& out, const std::vector<ShareReport>& shares);

// Raises the alarm when delivery strays: more than 0.05 off what has been intended, unchanged, for the whole window,
// with at least 100 requests in it. A log line when it begins and when it ends, a few at a time.
class ShareWatch {
 public:
  static constexpr double kOff = 0.05;
  static constexpr uint64_t kEnough = 100;
  static constexpr uint64_t kSettledMs = 11'000;
  static constexpr int kLinesPerLook = 10;

  void FindDeviations(std::vector<ShareReport>& shares, uint64_t now_ms);  // Sets ShareReport::deviates.

 private:
  struct Seen {
    double intended = 0;
    uint64_t since_ms = 0;
    bool deviates = false;
    uint64_t look = 0;
  };
  std::map<std::tuple<std::string, std::string, std::string>, Seen> seen_;
  uint64_t looks_ = 0;
};

}  // namespace weir::proxy
