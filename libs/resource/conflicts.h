#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.h"
#include "libs/resource/gateways.h"

namespace weir::v2 {
class GatewayGroup;
class NamespaceSelector;
class Workspace;
class WorkloadSelector;
}  // namespace weir::v2

// Rules between resources, as pure functions: the caller brings the other resources.
namespace weir::resource {

// "cluster/namespace", either may be "*".
struct NamespacePattern {
  std::string cluster;
  std::string name;

  bool Matches(std::string_view in_cluster, std::string_view name_space) const;
  bool Overlaps(const NamespacePattern& other) const;
  bool Contains(const NamespacePattern& other) const;
  // What lies in both; nullopt: nothing.
  std::optional<NamespacePattern> Intersection(const NamespacePattern& other) const;
};
Result<NamespacePattern> ParseNamespacePattern(std::string_view text);  // INVALID_ARGUMENT BAD_NAMESPACE

bool Matches(const v2::NamespaceSelector& selector, std::string_view cluster, std::string_view name_space);
// Those that can be read; Validate names the others.
std::vector<NamespacePattern> PatternsOf(const v2::NamespaceSelector& selector);

// A namespace that both own, for NAMESPACE_TAKEN: the pattern of `a`, as "cluster1/*". Give it each other workspace of
// the organization.
std::optional<std::string> NamespaceOverlap(const v2::NamespaceSelector& a, const v2::NamespaceSelector& b);

// The group's namespaces that lie outside the workspace's, for a violation of spec.namespaceSelector.names[i].
void CheckWithin(const v2::NamespaceSelector& group, const v2::NamespaceSelector& workspace,
                 std::vector<FieldViolation>& violations);

// The namespaces where an object of this group counts: the group's own, or all of the workspace's.
bool Governs(const v2::Workspace& workspace, const v2::GatewayGroup& group, std::string_view cluster,
             std::string_view name_space);

// The patterns where an object of this workspace and group counts, narrowed to one namespace. Null: no bound.
std::vector<NamespacePattern> Territory(const v2::Workspace* workspace, const v2::GatewayGroup* group,
                                        const std::string& name_space);

// Whether a workload could be selected by both: same namespace, and no label asked to have two values.
bool MayOverlap(const v2::WorkloadSelector& a, const v2::WorkloadSelector& b);

// A gateway object and where it counts.
struct GatewayInScope {
  std::string fqn;
  GatewayForm form;
  const v2::Workspace* workspace = nullptr;
  const v2::GatewayGroup* group = nullptr;
};
struct HostConflict {
  std::string field;  // In the first gateway: "spec.externalServers[0].hostname".
  std::string hostname;
  uint32_t port = 0;
  std::string other;  // FQN of the gateway that has it.
  uint32_t other_port = 0;
};
// The hosts and ports of `gateway` that `other` serves too on workloads that both may select: GATEWAY_HOST_TAKEN. The
// same host on another port is taken too when both go to services: between the tiers a host has no port.
// A gateway never conflicts with itself (same FQN).
std::vector<HostConflict> HostConflicts(const GatewayInScope& gateway, const GatewayInScope& other);

// Whether a host, perhaps "*.suffix", answers for this host, perhaps a pattern itself.
bool Covers(std::string_view pattern, std::string_view hostname);
// All that cover it: itself, and then "*.b.c" and "*.c" of "a.b.c", each once.
std::vector<std::string> PatternsFor(std::string_view hostname);

// A host that a gateway object has in its tenant (docs/adr/0017).
struct HostClaim {
  std::string field;  // "spec.http[0].hostname"
  std::string hostname;
  bool answers = false;  // Tier 2 answers for it; else tier 1 sends its requests to whoever of the tenant answers.

  // Whether requests for the host of one would reach the other, or both.
  bool Meets(const HostClaim& other) const;
};
// In document order. A tier-1 server that names a tenant claims nothing: it takes what
// that tenant gives, by the word of somebody who may write there.
std::vector<HostClaim> HostClaims(const GatewayForm& form);

}  // namespace weir::resource
