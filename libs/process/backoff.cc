#include "libs/process/backoff.h"

#include <algorithm>
#include <memory>
#include <random>

namespace weir::process {

Duration Backoff::Next(Duration limit) {
  Duration ceiling = bounds_.first;
  for (uint32_t i = 0; i < failures_ && ceiling < bounds_.most; ++i) ceiling *= 2;
  if (ceiling < bounds_.most) ++failures_;  // Counted no further than it matters.
  ceiling = std::max(bounds_.first, std::min({ceiling, bounds_.most, limit}));
  const Duration floor = bounds_.first / 2;
  return floor + Duration(static_cast<int64_t>(static_cast<double>((ceiling - floor).count()) * random_()));
}

Backoff::Random Backoff::RealRandom() {
  return [engine = std::make_shared<std::minstd_rand>(std::random_device{}())] {
    return std::uniform_real_distribution<double>(0, 1)(*engine);
  };
}

}  // namespace weir::process
