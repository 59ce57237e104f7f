#pragma once

#include <set>
#include <string>
#include <vector>

#include "mgmt-server/compile/gateway_shape.h"
#include "mgmt-server/invariants/invariant.h"
#include "mgmt-server/invariants/touched.h"

namespace weir::invariants {

// Where the condition does not hold by intent. With `only` some of that: all that the change which touched that may
// have made otherwise.
std::vector<Breach> JudgeIntent(const compile::World& world, const Invariant& invariant, const Touched* only = nullptr);

// Inside: what intent and facts both look at.

// The servers of tier-1 objects that may take a request for the host, in the order of their objects. Of several on one
// listener only the one that does.
struct Publisher {
  const compile::GatewayShape* shape = nullptr;
  const compile::ServerShape* server = nullptr;
};
std::vector<Publisher> PublishersOf(const compile::World& world, const Invariant& invariant, const std::string& host);

// One rule that goes to clusters, with all that its gateways are told of these.
struct SentRule {
  int rule = 0;
  Line line;                   // Where its list of clusters stands.
  std::set<std::string> able;  // Names of those that count for MinClusters.
  std::string others;          // Why the rest does not.
  std::vector<Line> because;
};
std::vector<SentRule> SentBy(const compile::World& world, const Invariant& invariant, const Publisher& publisher);

}  // namespace weir::invariants
