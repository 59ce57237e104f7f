#pragma once

namespace weir {

// Two sorted maps side by side: calls `visit(key, in_a, in_b)` for every key of either, in order, with pointers to the
// values; null where the key is missing.
template <typename Map, typename Visit>
void WalkBoth(const Map& a, const Map& b, Visit visit) {
  auto in_a = a.begin();
  auto in_b = b.begin();
  while (in_a != a.end() || in_b != b.end()) {
    const int order = in_a == a.end() ? 1 : in_b == b.end() ? -1 : in_a->first.compare(in_b->first);
    visit(order <= 0 ? in_a->first : in_b->first, order <= 0 ? &in_a->second : nullptr,
          order >= 0 ? &in_b->second : nullptr);
    if (order <= 0) ++in_a;
    if (order >= 0) ++in_b;
  }
}

}  // namespace weir
