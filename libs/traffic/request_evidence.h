#pragma once

#include <cstdint>

#include "libs/traffic/reason.h"

namespace weir::traffic {

// What requests have taught about one endpoint, beside what its checks or its digest say. A doubt ends by itself: after
// 1 s, then 2 s, up to 16 s, when there is nothing new for 30 s it begins at 1 s again. Times in milliseconds of any
// monotonic clock; no clock inside.
class RequestEvidence {
 public:
  static constexpr uint64_t kFirstDoubtMs = 1'000, kLongestDoubtMs = 16'000, kForgetMs = 30'000;
  static constexpr uint32_t kLostInARow = 5;    // Connections that ended without an answer, before others go first.
  static constexpr uint32_t kSilentInARow = 3;  // Requests without an answer, before nobody is sent there.

  // False: nothing new, a doubt runs already.
  bool RecordFailure(Failure failure, uint64_t now_ms);
  // A request was answered, whatever the answer.
  void RecordAnswer();
  // A check, or the digest of a gateway, says that it is well. About silence that proves nothing: who takes a
  // connection may still say nothing to requests.
  void RecordHealthy();

  // Others go first.
  bool doubted(uint64_t now_ms) const { return now_ms < until_ms_; }
  // Nobody could connect: not to be used while there is a choice between clusters.
  bool unreachable(uint64_t now_ms) const { return doubted(now_ms) && failure_ == Failure::kConnect; }
  // Proven: it takes requests and answers none.
  bool silent(uint64_t now_ms) const { return doubted(now_ms) && silent_ >= kSilentInARow; }
  // The doubt about its silence is over, but it has not answered yet: to be tried with single requests.
  bool on_trial(uint64_t now_ms) const { return !doubted(now_ms) && silent_ > 0; }
  Failure failure() const { return failure_; }  // The last one; kNone = none that counts any more.
  uint64_t deadline_ms(uint64_t now_ms) const { return doubted(now_ms) ? until_ms_ : UINT64_MAX; }

 private:
  Failure failure_ = Failure::kNone;
  uint32_t silent_ = 0;  // In a row.
  uint32_t strikes_ = 0;
  uint64_t until_ms_ = 0;
  uint64_t failed_ms_ = 0;
};

}  // namespace weir::traffic
