#include "mgmt-server/services/plan_tokens.h"

#include <charconv>

#include "libs/base/sha256.h"
#include "mgmt-server/authz/authz.h"

namespace weir::services {
namespace {

constexpr int kMostNamed = 20;  // Of what made a plan stale.

std::string Short(const std::string& text) { return Sha256Hex(text).substr(0, 32); }

}  // namespace

std::string RequestDigest(const std::string& asked) { return Short(asked); }

std::string RequestDigest(const CallContext& call, const ChangeOrder& order) {
  std::string what =
      fmt::format("{}\n{}\n{}\n{}", call.principal.uid, order.apply.manager, order.apply.force, order.text);
  if (!order.deletions.empty() || !order.prune_scopes.empty()) {
    what +=
        fmt::format("\n{}\n{}\n{}", order.cascade, fmt::join(order.deletions, ","), fmt::join(order.prune_scopes, ","));
  }
  return Short(what);
}

std::string EffectDigest(const std::string& change, const std::string& intent) { return Short(change + intent); }

Result<PlanToken> ReadPlanToken(const std::string& text) {
  PlanToken token;
  const size_t first = text.find('.'), second = text.find('.', first + 1);
  if (second != std::string::npos) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + first, token.revision);
    token.request = text.substr(first + 1, second - first - 1);
    token.effect = text.substr(second + 1);
    if (error == std::errc() && end == text.data() + first && token.request.size() == 32 && token.effect.size() == 32) {
      return token;
    }
  }
  Error error = InvalidArgument("INVALID_REQUEST", "the call is not complete");
  error.violations.push_back({.field = "plan", .description = "is no plan's token; plan the documents first"});
  return error;
}

Error StalePlan(const std::string& why) {
  return FailedPrecondition("PLAN_STALE", "the plan is stale, nothing was stored: {}. Plan again", why);
}

Error StalePlan(const store::View& view, const authn::Principal& principal, const PlanToken& token) {
  std::string named;
  int count = 0;
  view.ForEach("", "", [&](const store::ResourcePtr& each) {
    if (each->revision <= token.revision || each->kind == authz::kBindingsKind) return true;
    if (!authz::Allowed(view, principal, authz::Right::kRead, *each)) return true;
    if (++count <= kMostNamed)
      named += fmt::format("{}{} (revision {})", count > 1 ? ", " : "", each->fqn, each->revision);
    return true;
  });
  if (count > kMostNamed) named += fmt::format(" and {} more", count - kMostNamed);
  if (count == 0) {
    return StalePlan(
        fmt::format("something that it was made of was deleted since revision {}, or clusters have other "
                    "workloads, and it would do another thing now",
                    token.revision));
  }
  return StalePlan(fmt::format("it would do another thing now; changed since revision {}: {}", token.revision, named));
}

}  // namespace weir::services
