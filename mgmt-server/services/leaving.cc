#include "mgmt-server/services/leaving.h"

#include <algorithm>
#include <tuple>
#include <vector>

#include "libs/resource/admin_state.h"
#include "libs/resource/kinds.h"

namespace weir::services {
namespace {

// "a, b and 3 more"
std::string SomeOf(const std::set<std::string>& hosts) {
  constexpr size_t kMostNamed = 10;
  std::string names;
  size_t named = 0;
  for (const std::string& host : hosts) {
    if (named++ == kMostNamed) break;
    names += (names.empty() ? "" : ", ") + host;
  }
  if (hosts.size() > kMostNamed) names += fmt::format(" and {} more", hosts.size() - kMostNamed);
  return names;
}

// FAILED_PRECONDITION HEALTH_UNKNOWN when of a host that is sent there no gateway of some cluster says who can serve.
// Gateways of one cluster follow the same intent, so one of them speaks for all; those of the cluster that is drained
// are not asked, it may be dead.
Status CheckSomebodyKnows(const std::vector<v2::FailoverPlan>& plans, std::string_view cluster) {
  using Route = std::tuple<std::string, std::string, std::string, std::string>;
  const auto route = [](const v2::FailoverPlan& plan) {
    return Route{plan.gateway_cluster(), plan.source(), plan.host(), plan.route()};
  };
  std::set<Route> known;
  for (const v2::FailoverPlan& plan : plans) {
    if (plan.doubt().empty()) known.insert(route(plan));
  }
  std::set<std::string> unknown;
  std::string first;
  for (const v2::FailoverPlan& plan : plans) {
    const auto& to = plan.clusters();
    if (plan.gateway_cluster() == cluster || known.contains(route(plan))) continue;
    if (std::none_of(to.begin(), to.end(), [](const v2::FailoverShare& share) { return share.lost(); })) continue;
    if (unknown.insert(plan.host()).second && first.empty())
      first = fmt::format("gateways of {}: {}", plan.gateway_cluster(), plan.doubt());
  }
  if (unknown.empty()) return {};
  return FailedPrecondition("HEALTH_UNKNOWN",
                            "whether another cluster can serve {} is not known now ({}); a drain may leave them "
                            "unanswered. After a start of the server repeat it in a few seconds; force does it all the "
                            "same",
                            SomeOf(unknown), first);
}

// Uids of the clusters of an organization that take requests.
std::set<std::string> Taking(const store::View& view, const std::string& organization) {
  std::set<std::string> uids;
  view.ForEach(organization, "Cluster", [&](const store::ResourcePtr& stored) {
    v2::Cluster cluster;
    if (cluster.ParseFromString(stored->body) && !resource::TakesNoRequests(cluster.spec().admin_state()))
      uids.insert(stored->uid);
    return true;
  });
  return uids;
}

}  // namespace

Result<Leave> Leave::Judge(const Backends& backends, const std::string& cluster) {
  Leave leave;
  leave.organization_ = resource::ParentFqn(cluster);
  const std::string name(resource::LastName(cluster));
  const store::ViewPtr view = backends.store->Read();
  leave.others_ = Taking(*view, leave.organization_);
  if (const store::ResourcePtr own = view->Get(cluster)) leave.others_.erase(own->uid);
  const std::vector<v2::FailoverPlan> plans = backends.fleet->Failover(leave.organization_, "", {name});
  if (!backends.fleet->IsCompiled(view->revision())) {
    return Unavailable("NOT_COMPILED",
                       "what is stored is not compiled yet, so who else can serve is not known; ask again in a moment "
                       "(force does it all the same)");
  }
  std::set<std::string> left_alone;
  for (const v2::FailoverPlan& plan : plans) {
    if (resource::LeavesAlone(plan)) left_alone.insert(plan.host());
  }
  if (!left_alone.empty()) {
    return FailedPrecondition("LAST_RECEIVER",
                              "no other cluster can serve {} now; a drain would leave them unanswered (force does it "
                              "all the same; `weir explain failover` shows each)",
                              SomeOf(left_alone));
  }
  WEIR_TRY(CheckSomebodyKnows(plans, name));
  return leave;
}

bool Leave::Holds(const store::View& view) const {
  const std::set<std::string> now = Taking(view, organization_);
  return std::includes(now.begin(), now.end(), others_.begin(), others_.end());
}

}  // namespace weir::services
