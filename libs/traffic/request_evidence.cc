#include "libs/traffic/request_evidence.h"

#include <algorithm>

namespace weir::traffic {

bool RequestEvidence::RecordFailure(Failure failure, uint64_t now_ms) {
  if (failure == Failure::kNone) return false;
  if (failure == Failure::kSilent) ++silent_;
  const bool proves = failure == Failure::kSilent && silent_ == kSilentInARow;
  const bool weightier = failure == Failure::kConnect && failure_ != Failure::kConnect;
  if (doubted(now_ms) && !proves && !weightier) return false;
  if (now_ms > failed_ms_ + kLongestDoubtMs + kForgetMs) strikes_ = 0;
  strikes_ = std::min(strikes_ + 1, 5u);
  failure_ = failure;
  failed_ms_ = now_ms;
  until_ms_ = now_ms + std::min(kFirstDoubtMs << (strikes_ - 1), kLongestDoubtMs);
  return true;
}

void RequestEvidence::RecordAnswer() {
  failure_ = Failure::kNone;
  silent_ = 0;
  until_ms_ = 0;
}

void RequestEvidence::RecordHealthy() {
  if (silent_ > 0) return;
  failure_ = Failure::kNone;
  until_ms_ = 0;
}

}  // namespace weir::traffic
