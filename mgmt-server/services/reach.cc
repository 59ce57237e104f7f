#include "mgmt-server/services/reach.h"

#include <fmt/format.h>

#include <set>
#include <string>
#include <vector>

#include "api/weir/v2/gateway.pb.h"
#include "api/weir/v2/tier1_gateway.pb.h"
#include "libs/resource/kinds.h"
#include "mgmt-server/authz/authz.h"

namespace weir::services {
namespace {

struct Reach {
  std::string field;
  std::string tenant;  // Name.
  std::string hostname;
};

template <typename List>
std::vector<Reach> ReachOf(const List& servers, const char* list) {
  std::vector<Reach> found;
  for (int i = 0; i < servers.size(); ++i) {
    if (servers[i].tenant().empty()) continue;
    found.push_back({fmt::format("spec.{}[{}].tenant", list, i), servers[i].tenant(), servers[i].hostname()});
  }
  return found;
}

std::vector<Reach> ReachOf(const google::protobuf::Message* gateway) {
  if (const auto* tier1 = dynamic_cast<const v2::Tier1Gateway*>(gateway)) {
    return ReachOf(tier1->spec().external_servers(), "externalServers");
  }
  if (const auto* any = dynamic_cast<const v2::Gateway*>(gateway)) return ReachOf(any->spec().http(), "http");
  return {};
}

}  // namespace

Status CheckReach(const store::View& view, const authn::Principal& principal, std::string_view fqn,
                  const google::protobuf::Message* before, const google::protobuf::Message& after) {
  const std::vector<Reach> wanted = ReachOf(&after);
  if (wanted.empty()) return {};
  std::set<std::pair<std::string, std::string>> granted;  // Tenant, host.
  for (const Reach& had : ReachOf(before)) granted.emplace(had.tenant, had.hostname);
  WEIR_ASSIGN(const resource::Fqn object, resource::ParseFqn(fqn));
  const std::string organization = "organizations/" + std::string(object.organization());
  for (const Reach& reach : wanted) {
    const std::string tenant = resource::ChildFqn(organization, resource::Kind::kTenant, reach.tenant);
    if (resource::IsAtOrBelow(fqn, tenant) || !granted.emplace(reach.tenant, reach.hostname).second) continue;
    auto decision = authz::Authorize(view, principal, authz::Right::kWrite, tenant);
    if (decision.ok()) continue;
    Error error = std::move(decision).error();
    error.violations.push_back({reach.field, fmt::format("naming {} needs the right write on it", tenant), 0, 0});
    return error;
  }
  return {};
}

}  // namespace weir::services
