#include "pod-proxy/role.h"

#include "libs/proxy/snapshot.h"

namespace weir::podproxy {
namespace {

bool IsLoopback(const std::string& address) { return address.starts_with("127.") || address == "::1"; }

class PodProxyRole final : public gateway::Role {
 public:
  PodProxyRole() : Role("weir-podproxy", "Stands beside a workload and lets in who proves an identity of the mesh.") {}

  Status CheckListener(const proxy::Listener& listener) const override { return gateway::DemandNamedCallers(listener); }
  Status CheckDestinationSet(const proxy::DestinationSet& destination,
                             const std::set<std::string>& own_addresses) const override {
    if (destination.tls) return {};
    for (const auto& locality : destination.localities) {
      for (const auto& endpoint : locality.endpoints) {
        if (IsLoopback(endpoint.address) || own_addresses.contains(endpoint.address)) continue;
        return InvalidArgument("PEER_IDENTITY", "Cluster {}: plain endpoint {}:{} is not this workload",
                               destination.name, endpoint.address, endpoint.port);
      }
    }
    return {};
  }
  Result<std::shared_ptr<const proxy::Snapshot>> Adapt(std::shared_ptr<const proxy::Snapshot> snapshot) override {
    return snapshot;
  }
};

}  // namespace

std::unique_ptr<gateway::Role> NewPodProxyRole() { return std::make_unique<PodProxyRole>(); }

}  // namespace weir::podproxy
