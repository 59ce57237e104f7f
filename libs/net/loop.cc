#include "libs/net/loop.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

namespace weir::net {
namespace asio = boost::asio;

// The io_context waits on the epoll set as on any readable descriptor: one re-arming per turn, none per socket.
struct Loop::Host {
  explicit Host(int epoll) : context(1), guard(context.get_executor()), set(context, epoll), timer(context) {}
  asio::io_context context;
  asio::executor_work_guard<asio::io_context::executor_type> guard;
  asio::posix::stream_descriptor set;  // Owns the epoll descriptor.
  asio::steady_timer timer;
};

Deferred::~Deferred() {
  if (queued_in_ != nullptr) queued_in_->deferred_[position_] = nullptr;
}

Timer::~Timer() {
  if (link_ != nullptr) wheel_->Clear(*this);
}

void Wheel::Set(Timer& timer, uint64_t deadline_ms) {
  timer.deadline_ms_ = deadline_ms;
  if (timer.link_ != nullptr) {
    if (timer.slot_ms_ <= deadline_ms) return;  // The wheel looks before it is due and puts it on.
    Unlink(timer);
  }
  Link(timer, deadline_ms);
}

void Wheel::Clear(Timer& timer) {
  if (timer.link_ != nullptr) Unlink(timer);
}

void Wheel::Link(Timer& timer, uint64_t at_ms) {
  const uint64_t at_tick = std::max((at_ms + kTickMs - 1) / kTickMs, tick_ + 1);
  Timer** slot = &slots_[at_tick % kSlots];
  timer.slot_ms_ = std::min(at_tick, tick_ + kSlots) * kTickMs;
  timer.wheel_ = this;
  timer.next_ = *slot;
  timer.link_ = slot;
  if (timer.next_ != nullptr) timer.next_->link_ = &timer.next_;
  *slot = &timer;
  ++count_;
}

void Wheel::Unlink(Timer& timer) {
  *timer.link_ = timer.next_;
  if (timer.next_ != nullptr) timer.next_->link_ = timer.link_;
  timer.link_ = nullptr;
  timer.next_ = nullptr;
  --count_;
}

void Wheel::Advance(uint64_t now_ms) {
  const uint64_t target = now_ms / kTickMs;
  if (count_ == 0) tick_ = std::max(tick_, target);
  while (tick_ < target) {
    ++tick_;
    // A handler may set or clear any timer, so the slot is moved to a list of its own that stays linked.
    Timer* due = slots_[tick_ % kSlots];
    slots_[tick_ % kSlots] = nullptr;
    if (due != nullptr) due->link_ = &due;
    while (due != nullptr) {
      Timer& timer = *due;
      Unlink(timer);
      if (timer.deadline_ms_ <= tick_ * kTickMs) {
        timer.OnTimer();
      } else {
        Link(timer, timer.deadline_ms_);
      }
    }
  }
}

Loop::Loop(const Clock& clock) : clock_(clock) {}

Result<std::unique_ptr<Loop>> Loop::New(const Clock& clock) {
  std::unique_ptr<Loop> loop(new Loop(clock));
  loop->epoll_ = epoll_create1(EPOLL_CLOEXEC);
  if (loop->epoll_ < 0) return Internal("EPOLL", "cannot create an epoll set: {}", strerror(errno));
  try {
    loop->host_ = std::make_unique<Host>(loop->epoll_);
  } catch (const std::exception& error) {
    return Internal("EPOLL", "cannot set up an event loop: {}", error.what());
  }
  loop->buffer_ = std::make_unique_for_overwrite<char[]>(kBufferSize);
  loop->ReadClock();
  loop->wheel_ = std::make_unique<Wheel>(loop->now_ms_);
  return loop;
}

Loop::~Loop() {
  FreeRetired();
  if (host_ != nullptr) host_->context.stop();
}

uint64_t MonoMs(const Clock& clock) {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(clock.Now().time_since_epoch()).count());
}

void Loop::Run() {
  // Both handlers re-arm themselves; they are set up here, on the thread that runs them.
  struct Arm {
    Loop* loop;
    void operator()(const boost::system::error_code& error) const {
      if (error) return;
      loop->Turn();
      loop->host_->set.async_wait(asio::posix::stream_descriptor::wait_read, *this);
    }
  };
  host_->set.async_wait(asio::posix::stream_descriptor::wait_read, Arm{this});
  host_->context.run();
}

void Loop::Stop() { host_->context.stop(); }

void Loop::Post(std::function<void()> work) {
  asio::post(host_->context, [this, work = std::move(work)] {
    ReadClock();
    wheel_->Advance(now_ms_);
    work();
    RunDeferred();
    FreeRetired();
  });
}

Status Loop::Add(int fd, Watcher* watcher) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = watcher;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) return Internal("EPOLL", "epoll_ctl: {}", strerror(errno));
  return {};
}

void Loop::Remove(int fd) { epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr); }

void Loop::Defer(Deferred& work) {
  if (work.queued_in_ != nullptr) return;
  work.queued_in_ = this;
  work.position_ = deferred_.size();
  deferred_.push_back(&work);
}

void Loop::Retire(std::unique_ptr<Watcher> watcher) { retired_.push_back(std::move(watcher)); }

void Loop::SetTimer(Timer& timer, uint64_t in_ms) {
  if (wheel_->empty()) wheel_->Advance(now_ms_);  // It stood still meanwhile.
  wheel_->Set(timer, now_ms_ + in_ms);
  if (!ticking_) Tick();
}

void Loop::Tick() {
  ticking_ = true;
  const Duration nap = clock_.MaxSleep(std::chrono::milliseconds(Wheel::kTickMs));
  host_->timer.expires_after(std::chrono::duration_cast<asio::steady_timer::duration>(nap));
  host_->timer.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    ReadClock();
    wheel_->Advance(now_ms_);
    RunDeferred();
    FreeRetired();
    ticking_ = false;
    if (!wheel_->empty()) Tick();
  });
}

void Loop::Turn() {
  epoll_event events[kEventsPerTurn];
  const int count = epoll_wait(epoll_, events, kEventsPerTurn, 0);
  ReadClock();
  for (int i = 0; i < count; ++i) static_cast<Watcher*>(events[i].data.ptr)->OnEvents(events[i].events);
  RunDeferred();
  FreeRetired();
  // More than fit in one turn: the set stays readable, the io_context comes back after its timers.
}

void Loop::RunDeferred() {
  // What the handlers put off in turn waits for the next turn, so that one busy peer cannot hold the thread.
  if (deferred_.empty()) return;
  const size_t count = deferred_.size();
  for (size_t i = 0; i < count; ++i) {
    Deferred* work = std::exchange(deferred_[i], nullptr);
    if (work == nullptr) continue;
    work->queued_in_ = nullptr;
    work->OnDeferred();
  }
  deferred_.erase(deferred_.begin(), deferred_.begin() + static_cast<ptrdiff_t>(count));
  for (size_t i = 0; i < deferred_.size(); ++i) {
    if (deferred_[i] != nullptr) deferred_[i]->position_ = i;
  }
  if (!deferred_.empty())
    asio::post(host_->context, [this] {
      RunDeferred();
      FreeRetired();
    });
}

void Loop::FreeRetired() {
  while (!retired_.empty()) {
    std::vector<std::unique_ptr<Watcher>> dead;
    dead.swap(retired_);
  }
}

}  // namespace weir::net
