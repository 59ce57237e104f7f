// weir-bench-split: for 2, 6 and 50 clusters, the worst deviation of one worker's counts from the exact share at any
// prefix up to 100,000 requests, over many weight sets. Prints one JSON line per size.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

#include "libs/traffic/quota_schedule.h"

int main() {
  std::mt19937_64 random(1);
  for (const size_t clusters : {2u, 6u, 50u}) {
    double worst = 0;
    constexpr int kSets = 20;
    for (int set = 0; set < kSets; ++set) {
      std::vector<uint64_t> weights(clusters);
      for (uint64_t& weight : weights) weight = 1 + random() % (set % 2 == 0 ? 100 : 1'000'000);
      if (set == 0 && clusters == 2) weights = {75, 25};
      double total = 0;
      for (const uint64_t weight : weights) total += static_cast<double>(weight);
      weir::traffic::QuotaSchedule schedule(weights);
      std::vector<uint64_t> counts(clusters);
      for (uint64_t t = 1; t <= 100'000; ++t) {
        ++counts[schedule.Next()];
        for (size_t i = 0; i < clusters; ++i) {
          const double exact = static_cast<double>(t) * static_cast<double>(weights[i]) / total;
          worst = std::max(worst, std::abs(static_cast<double>(counts[i]) - exact));
        }
      }
    }
    std::printf("{\"clusters\": %zu, \"worst\": %.6f, \"sets\": %d}\n", clusters, worst, kSets);
  }
}
