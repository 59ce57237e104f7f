#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace weir {

std::string RandomBytes(size_t count);  // From the kernel's generator; never fails (aborts if it does).
std::string RandomHex(size_t bytes);    // 2 characters per byte.
std::string NewUid();                   // RFC 4122 version 4, lower case.
std::string ToHex(std::string_view bytes);
uint64_t Fnv1a(std::string_view bytes);                           // Stable across runs and machines; not for secrets.
bool ConstantTimeEquals(std::string_view a, std::string_view b);  // Time depends on the lengths only.

}  // namespace weir
