#include <set>

#include "api/weir/v2/invariant.pb.h"
#include "libs/resource/checks.h"
#include "libs/resource/conflicts.h"
#include "libs/resource/kinds/invariants.h"
#include "libs/resource/kinds/rules.h"
#include "libs/resource/validate.h"

namespace weir::resource {
namespace {

constexpr uint32_t kMostClusters = 100;
constexpr int kMostRegions = 64;

void CheckPlace(const v2::InvariantPlace& place, const std::string& at, bool is_from, bool of_tenant, Checker& check) {
  switch (place.place_case()) {
    case v2::InvariantPlace::kTenant:
      return check.Require(IsDnsLabel(place.tenant()), at + ".tenant", kLabelRule);
    case v2::InvariantPlace::kOutsideTenant:
      check.Require(is_from, at + ".outsideTenant", "stands only in from; name a tenant or a namespace");
      check.Require(!of_tenant, at + ".outsideTenant",
                    "would be about gateways of others: it stands in an Invariant of the organization only");
      return check.Require(IsDnsLabel(place.outside_tenant()), at + ".outsideTenant", kLabelRule);
    case v2::InvariantPlace::kNamespace:
      return check.Require(ParseNamespacePattern(place.namespace_()).ok(), at + ".namespace",
                           "must be \"<cluster>/<namespace>\", either may be \"*\"");
    case v2::InvariantPlace::PLACE_NOT_SET:
      return check.Add(at, is_from ? "required: exactly one of tenant, outsideTenant, namespace"
                                   : "required: exactly one of tenant, namespace");
  }
}

void CheckRegions(const v2::OnlyRegions& only, Checker& check) {
  check.Require(!only.regions().empty(), "spec.onlyRegions.regions", "required: at least one");
  check.Require(only.regions_size() <= kMostRegions, "spec.onlyRegions.regions", "must be at most 64");
  std::set<std::string_view> seen;
  for (int i = 0; i < std::min(only.regions_size(), kMostRegions); ++i) {
    const std::string field = fmt::format("spec.onlyRegions.regions[{}]", i);
    check.Require(
        IsLabelText(only.regions(i)), field,
        "must be a region as spec.locality.region of clusters has it: at most 63 of A-Z, a-z, 0-9, -, _ and .");
    check.Require(seen.insert(only.regions(i)).second, field, "stands twice");
  }
}

std::string PlaceText(const v2::InvariantPlace& place) {
  if (place.has_tenant()) return "tenant " + place.tenant();
  if (place.has_outside_tenant()) return "outside of tenant " + place.outside_tenant();
  return place.namespace_();
}

}  // namespace

void CheckInvariant(const v2::InvariantSpec& spec, bool of_tenant, Checker& check) {
  const auto host = [&](const std::string& text, const char* field) {
    check.Require(IsHostPattern(text), field, kHostRule);
  };
  switch (spec.condition_case()) {
    case v2::InvariantSpec::kMinClusters: {
      host(spec.min_clusters().host(), "spec.minClusters.host");
      const uint32_t count = spec.min_clusters().count();
      check.Require(count >= 1 && count <= kMostClusters, "spec.minClusters.count", "must be 1 to 100");
      break;
    }
    case v2::InvariantSpec::kNoPath:
      CheckPlace(spec.no_path().from(), "spec.noPath.from", true, of_tenant, check);
      CheckPlace(spec.no_path().to(), "spec.noPath.to", false, of_tenant, check);
      break;
    case v2::InvariantSpec::kOnlyRegions:
      host(spec.only_regions().host(), "spec.onlyRegions.host");
      CheckRegions(spec.only_regions(), check);
      break;
    case v2::InvariantSpec::kMutualTlsBetweenClusters:
      break;
    case v2::InvariantSpec::CONDITION_NOT_SET:
      check.Add("spec", "required: exactly one of minClusters, noPath, onlyRegions, mutualTlsBetweenClusters");
  }
  check.Require(v2::InvariantSpec::Enforcement_IsValid(spec.enforcement()), "spec.enforcement",
                "must be REFUSE or ALARM");
}

std::vector<std::string> InvariantSummary(const v2::InvariantSpec& spec) {
  std::vector<std::string> parts;
  if (spec.has_min_clusters()) {
    const v2::MinClusters& min = spec.min_clusters();
    parts.push_back(fmt::format("{}: at least {} cluster{}{}", min.host(), min.count(), min.count() == 1 ? "" : "s",
                                min.can_serve() ? " that can serve" : ""));
  } else if (spec.has_no_path()) {
    parts.push_back(
        fmt::format("no path from {} to {}", PlaceText(spec.no_path().from()), PlaceText(spec.no_path().to())));
  } else if (spec.has_only_regions()) {
    const v2::OnlyRegions& only = spec.only_regions();
    parts.push_back(fmt::format("{}: only in {}", only.host(), fmt::join(only.regions(), ", ")));
  } else if (spec.has_mutual_tls_between_clusters()) {
    parts.emplace_back("mutual TLS between clusters");
  }
  if (spec.enforcement() == v2::InvariantSpec::ALARM) parts.emplace_back("alarms only");
  return parts;
}

KindRules InvariantRules() {
  return RulesOf<v2::Invariant>{
      .summary = [](const v2::Invariant& invariant) { return InvariantSummary(invariant.spec()); },
      .check = [](const v2::Invariant& invariant, Checker& check) { CheckInvariant(invariant.spec(), false, check); },
      .invariant = [](const v2::Invariant& invariant) -> const v2::InvariantSpec& { return invariant.spec(); },
  }
      .Rules();
}

}  // namespace weir::resource
