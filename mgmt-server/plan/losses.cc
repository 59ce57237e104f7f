#include "mgmt-server/plan/losses.h"

#include <functional>

#include "api/weir/mesh/v1/intent.pb.h"
#include "libs/resource/kinds.h"
#include "mgmt-server/compile/keys.h"

namespace weir::plan {
namespace {

using compile::Key;
using compile::Resource;
using Lookup = std::function<const Resource*(const Key&)>;

// The destination sets whose standing may differ: those that do, and those of the tier-1 servers that import what does.
std::set<Key> SetsOf(const Question& question, const ClusterChange& change) {
  std::set<Key> sets;
  for (const auto& [key, piece] : change.pieces()) {
    if (key.type == compile::kDestinationSet) sets.insert(key);
    const auto name = key.type == compile::kServiceEndpoints ? compile::ParseEndpointsName(key.name) : std::nullopt;
    if (!name) continue;
    for (const compile::World* world : {&question.before, &question.after}) {
      const auto organization = resource::OrganizationFqn(change.cluster());
      for (const std::string& fqn : compile::Tier1For(*world, organization, name->hostname)) {
        const compile::GatewayShape& shape = *world->gateway(fqn);
        compile::EachCovered(shape, name->hostname, [&](const compile::ServerShape& server) {
          compile::AddSpreadKeys(shape, server, name->cluster, sets);
        });
      }
    }
  }
  return sets;
}

// How the clusters of a set stand: name -> why it takes nothing, "" = it takes requests.
struct Standing {
  std::map<std::string, std::string> clusters;
  int takes = 0;
  std::string source;
};
std::optional<Standing> StandingOf(const Key& key, const Lookup& lookup) {
  const Resource* resource = lookup(key);
  mesh::v1::DestinationSet set;
  if (resource == nullptr || !set.ParseFromString(resource->bytes) || set.has_service()) return std::nullopt;
  Standing standing;
  standing.source = set.provenance().fqn();
  for (const auto& share : set.clusters()) {
    std::string& why = standing.clusters[share.cluster()];
    const Resource* imported = lookup({std::string(compile::kServiceEndpoints), share.endpoints()});
    mesh::v1::ServiceEndpoints endpoints;
    const bool answers =
        imported != nullptr && endpoints.ParseFromString(imported->bytes) && endpoints.endpoints_size() > 0;
    why = share.drained() ? "is drained" : answers ? "" : "has no tier-2 gateway that answers for it";
    standing.takes += why.empty() ? 1 : 0;
  }
  return standing;
}

std::string WhyLess(const Standing& before, const Standing& after) {
  std::string message;
  for (const auto& [cluster, was] : before.clusters) {
    if (!was.empty()) continue;
    const auto now = after.clusters.find(cluster);
    const std::string why = now == after.clusters.end() ? "is not among its clusters any more" : now->second;
    if (!why.empty()) message += fmt::format("{}{} {}", message.empty() ? "" : "; ", cluster, why);
  }
  return message;
}

}  // namespace

std::vector<v2::PlannedLoss> LossesOf(const Question& question, const ClusterChange& change) {
  std::vector<v2::PlannedLoss> losses;
  for (const Key& key : SetsOf(question, change)) {
    const auto before = StandingOf(key, [&](const Key& each) { return change.Before(each); });
    if (!before || before->takes == 0 || !question.may_read(before->source)) continue;
    const auto after = StandingOf(key, [&](const Key& each) { return change.After(each); });
    const auto name = compile::ParseDestinationSetName(key.name);
    if (!name) continue;
    const std::string host = compile::HostName(
        compile::ListenerName(name->host.listener.selector_key, name->host.listener.port), name->host.hostname);
    const bool gone = change.After({std::string(compile::kHost), host}) == nullptr;
    if (!after && !gone) continue;  // The route goes elsewhere now.
    const int takes = after ? after->takes : 0;
    if (takes >= before->takes || takes > 1) continue;
    v2::PlannedLoss& loss = losses.emplace_back();
    loss.set_host(name->host.hostname);
    loss.set_route(fmt::format("{}/{}", name->server, name->rule));
    loss.set_source(before->source);
    loss.set_gateway_cluster(std::string(resource::LastName(change.cluster())));
    loss.set_before(before->takes);
    loss.set_after(takes);
    loss.set_message(after ? WhyLess(*before, *after) : "no gateway there serves the host any more");
  }
  return losses;
}

}  // namespace weir::plan
