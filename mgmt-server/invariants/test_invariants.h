#pragma once

#include "mgmt-server/compile/test_world.h"
#include "mgmt-server/invariants/invariant.h"

// For tests: Invariants from the text of their spec.
namespace weir::invariants {

inline Invariant Make(const std::string& spec, const std::string& parent = compile::kOrg) {
  const bool of_tenant = parent != compile::kOrg;
  const auto message = compile::From<v2::Invariant>(fmt::format("spec {{ {} }}", spec));
  // Both kinds have the same fields.
  const auto invariant =
      Read(of_tenant ? "TenantInvariant" : "Invariant", parent + "/invariants/i", "uid", message->SerializeAsString());
  EXPECT_TRUE(invariant) << spec;
  return invariant.value_or(Invariant());
}

inline std::string Messages(const std::vector<Breach>& breaches) {
  std::string text;
  for (const Breach& breach : breaches) text += (text.empty() ? "" : "; ") + breach.message;
  return text;
}

}  // namespace weir::invariants
