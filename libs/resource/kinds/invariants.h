#pragma once

#include <string>
#include <vector>

namespace weir::v2 {
class InvariantSpec;
}

// What the Invariants of an organization and of a tenant have in common.
namespace weir::resource {

class Checker;

void CheckInvariant(const v2::InvariantSpec& spec, bool of_tenant, Checker& check);
std::vector<std::string> InvariantSummary(const v2::InvariantSpec& spec);

}  // namespace weir::resource
