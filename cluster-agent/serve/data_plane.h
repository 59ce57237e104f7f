#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cluster-agent/link/membership.h"
#include "libs/base/clock.h"
#include "libs/base/result.h"
#include "libs/translate/facts.h"
#include "libs/translate/intent.h"

namespace weir::agent::v1 {
class Applied;
class GatewayTraffic;
class Problems;
}  // namespace weir::agent::v1

namespace weir::agent {

struct DataPlaneOptions {
  std::string listen;         // "127.0.0.1:15012"; port 0 = any free one.
  std::string tls_dir;        // Where the server's own certificate lies (0600), for rotation.
  std::string workloads_dir;  // See WorkloadRegistry.
  Duration leaf_lifetime = std::chrono::hours(24);
  std::chrono::milliseconds minimum_hold{10'000};  // See bootstrap.proto.
  std::chrono::milliseconds slow_return{10'000};
  const Clock* clock = &Clock::Real();
};

// Port 15012: what the data plane of this cluster talks to. ADS and SDS of translated intent, and
// WorkloadIdentity/Sign; who speaks is decided by the workload token alone. Nothing is answered before both intent and
// facts are known, so an agent that has just begun empties nobody (rule T48). Thread-safe.
class DataPlane {
 public:
  // `on_applied`: there is something new for Applied; called often, from any thread, until Stop returns.
  // FAILED_PRECONDITION ADDRESS_IN_USE.
  static Result<std::unique_ptr<DataPlane>> Start(DataPlaneOptions options, Membership membership,
                                                  const Leaf& agent_leaf, std::function<void()> on_applied);
  ~DataPlane();  // Stop.
  void Stop();

  int port() const;
  const std::string& address() const;  // "host:port" as workloads reach it.

  void SetIntent(translate::Intent intent);
  void SetFacts(translate::Facts facts);
  // A renewed intermediate, or a new leaf of the agent.
  Status SetMembership(Membership membership, const Leaf& agent_leaf);

  bool Applied(bool full, v1::Applied* out);
  // What gateways do with requests and know of the clusters behind them (TrafficLedger::Report).
  bool Traffic(bool full, std::vector<v1::GatewayTraffic>* out);
  // Intent that cannot be said as asked, and what gateways had to refuse.
  void AddProblems(v1::Problems* out) const;
  // True once it answers data planes.
  bool Ready() const;
  size_t Streams() const;
  size_t Identities() const;  // Keys it holds for stock Envoys that are there.
  // JSON: per node the names and versions of what it is told. No secrets.
  std::string Dump() const;

 private:
  struct Core;
  explicit DataPlane(std::shared_ptr<Core> core) : core_(std::move(core)) {}
  std::shared_ptr<Core> core_;
};

}  // namespace weir::agent
