#include "libs/traffic/judge.h"

#include <algorithm>

namespace weir::traffic {
namespace {

// Times that nobody means must not wrap around.
uint64_t Plus(uint64_t at, uint64_t by) { return at > UINT64_MAX - by ? UINT64_MAX : at + by; }

}  // namespace

void Streak::RecordGood(uint32_t up_after) {
  if (evidence_ == Evidence::kGood) {
    against_ = 0;
  } else if (!proven_ || ++against_ >= up_after) {
    SetEvidence(Evidence::kGood);
  }
}

void Streak::RecordBad(uint32_t down_after) {
  if (evidence_ == Evidence::kBad) {
    against_ = 0;
  } else if (evidence_ == Evidence::kNone || ++against_ >= down_after) {
    SetEvidence(Evidence::kBad);
  }
}

void Streak::SetEvidence(Evidence evidence) {
  evidence_ = evidence;
  proven_ |= evidence == Evidence::kGood;
  against_ = 0;
}

uint64_t ClusterJudge::HoldEnds() const { return proven_ ? Plus(judged_ms_, times_.hold_ms) : 0; }

void ClusterJudge::SetTimes(const JudgeTimes& times, uint64_t now_ms) {
  if (times == times_) return;
  times_ = times;
  Advance(now_ms);
}

void ClusterJudge::Observe(Evidence evidence, uint64_t now_ms) {
  Advance(now_ms);
  if (evidence == evidence_) return;
  evidence_ = evidence;
  if (evidence == Evidence::kBad) {
    judged_ms_ = now_ms;
    state_ = State::kOut;
    return;
  }
  if (state_ == State::kOut && !proven_) {
    state_ = State::kUp;
  }
  if (evidence == Evidence::kGood) proven_ = true;
  Advance(now_ms);
}

void ClusterJudge::Advance(uint64_t now_ms) {
  if (state_ == State::kOut && evidence_ == Evidence::kGood && now_ms >= HoldEnds()) {
    state_ = State::kReturning;
    began_ms_ = now_ms;
  }
  if (state_ != State::kReturning) return;
  const uint64_t passed = now_ms - std::min(now_ms, began_ms_);
  if (passed >= times_.slow_return_ms) {
    state_ = State::kUp;
    return;
  }
  // Every step lasts a tenth of the time, the last one included.
  step_ = static_cast<uint32_t>(std::min<uint64_t>(
      Candidate::kFull, 1 + passed / std::max<uint64_t>(1, times_.slow_return_ms / Candidate::kFull)));
}

uint64_t ClusterJudge::deadline_ms() const {
  if (state_ == State::kOut) return evidence_ == Evidence::kGood ? HoldEnds() : kNever;
  if (state_ != State::kReturning) return kNever;
  const uint64_t step = std::max<uint64_t>(1, times_.slow_return_ms / Candidate::kFull);
  if (step_ >= Candidate::kFull) return Plus(began_ms_, times_.slow_return_ms);
  return Plus(began_ms_, std::min(step_ * step, times_.slow_return_ms));
}

}  // namespace weir::traffic
