#pragma once

#include <set>
#include <string>
#include <vector>

#include "api/weir/v2/rollout.pb.h"
#include "libs/base/clock.h"

namespace weir::status {

// What is asked of gateways about a rollout. Clusters by FQN.
struct WaveQuestion {
  std::set<std::string> wave;  // Clusters of the wave that is out,
  std::set<std::string> told;  // and of all that are told, these too.
  std::vector<std::string> resources;
  std::set<std::string> hosts;  // Patterns ("*.example.com") too.
  bool gateways = true;         // Whether the gateways run it is asked,
  bool requests = true;         // and how requests fare.
  // Counted is what was reported after `after` of a time that began not before `from`.
  MonoTime after{}, from{};
  WallTime released{};  // Who could not serve before is not the change's fault.
};
struct WaveSeen {
  bool told = false;                         // All clusters of the question are: else nothing below says anything.
  bool rejected = false;                     // By one of `waiting`.
  std::vector<v2::WaveEvidence> waiting;     // Gateways of the wave that do not run it; at most 20.
  std::vector<v2::WaveEvidence> counted;     // By host, cluster and cluster of the gateways.
  std::vector<v2::WaveEvidence> unservable;  // Clusters that cannot serve a host since then; at most 20.
  MonoTime now{};                            // The next question's `after`.
};

}  // namespace weir::status
