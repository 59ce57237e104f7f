#include "mgmt-server/status/service_reach.h"

#include <algorithm>

#include "api/weir/agent/v1/traffic.pb.h"
#include "libs/base/labels.h"
#include "libs/dialect/dialect.h"
#include "libs/resource/kinds.h"
#include "libs/resource/status_reason.h"
#include "mgmt-server/compile/named_service.h"

namespace weir::status {
namespace {

using resource::StatusReason;

bool HasEndpoint(const compile::Facts& facts, const agent::v1::Service& service) {
  const std::string prefix = service.namespace_() + "/";
  for (auto at = facts.workloads.lower_bound(prefix); at != facts.workloads.end() && at->first.starts_with(prefix);
       ++at) {
    if (!at->second->addresses().empty() && LabelsMatch(service.selector(), at->second->labels())) return true;
  }
  return false;
}

}  // namespace

ServiceState StateOf(const compile::World& world, const compile::GatewayShape& tier2, const std::string& cluster,
                     const v2::ServiceDestination& destination) {
  const auto [outside, service] = compile::FindNamedService(world, tier2, cluster, destination.host());
  if (outside) return ServiceState::kOutsideWorkspace;
  if (service == nullptr) return ServiceState::kServiceMissing;
  const auto& ports = service->ports();
  if (std::find(ports.begin(), ports.end(), destination.port()) == ports.end()) return ServiceState::kPortMissing;
  return HasEndpoint(*world.facts(cluster), *service) ? ServiceState::kServes : ServiceState::kNoEndpoint;
}

Shortfall OfService(ServiceState state, const v2::ServiceDestination& destination, std::string_view cluster) {
  switch (state) {
    case ServiceState::kServes:
      return {};
    case ServiceState::kOutsideWorkspace:
      return {Word(StatusReason::kServiceOutsideWorkspace),
              fmt::format("{}: the workspace does not own the namespace of {}", cluster, destination.host())};
    case ServiceState::kServiceMissing:
      return {Word(StatusReason::kServiceMissing),
              fmt::format("{}: there is no service {}", cluster, destination.host())};
    case ServiceState::kPortMissing:
      return {Word(StatusReason::kPortMissing),
              fmt::format("{}: service {} has no port {}", cluster, destination.host(), destination.port())};
    case ServiceState::kNoEndpoint:
      return {Word(StatusReason::kNoEndpoint),
              fmt::format("{}: service {} has no workload", cluster, destination.host())};
  }
  return {};
}

GatewaysWord OfGateways(const compile::World& world, const compile::GatewayShape& tier2, const std::string& cluster,
                        const v2::ServiceDestination& destination, const ReportedHealth& health) {
  GatewaysWord word;
  const std::string set = dialect::ServiceSet(destination.host(), destination.port());
  for (const compile::SelectedWorkload& gateway : compile::SelectedIn(world, tier2, cluster)) {
    const Voice voice = health.VoiceOf(cluster, gateway.name);
    const auto* said = health.Find(cluster, gateway.name, set, std::string(resource::LastName(cluster)));
    if (voice == Voice::kAway) {
      word.away = true;
    } else if (voice != Voice::kHeard && voice != Voice::kNotYet) {
      word.silent = true;
    } else if (said == nullptr || (said->can_serve() && said->unchecked())) {
      word.unknown = true;
    } else {
      word.served |= said->can_serve();
    }
  }
  return word;
}

Shortfall NobodyThere(const std::string& cluster) {
  return {Word(StatusReason::kDisconnected),
          fmt::format("{}: its tier-2 gateways are not connected to their agent", resource::LastName(cluster))};
}

Shortfall NobodyHealthy(const std::string& cluster, const v2::ServiceDestination& destination) {
  return {Word(StatusReason::kNoEndpoint), fmt::format("{}: nobody behind its tier-2 gateways can serve {}",
                                                       resource::LastName(cluster), destination.host())};
}

Shortfall ServiceAt(const compile::World& world, const compile::GatewayShape& tier2, const std::string& cluster,
                    const v2::ServiceDestination& destination, const ReportedHealth& health, bool* unchecked) {
  *unchecked = false;
  Shortfall shortfall =
      OfService(StateOf(world, tier2, cluster, destination), destination, resource::LastName(cluster));
  if (!shortfall.reason.empty()) return shortfall;
  const GatewaysWord word = OfGateways(world, tier2, cluster, destination, health);
  // Of those that nobody hears the tier-1 gateways know.
  if (word.served || word.silent || word.away) return {};
  *unchecked = word.unknown;
  return word.unknown ? Shortfall{} : NobodyHealthy(cluster, destination);
}

Shortfall Unnamed(const Shortfall& shortfall, std::string_view cluster) {
  if (shortfall.reason.empty()) return {};
  std::string_view what = "nobody there can serve it";
  if (shortfall.reason == Word(StatusReason::kServiceOutsideWorkspace))
    what = "the service lies in a namespace that their workspace does not own";
  else if (shortfall.reason == Word(StatusReason::kServiceMissing))
    what = "the service is not there";
  else if (shortfall.reason == Word(StatusReason::kPortMissing))
    what = "the service lacks the port";
  return {shortfall.reason, fmt::format("{}: behind its tier-2 gateways {}", cluster, what)};
}

}  // namespace weir::status
