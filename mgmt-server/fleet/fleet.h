#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/weir/agent/v1/traffic.pb.h"
#include "api/weir/v2/cluster.pb.h"
#include "api/weir/v2/server_state.pb.h"
#include "api/weir/v2/status.pb.h"
#include "api/weir/v2/traffic.pb.h"
#include "libs/base/clock.h"
#include "libs/base/result.h"
#include "libs/xds/grpc/ads_service.h"

namespace grpc {
class Service;
}
namespace weir {
class FairPool;
}
namespace weir::ca {
class ServerCa;
}
namespace weir::push {
class Pusher;
}
namespace weir::status {
struct AskedRequest;
struct FailoverQuestion;
struct WaveQuestion;
struct WaveSeen;
}  // namespace weir::status
namespace weir::store {
class Store;
}

namespace weir::fleet {

// For rpc::RotatingServerTls: logs whose certificate did not pass the handshake, at most 20 at once and one each 30 s.
std::function<void(const std::string& chain_pem, const Error& why)> LogRefusedClients(const Clock& clock);

struct TrafficQuery;

struct FleetOptions {
  const Clock* clock = &Clock::Real();
  Duration heartbeat = std::chrono::seconds(3);  // Both ways on the report stream.
  int heartbeat_misses = 3;                      // Then the agent counts as gone (<= 10 s).
};

// Clusters, their agents, their facts, and what is applied where. Thread-safe.
//
//   fleet::Fleet fleet(store, ca, pool, options);        // before the pusher
//   auto intents = fleet.NewIntentService();
//   push::Pusher pusher(store, *intents, ...);
//   fleet.Attach(pusher, *intents);
//   builder.RegisterService(fleet.join_service()); ...reports_service(); ...intents->service();
class Fleet {
 public:
  Fleet(store::Store& store, const ca::ServerCa& ca, FairPool& pool, FleetOptions options = {});
  ~Fleet();  // Stop; the grpc::Server must be shut down before.
  Fleet(const Fleet&) = delete;
  Fleet& operator=(const Fleet&) = delete;

  void Attach(push::Pusher& pusher, xds::AdsService& intents);  // Before Start of the pusher; both outlive Stop.
  // Marks every cluster as not connected (this server just began) and starts the heartbeat thread.
  Status Start();
  void Stop();  // Ends every stream.

  grpc::Service* join_service();     // weir.agent.v1.ClusterJoin
  grpc::Service* reports_service();  // weir.agent.v1.AgentReports
  // The door by which agents fetch intent. It takes spiffe://<cluster domain>/weir-agent of the verified peer
  // certificate to the cluster's FQN, the key of its snapshot (UNAUTHENTICATED PEER_IDENTITY_MISSING, PERMISSION_DENIED
  // CLUSTER_UNKNOWN), tells nothing to an instance whose report stream is not the cluster's, and what an agent refuses
  // shows in the status. It must not outlive the Fleet.
  std::unique_ptr<xds::AdsService> NewIntentService() const;
  // Clusters whose agents acknowledged what this server's state does not know (held_agents.h), with what would go back
  // there; and, once an administrator adopted this state, the end of it: their streams begin anew.
  std::vector<v2::HeldCluster> HeldClusters(const xds::AdsService& ads) const;
  void ReleaseHeldClusters(xds::AdsService& ads);
  // FQNs of clusters whose agents have been here, with this server or the one whose state it has, and hold no stream of
  // intent now: what they acknowledged is not known.
  std::vector<std::string> AwayClusters(const xds::AdsService& ads) const;

  // How far the replacement of the mesh root is. Its next step waits for a cluster whose agent is away, whose gateways
  // do not run the present trust bundle, or, while the old root retires, that still shows certificates of it.
  Result<v2::ReplaceRootResponse> Roots() const;

  // Statuses. NOT_FOUND RESOURCE_NOT_FOUND.
  Result<v2::ResourceStatus> GetStatus(std::string_view fqn) const;
  // Everything at and below `parent`, sorted by FQN.
  Result<std::vector<v2::ResourceStatus>> ListStatuses(std::string_view parent) const;
  // Blocks until the resource at `revision` (or later) is READY or FAILED; after the deadline answers the status as it
  // is then (status::LacksSomething tells whether waiting longer may help). Deleted: READY as soon as the push is out.
  // Kinds that reach no gateway themselves are waited for by the gateways they touch (effect.h), so that a drained
  // cluster is drained when the wait ends.
  v2::ResourceStatus WaitApplied(std::string_view fqn, int64_t revision, MonoTime deadline) const;

  // What the gateways make of a change set that is rolled out.
  status::WaveSeen ObserveWave(const status::WaveQuestion& question) const;
  // What the gateways do with requests, and why; see traffic.h.
  std::vector<v2::HostTraffic> TrafficOf(const TrafficQuery& query) const;
  std::vector<v2::HostHealth> HealthOf(const TrafficQuery& query) const;
  std::vector<std::string> SourcesOf(const TrafficQuery& query) const;
  // What happens when clusters are lost; see mgmt-server/status/failover.h.
  std::vector<v2::FailoverPlan> PlanFailover(const std::string& parent, const status::FailoverQuestion& question) const;
  // What a request would meet, as pushed and reported; see mgmt-server/status/route.h.
  std::vector<v2::ExplainedRoute> ExplainRoute(const status::AskedRequest& asked) const;
  // What the gateways of a cluster (FQN) say of one port of a service there ("<namespace>/<host>"): the best of them;
  // nullopt = nobody says anything.
  std::optional<agent::v1::ClusterHealth> ServiceHealth(const std::string& cluster, const std::string& host,
                                                        uint32_t port) const;
  void RenderMetrics(std::string& out) const;

  // Output-only state of a cluster (FQN).
  v2::ClusterState ClusterStateOf(std::string_view cluster) const;

 private:
  struct Core;
  std::shared_ptr<Core> core_;
};

}  // namespace weir::fleet
