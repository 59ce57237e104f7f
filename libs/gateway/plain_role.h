#pragma once

#include "libs/gateway/role.h"

namespace weir::gateway {

// For tests: the engine alone. It keeps nothing, so several gateways may share one.
class PlainRole final : public Role {
 public:
  PlainRole() : Role("weir-test", "Demands nothing and adds nothing.") {}
  Status CheckListener(const proxy::Listener&) const override { return {}; }
  Status CheckDestinationSet(const proxy::DestinationSet&, const std::set<std::string>&) const override { return {}; }
  Result<std::shared_ptr<const proxy::Snapshot>> Adapt(std::shared_ptr<const proxy::Snapshot> snapshot) override {
    return snapshot;
  }
};

}  // namespace weir::gateway
