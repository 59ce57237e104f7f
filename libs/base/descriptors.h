#pragma once

#include <algorithm>
#include <cstddef>

namespace weir {

// Descriptors of this process (getrlimit(2), RLIMIT_NOFILE).
size_t DescriptorLimit();       // The soft limit: how many there may be.
size_t RaiseDescriptorLimit();  // Makes it the hard limit. Returns what is in force then.
// Of those that a door wishes for, as many as the process can give it: the `divisor`-th part of what it may have.
size_t AffordableDescriptors(size_t wished, size_t divisor);

// What callers may not take: it is left for upstream connections, health, the admin door and files.
constexpr size_t DescriptorReserve(size_t limit) { return std::clamp<size_t>(limit / 3, 16, 4096); }

// Are no more than the reserve left? Descriptors are numbered from the lowest free one, so the next number tells.
bool DescriptorsAreScarce();

}  // namespace weir
