#pragma once

#include <string>

#include "tests/e2e/scene.h"

// What `weir status` and `weir explain` say of a thing.
namespace weir::e2e {

struct Said {
  std::string state, reason, message, revision;
};
Said StatusOf(const Scene& scene, const std::string& fqn);
// FQN of a cluster; of a Tier1Gateway of the scene's group.
std::string ClusterFqn(const std::string& name);
std::string Tier1Fqn(const std::string& name);
// "" = READY, or nothing to say.
Status AwaitReason(const Scene& scene, const std::string& fqn, const std::string& reason, int most_seconds = 30);
// What `weir explain failover` calls the reason that nobody serves a host; "" = it is served.
std::string Explained(const Scene& scene, const std::string& host);

}  // namespace weir::e2e
