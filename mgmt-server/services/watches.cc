#include "mgmt-server/services/watches.h"

#include <algorithm>
#include <charconv>

#include "libs/base/wait.h"
#include "mgmt-server/authn/authn.h"
#include "mgmt-server/services/services.h"

namespace weir::services {
namespace {

constexpr Duration kTick = std::chrono::seconds(1);  // How exactly tokens, beats and ends are kept.
constexpr size_t kMostItems = 256;                   // Of a piece, about.
constexpr size_t kMostArrived = 256;

Error Stopping() { return Unavailable("STOPPING", "the server stops; go on where this watch ends, once it is back"); }

}  // namespace

class Watches::Flow : public Outflow {
 public:
  Flow(std::shared_ptr<Watches> watches, Id id) : watches_(std::move(watches)), id_(id) {}
  ~Flow() override { Leave(); }

  void Next(Take take) override {
    {
      MutexLock lock(watches_->mutex_);
      if (!watches_->stopped_) {
        watches_->news_.ready.emplace_back(id_, std::move(take));
        watches_->wake_.NotifyOne();
        return;
      }
    }
    take({.items = {}, .last = true, .error = Stopping(), .position = ""});
  }
  void Leave() override {
    MutexLock lock(watches_->mutex_);
    if (left_ || watches_->stopped_) return;
    left_ = true;
    watches_->news_.left.push_back(id_);
    watches_->wake_.NotifyOne();
  }
  void OnCut(std::function<void()> cut) override {
    MutexLock lock(watches_->mutex_);
    if (!watches_->stopped_) watches_->news_.cuts.emplace_back(id_, std::move(cut));
  }

 private:
  const std::shared_ptr<Watches> watches_;
  const Id id_;
  bool left_ = false;  // Under the lock of watches_.
};

Watches::~Watches() { Stop(); }

size_t Watches::count() const {
  MutexLock lock(mutex_);
  return count_;
}

Status Watches::GoOnAfter(CallContext& call, const std::string& after, Watcher& watcher) {
  int64_t revision = 0;
  const auto [end, failed] = std::from_chars(after.data(), after.data() + after.size(), revision);
  const bool number = failed == std::errc() && end == after.data() + after.size() && after.size() < 20 && revision >= 0;
  if (number) {
    watcher.position = positions_.Find(revision);
  } else {
    WEIR_ASSIGN(watcher.position, positions_.Open(after, watcher.asked));
    WEIR_TRY(positions_.Check(watcher.position));
    revision = watcher.position.revision;
  }
  if (revision == watcher.to->revision()) return {};
  WEIR_ASSIGN(const Past::Turn turn, backends_.past->TakeTurn(call));
  auto then = backends_.store->StateAt(revision);
  if (!then.ok() && then.error().reason == "REVISION_UNKNOWN" && revision < watcher.to->history_floor()) {
    then.error().reason = "WATCH_EXPIRED";
    then.error().message += "; begin anew, with `initial` for what is there";
  }
  WEIR_ASSIGN(watcher.from, std::move(then));
  return {};
}

Status Watches::Start(CallContext& call, const v2::WatchRequest& request) {
  WEIR_ASSIGN(WatchScope scope, WatchScope::Read(request));
  const store::ViewPtr now = backends_.store->Read();
  if (!scope.prefix().empty() && !authz::SeesBelow(*now, call.principal, scope.prefix())) {
    WEIR_TRY(authz::Authorize(*now, call.principal, authz::Right::kRead, scope.prefix()));
  }
  Watcher watcher{.watching = {std::move(scope), call.principal},
                  .token = call.token,
                  .asked = {},
                  .place = places_.Take(call.principal.uid, 1),
                  .from = now,
                  .to = now,
                  .end = {},
                  .cut = {},
                  .walk = {},
                  .position = WatchPosition::Of(*now),
                  .reached = {},
                  .take = {}};
  if (watcher.place == nullptr) {
    call.retry_after = std::chrono::seconds(10);
    return ResourceExhausted("TOO_MANY_WATCHES",
                             "at most {} watches of one caller and {} of all at once; end one first", kOfOne, kOfAll);
  }
  const std::string tenant(TenantOf(watcher.watching.scope.prefix()));
  if (!tenant.empty()) {
    WEIR_ASSIGN(watcher.tenants, quota_->Take(*now, tenant));
  }
  watcher.asked = fmt::format("{} {}", call.principal.uid, watcher.watching.scope.text());
  WEIR_TRY(positions_.Prepare());
  if (request.initial()) {
    watcher.from = nullptr;
    watcher.position = {};
  }
  if (!request.after().empty()) WEIR_TRY(GoOnAfter(call, request.after(), watcher));
  watcher.whole = request.initial() || !request.after().empty();
  if (request.seconds() > 0) watcher.end = backends_.clock->Now() + std::chrono::seconds(request.seconds());
  WEIR_ASSIGN(call.stream, Enter(std::move(watcher)));
  return {};
}

Result<std::shared_ptr<Outflow>> Watches::Enter(Watcher watcher) {
  MutexLock lock(mutex_);
  if (stopped_) return Stopping();
  Open();
  const Id id = next_id_++;
  ++count_;
  news_.fresh.emplace_back(id, std::move(watcher));
  wake_.NotifyOne();
  return std::shared_ptr<Outflow>(std::make_shared<Flow>(shared_from_this(), id));
}

void Watches::Open() {
  if (opened_) return;
  opened_ = true;
  head_ = backends_.store->Read();
  subscription_ =
      backends_.store->Subscribe(head_->revision(), [this](const store::ChangeEvent& event) { Arrive(event); });
  thread_ = std::thread([this] { Run(); });
}

// On the subscription's thread, which waits while there is too much: then the store keeps the states no longer.
void Watches::Arrive(const store::ChangeEvent& event) {
  Arrived arrived{event, event.state.lock()};
  MutexLock lock(mutex_);
  room_.Wait(mutex_, [this]() WEIR_REQUIRES(mutex_) { return stopped_ || news_.arrived.size() < kMostArrived; });
  if (stopped_) return;
  news_.arrived.push_back(std::move(arrived));
  wake_.NotifyOne();
}

void Watches::Stop() {
  std::thread thread;
  std::unique_ptr<store::Subscription> subscription;
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    thread.swap(thread_);
    subscription.swap(subscription_);
  }
  wake_.NotifyAll();
  room_.NotifyAll();
  subscription.reset();
  if (thread.joinable()) thread.join();
}

void Watches::Run() {
  std::vector<Id> more;  // Who has more to tell at once.
  MonoTime next_tick = backends_.clock->Now();
  while (true) {
    News news;
    bool ending = false;
    {
      MutexLock lock(mutex_);
      const auto ready = [&]() WEIR_REQUIRES(mutex_) { return stopped_ || !more.empty() || !news_.empty(); };
      WaitUntil(*backends_.clock, wake_, mutex_, next_tick, ready);
      std::swap(news, news_);
      ending = stopped_;
      room_.NotifyAll();
    }
    std::vector<Id> due = std::move(more);
    more.clear();
    const bool stepped = !news.arrived.empty();
    TakeIn(news, due);
    const MonoTime now = backends_.clock->Now();
    const bool tick = now >= next_tick;
    if (tick) next_tick = now + kTick;
    if (stepped || ending || tick) {
      due.clear();
      for (const auto& [id, watcher] : watchers_) due.push_back(id);
    }
    for (const Id id : due) {
      if (Advance(id, now, tick, ending)) more.push_back(id);
    }
    if (ending) break;
    if (watchers_.empty()) steps_.clear();  // Nobody is behind.
    MutexLock lock(mutex_);
    count_ = watchers_.size() + news_.fresh.size();
  }
  watchers_.clear();
  steps_.clear();
  head_.reset();
  MutexLock lock(mutex_);
  count_ = 0;
}

void Watches::TakeIn(News& news, std::vector<Id>& due) {
  for (Arrived& arrived : news.arrived) Follow(std::move(arrived));
  for (auto& [id, watcher] : news.fresh) {
    Begin(watcher);
    watchers_.emplace(id, std::move(watcher));
  }
  for (auto& [id, cut] : news.cuts) {
    if (const auto watcher = watchers_.find(id); watcher != watchers_.end()) watcher->second.cut = std::move(cut);
  }
  for (auto& [id, take] : news.ready) {
    if (const auto watcher = watchers_.find(id); watcher != watchers_.end()) watcher->second.take = std::move(take);
    due.push_back(id);
  }
  for (const Id id : news.left) watchers_.erase(id);
}

void Watches::Follow(Arrived&& arrived) {
  if (arrived.event.revision <= head_->revision()) return;  // It came with others.
  const bool exact = arrived.state != nullptr;
  store::ViewPtr next = exact ? std::move(arrived.state) : backends_.store->Read();
  if (!watchers_.empty()) {
    steps_.push_back(MakeStep(head_, next, exact ? &arrived.event : nullptr));
    if (steps_.size() > kSteps) steps_.pop_front();
  }
  head_ = std::move(next);
}

void Watches::WalkTo(Watcher& watcher, store::ViewPtr from, store::ViewPtr to, std::string base, int64_t revision) {
  watcher.reached = WatchPosition::Of(*to);
  watcher.walk.emplace(std::move(from), std::move(to), std::move(base), revision);
}

void Watches::Begin(Watcher& watcher) {
  const MonoTime now = backends_.clock->Now();
  watcher.next_beat = now + kBeat;
  watcher.took = now;
  watcher.say_end = watcher.whole;
  const bool knows = watcher.from != nullptr;
  // When it was asked for, more may have been followed already, or less.
  const bool old = watcher.to->revision() < head_->revision() &&
                   (steps_.empty() || steps_.front().before->revision() > watcher.to->revision());
  store::ViewPtr to = old ? head_ : std::move(watcher.to);
  if (!knows || watcher.whole || old) WalkTo(watcher, std::move(watcher.from), std::move(to), "", 0);
  watcher.from.reset();
  watcher.to.reset();
}

bool Watches::Behind(const Watcher& watcher) const {
  return !watcher.walk && !steps_.empty() && steps_.front().before->revision() > watcher.position.revision;
}

Outflow::Piece Watches::Last(const Watcher& watcher, std::optional<Error> error) const {
  const bool somewhere = !watcher.position.mark.empty();
  return {.items = {}, .last = true, .error = std::move(error), .position = somewhere ? Sealed(watcher) : ""};
}

bool Watches::Advance(Id id, MonoTime now, bool tick, bool ending) {
  const auto found = watchers_.find(id);
  if (found == watchers_.end()) return false;
  Watcher& watcher = found->second;
  if (!watcher.take) {
    const bool stuck = (Behind(watcher) || watcher.walk) && now - watcher.took > kPatience;
    if (stuck && watcher.cut) std::exchange(watcher.cut, nullptr)();
    return false;
  }
  std::optional<Outflow::Piece> piece = NextPiece(watcher, now, tick, ending);
  if (!piece) return watcher.walk.has_value();
  watcher.took = now;
  const bool last = piece->last;
  std::exchange(watcher.take, nullptr)(std::move(*piece));
  if (last) watchers_.erase(found);
  return false;
}

std::optional<Outflow::Piece> Watches::NextPiece(Watcher& watcher, MonoTime now, bool tick, bool ending) {
  if (ending) return Last(watcher, Stopping());
  if (const auto known = backends_.authn->Authenticate(watcher.token); !known.ok()) return Last(watcher, known.error());
  if (Behind(watcher)) {
    return Last(watcher,
                ResourceExhausted("WATCH_TOO_SLOW",
                                  "what changes is not read as fast as it changes; go on where this watch ends"));
  }
  if (watcher.end && now >= *watcher.end) return Last(watcher, std::nullopt);
  Outflow::Piece piece;
  GoOn(watcher, piece);
  // By the clock alone: when something changes of which the caller may know nothing, he is told no sooner.
  if (tick && now >= watcher.next_beat) {
    if (piece.items.empty() && !watcher.walk) piece.items.push_back({Bookmark(false), Sealed(watcher)});
    while (now >= watcher.next_beat) watcher.next_beat += kBeat;
  }
  if (piece.items.empty()) return std::nullopt;
  return piece;
}

void Watches::GoOn(Watcher& watcher, Outflow::Piece& piece) {
  const store::ViewPtr now = backends_.store->Read();
  if (watcher.walk) WalkOn(watcher, *now, piece.items);
  auto step = std::lower_bound(steps_.begin(), steps_.end(), watcher.position.revision,
                               [](const Step& one, int64_t told) { return one.position.revision <= told; });
  for (; step != steps_.end() && !watcher.walk && piece.items.size() < kMostItems; ++step) {
    TakeStep(watcher, *step, *now, piece.items);
  }
}

void Watches::TakeStep(Watcher& watcher, Step& step, const store::View& now, std::vector<Outflow::Item>& items) {
  const std::optional<std::string> moved = MovedBelow(watcher.watching, step);
  const size_t told = items.size();
  for (Delta& delta : step.deltas) {
    const std::string& fqn = delta.after() != nullptr ? delta.after()->fqn : delta.before()->fqn;
    if (moved && (moved->empty() || resource::IsAtOrBelow(fqn, *moved))) continue;
    Tell(watcher.watching, *step.before, *step.after, now, delta, items);
  }
  if (moved) return WalkTo(watcher, step.before, step.after, *moved, step.position.revision);
  watcher.position = step.position;
  if (items.size() > told) items.back().position = Sealed(watcher);
}

void Watches::WalkOn(Watcher& watcher, const store::View& now, std::vector<Outflow::Item>& items) {
  if (!watcher.walk->Next(watcher.watching, now, items)) return;
  const store::ViewPtr after = watcher.walk->after();
  watcher.walk.reset();
  watcher.position = watcher.reached;
  if (watcher.say_end) {
    items.push_back({Bookmark(true), Sealed(watcher)});
  } else if (!items.empty()) {
    items.back().position = Sealed(watcher);
  }
  watcher.say_end = false;
  // It took longer than steps are kept, and not for want of reading.
  if (Behind(watcher)) WalkTo(watcher, after, head_, "", 0);
}

std::shared_ptr<Watches> AddWatches(MethodTable& table, const Backends& backends, std::shared_ptr<WatchQuota> quota) {
  const auto watches = std::make_shared<Watches>(backends, std::move(quota));
  table.Add("weir.v2.Watches.Watch",
            [watches](CallContext& call, const google::protobuf::Message& request) -> Result<MessagePtr> {
              WEIR_TRY(watches->Start(call, static_cast<const v2::WatchRequest&>(request)));
              return MessagePtr();
            });
  return watches;
}

}  // namespace weir::services
