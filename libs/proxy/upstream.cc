#include "libs/proxy/upstream.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "libs/obs/log.h"
#include "libs/proxy/digest.h"
#include "libs/proxy/health_connection.h"
#include "libs/proxy/session.h"
#include "libs/proxy/worker.h"
#include "libs/traffic/request_evidence.h"

namespace weir::proxy {

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

std::vector<traffic::Candidate> CandidatesOf(const DestinationSet& destination, const SetHealth* health) {
  std::vector<traffic::Candidate> candidates(destination.localities.size());
  for (size_t i = 0; i < candidates.size(); ++i) {
    const Locality& locality = destination.localities[i];
    const bool open = !locality.drained && !locality.endpoints.empty();
    candidates[i] = {locality.weight, locality.standby, open, locality.priority};
    if (const LocalityHealth* known = HealthOf(health, i, locality.cluster)) {
      candidates[i].can_serve = candidates[i].can_serve && known->can_serve;
      candidates[i].returning = known->returning;
    }
  }
  return candidates;
}

// ---- DestinationState

void DestinationState::Update(std::shared_ptr<const DestinationSet> destination, uint64_t now_ms) {
  for (LocalityState& locality : localities_) locality.counters.clear();  // Keyed by pointers of the last plan.
  if (destination == source_) return;
  const bool same_tls = source_ != nullptr && source_->tls == destination->tls;
  PeerWire shared_wire;  // Of the endpoints without an identity of their own.
  std::unordered_map<std::string, std::shared_ptr<Pool>> pools;
  std::vector<LocalityState> localities;
  for (const Locality& locality : destination->localities) {
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
                   {{"cluster", destination->name}, {"error", address.error().message}});
          pools.erase(key);
          continue;
        }
        pool = std::make_shared<Pool>();
        pool->endpoint = endpoint;
        pool->address = *address;
        if (!endpoint.spiffe_id.empty() || !destination->tls) {
          pool->wire = WireTo(*destination, endpoint);
        } else {
          if (!shared_wire.tls()) shared_wire = WireTo(*destination, endpoint);
          pool->wire = shared_wire;
        }
        if (destination->tls) pool->sni = destination->tls->sni;
      }
      pool->connect_timeout_ms = static_cast<uint64_t>(std::max<int64_t>(1, destination->connect_timeout.count()));
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
  source_ = std::move(destination);
  ApplyHealth(now_ms);
}

void DestinationState::Retire() {
  for (const auto& [key, pool] : pools_) {
    pool->retired = true;
    while (!pool->idle.empty()) pool->idle.back()->Close();
  }
}

std::vector<traffic::Candidate> DestinationState::Candidates() const {
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

std::vector<std::shared_ptr<Pool>> DestinationState::SetHealth(std::shared_ptr<const proxy::SetHealth> health,
                                                               uint64_t now_ms) {
  std::vector<std::shared_ptr<Pool>> alive, died;
  for (const auto& [key, pool] : pools_) {
    if (!pool->dead) alive.push_back(pool);
  }
  health_ = std::move(health);
  ApplyHealth(now_ms);
  for (auto& pool : alive) {
    if (pool->dead) died.push_back(std::move(pool));
  }
  return died;
}

// Worker 0 knows better than what an exchange here has taught.
void DestinationState::ApplyHealth(uint64_t now_ms) {
  for (const auto& [key, pool] : pools_) {
    static const EndpointHealth kWell;
    const EndpointHealth* known = &kWell;
    if (health_ != nullptr) {
      const auto& all = health_->endpoints;
      const auto found = std::lower_bound(all.begin(), all.end(), key,
                                          [](const EndpointHealth& one, const std::string& k) { return one.key < k; });
      if (found != all.end() && found->key == key) known = &*found;
    }
    const bool was_out = pool->out || pool->on_trial;
    pool->out = known->out;
    pool->dead = known->dead;
    pool->on_trial = known->on_trial;
    pool->rules = known->rules;
    pool->unreachable = false;
    if (was_out && !pool->out && !pool->on_trial) pool->returned_ms = now_ms;
  }
  rules_differ_ = false;
  for (LocalityState& locality : localities_) locality.suspect = false;
  for (size_t i = 0; i < localities_.size(); ++i) {
    const LocalityHealth* health = HealthOf(health_.get(), i, localities_[i].name);
    rules_differ_ |= health != nullptr && health->rules != nullptr;
    for (const auto& pool : localities_[i].pools) rules_differ_ |= pool->rules != nullptr;
  }
  if (!rules_differ_) by_rule_.clear();
  Reschedule();
}

void DestinationState::Reschedule() {
  const std::vector<traffic::Candidate> candidates = Candidates();
  schedule_.Update(source_->mode, candidates);
  instead_.resize(localities_.size());
  for (size_t out = 0; out < localities_.size(); ++out) {
    std::vector<traffic::Candidate> others = candidates;
    others[out].can_serve = false;
    instead_[out].Update(source_->mode, others);
  }
}

bool Pool::Serves(std::string_view target) const {
  if (rules == nullptr) return true;
  const traffic::RuleHealth* rule = traffic::RuleFor(*rules, target);
  return rule == nullptr || rule->can_serve;
}

uint32_t Pool::TurnsPerMille(uint64_t now_ms) const {
  if (returned_ms == 0 || now_ms >= returned_ms + kSlowStartMs) return 1000;
  return static_cast<uint32_t>(100 + 900 * (now_ms - std::min(now_ms, returned_ms)) / kSlowStartMs);
}

namespace {

bool Tried(const Seeking& seeking, const Pool* pool) {
  return std::any_of(seeking.tried.begin(), seeking.tried.end(), [&](const auto& one) { return one.get() == pool; });
}

uint32_t Roll(uint32_t& dice) {  // A linear congruence: it only has to spread.
  dice = dice * 1664525u + 1013904223u;
  return dice >> 16;
}

}  // namespace

// In turn, but of two the less busy one: who answers slowly, or not at all, collects no requests. Who was out until a
// moment ago leaves some of its turns to the next.
std::shared_ptr<Pool> DestinationState::NextPool(LocalityState& locality, const Seeking& seeking) {
  const size_t size = locality.pools.size();
  const auto fit = [&](const Pool& pool) { return !pool.out && !Tried(seeking, &pool) && pool.Serves(seeking.target); };
  const std::shared_ptr<Pool>* left_out = nullptr;
  for (size_t i = 0; i < size; ++i) {
    if (locality.next >= size) locality.next = 0;
    const std::shared_ptr<Pool>& pool = locality.pools[locality.next++];
    if (!fit(*pool)) continue;
    if (pool->on_trial) {
      if (pool->load() > 0 || seeking.now_ms < pool->tried_ms + Pool::kTrialMs) continue;
      pool->tried_ms = seeking.now_ms;
      return pool;
    }
    if (const uint32_t turns = pool->TurnsPerMille(seeking.now_ms);
        turns < 1000 && Roll(locality.dice) % 1000 >= turns) {
      left_out = &pool;
      continue;
    }
    if (size == 1) return pool;
    const std::shared_ptr<Pool>& rival = locality.pools[(locality.next + Roll(locality.dice) % (size - 1)) % size];
    const bool better = rival->load() < pool->load() && fit(*rival) && !rival->on_trial;
    return better ? rival : pool;
  }
  return left_out != nullptr ? *left_out : SecondBest(locality, seeking);
}

// When nothing speaks for anybody: whom only doubt keeps out, then whom nobody answers at. Who is silent is tried with
// one request at a time.
std::shared_ptr<Pool> DestinationState::SecondBest(LocalityState& locality, const Seeking& seeking) {
  std::shared_ptr<Pool> best;
  for (const std::shared_ptr<Pool>& pool : locality.pools) {
    if (Tried(seeking, pool.get())) continue;
    if (pool->on_trial && !pool->out) {
      if (seeking.now_ms < pool->tried_ms + Pool::kTrialMs) continue;
      pool->tried_ms = seeking.now_ms;
      return pool;
    }
    if (best == nullptr || (best->dead && !pool->dead) ||
        (best->dead == pool->dead && pool->load() < best->load() && pool->out == best->out)) {
      best = pool;
    }
  }
  return best;
}

const traffic::RuleHealth* DestinationState::RuleIn(size_t locality, std::string_view target) const {
  const LocalityHealth* health = HealthOf(health_.get(), locality, localities_[locality].name);
  return health == nullptr || health->rules == nullptr ? nullptr : traffic::RuleFor(*health->rules, target);
}

// Those that can serve the rule under which `target` falls; when none can, whom only caution keeps out.
std::vector<traffic::Candidate> DestinationState::CandidatesFor(std::string_view target) const {
  std::vector<traffic::Candidate> candidates = Candidates();
  if (!rules_differ_) return candidates;
  bool any = false;
  std::vector<size_t> held;
  for (size_t i = 0; i < candidates.size(); ++i) {
    const traffic::RuleHealth* rule = candidates[i].can_serve ? RuleIn(i, target) : nullptr;
    if (rule != nullptr) {
      candidates[i].can_serve = rule->can_serve;
      candidates[i].returning = std::min(candidates[i].returning, rule->returning);
      if (!rule->can_serve && rule->held) held.push_back(i);
    }
    any |= candidates[i].can_serve;
  }
  for (const size_t i : held) candidates[i].can_serve |= !any;
  return candidates;
}

// Each rule that is not like the others has shares of its own, so that they are exact and it takes none of theirs.
traffic::ShareSchedule& DestinationState::ScheduleFor(std::string_view target) {
  const traffic::RuleHealth* rule = nullptr;
  bool alike = true;
  for (size_t i = 0; rules_differ_ && i < localities_.size(); ++i) {
    const traffic::RuleHealth* own = RuleIn(i, target);
    if (own == nullptr) continue;
    if (rule == nullptr) rule = own;
    alike &= own->can_serve && own->returning == traffic::Candidate::kFull;
  }
  if (rule == nullptr || alike) return schedule_;
  auto known = std::find_if(by_rule_.begin(), by_rule_.end(),
                            [&](const RuleShares& one) { return one.kind == rule->kind && one.path == rule->path; });
  if (known == by_rule_.end()) {
    if (by_rule_.size() >= DigestReader::kMaxRulesOfAHost) by_rule_.clear();
    known = by_rule_.insert(by_rule_.end(), {rule->kind, rule->path, {}});
  }
  known->schedule.Update(source_->mode, CandidatesFor(target));
  return known->schedule;
}

Choice DestinationState::Pick(const Seeking& seeking) {
  const size_t index = (rules_differ_ ? ScheduleFor(seeking.target) : schedule_).Next();
  if (index == traffic::QuotaSchedule::kNone) return {};
  return {index, NextPool(localities_[index], seeking)};
}

Choice DestinationState::PickInstead(const Seeking& seeking) {
  std::vector<size_t> been;
  for (const auto& pool : seeking.tried) {
    // The destination set may have been updated since; what is gone needs not be left out.
    if (const size_t at = LocalityOf(pool.get()); at != SIZE_MAX) been.push_back(at);
  }
  if (been.empty()) return Pick(seeking);
  size_t index = traffic::QuotaSchedule::kNone;
  if (been.size() == 1 && !rules_differ_) {
    index = instead_[been.front()].Next();
  } else {
    std::vector<traffic::Candidate> others = CandidatesFor(seeking.target);
    for (const size_t at : been) others[at].can_serve = false;
    index = traffic::ShareSchedule(source_->mode, others).Next();
  }
  if (index != traffic::QuotaSchedule::kNone) return {index, NextPool(localities_[index], seeking)};
  // No other cluster serves: somebody living of these, then whom only caution keeps out, then whoever is left of these.
  const auto living = [&](size_t at) {
    auto pool = NextPool(localities_[at], seeking);
    return pool != nullptr && !pool->out && pool->Serves(seeking.target) ? std::move(pool) : nullptr;
  };
  for (size_t i = been.size(); i-- > 0;) {
    if (auto pool = living(been[i])) return {been[i], std::move(pool)};
  }
  for (size_t i = 0; i < localities_.size(); ++i) {
    if (source_->localities[i].drained || std::find(been.begin(), been.end(), i) != been.end()) continue;
    if (auto pool = living(i)) return {i, std::move(pool)};
  }
  for (size_t i = been.size(); i-- > 0;) {
    if (auto pool = NextPool(localities_[been[i]], seeking)) return {been[i], std::move(pool)};
  }
  return {};
}

size_t DestinationState::LocalityOf(const Pool* pool) const {
  for (size_t i = 0; i < localities_.size(); ++i) {
    for (const auto& one : localities_[i].pools) {
      if (one.get() == pool) return i;
    }
  }
  return SIZE_MAX;
}

void DestinationState::RecordFailure(Worker& worker, const Choice& choice, traffic::Failure failure) {
  if (failure == traffic::Failure::kNone || choice.pool == nullptr || choice.pool->retired) return;
  Pool& pool = *choice.pool;
  // What stands behind a gateway is judged there; whether it is silent itself, its digest or its check tells.
  if (failure == traffic::Failure::kSilent && source_->digest) return;
  if (failure == traffic::Failure::kLost) {
    if (++pool.lost_in_a_row < traffic::RequestEvidence::kLostInARow || pool.out) return;
  }
  if (failure == traffic::Failure::kConnect && pool.unreachable) return;
  worker.ReportOutcome({source_->name, EndpointKey(pool.endpoint), failure});
  pool.out = true;
  if (failure != traffic::Failure::kConnect) return;
  pool.unreachable = true;
  const size_t at = LocalityOf(&pool);
  if (at == SIZE_MAX) return;
  const auto& pools = localities_[at].pools;
  if (!std::all_of(pools.begin(), pools.end(), [](const auto& one) { return one->unreachable; })) return;
  localities_[at].suspect = true;
  Reschedule();
}

void DestinationState::RecordAnswer(Worker& worker, const Choice& choice) {
  Pool& pool = *choice.pool;
  pool.lost_in_a_row = 0;
  pool.answered_ms = worker.loop().now_ms();
  if ((!pool.out && !pool.on_trial) || pool.retired) return;
  pool.out = pool.on_trial = false;
  pool.returned_ms = pool.answered_ms;
  worker.ReportOutcome({source_->name, EndpointKey(pool.endpoint), traffic::Failure::kNone});
}

Counters* DestinationState::CountersFor(Worker& worker, size_t locality, const traffic::VirtualHost* host) {
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
  worker_.Add(this);
  ++pool_->connecting;
}

Upstream::~Upstream() = default;

Upstream* Upstream::TakeIdle(Pool& pool, Session* session) {
  if (pool.idle.empty()) return nullptr;
  Upstream* upstream = pool.idle.back();
  pool.idle.pop_back();
  upstream->state_ = State::kBusy;
  upstream->session = session;
  upstream->given_ms_ = upstream->worker_.loop().now_ms();
  return upstream;
}

Upstream::Connects Upstream::ConnectFor(Worker& worker, const std::shared_ptr<Pool>& pool) {
  while (pool->connecting < pool->waiting.size() && pool->MayConnect(worker.loop().now_ms())) {
    auto* upstream = new Upstream(worker, pool);
    const Status status = upstream->Connect();
    if (status.ok()) continue;
    ++worker.stats.upstream_connect_failures;
    upstream->Close();
    const bool local = status.error().code == Code::kResourceExhausted;
    if (local && worker.CloseOneIdle()) continue;
    if (pool->connecting > 0) return Connects::kUnderWay;
    return local ? Connects::kShort : Connects::kRefused;
  }
  return Connects::kUnderWay;
}

Status Upstream::Connect() {
  WEIR_ASSIGN(net::Fd fd, net::StartConnect(pool_->address, worker_.source()));
  ++worker_.stats.upstream_connections;
  due_ms_ = worker_.loop().now_ms() + pool_->connect_timeout_ms;
  worker_.loop().SetTimer(*this, pool_->connect_timeout_ms);
  if (const Status status = transport.Open(worker_.loop(), std::move(fd), this); !status.ok()) {
    return ResourceExhausted("LOCAL_SHORTAGE", "{}", status.error().message);
  }
  return {};
}

// The oldest of those who wait gets this one.
void Upstream::ServeNext() {
  auto& next = static_cast<Session&>(pool_->waiting.front());
  pool_->waiting.pop_front();
  state_ = State::kBusy;
  session = &next;
  given_ms_ = worker_.loop().now_ms();
  next.OnConnection(*this);
}

void Upstream::Release() {
  session = nullptr;
  pending.clear();
  if (transport.unsent() > 0 || transport.hung_up() || transport.readable()) return Close();
  ServeNextOrIdle();
}

// Nothing is under way here: on to the next, if there is one.
void Upstream::ServeNextOrIdle() {
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
  worker_.Remove(this);
  worker_.loop().Retire(std::unique_ptr<net::Watcher>(this));
}

void Upstream::CloseAsLost() {
  if (!peer_known()) return;
  Session* owner = session;
  Close();
  if (owner != nullptr) owner->OnUpstreamLost(Word(traffic::Reason::kUpstreamLost));
}

void Upstream::Fail(const std::string& why, Cause cause) {
  ++worker_.stats.upstream_connect_failures;
  if (worker_.MaySay(fmt::format("{} {} {}", pool_->address.ToString(), pool_->sni, why))) {
    obs::Log(obs::Level::kWarn, "upstream connection failed",
             {{"endpoint", pool_->address.ToString()}, {"sni", pool_->sni}, {"error", why}});
  }
  Close();
  if (cause == Cause::kSilent && pool_->AnsweredJustNow(worker_.loop().now_ms()) &&
      ConnectFor(worker_, pool_) == Connects::kUnderWay) {
    return;
  }
  ConnectFailed(worker_, pool_, cause == Cause::kLocal);
}

// The oldest of those who wait is told, as if the attempt had been its own. The others leave too if this has taken the
// endpoint out and they have somewhere else to go; else they wait on.
void Upstream::ConnectFailed(Worker& worker, const std::shared_ptr<Pool>& pool, bool local) {
  const auto tell_oldest = [&](bool is_local) {
    auto& oldest = static_cast<Session&>(pool->waiting.front());
    pool->waiting.pop_front();
    oldest.OnNoConnection(is_local);
  };
  if (!pool->waiting.empty()) tell_oldest(local);
  if (pool->out) {
    for (Session* session : pool->Waiting()) session->LeaveQueue(*pool);
  }
  while (true) {
    const Connects connects = ConnectFor(worker, pool);
    if (connects == Connects::kUnderWay) return;
    tell_oldest(connects == Connects::kShort);
  }
}

void Upstream::OnTimer() {
  if (state_ == State::kIdle) return Close();
  if (state_ != State::kConnecting && state_ != State::kHandshake) return;
  if (worker_.loop().now_ms() > due_ms_ + HealthConnection::kStalledMs && !std::exchange(patient_, true)) {
    return worker_.loop().SetTimer(*this, kPatienceMs);  // What the peer has answered meanwhile lies unread.
  }
  Fail(state_ == State::kConnecting ? "no answer within the connect timeout"
                                    : "no TLS handshake within the connect timeout",
       Cause::kSilent);
}

void Upstream::Connected() {
  --pool_->connecting;
  ++pool_->open;
  state_ = State::kBusy;
  ServeNextOrIdle();
  if (const Connects more = ConnectFor(worker_, pool_); more != Connects::kUnderWay) {
    ConnectFailed(worker_, pool_, more == Connects::kShort);
  }
  if (state_ == State::kIdle) IdleReadable();
  if (state_ == State::kBusy && transport.readable()) Readable();
}

void Upstream::ContinueHandshake() {
  net::TlsSession& tls = *transport.tls();
  const auto step = tls.Handshake();
  const bool flushed = transport.FlushCipher();
  if (step == net::TlsSession::Step::kAgain && flushed) return;
  if (step == net::TlsSession::Step::kDone && flushed) {
    return worker_.StillAdmits(transport) ? Connected() : Fail("TLS: the peer's membership has ended");
  }
  ++worker_.stats.tls_failures;
  if (tls.identity_refused()) ++worker_.stats.identity_refused;
  Fail("TLS: " + tls.failure());
}

void Upstream::OnEvents(uint32_t events) {
  if (state_ == State::kClosed) return;
  transport.RecordEvents(events);
  if (state_ == State::kConnecting) {
    if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) return;
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(transport.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return Fail(strerror(error), net::IsLocalShortage(error) ? Cause::kLocal : Cause::kRefused);
    if (pool_->wire.plain()) return Connected();
    if (!pool_->wire.tls()) return Fail("nothing says how to speak to it");
    if (worker_.identity() == nullptr) return Fail("no identity yet", Cause::kLocal);
    state_ = State::kHandshake;
    transport.StartTls(net::TlsSession::Connect(*worker_.identity(), transport, pool_->sni, pool_->wire.rule()));
    return ContinueHandshake();
  }
  if (state_ == State::kHandshake) {
    if (events & EPOLLOUT && !transport.Flush()) return Fail("connection lost in the TLS handshake");
    return ContinueHandshake();
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
  transport.RecordEvents(EPOLLHUP);
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
    owner->OnUpstreamLost(Word(clean ? traffic::Reason::kUpstreamClosed : traffic::Reason::kUpstreamLost));
    return;
  }
  worker_.loop().Defer(*this);
}

}  // namespace weir::proxy
