#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.h"

namespace google::protobuf {
class Message;
}
namespace weir::v2 {
class GatewayGroup;
class Workspace;
}  // namespace weir::v2

// What an object points at outside of itself, and who decides that it may. One place for all kinds: the server asks it
// when an object is written, compile asks it again for what is stored. Pure.
namespace weir::resource {

enum class ReferenceKind : uint8_t {
  kNamespace,  // Claimed by a workspace, or narrowed by a group. A claim must be free, a group stay inside
               // (conflicts.h). One more than before needs the right write on the parent (docs/adr/0004).
               // Of an Invariant: that of a tenant speaks only of what its workspaces own.
  kWorkloads,  // Namespace of the workloads that run a gateway. The workspace must own it.
  kService,    // Namespace of a service. The workspace must own it, or be privileged.
  kCluster,    // A cluster of the organization. It must exist.
  kTenant,     // Whose tier-2 gateways answer. Needs the right write on that tenant, the own one too (docs/adr/0003).
               // Likewise of whom an Invariant speaks.
  kUser,       // Subject of a binding. Needs set-policy; one grants only what one holds.
  kMember,     // Of a team. It must exist in the organization; to add one to a team one holds all that the team has.
};

struct Reference {
  ReferenceKind kind;
  std::string field;     // "spec.http[0].routing.rules[1].route.serviceDestination.host"
  std::string name;      // Namespace, "cluster/namespace", name of a cluster or tenant, FQN of a user.
  std::string hostname;  // Of the server that names it; "" outside of servers.
};
// Every reference of a resource of any kind, in document order.
std::vector<Reference> ReferencesOf(const google::protobuf::Message& resource);

// The proto fields that ReferencesOf reads, by full name. A test holds it against all fields that a resource has, so
// that no new field points anywhere without a rule.
struct ReferenceField {
  std::string_view field;  // "weir.v2.ServiceDestination.host"
  ReferenceKind kind;
};
std::span<const ReferenceField> ReferenceFields();

// Whether gateways of this workspace may send to services of this namespace.
bool MayServe(const v2::Workspace& workspace, std::string_view cluster, std::string_view name_space);

struct ScopeViolation {
  std::string reason;  // WORKLOADS_OUTSIDE_WORKSPACE, SERVICE_OUTSIDE_WORKSPACE
  FieldViolation violation;
};
// What a gateway object points at beyond what its workspace owns, in any cluster where it may count. Empty for other
// kinds.
std::vector<ScopeViolation> CheckScope(const google::protobuf::Message& gateway, const v2::Workspace& workspace,
                                       const v2::GatewayGroup& group);

}  // namespace weir::resource
