#pragma once

#include <boost/intrusive/list.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "libs/codec/http1.h"
#include "libs/net/transport.h"
#include "libs/proxy/health_view.h"
#include "libs/proxy/plan.h"
#include "libs/proxy/snapshot.h"
#include "libs/traffic/retry_budget.h"
#include "libs/traffic/share.h"

namespace weir::proxy {

class Worker;
class Session;
class Upstream;
struct Counters;

// A session whose request waits for a connection of a pool.
struct Waiter : boost::intrusive::list_base_hook<> {};

// The connections of one worker to one endpoint. Requests that find none idle wait in turn for the next one, freed or
// new. New ones are paced: of thousands of requests that come at once (a dead cluster's share) most are served sooner
// by the connections there are than by a handshake each, which costs both ends more than the request.
struct Pool {
  static constexpr double kConnectsAtOnce = 8;
  static constexpr double kConnectsPerSecond = 100;  // Or twice as many as are open: it doubles in half a second.

  Endpoint endpoint;
  net::Address address;
  std::string sni;
  std::shared_ptr<const net::TlsPeerRule> rule;  // Null = plain.
  uint64_t connect_timeout_ms = 500;
  std::vector<Upstream*> idle;             // The last one in is the first out: its congestion window is warm.
  boost::intrusive::list<Waiter> waiting;  // Oldest first. Somebody connects as long as it is not empty.
  size_t connecting = 0;
  size_t open = 0;                         // Idle ones and those at work.
  double connects_left = kConnectsAtOnce;  // A token bucket,
  uint64_t connects_ms = 0;                // as of then.
  uint32_t failures = 0;                   // Exchanges in a row that went wrong here.
  uint64_t answered_ms = 0;
  bool out = false;      // Others are tried first.
  bool dead = false;     // It does not answer at all.
  bool retired = false;  // No longer configured: connections close after use.

  std::vector<Session*> Waiting();
  // May another connection be opened now? The only one under way always may.
  bool MayConnect(uint64_t now_ms);
  // It has just answered: a connect without an answer is a lost packet or a full backlog, not the end.
  bool Lives(uint64_t now_ms) const { return open > 0 && now_ms <= answered_ms + 100; }
};

// Where a request goes: one endpoint of one locality.
struct Choice {
  size_t locality = SIZE_MAX;
  std::shared_ptr<Pool> pool;
};

// One cluster as one worker sees it: whose turn it is, and the pools.
class ClusterState {
 public:
  // Takes over pools and health of endpoints that stay; shares restart counting only when they changed.
  void Update(std::shared_ptr<const Cluster> cluster);
  const Cluster* source() const { return source_.get(); }
  // What worker 0 knows now; null = nothing. Returns the pools that were judged dead just now.
  std::vector<std::shared_ptr<Pool>> SetHealth(std::shared_ptr<const proxy::SetHealth> health);
  const proxy::SetHealth* health() const { return health_.get(); }

  // The next choice by shares; pool is null when none can serve. O(localities): health costs it nothing.
  Choice Pick();
  // For the one retry: leaves the whole locality out; when no other can serve, another endpoint of the same.
  Choice PickInstead(const Choice& failed);
  // Where `pool` stands now; SIZE_MAX when it was taken away by an update.
  size_t LocalityOf(const Pool* pool) const;
  // What an exchange taught about its endpoint: a failed connect takes it out until worker 0 knows better, a row of
  // other failures too. An answer that is no gateway's failure ends the row.
  void Failed(Worker& worker, const Choice& choice, Failure failure);
  static void Succeeded(const Choice& choice, uint64_t now_ms) {
    choice.pool->failures = 0;
    choice.pool->answered_ms = now_ms;
  }
  // Share of a locality now, 0..1, by weights and health.
  double Intended(size_t locality) const { return schedule_.Intended(locality); }
  void Retire();  // The cluster is gone: closes what is idle.

  const std::string& LocalityName(size_t locality) const { return localities_[locality].name; }
  Counters* CountersFor(Worker& worker, size_t locality, const traffic::VirtualHost* host);
  uint64_t epoch = 0;  // Of the plan it was last compared with.
  traffic::RetryBudget budget;

 private:
  struct LocalityState {
    std::string name;
    std::vector<std::shared_ptr<Pool>> pools;
    size_t next = 0;
    bool suspect = false;  // This worker has just seen its last endpoint fail; worker 0 has not spoken yet.
    // Most clusters serve one host.
    std::vector<std::pair<const traffic::VirtualHost*, Counters*>> counters;
  };
  static std::shared_ptr<Pool> NextPool(LocalityState& locality, const Pool* not_this);
  void ApplyHealth();
  void Reschedule();
  std::vector<traffic::Candidate> Candidates() const;

  std::shared_ptr<const Cluster> source_;
  std::vector<LocalityState> localities_;
  std::shared_ptr<const proxy::SetHealth> health_;
  traffic::ShareSchedule schedule_;
  std::vector<traffic::ShareSchedule> instead_;  // By the locality left out.
  std::unordered_map<std::string, std::shared_ptr<Pool>> pools_;
};

// One connection to an endpoint. Serves one exchange at a time; idle ones stand in their pool.
class Upstream : public net::Watcher, public net::Deferred, public net::Timer {
 public:
  enum class State : uint8_t { kConnecting, kHandshake, kIdle, kBusy, kClosed };

  Upstream(Worker& worker, std::shared_ptr<Pool> pool);
  ~Upstream() override;

  // Null = none is idle.
  static Upstream* TakeIdle(Pool& pool, Session* session);
  // Connects for those who wait. False: the kernel refuses at once, and no other attempt is under way.
  static bool ConnectFor(Worker& worker, const std::shared_ptr<Pool>& pool);
  // The exchange is over and both sides agree on where the next begins.
  void Release();
  void Close();
  // Sending failed; what it has answered before may still be there to read.
  void SendFailed();
  void Resume() {
    if (state_ == State::kBusy) transport.loop().Defer(*this);
  }

  void OnEvents(uint32_t events) override;
  void OnDeferred() override;
  void OnTimer() override;

  const std::shared_ptr<Pool>& pool() const { return pool_; }

  net::Transport transport;
  Session* session = nullptr;
  std::string head;     // Of the request under way; kept for a replay, its memory for the next one.
  std::string pending;  // Part of a response head.
  size_t place = 0;     // In the worker's list.

 private:
  Status Connect();
  void Connected();
  void ServeNext();
  void Rest();
  static void ConnectFailed(Worker& worker, const std::shared_ptr<Pool>& pool);
  void Fail(const std::string& why, bool silent = false);  // `silent`: nothing came at all.
  void Shake();
  void Readable();
  void IdleReadable();

  Worker& worker_;
  std::shared_ptr<Pool> pool_;
  State state_ = State::kConnecting;
};

}  // namespace weir::proxy
