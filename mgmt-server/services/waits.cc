#include "mgmt-server/services/waits.h"

#include <google/protobuf/message.h>

#include <algorithm>

#include "libs/base/mutex.h"
#include "libs/base/wait.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/status/judgement.h"

namespace weir::services {
namespace {

constexpr size_t kMaxWaits = 1024;
constexpr size_t kMaxOfOne = 32;
constexpr int kDefaultSeconds = 60;
// How often all waits are looked at: often while that is cheap, and never for more than a tenth of the time.
constexpr Duration kOften = std::chrono::milliseconds(5);
constexpr Duration kSeldom = std::chrono::milliseconds(500);

// Waiting longer changes nothing. A workload or service that is missing may be on its way, until the wait is `graced`.
bool Settled(const v2::ResourceStatus& status, bool graced) {
  return status.state() == v2::ResourceStatus::READY || status.state() == v2::ResourceStatus::FAILED ||
         (graced && status::LacksSomething(status));
}

// The states as who waits may be told them. One of a cluster or a setting may speak of a gateway object that is not his
// to read: then only the word of it stays.
void TellTo(const store::View& view, const authn::Principal& principal, const std::vector<std::string>& fqns,
            std::vector<v2::ResourceStatus>& states) {
  for (size_t i = 0; i < states.size(); ++i) {
    v2::ResourceStatus& state = states[i];
    if (state.fqn() == fqns[i]) continue;
    const store::ResourcePtr gateway = view.Get(state.fqn());
    const bool readable = gateway != nullptr && authz::Allowed(view, principal, authz::Right::kRead, *gateway);
    state.set_message(readable ? fmt::format("{}: {}", state.fqn(), state.message())
                               : fmt::format("{}: a gateway object that you may not read", state.reason()));
    state.set_fqn(fqns[i]);
  }
}

}  // namespace

Waits::~Waits() { Stop(); }

void Waits::Check(const std::string& wait, int seconds, std::vector<FieldViolation>& violations) {
  if (!wait.empty() && wait != "applied") {
    violations.push_back({.field = "wait", .description = "must be \"applied\" or left out"});
  }
  if (seconds < 0 || seconds > 300) {
    violations.push_back({.field = "waitSeconds", .description = "must be 1 to 300"});
  }
}

std::shared_ptr<const void> Waits::TakePlace(const std::string& principal, size_t* of_one) {
  MutexLock lock(mutex_);
  const auto known = places_.find(principal);
  *of_one = known == places_.end() ? 0 : known->second;
  if (*of_one >= kMaxOfOne || taken_ >= kMaxWaits) return nullptr;
  ++places_[principal];
  ++taken_;
  return {this, [this, principal](const void*) {
            MutexLock leaving(mutex_);
            --taken_;
            const auto place = places_.find(principal);
            if (--place->second == 0) places_.erase(place);
          }};
}

Status Waits::Start(CallContext& call, Order order, std::function<MessagePtr(std::vector<v2::ResourceStatus>)> render) {
  size_t of_one = 0;
  Wait wait;
  wait.place = TakePlace(call.principal.uid, &of_one);
  if (wait.place == nullptr) {
    return ResourceExhausted("TOO_MANY_WAITS",
                             "{} of your calls and those of others wait for gateways already; ask for "
                             "the status instead",
                             of_one);
  }
  wait.begun = backends_.clock->Now();
  wait.deadline = wait.begun + std::chrono::seconds(order.seconds == 0 ? kDefaultSeconds : order.seconds);
  wait.order = std::move(order);
  wait.gone = call.gone;
  // The door takes it up once the method has returned; a call that is dropped before gives its place back.
  call.later = [this, principal = call.principal, wait = std::move(wait),
                render = std::move(render)](CallContext::Answer answer) {
    Wait taken = wait;
    taken.done = [this, principal, fqns = wait.order.fqns, render,
                  answer = std::move(answer)](std::vector<v2::ResourceStatus> states) {
      TellTo(*backends_.store->Read(), principal, fqns, states);
      answer(render(std::move(states)));
    };
    Add(std::move(taken));
  };
  return {};
}

void Waits::Add(Wait wait) {
  {
    MutexLock lock(mutex_);
    if (!stopped_) {
      fresh_.push_back(std::move(wait));
      if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
      wake_.NotifyOne();
      return;
    }
  }
  Advance(wait, true);
}

bool Waits::Advance(Wait& wait, bool ending) {
  const bool left = wait.gone != nullptr && *wait.gone;
  const MonoTime now = backends_.clock->Now();
  const bool late = ending || left || now >= wait.deadline;
  // A later revision may be judged only once it was compiled; before, everything still looks as it was.
  const bool compiled = backends_.fleet->IsCompiled(wait.order.revision);
  while (!left && wait.states.size() < wait.order.fqns.size() && (compiled || late)) {
    v2::ResourceStatus status =
        backends_.fleet->WaitApplied(wait.order.fqns[wait.states.size()], wait.order.revision, now);
    if (!late && !Settled(status, now - wait.begun >= backends_.grace)) return false;
    if (!compiled) status = status::NotPushed(std::move(status));
    wait.states.push_back(std::move(status));
  }
  if (!late && wait.states.size() < wait.order.fqns.size()) return false;
  wait.place.reset();
  wait.done(std::move(wait.states));
  return true;
}

void Waits::Run() {
  std::list<Wait> waits;
  Duration pause = kOften;
  MutexLock lock(mutex_);
  while (true) {
    if (waits.empty()) {
      wake_.Wait(mutex_, [this]() WEIR_REQUIRES(mutex_) { return stopped_ || !fresh_.empty(); });
    } else {
      WaitFor(*backends_.clock, wake_, mutex_, pause,
              [this]() WEIR_REQUIRES(mutex_) { return stopped_ || !fresh_.empty(); });
    }
    waits.splice(waits.end(), fresh_);
    const bool ending = stopped_ || *backends_.stopping;
    lock.Unlock();
    const MonoTime begin = backends_.clock->Now();
    waits.remove_if([&](Wait& wait) { return Advance(wait, ending); });
    pause = std::clamp<Duration>(10 * (backends_.clock->Now() - begin), kOften, kSeldom);
    lock.Lock();
    if (stopped_ && waits.empty() && fresh_.empty()) return;
  }
}

void Waits::Stop() {
  std::thread thread;
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    thread.swap(thread_);
  }
  wake_.NotifyAll();
  if (thread.joinable()) thread.join();
}

size_t Waits::count() const {
  MutexLock lock(mutex_);
  return taken_;
}

}  // namespace weir::services
