#include "api/weir/v2/tenant_invariant.pb.h"
#include "libs/resource/checks.h"
#include "libs/resource/kinds/invariants.h"
#include "libs/resource/kinds/rules.h"

namespace weir::resource {

KindRules TenantInvariantRules() {
  return RulesOf<v2::TenantInvariant>{
      .summary = [](const v2::TenantInvariant& invariant) { return InvariantSummary(invariant.spec()); },
      .check = [](const v2::TenantInvariant& invariant,
                  Checker& check) { CheckInvariant(invariant.spec(), true, check); },
      .invariant = [](const v2::TenantInvariant& invariant) -> const v2::InvariantSpec& { return invariant.spec(); },
  }
      .Rules();
}

}  // namespace weir::resource
