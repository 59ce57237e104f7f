#pragma once

#include <map>
#include <set>
#include <string>

#include "mgmt-server/compile/gateway_shape.h"
#include "mgmt-server/invariants/invariant.h"

namespace weir::invariants {

// What some changed resources may change of what gateways are to do, whether gateways stand or not: compile's own
// question (compile::Affected) is about those that do.
class Touched {
 public:
  // All that these resources have to do with in this world; to be asked of the world before and of the one after.
  void Add(const compile::World& world, const std::set<std::string>& fqns);

  // Whether the condition may hold otherwise than before.
  bool Concerns(const Invariant& invariant) const;
  // Gateway objects that may send elsewhere.
  const compile::FqnSet& gateways() const { return gateways_; }
  // Who owns which namespace may be another, which no list of gateways tells.
  bool namespaces() const { return namespaces_; }
  // Which of the resources touches what the condition is about; "" = none of them alone.
  std::string CauseOf(const Invariant& invariant) const;

 private:
  void Gateway(const compile::World& world, const compile::GatewayShape& shape);
  void Below(const compile::World& world, const std::string& parent);
  void Cluster(const compile::World& world, const std::string& cluster);
  void Host(const std::string& hostname);

  compile::FqnSet gateways_;
  std::map<std::string, std::set<std::string>> hosts_;  // Reversed names, "*" and all -> who touches it.
  bool namespaces_ = false;
  std::string cause_;  // Being added.
  std::string first_;
};

}  // namespace weir::invariants
