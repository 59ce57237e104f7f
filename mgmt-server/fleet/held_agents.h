#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "api/weir/v2/server_state.pb.h"
#include "libs/base/mutex.h"
#include "libs/base/result.h"
#include "libs/xds/protocol/position.h"
#include "libs/xds/protocol/types.h"

namespace weir::store {
class Store;
}

namespace weir::fleet {

// An agent that acknowledged more than this server's state knows, or another state: an older copy was started, or one
// that grew apart. It is pushed nothing, so that nothing goes back in silence, until an administrator adopts this
// state.
struct HeldAgent {
  std::string cluster;  // FQN.
  std::string reason;   // For people: which revision it acknowledged, which this server has.
  // What it serves: short type URL -> name -> version.
  std::map<std::string, std::map<std::string, std::string>> serves;
};

// Thread-safe.
class HeldAgents {
 public:
  explicit HeldAgents(const store::Store& store) : store_(store) {}

  // The key under which a new stream of the cluster's agent is served: the cluster's FQN, or one without a snapshot.
  std::string KeyFor(const std::string& cluster, const xds::Node& node);
  static bool IsHeldKey(std::string_view key);
  static std::string KeyOf(const std::string& cluster);
  // What an agent under a held key says that it has.
  void NoteServed(const std::string& key, const xds::AckEvent& event);
  // One of a held key began or ended; the last one takes with it what is known.
  void OnStream(const std::string& key, bool opened);

  std::string Reason(const std::string& cluster) const;  // "" = it is not held.
  std::vector<HeldAgent> List() const;

 private:
  // "" = an agent that acknowledged `held` may follow this server's state.
  std::string WhyNot(const xds::Position& held) const;

  const store::Store& store_;
  mutable Mutex mutex_;
  std::map<std::string, HeldAgent> held_ WEIR_GUARDED_BY(mutex_);  // By key.
  std::map<std::string, size_t> streams_ WEIR_GUARDED_BY(mutex_);  // That stand, by key.
};

// Compares what the agent serves with what it would be pushed (null = nothing yet).
v2::HeldCluster WhatGoesBack(const HeldAgent& agent, const xds::SnapshotPtr& ours);

}  // namespace weir::fleet
