#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libs/net/loop.h"
#include "libs/proxy/access_log.h"
#include "libs/proxy/engine.h"
#include "libs/proxy/plan.h"
#include "libs/proxy/upstream.h"

namespace weir::proxy {

class Session;
class ListenerSocket;

// Answers of one (host, cluster), by status.
struct Counters {
  std::string host;
  std::string cluster;                          // Weir cluster; "" = answered here.
  std::vector<std::pair<int, uint64_t>> codes;  // A handful.

  void Add(int code) {
    for (auto& [known, count] : codes) {
      if (known == code) {
        ++count;
        return;
      }
    }
    codes.emplace_back(code, 1);
  }
};

// Everything one thread of the data plane owns. Only its own thread touches it once it runs.
class Worker {
 public:
  static Result<std::unique_ptr<Worker>> New(const Options& options);
  ~Worker();

  // Serves `plan` from now on; `opened` are sockets for keys that were not served yet.
  void Swap(std::shared_ptr<const Plan> plan, std::vector<std::pair<std::string, net::Fd>> opened);
  void SetIdentity(std::shared_ptr<const net::TlsIdentity> identity) { identity_ = std::move(identity); }
  void Drain(std::function<void()> done);

  net::Loop& loop() { return *loop_; }
  const Limits& limits() const { return options_.limits; }
  const net::Address* source() const { return source_.size() > 0 ? &source_ : nullptr; }
  const std::shared_ptr<const Plan>& plan() const { return plan_; }
  uint64_t epoch() const { return epoch_; }
  const std::shared_ptr<const net::TlsIdentity>& identity() const { return identity_; }
  bool draining() const { return draining_; }
  AccessLog& log() { return log_; }

  // The state of a cluster of the current plan; null when it does not exist.
  std::shared_ptr<ClusterState> ClusterNamed(const std::string& name);
  Counters* CountersFor(std::string_view host, std::string_view cluster);
  std::string_view NewRequestId();  // A version 4 UUID; valid until the next call.
  // At most a few lines per second, so that a peer cannot flood the log.
  bool MayLog();

  void Opened(Session* session);
  void Closed(Session* session);
  size_t open() const { return sessions_.size(); }
  size_t in_flight() const;
  void Opened(Upstream* upstream);
  void Closed(Upstream* upstream);

  Stats stats;
  const std::vector<std::unique_ptr<Counters>>& counters() const { return counters_; }

  // Scratch of the parsers: large, one per thread.
  net::RequestHead request_head;
  net::ResponseHead response_head;
  std::string target;

 private:
  struct DrainTimer : net::Timer {
    explicit DrainTimer(Worker& owner) : worker(owner) {}
    void OnTimer() override { worker.OnDrainTimer(); }
    Worker& worker;
  };
  explicit Worker(const Options& options) : options_(options), drain_timer_(*this) {}
  void OnDrainTimer();
  void Drained();

  Options options_;
  net::Address source_;
  std::unique_ptr<net::Loop> loop_;
  std::shared_ptr<const Plan> plan_;
  uint64_t epoch_ = 0;
  std::shared_ptr<const net::TlsIdentity> identity_;
  TextMap<std::unique_ptr<ListenerSocket>> sockets_;  // By key.
  TextMap<std::shared_ptr<ClusterState>> clusters_;
  std::vector<std::unique_ptr<Counters>> counters_;
  TextMap<Counters*> counters_by_key_;
  std::vector<Session*> sessions_;  // Each knows its place.
  std::vector<Upstream*> upstreams_;
  AccessLog log_;
  std::array<uint64_t, 2> random_{};
  std::array<char, 36> request_id_{};
  uint64_t log_window_ms_ = 0;
  int log_lines_ = 0;
  bool draining_ = false;
  uint64_t drain_deadline_ms_ = 0;
  std::function<void()> drained_;
  DrainTimer drain_timer_;
};

// One listening socket of one worker.
class ListenerSocket : public net::Watcher, public net::Deferred, public net::Timer, public net::TlsNames {
 public:
  static constexpr int kAcceptsPerTurn = 64;

  ListenerSocket(Worker& worker, net::Fd fd) : worker_(worker), fd_(std::move(fd)) {}
  Status Open();
  Status Reopen(net::Fd fd);  // Closed before.
  void Close();               // Takes in what the kernel has queued for it first. `planned` stays.
  bool is_open() const { return static_cast<bool>(fd_); }

  void OnEvents(uint32_t) override { Accept(); }
  void OnDeferred() override { Accept(); }
  void OnTimer() override { Accept(); }
  std::shared_ptr<const net::TlsPeerRule> RuleFor(std::string_view sni) override;

  std::shared_ptr<const PlannedListener> planned;  // Null once it is no longer served.

 private:
  void Accept();
  bool AcceptOne();

  Worker& worker_;
  net::Fd fd_;
};

}  // namespace weir::proxy
