#include "mgmt-server/invariants/intent.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>

#include "api/weir/mesh/v1/intent.pb.h"
#include "libs/resource/conflicts.h"
#include "libs/resource/kinds.h"
#include "mgmt-server/compile/keys.h"
#include "mgmt-server/compile/spread.h"
#include "mgmt-server/invariants/paths.h"

namespace weir::invariants {
namespace {

using compile::GatewayShape;
using compile::ServerShape;
using compile::World;

bool IsSeen(const Invariant& invariant, std::string_view tenant) {
  return invariant.tenant.empty() || invariant.tenant == tenant;
}

// Another server of the same listener is nearer to the host. Of the same group, so that it stands wherever this does.
bool IsShadowed(const World& world, const Publisher& publisher, const std::string& host) {
  if (!publisher.server->hostname.starts_with("*.") || publisher.server->hostname == host) return false;
  const auto rivals = world.state().by_selector.find(publisher.shape->selector_key);
  if (rivals == world.state().by_selector.end()) return false;
  bool shadowed = false;
  for (const std::string& fqn : rivals->second) {
    const GatewayShape& rival = *world.gateway(fqn);
    if (rival.group != publisher.shape->group) continue;
    compile::EachCovering(rival, host, [&](const ServerShape& server) {
      const bool nearer = server.hostname == host || server.hostname.size() > publisher.server->hostname.size();
      shadowed |= server.port == publisher.server->port && nearer;
    });
  }
  return shadowed;
}

mesh::v1::DestinationSet SpreadOf(const World& world, const Publisher& publisher, const compile::ClusterList& list) {
  mesh::v1::DestinationSet set;
  compile::Sources unused;
  compile::SetSpread(world, "", *publisher.shape, *publisher.server, list, set, unused);
  return set;
}

// Calls fn(rule, line, what its gateways are told) for each rule that goes to clusters.
void EachSpread(const World& world, const Publisher& publisher,
                const std::function<void(int, const Line&, const mesh::v1::DestinationSet&)>& fn) {
  const auto& rules = publisher.server->http->routing().rules();
  for (int i = 0; i < rules.size(); ++i) {
    if (!rules[i].route().has_cluster_destination()) continue;
    const Line line{publisher.shape->fqn,
                    publisher.shape->form.ClustersOf(publisher.shape->IndexOf(*publisher.server), i)};
    fn(i, line, SpreadOf(world, publisher, rules[i].route().cluster_destination().clusters()));
  }
}

// Whether a tier-2 gateway object may answer there; who turns to another tenant has its word for it.
bool MayBeAnswered(const World& world, const Invariant& invariant, const ServerShape& server,
                   const std::string& cluster) {
  if (!IsSeen(invariant, server.tenant)) return true;
  const compile::FqnSet receivers = compile::Tier2For(world, server.tenant, server.hostname);
  return std::any_of(receivers.begin(), receivers.end(), [&](const std::string& fqn) {
    const auto places = PlacesOf(world, *world.gateway(fqn));
    return std::any_of(places.begin(), places.end(), [&](const resource::NamespacePattern& place) {
      return place.cluster == "*" || place.cluster == cluster;
    });
  });
}

std::string WhyNotAble(const World& world, const Invariant& invariant, const Publisher& publisher,
                       const mesh::v1::ClusterShare& share, std::vector<Line>& because) {
  const std::string fqn = resource::ClusterFqn(publisher.shape->organization, share.cluster());
  const v2::Cluster* cluster = world.cluster(fqn);
  if (cluster == nullptr) return "is not there";
  if (share.drained() || share.standby()) {
    because.push_back({fqn, "spec.adminState"});
    return fmt::format("is {}", v2::AdminState_Name(cluster->spec().admin_state()));
  }
  if (MayBeAnswered(world, invariant, *publisher.server, share.cluster())) return "";
  return "has no tier-2 gateway object that answers for it";
}

// The deepest of each key.
void Keep(Breach breach, std::map<std::string, Breach>& found) {
  const auto [known, fresh] = found.try_emplace(breach.key, breach);
  if (!fresh && known->second.depth < breach.depth) known->second = std::move(breach);
}
std::vector<Breach> ListOf(std::map<std::string, Breach> found) {
  std::vector<Breach> breaches;
  for (auto& [key, breach] : found) breaches.push_back(std::move(breach));
  return breaches;
}

std::vector<Breach> JudgeMinClusters(const World& world, const Invariant& invariant) {
  const v2::MinClusters& min = invariant.spec.min_clusters();
  std::map<std::string, Breach> found;
  bool published = false;
  for (const Publisher& publisher : PublishersOf(world, invariant, min.host())) {
    for (SentRule& sent : SentBy(world, invariant, publisher)) {
      published = true;
      if (sent.able.size() >= min.count()) continue;
      Breach breach;
      breach.key = publisher.shape->fqn + "\n" + publisher.server->hostname;
      breach.depth = min.count() - sent.able.size();
      breach.message =
          fmt::format("{} has {} of {} clusters that can take its requests{}{}", publisher.server->hostname,
                      sent.able.size(), min.count(), sent.others.empty() ? "" : ": ", sent.others);
      breach.lines = {sent.line};
      breach.lines.insert(breach.lines.end(), sent.because.begin(), sent.because.end());
      Keep(std::move(breach), found);
    }
  }
  if (!published) {
    Keep({.key = "",
          .depth = min.count(),
          .message = fmt::format("no tier-1 gateway object sends {} to clusters", min.host()),
          .lines = {{invariant.fqn, "spec.minClusters.host"}}},
         found);
  }
  return ListOf(std::move(found));
}

std::vector<Breach> JudgeOnlyRegions(const World& world, const Invariant& invariant) {
  const v2::OnlyRegions& only = invariant.spec.only_regions();
  std::map<std::string, Breach> found;
  for (const Publisher& publisher : PublishersOf(world, invariant, only.host())) {
    const std::string& host = publisher.server->hostname;
    EachSpread(world, publisher, [&](int, const Line& line, const mesh::v1::DestinationSet& set) {
      for (const auto& share : set.clusters()) {
        if (std::find(only.regions().begin(), only.regions().end(), share.region()) != only.regions().end()) continue;
        Breach breach;
        breach.key = publisher.shape->fqn + "\n" + host + "\n" + share.cluster();
        breach.message = fmt::format("{} may be sent to {} {}, and not only to {}", host, share.cluster(),
                                     share.region().empty() ? "without a region" : "in region " + share.region(),
                                     fmt::join(only.regions(), ", "));
        breach.lines = {line,
                        {resource::ClusterFqn(publisher.shape->organization, share.cluster()), "spec.locality.region"}};
        Keep(std::move(breach), found);
      }
    });
  }
  return ListOf(std::move(found));
}

std::vector<Breach> JudgeMutualTls(const World& world, const Invariant& invariant, const Touched* only) {
  std::map<std::string, Breach> found;
  EachGateway(world, invariant, only, [&](const GatewayShape& shape) {
    for (const ServerShape& server : shape.servers) {
      EachSpread(world, {&shape, &server}, [&](int, const Line& line, const mesh::v1::DestinationSet& set) {
        for (const auto& share : set.clusters()) {
          const std::string cluster = resource::ClusterFqn(shape.organization, share.cluster());
          const bool there = world.cluster(cluster) != nullptr;
          if (!there || (!share.endpoints().empty() && !world.TrustDomain(cluster).empty())) continue;
          Breach breach;
          breach.key = shape.fqn + "\n" + server.hostname + "\n" + share.cluster();
          breach.message = fmt::format("gateways that send {} to {} could not verify who answers there",
                                       server.hostname, share.cluster());
          breach.lines = {line};
          Keep(std::move(breach), found);
        }
      });
    }
  });
  return ListOf(std::move(found));
}

}  // namespace

void EachGateway(const World& world, const Invariant& invariant, const Touched* only,
                 const std::function<void(const GatewayShape&)>& fn) {
  const auto visit = [&](const GatewayShape& shape) {
    if (shape.organization == invariant.organization && IsSeen(invariant, shape.tenant)) fn(shape);
  };
  if (only != nullptr && !only->namespaces()) {
    for (const std::string& fqn : only->gateways()) {
      if (const GatewayShape* shape = world.gateway(fqn)) visit(*shape);
    }
    return;
  }
  world.state().EachGatewayBelow(invariant.parent, visit);
}

std::vector<Publisher> PublishersOf(const World& world, const Invariant& invariant, const std::string& host) {
  const auto& index = world.state().tier1_by_host;
  compile::FqnSet fqns = compile::Tier1For(world, invariant.organization, host);
  for (const std::string& pattern : resource::PatternsFor(host)) {
    const auto wider = index.find(compile::Reversed(pattern));
    if (wider != index.end()) fqns.insert(wider->second.begin(), wider->second.end());
  }
  std::vector<Publisher> publishers;
  for (const std::string& fqn : fqns) {
    const GatewayShape& shape = *world.gateway(fqn);
    if (shape.organization != invariant.organization || !IsSeen(invariant, shape.tenant)) continue;
    if (PlacesOf(world, shape).empty()) continue;  // It stands nowhere, whatever it says.
    std::set<const ServerShape*> servers;
    const auto add = [&](const ServerShape& server) {
      if (!IsShadowed(world, {&shape, &server}, host)) servers.insert(&server);
    };
    compile::EachCovering(shape, host, add);
    if (host.starts_with("*.")) compile::EachCovered(shape, host, add);
    for (const ServerShape* server : servers) publishers.push_back({&shape, server});
  }
  return publishers;
}

std::vector<SentRule> SentBy(const World& world, const Invariant& invariant, const Publisher& publisher) {
  std::vector<SentRule> rules;
  EachSpread(world, publisher, [&](int rule, const Line& line, const mesh::v1::DestinationSet& set) {
    SentRule& sent = rules.emplace_back();
    sent.rule = rule;
    sent.line = line;
    for (const auto& share : set.clusters()) {
      const std::string why = WhyNotAble(world, invariant, publisher, share, sent.because);
      if (why.empty())
        sent.able.insert(share.cluster());
      else
        sent.others += fmt::format("{}{} {}", sent.others.empty() ? "" : "; ", share.cluster(), why);
    }
  });
  return rules;
}

std::vector<Breach> JudgeIntent(const World& world, const Invariant& invariant, const Touched* only) {
  switch (invariant.spec.condition_case()) {
    case v2::InvariantSpec::kMinClusters:
      return JudgeMinClusters(world, invariant);
    case v2::InvariantSpec::kNoPath:
      return JudgeNoPath(world, invariant, only);
    case v2::InvariantSpec::kOnlyRegions:
      return JudgeOnlyRegions(world, invariant);
    case v2::InvariantSpec::kMutualTlsBetweenClusters:
      return JudgeMutualTls(world, invariant, only);
    case v2::InvariantSpec::CONDITION_NOT_SET:
      break;
  }
  return {};
}

}  // namespace weir::invariants
