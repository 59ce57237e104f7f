#pragma once

// Every kind of resource, by the name of its message: parents before children, and what others refer to before those.
// The rules of each stand in libs/resource/kinds/<noun>.cc as <Name>Rules(); docs/checklists/kind.md says what a kind
// needs.
#define WEIR_KINDS(KIND)    \
  KIND(Organization)        \
  KIND(OrganizationSetting) \
  KIND(Cluster)             \
  KIND(Role)                \
  KIND(User)                \
  KIND(ServiceAccount)      \
  KIND(Team)                \
  KIND(Tenant)              \
  KIND(TenantSetting)       \
  KIND(Workspace)           \
  KIND(WorkspaceSetting)    \
  KIND(GatewayGroup)        \
  KIND(TrafficGroup)        \
  KIND(SecurityGroup)       \
  KIND(IstioInternalGroup)  \
  KIND(Tier1Gateway)        \
  KIND(Gateway)             \
  KIND(IngressGateway)      \
  KIND(Invariant)           \
  KIND(TenantInvariant)     \
  KIND(AccessBindings)
