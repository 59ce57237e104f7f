#include "mgmt-server/invariants/touched.h"

#include "libs/resource/conflicts.h"
#include "libs/resource/kinds.h"
#include "mgmt-server/compile/compile.h"

namespace weir::invariants {
namespace {

using compile::GatewayShape;
using compile::World;
using Hosts = std::map<std::string, std::set<std::string>>;

// The one that touches this host, or a pattern that covers it, or, of a pattern, what it covers; nullptr = nobody.
const std::string* FindHost(const Hosts& hosts, const std::string& host) {
  const auto find = [&](const std::string& name) -> const std::string* {
    const auto found = hosts.find(compile::Reversed(name));
    return found == hosts.end() ? nullptr : &*found->second.begin();
  };
  for (const std::string& pattern : resource::PatternsFor(host)) {
    if (const std::string* found = find(pattern)) return found;
  }
  if (!host.starts_with("*.")) return nullptr;
  const std::string suffix = compile::Reversed(host.substr(2));
  const auto below = hosts.lower_bound(suffix);
  const bool covered = below != hosts.end() && below->first.starts_with(suffix);
  if (!covered) return nullptr;
  if (below->first.size() > suffix.size()) return &*below->second.begin();
  const auto next = std::next(below);  // The suffix itself is not below it.
  return next != hosts.end() && next->first.starts_with(suffix) ? &*next->second.begin() : nullptr;
}

const std::string* HostOf(const Invariant& invariant) {
  if (invariant.spec.has_min_clusters()) return &invariant.spec.min_clusters().host();
  if (invariant.spec.has_only_regions()) return &invariant.spec.only_regions().host();
  return nullptr;
}

}  // namespace

void Touched::Add(const World& world, const std::set<std::string>& fqns) {
  for (const std::string& fqn : fqns) {
    cause_ = fqn;
    switch (compile::EffectOf(fqn)) {
      case resource::Effect::kGateway:
        if (const GatewayShape* shape = world.gateway(fqn)) Gateway(world, *shape);
        break;
      case resource::Effect::kBelow:
        Below(world, fqn);
        break;
      case resource::Effect::kCluster:
        Cluster(world, fqn);
        break;
      case resource::Effect::kNone:
      case resource::Effect::kOrganization:  // Its domain never changes.
      case resource::Effect::kDefaults:      // In which order others take over, not who.
        break;
    }
  }
}

void Touched::Host(const std::string& hostname) { hosts_[compile::Reversed(hostname)].insert(cause_); }

void Touched::Gateway(const World& world, const GatewayShape& shape) {
  if (first_.empty()) first_ = cause_;
  gateways_.insert(shape.fqn);
  for (const compile::ServerShape& server : shape.servers) {
    Host(server.hostname);
    if (shape.tier1) continue;
    for (const std::string& caller : compile::Tier1For(world, shape.organization, server.hostname)) {
      gateways_.insert(caller);
    }
  }
}

void Touched::Below(const World& world, const std::string& parent) {
  if (first_.empty()) first_ = cause_;
  namespaces_ = true;
  world.state().EachGatewayBelow(parent, [&](const GatewayShape& shape) { Gateway(world, shape); });
}

// Who names it; that of a list which selects it now or did is one that names it, in one of the two worlds.
void Touched::Cluster(const World& world, const std::string& cluster) {
  const std::string_view organization = resource::OrganizationFqn(cluster);
  const auto named = world.state().by_target_cluster.find(resource::LastName(cluster));
  if (named == world.state().by_target_cluster.end()) return;
  for (const std::string& fqn : named->second) {
    if (resource::OrganizationFqn(fqn) == organization) Gateway(world, *world.gateway(fqn));
  }
}

bool Touched::Concerns(const Invariant& invariant) const {
  if (const std::string* host = HostOf(invariant)) return FindHost(hosts_, *host) != nullptr;
  return namespaces_ || !gateways_.empty();
}

std::string Touched::CauseOf(const Invariant& invariant) const {
  const std::string* host = HostOf(invariant);
  if (host == nullptr) return first_;
  const std::string* cause = FindHost(hosts_, *host);
  return cause == nullptr ? "" : *cause;
}

}  // namespace weir::invariants
