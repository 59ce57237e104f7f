#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "libs/base/result.h"
#include "mgmt-server/services/changing.h"

namespace weir::services {

// PlanResponse.plan: "<revision>.<of what was asked>.<of what it would do>". It needs no signature: who makes one up
// says what he would have been told.
struct PlanToken {
  int64_t revision = 0;
  std::string request, effect;

  std::string Text() const { return fmt::format("{}.{}.{}", revision, request, effect); }
};
// INVALID_ARGUMENT INVALID_REQUEST.
Result<PlanToken> ReadPlanToken(const std::string& text);

// Of what was asked: equal only if that is.
std::string RequestDigest(const std::string& asked);
std::string RequestDigest(const CallContext& call, const ChangeOrder& order);
// Of what changes (ChangeDigest), and of the intent that the caller sees (PlanEffect::digest): what he may not read
// makes no plan of his stale.
std::string EffectDigest(const std::string& change, const std::string& intent);

// FAILED_PRECONDITION PLAN_STALE.
Error StalePlan(const std::string& why);
// With what was changed since, of what the caller may read.
Error StalePlan(const store::View& view, const authn::Principal& principal, const PlanToken& token);

}  // namespace weir::services
