#include "libs/proxy/engine.h"

#include <algorithm>
#include <atomic>
#include <future>
#include <iterator>
#include <map>
#include <optional>
#include <thread>

#include "libs/base/descriptors.h"
#include "libs/base/mutex.h"
#include "libs/obs/log.h"
#include "libs/obs/metrics.h"
#include "libs/proxy/everybody.h"
#include "libs/proxy/health.h"
#include "libs/proxy/shares.h"
#include "libs/proxy/worker.h"

namespace weir::proxy {
namespace {

constexpr unsigned kMaxWorkers = 64;
constexpr std::chrono::seconds kGatherTimeout{1};

void Add(Stats& sum, const Stats& part) {
  sum.connections_accepted += part.connections_accepted;
  sum.connections_open += part.connections_open;
  sum.requests += part.requests;
  sum.requests_in_flight += part.requests_in_flight;
  sum.bad_requests += part.bad_requests;
  sum.underscores_refused += part.underscores_refused;
  sum.upstream_connections += part.upstream_connections;
  sum.upstream_connect_failures += part.upstream_connect_failures;
  sum.upstream_failures += part.upstream_failures;
  sum.retries += part.retries;
  sum.tls_failures += part.tls_failures;
  sum.identity_refused += part.identity_refused;
}

using OpenedSockets = std::vector<std::vector<std::pair<std::string, net::Fd>>>;  // By worker: key, socket.

using Answers = std::map<std::tuple<std::string, std::string, int>, uint64_t>;
struct Gathered {
  explicit Gathered(size_t workers) : missing(workers) {}
  Mutex mutex;
  CondVar arrived;
  size_t missing WEIR_GUARDED_BY(mutex);
  Stats stats WEIR_GUARDED_BY(mutex);
  Answers answers WEIR_GUARDED_BY(mutex);
  ShareCounts shares WEIR_GUARDED_BY(mutex);
  HealthBySet health WEIR_GUARDED_BY(mutex);  // As worker 0 knows it.
};

void Collect(Worker& worker, bool with_health, Gathered& into) {
  MutexLock lock(into.mutex);
  Stats stats = worker.stats;
  stats.connections_open = worker.open();
  stats.requests_in_flight = worker.in_flight();
  Add(into.stats, stats);
  for (const auto& counters : worker.counters()) {
    for (const auto& [code, count] : counters->codes) into.answers[{counters->host, counters->cluster, code}] += count;
    if (counters->set.empty()) continue;
    ShareCount& share = into.shares[{counters->set, counters->host, counters->cluster}];
    for (const auto& [code, count] : counters->codes) {
      share.requests += count;
      if (code >= 500) share.errors += count;
    }
    share.recent += counters->Recent(worker.loop().now_ms());
  }
  if (with_health) into.health = worker.health();
  --into.missing;
  into.arrived.NotifyAll();
}

}  // namespace

class Engine::Core {
 public:
  Options options;
  std::vector<std::unique_ptr<Worker>> workers;
  std::vector<std::thread> threads;                           // Of Start and Stop.
  mutable Mutex mutex;                                        // Never held while a callback runs.
  std::shared_ptr<const Plan> plan WEIR_GUARDED_BY(mutex);    // Served; has what stays for what cannot be opened, too.
  std::shared_ptr<const Plan> wanted WEIR_GUARDED_BY(mutex);  // Of the newest snapshot.
  TextMap<uint16_t> ports WEIR_GUARDED_BY(mutex);             // By listener key: those that are open.
  std::map<std::string, UnboundListener> unbound WEIR_GUARDED_BY(mutex);  // By key.
  bool running WEIR_GUARDED_BY(mutex) = false;
  bool at_rest WEIR_GUARDED_BY(mutex) = true;  // No thread of a worker is left: what they know is read from here.
  TextMap<bool> ours WEIR_GUARDED_BY(mutex);   // Keys served at some time: their sockets may still be closing.
  std::shared_ptr<const net::TlsIdentity> identity WEIR_GUARDED_BY(mutex);
  TextMap<std::vector<net::Fd>> inherited WEIR_GUARDED_BY(mutex);  // By key; not used yet.
  bool held WEIR_GUARDED_BY(mutex) = false;

  Status Start(Options own, std::vector<ListeningSocket> sockets);
  Status Open();
  Result<std::vector<ListeningSocket>> ExportSockets();
  void Drain(bool handed_over, const std::function<void()>& accepting_ended, std::function<void()> done);
  Status OpenOne(const std::string& key, const PlannedListener& listener, OpenedSockets& opened, uint16_t& port)
      WEIR_REQUIRES(mutex);
  void Serve(const std::shared_ptr<const Plan>& next, OpenedSockets opened, const Done& done) WEIR_REQUIRES(mutex);
  void Stop();
  OpenedSockets OpenSockets() WEIR_REQUIRES(mutex);
  void Realize(const Done& done) WEIR_REQUIRES(mutex);
  void OpenMissing(Done done);
  Status Apply(std::shared_ptr<const Snapshot> snapshot, const Done& done);
  std::shared_ptr<Gathered> Gather() const;
  std::vector<ShareReport> Shares(const Gathered& gathered) WEIR_REQUIRES(gathered.mutex);
  template <typename Answer>
  std::optional<Answer> AskJudge(std::function<Answer(Worker&)> ask) const;
  std::vector<SetHealthReport> Health() const;
  HealthChanges TakeHealthChanges(bool whole);
  bool news_missed = false;  // What was taken from the judge did not arrive: everything is asked for.

  Mutex watch_mutex;
  ShareWatch watch WEIR_GUARDED_BY(watch_mutex);
};

Status Engine::Core::Start(Options own, std::vector<ListeningSocket> sockets) {
  if (own.workers < 1 || own.workers > kMaxWorkers) {
    return InvalidArgument("BAD_OPTIONS", "workers is {}, must be 1 to {}", own.workers, kMaxWorkers);
  }
  options = std::move(own);
  RaiseDescriptorLimit();
  MutexLock lock(mutex);
  held = options.hold;
  for (ListeningSocket& socket : sockets) inherited[socket.key].push_back(std::move(socket.fd));
  for (unsigned i = 0; i < options.workers; ++i) {
    WEIR_ASSIGN(auto worker, Worker::New(options));
    worker->SetIdentity(identity);
    workers.push_back(std::move(worker));
  }
  at_rest = false;
  lock.Unlock();
  workers.front()->StartHealth([this](const std::shared_ptr<const HealthUpdate>& update) {
    for (auto& worker : workers) worker->loop().Post([worker = worker.get(), update] { worker->TakeHealth(update); });
  });
  for (auto& worker : workers) worker->ReportTo(*workers.front());
  try {
    for (auto& worker : workers) threads.emplace_back([loop = &worker->loop()] { loop->Run(); });
  } catch (const std::exception& error) {
    Stop();
    return Internal("NO_THREAD", "cannot start a worker: {}", error.what());
  }
  lock.Lock();
  running = true;
  return {};
}

void Engine::Core::Stop() {
  {
    MutexLock lock(mutex);
    running = false;
  }
  for (auto& worker : workers) worker->loop().Stop();
  for (auto& thread : threads) thread.join();
  threads.clear();
  MutexLock lock(mutex);
  at_rest = true;
}

// One socket per worker at least. Those of a predecessor are all taken, for each has a queue of its own; a worker may
// have several of them.
Status Engine::Core::OpenOne(const std::string& key, const PlannedListener& listener, OpenedSockets& opened,
                             uint16_t& port) {
  net::Address address = listener.address;
  size_t taken = 0;
  if (const auto found = inherited.find(key); found != inherited.end()) {
    for (net::Fd& fd : found->second) {
      if (address.port() == 0) {
        WEIR_ASSIGN(const uint16_t bound, net::BoundPort(fd.get()));
        WEIR_ASSIGN(address, net::Address::Parse(listener.source->address, bound));
      }
      WEIR_ASSIGN(net::Fd copy, net::Duplicate(fd.get()));
      opened[taken++ % opened.size()].emplace_back(key, std::move(copy));
    }
  } else if (address.port() != 0 && !ours.contains(key)) {
    WEIR_TRY(net::ProbeAddress(address));
  }
  for (size_t i = taken; i < opened.size(); ++i) {
    WEIR_ASSIGN(net::Fd fd, net::ListenShared(address));
    if (address.port() == 0) {
      WEIR_ASSIGN(const uint16_t bound, net::BoundPort(fd.get()));
      WEIR_ASSIGN(address, net::Address::Parse(listener.source->address, bound));
    }
    opened[i].emplace_back(key, std::move(fd));
  }
  port = address.port();
  return {};
}

// Sockets for what is wanted and not open yet. Each is judged by itself.
OpenedSockets Engine::Core::OpenSockets() {
  OpenedSockets opened(workers.size());
  unbound.clear();
  for (const auto& [key, listener] : wanted->listeners) {
    if (ports.contains(key)) continue;
    OpenedSockets own(workers.size());  // All or none of one listener.
    uint16_t port = 0;
    const Status status = OpenOne(key, *listener, own, port);
    if (!status.ok()) {
      const Listener& source = *listener->source;
      unbound[key] = {source.resource.empty() ? source.name : source.resource, key, status.error()};
      continue;
    }
    ports[key] = port;
    ours[key] = true;
    inherited.erase(key);
    for (size_t i = 0; i < own.size(); ++i) {
      std::move(own[i].begin(), own[i].end(), std::back_inserter(opened[i]));
    }
  }
  return opened;
}

// Opens what is missing and serves what is wanted; what a listener that cannot be opened served before, stays.
void Engine::Core::Realize(const Done& done) {
  OpenedSockets opened = OpenSockets();
  auto next = std::make_shared<Plan>(*wanted);
  for (const auto& [key, missing] : unbound) next->listeners.erase(key);
  if (plan != nullptr) {
    for (const auto& [key, listener] : plan->listeners) {
      const Listener& source = *listener->source;
      const std::string& resource = source.resource.empty() ? source.name : source.resource;
      const bool waits = std::any_of(unbound.begin(), unbound.end(),
                                     [&](const auto& missing) { return missing.second.resource == resource; });
      if (waits) next->listeners.emplace(key, listener);  // Unless the address serves somebody else now.
    }
  }
  std::erase_if(ports, [&](const auto& port) { return !next->listeners.contains(port.first); });
  Serve(next, std::move(opened), done);
}

void Engine::Core::OpenMissing(Done done) {
  MutexLock lock(mutex);
  if (running && !held && !unbound.empty()) return Realize(done);
  lock.Unlock();
  if (done) done({});
}

void Engine::Core::Serve(const std::shared_ptr<const Plan>& next, OpenedSockets opened, const Done& done) {
  plan = next;
  const auto all = std::make_shared<Everybody>(workers.size(), done);
  for (size_t i = 0; i < workers.size(); ++i) {
    // std::function must be copyable, so the sockets travel in a shared box.
    auto box = std::make_shared<std::vector<std::pair<std::string, net::Fd>>>(std::move(opened[i]));
    workers[i]->loop().Post([worker = workers[i].get(), next, box, all] {
      worker->ServePlan(next, std::move(*box));
      all->Arrive();
    });
  }
}

Status Engine::Core::Apply(std::shared_ptr<const Snapshot> snapshot, const Done& done) {
  MutexLock lock(mutex);
  if (!running) return FailedPrecondition("NOT_RUNNING", "the engine does not run");
  WEIR_ASSIGN(wanted, Plan::Build(std::move(snapshot), plan.get()));
  if (held)
    Serve(wanted, OpenedSockets(workers.size()), done);
  else
    Realize(done);
  return {};
}

Status Engine::Core::Open() {
  MutexLock lock(mutex);
  if (!held) return {};
  if (wanted == nullptr) return FailedPrecondition("NOT_CONFIGURED", "there is no configuration to open listeners of");
  held = false;
  plan = nullptr;  // Nothing of it was open.
  Realize(nullptr);
  inherited.clear();
  return {};
}

Result<std::vector<ListeningSocket>> Engine::Core::ExportSockets() {
  struct Box {
    explicit Box(size_t workers) : missing(workers) {}
    Mutex mutex;
    CondVar arrived;
    size_t missing WEIR_GUARDED_BY(mutex);
    std::vector<ListeningSocket> sockets WEIR_GUARDED_BY(mutex);
  };
  const auto box = std::make_shared<Box>(workers.size());
  for (const auto& worker : workers) {
    worker->loop().Post([worker = worker.get(), box] {
      auto exported = worker->ExportSockets();
      MutexLock lock(box->mutex);
      for (auto& [key, fd] : exported) box->sockets.push_back({key, std::move(fd)});
      --box->missing;
      box->arrived.NotifyAll();
    });
  }
  MutexLock wait(box->mutex);
  if (!box->arrived.WaitRealTime(box->mutex, kGatherTimeout,
                                 [&]() WEIR_REQUIRES(box->mutex) { return box->missing == 0; })) {
    return Unavailable("WORKER_BUSY", "a worker did not answer within a second");
  }
  return std::move(box->sockets);
}

void Engine::Core::Drain(bool handed_over, const std::function<void()>& accepting_ended, std::function<void()> done) {
  MutexLock lock(mutex);
  const auto told = [](std::function<void()> whom) {
    return [whom = std::move(whom)](const Status&) {
      if (whom) whom();
    };
  };
  const auto ended = std::make_shared<Everybody>(workers.size(), told(accepting_ended));
  const auto all = std::make_shared<Everybody>(workers.size(), told(std::move(done)));
  for (auto& worker : workers) {
    worker->loop().Post([worker = worker.get(), handed_over, ended, all] {
      worker->Drain(handed_over, [all] { all->Arrive(); });
      ended->Arrive();
    });
  }
}

std::shared_ptr<Gathered> Engine::Core::Gather() const {
  auto gathered = std::make_shared<Gathered>(workers.size());
  MutexLock lock(mutex);
  if (at_rest) {
    for (const auto& worker : workers) Collect(*worker, worker == workers.front(), *gathered);
  }
  if (!running) return gathered;
  for (const auto& worker : workers) {
    worker->loop().Post(
        [worker = worker.get(), first = worker == workers.front(), gathered] { Collect(*worker, first, *gathered); });
  }
  lock.Unlock();
  MutexLock wait(gathered->mutex);
  gathered->arrived.WaitRealTime(gathered->mutex, kGatherTimeout,
                                 [&]() WEIR_REQUIRES(gathered->mutex) { return gathered->missing == 0; });
  return gathered;
}

std::vector<ShareReport> Engine::Core::Shares(const Gathered& gathered) {
  std::shared_ptr<const Plan> now;
  {
    MutexLock lock(mutex);
    now = plan;
  }
  if (now == nullptr) return {};
  auto shares = SharesOf(*now->snapshot, gathered.shares, gathered.health);
  MutexLock lock(watch_mutex);
  watch.FindDeviations(shares, net::MonoMs(*options.clock));
  return shares;
}

template <typename Answer>
std::optional<Answer> Engine::Core::AskJudge(std::function<Answer(Worker&)> ask) const {
  const auto answer = std::make_shared<std::promise<Answer>>();
  {
    MutexLock lock(mutex);
    if (!running) return std::nullopt;
    Worker* judging = workers.front().get();
    judging->loop().Post([judging, answer, ask = std::move(ask)] { answer->set_value(ask(*judging)); });
  }
  auto arrived = answer->get_future();
  if (arrived.wait_for(kGatherTimeout) != std::future_status::ready) return std::nullopt;
  return arrived.get();
}

std::vector<SetHealthReport> Engine::Core::Health() const {
  auto reports = AskJudge<std::vector<SetHealthReport>>([](Worker& worker) { return worker.HealthReport(); });
  return reports ? std::move(*reports) : std::vector<SetHealthReport>();
}

// In slices: the judge's worker has requests to serve.
HealthChanges Engine::Core::TakeHealthChanges(bool whole) {
  constexpr size_t kSetsAtOnce = 256;
  whole = std::exchange(news_missed, true) || whole;
  HealthChanges news;
  news.whole = whole;
  auto changes = AskJudge<proxy::Health::Changes>([whole](Worker& worker) {
    return worker.judge() == nullptr ? proxy::Health::Changes() : worker.judge()->TakeChanges(whole);
  });
  if (!changes) return {};
  for (size_t from = 0; from < changes->judged.size(); from += kSetsAtOnce) {
    const size_t to = std::min(from + kSetsAtOnce, changes->judged.size());
    std::vector<std::string> names(changes->judged.begin() + static_cast<std::ptrdiff_t>(from),
                                   changes->judged.begin() + static_cast<std::ptrdiff_t>(to));
    auto reports = AskJudge<std::vector<SetHealthReport>>([names = std::move(names)](Worker& worker) {
      return worker.judge() == nullptr ? std::vector<SetHealthReport>() : worker.judge()->ReportOf(names);
    });
    if (!reports) return {};
    std::move(reports->begin(), reports->end(), std::back_inserter(news.sets));
  }
  news.gone = std::move(changes->gone);
  news.answered = true;
  news_missed = false;
  return news;
}

Engine::Engine() : core_(std::make_unique<Core>()) {}
Engine::~Engine() { Stop(); }

Status Engine::Start(Options options, std::vector<ListeningSocket> inherited) {
  return core_->Start(std::move(options), std::move(inherited));
}
void Engine::Stop() { core_->Stop(); }

void Engine::Apply(std::shared_ptr<const Snapshot> snapshot, Done done) {
  const Status status = core_->Apply(std::move(snapshot), done);
  if (!status.ok() && done) done(status);
}

Status Engine::SetIdentity(const Identity& identity) {
  WEIR_ASSIGN(const auto tls, net::TlsIdentity::New(identity.certificate_chain, identity.private_key, identity.roots,
                                                    identity.generations));
  MutexLock lock(core_->mutex);
  core_->identity = tls;
  for (auto& worker : core_->workers) {
    worker->loop().Post([worker = worker.get(), tls] { worker->SetIdentity(tls); });
  }
  return {};
}

void Engine::Drain(std::function<void()> done) { core_->Drain(false, nullptr, std::move(done)); }
void Engine::DrainHandedOver(std::function<void()> accepting_ended) { core_->Drain(true, accepting_ended, nullptr); }
Result<std::vector<ListeningSocket>> Engine::ExportSockets() { return core_->ExportSockets(); }
Status Engine::Open() { return core_->Open(); }
void Engine::OpenMissing(Done done) { core_->OpenMissing(std::move(done)); }

std::vector<UnboundListener> Engine::Unbound() const {
  MutexLock lock(core_->mutex);
  std::vector<UnboundListener> out;
  for (const auto& [key, listener] : core_->unbound) out.push_back(listener);
  return out;
}

uint16_t Engine::Port(const std::string& listener) const {
  MutexLock lock(core_->mutex);
  if (core_->plan == nullptr) return 0;
  for (const auto& [key, planned] : core_->plan->listeners) {
    if (planned->source->name != listener) continue;
    const auto port = core_->ports.find(key);
    return port == core_->ports.end() ? 0 : port->second;
  }
  return 0;
}

Stats Engine::GetStats() const {
  const auto gathered = core_->Gather();
  MutexLock lock(gathered->mutex);
  return gathered->stats;
}

std::vector<ShareReport> Engine::Shares() const {
  const auto gathered = core_->Gather();
  MutexLock lock(gathered->mutex);
  return core_->Shares(*gathered);
}

std::vector<SetHealthReport> Engine::Health() const { return core_->Health(); }
HealthChanges Engine::TakeHealthChanges(bool whole) { return core_->TakeHealthChanges(whole); }

void Engine::RenderMetrics(std::string& out) const {
  const auto gathered = core_->Gather();
  MutexLock lock(gathered->mutex);
  const Stats stats = gathered->stats;
  obs::AppendFamily(out, "weir_traffic_requests_total", "counter", "Requests answered, by host, cluster and status.");
  for (const auto& [key, count] : gathered->answers) {
    obs::AppendSample(
        out, "weir_traffic_requests_total",
        {{"host", std::get<0>(key)}, {"cluster", std::get<1>(key)}, {"code", std::to_string(std::get<2>(key))}},
        static_cast<double>(count));
  }
  RenderShares(out, core_->Shares(*gathered));
  const auto one = [&out](std::string_view name, std::string_view type, std::string_view help, uint64_t value) {
    obs::AppendFamily(out, name, type, help);
    obs::AppendSample(out, name, {}, static_cast<double>(value));
  };
  one("weir_proxy_connections_accepted_total", "counter", "Connections of callers taken.", stats.connections_accepted);
  one("weir_proxy_connections_open", "gauge", "Connections of callers now.", stats.connections_open);
  one("weir_proxy_bad_requests_total", "counter", "Requests refused as malformed.", stats.bad_requests);
  one("weir_proxy_underscores_refused_total", "counter", "Requests refused for a '_' in the name of a header.",
      stats.underscores_refused);
  one("weir_proxy_upstream_connections_total", "counter", "Connections opened to endpoints.",
      stats.upstream_connections);
  one("weir_proxy_upstream_connect_failures_total", "counter", "Connections that could not be opened.",
      stats.upstream_connect_failures);
  one("weir_proxy_upstream_failures_total", "counter", "Exchanges that an endpoint broke off.",
      stats.upstream_failures);
  one("weir_proxy_retries_total", "counter", "Requests sent a second time elsewhere.", stats.retries);
  one("weir_proxy_tls_failures_total", "counter", "TLS handshakes that failed.", stats.tls_failures);
  one("weir_proxy_identity_refused_total", "counter", "Peers whose identity is not allowed.", stats.identity_refused);
}

}  // namespace weir::proxy
