#include "mgmt-server/services/leaving.h"

#include <algorithm>
#include <tuple>
#include <vector>

#include "libs/resource/admin_state.h"
#include "libs/resource/kinds.h"
#include "mgmt-server/authz/authz.h"

namespace weir::services {
namespace {

// Hosts of plans. A drain concerns every tenant: who orders it learns how many, and the names of those whose source he
// may read.
class Hosts {
 public:
  Hosts(const store::View& view, const authn::Principal* principal) : view_(view), principal_(principal) {}

  bool empty() const { return all_.empty(); }
  // False = it was known.
  bool Add(const v2::FailoverPlan& plan) {
    const store::ResourcePtr source = view_.Get(plan.source());
    if (principal_ == nullptr ||
        (source != nullptr && authz::Allowed(view_, *principal_, authz::Right::kRead, *source)))
      named_.insert(plan.host());
    return all_.insert(plan.host()).second;
  }
  // "a, b and 3 more", "2 hosts that you may not read"
  std::string Text() const {
    constexpr size_t kMostNamed = 10;
    std::string names;
    size_t named = 0;
    for (const std::string& host : named_) {
      if (named == kMostNamed) break;
      names += (named++ == 0 ? "" : ", ") + host;
    }
    const size_t others = all_.size() - named;
    if (named == 0) return fmt::format("{} host{} that you may not read", others, others == 1 ? "" : "s");
    return others == 0 ? names : fmt::format("{} and {} more", names, others);
  }

 private:
  const store::View& view_;
  const authn::Principal* const principal_;  // Null = the server itself.
  std::set<std::string> all_, named_;
};

// FAILED_PRECONDITION HEALTH_UNKNOWN when of a host that is sent there no gateway of some cluster says who can serve.
// Gateways of one cluster follow the same intent, so one of them speaks for all; those of the cluster that is drained
// are not asked, it may be dead.
Status CheckSomebodyKnows(const std::vector<v2::FailoverPlan>& plans, std::string_view cluster, Hosts unknown) {
  using Route = std::tuple<std::string, std::string, std::string, std::string>;
  const auto route = [](const v2::FailoverPlan& plan) {
    return Route{plan.gateway_cluster(), plan.source(), plan.host(), plan.route()};
  };
  std::set<Route> known;
  for (const v2::FailoverPlan& plan : plans) {
    if (plan.doubt().empty()) known.insert(route(plan));
  }
  std::string first;
  for (const v2::FailoverPlan& plan : plans) {
    const auto& to = plan.clusters();
    if (plan.gateway_cluster() == cluster || known.contains(route(plan))) continue;
    if (std::none_of(to.begin(), to.end(), [](const v2::FailoverShare& share) { return share.lost(); })) continue;
    if (unknown.Add(plan) && first.empty())
      first = fmt::format("gateways of {}: {}", plan.gateway_cluster(), plan.doubt());
  }
  if (unknown.empty()) return {};
  return FailedPrecondition("HEALTH_UNKNOWN",
                            "whether another cluster can serve {} is not known now ({}); a drain may leave them "
                            "unanswered. After a start of the server repeat it in a few seconds; force does it all the "
                            "same",
                            unknown.Text(), first);
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

Result<Leave> Leave::Judge(const Backends& backends, const authn::Principal* principal, const std::string& cluster) {
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
  Hosts left_alone(*view, principal);
  for (const v2::FailoverPlan& plan : plans) {
    if (resource::LeavesAlone(plan)) left_alone.Add(plan);
  }
  if (!left_alone.empty()) {
    return FailedPrecondition("LAST_RECEIVER",
                              "no other cluster can serve {} now; a drain would leave them unanswered (force does it "
                              "all the same; `weir explain failover` shows each)",
                              left_alone.Text());
  }
  WEIR_TRY(CheckSomebodyKnows(plans, name, Hosts(*view, principal)));
  return leave;
}

bool Leave::Holds(const store::View& view) const {
  const std::set<std::string> now = Taking(view, organization_);
  return std::includes(now.begin(), now.end(), others_.begin(), others_.end());
}

}  // namespace weir::services
