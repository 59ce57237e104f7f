#include <algorithm>
#include <map>
#include <set>

#include "api/weir/v2/traffic.pb.h"
#include "libs/base/text.h"
#include "libs/resource/kinds.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/services/services.h"
#include "mgmt-server/store/store.h"

namespace weir::services {
namespace {

// Whether the caller may read the gateway objects that items come from; each is asked once.
class Readable {
 public:
  Readable(const store::View& view, const authn::Principal& principal) : view_(view), principal_(principal) {}

  bool operator()(const std::string& source) {
    const auto [entry, unknown] = known_.emplace(source, false);
    if (unknown) {
      const store::ResourcePtr resource = view_.Get(source);
      entry->second = resource != nullptr && authz::Allowed(view_, principal_, authz::Right::kRead, *resource);
    }
    return entry->second;
  }

 private:
  const store::View& view_;
  const authn::Principal& principal_;
  std::map<std::string, bool> known_;
};

// A parent that the caller may not read shows what below it the caller may; where that is nothing, it is as if it did
// not exist, and no work is done. A cluster holds no gateway objects: it is asked for those of its organization.
Status MayAsk(const store::View& view, const authn::Principal& principal, const std::string& parent) {
  const std::string organization(resource::OrganizationFqn(parent));
  const bool cluster = resource::IsAtOrBelow(parent, organization + "/clusters");
  if (authz::SeesBelow(view, principal, cluster ? organization : parent)) return {};
  WEIR_TRY(authz::Authorize(view, principal, authz::Right::kRead, parent));
  return {};
}

Result<v2::TrafficReport> GetTraffic(const Backends& backends, const CallContext& call,
                                     const v2::GetTrafficRequest& request) {
  const store::ViewPtr view = backends.store->Read();
  WEIR_TRY(MayAsk(*view, call.principal, request.parent()));
  Readable readable(*view, call.principal);
  v2::TrafficReport report;
  for (v2::HostTraffic& item : backends.fleet->Traffic(request.parent(), AsciiLower(request.host()))) {
    if (readable(item.source())) *report.add_items() = std::move(item);
  }
  return report;
}

Result<v2::ExplainHealthResponse> ExplainHealth(const Backends& backends, const CallContext& call,
                                                const v2::ExplainHealthRequest& request) {
  const std::string host = AsciiLower(request.host());
  if (host.empty()) {
    Error error = InvalidArgument("INVALID_REQUEST", "which host?");
    error.violations.push_back({.field = "host", .description = "required"});
    return error;
  }
  const store::ViewPtr view = backends.store->Read();
  // As if it did not exist, whoever has it.
  const Error unknown =
      NotFound("HOST_UNKNOWN", "no tier-1 gateway that you may read about serves {} in {}", host, request.parent());
  if (!MayAsk(*view, call.principal, request.parent()).ok()) return unknown;
  Readable readable(*view, call.principal);
  v2::ExplainHealthResponse response;
  for (v2::HostHealth& item : backends.fleet->Health(request.parent(), host)) {
    if (readable(item.source())) *response.add_items() = std::move(item);
  }
  if (!response.items().empty()) return response;
  // Nothing reported: for a host that is there, an empty answer.
  const std::vector<std::string> serving = backends.fleet->Serving(request.parent(), host);
  if (std::any_of(serving.begin(), serving.end(), [&](const auto& source) { return readable(source); }))
    return response;
  return unknown;
}

// Names with commas between them.
std::set<std::string> NamesOf(const std::string& list) {
  std::set<std::string> names;
  for (size_t from = 0; from <= list.size();) {
    const size_t comma = std::min(list.find(',', from), list.size());
    if (comma > from) names.insert(list.substr(from, comma - from));
    from = comma + 1;
  }
  return names;
}

Result<v2::ExplainFailoverResponse> ExplainFailover(const Backends& backends, const CallContext& call,
                                                    const v2::ExplainFailoverRequest& request) {
  const std::string host = AsciiLower(request.host());
  const store::ViewPtr view = backends.store->Read();
  // The right before the names: who may not ask learns of none of them whether it is there.
  WEIR_TRY(MayAsk(*view, call.principal, request.parent()));
  Readable readable(*view, call.principal);
  const std::set<std::string> without = NamesOf(request.without());
  for (const std::string& name : without) {
    if (view->Get(resource::ClusterFqn(resource::OrganizationFqn(request.parent()), name)) != nullptr) continue;
    Error error = InvalidArgument("INVALID_REQUEST", "there is no cluster {}", name);
    error.violations.push_back({.field = "without", .description = fmt::format("\"{}\" is no cluster", name)});
    return error;
  }
  v2::ExplainFailoverResponse response;
  for (v2::FailoverPlan& plan : backends.fleet->Failover(request.parent(), host, without)) {
    if (readable(plan.source())) *response.add_items() = std::move(plan);
  }
  if (response.items().empty() && !host.empty()) {
    return NotFound("HOST_UNKNOWN", "no tier-1 gateway that you may read about serves {} in {}", host,
                    request.parent());
  }
  return response;
}

}  // namespace

void AddTraffic(MethodTable& table, const Backends& backends) {
  table.Add<v2::GetTrafficRequest, v2::TrafficReport>(
      "weir.v2.Traffic.GetTraffic", [&backends](CallContext& call, const v2::GetTrafficRequest& request) {
        return GetTraffic(backends, call, request);
      });
  table.Add<v2::ExplainHealthRequest, v2::ExplainHealthResponse>(
      "weir.v2.Traffic.ExplainHealth", [&backends](CallContext& call, const v2::ExplainHealthRequest& request) {
        return ExplainHealth(backends, call, request);
      });
  table.Add<v2::ExplainFailoverRequest, v2::ExplainFailoverResponse>(
      "weir.v2.Traffic.ExplainFailover", [&backends](CallContext& call, const v2::ExplainFailoverRequest& request) {
        return ExplainFailover(backends, call, request);
      });
}

}  // namespace weir::services
