#include "libs/gateway/gateway.h"

#include <algorithm>
#include <atomic>
#include <future>
#include <map>
#include <set>
#include <thread>

#include "libs/admin/door.h"
#include "libs/base/file.h"
#include "libs/base/ids.h"
#include "libs/base/mutex.h"
#include "libs/base/wait.h"
#include "libs/dialect/dialect.h"
#include "libs/gateway/handover.h"
#include "libs/gateway/load_reports.h"
#include "libs/gateway/report.h"
#include "libs/obs/log.h"
#include "libs/obs/metrics.h"
#include "libs/xds/grpc/ads_client.h"
#include "libs/xds/protocol/last_good.h"

namespace weir::gateway {

using obs::Level;

namespace {
constexpr std::string_view kListener = "listener ", kAdmin = "admin ", kProbes = "probes ";
constexpr std::chrono::seconds kReadyWithin{60};       // To take over.
constexpr std::chrono::seconds kPatienceWithAgent{5};  // Then last-good is good enough.
// A port that somebody else holds is tried again so often.
constexpr std::chrono::milliseconds kFirstRetry{500}, kLongestRetry{30'000};
constexpr size_t kMostReasonBytes = 4096;

// "Listener 80: ...; Cluster c: ... (and 3 more)".
std::string ReasonOf(const std::vector<proxy::Refusal>& refused) {
  std::string out;
  for (size_t i = 0; i < refused.size(); ++i) {
    if (out.size() + refused[i].error.message.size() > kMostReasonBytes && i > 0) {
      return out + fmt::format(" (and {} more)", refused.size() - i);
    }
    if (i > 0) out += "; ";
    out += refused[i].error.message;
  }
  return out;
}
}  // namespace

class Gateway::State final : public LoadSources, public xds::AdsClientHandler {
 public:
  State(Settings settings, Role& role, const Clock& clock)
      : settings_(std::move(settings)),
        role_(role),
        clock_(clock),
        configurator_(role_, engine_),
        keeper_(settings_, [this](const Leaf& leaf) { return OnLeaf(leaf); }, clock_) {}

  ~State() { Stop(); }

  Status Start() {
    WEIR_TRY(MakeFolders(settings_.state_dir, 0700));
    proxy::Options options;
    options.workers = settings_.workers;
    options.source_address = settings_.source_address;
    options.access_log = settings_.access_log;
    options.drain = std::chrono::duration_cast<std::chrono::milliseconds>(settings_.drain);
    WEIR_TRY(FindPredecessor());
    options.hold = predecessor_ != nullptr;
    options.clock = &clock_;
    WEIR_TRY(engine_.Start(std::move(options), InheritedListeners()));
    if (!predecessor_) WEIR_TRY(OpenDoors());
    RestoreIdentity();
    RestoreLastGood();
    writer_ = std::thread([this] { WriteLastGoodLoop(); });
    keeper_.Start();
    if (predecessor_) WEIR_TRY(TakeOver());
    OpenHandover();
    load_reports_.Start();
    return {};
  }

  void Stop() {
    handover_.reset();
    Disconnect();
    engine_.Stop();
    if (taking_over_ && admin_) admin_->HandOver();  // Its path is still the predecessor's.
    admin_.reset();
    probes_.reset();
  }

  Status Ready() const {
    MutexLock lock(mutex_);
    // Handed over: who still asks here asks about the address, and there the successor serves.
    if (handed_over_) return {};
    if (draining_) return Unavailable("DRAINING", "draining");
    if (!identified_) return Unavailable("NOT_READY", "no identity from the agent yet");
    if (!configurator_.Serving()) return Unavailable("NOT_READY", "no configuration from the agent yet");
    if (!Whole()) {
      return Unavailable("NOT_READY", "the agent has not answered every kind of resource yet");
    }
    if (const auto waiting = configurator_.Waiting(); !waiting.empty()) {
      return Unavailable("NOT_READY", "{}", waiting.front());
    }
    if (const auto unserved = configurator_.Unserved(); !unserved.empty()) {
      return Unavailable("NOT_READY", "{}", unserved.front());
    }
    return {};
  }

  void Drain() {
    {
      MutexLock lock(mutex_);
      if (drain_waited_) return;
      draining_ = drain_waited_ = true;
    }
    obs::Log(Level::kInfo, "draining");
    Mutex mutex;
    CondVar done;
    bool drained = false;
    engine_.Drain([&] {
      MutexLock lock(mutex);
      drained = true;
      done.NotifyAll();
    });
    MutexLock lock(mutex);
    done.Wait(mutex, [&] { return drained; });  // The engine bounds it by Options::drain.
    obs::Log(Level::kInfo, "drained");
  }

  bool DrainAsked() const { return drain_asked_; }
  bool HandedOver() const { return handed_over_; }
  proxy::Engine& engine() { return engine_; }
  std::string admin_address() const { return admin_->address(); }

 private:
  // ---- Succession

  // The gateway that runs in our state_dir and its sockets, or the right to be the one.
  Status FindPredecessor() {
    if (settings_.take_over) {
      auto found = Predecessor::Connect(settings_.state_dir);
      if (found.ok()) {
        predecessor_ = std::move(*found);
        taking_over_ = true;
        for (HandedSocket& lock : predecessor_->Take("lock")) lock_ = std::move(lock.fd);
        obs::Log(Level::kInfo, "taking over from the gateway that runs", {{"state_dir", settings_.state_dir}});
        return {};
      }
      if (found.error().code != Code::kNotFound) return found.error();
    }
    WEIR_ASSIGN(lock_, LockFolder(settings_.state_dir));
    return {};
  }

  std::vector<proxy::ListeningSocket> InheritedListeners() {
    std::vector<proxy::ListeningSocket> sockets;
    if (!predecessor_) return sockets;
    for (HandedSocket& socket : predecessor_->Take(kListener)) {
      sockets.push_back({std::move(socket.name), std::move(socket.fd)});
    }
    return sockets;
  }

  // Accepts beside the running gateway once everything is there, then tells it to go.
  Status TakeOver() {
    WEIR_TRY(AwaitReady());
    WEIR_TRY(OpenDoors());     // First: after Open there is no way back.
    WEIR_TRY(engine_.Open());  // What could not be opened is tried again as soon as the writer looks.
    const Status gone = predecessor_->AnnounceAccepting();
    // It has ended or hangs; we serve either way.
    if (!gone.ok()) obs::Log(Level::kWarn, "the predecessor did not answer", {{"error", gone.error().ToString()}});
    predecessor_.reset();
    MutexLock lock(mutex_);
    taking_over_ = false;
    wake_.NotifyAll();
    obs::Log(Level::kInfo, "took over");
    return {};
  }

  // Ready, and up to date: last-good may know less than the predecessor serves, so the agent is waited for a while.
  Status AwaitReady() {
    const auto begun = clock_.Now();
    while (true) {
      const auto waited = clock_.Now() - begun;
      const Status ready = Ready();
      const auto client = Client();
      if (ready.ok() && ((client && client->Complete()) || waited > kPatienceWithAgent)) return {};
      if (waited > kReadyWithin) {
        return Unavailable("TAKE_OVER_NOT_READY", "not ready within {} s ({}); the running gateway serves on",
                           kReadyWithin.count(), ready.ok() ? "" : ready.error().message);
      }
      std::this_thread::sleep_for(clock_.MaxSleep(std::chrono::milliseconds(10)));
    }
  }

  void OpenHandover() {
    auto door = HandoverDoor::Start(
        settings_.state_dir, {[this] { return SocketsToHand(); }, [this] { HandOver(); }, [this] { SuccessorGone(); }});
    if (door.ok()) {
      handover_ = std::move(*door);
      return;
    }
    obs::Log(Level::kError, "no successor can take over", {{"error", door.error().ToString()}});
  }

  Result<std::vector<HandedSocket>> SocketsToHand() {
    {
      MutexLock lock(mutex_);
      if (draining_) return Unavailable("DRAINING", "it is draining");
    }
    std::vector<HandedSocket> sockets;
    WEIR_ASSIGN(auto listening, engine_.ExportSockets());
    sockets.reserve(listening.size() + 2);  // The doors, too.
    for (auto& socket : listening) sockets.push_back({std::string(kListener) + socket.key, std::move(socket.fd)});
    const auto copy = [&sockets](std::string name, int fd) -> Status {
      WEIR_ASSIGN(net::Fd duplicate, net::Duplicate(fd));
      sockets.push_back({std::move(name), std::move(duplicate)});
      return {};
    };
    WEIR_TRY(copy(std::string(kAdmin) + settings_.admin, admin_->listening()));
    if (probes_) WEIR_TRY(copy(std::string(kProbes) + settings_.probes, probes_->listening()));
    WEIR_TRY(copy("lock", lock_.get()));
    return sockets;
  }

  // The successor accepts: we do not any more, and leave the state_dir and the agent to it.
  void HandOver() {
    {
      MutexLock lock(mutex_);
      handed_over_ = draining_ = true;
    }
    std::promise<void> ended;
    engine_.DrainHandedOver([&ended] { ended.set_value(); });
    ended.get_future().wait();
    admin_->HandOver();
    if (probes_) probes_->HandOver();
    Disconnect();
    drain_asked_ = true;
  }

  // Our stream is to be the newest again: the agent counts what that one acknowledges.
  void SuccessorGone() {
    if (const auto client = Client()) client->Reconnect();
  }

  // Ends what talks to the agent and writes to the state_dir.
  void Disconnect() {
    keeper_.Stop();
    load_reports_.Stop();
    std::shared_ptr<xds::AdsClient> client;
    {
      MutexLock lock(mutex_);
      stopped_ = true;
      client = ads_;
    }
    if (client) client->Stop();
    wake_.NotifyAll();
    if (writer_.joinable()) writer_.join();
  }

  // The door's socket, if the predecessor had one at the same address; else -1.
  int InheritedDoor(std::string_view kind, const std::string& address) {
    if (!predecessor_) return -1;
    for (HandedSocket& socket : predecessor_->Take(kind)) {
      if (socket.name == address) return socket.fd.Release();
    }
    return -1;
  }

  Status OpenDoors() {
    metrics_.AddSource([this](std::string& out) { engine_.RenderMetrics(out); });
    admin::StandardHandlers handlers;
    handlers.ready = [this] { return Ready(); };
    handlers.metrics = [this] { return Metrics(); };
    handlers.config_dump = [this] { return ReportNow(); };
    handlers.version = std::string(kVersion);
    handlers.drain = [this] { drain_asked_ = true; };
    WEIR_ASSIGN(admin_, admin::Door::Start({.address = settings_.admin,
                                            .listening = InheritedDoor(kAdmin, settings_.admin),
                                            .token_file = settings_.state_dir + "/admin-token"},
                                           admin::StandardRoutes(std::move(handlers))));
    if (!settings_.probes.empty()) {
      WEIR_ASSIGN(probes_, admin::Door::Start({settings_.probes, true, InheritedDoor(kProbes, settings_.probes)},
                                              admin::ProbeRoutes([this] { return Ready(); })));
    }
    return {};
  }

  void RestoreIdentity() {
    const auto restored = keeper_.Restore();
    if (restored.ok()) {
      obs::Log(Level::kInfo, "identity restored");
      for (const std::string& reason : *restored) RefuseLastGood(reason);
    } else if (restored.error().code != Code::kNotFound) {
      RefuseLastGood(restored.error().ToString());
    }
  }

  // Serves what was acknowledged last; a damaged file is refused, said, and never a reason not to start.
  void RestoreLastGood() {
    auto read = xds::ReadLastGood(LastGoodPath(), settings_.node_id);
    if (!read.ok()) {
      if (read.error().code == Code::kNotFound) return;
      return RefuseLastGood(read.error().ToString());
    }
    bool decided = false;
    for (const std::string& reason : read->refused) RefuseLastGood(reason);
    const auto snapshot = std::make_shared<const xds::Snapshot>(read->snapshot);
    configurator_.Apply(snapshot, [&](Configurator::Outcome outcome) {
      if (!outcome.status.ok()) RefuseLastGood(outcome.status.error().ToString());
      for (const proxy::Refusal& refusal : outcome.refused) {
        if (!refusal.held) RefuseLastGood(refusal.error.ToString());
      }
      MutexLock lock(mutex_);
      if (outcome.status.ok()) {
        settings_.said_roots->Set(configurator_.RootsInUse());
        preload_ = outcome.taken;
        facts_.last_good = fmt::format("generation {} of {}", read->generation, Rfc3339(read->written));
        obs::Log(Level::kInfo, "serving the last good configuration", {{"from", facts_.last_good}});
      }
      Remember(outcome.refused, {});
      decided = true;
      wake_.NotifyAll();
    });
    // The client names to the agent what is served already: the workers are waited for; the engine always answers.
    MutexLock lock(mutex_);
    wake_.Wait(mutex_, [&]() WEIR_REQUIRES(mutex_) { return decided; });
  }

  void RefuseLastGood(const std::string& reason) {
    obs::Log(Level::kError, "a last-good file is refused", {{"reason", reason}});
    MutexLock lock(mutex_);
    facts_.last_good_refused.push_back(reason);
  }

  std::vector<proxy::ShareReport> Shares() override { return engine_.Shares(); }
  proxy::HealthChanges TakeHealthChanges(bool whole) override { return engine_.TakeHealthChanges(whole); }
  std::vector<std::string> Problems() override {
    std::vector<std::string> problems = keeper_.Problems();
    MutexLock lock(mutex_);
    if (!unwritten_.empty()) problems.push_back("last-good is not kept for a restart: " + unwritten_);
    problems.insert(problems.end(), facts_.last_good_refused.begin(), facts_.last_good_refused.end());
    return problems;
  }

  Status OnLeaf(const Leaf& leaf) {
    WEIR_TRY(configurator_.SetLeaf(leaf, settings_.Roots()));
    MutexLock lock(mutex_);
    facts_.spiffe_id = leaf.facts.spiffe_id;
    facts_.identity_until = leaf.facts.not_after;
    identified_ = true;
    wake_.NotifyAll();  // The writer's thread opens the stream; this may be the keeper's first call inside Start.
    return {};
  }

  void Connect() WEIR_REQUIRES(mutex_) {  // Needs identity, so that what is acknowledged can be served.
    xds::AdsClientOptions options;
    options.node.id = settings_.node_id;
    options.node.cluster = settings_.cluster;
    options.node.user_agent = role_.program() + "/" + std::string(kVersion);
    options.node.region = settings_.region;
    options.node.zone = settings_.zone;
    options.node.features = {std::string(dialect::kFeatureVhds), std::string(xds::kFeatureHeartbeat)};
    for (const std::string_view type :
         {xds::kCluster, xds::kEndpoints, xds::kListener, xds::kRoute, xds::kVirtualHost, xds::kSecret}) {
      options.types.emplace_back(type);
    }
    if (preload_) options.preload = *preload_;
    options.clock = &clock_;
    ads_ = std::make_shared<xds::AdsClient>(*this, std::move(options));
    for (const auto& [type, name] : held_) ads_->Resubscribe(type, {name});
    ads_->Start();
  }

  rpc::ChannelOptions Channel() override {
    auto channel = settings_.AgentChannel();
    return channel.ok() ? std::move(channel).value() : NoToken();
  }

  rpc::ChannelOptions NoToken() const {  // The agent will refuse it and the client tries again.
    rpc::ChannelOptions options;
    options.target = settings_.agent;
    options.peer = settings_.AgentRule();
    return options;
  }

  void OnUpdate(const xds::Update& update) override {
    configurator_.Apply(update.view, [this, update](Configurator::Outcome outcome) { Decide(update, outcome); });
  }

  // Each resource is judged by itself: the NACK names those that are bad and those that are held, the others run.
  void Decide(const xds::Update& update, const Configurator::Outcome& outcome) {
    const auto client = Client();
    std::vector<std::string> bad, held;
    std::vector<proxy::Refusal> own;
    for (const proxy::Refusal& refusal : outcome.refused) {
      const bool ours = refusal.type_url == update.type_url &&
                        std::find(update.changed.begin(), update.changed.end(), refusal.name) != update.changed.end();
      if (!ours) continue;
      (refusal.held ? held : bad).push_back(refusal.name);
      own.push_back(refusal);
    }
    const std::string reason = outcome.status.ok() ? ReasonOf(own) : outcome.status.error().message;
    if (outcome.status.ok() && own.empty())
      client->Accept(update.id);
    else
      client->Reject(update.id, reason, bad, held);
    obs::Log(reason.empty() ? Level::kDebug : Level::kError,
             reason.empty() ? "configuration served" : "configuration refused",
             {{"type", update.type_url}, {"reason", reason}});
    if (settings_.said_roots->Set(configurator_.RootsInUse())) keeper_.RootsChanged();
    if (configurator_.LeafEnded()) keeper_.RenewNow();
    MutexLock lock(mutex_);
    ++(reason.empty() ? facts_.updates_served : facts_.updates_refused);
    if (!reason.empty()) facts_.last_refusal = reason;
    wake_.NotifyAll();  // A refusal may be the last answer that the writer waits for.
    if (!outcome.status.ok()) return;
    std::vector<std::string> answered = update.changed;
    answered.insert(answered.end(), update.removed.begin(), update.removed.end());
    Remember(outcome.refused, answered);
    dirty_ = true;
  }

  // What is held now and what was before; the agent is asked again for what has changed sides, so that it
  // hears an answer, but for `answered`, of which it just hears.
  void Remember(const std::vector<proxy::Refusal>& refused, const std::vector<std::string>& answered)
      WEIR_REQUIRES(mutex_) {
    std::set<std::pair<std::string, std::string>> now;
    for (const proxy::Refusal& refusal : refused) {
      if (refusal.held) now.emplace(refusal.type_url, refusal.name);
    }
    std::map<std::string, std::vector<std::string>> ask;
    const auto note = [&](const std::set<std::pair<std::string, std::string>>& in,
                          const std::set<std::pair<std::string, std::string>>& not_in) {
      for (const auto& [type, name] : in) {
        const bool said = std::find(answered.begin(), answered.end(), name) != answered.end();
        if (!said && !not_in.contains({type, name})) ask[type].push_back(name);
      }
    };
    note(now, held_);
    note(held_, now);
    held_ = std::move(now);
    if (ads_ == nullptr) return;  // Connect asks.
    for (const auto& [type, names] : ask) ads_->Resubscribe(type, names);
  }

  // Ports that somebody else held: outside of every worker, by the writer's thread.
  void RetryPorts() {
    std::promise<void> tried;
    configurator_.Retry([&](const Configurator::Outcome& outcome) {
      {
        MutexLock lock(mutex_);
        if (outcome.status.ok()) Remember(outcome.refused, {});
      }
      tried.set_value();
    });
    tried.get_future().wait();
  }

  void OnState(bool connected, const std::string& reason) override {
    obs::Log(connected ? Level::kInfo : Level::kWarn, connected ? "connected to the agent" : "agent lost",
             {{"agent", settings_.agent}, {"reason", reason}});
    MutexLock lock(mutex_);
    facts_.connected = connected;
  }

  // Last-good is whole; what comes from the agent is whole once it has answered every type.
  bool Whole() const WEIR_REQUIRES(mutex_) { return preload_ || (ads_ && ads_->Complete()); }

  std::shared_ptr<xds::AdsClient> Client() const {
    MutexLock lock(mutex_);
    return ads_;
  }

  // Opens the stream once there is an identity; then writes what was acknowledged, outside of every worker.
  void WriteLastGoodLoop() {
    // The longest that a change waits to be written, and on a disk that took nothing.
    constexpr Duration kLastGoodPause = std::chrono::seconds(1), kRewritePause = std::chrono::seconds(5);
    Duration took{};
    std::chrono::milliseconds retry = kFirstRetry;
    MutexLock lock(mutex_);
    while (true) {
      // The state_dir is the predecessor's until it has gone; and half of a first configuration is not good.
      const auto due = [this]() WEIR_REQUIRES(mutex_) { return dirty_ && !taking_over_ && Whole(); };
      const auto news = [&]() WEIR_REQUIRES(mutex_) { return stopped_ || due() || (identified_ && !ads_); };
      if (engine_.Unbound().empty()) {
        retry = kFirstRetry;
        wake_.Wait(mutex_, [&]() WEIR_REQUIRES(mutex_) { return news() || !engine_.Unbound().empty(); });
      } else if (!WaitFor(clock_, wake_, mutex_, retry, news)) {
        retry = std::min(2 * retry, kLongestRetry);
        lock.Unlock();
        RetryPorts();
        lock.Lock();
        continue;
      }
      if (stopped_ && !due()) return;
      if (!ads_ && identified_ && !stopped_) Connect();
      if (!due()) continue;
      // A large one takes its time: at most a tenth of ours goes there, and what is coming right behind goes first.
      const Duration pause = unwritten_.empty() ? std::min<Duration>(10 * took, kLastGoodPause) : kRewritePause;
      if (!stopped_) WaitFor(clock_, wake_, mutex_, pause, [this]() WEIR_REQUIRES(mutex_) { return stopped_; });
      dirty_ = false;
      lock.Unlock();
      const MonoTime begun = clock_.Now();
      const Status written = WriteLastGood(*Client());
      took = clock_.Now() - begun;
      lock.Lock();
      const bool first = !written.ok() && unwritten_.empty();
      unwritten_ = written.ok() ? "" : written.error().ToString();
      if (first) obs::Log(Level::kError, "last-good is not written", {{"error", unwritten_}});
      dirty_ = dirty_ || (!written.ok() && !stopped_);
    }
  }

  Status WriteLastGood(const xds::AdsClient& client) {
    const xds::SnapshotPtr accepted = client.Accepted();
    if (accepted == nullptr || accepted->Count() == 0) return {};
    return xds::WriteLastGood(LastGoodPath(), *accepted, settings_.node_id, clock_.Wall());
  }

  std::string LastGoodPath() const { return settings_.state_dir + "/last-good"; }

  Report Collect() const {
    Report report;
    const auto client = Client();
    {
      MutexLock lock(mutex_);
      report = facts_;
    }
    report.program = role_.program();
    report.settings = &settings_;
    report.waiting = configurator_.Waiting();
    for (std::string& unserved : configurator_.Unserved()) report.waiting.push_back(std::move(unserved));
    const Status ready = Ready();
    report.not_ready = ready.ok() ? "" : ready.error().message;
    if (client) report.accepted = client->Accepted();
    return report;
  }
  std::string ReportNow() const { return ToJson(Collect()); }
  std::string Metrics() {
    std::string out = metrics_.Render();
    AppendMetrics(out, Collect());
    return out;
  }

  const Settings settings_;
  Role& role_;
  const Clock& clock_;
  proxy::Engine engine_;
  Configurator configurator_;
  obs::Metrics metrics_;
  std::unique_ptr<admin::Door> admin_;
  std::unique_ptr<admin::Door> probes_;

  mutable Mutex mutex_;
  CondVar wake_;
  std::shared_ptr<xds::AdsClient> ads_ WEIR_GUARDED_BY(mutex_);
  xds::SnapshotPtr preload_ WEIR_GUARDED_BY(mutex_);
  Report facts_ WEIR_GUARDED_BY(mutex_);
  std::set<std::pair<std::string, std::string>> held_ WEIR_GUARDED_BY(mutex_);  // Type, name: Configurator::Outcome.
  bool identified_ WEIR_GUARDED_BY(mutex_) = false;
  bool dirty_ WEIR_GUARDED_BY(mutex_) = false;
  std::string unwritten_ WEIR_GUARDED_BY(mutex_);  // Why the last try to write last-good failed; "" = it did not.
  bool stopped_ WEIR_GUARDED_BY(mutex_) = false;
  bool draining_ WEIR_GUARDED_BY(mutex_) = false;
  bool drain_waited_ WEIR_GUARDED_BY(mutex_) = false;
  std::atomic<bool> taking_over_ = false;
  std::atomic<bool> drain_asked_ = false;
  std::atomic<bool> handed_over_ = false;
  std::unique_ptr<Predecessor> predecessor_;  // While we take over.
  net::Fd lock_;                              // Of the state_dir.
  std::unique_ptr<HandoverDoor> handover_;
  std::thread writer_;
  IdentityKeeper keeper_;
  LoadReports load_reports_{settings_, *this, clock_};
};

Gateway::Gateway(std::unique_ptr<State> state) : state_(std::move(state)) {}
Gateway::~Gateway() = default;

Result<std::unique_ptr<Gateway>> Gateway::Start(Settings settings, Role& role, const Clock& clock) {
  auto state = std::make_unique<State>(std::move(settings), role, clock);
  WEIR_TRY(state->Start());
  return std::unique_ptr<Gateway>(new Gateway(std::move(state)));
}

Status Gateway::Ready() const { return state_->Ready(); }
bool Gateway::HandedOver() const { return state_->HandedOver(); }
void Gateway::Drain() { state_->Drain(); }
bool Gateway::DrainAsked() const { return state_->DrainAsked(); }
proxy::Engine& Gateway::engine() { return state_->engine(); }
std::string Gateway::admin_address() const { return state_->admin_address(); }

}  // namespace weir::gateway
