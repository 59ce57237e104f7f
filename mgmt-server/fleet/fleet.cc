#include "mgmt-server/fleet/fleet.h"

#include <algorithm>
#include <map>
#include <thread>
#include <utility>

#include "api/weir/agent/v1/agent.grpc.pb.h"
#include "libs/base/mutex.h"
#include "libs/base/text.h"
#include "libs/base/wait.h"
#include "libs/obs/log.h"
#include "libs/rpc/run_on.h"
#include "libs/rpc/server.h"
#include "libs/rpc/status.h"
#include "libs/rpc/time.h"
#include "mgmt-server/fleet/core.h"
#include "mgmt-server/push/pusher.h"
#include "mgmt-server/store/store.h"

namespace weir::fleet {
namespace {

constexpr size_t kMostProblems = 32;
constexpr size_t kMostVersion = 64;    // Of an agent, and of its instance.
constexpr size_t kFactsOfWrite = 500;  // A write of somebody else waits for no more than these.
constexpr size_t kMostProblemText = 1024;
constexpr std::string_view kDuplicateKey = "duplicate:";
constexpr std::chrono::seconds kLongestLeaf = std::chrono::hours(90 * 24);

}  // namespace

namespace {

template <typename Core>
class JoinService final : public agent::v1::ClusterJoin::CallbackService {
 public:
  explicit JoinService(Core* core) : core_(core) {}

  grpc::ServerUnaryReactor* Join(grpc::CallbackServerContext* context, const agent::v1::JoinRequest* request,
                                 agent::v1::JoinResponse* response) override {
    return rpc::RunOn(core_->pool, rpc::PeerSource(context->peer()), context, [this, context, request, response] {
      auto joined = core_->memberships.Join(*request, context->peer());
      if (!joined.ok()) return rpc::ToGrpc(joined.error());
      *response = std::move(*joined);
      core_->CloseEndedMemberships();
      return grpc::Status::OK;
    });
  }

  grpc::ServerUnaryReactor* Renew(grpc::CallbackServerContext* context, const agent::v1::RenewRequest* request,
                                  agent::v1::JoinResponse* response) override {
    return rpc::RunOn(core_->pool, rpc::PeerSource(context->peer()), context, [this, context, request, response] {
      auto renewed = core_->memberships.Renew(rpc::PeerChain(*context), request->csr_pem(), context->peer());
      if (!renewed.ok()) return rpc::ToGrpc(renewed.error());
      *response = std::move(*renewed);
      return grpc::Status::OK;
    });
  }

 private:
  Core* const core_;
};

template <typename Core>
class ReportsService final : public agent::v1::AgentReports::CallbackService {
 public:
  explicit ReportsService(Core* core) : core_(core) {}
  grpc::ServerBidiReactor<agent::v1::AgentMessage, agent::v1::ServerMessage>* Report(
      grpc::CallbackServerContext* context) override {
    return core_->Open(context);
  }

 private:
  Core* const core_;
};

}  // namespace

// --- Reports ---

grpc::ServerBidiReactor<agent::v1::AgentMessage, agent::v1::ServerMessage>* Fleet::Core::Open(
    grpc::CallbackServerContext* context) {
  auto member = Admit(rpc::PeerChain(*context), context->peer());
  AgentStream::Handler handler{
      .message = [core = shared_from_this()](
                     AgentStreamPtr stream,
                     std::function<void(Status)> next) { core->OnMessage(stream, std::move(next)); },
      .done = [core = shared_from_this()](AgentStream& stream) { core->OnStreamEnded(stream); }};
  auto stream =
      std::make_shared<AgentStream>(std::move(handler), member.ok() ? *member : Member(), *options.clock, context);
  auto* reactor = stream.get();
  bool closing;
  {
    MutexLock lock(mutex);
    closing = stopped;
    if (member.ok()) open.insert(stream);
  }
  stream->Begin();
  if (!member.ok())
    stream->Close(member.error());
  else if (closing)
    stream->Close(Unavailable("SHUTTING_DOWN", "the server is shutting down"));
  return reactor;
}

// Heartbeats need no store; all else goes to the pool, because a write waits for the disk.
void Fleet::Core::OnMessage(const AgentStreamPtr& stream, std::function<void(Status)> next) {
  if (stream->cluster().empty()) return next(Unauthenticated("PEER_IDENTITY_MISSING", "not an agent"));
  {
    MutexLock lock(mutex);
    const auto found = live.find(stream->cluster());
    if (found != live.end() && found->second.stream == stream) found->second.last_seen = options.clock->Wall();
  }
  if (stream->in.has_heartbeat()) return next({});
  const auto task = [core = shared_from_this(), stream, next] { next(core->Handle(stream)); };
  if (!pool.Post(stream->cluster(), task)) next(ResourceExhausted("POOL_FULL", "the server is overloaded"));
}

Error Fleet::Core::Replaced(const AgentStream& stream) const {
  const Status valid = Memberships::StillValid(*store.Read(), stream.member());
  return valid.ok() ? Aborted("REPLACED", "a newer stream of this agent is open") : valid.error();
}

Status Fleet::Core::Handle(const AgentStreamPtr& stream) {
  if (stream->in.has_hello()) return Greet(stream);
  if (!stream->greeted) return FailedPrecondition("HELLO_MISSING", "the first message must be Hello");
  if (!IsLive(*stream)) return Replaced(*stream);
  if (stream->in.has_facts()) return TakeFacts(*stream);
  if (stream->in.has_problems()) TakeProblems(*stream);
  MutexLock lock(mutex);
  // Asked under the lock that the report is taken with: what an older stream said late must not replace what the newer
  // one has said.
  if (!IsCurrent(*stream)) return Replaced(*stream);
  if (stream->in.has_traffic()) {
    traffic.Report(stream->cluster(), stream->in.traffic(), options.clock->Wall(), options.clock->Now());
  }
  if (stream->in.has_applied()) applied.Report(stream->cluster(), stream->in.applied(), options.clock->Wall());
  ++changes;
  news.NotifyAll();
  return {};
}

// A newer stream of the same agent wins: the one before may hang half dead for a while. Another agent with the same
// identity is refused while the older one is alive.
Status Fleet::Core::Greet(const AgentStreamPtr& stream) {
  if (std::exchange(stream->greeted, true)) return {};
  stream->instance = CleanText(stream->in.hello().instance(), kMostVersion);
  AgentStreamPtr before;
  WEIR_TRY(memberships.RecordGeneration(stream->member()));
  const std::string& uid = stream->member().generation.uid;
  std::shared_ptr<Mutex> facts_order;
  {
    MutexLock lock(mutex);
    if (stopped) return Unavailable("SHUTTING_DOWN", "the server is shutting down");
    Live& entry = live[stream->cluster()];
    WEIR_TRY(RefuseDuplicate(*stream, entry));
    if (entry.uid != uid) entry.refused.Clear();
    entry.uid = uid;
    before = std::exchange(entry.stream, stream);
    entry.last_seen = options.clock->Wall();
    entry.since = options.clock->Now();
    entry.version = CleanText(stream->in.hello().version(), kMostVersion);
    entry.leaf_lifetime =
        std::chrono::seconds(std::clamp<int64_t>(stream->in.hello().leaf_lifetime_seconds(), 0, kLongestLeaf.count()));
    entry.duplicate.reset();  // Another one that is still there tries again soon.
    entry.problems.clear();   // It says anew what there is.
    facts_order = entry.facts_order;
    applied.SetConnected(stream->cluster(), true, entry.last_seen);
    traffic.AgentCame(stream->cluster());
    ++changes;
    news.NotifyAll();
  }
  if (before) before->Close(Replaced(*before));
  StoreConnection(stream->cluster());
  obs::Log(obs::Level::kInfo, "agent connected",
           {{"cluster", stream->cluster()}, {"version", CleanText(stream->in.hello().version(), kMostVersion)}});
  // What the stream before was writing is stored or given up: the answer is true when it is sent.
  MutexLock order(*facts_order);
  stream->Send(FactsStateOf(*store.Read(), stream->cluster()));
  return {};
}

Status Fleet::Core::RefuseDuplicate(const AgentStream& stream, Live& entry) {
  const AgentStreamPtr& older = entry.stream;
  if (older == nullptr || older->instance == stream.instance || IsSilent(*older)) return {};
  if (!memberships.StillValid(older->member()).ok()) return {};  // Its membership is over; its stream is just ending.
  if (!entry.duplicate || options.clock->Now() - entry.duplicate->time >= kDuplicateShown) {
    obs::Log(obs::Level::kError, "a second agent with the identity of a cluster is refused",
             {{"cluster", stream.cluster()}, {"from", stream.peer()}, {"older", older->peer()}});
  }
  entry.duplicate = DuplicateAgent{stream.peer(), options.clock->Wall(), options.clock->Now()};
  ++changes;
  news.NotifyAll();
  return Aborted("DUPLICATE_AGENT",
                 "another agent with this identity is connected from {}; it keeps the cluster while it is alive. If "
                 "this one is a copy (a cloned machine, a copied state folder), stop it and join it as another cluster",
                 older->peer());
}

Status Fleet::Core::TakeFacts(AgentStream& stream) {
  WEIR_ASSIGN(const bool whole, stream.parts.Complete(*stream.in.mutable_facts()));
  if (!whole) return {};
  std::shared_ptr<Mutex> facts_order;
  {
    MutexLock lock(mutex);
    facts_order = live[stream.cluster()].facts_order;
  }
  MutexLock order(*facts_order);
  const agent::v1::FactsDelta& delta = stream.in.facts();
  const FactsVerdict verdict = JudgeDelta(*store.Read(), stream.cluster(), stream.last_sequence, delta);
  if (verdict == FactsVerdict::kGap) {
    stream.Send(FactsStateOf(*store.Read(), stream.cluster()));
    return {};
  }
  stream.last_sequence = delta.sequence();
  if (verdict == FactsVerdict::kUnprovenEmpty) {
    obs::Log(obs::Level::kWarn, "an empty reading without proof is refused; the facts stay",
             {{"cluster", stream.cluster()}});
    return {};
  }
  WEIR_TRY(StoreFacts(stream));
  agent::v1::ServerMessage answer;
  answer.mutable_ack()->set_sequence(delta.sequence());
  stream.Send(std::move(answer));
  return {};
}

// The good ones, in slices between the writes of others.
Status Fleet::Core::StoreFacts(AgentStream& stream) {
  const store::ViewPtr view = store.Read();
  const std::string& uid = stream.member().generation.uid;
  RefusedFacts refused;
  {
    MutexLock lock(mutex);
    refused = live[stream.cluster()].refused;
  }
  const size_t refused_before = refused.size();
  store::FactsChange change = TakeGoodFacts(view->Facts(uid).get(), stream.in.facts(), refused);
  for (store::FactsChange& slice : Slices(std::move(change), kFactsOfWrite)) {
    slice.cluster_uid = uid;
    WEIR_TRY(store.Write([&](store::Txn& txn) -> Status {
      WEIR_TRY(Memberships::StillValid(txn.view(), stream.member()));
      if (!IsLive(stream)) return Aborted("REPLACED", "a newer stream of this agent is open");
      return txn.ApplyFacts(slice);
    }));
  }
  if (refused.size() > refused_before) {
    std::vector<v2::ClusterProblem> problems;
    refused.AddProblems(problems);
    obs::Log(obs::Level::kWarn, "facts of an agent are refused; the good ones are taken",
             {{"cluster", stream.cluster()},
              {"refused", std::to_string(refused.size())},
              {"first", problems.front().text()}});
  }
  MutexLock lock(mutex);
  live[stream.cluster()].refused = std::move(refused);
  ++changes;
  news.NotifyAll();
  return {};
}

void Fleet::Core::TakeProblems(AgentStream& stream) {
  std::vector<v2::ClusterProblem> problems;
  for (const auto& said : stream.in.problems().problems()) {
    if (problems.size() == kMostProblems) break;
    v2::ClusterProblem& problem = problems.emplace_back();
    problem.set_source(CleanText(said.source(), kMostProblemText));
    problem.set_text(CleanText(said.text(), kMostProblemText));
    obs::Log(obs::Level::kWarn, "an agent reports a problem",
             {{"cluster", stream.cluster()}, {"source", problem.source()}, {"problem", problem.text()}});
  }
  MutexLock lock(mutex);
  if (IsCurrent(stream)) live[stream.cluster()].problems = std::move(problems);
}

void Fleet::Core::OnStreamEnded(AgentStream& stream) {
  if (stream.cluster().empty()) return;
  {
    MutexLock lock(mutex);
    std::erase_if(open, [&](const AgentStreamPtr& each) { return each.get() == &stream; });
    const auto found = live.find(stream.cluster());
    if (found == live.end() || found->second.stream.get() != &stream) return;
    found->second.stream.reset();
    applied.SetConnected(stream.cluster(), false, options.clock->Wall());
    traffic.AgentLeft(stream.cluster(), options.clock->Now());
    ++changes;
    news.NotifyAll();
    if (stopped) return;  // Start marks every cluster anew.
  }
  obs::Log(obs::Level::kWarn, "agent gone", {{"cluster", stream.cluster()}});
  const auto task = [core = shared_from_this(), cluster = stream.cluster()] { core->StoreConnection(cluster); };
  if (!pool.Post(stream.cluster(), task)) task();
}

// Whatever happened in whatever order: what is stored last is what is true now.
void Fleet::Core::StoreConnection(const std::string& cluster) {
  MutexLock order(connection_mutex);
  bool connected = false;
  std::string version, uid;
  std::optional<WallTime> seen;
  {
    MutexLock lock(mutex);
    const auto found = live.find(cluster);
    if (found == live.end()) return;
    connected = found->second.stream != nullptr;
    version = found->second.version;
    uid = found->second.uid;
    seen = found->second.last_seen;
  }
  const Status stored = store.Write([&](store::Txn& txn) -> Status {
    return txn.view().GetByUid(uid) == nullptr ? Status() : txn.SetConnection(uid, connected, version, seen);
  });
  if (!stored.ok()) {
    obs::Log(obs::Level::kError, "cannot store a connection's state",
             {{"cluster", cluster}, {"error", stored.error().ToString()}});
  }
}

// --- The door ---

Fleet::Fleet(store::Store& store, const ca::ServerCa& ca, FairPool& pool, FleetOptions options)
    : core_(std::make_shared<Core>(store, ca, pool, options)) {
  core_->join = std::make_unique<JoinService<Core>>(core_.get());
  core_->reports = std::make_unique<ReportsService<Core>>(core_.get());
}
Fleet::~Fleet() { Stop(); }

void Fleet::Attach(push::Pusher& pusher, xds::AdsService& intents) {
  core_->intents = &intents;
  core_->pusher = &pusher;
  pusher.OnPushed([core = core_.get()] { core->Changed(); });
}

Status Fleet::Start() {
  WEIR_TRY(core_->store.Write([&](store::Txn& txn) -> Status {
    std::vector<store::ClusterFactsPtr> connected;
    txn.view().ForEachFacts([&](const store::ClusterFactsPtr& facts) {
      if (facts->connected) connected.push_back(facts);
    });
    for (const auto& facts : connected) {  // That this server begins says nothing of when the agent was last heard of.
      WEIR_TRY(txn.SetConnection(facts->cluster_uid, false, facts->agent_version, facts->last_seen));
    }
    return {};
  }));
  core_->cluster_changes =
      core_->store.Subscribe(core_->store.Read()->revision(), [core = core_.get()](const store::ChangeEvent& event) {
        const auto is_cluster = [](const store::ResourceChange& change) { return change.kind == "Cluster"; };
        if (std::any_of(event.changes.begin(), event.changes.end(), is_cluster)) core->CloseEndedMemberships();
      });
  core_->heart = std::thread([core = core_.get()] { core->SendHeartbeats(); });
  return {};
}

void Fleet::Stop() {
  std::vector<AgentStreamPtr> streams;
  {
    MutexLock lock(core_->mutex);
    core_->stopped = true;
    for (const auto& [cluster, entry] : core_->live) {
      if (entry.stream) streams.push_back(entry.stream);
    }
    core_->news.NotifyAll();
  }
  core_->cluster_changes.reset();
  if (core_->heart.joinable()) core_->heart.join();
  core_->StoreLastSeen();
  for (const auto& stream : streams) stream->Close(Unavailable("SHUTTING_DOWN", "the server is shutting down"));
}

grpc::Service* Fleet::join_service() { return core_->join.get(); }
grpc::Service* Fleet::reports_service() { return core_->reports.get(); }

// --- Streams of intent ---

Result<xds::AdsGrant> Fleet::Core::Authenticate(const xds::AdsPeer& peer) {
  WEIR_ASSIGN(const Member member, Admit(peer.chain_pem, peer.address));
  return xds::AdsGrant{member.cluster, [this, member] { return memberships.StillValid(member); }};
}

Result<std::string> Fleet::Core::KeyOf(const std::string& cluster, const xds::Node& node) {
  {
    MutexLock lock(mutex);
    const auto found = live.find(cluster);
    // No snapshot stands under this key: another one of the same identity is told nothing, and its word counts nothing.
    if (found != live.end() && found->second.stream != nullptr && found->second.stream->instance != node.id &&
        memberships.StillValid(found->second.stream->member()).ok()) {
      return std::string(kDuplicateKey) + cluster;
    }
  }
  return held.KeyFor(cluster, node);
}

void Fleet::Core::OnAck(const std::string& cluster, uint64_t, const xds::AckEvent& event) {
  if (cluster.starts_with(kDuplicateKey)) return;
  if (HeldAgents::IsHeldKey(cluster)) return held.NoteServed(cluster, event);
  if (!event.accepted) {
    obs::Log(obs::Level::kWarn, "agent refuses intent",
             {{"cluster", cluster}, {"type", event.type_url}, {"error", CleanText(event.error, kMostProblemText)}});
  }
  MutexLock lock(mutex);
  applied.ReportAgent(cluster, event, options.clock->Wall());
  ++changes;
  news.NotifyAll();
}

void Fleet::Core::OnStream(const xds::AdsStreamEvent& event) {
  if (HeldAgents::IsHeldKey(event.key)) held.OnStream(event.key, event.kind == xds::AdsStreamEvent::Kind::kOpened);
  Changed();
}

std::string Fleet::Core::Origin() { return store.Read()->position().ToText(); }

std::unique_ptr<xds::AdsService> Fleet::NewIntentService() const {
  xds::AdsServiceOptions options;
  options.rules = std::make_shared<const xds::ServerRules>(xds::MeshRules());
  options.clock = core_->options.clock;
  return std::make_unique<xds::AdsService>(*core_, std::move(options));
}

}  // namespace weir::fleet
