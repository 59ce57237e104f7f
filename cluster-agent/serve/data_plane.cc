#include "cluster-agent/serve/data_plane.h"

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <set>
#include <thread>

#include "api/weir/agent/v1/agent.grpc.pb.h"
#include "api/weir/agent/v1/agent.pb.h"
#include "api/weir/agent/v1/discovery.pb.h"
#include "cluster-agent/link/problems.h"
#include "cluster-agent/serve/admission_grace.h"
#include "cluster-agent/serve/applied.h"
#include "cluster-agent/serve/snapshots.h"
#include "cluster-agent/serve/telemetry.h"
#include "cluster-agent/serve/traffic.h"
#include "cluster-agent/serve/workloads.h"
#include "libs/base/mutex.h"
#include "libs/base/wait.h"
#include "libs/dialect/dialect.h"
#include "libs/document/document.h"
#include "libs/obs/log.h"
#include "libs/rpc/gate.h"
#include "libs/rpc/run_on.h"
#include "libs/rpc/server.h"
#include "libs/rpc/status.h"
#include "libs/rpc/time.h"
#include "libs/translate/xds/translator.h"
#include "libs/xds/grpc/ads_service.h"

namespace weir::agent {
namespace {

constexpr std::string_view kOurs = "|weir", kStock = "|envoy";
constexpr std::chrono::milliseconds kPodsFirst{500};
const std::string kMeshListener = std::to_string(dialect::kMeshPort);

std::string WorkloadOfKey(const std::string& key) { return key.substr(0, key.rfind('|')); }

// Port 15012: what one workload, or all of them, may make the agent hold. docs/operating/limits.md lists them.
// A message of a data plane, not its own configuration; calls of every kind, of which a gateway uses four.
constexpr rpc::ServerBounds kBounds{.max_message = 4 << 20, .streams = 32};
constexpr rpc::GateBounds kGate{.connections = 10'000, .per_source = 1024, .divisor = 2};

std::string BearerOf(const std::multimap<std::string, std::string>& metadata) {
  const auto found = metadata.find("authorization");
  return found == metadata.end() ? std::string() : std::string(rpc::BearerToken(found->second));
}

}  // namespace

// The handler of its ADS: Stop ends the streams and their server before anything of it goes.
struct DataPlane::Core final : xds::AdsHandler {
  class IdentityService : public v1::WorkloadIdentity::CallbackService {
   public:
    explicit IdentityService(Core* core) : core_(core) {}
    grpc::ServerUnaryReactor* Sign(grpc::CallbackServerContext* context, const v1::SignRequest* request,
                                   v1::SignResponse* response) override {
      return rpc::RunOn(core_->pool, rpc::BearerToken(*context), context, [this, context, request, response] {
        return rpc::ToGrpc(core_->Sign(rpc::BearerToken(*context), request->csr_pem(), response));
      });
    }

   private:
    Core* core_;
  };

  struct Node {
    std::set<uint64_t> streams;
    std::shared_ptr<const translate::NodeConfig> config;
    xds::SnapshotPtr snapshot;
  };

  Core(DataPlaneOptions o, Membership m, std::function<void()> applied)
      : options(std::move(o)),
        on_applied(std::move(applied)),
        registry(options.workloads_dir),
        membership(std::move(m)),
        translator({membership.cluster, membership.trust_domain, membership.root_pem}) {}

  const DataPlaneOptions options;
  const std::function<void()> on_applied;
  WorkloadRegistry registry;
  Mutex files_mutex;  // Taken before `mutex`: discovery and renewals write files of workloads, one after the other.
  FairPool pool{2, 256};
  IdentityService identity_service{this};
  TrafficLedger traffic{*options.clock};
  Telemetry telemetry{[this](const std::string& token) { return registry.WorkloadOf(token); }, &traffic};
  std::unique_ptr<rpc::RotatingServerTls> tls;
  std::unique_ptr<xds::AdsService> ads;
  std::unique_ptr<grpc::Server> server;
  std::unique_ptr<rpc::Gate> gate;
  std::string address;
  std::thread worker;

  mutable Mutex mutex;
  CondVar wake;
  CondVar answered;  // A data plane has said yes or no.
  bool stopping WEIR_GUARDED_BY(mutex) = false;
  bool dirty WEIR_GUARDED_BY(mutex) = false;
  Membership membership WEIR_GUARDED_BY(mutex);
  std::shared_ptr<const translate::Intent> intent WEIR_GUARDED_BY(mutex);  // Null: not known yet, as facts.
  std::shared_ptr<const translate::Facts> facts WEIR_GUARDED_BY(mutex);
  std::map<std::string, Node> nodes WEIR_GUARDED_BY(mutex);  // By key: those with a stream.
  AppliedLedger ledger WEIR_GUARDED_BY(mutex);

  std::atomic<size_t> leaves = 0;  // envoy_leaves.size().

  translate::Translator translator;  // Worker only, as is what follows.
  struct OwnLeaf {
    std::string spiffe_id;
    std::string issuer_pem;
    Leaf leaf;
  };
  std::map<std::string, OwnLeaf> envoy_leaves;  // By key, of stock Envoys with a stream: goes with the node.
  std::map<std::string, std::vector<std::string>> problems;  // By key.
  std::map<std::string, translate::Admitted> admitted;       // By key of a node: whom its pod lets in.
  AdmissionGrace grace;

  Status Sign(const std::string& token, const std::string& csr_pem, v1::SignResponse* response) {
    WEIR_ASSIGN(const std::string workload, registry.WorkloadOf(token));
    WEIR_ASSIGN(const std::string spiffe_id, registry.SpiffeIdOfWorkload(workload));
    Membership issuer;
    {
      MutexLock lock(mutex);
      issuer = membership;
    }
    identity::LeafRequest request;
    request.csr_pem = csr_pem;
    request.spiffe_id = spiffe_id;
    request.lifetime = options.leaf_lifetime;
    WEIR_ASSIGN(const std::string leaf, identity::SignLeaf(issuer.intermediate, request, *options.clock));
    WEIR_ASSIGN(const identity::CertificateFacts signed_facts, identity::ReadCertificate(leaf));
    response->set_chain_pem(leaf + issuer.intermediate.certificate_pem);
    response->set_root_pem(issuer.root_pem);
    response->set_lifetime_seconds(
        std::chrono::duration_cast<std::chrono::seconds>(signed_facts.not_after - options.clock->Wall()).count());
    response->set_spiffe_id(spiffe_id);
    obs::Log(obs::Level::kInfo, "signed a workload identity", {{"workload", workload}, {"spiffe_id", spiffe_id}});
    return {};
  }

  Result<xds::AdsGrant> Authenticate(const xds::AdsPeer& peer) override {
    WEIR_ASSIGN(std::string workload, registry.WorkloadOf(BearerOf(peer.metadata)));
    return xds::AdsGrant{std::move(workload)};
  }
  Result<std::string> KeyOf(const std::string& workload, const xds::Node& node) override {
    return workload + std::string(node.Has(dialect::kFeatureVhds) ? kOurs : kStock);
  }

  // Every call of every service, by its headers alone.
  Status Allow(const std::string& token) {
    const auto workload = registry.WorkloadOf(token);
    if (workload.ok()) return {};
    obs::Log(obs::Level::kDebug, "data plane refused", {{"reason", workload.error().reason}});
    return workload.error();
  }

  void OnStream(const xds::AdsStreamEvent& event) override {
    const bool opened = event.kind == xds::AdsStreamEvent::Kind::kOpened;
    const std::string workload = WorkloadOfKey(event.key);
    {
      MutexLock lock(mutex);
      if (opened) {
        nodes[event.key].streams.insert(event.stream);
        ledger.OnOpened(workload, event.stream, !event.key.ends_with(kStock));
      } else {
        if (const auto node = nodes.find(event.key); node != nodes.end()) node->second.streams.erase(event.stream);
        ledger.OnClosed(workload, event.stream);
      }
      TellConfig(workload);
      dirty = true;
    }
    wake.NotifyAll();
    obs::Log(obs::Level::kInfo, opened ? "data plane connected" : "data plane gone",
             {{"workload", workload}, {"node", event.node.id}, {"reason", event.reason}});
    on_applied();
  }

  // A stream is judged by what its own kind of node is to run.
  void TellConfig(const std::string& workload) WEIR_REQUIRES(mutex) {
    const uint64_t counting = ledger.Counting(workload);
    for (const std::string_view kind : {kOurs, kStock}) {
      const auto node = nodes.find(workload + std::string(kind));
      if (node == nodes.end() || node->second.config == nullptr || !node->second.streams.contains(counting)) continue;
      ledger.SetConfig(workload, node->second.config);
    }
  }

  void OnAck(const std::string& key, uint64_t stream, const xds::AckEvent& event) override {
    const std::string workload = WorkloadOfKey(key);
    if (!event.accepted) {
      obs::Log(obs::Level::kWarn, "data plane rejected configuration",
               {{"workload", workload}, {"type", event.type_url}, {"error", event.error}});
    }
    {
      MutexLock lock(mutex);
      ledger.OnAck(workload, stream, event);
    }
    answered.NotifyAll();
    on_applied();
  }

  void Run() {
    MutexLock lock(mutex);
    while (!stopping) {
      WaitFor(*options.clock, wake, mutex, std::chrono::seconds(1),
              [&]() WEIR_REQUIRES(mutex) { return stopping || dirty; });
      if (stopping) return;
      const bool renew = LeavesDue() || grace.Due(options.clock->Now());
      if (!dirty && !renew) continue;
      dirty = false;
      if (intent == nullptr || facts == nullptr) continue;
      Publish();
    }
  }

  void WriteFiles(const translate::Facts& of) WEIR_REQUIRES(files_mutex) {
    Membership now;
    {
      MutexLock lock(mutex);
      now = membership;
    }
    const Status written = registry.Update(of, now, address);
    if (!written.ok()) {
      obs::Log(obs::Level::kError, "files for workloads could not be written", {{"error", written.error().ToString()}});
    }
  }

  bool LeavesDue() const {
    return std::any_of(envoy_leaves.begin(), envoy_leaves.end(),
                       [this](const auto& one) { return one.second.leaf.renew_at <= options.clock->Now(); });
  }

  // Translates for every node with a stream and hands out what changed. The lock is free while it translates.
  void Publish() WEIR_REQUIRES(mutex) {
    const std::shared_ptr<const translate::Intent> now_intent = intent;
    const std::shared_ptr<const translate::Facts> now_facts = facts;
    const Membership now_member = membership;
    std::vector<std::string> keys, gone;
    for (const auto& [key, node] : nodes) (node.streams.empty() ? gone : keys).push_back(key);
    for (const std::string& key : gone) nodes.erase(key);
    std::map<std::string, xds::SnapshotPtr> before;
    for (const std::string& key : keys) before[key] = nodes[key].snapshot;
    mutex.Unlock();

    for (const std::string& key : gone) {
      ads->Remove(key);
      Forget(key);
    }
    translator.SetIdentity({now_member.cluster, now_member.trust_domain, now_member.root_pem});
    std::vector<Offer> pods, gateways;
    for (const std::string& key : keys) {
      auto offer = Translate(key, now_member, now_intent, now_facts, before[key].get());
      if (offer) (offer->OnlyAPod() ? pods : gateways).push_back(std::move(*offer));
    }
    for (const Offer& pod : pods) Hand(pod);
    if (std::any_of(gateways.begin(), gateways.end(), [](const Offer& one) { return one.snapshot != nullptr; })) {
      AwaitPods(pods);
    }
    for (const Offer& gateway : gateways) Hand(gateway);
    translator.Forget(4 * keys.size() + 16);
    mutex.Lock();
  }

  // What a node owned goes with it.
  void Forget(const std::string& key) {
    envoy_leaves.erase(key);
    problems.erase(key);
    leaves = envoy_leaves.size();
    admitted.erase(key);
    grace.Forget(key);
  }

  // What one node is to run.
  struct Offer {
    std::string key;
    std::string workload;
    std::shared_ptr<const translate::NodeConfig> config;
    xds::SnapshotPtr snapshot;  // Null: nothing changed.

    bool OnlyAPod() const { return !config->admits.empty() && config->types.find(xds::kRoute)->second.empty(); }
  };

  std::optional<Offer> Translate(const std::string& key, const Membership& member,
                                 const std::shared_ptr<const translate::Intent>& with,
                                 const std::shared_ptr<const translate::Facts>& at, const xds::Snapshot* before) {
    Offer offer{key, WorkloadOfKey(key), nullptr, nullptr};
    if (!at->workloads.contains(offer.workload)) {
      ads->Remove(key, "the workload is declared no more");
      Forget(key);
      return std::nullopt;
    }
    const bool stock = key.ends_with(kStock);
    const translate::NodeProfile profile{.vhds = !stock,
                                         .stock_envoy = stock,
                                         .hold_ms = options.minimum_hold.count(),
                                         .slow_return_ms = options.slow_return.count()};
    const MonoTime now = options.clock->Now();
    offer.config = translator.Translate(with, at, offer.workload, profile, grace.Of(key, now));
    translate::Admitted& was = admitted[key];
    if (was != offer.config->admits) {
      grace.Note(key, was, offer.config->admits, now);
      was = offer.config->admits;
      offer.config = translator.Translate(with, at, offer.workload, profile, grace.Of(key, now));
    }
    TellProblems(key, offer.config->problems);
    xds::ResourcePtr identity;
    if (stock) {
      identity = IdentityOf(key, member, *at->workloads.at(offer.workload));
      if (identity == nullptr) return std::nullopt;
    }
    offer.snapshot = NextSnapshot(*offer.config, identity, before);
    return offer;
  }

  void Hand(const Offer& offer) {
    {
      MutexLock guard(mutex);
      Node& node = nodes[offer.key];
      node.config = offer.config;
      if (offer.snapshot != nullptr) node.snapshot = offer.snapshot;
      TellConfig(offer.workload);  // Before it goes out: an answer must find what it is about.
    }
    if (offer.snapshot != nullptr) ads->SetSnapshot(offer.key, offer.snapshot);
    on_applied();
  }

  // A pod lets a gateway in before the gateway turns to it. Who is slow holds nobody up for long.
  void AwaitPods(const std::vector<Offer>& pods) {
    MutexLock lock(mutex);
    WaitFor(*options.clock, answered, mutex, kPodsFirst, [&]() WEIR_REQUIRES(mutex) {
      return stopping || std::all_of(pods.begin(), pods.end(), [&](const Offer& pod) WEIR_REQUIRES(mutex) {
               return pod.snapshot == nullptr || ledger.Answered(pod.workload, xds::kListener, kMeshListener);
             });
    });
  }

  void TellProblems(const std::string& key, const std::vector<std::string>& found) {
    std::vector<std::string>& told = problems[key];
    if (told == found) return;
    told = found;
    for (const std::string& problem : found) {
      obs::Log(obs::Level::kWarn, "intent cannot be said as asked",
               {{"workload", WorkloadOfKey(key)}, {"problem", problem}});
    }
  }

  // The identity of a stock Envoy: its key is made here and lives in memory only.
  xds::ResourcePtr IdentityOf(const std::string& key, const Membership& member, const v1::Workload& workload) {
    const std::string id = translate::SpiffeIdOf(member.trust_domain, workload);
    auto found = envoy_leaves.find(key);
    const bool ours = found != envoy_leaves.end() && found->second.spiffe_id == id;
    const bool current = ours && found->second.issuer_pem == member.intermediate.certificate_pem;
    if (!current || found->second.leaf.renew_at <= options.clock->Now()) {
      auto leaf = NewLeaf(member, id, "", options.leaf_lifetime, *options.clock);
      if (!leaf.ok()) {
        obs::Log(obs::Level::kError, "no identity for a workload",
                 {{"workload", WorkloadOfKey(key)}, {"error", leaf.error().ToString()}});
        return ours ? IdentitySecret(found->second.leaf) : nullptr;
      }
      found =
          envoy_leaves.insert_or_assign(key, OwnLeaf{id, member.intermediate.certificate_pem, std::move(*leaf)}).first;
      leaves = envoy_leaves.size();
    }
    return IdentitySecret(found->second.leaf);
  }
};

Result<std::unique_ptr<DataPlane>> DataPlane::Start(DataPlaneOptions options, Membership membership,
                                                    const Leaf& agent_leaf, std::function<void()> on_applied) {
  auto core = std::make_shared<Core>(std::move(options), std::move(membership), std::move(on_applied));
  const rpc::ServerTls tls{agent_leaf.chain_pem, agent_leaf.key_pem, "", rpc::ClientCertificate::kNone};
  WEIR_ASSIGN(core->tls, rpc::RotatingServerTls::Open(core->options.tls_dir, tls, *core->options.clock));

  xds::AdsServiceOptions ads;
  ads.rules = std::make_shared<const xds::ServerRules>(xds::EnvoyRules());
  ads.clock = core->options.clock;
  core->ads = std::make_unique<xds::AdsService>(*core, std::move(ads));

  Core* raw = core.get();
  grpc::ServerBuilder builder;
  rpc::ApplyDefaults(builder, kBounds);
  rpc::AdmitCalls(*core->tls->credentials(),
                  [raw](const rpc::CallHead& head) { return raw->Allow(std::string(head.token)); });
  WEIR_ASSIGN(core->gate,
              rpc::Gate::Open(core->options.listen, core->tls->credentials(), builder, kGate, *core->options.clock));
  builder.RegisterService(core->ads->service());
  builder.RegisterService(&core->identity_service);
  core->telemetry.Register(builder);
  core->server = builder.BuildAndStart();
  if (core->server == nullptr) return Internal("GRPC_SERVER", "gRPC refused the settings of the data plane's port");
  core->gate->Start();
  std::string host = core->options.listen.substr(0, core->options.listen.rfind(':'));
  if (host == "0.0.0.0" || host.empty()) host = "127.0.0.1";
  if (host == "[::]") host = "[::1]";
  core->address = fmt::format("{}:{}", host, core->gate->port());
  core->worker = std::thread([raw] { raw->Run(); });
  return std::unique_ptr<DataPlane>(new DataPlane(std::move(core)));
}

DataPlane::~DataPlane() { Stop(); }

void DataPlane::Stop() {
  {
    MutexLock lock(core_->mutex);
    core_->stopping = true;
  }
  core_->wake.NotifyAll();
  core_->answered.NotifyAll();
  if (!core_->worker.joinable()) return;
  core_->worker.join();
  core_->gate->Stop();
  core_->ads->Shutdown();
  core_->telemetry.Shutdown();
  core_->server->Shutdown(rpc::DeadlineIn(std::chrono::seconds(2)));
  core_->server->Wait();
  core_->pool.Stop();
  core_->server.reset();
  core_->ads.reset();
}

int DataPlane::port() const { return core_->gate->port(); }
const std::string& DataPlane::address() const { return core_->address; }

void DataPlane::SetIntent(translate::Intent intent) {
  MutexLock lock(core_->mutex);
  core_->intent = std::make_shared<const translate::Intent>(std::move(intent));
  core_->dirty = true;
  core_->wake.NotifyAll();
}

void DataPlane::SetFacts(translate::Facts facts) {
  MutexLock writing(core_->files_mutex);
  core_->WriteFiles(facts);
  MutexLock lock(core_->mutex);
  if (core_->facts != nullptr) {
    for (const auto& [key, workload] : core_->facts->workloads) {
      if (facts.workloads.contains(key)) continue;
      core_->ledger.Forget(key);
      core_->traffic.Forget(key);
    }
    translate::ShareFacts(*core_->facts, &facts);
  }
  core_->facts = std::make_shared<const translate::Facts>(std::move(facts));
  core_->dirty = true;
  core_->wake.NotifyAll();
}

Status DataPlane::SetMembership(Membership membership, const Leaf& agent_leaf) {
  rpc::ServerTls tls;
  tls.chain_pem = agent_leaf.chain_pem;
  tls.key_pem = agent_leaf.key_pem;
  WEIR_TRY(core_->tls->Replace(tls));
  MutexLock writing(core_->files_mutex);
  std::shared_ptr<const translate::Facts> facts;
  {
    MutexLock lock(core_->mutex);
    core_->membership = std::move(membership);
    core_->dirty = true;
    core_->wake.NotifyAll();
    facts = core_->facts;
  }
  if (facts != nullptr) core_->WriteFiles(*facts);  // What a gateway that starts believes may be another root now.
  return {};
}

bool DataPlane::Applied(bool full, v1::Applied* out) {
  MutexLock lock(core_->mutex);
  return core_->ledger.Report(full, out);
}

bool DataPlane::Traffic(bool full, std::vector<v1::GatewayTraffic>* out) { return core_->traffic.Report(full, out); }

bool DataPlane::Ready() const {
  MutexLock lock(core_->mutex);
  return core_->intent != nullptr && core_->facts != nullptr;
}

size_t DataPlane::Identities() const { return core_->leaves; }

size_t DataPlane::Streams() const { return core_->ads->StreamCount(); }

void DataPlane::AddProblems(v1::Problems* out) const {
  core_->traffic.AddProblems(out);
  MutexLock lock(core_->mutex);
  if (core_->intent != nullptr) {
    for (const auto& [piece, problem] : core_->intent->problems) AddProblem("intent", problem, out);
  }
  for (const auto& [key, node] : core_->nodes) {
    if (node.config == nullptr) continue;
    for (const std::string& problem : node.config->problems) AddProblem(WorkloadOfKey(key), problem, out);
  }
}

std::string DataPlane::Dump() const {
  using document::Node;
  MutexLock lock(core_->mutex);
  Node root = Node::Map();
  Node& nodes = root.Add("nodes", Node::Map());
  for (const auto& [key, node] : core_->nodes) {
    Node& one = nodes.Add(key, Node::Map());
    one.Add("streams", Node::Number(std::to_string(node.streams.size())));
    if (node.config == nullptr) continue;
    for (const auto& [url, resources] : node.config->types) {
      Node& type = one.Add(url, Node::Map());
      for (const auto& [name, resource] : resources) type.Add(name, Node::String(resource->resource->version));
    }
    Node& problems = one.Add("problems", Node::Sequence());
    for (const std::string& problem : node.config->problems) problems.items.push_back(Node::String(problem));
  }
  return document::WriteJson(root, true);
}

}  // namespace weir::agent
