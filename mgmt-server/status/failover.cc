#include "mgmt-server/status/failover.h"

#include <algorithm>
#include <iterator>

#include "libs/resource/admin_state.h"
#include "libs/resource/conflicts.h"
#include "libs/resource/kinds.h"

namespace weir::status {
namespace {

using traffic::Reason;
using traffic::Spread;
using traffic::Standing;

std::string DoubtOf(const RouteReach& route, const std::vector<traffic::Destination>& left) {
  std::string doubt = status::DoubtOf(route.voice, resource::LastName(route.gateway_cluster));
  if (!doubt.empty()) return doubt;
  // Of a new host nothing is known yet, now or then: nothing is lost.
  const bool lost = IsUnchecked(left, route.unchecked) && !IsUnchecked(route.destinations, route.unchecked);
  return lost ? "they have not found out yet who else can serve" : "";
}

v2::FailoverPlan PlanOf(const RouteReach& route, const std::string& source, const std::set<std::string>& without) {
  std::vector<traffic::Destination> left = route.destinations;
  std::vector<Shortfall> why = route.details;  // Of those that are left.
  for (size_t i = 0; i < left.size(); ++i) {
    if (!without.contains(left[i].cluster)) continue;
    left[i].availability = {Standing::kOut, Reason::kDrained, false};
    why[i] = {};
  }
  const Spread now = traffic::SpreadOf(route.mode, route.destinations, route.panic);
  const Spread then = traffic::SpreadOf(route.mode, left, route.panic);
  v2::FailoverPlan plan;
  plan.set_host(route.host);
  plan.set_route(route.route);
  plan.set_source(source);
  plan.set_gateway_cluster(std::string(resource::LastName(route.gateway_cluster)));
  for (size_t i = 0; i < left.size(); ++i) {
    v2::FailoverShare& share = *plan.add_clusters();
    share.set_cluster(left[i].cluster);
    if (left[i].weight) share.set_weight(*left[i].weight);
    share.set_now(now.shares[i]);
    share.set_then(then.shares[i]);
    share.set_lost(without.contains(left[i].cluster));
    share.set_why_not(route.details[i].message);
  }
  for (const std::vector<size_t>& rank : then.order) {
    v2::FailoverRank& clusters = *plan.add_order();
    for (const size_t i : rank) clusters.add_clusters(left[i].cluster);
  }
  plan.set_panic_now(now.panic);
  plan.set_panic_then(then.panic);
  plan.set_served_now(now.nobody == Reason::kNone);
  plan.set_served_then(then.nobody == Reason::kNone);
  plan.set_doubt(DoubtOf(route, left));
  if (then.nobody != Reason::kNone) plan.set_nobody(WhyNobody(why, then.nobody));
  return plan;
}

// Paths of one route at one gateway.
bool AreOne(const RouteReach& a, const RouteReach& b) {
  return a.gateway_cluster == b.gateway_cluster && a.workload == b.workload && a.host == b.host && a.route == b.route;
}

// Of several paths of one route the worst speaks for all.
int Badness(const v2::FailoverPlan& plan) {
  if (resource::LeavesAlone(plan)) return 3;
  if (!plan.doubt().empty()) return 2;
  return plan.served_then() ? 0 : 1;
}

// Gateways of one cluster that see the same are told once.
void Add(v2::FailoverPlan plan, const std::string& gateway, std::vector<v2::FailoverPlan>& plans) {
  const std::string bytes = plan.SerializeAsString();
  for (auto known = plans.rbegin(); known != plans.rend(); ++known) {
    if (known->host() != plan.host() || known->route() != plan.route() || known->source() != plan.source()) break;
    v2::FailoverPlan same = *known;
    same.clear_gateways();
    if (same.SerializeAsString() != bytes) continue;
    known->add_gateways(gateway);
    return;
  }
  plan.add_gateways(gateway);
  plans.push_back(std::move(plan));
}

}  // namespace

std::vector<v2::FailoverPlan> PlanFailover(const compile::Compilation& compilation, const std::string& tier1,
                                           const FailoverQuestion& question, const ReportedHealth& health) {
  std::vector<v2::FailoverPlan> plans;
  const compile::GatewayShape* shape = compilation.world().gateway(tier1);
  if (shape == nullptr || !shape->tier1) return plans;
  const std::vector<RouteReach> routes = RoutesOf(compilation, *shape, health);
  for (auto route = routes.begin(), next = route; route != routes.end(); route = next) {
    next = std::find_if(route, routes.end(), [&](const RouteReach& other) { return !AreOne(*route, other); });
    if (!question.host.empty() && !resource::Covers(route->host, question.host)) continue;
    v2::FailoverPlan worst = PlanOf(*route, tier1, question.without);
    for (auto path = std::next(route); path != next; ++path) {
      v2::FailoverPlan plan = PlanOf(*path, tier1, question.without);
      if (Badness(plan) > Badness(worst)) worst = std::move(plan);
    }
    Add(std::move(worst), route->workload, plans);
  }
  return plans;
}

}  // namespace weir::status
