#pragma once

// Every kind of resource, by the name of its message: parents before children, and what others refer to before those. The rules of each stand in
// libs/resource/kinds/<noun>.cc as <Name>Rules(); docs/checklists/kind.md says what a kind needs.
#define WEIR_KINDS(KIND)    \
  KIND(Organization)        \
  KIND(OrganizationSetting) \
  KIND(Cluster)             \
  KIND(User)                \
  KIND(Tenant)              \
  KIND(Workspace)           \
  KIND(GatewayGroup)        \
  KIND(Tier1Gateway)        \
  KIND(Gateway)             \
  KIND(AccessBindings)
