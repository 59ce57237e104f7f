// Who would follow this server's state once it is adopted.
#include "mgmt-server/fleet/core.h"

namespace weir::fleet {

std::vector<v2::HeldCluster> Fleet::HeldClusters(const xds::AdsService& ads) const {
  std::vector<v2::HeldCluster> list;
  for (const HeldAgent& agent : core_->held.List()) {
    list.push_back(WhatGoesBack(agent, ads.GetSnapshot(agent.cluster)));
  }
  return list;
}

std::vector<std::string> Fleet::AwayClusters(const xds::AdsService& ads) const {
  std::vector<std::string> away;
  const store::ViewPtr view = core_->store.Read();
  view->ForEach("", "Cluster", [&](const store::ResourcePtr& cluster) {
    const store::ClusterFactsPtr facts = view->Facts(cluster->uid);
    const bool ever = facts != nullptr && facts->last_seen > WallTime{};
    if (ever && ads.StreamCount(cluster->fqn) == 0 && ads.StreamCount(HeldAgents::KeyOf(cluster->fqn)) == 0) {
      away.push_back(cluster->fqn);
    }
    return true;
  });
  return away;
}

void Fleet::ReleaseHeldClusters(xds::AdsService& ads) {
  for (const HeldAgent& agent : core_->held.List()) {
    ads.Remove(HeldAgents::KeyOf(agent.cluster), "the server's state was adopted; come again");
  }
}

}  // namespace weir::fleet
