#include "libs/proxy/upstream.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "libs/obs/log.h"
#include "libs/proxy/session.h"
#include "libs/proxy/worker.h"

namespace weir::proxy {
namespace {

constexpr uint32_t kFailuresInARow = 5;
}  // namespace

std::string EndpointKey(const Endpoint& endpoint) {
  return fmt::format("{} {} {}", endpoint.address, endpoint.port, endpoint.spiffe_id);
}

// The two lists have the same order but for the moment between two snapshots.
const LocalityHealth* HealthOf(const SetHealth* health, size_t index, const std::string& cluster) {
  if (health == nullptr) return nullptr;
  const auto& all = health->localities;
  if (index < all.size() && all[index].cluster == cluster) return &all[index];
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const LocalityHealth& one) { return one.cluster == cluster; });
  return found == all.end() ? nullptr : &*found;
}

std::vector<traffic::Candidate> CandidatesOf(const Cluster& cluster, const SetHealth* health) {
  std::vector<traffic::Candidate> candidates(cluster.localities.size());
  for (size_t i = 0; i < candidates.size(); ++i) {
    const Locality& locality = cluster.localities[i];
    candidates[i].weight = locality.weight;
    candidates[i].priority = locality.priority;
    candidates[i].can_serve = !locality.drained && !locality.endpoints.empty();
    if (const LocalityHealth* known = HealthOf(health, i, locality.cluster)) {
      candidates[i].can_serve = candidates[i].can_serve && known->can_serve;
      candidates[i].returning = known->returning;
    }
  }
  return candidates;
}

// ---- ClusterState

void ClusterState::Update(std::shared_ptr<const Cluster> cluster) {
  for (LocalityState& locality : localities_) locality.counters.clear();  // Keyed by pointers of the last plan.
  if (cluster == source_) return;
  const bool same_tls = source_ != nullptr && source_->tls == cluster->tls;
  std::shared_ptr<const net::TlsPeerRule> shared_rule;
  std::unordered_map<std::string, std::shared_ptr<Pool>> pools;
  std::vector<LocalityState> localities;
  for (const Locality& locality : cluster->localities) {
    LocalityState state;
    state.name = locality.cluster;
    for (const Endpoint& endpoint : locality.endpoints) {
      const std::string key = EndpointKey(endpoint);
      std::shared_ptr<Pool>& pool = pools[key];
      if (pool == nullptr) {
        if (const auto old = pools_.find(key); old != pools_.end() && same_tls) pool = old->second;
      }
      if (pool == nullptr) {
        auto address = net::Address::Parse(endpoint.address, endpoint.port);
        if (!address.ok()) {
          obs::Log(obs::Level::kWarn, "endpoint left out",
                   {{"cluster", cluster->name}, {"error", address.error().message}});
          pools.erase(key);
          continue;
        }
        pool = std::make_shared<Pool>();
        pool->endpoint = endpoint;
        pool->address = *address;
        if (cluster->tls && !endpoint.spiffe_id.empty()) {
          pool->rule = std::make_shared<const net::TlsPeerRule>(PeerRule(true, {{endpoint.spiffe_id, false}}));
        } else if (cluster->tls) {
          if (shared_rule == nullptr) {
            shared_rule = std::make_shared<const net::TlsPeerRule>(PeerRule(true, cluster->tls->allowed_uris));
          }
          pool->rule = shared_rule;
        }
        if (cluster->tls) pool->sni = cluster->tls->sni;
      }
      pool->connect_timeout_ms = static_cast<uint64_t>(std::max<int64_t>(1, cluster->connect_timeout.count()));
      state.pools.push_back(pool);
    }
    localities.push_back(std::move(state));
  }
  for (const auto& [key, pool] : pools_) {
    const auto kept = pools.find(key);
    if (kept != pools.end() && kept->second == pool) continue;
    pool->retired = true;
    while (!pool->idle.empty()) pool->idle.back()->Close();
  }
  pools_ = std::move(pools);
  localities_ = std::move(localities);
  source_ = std::move(cluster);
  ApplyHealth();
}

void ClusterState::Retire() {
  for (const auto& [key, pool] : pools_) {
    pool->retired = true;
    while (!pool->idle.empty()) pool->idle.back()->Close();
  }
}

std::vector<traffic::Candidate> ClusterState::Candidates() const {
  std::vector<traffic::Candidate> candidates = CandidatesOf(*source_, health_.get());
  bool any = false;
  for (size_t i = 0; i < localities_.size(); ++i) {
    candidates[i].can_serve = candidates[i].can_serve && !localities_[i].pools.empty() && !localities_[i].suspect;
    any |= candidates[i].can_serve;
  }
  // What only this worker has seen so far is a hint, not proof: when it would leave nobody, it is not followed.
  for (size_t i = 0; i < localities_.size() && !any; ++i) {
    if (!localities_[i].suspect) continue;
    const LocalityHealth* health = HealthOf(health_.get(), i, source_->localities[i].cluster);
    candidates[i].can_serve = !source_->localities[i].drained && (health == nullptr || health->can_serve);
  }
  return candidates;
}

std::vector<std::shared_ptr<Pool>> ClusterState::SetHealth(std::shared_ptr<const proxy::SetHealth> health) {
  std::vector<std::shared_ptr<Pool>> alive, died;
  for (const auto& [key, pool] : pools_) {
    if (!pool->dead) alive.push_back(pool);
  }
  health_ = std::move(health);
  ApplyHealth();
  for (auto& pool : alive) {
    if (pool->dead) died.push_back(std::move(pool));
  }
  return died;
}

// Worker 0 knows better than what an exchange here has taught.
void ClusterState::ApplyHealth() {
  for (const auto& [key, pool] : pools_) pool->out = pool->dead = false;
  if (health_ != nullptr) {
    for (const EndpointOut& out : health_->out) {
      const auto found = pools_.find(out.key);
      if (found == pools_.end()) continue;
      found->second->out = true;
      found->second->dead = out.dead;
    }
  }
  for (LocalityState& locality : localities_) locality.suspect = false;
  Reschedule();
}

void ClusterState::Reschedule() {
  const std::vector<traffic::Candidate> candidates = Candidates();
  schedule_.Update(source_->mode, candidates);
  instead_.resize(localities_.size());
  for (size_t out = 0; out < localities_.size(); ++out) {
    std::vector<traffic::Candidate> others = candidates;
    others[out].can_serve = false;
    instead_[out].Update(source_->mode, others);
  }
}

std::shared_ptr<Pool> ClusterState::NextPool(LocalityState& locality, const Pool* not_this) {
  std::shared_ptr<Pool> second_best;
  for (size_t i = 0; i < locality.pools.size(); ++i) {
    if (locality.next >= locality.pools.size()) locality.next = 0;
    const std::shared_ptr<Pool>& pool = locality.pools[locality.next++];
    if (pool.get() == not_this) continue;
    if (!pool->out) return pool;
    if (second_best == nullptr || (second_best->dead && !pool->dead)) second_best = pool;
  }
  return second_best;
}

Choice ClusterState::Pick() {
  const size_t index = schedule_.Next();
  if (index == traffic::QuotaSchedule::kNone) return {};
  return {index, NextPool(localities_[index], nullptr)};
}

Choice ClusterState::PickInstead(const Choice& failed) {
  // The cluster may have been updated since; then it is a choice like any other.
  if (failed.locality >= instead_.size()) return Pick();
  const size_t index = instead_[failed.locality].Next();
  if (index != traffic::QuotaSchedule::kNone) return {index, NextPool(localities_[index], nullptr)};
  return {failed.locality, NextPool(localities_[failed.locality], failed.pool.get())};
}

size_t ClusterState::LocalityOf(const Pool* pool) const {
  for (size_t i = 0; i < localities_.size(); ++i) {
    for (const auto& one : localities_[i].pools) {
      if (one.get() == pool) return i;
    }
  }
  return SIZE_MAX;
}

void ClusterState::Failed(Worker& worker, const Choice& choice, Failure failure) {
  if (choice.pool == nullptr || choice.pool->retired) return;
  Pool& pool = *choice.pool;
  ++pool.failures;
  const bool at_once = failure == Failure::kConnect || failure == Failure::kNobody;
  if (pool.out || (!at_once && pool.failures < kFailuresInARow)) return;
  worker.Saw({source_->name, EndpointKey(pool.endpoint), failure, pool.failures});
  pool.out = true;
  const size_t at = LocalityOf(&pool);
  if (at == SIZE_MAX) return;
  const auto& pools = localities_[at].pools;
  if (!std::all_of(pools.begin(), pools.end(), [](const auto& one) { return one->out; })) return;
  localities_[at].suspect = true;
  Reschedule();
}

Counters* ClusterState::CountersFor(Worker& worker, size_t locality, const traffic::VirtualHost* host) {
  auto& known = localities_[locality].counters;
  for (const auto& [key, counters] : known) {
    if (key == host) return counters;
  }
  Counters* counters = worker.CountersFor(source_->name, host->domains.empty() ? host->name : host->domains.front(),
                                          localities_[locality].name);
  known.emplace_back(host, counters);
  return counters;
}

std::vector<Session*> Pool::Waiting() {
  std::vector<Session*> sessions;
  for (Waiter& waiter : waiting) sessions.push_back(static_cast<Session*>(&waiter));
  return sessions;
}

bool Pool::MayConnect(uint64_t now_ms) {
  const double per_second = std::max(kConnectsPerSecond, 2.0 * static_cast<double>(open));
  connects_left =
      std::min(kConnectsAtOnce, connects_left + static_cast<double>(now_ms - connects_ms) * per_second / 1e3);
  connects_ms = now_ms;
  if (connecting > 0 && connects_left < 1) return false;
  connects_left = std::max(0.0, connects_left - 1);
  return true;
}

// ---- Upstream

Upstream::Upstream(Worker& worker, std::shared_ptr<Pool> pool) : worker_(worker), pool_(std::move(pool)) {
  worker_.Opened(this);
  ++pool_->connecting;
}

Upstream::~Upstream() = default;

Upstream* Upstream::TakeIdle(Pool& pool, Session* session) {
  if (pool.idle.empty()) return nullptr;
  Upstream* upstream = pool.idle.back();
  pool.idle.pop_back();
  upstream->state_ = State::kBusy;
  upstream->session = session;
  return upstream;
}

bool Upstream::ConnectFor(Worker& worker, const std::shared_ptr<Pool>& pool) {
  while (pool->connecting < pool->waiting.size() && pool->MayConnect(worker.loop().now_ms())) {
    auto* upstream = new Upstream(worker, pool);
    if (upstream->Connect().ok()) continue;
    ++worker.stats.upstream_connect_failures;
    upstream->Close();
    return pool->connecting > 0;
  }
  return true;
}

Status Upstream::Connect() {
  WEIR_ASSIGN(net::Fd fd, net::StartConnect(pool_->address, worker_.source()));
  ++worker_.stats.upstream_connections;
  worker_.loop().SetTimer(*this, pool_->connect_timeout_ms);
  return transport.Open(worker_.loop(), std::move(fd), this);
}

// The oldest of those who wait gets this one.
void Upstream::ServeNext() {
  auto& next = static_cast<Session&>(pool_->waiting.front());
  pool_->waiting.pop_front();
  state_ = State::kBusy;
  session = &next;
  next.OnConnection(*this);
}

void Upstream::Release() {
  session = nullptr;
  pending.clear();
  if (transport.unsent() > 0 || transport.hung_up() || transport.readable()) return Close();
  Rest();
}

// Nothing is under way here: on to the next, if there is one.
void Upstream::Rest() {
  if (!pool_->waiting.empty()) return ServeNext();
  const Limits& limits = worker_.limits();
  if (pool_->retired || worker_.draining() || pool_->idle.size() >= limits.idle_upstreams_per_endpoint) return Close();
  state_ = State::kIdle;
  pool_->idle.push_back(this);
  worker_.loop().SetTimer(*this, static_cast<uint64_t>(limits.upstream_idle.count()));
}

void Upstream::Close() {
  if (state_ == State::kClosed) return;
  if (state_ == State::kIdle) std::erase(pool_->idle, this);
  --(state_ == State::kIdle || state_ == State::kBusy ? pool_->open : pool_->connecting);
  state_ = State::kClosed;
  session = nullptr;
  transport.Close();
  worker_.loop().wheel().Clear(*this);
  worker_.Closed(this);
  worker_.loop().Retire(std::unique_ptr<net::Watcher>(this));
}

void Upstream::Fail(const std::string& why, bool silent) {
  ++worker_.stats.upstream_connect_failures;
  if (worker_.MayLog()) {
    obs::Log(obs::Level::kWarn, "upstream connection failed",
             {{"endpoint", pool_->address.ToString()}, {"sni", pool_->sni}, {"error", why}});
  }
  Close();
  if (silent && pool_->Lives(worker_.loop().now_ms()) && ConnectFor(worker_, pool_)) return;
  ConnectFailed(worker_, pool_);
}

// The oldest of those who wait is told, as if the attempt had been its own. The others leave too if this has taken the
// endpoint out and they have somewhere else to go; else they wait on.
void Upstream::ConnectFailed(Worker& worker, const std::shared_ptr<Pool>& pool) {
  const auto tell_oldest = [&] {
    auto& oldest = static_cast<Session&>(pool->waiting.front());
    pool->waiting.pop_front();
    oldest.OnNoConnection();
  };
  if (!pool->waiting.empty()) tell_oldest();
  if (pool->out) {
    for (Session* session : pool->Waiting()) session->LeaveQueue(*pool);
  }
  while (!ConnectFor(worker, pool)) tell_oldest();
}

void Upstream::OnTimer() {
  switch (state_) {
    case State::kConnecting:
      return Fail("no answer within the connect timeout", true);
    case State::kHandshake:
      return Fail("no TLS handshake within the connect timeout", true);
    case State::kIdle:
      return Close();
    default:
      return;
  }
}

void Upstream::Connected() {
  --pool_->connecting;
  ++pool_->open;
  state_ = State::kBusy;
  Rest();
  if (!ConnectFor(worker_, pool_)) ConnectFailed(worker_, pool_);
  if (state_ == State::kIdle) IdleReadable();
  if (state_ == State::kBusy && transport.readable()) Readable();
}

void Upstream::Shake() {
  net::TlsSession& tls = *transport.tls();
  const auto step = tls.Handshake();
  const bool flushed = transport.FlushCipher();
  if (step == net::TlsSession::Step::kAgain && flushed) return;
  if (step == net::TlsSession::Step::kDone && flushed) return Connected();
  ++worker_.stats.tls_failures;
  if (tls.identity_refused()) ++worker_.stats.identity_refused;
  Fail("TLS: " + tls.failure());
}

void Upstream::OnEvents(uint32_t events) {
  if (state_ == State::kClosed) return;
  transport.Noted(events);
  if (state_ == State::kConnecting) {
    if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) return;
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(transport.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return Fail(strerror(error));
    if (pool_->rule == nullptr) {
      return Connected();
    }
    if (worker_.identity() == nullptr) return Fail("no identity yet");
    state_ = State::kHandshake;
    transport.StartTls(net::TlsSession::Connect(*worker_.identity(), transport, pool_->sni, pool_->rule));
    return Shake();
  }
  if (state_ == State::kHandshake) {
    if (events & EPOLLOUT && !transport.Flush()) return Fail("connection lost in the TLS handshake");
    return Shake();
  }
  if (state_ == State::kIdle) return IdleReadable();
  if (events & EPOLLOUT && transport.unsent() > 0) {
    if (!transport.Flush()) return SendFailed();
    if (session != nullptr) session->OnUpstreamMoved();
    if (transport.unsent() == 0 && session != nullptr) session->OnUpstreamDrained();
  }
  if (state_ == State::kBusy && transport.readable()) Readable();
}

// TLS 1.3 sends tickets after the handshake; anything else from an idle upstream ends it.
void Upstream::IdleReadable() {
  if (!transport.readable()) return;
  const bool may_be_ticket = transport.tls() != nullptr && !transport.hung_up();
  if (!may_be_ticket || transport.Read(transport.loop().buffer(), net::Loop::kBufferSize) != net::Transport::kAgain) {
    Close();
  }
}

void Upstream::SendFailed() {
  transport.Noted(EPOLLHUP);
  worker_.loop().Defer(*this);
}

void Upstream::OnDeferred() {
  if (state_ == State::kBusy && transport.readable()) Readable();
}

void Upstream::Readable() {
  // Bounded, so that one fast upstream cannot hold the thread: the rest comes after the other sockets.
  for (int i = 0; i < 8; ++i) {
    if (state_ != State::kBusy || session == nullptr || !transport.readable() || session->full()) return;
    const ssize_t got = transport.Read(transport.loop().buffer(), net::Loop::kBufferSize);
    if (got == net::Transport::kAgain) return;
    if (got > 0) {
      session->OnUpstreamBytes(transport.loop().buffer(), static_cast<size_t>(got));
      continue;
    }
    Session* owner = session;
    const bool clean = got == net::Transport::kEof;
    Close();
    owner->OnUpstreamLost(clean ? "upstream_closed" : "upstream_lost");
    return;
  }
  worker_.loop().Defer(*this);
}

}  // namespace weir::proxy
