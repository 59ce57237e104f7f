#pragma once

#include <cstdint>

#include "libs/traffic/share.h"

namespace weir::traffic {

// What is known about somebody who should serve. kNone: nothing yet; then it counts as able, so that a fresh gateway
// serves before its first check is back.
enum class Evidence : uint8_t { kNone, kGood, kBad };

// Consecutive answers of one endpoint -> evidence. The first answer of all decides at once, and so does the first good
// one: who was never up has nothing to prove that he returns from (Envoy has the same rule at the start of a host).
class Streak {
 public:
  void RecordGood(uint32_t up_after);
  void RecordBad(uint32_t down_after);
  void SetEvidence(Evidence evidence);  // Not counted: the endpoint says so itself.
  Evidence evidence() const { return evidence_; }
  // The last answer contradicts the evidence: it is about to turn.
  bool turning() const { return against_ > 0; }

 private:
  Evidence evidence_ = Evidence::kNone;
  uint32_t against_ = 0;  // Consecutive answers that contradict it.
  bool proven_ = false;   // Seen good at some time.
};

// Milliseconds of any monotonic clock; an agent sets them for its gateways (weir/bootstrap/v1, minimum_hold).
struct JudgeTimes {
  uint64_t hold_ms = 10'000;  // Out at least this long after it was judged down.
  // Then its share grows in Candidate::kFull equal steps over this time; 0 = at once.
  uint64_t slow_return_ms = 10'000;

  bool operator==(const JudgeTimes&) const = default;
};

// May one cluster serve one destination set? It goes down at once when the evidence turns bad (which is itself made of
// consecutive failures), stays out for the hold, and returns in steps. A relapse while it is out begins the hold anew:
// flapping never shortens it. Who was never seen able has nothing to return from: no hold, no steps. No clock inside.
class ClusterJudge {
 public:
  static constexpr uint64_t kNever = UINT64_MAX;

  void SetTimes(const JudgeTimes& times, uint64_t now_ms);
  // What the evidence says from now on. Saying the same again changes nothing.
  void Observe(Evidence evidence, uint64_t now_ms);
  // Lets time pass; call it at deadline_ms (later is harmless).
  void Advance(uint64_t now_ms);

  bool can_serve() const { return state_ != State::kOut; }
  // Out, though nothing speaks against it any more: may serve when nobody else can.
  bool held() const { return state_ == State::kOut && evidence_ != Evidence::kBad; }
  bool proven() const { return proven_; }  // Seen able at some time.
  uint32_t returning() const { return state_ == State::kReturning ? step_ : Candidate::kFull; }
  uint64_t deadline_ms() const;  // When Advance changes something; kNever.

 private:
  enum class State : uint8_t { kUp, kOut, kReturning };
  uint64_t HoldEnds() const;

  JudgeTimes times_;
  State state_ = State::kUp;
  Evidence evidence_ = Evidence::kNone;
  bool proven_ = false;  // Seen able at some time.
  uint32_t step_ = Candidate::kFull;
  uint64_t judged_ms_ = 0;  // The last turn to bad: the hold counts from here.
  uint64_t began_ms_ = 0;   // Of the slow return.
};

}  // namespace weir::traffic
