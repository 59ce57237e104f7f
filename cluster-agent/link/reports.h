#pragma once

#include <memory>
#include <string>
#include <vector>

#include "libs/base/clock.h"
#include "libs/rpc/channel.h"
#include "libs/translate/facts.h"

namespace weir::agent::v1 {
class Applied;
class GatewayTraffic;
class Problems;
}  // namespace weir::agent::v1

namespace weir::agent {

// Whose reports these are: what there is to say of its cluster, and the way to the server. Called on the thread of
// Reports, from Start until Stop returns. Applied, Traffic and AddProblems are called with a lock of Reports held, so
// they may call nothing of it but ClockAhead and WhyHeld.
class ReportSources {
 public:
  virtual ~ReportSources() = default;

  virtual rpc::ChannelOptions Channel() = 0;  // Asked at every dial, so that a renewed certificate is used.
  // Everything that gateways applied (`full`), or the changes since the last call that returned true. False: nothing to
  // say.
  virtual bool Applied(bool full, v1::Applied* out) = 0;
  // What is to be said of the gateways now (`full`: everything); asked each 200 ms. False: nothing to say.
  virtual bool Traffic(bool full, std::vector<v1::GatewayTraffic>* out) = 0;
  // What stands in the way in this cluster; asked as often, told when it differs.
  virtual void AddProblems(v1::Problems* out) = 0;
  // The server refused this agent because another one with its identity is connected, or takes it now that the other
  // has gone: whatever else it has open there must be opened anew.
  virtual void OnDuplicate() = 0;
};

struct ReportsOptions {
  std::string version;
  std::string instance;  // Of this start (Hello.instance).
  Duration leaf_lifetime{0};
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
  Reports(ReportSources& sources, ReportsOptions options);  // `sources` outlives Stop.
  ~Reports();                                               // Stop.
  void Start();
  void Stop();
  void SetFacts(translate::Facts facts);  // Before the first call nothing is said about facts.
  void AppliedChanged();                  // There is something new to fetch by ReportSources::Applied.
  void Reconnect();
  bool Connected() const;  // The server answered Hello on the present stream.
  // How far this machine's clock was ahead of the server's at its last heartbeat (behind: below 0), give or take the
  // way of a message.
  Duration ClockAhead() const;
  // Why the server pushes no intent (Heartbeat.held), as it said last; "" = it does.
  std::string WhyHeld() const;

 private:
  struct Core;
  std::shared_ptr<Core> core_;
};

}  // namespace weir::agent
