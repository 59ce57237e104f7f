#include "libs/proxy/upstream.h"

namespace weir::proxy {

// In turn: nothing is known that would speak for one of them.
Choice DestinationState::PickAnyway() {
  anyway_.Update(source_->mode, CandidatesOf(*source_, nullptr));
  const size_t index = anyway_.Next();
  if (index == traffic::QuotaSchedule::kNone || localities_[index].pools.empty()) return {};
  LocalityState& locality = localities_[index];
  if (locality.next >= locality.pools.size()) locality.next = 0;
  return {index, locality.pools[locality.next++]};
}

}  // namespace weir::proxy
