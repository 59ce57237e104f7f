#include "mgmt-server/invariants/facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "api/weir/mesh/v1/intent.pb.h"
#include "libs/dialect/dialect.h"
#include "libs/resource/kinds.h"
#include "mgmt-server/compile/keys.h"
#include "mgmt-server/invariants/paths.h"

namespace weir::invariants {
namespace {

using compile::GatewayShape;
using compile::Key;
using compile::ServerShape;

Key SetKey(const Publisher& publisher, int rule) {
  const std::string listener = compile::ListenerName(publisher.shape->selector_key, publisher.server->port);
  const std::string host = compile::HostName(listener, publisher.server->hostname);
  return {std::string(compile::kDestinationSet), compile::DestinationSetName(host, *publisher.server, rule)};
}

class ServeCount {
 public:
  ServeCount(status::Pieces& pieces, const status::ReportedHealth& health, const Invariant& invariant)
      : pieces_(pieces), health_(health), invariant_(invariant), min_(invariant.spec.min_clusters()) {}

  Judgement Run() && {
    const compile::World& world = pieces_.world();
    for (const Publisher& publisher : PublishersOf(world, invariant_, min_.host())) {
      const std::vector<SentRule> rules = SentBy(world, invariant_, publisher);
      for (const std::string& cluster : compile::ClustersOf(world, *publisher.shape)) {
        for (const compile::SelectedWorkload& gateway : compile::SelectedIn(world, *publisher.shape, cluster)) {
          for (const SentRule& sent : rules) At(publisher, sent, cluster, gateway.name);
        }
      }
    }
    if (judgement_.breaches.empty() && !stands_) {
      judgement_.breaches.push_back({.key = "",
                                     .depth = min_.count(),
                                     .message = fmt::format("no tier-1 gateway that serves {} is there", min_.host()),
                                     .lines = {{invariant_.fqn, "spec.minClusters.host"}}});
    }
    if (!judgement_.breaches.empty() || heard_) judgement_.unknown.clear();
    return std::move(judgement_);
  }

 private:
  // One rule as one gateway follows it.
  void At(const Publisher& publisher, const SentRule& sent, const std::string& cluster, const std::string& workload) {
    const auto route =
        status::RouteAt(pieces_, *publisher.shape, cluster, SetKey(publisher, sent.rule), workload, health_);
    if (!route) return;
    stands_ = true;
    if (std::string doubt = status::DoubtOf(route->voice, resource::LastName(cluster)); !doubt.empty()) {
      if (judgement_.unknown.empty()) judgement_.unknown = fmt::format("gateway {}: {}", workload, doubt);
      return;
    }
    heard_ = true;
    std::set<std::string> serving;
    std::string others = sent.others;
    for (size_t i = 0; i < route->destinations.size(); ++i) {
      const std::string& name = route->destinations[i].cluster;
      if (!sent.able.contains(name)) continue;
      const status::Shortfall& detail = route->details[i];
      if (detail.reason.empty() && !route->unchecked[i]) {
        serving.insert(name);
        continue;
      }
      const std::string why = detail.reason.empty()    ? "it is not found out yet"
                              : detail.message.empty() ? detail.reason
                                                       : fmt::format("{}: {}", detail.reason, detail.message);
      others += fmt::format("{}{} cannot ({})", others.empty() ? "" : "; ", name, why);
    }
    if (serving.size() >= min_.count()) return;
    judgement_.breaches.push_back(
        {.key = publisher.shape->fqn + "\n" + publisher.server->hostname + "\n" + cluster + "\n" + workload,
         .depth = min_.count() - serving.size(),
         .message =
             fmt::format("of gateway {} of {}, {} of {} clusters can serve {}: {}", workload,
                         resource::LastName(cluster), serving.size(), min_.count(), publisher.server->hostname, others),
         .lines = {sent.line}});
  }

  status::Pieces& pieces_;
  const status::ReportedHealth& health_;
  const Invariant& invariant_;
  const v2::MinClusters& min_;
  Judgement judgement_;
  bool stands_ = false;
  bool heard_ = false;
};

// "" = whoever answers there is verified.
std::string WhyNotVerified(const compile::World& world, const std::string& organization,
                           const compile::Resource& resource) {
  mesh::v1::ServiceEndpoints endpoints;
  if (!endpoints.ParseFromString(resource.bytes)) return "what is pushed cannot be read";
  const std::string domain = world.TrustDomain(resource::ClusterFqn(organization, endpoints.cluster()));
  if (domain.empty() || endpoints.trust_domain() != domain) return "the trust domain is not that of the cluster";
  for (const auto& endpoint : endpoints.endpoints()) {
    if (endpoint.port() != dialect::kMeshPort) {
      return fmt::format("{} is to be called on port {}", endpoint.workload(), endpoint.port());
    }
    if (!endpoint.spiffe_id().starts_with("spiffe://" + domain + "/")) {
      return fmt::format("{} has no identity of its cluster", endpoint.workload());
    }
  }
  return "";
}

// One per importing cluster and imported host.
Judgement MutualTls(status::Pieces& pieces, const Invariant& invariant) {
  Judgement judgement;
  const compile::World& world = pieces.world();
  EachGateway(world, invariant, nullptr, [&](const GatewayShape& shape) {
    if (!shape.tier1) return;
    for (const std::string& cluster : compile::ClustersOf(world, shape)) {
      std::set<Key> keys;
      compile::AddObjectKeys(shape, keys);
      for (const Key& key : keys) {
        if (key.type != compile::kServiceEndpoints) continue;
        const compile::Resource* resource = pieces.Find(cluster, key);
        if (resource == nullptr) continue;
        const std::string why = WhyNotVerified(world, shape.organization, *resource);
        if (why.empty()) continue;
        judgement.breaches.push_back(
            {.key = cluster + "\n" + key.name,
             .message = fmt::format("gateways of {} in {} would go to {} without mutual TLS: {}", shape.fqn,
                                    resource::LastName(cluster), key.name, why),
             .lines = {{shape.fqn, "spec"}}});
      }
    }
  });
  return judgement;
}

}  // namespace

bool AsksFacts(const Invariant& invariant) {
  return (invariant.spec.has_min_clusters() && invariant.spec.min_clusters().can_serve()) ||
         invariant.spec.has_mutual_tls_between_clusters();
}

Judgement JudgeFacts(status::Pieces& pieces, const status::ReportedHealth& health, const Invariant& invariant) {
  if (!AsksFacts(invariant)) return {};
  if (invariant.spec.has_min_clusters()) return ServeCount(pieces, health, invariant).Run();
  return MutualTls(pieces, invariant);
}

}  // namespace weir::invariants
