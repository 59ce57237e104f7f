#pragma once

#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "libs/resource/kinds.h"
#include "libs/xds/grpc/ads_service.h"
#include "mgmt-server/fleet/fleet.h"
#include "mgmt-server/fleet/traffic.h"
#include "mgmt-server/plan_answers.h"
#include "mgmt-server/push/pusher.h"
#include "mgmt-server/route_answers.h"
#include "mgmt-server/services/backends.h"
#include "mgmt-server/status/failover.h"
#include "mgmt-server/status/wave.h"

// For server.cc only.
namespace weir::server {

// What the handlers ask of the fleet, whose parts come from three rooms.
class FleetAnswers final : public services::FleetView {
 public:
  FleetAnswers(const store::Store& store, fleet::Fleet& fleet, xds::AdsService& ads, const push::Pusher& pusher,
               std::function<weir::Status(v2::ReplaceRootRequest::Step)> replace_root,
               std::function<v2::ServerStatus()> server_status, const Clock& clock)
      : store_(store),
        fleet_(fleet),
        ads_(ads),
        pusher_(pusher),
        replace_root_(std::move(replace_root)),
        server_status_(std::move(server_status)),
        clock_(clock) {}

  Result<v2::ResourceStatus> Status(const std::string& fqn) const override { return fleet_.GetStatus(fqn); }
  Result<std::vector<v2::ResourceStatus>> Statuses(const std::string& parent) const override {
    return fleet_.ListStatuses(parent);
  }
  bool IsCompiled(int64_t revision) const override { return pusher_.revision() >= revision; }
  v2::ResourceStatus WaitApplied(const std::string& fqn, int64_t revision, MonoTime deadline) const override {
    return fleet_.WaitApplied(fqn, revision, deadline);
  }
  v2::ClusterState ClusterState(const std::string& cluster) const override { return fleet_.ClusterStateOf(cluster); }
  std::vector<v2::HostTraffic> Traffic(const std::string& parent, const std::string& host) const override {
    return fleet_.TrafficOf({parent, host});
  }
  std::vector<v2::HostHealth> Health(const std::string& parent, const std::string& host) const override {
    return fleet_.HealthOf({parent, host});
  }
  std::vector<std::string> Serving(const std::string& parent, const std::string& host) const override {
    return fleet_.SourcesOf({parent, host});
  }
  ServiceWord ServiceHealth(const std::string& cluster, const std::string& host, uint32_t port) const override {
    const auto said = fleet_.ServiceHealth(cluster, host, port);
    if (!said) return {};
    return {.heard = true, .serves = said->can_serve(), .reason = said->reason()};
  }
  std::vector<v2::FailoverPlan> Failover(const std::string& parent, const std::string& host,
                                         const std::set<std::string>& without) const override {
    const bool newest = pusher_.WaitFor(store_.Read()->revision(), clock_, clock_.Now() + kPatience);
    std::vector<v2::FailoverPlan> plans = fleet_.PlanFailover(parent, {host, without});
    for (v2::FailoverPlan& plan : plans) {
      if (!newest) plan.set_doubt("what is stored is not compiled yet; ask again in a moment");
    }
    return plans;
  }
  Result<std::vector<v2::ExplainedRoute>> ExplainRoute(const status::AskedRequest& asked, const store::ViewPtr& then,
                                                       MonoTime deadline) const override {
    if (then != nullptr) return server::ExplainRouteAt(*then, *store_.Read(), asked);
    if (!pusher_.WaitFor(store_.Read()->revision(), clock_, deadline)) {
      return Unavailable("NOT_COMPILED", "what is stored is not compiled yet; ask again in a moment");
    }
    return fleet_.ExplainRoute(asked);
  }
  Result<services::PlanEffect> Plan(const services::PlanQuestion& question) const override {
    std::set<std::string> organizations;
    for (const auto& change : question.changes) organizations.emplace(resource::OrganizationFqn(change.fqn));
    MeasuredTraffic traffic;
    for (const std::string& organization : organizations) {
      for (v2::HostTraffic& item : fleet_.TrafficOf({organization, ""})) traffic.push_back(std::move(item));
    }
    return server::Plan(pusher_, clock_, std::move(traffic), question);
  }
  Result<services::Concerned> ConcernedBy(const services::PlanQuestion& question) const override {
    return server::ConcernedBy(pusher_, clock_, question);
  }
  status::WaveSeen ObserveWave(const status::WaveQuestion& question) const override {
    return fleet_.ObserveWave(question);
  }
  std::vector<v2::HeldCluster> HeldClusters() const override { return fleet_.HeldClusters(ads_); }
  std::vector<std::string> AwayClusters() const override { return fleet_.AwayClusters(ads_); }
  void ReleaseHeldClusters() override { fleet_.ReleaseHeldClusters(ads_); }
  v2::ServerStatus ServerStatus() const override { return server_status_(); }
  Result<v2::ReplaceRootResponse> Roots() const override { return fleet_.Roots(); }
  weir::Status ReplaceRoot(v2::ReplaceRootRequest::Step step) override { return replace_root_(step); }

 private:
  static constexpr Duration kPatience = std::chrono::seconds(2);  // For a push.

  const store::Store& store_;
  fleet::Fleet& fleet_;
  xds::AdsService& ads_;
  const push::Pusher& pusher_;
  const std::function<weir::Status(v2::ReplaceRootRequest::Step)> replace_root_;
  const std::function<v2::ServerStatus()> server_status_;
  const Clock& clock_;
};

}  // namespace weir::server
