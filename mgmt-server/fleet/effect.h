#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mgmt-server/compile/compile.h"
#include "mgmt-server/compile/traces.h"

namespace weir::fleet {

// A gateway object whose intent a write may have changed, and at which gateways. What a cluster or a setting says
// changes where tier-1 gateways send, and nothing at those that receive; a drain needs nothing from the cluster that is
// drained.
struct Touched {
  struct Gateways {
    bool there = false;      // In the cluster that was written.
    bool elsewhere = false;  // In all others.
  };
  std::string fqn;
  Gateways own;
  Gateways others;  // Of objects that it needs, or that need it.

  bool Counts(const compile::Concern& concern, std::string_view written) const {
    const Gateways& gateways = concern.own ? own : others;
    return concern.cluster == written ? gateways.there : gateways.elsewhere;
  }
};

// By FQN, what a write of this resource touches: itself; all below a workspace or group; every tier-1 object below an
// organization that has settings; those that send to a cluster or (`trace`) did before the write, who must be let in
// there where they begin to, and its own tier-1 objects when it moved, or is a tier1Cluster now or no longer. Empty for
// kinds that reach no gateway.
std::vector<Touched> GatewaysTouched(const compile::World& world, const std::string& fqn, const compile::Trace& trace);

}  // namespace weir::fleet
