#include "mgmt-server/fleet/fleet.h"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "api/weir/agent/v1/agent.grpc.pb.h"
#include "api/weir/v2/organization.pb.h"
#include "libs/base/text.h"
#include "libs/identity/spiffe_id.h"
#include "libs/obs/log.h"
#include "libs/rpc/pool.h"
#include "libs/rpc/server.h"
#include "libs/rpc/status.h"
#include "libs/rpc/time.h"
#include "mgmt-server/ca/ca.h"
#include "mgmt-server/ca/join_tokens.h"
#include "mgmt-server/fleet/agent_stream.h"
#include "mgmt-server/fleet/applied.h"
#include "mgmt-server/fleet/effect.h"
#include "mgmt-server/fleet/facts_intake.h"
#include "mgmt-server/fleet/held_agents.h"
#include "mgmt-server/fleet/traffic.h"
#include "mgmt-server/push/pusher.h"
#include "mgmt-server/store/store.h"

namespace weir::fleet {
namespace {

using AgentStreamPtr = std::shared_ptr<AgentStream>;

constexpr size_t kMostProblems = 32;
constexpr size_t kMostProblemText = 1024;

std::string LastSegment(std::string_view fqn) { return std::string(fqn.substr(fqn.rfind('/') + 1)); }

std::string OrganizationDomain(const store::StoredResource& organization) {
  v2::Organization message;
  if (message.ParseFromString(organization.body) && !message.spec().domain().empty()) return message.spec().domain();
  return LastSegment(organization.fqn) + ".weir.internal";
}

// "<cluster>.<organization domain>"; "" = the organization is unknown.
std::string TrustDomain(const store::View& view, std::string_view cluster) {
  const store::ResourcePtr organization = view.Get(compile::OrganizationFqn(cluster));
  return organization == nullptr ? "" : LastSegment(cluster) + "." + OrganizationDomain(*organization);
}

// FQN; "" = no such cluster.
std::string ClusterOfTrustDomain(const store::View& view, const std::string& domain) {
  const size_t dot = domain.find('.');
  if (dot == std::string::npos) return "";
  std::string found;
  view.ForEach("", "Organization", [&](const store::ResourcePtr& organization) {
    if (OrganizationDomain(*organization) != domain.substr(dot + 1)) return true;
    const std::string fqn = organization->fqn + "/clusters/" + domain.substr(0, dot);
    if (view.Get(fqn) != nullptr) found = fqn;
    return found.empty();
  });
  return found;
}

}  // namespace

struct Fleet::Core : std::enable_shared_from_this<Core> {
  Core(store::Store& s, const ca::ServerCa& c, rpc::Pool& p, FleetOptions o) : store(s), ca(c), pool(p), options(o) {}

  store::Store& store;
  const ca::ServerCa& ca;
  rpc::Pool& pool;
  const FleetOptions options;
  push::Pusher* pusher = nullptr;
  std::unique_ptr<grpc::Service> join, reports;

  struct Live {
    AgentStreamPtr stream;
    WallTime last_seen{};
    std::string version;
    std::string uid;  // Of the cluster when its agent said Hello.
    std::vector<v2::ClusterProblem> problems;
  };
  mutable std::mutex mutex;
  mutable std::condition_variable news;  // Something that a status is made of has changed.
  uint64_t changes = 0;
  AppliedTable applied;
  TrafficTable traffic;
  HeldAgents held{store};
  std::map<std::string, Live> live;  // By cluster FQN: the newest stream that said Hello.
  bool stopped = false;
  std::thread heart;
  std::mutex connection_mutex;  // Connected states reach the store in the order of truth.

  void Changed() {
    std::lock_guard lock(mutex);
    ++changes;
    news.notify_all();
  }
  bool IsLive(const AgentStream& stream) const {
    std::lock_guard lock(mutex);
    const auto found = live.find(stream.cluster());
    return found != live.end() && found->second.stream.get() == &stream;
  }

  Result<std::string> ClusterOfPeer(std::string_view uri) const;
  Result<agent::v1::JoinResponse> Sign(const store::View& view, const std::string& cluster,
                                       const std::string& csr) const;
  Result<agent::v1::JoinResponse> Join(const agent::v1::JoinRequest& request);

  grpc::ServerBidiReactor<agent::v1::AgentMessage, agent::v1::ServerMessage>* Open(
      grpc::CallbackServerContext* context);
  void OnMessage(const AgentStreamPtr& stream, std::function<void(Status)> next);
  Status Handle(const AgentStreamPtr& stream);
  Status Greet(const AgentStreamPtr& stream);
  Status TakeFacts(AgentStream& stream);
  void TakeProblems(AgentStream& stream);
  void Left(AgentStream& stream);
  void StoreConnection(const std::string& cluster);
  void Beat();

  void ForgetDeleted();

  v2::ResourceStatus Judge(const store::StoredResource& resource) const;
  v2::ResourceStatus JudgeEffect(const store::StoredResource& resource) const;
};

// --- Who is it ---

Result<std::string> Fleet::Core::ClusterOfPeer(std::string_view uri) const {
  if (uri.empty()) return Unauthenticated("PEER_IDENTITY_MISSING", "an agent's client certificate is required");
  const auto id = identity::SpiffeId::Parse(uri);
  if (!id.ok() || id->path != "/agent") {
    return PermissionDenied("CLUSTER_UNKNOWN", "{} is not an agent's identity", uri);
  }
  std::string cluster = ClusterOfTrustDomain(*store.Read(), id->trust_domain);
  if (cluster.empty())
    return PermissionDenied("CLUSTER_UNKNOWN", "no cluster has the trust domain {}", id->trust_domain);
  return cluster;
}

// --- Joining ---

Result<agent::v1::JoinResponse> Fleet::Core::Sign(const store::View& view, const std::string& cluster,
                                                  const std::string& csr) const {
  agent::v1::JoinResponse response;
  response.set_cluster(LastSegment(cluster));
  response.set_organization(LastSegment(compile::OrganizationFqn(cluster)));
  response.set_trust_domain(TrustDomain(view, cluster));
  WEIR_ASSIGN(*response.mutable_intermediate_pem(), ca.SignIntermediate(csr, response.trust_domain()));
  response.set_root_pem(ca.root_pem());
  return response;
}

// Signing stands inside the transaction: a CSR that is refused leaves the token unused.
Result<agent::v1::JoinResponse> Fleet::Core::Join(const agent::v1::JoinRequest& request) {
  WEIR_ASSIGN(const std::string hash, ca::JoinTokenHash(request.token()));
  return store.Write([&](store::Txn& txn) -> Result<agent::v1::JoinResponse> {
    WEIR_ASSIGN(const store::JoinToken token, txn.UseJoinToken(hash));
    const store::ResourcePtr cluster = txn.view().GetByUid(token.cluster_uid);
    if (cluster == nullptr) return Unauthenticated("JOIN_TOKEN_UNKNOWN", "the token's cluster does not exist any more");
    return Sign(txn.view(), cluster->fqn, request.csr_pem());
  });
}

namespace {

template <typename Core>
class JoinService final : public agent::v1::ClusterJoin::CallbackService {
 public:
  explicit JoinService(Core* core) : core_(core) {}

  grpc::ServerUnaryReactor* Join(grpc::CallbackServerContext* context, const agent::v1::JoinRequest* request,
                                 agent::v1::JoinResponse* response) override {
    return rpc::RunOn(core_->pool, context, [this, request, response] {
      auto joined = core_->Join(*request);
      if (!joined.ok()) {
        obs::Log(obs::Level::kWarn, "join refused", {{"reason", joined.error().reason}});
        return rpc::ToGrpc(joined.error());
      }
      *response = std::move(*joined);
      obs::Log(obs::Level::kInfo, "cluster joined", {{"cluster", response->cluster()}});
      return grpc::Status::OK;
    });
  }

  grpc::ServerUnaryReactor* Renew(grpc::CallbackServerContext* context, const agent::v1::RenewRequest* request,
                                  agent::v1::JoinResponse* response) override {
    return rpc::RunOn(core_->pool, context, [this, context, request, response] {
      const auto cluster = core_->ClusterOfPeer(rpc::PeerSpiffeId(*context));
      if (!cluster.ok()) return rpc::ToGrpc(cluster.error());
      auto renewed = core_->Sign(*core_->store.Read(), *cluster, request->csr_pem());
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
  auto cluster = ClusterOfPeer(rpc::PeerSpiffeId(*context));
  AgentStream::Handler handler{
      .message = [core = shared_from_this()](
                     AgentStreamPtr stream,
                     std::function<void(Status)> next) { core->OnMessage(stream, std::move(next)); },
      .done = [core = shared_from_this()](AgentStream& stream) { core->Left(stream); }};
  auto stream =
      std::make_shared<AgentStream>(std::move(handler), cluster.ok() ? *cluster : "", *options.clock, context);
  auto* reactor = stream.get();
  bool closing;
  {
    std::lock_guard lock(mutex);
    closing = stopped;
  }
  stream->Begin();
  if (!cluster.ok())
    stream->Close(cluster.error());
  else if (closing)
    stream->Close(Unavailable("SHUTTING_DOWN", "the server is shutting down"));
  return reactor;
}

// Heartbeats need no store; all else goes to the pool, because a write waits for the disk.
void Fleet::Core::OnMessage(const AgentStreamPtr& stream, std::function<void(Status)> next) {
  if (stream->cluster().empty()) return next(Unauthenticated("PEER_IDENTITY_MISSING", "not an agent"));
  {
    std::lock_guard lock(mutex);
    const auto found = live.find(stream->cluster());
    if (found != live.end() && found->second.stream == stream) found->second.last_seen = options.clock->Wall();
  }
  if (stream->in.has_heartbeat()) {
    next({});
    return;
  }
  const bool posted = pool.Post([core = shared_from_this(), stream, next] { next(core->Handle(stream)); });
  if (!posted) next(ResourceExhausted("POOL_FULL", "the server is overloaded"));
}

Status Fleet::Core::Handle(const AgentStreamPtr& stream) {
  if (stream->in.has_hello()) return Greet(stream);
  if (!stream->greeted) return FailedPrecondition("HELLO_MISSING", "the first message must be Hello");
  if (!IsLive(*stream)) return Aborted("REPLACED", "a newer stream of this cluster is open");
  if (stream->in.has_facts()) return TakeFacts(*stream);
  if (stream->in.has_traffic()) {
    std::lock_guard lock(mutex);
    traffic.Report(stream->cluster(), stream->in.traffic(), options.clock->Wall(), options.clock->Now());
  }
  if (stream->in.has_problems()) TakeProblems(*stream);
  if (stream->in.has_applied()) {
    std::lock_guard lock(mutex);
    applied.Report(stream->cluster(), stream->in.applied(), options.clock->Wall());
    ++changes;
    news.notify_all();
  }
  return {};
}

// The newest stream of a cluster wins: the one before may hang half dead for a while.
Status Fleet::Core::Greet(const AgentStreamPtr& stream) {
  if (std::exchange(stream->greeted, true)) return {};
  AgentStreamPtr before;
  const store::ResourcePtr cluster = store.Read()->Get(stream->cluster());
  if (cluster == nullptr) return NotFound("CLUSTER_UNKNOWN", "{} does not exist any more", stream->cluster());
  {
    std::lock_guard lock(mutex);
    if (stopped) return Unavailable("SHUTTING_DOWN", "the server is shutting down");
    Live& entry = live[stream->cluster()];
    entry.uid = cluster->uid;
    before = std::exchange(entry.stream, stream);
    entry.last_seen = options.clock->Wall();
    entry.version = stream->in.hello().version();
    entry.problems.clear();  // It says anew what there is.
    applied.SetConnected(stream->cluster(), true, entry.last_seen);
    traffic.AgentCame(stream->cluster());
    ++changes;
    news.notify_all();
  }
  if (before) before->Close(Aborted("REPLACED", "a newer stream of this cluster is open"));
  StoreConnection(stream->cluster());
  obs::Log(obs::Level::kInfo, "agent connected",
           {{"cluster", stream->cluster()}, {"version", stream->in.hello().version()}});
  stream->Send(FactsStateOf(*store.Read(), stream->cluster()));
  return {};
}

Status Fleet::Core::TakeFacts(AgentStream& stream) {
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
  WEIR_TRY(store.Write([&](store::Txn& txn) { return ApplyDelta(txn, stream.cluster(), delta); }));
  agent::v1::ServerMessage answer;
  answer.mutable_ack()->set_sequence(delta.sequence());
  stream.Send(std::move(answer));
  return {};
}

void Fleet::Core::TakeProblems(AgentStream& stream) {
  std::vector<v2::ClusterProblem> problems;
  for (const auto& said : stream.in.problems().problems()) {
    if (problems.size() == kMostProblems) break;
    v2::ClusterProblem& problem = problems.emplace_back();
    problem.set_source(std::string(Shortened(said.source(), kMostProblemText)));
    problem.set_text(std::string(Shortened(said.text(), kMostProblemText)));
    obs::Log(obs::Level::kWarn, "an agent reports a problem",
             {{"cluster", stream.cluster()}, {"source", problem.source()}, {"problem", problem.text()}});
  }
  std::lock_guard lock(mutex);
  live[stream.cluster()].problems = std::move(problems);
}

void Fleet::Core::Left(AgentStream& stream) {
  if (stream.cluster().empty()) return;
  {
    std::lock_guard lock(mutex);
    const auto found = live.find(stream.cluster());
    if (found == live.end() || found->second.stream.get() != &stream) return;
    found->second.stream.reset();
    applied.SetConnected(stream.cluster(), false, options.clock->Wall());
    traffic.AgentLeft(stream.cluster(), options.clock->Now());
    ++changes;
    news.notify_all();
    if (stopped) return;  // Start marks every cluster anew.
  }
  obs::Log(obs::Level::kWarn, "agent gone", {{"cluster", stream.cluster()}});
  const auto task = [core = shared_from_this(), cluster = stream.cluster()] { core->StoreConnection(cluster); };
  if (!pool.Post(task)) task();
}

// Whatever happened in whatever order: what is stored last is what is true now.
void Fleet::Core::StoreConnection(const std::string& cluster) {
  std::lock_guard order(connection_mutex);
  bool connected = false;
  std::string version;
  {
    std::lock_guard lock(mutex);
    const auto found = live.find(cluster);
    if (found != live.end()) {
      connected = found->second.stream != nullptr;
      version = found->second.version;
    }
  }
  const Status stored = store.Write([&](store::Txn& txn) -> Status {
    const store::ResourcePtr resource = txn.Get(cluster);
    if (resource == nullptr) return {};
    return txn.SetConnection(resource->uid, connected, version);
  });
  if (!stored.ok()) {
    obs::Log(obs::Level::kError, "cannot store a connection's state",
             {{"cluster", cluster}, {"error", stored.error().ToString()}});
  }
}

// Heartbeats out; silence ends a stream. Silence is judged here, because a stopped agent keeps its TCP connection
// alive.
void Fleet::Core::Beat() {
  constexpr uint64_t kLooksPerBeat = 6;  // Silence shows within half a second of its limit.
  std::unique_lock lock(mutex);
  for (uint64_t turn = 1; !news.wait_for(lock, options.heartbeat / kLooksPerBeat, [&] { return stopped; }); ++turn) {
    const bool beat_now = turn % kLooksPerBeat == 0;
    std::vector<AgentStreamPtr> alive, silent;
    const MonoTime now = options.clock->Now();
    for (const auto& [cluster, entry] : live) {
      if (entry.stream == nullptr) continue;
      const bool late = now - entry.stream->last_heard() >= options.heartbeat * options.heartbeat_misses;
      if (late)
        silent.push_back(entry.stream);
      else if (beat_now)
        alive.push_back(entry.stream);
    }
    lock.unlock();
    agent::v1::ServerMessage beat;
    beat.mutable_heartbeat()->set_sequence(turn / kLooksPerBeat);
    for (const auto& stream : alive) stream->Send(beat);
    for (const auto& stream : silent) {
      Left(*stream);
      stream->Close(Unavailable("HEARTBEAT_MISSED", "the agent is silent"));
    }
    if (beat_now) ForgetDeleted();
    // The lock of the compilation comes before ours, here as everywhere.
    if (beat_now && pusher != nullptr) {
      pusher->Read([&](const compile::Compilation& compilation) {
        std::lock_guard inner(mutex);
        traffic.Sweep(compilation, options.clock->Now());
      });
    }
    lock.lock();
  }
}

// What was known of a cluster that is deleted goes, and its agent's stream is ended; a new one of the same name begins
// from nothing.
void Fleet::Core::ForgetDeleted() {
  const store::ViewPtr view = store.Read();
  std::vector<AgentStreamPtr> ended;
  {
    std::lock_guard lock(mutex);
    std::erase_if(live, [&](const auto& entry) {
      const store::ResourcePtr cluster = view->Get(entry.first);
      if (cluster != nullptr && entry.second.uid == cluster->uid) return false;
      if (entry.second.stream != nullptr) ended.push_back(entry.second.stream);
      applied.Forget(entry.first);
      traffic.Forget(entry.first);
      return true;
    });
    if (!ended.empty()) ++changes;
  }
  for (const auto& stream : ended) stream->Close(NotFound("CLUSTER_UNKNOWN", "the cluster was deleted"));
}

// --- Status ---

namespace {

v2::ResourceStatus NotPushed(v2::ResourceStatus status) {
  status.set_state(v2::ResourceStatus::ACCEPTED);
  status.set_worst(v2::ResourceStatus::ACCEPTED);
  status.set_reason("WAITING_FOR_ACK");
  status.set_message("not pushed yet");
  return status;
}

}  // namespace

// What it points at beyond its workspace serves nobody, whatever was acknowledged.
void SayOutOfScope(const compile::World& world, v2::ResourceStatus& status) {
  const auto outside = compile::OutOfScopeOf(world, status.fqn());
  if (!outside || status.reason() == "REJECTED") return;
  status.set_state(v2::ResourceStatus::FAILED);
  status.set_worst(v2::ResourceStatus::FAILED);
  status.set_reason(outside->reason);
  status.set_message(outside->message);
}

v2::ResourceStatus Fleet::Core::Judge(const store::StoredResource& resource) const {
  if (!compile::ReachesGateways(resource.fqn)) {
    v2::ResourceStatus status = StoredStatus(resource.fqn, resource.kind, resource.revision);
    std::lock_guard lock(mutex);
    const auto found = live.find(resource.fqn);
    if (const std::string why = held.Reason(resource.fqn); !why.empty()) {
      status.set_reason("STATE_CONFLICT");
      status.set_message(why);
    } else if (found != live.end() && !found->second.problems.empty()) {
      const v2::ClusterProblem& first = found->second.problems.front();
      status.set_reason("AGENT_PROBLEM");
      status.set_message(fmt::format("{}: {}", first.source(), first.text()));
    }
    return status;
  }
  std::vector<compile::Concern> concerns;
  const bool compiled = pusher != nullptr && pusher->revision() >= resource.revision;
  if (compiled) {
    v2::ResourceStatus status;
    pusher->Read([&](const compile::Compilation& c) {
      concerns = compile::Concerns(c, resource.fqn);
      std::lock_guard lock(mutex);
      status = StatusOf(resource.fqn, resource.kind, resource.revision, concerns, applied);
      SayOutOfScope(c.world(), status);
    });
    return status;
  }
  return NotPushed(StoredStatus(resource.fqn, resource.kind, resource.revision));
}

// For waits: whether the gateways that a write of it touches serve it; the first that does not yet speaks for all.
v2::ResourceStatus Fleet::Core::JudgeEffect(const store::StoredResource& resource) const {
  if (compile::ReachesGateways(resource.fqn) || pusher == nullptr) return Judge(resource);
  v2::ResourceStatus status = StoredStatus(resource.fqn, resource.kind, resource.revision);
  if (pusher->revision() < resource.revision) return NotPushed(std::move(status));
  pusher->Read([&](const compile::Compilation& compilation) {
    for (const std::string& fqn : GatewaysTouched(compilation.world(), resource.kind, resource.fqn)) {
      const auto concerns = compile::Concerns(compilation, fqn);
      std::lock_guard lock(mutex);
      v2::ResourceStatus gateway = StatusOf(fqn, "", resource.revision, concerns, applied);
      SayOutOfScope(compilation.world(), gateway);
      if (gateway.state() == v2::ResourceStatus::READY || gateway.reason() == "NO_WORKLOAD") continue;
      gateway.set_message(fmt::format("{}: {}", fqn, gateway.message()));
      gateway.set_fqn(resource.fqn);
      gateway.set_kind(resource.kind);
      status = std::move(gateway);
      return;
    }
  });
  return status;
}

// --- The door ---

Fleet::Fleet(store::Store& store, const ca::ServerCa& ca, rpc::Pool& pool, FleetOptions options)
    : core_(std::make_shared<Core>(store, ca, pool, options)) {
  core_->join = std::make_unique<JoinService<Core>>(core_.get());
  core_->reports = std::make_unique<ReportsService<Core>>(core_.get());
}
Fleet::~Fleet() { Stop(); }

void Fleet::Attach(push::Pusher& pusher) {
  core_->pusher = &pusher;
  pusher.OnPushed([core = core_.get()] { core->Changed(); });
}

Status Fleet::Start() {
  WEIR_TRY(core_->store.Write([&](store::Txn& txn) -> Status {
    std::vector<std::pair<std::string, std::string>> connected;
    txn.view().ForEachFacts([&](const store::ClusterFactsPtr& facts) {
      if (facts->connected) connected.emplace_back(facts->cluster_uid, facts->agent_version);
    });
    for (const auto& [uid, version] : connected) WEIR_TRY(txn.SetConnection(uid, false, version));
    return {};
  }));
  core_->heart = std::thread([core = core_.get()] { core->Beat(); });
  return {};
}

void Fleet::Stop() {
  std::vector<AgentStreamPtr> streams;
  {
    std::lock_guard lock(core_->mutex);
    core_->stopped = true;
    for (const auto& [cluster, entry] : core_->live) {
      if (entry.stream) streams.push_back(entry.stream);
    }
    core_->news.notify_all();
  }
  if (core_->heart.joinable()) core_->heart.join();
  for (const auto& stream : streams) stream->Close(Unavailable("SHUTTING_DOWN", "the server is shutting down"));
}

grpc::Service* Fleet::join_service() { return core_->join.get(); }
grpc::Service* Fleet::reports_service() { return core_->reports.get(); }

xds::AdsAuthenticator Fleet::Authenticator() {
  return [core = core_](const xds::AdsPeer& peer) -> Result<xds::AdsGrant> {
    WEIR_ASSIGN(std::string cluster, core->ClusterOfPeer(peer.uris.empty() ? "" : peer.uris.front()));
    return xds::AdsGrant{core->held.KeyFor(cluster, peer.node)};
  };
}

std::function<void(const std::string&, uint64_t, const xds::AckEvent&)> Fleet::AckObserver() {
  return [core = core_](const std::string& cluster, uint64_t, const xds::AckEvent& event) {
    if (HeldAgents::IsHeldKey(cluster)) return core->held.NoteServed(cluster, event);
    if (!event.accepted) {
      obs::Log(obs::Level::kWarn, "agent refuses intent",
               {{"cluster", cluster}, {"type", event.type_url}, {"error", event.error}});
    }
    std::lock_guard lock(core->mutex);
    core->applied.ReportAgent(cluster, event, core->options.clock->Wall());
    ++core->changes;
    core->news.notify_all();
  };
}

std::function<void(const xds::AdsStreamEvent&)> Fleet::StreamObserver() {
  return [core = core_](const xds::AdsStreamEvent& event) {
    if (HeldAgents::IsHeldKey(event.key) && event.kind == xds::AdsStreamEvent::Kind::kClosed) {
      core->held.Forget(event.key);
    }
    core->Changed();
  };
}

std::vector<v2::HeldCluster> Fleet::HeldClusters(const xds::AdsService& ads) const {
  std::vector<v2::HeldCluster> list;
  for (const HeldAgent& agent : core_->held.List()) {
    list.push_back(WhatGoesBack(agent, ads.GetSnapshot(agent.cluster)));
  }
  return list;
}

void Fleet::ReleaseHeldClusters(xds::AdsService& ads) {
  for (const HeldAgent& agent : core_->held.List()) {
    ads.Remove(HeldAgents::KeyOf(agent.cluster), "the server's state was adopted; come again");
  }
}

Result<std::string> Fleet::ClusterOfPeer(std::string_view spiffe_id) const { return core_->ClusterOfPeer(spiffe_id); }

Result<v2::ResourceStatus> Fleet::GetStatus(std::string_view fqn) const {
  WEIR_ASSIGN(const std::vector<v2::ResourceStatus> all, ListStatuses(fqn));
  for (const v2::ResourceStatus& status : all) {
    if (status.fqn() == fqn) return status;
  }
  return NotFound("RESOURCE_NOT_FOUND", "{} does not exist", fqn);
}

Result<std::vector<v2::ResourceStatus>> Fleet::ListStatuses(std::string_view parent) const {
  const store::ViewPtr view = core_->store.Read();
  const store::ResourcePtr root = view->Get(parent);
  if (root == nullptr) return NotFound("RESOURCE_NOT_FOUND", "{} does not exist", parent);
  std::vector<v2::ResourceStatus> items{core_->Judge(*root)};
  view->ForEach(parent, "", [&](const store::ResourcePtr& resource) {
    if (resource->fqn != parent) items.push_back(core_->Judge(*resource));
    return true;
  });
  RollUp(items);
  return items;
}

v2::ResourceStatus Fleet::WaitApplied(std::string_view fqn, int64_t revision,
                                      std::chrono::steady_clock::time_point deadline) const {
  Core& core = *core_;
  if (core.pusher != nullptr) core.pusher->WaitFor(revision, deadline);
  while (true) {
    uint64_t seen;
    {
      std::lock_guard lock(core.mutex);
      seen = core.changes;
      if (core.stopped) deadline = {};
    }
    const store::ResourcePtr resource = core.store.Read()->Get(fqn);
    if (resource == nullptr) return StoredStatus(fqn, "", revision);
    v2::ResourceStatus status = core.JudgeEffect(*resource);
    if (status.state() == v2::ResourceStatus::READY || status.state() == v2::ResourceStatus::FAILED ||
        status.reason() == "NO_WORKLOAD") {
      return status;
    }
    std::unique_lock lock(core.mutex);
    if (!core.news.wait_until(lock, deadline, [&] { return core.changes != seen || core.stopped; })) return status;
  }
}

std::vector<v2::HostTraffic> Fleet::TrafficOf(const TrafficQuery& query) const {
  std::vector<v2::HostTraffic> items;
  core_->pusher->Read([&](const compile::Compilation& compilation) {
    std::lock_guard lock(core_->mutex);
    items = fleet::TrafficOf(core_->traffic, compilation, query, core_->options.clock->Now());
  });
  return items;
}

std::vector<v2::HostHealth> Fleet::HealthOf(const TrafficQuery& query) const {
  std::vector<v2::HostHealth> items;
  core_->pusher->Read([&](const compile::Compilation& compilation) {
    std::lock_guard lock(core_->mutex);
    items = fleet::HealthOf(core_->traffic, compilation, query);
  });
  return items;
}

std::vector<std::string> Fleet::SourcesOf(const TrafficQuery& query) const {
  std::vector<std::string> sources;
  core_->pusher->Read([&](const compile::Compilation& compilation) { sources = fleet::SourcesOf(compilation, query); });
  return sources;
}

void Fleet::RenderMetrics(std::string& out) const {
  std::lock_guard lock(core_->mutex);
  RenderTraffic(core_->traffic, core_->options.clock->Now(), out);
}

v2::ClusterState Fleet::ClusterStateOf(std::string_view cluster) const {
  v2::ClusterState state;
  const store::ViewPtr view = core_->store.Read();
  const store::ResourcePtr resource = view->Get(cluster);
  const store::ClusterFactsPtr facts = resource == nullptr ? nullptr : view->Facts(resource->uid);
  WallTime seen{};
  if (facts != nullptr) {
    state.set_workloads(static_cast<int32_t>(facts->workloads.size()));
    state.set_services(static_cast<int32_t>(facts->services.size()));
    state.set_agent_version(facts->agent_version);
    seen = facts->last_seen;
  }
  {
    std::lock_guard lock(core_->mutex);
    const auto found = core_->live.find(std::string(cluster));
    if (found != core_->live.end()) {
      state.set_connected(found->second.stream != nullptr);
      seen = std::max(seen, found->second.last_seen);
      *state.mutable_problems() = {found->second.problems.begin(), found->second.problems.end()};
      if (const std::string why = core_->held.Reason(std::string(cluster)); !why.empty()) {
        v2::ClusterProblem& problem = *state.add_problems();
        problem.set_source("state");
        problem.set_text(why);
      }
    }
  }
  if (seen > WallTime{}) *state.mutable_last_seen() = rpc::ToTimestamp(seen);
  return state;
}

}  // namespace weir::fleet
