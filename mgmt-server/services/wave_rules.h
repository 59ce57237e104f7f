#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "api/weir/v2/change_set.pb.h"
#include "libs/base/clock.h"
#include "libs/base/result.h"
#include "mgmt-server/services/planned.h"
#include "mgmt-server/store/store.h"

// What holds of the waves of a change set: their form, whom they name, and when one has passed. Pure.
namespace weir::services {

constexpr std::chrono::minutes kMostDelay(10);  // What a rollout may take beside what its gates allow.

using Waves = google::protobuf::RepeatedPtrField<v2::RolloutWave>;
// What is wrong with them before it is known what they concern.
void CheckWaves(const Waves& waves, std::vector<FieldViolation>& violations);

// Who is in which wave: those that it names, and in one more, with the gate of the last, who is concerned and in none.
// FAILED_PRECONDITION WAVES_UNKNOWN: a wave names clusters that are not concerned, are in a wave before, or none at
// all; WAVES_EMPTY: the change concerns no cluster.
Result<std::vector<v2::WaveProgress>> PlaceInWaves(const store::View& view, const std::string& organization,
                                                   const Waves& waves, const Concerned& concerned);

Duration BakeTime(const v2::WaveGate& gate);
Duration ReadyTimeout(const v2::WaveGate& gate);
// How long all of them may take.
Duration MostTime(const std::vector<v2::WaveProgress>& waves);

// Requests that were counted in a wave, by host, cluster, gateways and source.
class WaveCount {
 public:
  void Add(const std::vector<v2::WaveEvidence>& counted);
  void ShowIn(v2::WaveProgress& wave) const;  // Sums, and the worst 20 as evidence.

  enum class Verdict { kGoesOn, kPassed, kSuccessRate, kInconclusive };
  // `over`: its bake time is.
  Verdict Judge(const v2::WaveGate& gate, bool over) const;

 private:
  std::map<std::string, v2::WaveEvidence> by_place_;
};
// "412 of 1000 requests failed: 58.8% succeeded, 99% have to".
std::string SayRate(const v2::WaveProgress& wave);

}  // namespace weir::services
