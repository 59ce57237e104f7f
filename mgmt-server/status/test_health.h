#pragma once

#include "api/weir/agent/v1/traffic.pb.h"
#include "mgmt-server/compile/test_world.h"
#include "mgmt-server/status/judgement.h"

// For tests of what stands on health.
namespace weir::status {

// What gateways say, by workload and target.
class Reported : public ReportedHealth {
 public:
  Voice VoiceOf(const std::string&, const std::string& workload) const override {
    const auto found = voices.find(workload);
    return found == voices.end() ? voice : found->second;
  }
  const agent::v1::ClusterHealth* Find(const std::string&, const std::string& workload, const std::string&,
                                       const std::string& target) const override {
    const auto found = said.find({workload, target});
    return found == said.end() ? nullptr : &found->second;
  }
  void Say(const std::string& workload, const std::string& target, const std::string& reason, bool unchecked = false) {
    auto& health = said[{workload, target}];
    health.set_unchecked(unchecked);
    health.set_can_serve(reason.empty());
    health.set_reason(reason);
  }
  Shortfall Plight(const std::string& cluster) const override {
    return cluster == revoked ? Revocation(cluster) : Shortfall{};
  }
  std::string revoked;
  std::map<std::pair<std::string, std::string>, agent::v1::ClusterHealth> said;
  Voice voice = Voice::kMute;
  std::map<std::string, Voice> voices;  // Of those that have another one, by workload.
};

// The demo with its services.
inline compile::World Whole() {
  compile::World world = compile::Demo();
  for (const char* cluster : {"c1", "c2"}) {
    world.PutService(compile::ClusterName(cluster),
                     *compile::From<agent::v1::Service>("name: 'web' namespace: 'app' ports: 8080 "
                                                        "selector { key: 'app' value: 'web' }"));
    world.PutWorkload(compile::ClusterName(cluster), compile::Workload("app", "web-1", "web", "127.0.2.21"));
  }
  return world;
}

}  // namespace weir::status
