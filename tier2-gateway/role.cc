#include "tier2-gateway/role.h"

#include "libs/dialect/dialect.h"
#include "libs/proxy/snapshot.h"

namespace weir::tier2 {
namespace {

class Tier2Role final : public gateway::Role {
 public:
  Tier2Role()
      : Role("weir-tier2", "Receives requests inside a cluster and hands them to the proxies beside the pods.") {}

  Status CheckListener(const proxy::Listener& listener) const override {
    return listener.port == dialect::kMeshPort ? gateway::DemandNamedCallers(listener) : Status();
  }
  Status CheckDestinationSet(const proxy::DestinationSet& destination, const std::set<std::string>&) const override {
    return gateway::DemandNamedUpstreams(destination, "tier 2");
  }
  Result<std::shared_ptr<const proxy::Snapshot>> Adapt(std::shared_ptr<const proxy::Snapshot> snapshot) override {
    return snapshot;
  }
};

}  // namespace

std::unique_ptr<gateway::Role> NewTier2Role() { return std::make_unique<Tier2Role>(); }

}  // namespace weir::tier2
