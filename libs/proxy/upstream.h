#pragma once

#include <boost/intrusive/list.hpp>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
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
  static constexpr uint64_t kTrialMs = 1'000;
  static constexpr uint64_t kSlowStartMs = 10'000;

  Endpoint endpoint;
  net::Address address;
  std::string sni;
  PeerWire wire;
  uint64_t connect_timeout_ms = 500;
  std::vector<Upstream*> idle;             // The last one in is the first out: its congestion window is warm.
  boost::intrusive::list<Waiter> waiting;  // Oldest first. Somebody connects as long as it is not empty.
  size_t connecting = 0;
  size_t open = 0;                         // Idle ones and those at work.
  double connects_left = kConnectsAtOnce;  // A token bucket,
  uint64_t connects_ms = 0;                // as of then.
  uint32_t lost_in_a_row = 0;              // Exchanges that ended without an answer.
  uint64_t answered_ms = 0;
  uint64_t tried_ms = 0;     // The last single request of a trial.
  uint64_t returned_ms = 0;  // Since then others no longer go first; 0 = it was never out.
  bool out = false;          // Others are tried first.
  bool unreachable = false;  // This worker could not connect, and worker 0 has not spoken yet.
  bool dead = false;         // It does not answer at all.
  bool on_trial = false;     // It was silent: single requests until it answers.
  bool retired = false;      // No longer configured: connections close after use.
  RulesPtr rules{};          // Which of the host's rules it serves; null = all.

  // Requests that are with it or wait for it.
  size_t load() const { return open - idle.size() + waiting.size(); }
  bool Serves(std::string_view target) const;
  // Slow start: the part of its turns that one takes which was out until a moment ago, in thousandths.
  uint32_t TurnsPerMille(uint64_t now_ms) const;
  std::vector<Session*> Waiting();
  // May another connection be opened now? The only one under way always may.
  bool MayConnect(uint64_t now_ms);
  // It has just answered: a connect without an answer is a lost packet or a full backlog, not the end.
  bool AnsweredJustNow(uint64_t now_ms) const { return open > 0 && now_ms <= answered_ms + 100; }
};

// Where a request goes: one endpoint of one locality.
struct Choice {
  size_t locality = SIZE_MAX;
  std::shared_ptr<Pool> pool;
};

// A request that looks for an endpoint.
struct Seeking {
  std::string_view target;  // Canonical, may carry a query: which of the host's rules it falls under.
  uint64_t now_ms = 0;
  std::span<const std::shared_ptr<Pool>> tried{};  // Where it has been.
};

// One destination set as one worker sees it: whose turn it is, and the pools.
class DestinationState {
 public:
  // Takes over pools and health of endpoints that stay; shares restart counting only when they changed.
  void Update(std::shared_ptr<const DestinationSet> destination, uint64_t now_ms);
  const DestinationSet* source() const { return source_.get(); }
  // What worker 0 knows now; null = nothing. Returns the pools that were judged dead just now.
  std::vector<std::shared_ptr<Pool>> SetHealth(std::shared_ptr<const proxy::SetHealth> health, uint64_t now_ms);
  const proxy::SetHealth* health() const { return health_.get(); }

  // The next choice by shares, and in the cluster the less busy of two endpoints; pool is null when none can serve.
  // Health costs it nothing while all rules of the host are alike.
  Choice Pick(const Seeking& seeking);
  // Of all that are not drained, by weight and whatever is known of them; for when nobody can serve.
  Choice PickAnyway();
  // For a retry: leaves out every locality it has been in; when no other can serve, another endpoint of those.
  Choice PickInstead(const Seeking& seeking);
  // Where `pool` stands now; SIZE_MAX when it was taken away by an update.
  size_t LocalityOf(const Pool* pool) const;
  // What an exchange taught about its endpoint (traffic::RequestEvidence says what follows): until worker 0 has spoken,
  // others go first.
  void RecordFailure(Worker& worker, const Choice& choice, traffic::Failure failure);
  // The endpoint answered, whatever it said.
  void RecordAnswer(Worker& worker, const Choice& choice);
  // Share of a locality now, 0..1, by weights and health.
  double Intended(size_t locality) const { return schedule_.Intended(locality); }
  void Retire();  // The destination set is gone: closes what is idle.

  const std::string& LocalityName(size_t locality) const { return localities_[locality].name; }
  Counters* CountersFor(Worker& worker, size_t locality, const traffic::VirtualHost* host);
  uint64_t epoch = 0;  // Of the plan it was last compared with.
  traffic::RetryBudget budget;

 private:
  struct LocalityState {
    std::string name;
    std::vector<std::shared_ptr<Pool>> pools;
    size_t next = 0;
    uint32_t dice = 1;
    bool suspect = false;  // This worker has just seen its last endpoint fail; worker 0 has not spoken yet.
    // Most destination sets serve one host.
    std::vector<std::pair<const traffic::VirtualHost*, Counters*>> counters;
  };
  // The shares among those that can serve one rule of the host.
  struct RuleShares {
    traffic::PathKind kind = traffic::PathKind::kPrefix;
    std::string path;
    traffic::ShareSchedule schedule;
  };
  static std::shared_ptr<Pool> NextPool(LocalityState& locality, const Seeking& seeking);
  static std::shared_ptr<Pool> SecondBest(LocalityState& locality, const Seeking& seeking);
  const traffic::RuleHealth* RuleIn(size_t locality, std::string_view target) const;
  traffic::ShareSchedule& ScheduleFor(std::string_view target);
  std::vector<traffic::Candidate> CandidatesFor(std::string_view target) const;
  void ApplyHealth(uint64_t now_ms);
  void Reschedule();
  std::vector<traffic::Candidate> Candidates() const;

  std::shared_ptr<const DestinationSet> source_;
  std::vector<LocalityState> localities_;
  std::shared_ptr<const proxy::SetHealth> health_;
  traffic::ShareSchedule schedule_;
  traffic::ShareSchedule anyway_;
  std::vector<traffic::ShareSchedule> instead_;  // By the locality left out.
  bool rules_differ_ = false;                    // Some locality serves only some rules of the host.
  std::vector<RuleShares> by_rule_;
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
  // Connects for those who wait.
  enum class Connects : uint8_t {
    kUnderWay,
    kRefused,  // At once, and no other attempt is under way.
    kShort,    // The same, for want of a descriptor, buffer or port here: it says nothing about the endpoint.
  };
  static Connects ConnectFor(Worker& worker, const std::shared_ptr<Pool>& pool);
  // The exchange is over and both sides agree on where the next begins.
  void Release();
  void Close();
  // The membership of the peer has ended: whoever waits for its answer is told that the connection is lost.
  void CloseAsLost();
  bool peer_known() const { return state_ == State::kIdle || state_ == State::kBusy; }
  // Sending failed; what it has answered before may still be there to read.
  void SendFailed();
  void Resume() {
    if (state_ == State::kBusy) transport.loop().Defer(*this);
  }

  void OnEvents(uint32_t events) override;
  void OnDeferred() override;
  void OnTimer() override;

  const std::shared_ptr<Pool>& pool() const { return pool_; }
  bool idle() const { return state_ == State::kIdle; }
  uint64_t given_ms() const { return given_ms_; }  // Since when the present exchange has it.

  net::Transport transport;
  Session* session = nullptr;
  std::string head;     // Of the request under way; kept for a replay, its memory for the next one.
  std::string pending;  // Part of a response head.
  size_t place = 0;     // In the worker's list.

 private:
  static constexpr uint64_t kPatienceMs = 200;

  Status Connect();
  void Connected();
  void ServeNext();
  void ServeNextOrIdle();
  static void ConnectFailed(Worker& worker, const std::shared_ptr<Pool>& pool, bool local);
  enum class Cause : uint8_t { kRefused, kSilent, kLocal };  // kSilent: nothing came at all.
  void Fail(const std::string& why, Cause cause = Cause::kRefused);
  void ContinueHandshake();
  void Readable();
  void IdleReadable();

  Worker& worker_;
  std::shared_ptr<Pool> pool_;
  State state_ = State::kConnecting;
  uint64_t given_ms_ = 0;
  uint64_t due_ms_ = 0;   // When it must be connected.
  bool patient_ = false;  // It was given more time, because this thread had none.
};

}  // namespace weir::proxy
