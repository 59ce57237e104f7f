#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cluster-agent/translate/facts.h"
#include "libs/base/clock.h"
#include "libs/rpc/channel.h"

namespace weir::agent::v1 {
class Applied;
class GatewayTraffic;
class Problems;
}  // namespace weir::agent::v1

namespace weir::agent {

struct ReportsOptions {
  std::function<rpc::ChannelOptions()> channel;  // Asked at every dial, so that a renewed certificate is used.
  std::string version;
  std::string instance;  // Of this start (Hello.instance).
  Duration leaf_lifetime{0};
  // Everything that gateways applied (`full`), or the changes since the last call that returned true. False: nothing to
  // say.
  std::function<bool(bool full, v1::Applied* out)> applied;
  // What is to be said of the gateways now (`full`: everything); asked each second. Unset = nothing ever.
  std::function<bool(bool full, std::vector<v1::GatewayTraffic>* out)> traffic;
  // What stands in the way in this cluster; asked each second, told when it differs. Unset = nothing ever.
  std::function<void(v1::Problems* out)> problems;
  // The server refused this agent because another one with its identity is connected, or takes it now that the other
  // has gone: whatever else it has open there must be opened anew.
  std::function<void()> on_duplicate = [] {};
  Duration heartbeat = std::chrono::seconds(3);
  int misses = 3;  // So many intervals of silence: dial anew.
  Duration backoff_min = std::chrono::milliseconds(100);
  Duration backoff_max = std::chrono::seconds(10);  // Full jitter below it: process::Backoff.
  const Clock* clock = &Clock::Real();
};

// The report stream to the server (weir.agent.v1.AgentReports): Hello, then facts and applied states as they change,
// heartbeats both ways. What the server already has (same hash) is not sent again; what it lost is sent in full. A
// thread of its own; thread-safe.
class Reports {
 public:
  explicit Reports(ReportsOptions options);
  ~Reports();  // Stop.
  void Start();
  void Stop();
  void SetFacts(Facts facts);  // Before the first call nothing is said about facts.
  void AppliedChanged();       // There is something new to fetch by `applied`.
  void Reconnect();
  bool Connected() const;  // The server answered Hello on the present stream.
  // How far this machine's clock was ahead of the server's at its last heartbeat (behind: below 0), give or take the
  // way of a message.
  Duration ClockAhead() const;

 private:
  struct Core;
  std::shared_ptr<Core> core_;
};

}  // namespace weir::agent
