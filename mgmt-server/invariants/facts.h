#pragma once

#include <string>
#include <vector>

#include "mgmt-server/invariants/invariant.h"
#include "mgmt-server/status/pieces.h"
#include "mgmt-server/status/reach.h"

namespace weir::invariants {

// Whether there is more to say of it than JudgeIntent does.
bool AsksFacts(const Invariant& invariant);

struct Judgement {
  std::vector<Breach> breaches;
  std::string unknown;  // Why nobody knows, when nothing is known to be wrong; "" = it is known.
};
// Where the condition does not hold by what is pushed and what gateways say, beside JudgeIntent.
Judgement JudgeFacts(status::Pieces& pieces, const status::ReportedHealth& health, const Invariant& invariant);

}  // namespace weir::invariants
