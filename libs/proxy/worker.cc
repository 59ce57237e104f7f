#include "libs/proxy/worker.h"

#include <sys/epoll.h>

#include <cerrno>
#include <cstring>
#include <ctime>

#include "libs/base/descriptors.h"
#include "libs/base/ids.h"
#include "libs/obs/log.h"
#include "libs/proxy/health.h"
#include "libs/proxy/session.h"

namespace weir::proxy {
namespace {
constexpr uint64_t kDrainTickMs = 100;
constexpr int kLogLinesPerSecond = 10;
constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
constexpr uint64_t kScarceMs = 100;
}  // namespace

Result<std::unique_ptr<Worker>> Worker::New(const Options& options) {
  std::unique_ptr<Worker> worker(new Worker(options));
  WEIR_ASSIGN(worker->loop_, net::Loop::New(*options.clock));
  if (!options.source_address.empty()) {
    WEIR_ASSIGN(worker->source_, net::Address::Parse(options.source_address, 0));
  }
  WEIR_TRY(worker->log_.Open(options.access_log));
  const std::string seed = RandomBytes(sizeof worker->random_);
  std::memcpy(worker->random_.data(), seed.data(), sizeof worker->random_);
  return worker;
}

Worker::~Worker() {
  judge_.reset();
  while (!sessions_.empty()) sessions_.back()->Close();
  while (!upstreams_.empty()) upstreams_.back()->Close();
  sockets_.clear();
  destinations_.clear();
  loop_->wheel().Clear(log_);
  loop_->wheel().Clear(drain_timer_);
  loop_->wheel().Clear(digests_);
  loop_.reset();
}

void Worker::SetIdentity(std::shared_ptr<const net::TlsIdentity> identity) {
  identity_ = std::move(identity);
  if (identity_ == nullptr) return;
  std::vector<Session*> callers;
  std::vector<Upstream*> upstreams;
  for (Session* session : sessions_) {
    if (session->peer_known() && !StillAdmits(session->transport())) callers.push_back(session);
  }
  for (Upstream* upstream : upstreams_) {
    if (upstream->peer_known() && !StillAdmits(upstream->transport)) upstreams.push_back(upstream);
  }
  // Closing one may end others of them; they stay allocated until the turn ends, and a second time does nothing.
  for (Session* session : callers) session->Close();
  for (Upstream* upstream : upstreams) upstream->CloseAsLost();
  if (!callers.empty() || !upstreams.empty()) {
    obs::Log(obs::Level::kWarn, "connections of peers whose membership has ended are closed",
             {{"callers", std::to_string(callers.size())}, {"upstreams", std::to_string(upstreams.size())}});
  }
}

void Worker::ServePlan(std::shared_ptr<const Plan> plan, std::vector<std::pair<std::string, net::Fd>> opened) {
  plan_ = std::move(plan);
  ++epoch_;
  for (auto& [key, fd] : opened) {
    if (draining_) continue;
    std::unique_ptr<ListenerSocket>& socket = sockets_[key];  // Sessions of an earlier life may still point to it.
    if (socket == nullptr) socket = std::make_unique<ListenerSocket>(*this);
    if (const Status status = socket->Add(std::move(fd)); !status.ok()) {
      obs::Log(obs::Level::kError, "listener not opened", {{"address", key}, {"error", status.error().ToString()}});
    }
  }
  for (auto& [key, socket] : sockets_) {
    const auto found = plan_->listeners.find(key);
    if (found != plan_->listeners.end()) {
      socket->planned = found->second;
    } else if (socket->planned != nullptr) {
      socket->Close();  // Sessions still point to it, so the object stays; there are as many as addresses ever served.
      socket->planned = nullptr;
    }
  }
  std::erase_if(destinations_, [this](const auto& entry) {
    if (plan_->snapshot->destination_sets.contains(entry.first)) return false;
    entry.second->Retire();
    return true;
  });
  digests_.EndInadmissible();
  if (judge_ != nullptr) judge_->Update(*plan_);
}

std::shared_ptr<DestinationState> Worker::DestinationNamed(const std::string& name) {
  std::shared_ptr<DestinationState>& state = destinations_[name];
  if (state != nullptr && state->epoch == epoch_) return state;
  const auto source = plan_->snapshot->destination_sets.find(name);
  if (source == plan_->snapshot->destination_sets.end() || source->second == nullptr) {
    destinations_.erase(name);
    return nullptr;
  }
  if (state == nullptr) state = std::make_shared<DestinationState>();
  const bool fresh = state->source() == nullptr;
  state->Update(source->second, loop_->now_ms());
  state->epoch = epoch_;
  if (const auto health = health_.find(name); fresh && health != health_.end())
    state->SetHealth(health->second, loop_->now_ms());
  return state;
}

Worker::Worker(const Options& options) : options_(options), drain_timer_(*this) {}

void Worker::StartHealth(std::function<void(std::shared_ptr<const HealthUpdate>)> publish) {
  judge_ = std::make_unique<Health>(*this, std::move(publish));
}

void Worker::ReportTo(Worker& judging) {
  report_ = [&judging](RequestOutcome outcome) {
    judging.loop().Post([&judging, outcome = std::move(outcome)] { judging.judge_->TakeOutcome(outcome); });
  };
}

std::vector<SetHealthReport> Worker::HealthReport() const {
  return judge_ != nullptr ? judge_->Report() : std::vector<SetHealthReport>();
}

void Worker::ReportOutcome(RequestOutcome outcome) {
  if (report_) report_(std::move(outcome));
}

void Worker::TakeHealth(const std::shared_ptr<const HealthUpdate>& update) {
  digests_.Take(*update);
  for (const auto& [name, health] : update->sets) {
    if (health == nullptr) {
      health_.erase(name);
    } else {
      health_[name] = health;
    }
    const auto found = destinations_.find(name);
    if (found == destinations_.end() || found->second == nullptr) continue;
    const std::shared_ptr<DestinationState> destination = found->second;
    for (const auto& pool : destination->SetHealth(health, loop_->now_ms())) FreeWhatWaitsFor(pool);
  }
}

// Nothing waits for the dead: what does is told, what is idle is closed.
void Worker::FreeWhatWaitsFor(const std::shared_ptr<Pool>& pool) {
  while (!pool->idle.empty()) pool->idle.back()->Close();
  for (Session* session : pool->Waiting()) session->OnEndpointDead(*pool);
  std::vector<Upstream*> connections;  // They stay allocated until the turn ends, whatever the sessions do.
  for (Upstream* upstream : upstreams_) {
    if (upstream->pool() == pool) connections.push_back(upstream);
  }
  for (Upstream* upstream : connections) {
    if (upstream->session == nullptr) {
      upstream->Close();  // Still connecting.
    } else {
      upstream->session->OnEndpointDead(*pool);
    }
  }
}

bool Worker::CanServe(const std::string& destination, traffic::Reason* reason) const {
  const auto source = plan_->snapshot->destination_sets.find(destination);
  if (source == plan_->snapshot->destination_sets.end() || source->second == nullptr) {
    *reason = traffic::Reason::kNoSuchDestinationSet;
    return false;
  }
  if (const auto health = health_.find(destination); health != health_.end()) {
    *reason = health->second->reason;
    return health->second->can_serve;
  }
  for (const Locality& locality : source->second->localities) {
    if (!locality.drained && !locality.endpoints.empty()) return true;
  }
  *reason = traffic::Reason::kNoEndpoint;
  return false;
}

void Counters::Advance(uint64_t to) {
  if (to - second >= kRing) recent.fill(0);
  for (uint64_t at = second + 1; at <= to && to - second < kRing; ++at) recent[at % kRing] = 0;
  second = to;
}

uint64_t Counters::Recent(uint64_t now_ms) {
  if (now_ms / 1000 != second) Advance(now_ms / 1000);
  uint64_t sum = 0;
  for (uint64_t back = 1; back <= std::min(kWindow, second); ++back) sum += recent[(second - back) % kRing];
  return sum;
}

Counters* Worker::CountersFor(std::string_view set, std::string_view host, std::string_view cluster) {
  std::string key(set);
  key += '\n';
  key += host;
  key += '\n';
  key += cluster;
  Counters*& known = counters_by_key_[key];
  if (known == nullptr) {
    counters_.push_back(std::make_unique<Counters>());
    known = counters_.back().get();
    known->set = set;
    known->host = host;
    known->cluster = cluster;
  }
  return known;
}

std::string_view Worker::NewRequestId() {
  // xoroshiro128+: ids must differ, nobody relies on them being secret.
  const auto next = [this] {
    const uint64_t s0 = random_[0], sum = random_[0] + random_[1], s1 = random_[1] ^ s0;
    random_[0] = ((s0 << 24) | (s0 >> 40)) ^ s1 ^ (s1 << 16);
    random_[1] = (s1 << 37) | (s1 >> 27);
    return sum;
  };
  constexpr char kDigits[] = "0123456789abcdef";
  const uint64_t words[2] = {next(), next()};
  size_t out = 0;
  for (size_t i = 0; i < 32; ++i) {
    if (i == 8 || i == 12 || i == 16 || i == 20) request_id_[out++] = '-';
    const unsigned nibble = static_cast<unsigned>(words[i / 16] >> (i % 16 * 4)) & 15;
    request_id_[out++] = i == 12 ? '4' : i == 16 ? kDigits[(nibble & 3) | 8] : kDigits[nibble];
  }
  return {request_id_.data(), request_id_.size()};
}

std::string_view Worker::Date() {
  const uint64_t now_s = loop_->now_ms() / 1'000;
  if (now_s != date_s_) {
    date_s_ = now_s;
    const std::time_t wall = std::chrono::system_clock::to_time_t(loop_->clock().Wall());
    std::tm utc{};
    gmtime_r(&wall, &utc);
    fmt::format_to_n(date_.data(), date_.size(), "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT", kDays[utc.tm_wday],
                     utc.tm_mday, kMonths[utc.tm_mon], utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
  }
  return {date_.data(), date_.size()};
}

bool Worker::MayLog() {
  if (loop_->now_ms() >= log_window_ms_ + 1'000) {
    log_window_ms_ = loop_->now_ms();
    log_lines_ = 0;
  }
  return log_lines_++ < kLogLinesPerSecond;
}

void Worker::Add(Session* session) {
  session->place = sessions_.size();
  sessions_.push_back(session);
  ++stats.connections_accepted;
}

void Worker::Remove(Session* session) {
  sessions_[session->place] = sessions_.back();
  sessions_[session->place]->place = session->place;
  sessions_.pop_back();
}

size_t Worker::in_flight() const {
  size_t count = 0;
  for (const Session* session : sessions_) count += session->busy();
  return count;
}

void Worker::Add(Upstream* upstream) {
  upstream->place = upstreams_.size();
  upstreams_.push_back(upstream);
}

void Worker::Remove(Upstream* upstream) {
  upstreams_[upstream->place] = upstreams_.back();
  upstreams_[upstream->place]->place = upstream->place;
  upstreams_.pop_back();
}

bool Worker::CloseOneIdle() {
  const auto idle = std::find_if(upstreams_.begin(), upstreams_.end(), [](const Upstream* one) { return one->idle(); });
  if (idle == upstreams_.end()) return false;
  (*idle)->Close();
  return true;
}

std::vector<std::pair<std::string, net::Fd>> Worker::ExportSockets() {
  std::vector<std::pair<std::string, net::Fd>> out;
  for (auto& [key, socket] : sockets_) {
    if (socket->planned != nullptr) socket->Export(key, out);
  }
  return out;
}

void Worker::Drain(bool handed_over, std::function<void()> done) {
  if (draining_) {
    auto before = std::move(drained_);
    drained_ = [before = std::move(before), done = std::move(done)] {
      if (before) before();
      if (done) done();
    };
    if (drain_deadline_ms_ == 0) Drained();
    return;
  }
  draining_ = true;
  handed_over_ = handed_over;
  drained_ = std::move(done);
  drain_deadline_ms_ = loop_->now_ms() + static_cast<uint64_t>(options_.drain.count());
  for (auto& [key, socket] : sockets_) socket->Close(handed_over);
  digests_.Drain();  // Who asks again at once must not reach us.
  loop_->SetTimer(drain_timer_, kDrainTickMs);
  if (sessions_.empty()) Drained();
}

void Worker::OnDrainTimer() {
  const uint64_t now = loop_->now_ms();
  const bool over = now >= drain_deadline_ms_;
  for (size_t i = sessions_.size(); i-- > 0;) {
    if (i >= sessions_.size()) continue;
    if (over) {
      sessions_[i]->Close();
    } else if (sessions_[i]->QuietSince() + static_cast<uint64_t>(options_.drain_idle.count()) <= now) {
      sessions_[i]->CloseIdle();
    }
  }
  if (sessions_.empty()) return Drained();
  loop_->SetTimer(drain_timer_, kDrainTickMs);
}

void Worker::Drained() {
  drain_deadline_ms_ = 0;
  loop_->wheel().Clear(drain_timer_);
  if (drained_) std::exchange(drained_, nullptr)();
}

// ---- ListenerSocket

Status ListenerSocket::Add(net::Fd fd) {
  WEIR_TRY(worker_.loop().Add(fd.get(), this));
  sockets_.push_back({std::move(fd)});
  return {};
}

void ListenerSocket::Close(bool handed_over) {
  for (Socket& socket : sockets_) {
    while (!(handed_over && socket.exported) && AcceptOne(socket.fd.get())) {
    }
    worker_.loop().Remove(socket.fd.get());
  }
  sockets_.clear();
  worker_.loop().wheel().Clear(*this);
}

void ListenerSocket::Export(const std::string& key, std::vector<std::pair<std::string, net::Fd>>& out) {
  for (Socket& socket : sockets_) {
    auto copy = net::Duplicate(socket.fd.get());
    if (!copy.ok()) continue;
    socket.exported = true;
    out.emplace_back(key, std::move(*copy));
  }
}

void ListenerSocket::Accept() {
  scarce_ = scarce_ && DescriptorsAreScarce();
  if (scarce_) return worker_.loop().SetTimer(*this, kScarceMs);
  descriptors_ = DescriptorLimit();
  bool more = false;
  for (const Socket& socket : sockets_) {
    int left = kAcceptsPerTurn;
    while (left > 0 && !scarce_ && AcceptOne(socket.fd.get())) --left;
    more |= left == 0;
  }
  if (more) worker_.loop().Defer(*this);
}

bool ListenerSocket::AcceptOne(int listening) {
  sockaddr_storage storage;
  socklen_t size = sizeof storage;
  net::Fd fd(accept4(listening, reinterpret_cast<sockaddr*>(&storage), &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!fd) {
    if (errno == EINTR || errno == ECONNABORTED) return true;
    // Out of descriptors or memory: the queue waits, no new event will tell.
    if (errno != EAGAIN && errno != EWOULDBLOCK) worker_.loop().SetTimer(*this, kScarceMs);
    return false;
  }
  // Its number says how many are in use. This one is still served; the next waits until there are enough again.
  scarce_ = static_cast<size_t>(fd.get()) + DescriptorReserve(descriptors_) >= descriptors_;
  if (scarce_) {
    worker_.loop().SetTimer(*this, kScarceMs);
    if (worker_.MayLog()) {
      obs::Log(obs::Level::kWarn, "too few descriptors left, accepting waits",
               {{"limit", std::to_string(descriptors_)}});
    }
  }
  if (worker_.open() >= worker_.limits().connections_per_worker) return true;  // Closed at once.
  net::SetNoDelay(fd.get());
  auto* session = new Session(worker_, *this, net::Address::From(reinterpret_cast<sockaddr*>(&storage), size));
  if (!session->Open(std::move(fd)).ok()) session->Close();
  return true;
}

std::shared_ptr<const net::TlsPeerRule> ListenerSocket::RuleFor(std::string_view sni) {
  return planned != nullptr ? planned->RuleOf(planned->Find(sni)) : nullptr;
}

}  // namespace weir::proxy
