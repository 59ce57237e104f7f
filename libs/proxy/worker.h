#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libs/net/loop.h"
#include "libs/proxy/access_log.h"
#include "libs/proxy/digest_streams.h"
#include "libs/proxy/engine.h"
#include "libs/proxy/plan.h"
#include "libs/proxy/upstream.h"

namespace weir::proxy {

class Session;
class Health;
class ListenerSocket;

// Answers of one (set, host, cluster), by status, and how many of late.
struct Counters {
  static constexpr uint64_t kWindow = 10;  // Seconds, the present one not counted.
  static constexpr uint64_t kRing = 16;

  std::string set;  // Name in Snapshot::destination_sets; "" = answered here.
  std::string host;
  std::string cluster;                          // Weir cluster; "" = answered here.
  std::vector<std::pair<int, uint64_t>> codes;  // A handful.
  std::array<uint32_t, kRing> recent{};         // By second.
  uint64_t second = 0;                          // The newest in `recent`.

  void Add(int code, uint64_t now_ms) {
    if (now_ms / 1000 != second) Advance(now_ms / 1000);
    ++recent[second % kRing];
    for (auto& [known, count] : codes) {
      if (known == code) {
        ++count;
        return;
      }
    }
    codes.emplace_back(code, 1);
  }
  void Advance(uint64_t to);
  uint64_t Recent(uint64_t now_ms);  // In the window.
};

// Everything one thread of the data plane owns. Only its own thread touches it once it runs.
class Worker {
 public:
  static Result<std::unique_ptr<Worker>> New(const Options& options);
  ~Worker();

  // Serves `plan` from now on; `opened` are sockets for keys that were not served yet.
  void ServePlan(std::shared_ptr<const Plan> plan, std::vector<std::pair<std::string, net::Fd>> opened);
  void SetIdentity(std::shared_ptr<const net::TlsIdentity> identity);
  // `handed_over`: a successor accepts from the listening sockets that were exported.
  void Drain(bool handed_over, std::function<void()> done);
  // Copies of the listening sockets, with their keys.
  std::vector<std::pair<std::string, net::Fd>> ExportSockets();

  net::Loop& loop() { return *loop_; }
  const Limits& limits() const { return options_.limits; }
  const net::Address* source() const { return source_.size() > 0 ? &source_ : nullptr; }
  const std::shared_ptr<const Plan>& plan() const { return plan_; }
  uint64_t epoch() const { return epoch_; }
  const std::shared_ptr<const net::TlsIdentity>& identity() const { return identity_; }
  // Whether the peer of a connection that stands is still somebody; plain ones have no peer to doubt.
  bool StillAdmits(const net::Transport& transport) const {
    return transport.tls() == nullptr || identity_ == nullptr || identity_->StillAdmits(*transport.tls());
  }
  bool draining() const { return draining_; }
  bool handed_over() const { return handed_over_; }  // Draining, and a successor serves the same addresses.
  AccessLog& log() { return log_; }

  // The state of a destination set of the current plan; null when it does not exist.
  std::shared_ptr<DestinationState> DestinationNamed(const std::string& name);
  Counters* CountersFor(std::string_view set, std::string_view host, std::string_view cluster);
  std::string_view NewRequestId();  // A version 4 UUID; valid until the next call.
  std::string_view Date();          // Now, as Date says it (RFC 9110 section 5.6.7); valid until the next call.
  // At most a few lines per second, so that a peer cannot flood the log.
  bool MayLog();

  // Worker 0 of the engine, before it runs: judges for all; `publish` hands its word to every worker.
  void StartHealth(std::function<void(std::shared_ptr<const HealthUpdate>)> publish);
  void ReportTo(Worker& judging);  // Any worker; it outlives this one's run.
  std::vector<SetHealthReport> HealthReport() const;
  Health* judge() { return judge_.get(); }  // Null unless it is worker 0, running.
  DigestStreams& digests() { return digests_; }
  Counters* HealthCounters() { return &health_counters_; }  // Not reported.
  // What worker 0 has found out, for this worker.
  void TakeHealth(const std::shared_ptr<const HealthUpdate>& update);
  // Can anybody in this destination set of the current plan serve, as far as is known? `reason`: why not.
  bool CanServe(const std::string& destination, traffic::Reason* reason) const;
  const TextMap<std::shared_ptr<const SetHealth>>& health() const { return health_; }
  // Hands what an exchange has taught to worker 0.
  void ReportOutcome(RequestOutcome outcome);

  void Add(Session* session);
  void Remove(Session* session);
  size_t open() const { return sessions_.size(); }
  size_t in_flight() const;
  void Add(Upstream* upstream);
  void Remove(Upstream* upstream);
  bool CloseOneIdle();  // An upstream connection that nobody uses, for its descriptor. False: there is none.

  Stats stats;
  const std::vector<std::unique_ptr<Counters>>& counters() const { return counters_; }

  // Scratch of the parsers: large, one per thread.
  codec::RequestHead request_head;
  codec::ResponseHead response_head;
  std::string target;

 private:
  struct DrainTimer : net::Timer {
    explicit DrainTimer(Worker& owner) : worker(owner) {}
    void OnTimer() override { worker.OnDrainTimer(); }
    Worker& worker;
  };
  explicit Worker(const Options& options);
  void OnDrainTimer();
  void Drained();
  void FreeWhatWaitsFor(const std::shared_ptr<Pool>& pool);

  Options options_;
  net::Address source_;
  std::unique_ptr<net::Loop> loop_;
  std::shared_ptr<const Plan> plan_;
  uint64_t epoch_ = 0;
  std::shared_ptr<const net::TlsIdentity> identity_;
  TextMap<std::unique_ptr<ListenerSocket>> sockets_;  // By key.
  TextMap<std::shared_ptr<DestinationState>> destinations_;
  TextMap<std::shared_ptr<const SetHealth>> health_;  // By set; only those worker 0 has spoken of.
  std::function<void(RequestOutcome)> report_;
  std::unique_ptr<Health> judge_;  // Worker 0 only.
  DigestStreams digests_{*this};
  Counters health_counters_;
  std::vector<std::unique_ptr<Counters>> counters_;
  TextMap<Counters*> counters_by_key_;
  std::vector<Session*> sessions_;  // Each knows its place.
  std::vector<Upstream*> upstreams_;
  AccessLog log_;
  std::array<uint64_t, 2> random_{};
  std::array<char, 36> request_id_{};
  std::array<char, 29> date_{};
  uint64_t date_s_ = UINT64_MAX;  // Of the loop's clock, when date_ was written.
  uint64_t log_window_ms_ = 0;
  int log_lines_ = 0;
  bool draining_ = false;
  bool handed_over_ = false;
  uint64_t drain_deadline_ms_ = 0;
  std::function<void()> drained_;
  DrainTimer drain_timer_;
};

// The listening sockets of one worker for one address: one, or more when a predecessor had more workers.
class ListenerSocket : public net::Watcher, public net::Deferred, public net::Timer, public net::TlsNames {
 public:
  static constexpr int kAcceptsPerTurn = 64;

  explicit ListenerSocket(Worker& worker) : worker_(worker) {}
  Status Add(net::Fd fd);
  // Takes in what the kernel has queued for it first, unless a successor does. `planned` stays.
  void Close(bool handed_over = false);
  void Export(const std::string& key, std::vector<std::pair<std::string, net::Fd>>& out);

  void OnEvents(uint32_t) override { Accept(); }
  void OnDeferred() override { Accept(); }
  void OnTimer() override { Accept(); }
  std::shared_ptr<const net::TlsPeerRule> RuleFor(std::string_view sni) override;

  std::shared_ptr<const PlannedListener> planned;  // Null once it is no longer served.

 private:
  struct Socket {
    net::Fd fd;
    bool exported = false;
  };
  void Accept();
  bool AcceptOne(int fd);

  Worker& worker_;
  std::vector<Socket> sockets_;
  size_t descriptors_ = 0;  // The limit of the process, and
  bool scarce_ = false;     // too few of them are left: callers wait in the kernel's queue.
};

}  // namespace weir::proxy
