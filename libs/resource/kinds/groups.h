#pragma once

#include <string>
#include <vector>

#include "api/weir/v2/gateway_group.pb.h"
#include "libs/resource/checks.h"
#include "libs/resource/kinds/rules.h"

// What the kinds of groups have in common: each narrows the namespaces of its workspace.
namespace weir::resource {

template <typename Group>
const v2::NamespaceSelector& NamespacesOfGroup(const Group& group) {
  return group.spec().namespace_selector();
}

template <typename Group>
void CheckGroup(const Group& group, Checker& check) {
  check.Namespaces(group.spec().namespace_selector());
  if constexpr (requires { group.spec().config_mode(); }) {
    check.Require(v2::ConfigMode_IsValid(group.spec().config_mode()), "spec.configMode", "must be BRIDGED or DIRECT");
  }
}

template <typename Group>
std::vector<std::string> GroupSummary(const Group& group) {
  std::vector<std::string> parts;
  if constexpr (requires { group.spec().config_mode(); }) {
    parts.push_back(v2::ConfigMode_Name(group.spec().config_mode()));
  }
  for (const auto& name : group.spec().namespace_selector().names()) parts.push_back(name);
  return parts;
}

// `effect` and what is always so stay with the kind.
template <typename Group>
RulesOf<Group> RulesOfGroup() {
  const std::string spec = Group::descriptor()->name() + "Spec";
  return {.summary = GroupSummary<Group>,
          .check = CheckGroup<Group>,
          .not_served = {{spec, {"securityDomain"}, ""}, {spec, {"profiles"}, std::string(kInsteadOfProfiles)}},
          .namespaces = NamespacesOfGroup<Group>,
          .all_namespaces_if_empty = true};
}

}  // namespace weir::resource
