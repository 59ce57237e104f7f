#include "libs/proxy/engine.h"

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "libs/obs/log.h"
#include "libs/obs/metrics.h"
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
  sum.upstream_connections += part.upstream_connections;
  sum.upstream_connect_failures += part.upstream_connect_failures;
  sum.upstream_failures += part.upstream_failures;
  sum.retries += part.retries;
  sum.tls_failures += part.tls_failures;
  sum.identity_refused += part.identity_refused;
}

using Answers = std::map<std::tuple<std::string, std::string, int>, uint64_t>;
struct Gathered {
  std::mutex mutex;
  std::condition_variable arrived;
  size_t missing = 0;
  Stats stats;
  Answers answers;
};

void Collect(Worker& worker, Gathered& into) {
  std::lock_guard lock(into.mutex);
  Stats stats = worker.stats;
  stats.connections_open = worker.open();
  stats.requests_in_flight = worker.in_flight();
  Add(into.stats, stats);
  for (const auto& counters : worker.counters()) {
    for (const auto& [code, count] : counters->codes) into.answers[{counters->host, counters->cluster, code}] += count;
  }
  --into.missing;
  into.arrived.notify_all();
}

// Calls `done` once: OK after every worker has arrived, CANCELLED when one cannot any more because of Stop.
class Everybody {
 public:
  Everybody(size_t workers, Engine::Done done) : missing_(workers), done_(std::move(done)) {}
  ~Everybody() {
    if (done_ && missing_ > 0) done_(Cancelled("STOPPED", "the engine was stopped"));
  }
  void Arrive() {
    if (--missing_ == 0 && done_) done_(Status());
  }

 private:
  std::atomic<size_t> missing_;
  Engine::Done done_;
};

}  // namespace

class Engine::Core {
 public:
  Options options;
  std::vector<std::unique_ptr<Worker>> workers;
  std::vector<std::thread> threads;
  mutable std::mutex mutex;  // Below; never held while a callback runs.
  std::shared_ptr<const Plan> plan;
  TextMap<uint16_t> ports;  // By listener key.
  bool running = false;
  TextMap<bool> ours;  // Keys served at some time: their sockets may still be closing.
  std::shared_ptr<const net::TlsIdentity> identity;

  Status Start(Options wanted);
  void Stop();
  Result<std::vector<std::vector<std::pair<std::string, net::Fd>>>> OpenSockets(const Plan& next);
  Status Apply(std::shared_ptr<const Snapshot> snapshot, const Done& done);
  std::shared_ptr<Gathered> Gather() const;
};

Status Engine::Core::Start(Options wanted) {
  if (wanted.workers < 1 || wanted.workers > kMaxWorkers) {
    return InvalidArgument("BAD_OPTIONS", "workers is {}, must be 1 to {}", wanted.workers, kMaxWorkers);
  }
  options = std::move(wanted);
  for (unsigned i = 0; i < options.workers; ++i) {
    WEIR_ASSIGN(auto worker, Worker::New(options));
    worker->SetIdentity(identity);
    workers.push_back(std::move(worker));
  }
  try {
    for (auto& worker : workers) threads.emplace_back([loop = &worker->loop()] { loop->Run(); });
  } catch (const std::exception& error) {
    Stop();
    return Internal("NO_THREAD", "cannot start a worker: {}", error.what());
  }
  running = true;
  return {};
}

void Engine::Core::Stop() {
  {
    std::lock_guard lock(mutex);
    running = false;
  }
  for (auto& worker : workers) worker->loop().Stop();
  for (auto& thread : threads) thread.join();
  threads.clear();
}

// Sockets for the keys that are not served yet: one per worker each, all or none.
Result<std::vector<std::vector<std::pair<std::string, net::Fd>>>> Engine::Core::OpenSockets(const Plan& next) {
  std::vector<std::vector<std::pair<std::string, net::Fd>>> opened(workers.size());
  TextMap<uint16_t> fresh;
  for (const auto& [key, listener] : next.listeners) {
    if (plan != nullptr && plan->listeners.contains(key)) {
      fresh[key] = ports[key];
      continue;
    }
    net::Address address = listener->address;
    if (address.port() != 0 && !ours.contains(key)) WEIR_TRY(net::ProbeAddress(address));
    for (auto& sockets : opened) {
      WEIR_ASSIGN(net::Fd fd, net::ListenShared(address));
      if (address.port() == 0) {
        WEIR_ASSIGN(const uint16_t port, net::BoundPort(fd.get()));
        WEIR_ASSIGN(address, net::Address::Parse(listener->source->address, port));
      }
      sockets.emplace_back(key, std::move(fd));
    }
    fresh[key] = address.port();
  }
  ports = std::move(fresh);
  for (const auto& [key, port] : ports) ours[key] = true;
  return opened;
}

Status Engine::Core::Apply(std::shared_ptr<const Snapshot> snapshot, const Done& done) {
  std::lock_guard lock(mutex);
  if (!running) return FailedPrecondition("NOT_RUNNING", "the engine does not run");
  WEIR_ASSIGN(const std::shared_ptr<const Plan> next, Plan::Build(std::move(snapshot), plan.get()));
  WEIR_ASSIGN(auto opened, OpenSockets(*next));
  plan = next;
  const auto all = std::make_shared<Everybody>(workers.size(), done);
  for (size_t i = 0; i < workers.size(); ++i) {
    // std::function must be copyable, so the sockets travel in a shared box.
    auto box = std::make_shared<std::vector<std::pair<std::string, net::Fd>>>(std::move(opened[i]));
    workers[i]->loop().Post([worker = workers[i].get(), next, box, all] {
      worker->Swap(next, std::move(*box));
      all->Arrive();
    });
  }
  return {};
}

std::shared_ptr<Gathered> Engine::Core::Gather() const {
  auto gathered = std::make_shared<Gathered>();
  std::unique_lock lock(mutex);
  gathered->missing = workers.size();
  if (threads.empty() || !running) {
    for (const auto& worker : workers) Collect(*worker, *gathered);
    return gathered;
  }
  for (const auto& worker : workers) {
    worker->loop().Post([worker = worker.get(), gathered] { Collect(*worker, *gathered); });
  }
  lock.unlock();
  std::unique_lock wait(gathered->mutex);
  gathered->arrived.wait_for(wait, kGatherTimeout, [&] { return gathered->missing == 0; });
  return gathered;
}

Engine::Engine() : core_(std::make_unique<Core>()) {}
Engine::~Engine() { Stop(); }

Status Engine::Start(Options options) { return core_->Start(std::move(options)); }
void Engine::Stop() { core_->Stop(); }

void Engine::Apply(std::shared_ptr<const Snapshot> snapshot, Done done) {
  const Status status = core_->Apply(std::move(snapshot), done);
  if (!status.ok() && done) done(status);
}

Status Engine::SetIdentity(const Identity& identity) {
  WEIR_ASSIGN(const auto tls, net::TlsIdentity::New(identity.certificate_chain, identity.private_key, identity.roots));
  std::lock_guard lock(core_->mutex);
  core_->identity = tls;
  for (auto& worker : core_->workers) {
    worker->loop().Post([worker = worker.get(), tls] { worker->SetIdentity(tls); });
  }
  return {};
}

void Engine::Drain(std::function<void()> done) {
  std::lock_guard lock(core_->mutex);
  const auto all = std::make_shared<Everybody>(core_->workers.size(), [done = std::move(done)](const Status&) {
    if (done) done();
  });
  for (auto& worker : core_->workers) {
    worker->loop().Post([worker = worker.get(), all] { worker->Drain([all] { all->Arrive(); }); });
  }
}

uint16_t Engine::Port(const std::string& listener) const {
  std::lock_guard lock(core_->mutex);
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
  std::lock_guard lock(gathered->mutex);
  return gathered->stats;
}

void Engine::RenderMetrics(std::string& out) const {
  const auto gathered = core_->Gather();
  std::lock_guard lock(gathered->mutex);
  const Stats& stats = gathered->stats;
  obs::AppendFamily(out, "weir_traffic_requests_total", "counter", "Requests answered, by host, cluster and status.");
  for (const auto& [key, count] : gathered->answers) {
    obs::AppendSample(
        out, "weir_traffic_requests_total",
        {{"host", std::get<0>(key)}, {"cluster", std::get<1>(key)}, {"code", std::to_string(std::get<2>(key))}},
        static_cast<double>(count));
  }
  const auto one = [&out](std::string_view name, std::string_view type, std::string_view help, uint64_t value) {
    obs::AppendFamily(out, name, type, help);
    obs::AppendSample(out, name, {}, static_cast<double>(value));
  };
  one("weir_proxy_connections_accepted_total", "counter", "Connections of callers taken.", stats.connections_accepted);
  one("weir_proxy_connections_open", "gauge", "Connections of callers now.", stats.connections_open);
  one("weir_proxy_bad_requests_total", "counter", "Requests refused as malformed.", stats.bad_requests);
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
