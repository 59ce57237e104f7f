#pragma once

#include <cstdint>

namespace weir::dialect {

// How much the head of a request may be: at the edge, and between the tiers, where each adds its own.
struct HeadBounds {
  uint32_t kib;  // First line included.
  uint32_t fields;
};
inline constexpr HeadBounds kEdgeHead{60, 100}, kMeshHead{64, 140};

}  // namespace weir::dialect
