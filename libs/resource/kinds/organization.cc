#include "api/weir/v2/organization.pb.h"
#include "libs/resource/checks.h"
#include "libs/resource/kinds/rules.h"
#include "libs/resource/validate.h"

namespace weir::resource {
namespace {

void FillIn(v2::Organization& organization) {
  if (organization.spec().domain().empty()) {
    organization.mutable_spec()->set_domain(organization.metadata().name() + ".weir.internal");
  }
}

void Check(const v2::Organization& organization, Checker& check) {
  const std::string& domain = organization.spec().domain();
  // "<cluster>." comes before it and must fit into 253.
  check.Require(domain.empty() || (IsDnsName(domain) && domain.size() <= 189), "spec.domain",
                "must be a DNS name of at most 189 characters");
}

}  // namespace

KindRules OrganizationRules() {
  return RulesOf<v2::Organization>{
      .summary = [](const v2::Organization& it) -> std::vector<std::string> { return {it.spec().domain()}; },
      .fill_in = FillIn,
      .check = Check,
      .immutable = {{"spec.domain", "identities are made of it"}},
      .keep_if_unset = {"spec.domain"},
      .not_served = {{"OrganizationSpec",
                      {"systemNamespaces"},
                      "no workspace owns a namespace that it does not name: leave it out"},
                     {"OrganizationSpec", {"profiles"}, std::string(kInsteadOfProfiles)}},
      .effect = Effect::kOrganization,
  }
      .Rules();
}

}  // namespace weir::resource
