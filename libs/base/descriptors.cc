#include "libs/base/descriptors.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>

namespace weir {
namespace {

size_t Count(rlim_t limit) { return limit == RLIM_INFINITY ? SIZE_MAX : static_cast<size_t>(limit); }

}  // namespace

size_t DescriptorLimit() {
  rlimit limit{};
  return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? Count(limit.rlim_cur) : 1024;
}

size_t RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  return DescriptorLimit();
}

size_t AffordableDescriptors(size_t wished, size_t divisor) {
  return std::clamp<size_t>(DescriptorLimit() / divisor, 16, std::max<size_t>(wished, 16));
}

bool DescriptorsAreScarce() {
  const int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (next < 0) return true;
  close(next);
  const size_t limit = DescriptorLimit();
  return static_cast<size_t>(next) + DescriptorReserve(limit) >= limit;
}

}  // namespace weir
