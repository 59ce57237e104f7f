#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "api/weir/agent/v1/agent.grpc.pb.h"
#include "libs/base/fair_pool.h"
#include "libs/base/mutex.h"
#include "libs/rpc/server.h"
#include "mgmt-server/fleet/agent_stream.h"
#include "mgmt-server/fleet/applied.h"
#include "mgmt-server/fleet/facts_intake.h"
#include "mgmt-server/fleet/fleet.h"
#include "mgmt-server/fleet/held_agents.h"
#include "mgmt-server/fleet/memberships.h"
#include "mgmt-server/fleet/traffic.h"
#include "mgmt-server/invariants/invariant.h"
#include "mgmt-server/status/wave.h"
#include "mgmt-server/store/store.h"

// Inside fleet: what its files share. fleet.cc hears agents, judging.cc answers about them.
namespace weir::fleet {

using AgentStreamPtr = std::shared_ptr<AgentStream>;

// A stream that was refused because another instance has the cluster.
struct DuplicateAgent {
  std::string peer;
  WallTime wall{};
  MonoTime time{};
};
// An agent that was refused tries again within 10 s; a second one that no longer does is gone.
inline constexpr Duration kDuplicateShown = std::chrono::seconds(30);

// The handler of agents' intent streams too, which is why the service that NewIntentService makes goes first.
struct Fleet::Core final : std::enable_shared_from_this<Core>, xds::AdsHandler {
  Core(store::Store& s, const ca::ServerCa& c, FairPool& p, FleetOptions o)
      : store(s), ca(c), pool(p), options(o), memberships(s, c, *o.clock) {}

  store::Store& store;
  const ca::ServerCa& ca;
  FairPool& pool;
  const FleetOptions options;
  Memberships memberships;
  push::Pusher* pusher = nullptr;
  xds::AdsService* intents = nullptr;
  std::unique_ptr<grpc::Service> join, reports;

  struct Live {
    AgentStreamPtr stream;
    WallTime last_seen{};
    MonoTime since{};  // The present stream's Hello.
    std::string version;
    std::string uid;            // Of the cluster when its agent said Hello.
    Duration leaf_lifetime{0};  // Of the leaves that the agent signs; 0 = it does not say.
    std::vector<v2::ClusterProblem> problems;
    RefusedFacts refused;
    // Held while facts of this cluster are on their way into the store: one delta after the other.
    std::shared_ptr<Mutex> facts_order = std::make_shared<Mutex>();
    // The last stream that was refused because another instance has the name; unset = none.
    std::optional<DuplicateAgent> duplicate;
  };
  mutable Mutex mutex;
  mutable CondVar news;  // Something that a status is made of has changed.
  uint64_t changes WEIR_GUARDED_BY(mutex) = 0;
  AppliedTable applied WEIR_GUARDED_BY(mutex);
  TrafficTable traffic WEIR_GUARDED_BY(mutex);
  HeldAgents held{store};
  std::map<std::string, Live> live WEIR_GUARDED_BY(mutex);  // By cluster FQN: the newest stream that said Hello.
  std::set<AgentStreamPtr> open WEIR_GUARDED_BY(mutex);     // All of a member, greeted or not.
  bool stopped WEIR_GUARDED_BY(mutex) = false;
  std::thread heart;
  std::atomic<bool> tidying{false};  // Beside the beats, once at a time.
  std::unique_ptr<store::Subscription> cluster_changes;
  Mutex connection_mutex;  // Connected states reach the store in the order of truth.

  static std::vector<v2::ClusterProblem> ProblemsOf(const Live& entry) {
    std::vector<v2::ClusterProblem> problems = entry.problems;
    entry.refused.AddProblems(problems);
    return problems;
  }
  void Changed() {
    MutexLock lock(mutex);
    ++changes;
    news.NotifyAll();
  }
  bool IsLive(const AgentStream& stream) const {
    MutexLock lock(mutex);
    return IsCurrent(stream);
  }
  // Its word counts, no newer one has its place.
  bool IsCurrent(const AgentStream& stream) const WEIR_REQUIRES(mutex) {
    const auto found = live.find(stream.cluster());
    return found != live.end() && found->second.stream.get() == &stream;
  }

  // Whose agent opens a stream, of either kind. Refusals are written down; few are, strangers must not fill the pool.
  Result<Member> Admit(const std::string& chain_pem, const std::string& peer) {
    Caller caller;
    auto member = memberships.MemberOf(chain_pem, &caller);
    if (member.ok()) return member;
    const auto write = memberships.RefusalRecord("stream-refused", caller, member.error(), peer);
    if (write) pool.Post(rpc::PeerSource(peer), [core = shared_from_this(), write] { write(); });
    return member;
  }
  grpc::ServerBidiReactor<agent::v1::AgentMessage, agent::v1::ServerMessage>* Open(
      grpc::CallbackServerContext* context);
  void OnMessage(const AgentStreamPtr& stream, std::function<void(Status)> next);
  // Why a stream ends whose place another one has: who is nobody any more hears that, whichever is noticed first.
  Error Replaced(const AgentStream& stream) const;
  Status Handle(const AgentStreamPtr& stream);
  Status Greet(const AgentStreamPtr& stream);
  Status RefuseDuplicate(const AgentStream& stream, Live& entry) WEIR_REQUIRES(mutex);
  bool IsSilent(const AgentStream& stream) const {
    return options.clock->Now() - stream.last_heard() >= options.heartbeat * options.heartbeat_misses;
  }
  Status TakeFacts(AgentStream& stream);
  Status StoreFacts(AgentStream& stream);
  void TakeProblems(AgentStream& stream);
  void OnStreamEnded(AgentStream& stream);
  void StoreConnection(const std::string& cluster);
  void StoreLastSeen();
  // Beats wait for nobody: what needs the disk or the compilation is done on the pool.
  void SendHeartbeats();
  void SweepTraffic();
  void SendBeat(uint64_t sequence, const std::vector<AgentStreamPtr>& streams) const;

  void CloseEndedMemberships();
  void ForgetDeleted();

  // Of streams of intent; the principal of one is its cluster's FQN.
  Result<xds::AdsGrant> Authenticate(const xds::AdsPeer& peer) override;
  Result<std::string> KeyOf(const std::string& cluster, const xds::Node& node) override;
  void OnStream(const xds::AdsStreamEvent& event) override;
  void OnAck(const std::string& cluster, uint64_t stream, const xds::AckEvent& event) override;
  std::string Origin() override;

  std::string AwaitedOf(const compile::Compilation& compilation, const std::string& cluster, const std::string& root,
                        bool retiring) const;
  v2::ResourceStatus Judge(const store::StoredResource& resource) const;
  v2::ResourceStatus JudgeStored(const store::StoredResource& resource) const;  // Whatever is ahead of it.
  v2::ResourceStatus JudgeEffect(const store::StoredResource& resource, int64_t revision) const;
  v2::ResourceStatus JudgeInvariant(const store::StoredResource& resource,
                                    const invariants::Invariant& invariant) const;
  v2::ResourceStatus JudgeCluster(const store::StoredResource& resource) const;
  // Whether the gateways run it, those that count.
  using Counts = std::function<bool(const compile::Concern&)>;
  static bool AllCount(const compile::Concern&) { return true; }
  v2::ResourceStatus JudgeApplied(const compile::Compilation& compilation, const std::string& fqn,
                                  const std::string& kind, int64_t revision, const Counts& counts) const
      WEIR_REQUIRES(mutex);
  // Nobody waits for gateways of a cluster in maintenance that are away, unless there are no others.
  static void ExcuseMaintained(const compile::World& world, std::vector<compile::Concern>& concerns);
  // Gateways of the wave that do not run the object as a rollout brings it.
  void AddWaiting(const compile::Compilation& compilation, const std::string& object,
                  const status::WaveQuestion& question, status::WaveSeen& seen) const WEIR_REQUIRES(mutex);
  // And whether somebody can serve it.
  void AddReach(const compile::Compilation& compilation, v2::ResourceStatus& status) const WEIR_REQUIRES(mutex);
  status::Shortfall PlightOfCluster(const std::string& cluster) const;
  PlightOf Plights() const;
  HealthInTables Reported() const WEIR_REQUIRES(mutex);
};

}  // namespace weir::fleet
