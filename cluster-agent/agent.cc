#include "cluster-agent/agent.h"

#include <arpa/inet.h>

#include <filesystem>
#include <thread>

#include "api/weir/agent/v1/agent.pb.h"
#include "api/weir/bootstrap/v1/bootstrap.pb.h"
#include "api/weir/mesh/v1/intent.pb.h"
#include "cluster-agent/discovery/file_discovery.h"
#include "cluster-agent/link/intent_link.h"
#include "cluster-agent/link/joining.h"
#include "cluster-agent/link/membership.h"
#include "cluster-agent/link/problems.h"
#include "cluster-agent/link/reports.h"
#include "cluster-agent/serve/data_plane.h"
#include "cluster-agent/settings.h"
#include "libs/admin/door.h"
#include "libs/base/file.h"
#include "libs/base/ids.h"
#include "libs/base/mutex.h"
#include "libs/base/wait.h"
#include "libs/document/document.h"
#include "libs/obs/log.h"
#include "libs/obs/metrics.h"
#include "libs/process/backoff.h"
#include "libs/process/state_lock.h"

namespace weir::agent {
namespace {

std::string MembershipPath(const bootstrap::v1::Agent& bootstrap) { return bootstrap.state_dir() + "/membership"; }

constexpr std::chrono::seconds kClockMayDiffer{30};  // From the server's; certificates are set back by hours.

}  // namespace

// Reports and the intent link call it until End has stopped them.
struct Agent::Core final : ReportSources, IntentHandler {
  Core(const bootstrap::v1::Agent& b, std::string v, StoredMembership s, const Clock& c)
      : bootstrap(b), version(std::move(v)), clock(c), stored(std::move(s)) {}

  const bootstrap::v1::Agent bootstrap;
  process::StateLock state_lock;  // Of its state_dir.
  const std::string version;
  const Clock& clock;
  const std::string instance = RandomHex(16);
  const StoredMembership stored;  // As this start found it.
  const std::string trust_domain = stored.membership.trust_domain;

  mutable Mutex mutex;
  CondVar wake;
  bool stopping WEIR_GUARDED_BY(mutex) = false;
  Membership membership WEIR_GUARDED_BY(mutex) = stored.membership;
  Leaf leaf WEIR_GUARDED_BY(mutex);
  std::vector<std::string> membership_refused WEIR_GUARDED_BY(mutex) = stored.refused;
  std::string intent_roots WEIR_GUARDED_BY(mutex);  // What the server's newest intent says to trust.

  std::unique_ptr<DataPlane> data_plane;
  std::unique_ptr<Discovery> discovery;
  std::unique_ptr<Reports> reports;
  std::unique_ptr<IntentLink> intents;
  obs::Metrics metrics;
  std::unique_ptr<admin::Door> door;
  std::thread renewer;

  rpc::ChannelOptions Channel() override {
    MutexLock lock(mutex);
    rpc::ChannelOptions options;
    options.target = bootstrap.server();
    options.peer = membership.ServerRule();
    options.chain_pem = leaf.chain_pem;
    options.key_pem = leaf.key_pem;
    return options;
  }

  // Another set of mesh roots is a reason to renew: the next intermediate is signed by the one that signs now.
  void OnIntent(const translate::Intent& intent) override {
    std::string roots;
    for (const auto& [name, bundle] : intent.trust_bundles) roots += bundle.message->root_pem();
    {
      MutexLock lock(mutex);
      intent_roots = std::move(roots);
    }
    data_plane->SetIntent(intent);
  }
  // Not all clusters at the same moment.
  static Duration SoonForAll() {
    constexpr Duration kSpread = std::chrono::seconds(2);
    return Duration(static_cast<int64_t>(process::Backoff::RealRandom()() * static_cast<double>(kSpread.count())));
  }
  bool UnderSigningRoot(const std::string& chain_pem, const std::string& roots_pem) const {
    const auto roots = identity::SplitBundle(roots_pem);
    return roots.ok() && !roots->empty() && identity::VerifyChain(chain_pem, roots->front(), clock).ok();
  }

  // Lets go of the lock while it asks; false: it is to be tried again.
  bool RenewIntermediate() WEIR_REQUIRES(mutex) {
    const Membership current = membership;
    const Leaf own = leaf;
    mutex.Unlock();
    auto renewed = Renew(bootstrap.server(), current, own, clock);
    if (!renewed.ok()) {
      obs::Log(obs::Level::kWarn, "intermediate not renewed; trying again", {{"error", renewed.error().ToString()}});
      mutex.Lock();
      return false;
    }
    const Status saved = SaveMembership(MembershipPath(bootstrap), *renewed);
    if (!saved.ok())
      obs::Log(obs::Level::kError, "membership could not be stored", {{"error", saved.error().ToString()}});
    obs::Log(obs::Level::kInfo, "intermediate renewed", {{"trust_domain", renewed->trust_domain}});
    const bool other_root = !UnderSigningRoot(own.chain_pem, renewed->root_pem);
    mutex.Lock();
    membership = std::move(*renewed);
    if (saved.ok()) membership_refused.clear();
    RenewLeaf();
    if (!other_root) return true;
    mutex.Unlock();
    reports->Reconnect();  // The server is to see whose it is now.
    intents->Reconnect();
    mutex.Lock();
    return true;
  }

  // On the clock that does not jump: a wall clock that is set must not end or postpone what is due.
  MonoTime RenewalOf(const Result<identity::CertificateFacts>& intermediate) const {
    return intermediate.ok() ? clock.Now() + identity::RenewIn(*intermediate, clock.Wall()) : clock.Now();
  }

  // Keeps the agent's leaf and the cluster's intermediate young: both are renewed at about half of their life.
  void RenewLoop(Result<identity::CertificateFacts> intermediate, MonoTime renew_intermediate) {
    MutexLock lock(mutex);
    std::string roots_seen = membership.root_pem;  // The last ones that were a reason to renew.
    do {
      const MonoTime now = clock.Now();
      if (!intent_roots.empty() && intent_roots != roots_seen) {
        roots_seen = intent_roots;
        if (roots_seen != membership.root_pem) renew_intermediate = std::min(renew_intermediate, now + SoonForAll());
      }
      if (now < renew_intermediate) {
        if (now >= leaf.renew_at) RenewLeaf();
      } else if (RenewIntermediate()) {
        intermediate = identity::ReadCertificate(membership.intermediate.certificate_pem);
        renew_intermediate = RenewalOf(intermediate);
      } else {  // A twentieth of what is left, at most a minute, at least a second.
        const Duration left = intermediate.ok() ? Duration(intermediate->not_after - clock.Wall()) : Duration(0);
        renew_intermediate = now + std::clamp<Duration>(left / 20, std::chrono::seconds(1), std::chrono::minutes(1));
      }
    } while (
        !WaitFor(clock, wake, mutex, std::chrono::milliseconds(500), [&]() WEIR_REQUIRES(mutex) { return stopping; }));
  }

  Result<Leaf> FirstLeaf() {
    WEIR_ASSIGN(Leaf first, NewAgentLeaf(stored.membership, ToDuration(bootstrap.leaf_lifetime()), clock));
    MutexLock lock(mutex);
    leaf = first;
    return first;
  }

  void RenewLeaf() WEIR_REQUIRES(mutex) {
    auto next = NewAgentLeaf(membership, ToDuration(bootstrap.leaf_lifetime()), clock);
    if (!next.ok()) {
      obs::Log(obs::Level::kError, "the agent's certificate could not be renewed",
               {{"error", next.error().ToString()}});
      leaf.renew_at = clock.Now() + std::chrono::seconds(5);
      return;
    }
    leaf = std::move(*next);
    const Status taken = data_plane->SetMembership(membership, leaf);
    if (!taken.ok())
      obs::Log(obs::Level::kError, "the new certificate is not served", {{"error", taken.error().ToString()}});
  }

  Status OpenDoor() {
    metrics.AddSource([this](std::string& out) {
      const auto gauge = [&out](std::string_view name, std::string_view help, double value) {
        obs::AppendFamily(out, name, "gauge", help);
        obs::AppendSample(out, name, {}, value);
      };
      const DiscoveryState state = discovery->State();
      gauge("weir_agent_server_connected", "1 while both streams to the server stand", Connected() ? 1 : 0);
      gauge("weir_agent_data_plane_streams", "ADS streams of this cluster's data plane",
            static_cast<double>(data_plane->Streams()));
      gauge("weir_agent_discovery_ok", "1 when the newest reading was good",
            state.last_refusal.code == Code::kOk ? 1 : 0);
      gauge("weir_agent_discovery_readings_accepted", "Good readings since the start",
            static_cast<double>(state.accepted));
      gauge("weir_agent_discovery_readings_refused", "Refused readings since the start",
            static_cast<double>(state.refused));
      gauge("weir_agent_discovery_violations", "Violations of the newest reading",
            static_cast<double>(state.last_refusal.violations.size()));
    });
    metrics.AddSource([this](std::string& out) {
      obs::AppendFamily(out, "weir_agent_last_good_refused", "gauge", "State files refused at the start");
      obs::AppendSample(out, "weir_agent_last_good_refused", {}, static_cast<double>(LastGoodRefused().size()));
    });
    if (bootstrap.admin().empty()) return {};
    admin::StandardHandlers handlers;
    handlers.ready = [this] { return ReadyState(); };
    handlers.metrics = [this] { return metrics.Render(); };
    handlers.config_dump = [this] { return data_plane->Dump(); };
    handlers.version = version;
    admin::Routes routes = admin::StandardRoutes(std::move(handlers));
    routes["/discovery"]["GET"] = [this](const admin::Request&) {
      const DiscoveryState state = discovery->State();
      return admin::Response{200, (state.last_refusal.code == Code::kOk ? "ok" : state.last_refusal.ToString()) + "\n"};
    };
    routes["/last-good"]["GET"] = [this](const admin::Request&) { return admin::Response{200, LastGoodReport()}; };
    WEIR_ASSIGN(door,
                admin::Door::Start({.address = bootstrap.admin(), .token_file = bootstrap.state_dir() + "/admin-token"},
                                   std::move(routes)));
    return {};
  }

  bool Applied(bool full, v1::Applied* out) override { return data_plane->Applied(full, out); }
  bool Traffic(bool full, std::vector<v1::GatewayTraffic>* out) override { return data_plane->Traffic(full, out); }
  void OnDuplicate() override { intents->Reconnect(); }
  void AddProblems(v1::Problems* out) override {
    const auto ahead = std::chrono::duration_cast<std::chrono::seconds>(reports->ClockAhead());
    if (std::chrono::abs(ahead) > kClockMayDiffer) {
      AddProblem("clock",
                 fmt::format("this machine's clock is {} s {} the server's; certificates signed here may not be taken "
                             "elsewhere, or end too early",
                             std::chrono::abs(ahead).count(), ahead.count() > 0 ? "ahead of" : "behind"),
                 out);
    }
    const Error refusal = discovery->State().last_refusal;
    if (refusal.code != Code::kOk) AddProblem("discovery", refusal.ToString(), out);
    for (const std::string& refused : LastGoodRefused()) AddProblem("last-good", refused, out);
    for (const std::string& why : {intents->LastGood().unwritten, discovery->State().unkept}) {
      if (!why.empty()) AddProblem("last-good", "not kept for a restart: " + why, out);
    }
    if (!stored.unused_token.empty()) AddProblem("membership", stored.unused_token, out);
    for (const std::string& why : StateConflict()) AddProblem("state", why, out);
    data_plane->AddProblems(out);
  }

  // Why what the server has is not followed here, by its judgement and by this agent's.
  std::vector<std::string> StateConflict() const {
    std::vector<std::string> conflict;
    for (const std::string& why : {reports->WhyHeld(), intents->RefusalReason()}) {
      if (!why.empty()) conflict.push_back(why);
    }
    return conflict;
  }

  std::vector<std::string> LastGoodRefused() const {
    std::vector<std::string> refused;
    {
      MutexLock lock(mutex);
      refused = membership_refused;
    }
    for (const auto& more : {intents->LastGood().refused, discovery->State().kept_refused}) {
      refused.insert(refused.end(), more.begin(), more.end());
    }
    return refused;
  }

  // JSON: what this start was made from, and what was refused.
  std::string LastGoodReport() const {
    using document::Node;
    Node root = Node::Map();
    root.Add("membership", Node::String(fmt::format("generation {}", stored.generation)));
    root.Add("intent", Node::String(intents->LastGood().from));
    root.Add("facts", Node::String(discovery->State().started_from));
    const auto list = [&root](const char* name, const std::vector<std::string>& reasons) {
      Node& items = root.Add(name, Node::Sequence());
      for (const std::string& reason : reasons) items.items.push_back(Node::String(reason));
    };
    list("refused", LastGoodRefused());
    list("conflict", StateConflict());
    return document::WriteJson(root, true);
  }

  bool Connected() const { return reports->Connected() && intents->Connected(); }

  Status ReadyState() const {
    if (data_plane->Ready()) return {};
    return Unavailable("NOT_READY", "waiting for {}",
                       discovery->State().has_reading ? "intent" : "a good discovery file");
  }

  Status Begin() {
    WEIR_ASSIGN(const Leaf first_leaf, FirstLeaf());
    DataPlaneOptions serve;
    serve.listen = bootstrap.listen();
    serve.tls_dir = bootstrap.state_dir() + "/tls";
    serve.workloads_dir = bootstrap.workloads_dir();
    serve.leaf_lifetime = ToDuration(bootstrap.leaf_lifetime());
    serve.minimum_hold = std::chrono::floor<std::chrono::milliseconds>(ToDuration(bootstrap.minimum_hold()));
    serve.slow_return = std::chrono::floor<std::chrono::milliseconds>(ToDuration(bootstrap.slow_return()));
    serve.clock = &clock;
    ReportsOptions report;
    report.version = version;
    report.instance = instance;
    report.leaf_lifetime = ToDuration(bootstrap.leaf_lifetime());
    report.clock = &clock;
    reports = std::make_unique<Reports>(*this, std::move(report));
    WEIR_ASSIGN(data_plane, DataPlane::Start(std::move(serve), stored.membership, first_leaf,
                                             [this] { reports->AppliedChanged(); }));
    WEIR_TRY(WriteFileIfDifferent(bootstrap.state_dir() + "/ports.json",
                                  fmt::format("{{\"ads\": {}}}\n", data_plane->port())));

    IntentLinkOptions link;
    link.instance = instance;
    link.cluster = stored.membership.cluster;
    link.last_good_path = bootstrap.state_dir() + "/last-good";
    link.owner = trust_domain;
    link.joined_anew = stored.joined_now;
    link.clock = &clock;
    intents = std::make_unique<IntentLink>(*this, std::move(link));
    FileDiscoveryOptions facts;
    facts.path = bootstrap.discovery_file();
    facts.last_good_path = bootstrap.state_dir() + "/facts";
    facts.owner = trust_domain;
    facts.clock = &clock;
    discovery = std::make_unique<FileDiscovery>(std::move(facts));

    WEIR_TRY(discovery->Start([this](const translate::Facts& facts) {
      data_plane->SetFacts(facts);
      reports->SetFacts(facts);
    }));
    intents->Start();
    reports->Start();
    WEIR_TRY(OpenDoor());
    const auto intermediate = identity::ReadCertificate(stored.membership.intermediate.certificate_pem);
    renewer = std::thread([this, intermediate, due = RenewalOf(intermediate)] { RenewLoop(intermediate, due); });
    obs::Log(
        obs::Level::kInfo, "serving the data plane",
        {{"address", data_plane->address()}, {"cluster", stored.membership.cluster}, {"trust_domain", trust_domain}});
    return {};
  }

  void End() {
    {
      MutexLock lock(mutex);
      stopping = true;
    }
    wake.NotifyAll();
    if (renewer.joinable()) renewer.join();
    door.reset();
    if (discovery != nullptr) discovery->Stop();
    if (data_plane != nullptr) data_plane->Stop();
    if (reports != nullptr) reports->Stop();
    if (intents != nullptr) intents->Stop();
  }
};

Result<std::unique_ptr<Agent>> Agent::Start(const bootstrap::v1::Agent& bootstrap, std::string version,
                                            const std::atomic<bool>& stop, const Clock& clock) {
  // Before anything else: a second agent must not touch what the first one works with.
  WEIR_ASSIGN(
      process::StateLock lock,
      process::StateLock::Take(bootstrap.state_dir(), "weir-agent",
                               "stop it, or choose another folder with --state-dir: an agent for each cluster"));
  WEIR_ASSIGN(
      StoredMembership stored,
      EnsureMembership({bootstrap.server(), MembershipPath(bootstrap), bootstrap.join_token_file()}, stop, clock));
  auto core = std::make_unique<Core>(bootstrap, std::move(version), std::move(stored), clock);
  core->state_lock = std::move(lock);
  std::unique_ptr<Agent> agent(new Agent(std::move(core)));
  WEIR_TRY(agent->core_->Begin());
  return agent;
}

Agent::Agent(std::unique_ptr<Core> core) : core_(std::move(core)) {}
Agent::~Agent() { Stop(); }
void Agent::Stop() { core_->End(); }
int Agent::port() const { return core_->data_plane->port(); }
const std::string& Agent::trust_domain() const { return core_->trust_domain; }
Status Agent::Ready() const { return core_->ReadyState(); }
bool Agent::ServerConnected() const { return core_->Connected(); }

}  // namespace weir::agent
