#pragma once

namespace weir {

// Every wanted label is there with this value; maps from key to value.
template <typename Map>
bool LabelsMatch(const Map& wanted, const Map& have) {
  for (const auto& [key, value] : wanted) {
    const auto found = have.find(key);
    if (found == have.end() || found->second != value) return false;
  }
  return true;
}

}  // namespace weir
