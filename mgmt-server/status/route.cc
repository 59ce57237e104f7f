#include "mgmt-server/status/route.h"

#include <algorithm>
#include <map>
#include <set>

#include "api/weir/agent/v1/traffic.pb.h"
#include "api/weir/mesh/v1/intent.pb.h"
#include "libs/codec/local_answer.h"
#include "libs/resource/kinds.h"
#include "mgmt-server/compile/keys.h"
#include "mgmt-server/compile/named_service.h"
#include "mgmt-server/status/health_message.h"
#include "mgmt-server/status/hops.h"
#include "mgmt-server/status/host_table.h"
#include "mgmt-server/status/service_reach.h"

namespace weir::status {
namespace {

constexpr int kMostNamed = 20;  // Gateways of one item that are named.

v2::ExplainedRule RuleOf(const Place& place, const mesh::v1::Host& host, int number, const std::string& match) {
  v2::ExplainedRule rule;
  rule.set_source(place.shape->fqn);
  rule.set_field(place.shape->form.RuleOf(place.index, number));
  rule.set_route(host.routes(number).name());
  rule.set_number(number);
  rule.set_host(host.hostname());
  rule.set_match(match);
  return rule;
}

// A gateway as a request finds it: the hosts that its listeners of one port have, of those that may take the request.
struct Entry {
  std::string cluster;  // FQN.
  uint32_t port = 0;
  std::string workload;
  auto operator<=>(const Entry&) const = default;
};
using Entries = std::map<Entry, std::set<std::string>>;  // -> names of intent hosts.

class Explanation {
 public:
  Explanation(Pieces& pieces, const AskedRequest& asked, const ReportedHealth& health)
      : pieces_(pieces), world_(pieces.world()), asked_(asked), health_(health) {}

  std::vector<v2::ExplainedRoute> Make() {
    for (const auto& [entry, hosts] : EntriesOf()) {
      if (!ComesFrom(entry)) continue;
      v2::ExplainedRoute item = ItemOf(entry, hosts);
      if (item.outcome() != v2::ExplainedRoute::OUTCOME_UNSPECIFIED) Add(entry.workload, std::move(item));
    }
    return std::move(items_);
  }

 private:
  std::vector<const compile::GatewayShape*> Shapes() const {
    std::set<std::string_view> fqns;
    const auto& state = world_.state();
    for (const std::string& pattern : PatternsOf(asked_.host)) {
      if (const auto tier1 = state.tier1_by_host.find(compile::Reversed(pattern)); tier1 != state.tier1_by_host.end())
        fqns.insert(tier1->second.begin(), tier1->second.end());
      if (const auto tier2 = state.tier2_by_host.find(pattern); tier2 != state.tier2_by_host.end())
        fqns.insert(tier2->second.begin(), tier2->second.end());
    }
    const std::string_view organization = resource::OrganizationFqn(asked_.parent);
    std::vector<const compile::GatewayShape*> shapes;
    for (const std::string_view fqn : fqns) {
      const compile::GatewayShape& shape = *world_.gateway(fqn);
      if (shape.organization == organization) shapes.push_back(&shape);
    }
    return shapes;
  }

  Entries EntriesOf() const {
    Entries entries;
    const std::vector<std::string> patterns = PatternsOf(asked_.host);
    for (const compile::GatewayShape* shape : Shapes()) {
      for (const std::string& pattern : patterns) {
        const auto [begin, end] = shape->servers_by_host.equal_range(pattern);
        for (auto at = begin; at != end; ++at) AddServer(*shape, shape->servers[at->second], entries);
      }
    }
    return entries;
  }

  void AddServer(const compile::GatewayShape& shape, const compile::ServerShape& server, Entries& entries) const {
    if (asked_.port != 0 && server.port != asked_.port) return;
    const std::string host = compile::HostName(compile::ListenerName(shape.selector_key, server.port), server.hostname);
    for (const std::string& cluster : compile::ClustersOf(world_, shape)) {
      for (const compile::SelectedWorkload& workload : compile::SelectedIn(world_, shape, cluster)) {
        entries[{cluster, server.port, workload.name}].insert(host);
      }
    }
  }

  bool ComesFrom(const Entry& entry) const {
    if (asked_.from.empty()) return true;
    const compile::GatewayShape* from = world_.gateway(asked_.from);
    if (from == nullptr) return resource::LastName(entry.cluster) == asked_.from;
    const compile::Facts* facts = world_.facts(entry.cluster);
    const auto found = facts == nullptr ? decltype(facts->workloads.end())() : facts->workloads.find(entry.workload);
    return facts != nullptr && found != facts->workloads.end() &&
           compile::SelectsIn(world_, *from, entry.cluster, *found->second);
  }

  v2::ExplainedRoute ItemOf(const Entry& entry, const std::set<std::string>& hosts) {
    v2::ExplainedRoute item;
    const HostTable port(pieces_, entry.cluster, hosts);
    const HostTable::Taken taken = port.Match(asked_.authority, asked_.target);
    if (taken.host == nullptr) return item;
    const Place place = PlaceOf(pieces_.WorldOf(entry.cluster), entry.cluster, *taken.host);
    if (place.shape == nullptr || !resource::IsAtOrBelow(place.shape->fqn, asked_.parent)) return item;
    item.set_gateway_cluster(std::string(resource::LastName(entry.cluster)));
    item.set_port(entry.port);
    item.set_path(asked_.target);
    parts_ = {taken.origins->begin(), taken.origins->end()};
    if (asked_.refusal) {
      Local(v2::ExplainedRoute::REFUSED, asked_.refusal->status, asked_.refusal->reason, place, item);
    } else if (taken.route == nullptr) {
      Local(v2::ExplainedRoute::NO_RULE, 404, "no_such_route", place, item);
    } else {
      *item.mutable_rule() = RuleOf(place, *taken.host, taken.number, taken.match);
      Act(entry, place, *taken.route, item);
      item.set_doubt(DoubtOf(health_.VoiceOf(entry.cluster, entry.workload), item.gateway_cluster()));
    }
    for (const std::string& fqn : parts_) item.add_changes()->set_fqn(fqn);
    return item;
  }

  static void Local(v2::ExplainedRoute::Outcome outcome, int status, const std::string& reason, const Place& place,
                    v2::ExplainedRoute& item) {
    item.set_outcome(outcome);
    item.set_status(status);
    item.set_reason(reason);
    item.set_source(place.shape->fqn);
    item.set_field(place.shape->form.Field(place.index));
  }

  void Act(const Entry& entry, const Place& place, const mesh::v1::Route& route, v2::ExplainedRoute& item) {
    if (route.has_redirect()) {
      item.set_outcome(v2::ExplainedRoute::REDIRECT);
      item.set_status(static_cast<int>(route.redirect().code()));
      item.set_location(codec::LocationOf({"", route.redirect().authority(), route.redirect().path()}, asked_.authority,
                                          asked_.target, false));
      return;
    }
    if (route.has_direct_response()) {
      item.set_outcome(v2::ExplainedRoute::DIRECT_RESPONSE);
      item.set_status(static_cast<int>(route.direct_response().status()));
      item.set_body(route.direct_response().body());
      return;
    }
    item.set_repeatable(asked_.safe || route.idempotent());
    if (route.has_timeout()) *item.mutable_timeout() = route.timeout();
    if (route.has_idle_timeout()) *item.mutable_idle_timeout() = route.idle_timeout();
    const compile::Key set{std::string(compile::kDestinationSet), route.destination_set()};
    if (const compile::Resource* piece = pieces_.Find(entry.cluster, set)) {
      parts_.insert(piece->provenance.begin(), piece->provenance.end());
    }
    if (auto reach = RouteAt(pieces_, *place.shape, entry.cluster, set, entry.workload, health_)) {
      Spread(place, set, *reach, item);
    } else {
      Service(entry, place, set, item);
    }
  }

  void Spread(const Place& place, const compile::Key& set, RouteReach& reach, v2::ExplainedRoute& item) {
    item.set_outcome(v2::ExplainedRoute::CLUSTERS);
    for (size_t i = 0; i < reach.destinations.size(); ++i) {
      v2::ExplainedShare& share = *item.add_shares();
      share.set_cluster(reach.destinations[i].cluster);
      if (reach.destinations[i].weight) share.set_weight(*reach.destinations[i].weight);
      AddHops(place, share.cluster(), reach.destinations[i], reach.details[i], share);
      const auto* said = health_.Find(reach.gateway_cluster, reach.workload, set.name, share.cluster());
      if (said != nullptr) *share.mutable_health() = MessageOf(*said);
    }
    const traffic::Spread spread = traffic::SpreadOf(reach.mode, reach.destinations, reach.panic);
    for (size_t i = 0; i < reach.destinations.size(); ++i) {
      v2::ExplainedShare& share = *item.mutable_shares(static_cast<int>(i));
      share.set_share(spread.shares[i]);
      share.set_can_serve(reach.details[i].reason.empty());
      share.set_reason(reach.details[i].reason);
      share.set_why_not(reach.details[i].message);
    }
    item.set_panic(spread.panic);
    if (spread.nobody == traffic::Reason::kNone || spread.panic) return;
    item.set_status(503);
    item.set_reason(std::string(Word(traffic::Reason::kNoClusterCanServe)));
  }

  // What the tier-2 gateways of a cluster do with the path. A cluster of which none can serve the path's own rule does
  // not get it, whatever other rules of the host there serve.
  void AddHops(const Place& place, const std::string& name, traffic::Destination& destination, Shortfall& detail,
               v2::ExplainedShare& share) {
    const std::string cluster = resource::ClusterFqn(place.shape->organization, name);
    Shortfall worst;
    bool any = false, served = false;
    const compile::World& world = pieces_.WorldOf(cluster);
    for (const std::string& fqn : compile::Tier2For(world, place.server->tenant, asked_.host)) {
      const compile::GatewayShape& tier2 = *world.gateway(fqn);
      if (!compile::CountsIn(world, tier2, cluster)) continue;
      const Shortfall& shortfall = AddHop(cluster, fqn, tier2, share);
      any = true;
      served |= shortfall.reason.empty();
      if (worst.reason.empty()) worst = shortfall;
    }
    if (!any || served || destination.availability.standing == traffic::Standing::kOut) return;
    destination.availability = {traffic::Standing::kOut, traffic::Reason::kNoEndpoint,
                                destination.availability.anybody};
    detail = worst;
  }

  // What the objects of a cluster do with the path is the same for each gateway that sends it there: asked once.
  const Shortfall& AddHop(const std::string& cluster, const std::string& fqn, const compile::GatewayShape& tier2,
                          v2::ExplainedShare& share) {
    const auto [known, first] = hops_.try_emplace({cluster, fqn});
    Said& hops = known->second;
    if (first) {
      v2::ExplainedShare alone;
      hops.shortfall = Ask(cluster, tier2, alone);
      hops.said.Swap(alone.mutable_hops());
    }
    share.mutable_hops()->MergeFrom(hops.said);
    return hops.shortfall;
  }

  // Reason "" = served, or nobody knows. The service is named by the hop alone, which not everybody sees who sees the
  // share.
  Shortfall Ask(const std::string& cluster, const compile::GatewayShape& tier2, v2::ExplainedShare& share) {
    const Hop taken = taking_.Take(cluster, tier2, asked_.host, asked_.authority, asked_.target);
    if (taken.place.shape == nullptr) return {};
    v2::ExplainedHop& hop = *share.add_hops();
    hop.mutable_rule()->set_source(taken.place.shape->fqn);
    if (taken.route == nullptr) {
      hop.set_status(404);
      return {};
    }
    *hop.mutable_rule() = RuleOf(taken.place, *taken.host, taken.number, taken.match);
    if (taken.route->has_redirect()) hop.set_status(static_cast<int>(taken.route->redirect().code()));
    if (taken.route->has_direct_response()) hop.set_status(static_cast<int>(taken.route->direct_response().status()));
    if (taken.service != nullptr) *hop.mutable_service() = *taken.service;
    return Unnamed(taken.shortfall, resource::LastName(cluster));
  }

  void Service(const Entry& entry, const Place& place, const compile::Key& set, v2::ExplainedRoute& item) {
    item.set_outcome(v2::ExplainedRoute::SERVICE);
    const Target target = TargetOf(pieces_, entry.cluster, place, set.name);
    Shortfall shortfall = target.outside;
    bool unchecked = false;
    if (target.service != nullptr) {
      *item.mutable_service() = *target.service;
      shortfall =
          ServiceAt(pieces_.WorldOf(entry.cluster), *place.shape, entry.cluster, *target.service, health_, &unchecked);
    }
    if (shortfall.reason.empty()) return;
    item.set_service_reason(shortfall.reason);
    item.set_why_not(shortfall.message);
    item.set_status(503);
    item.set_reason(std::string(Word(traffic::Reason::kNoClusterCanServe)));
  }

  // Gateways of one cluster that see the same are told once, with what the first of them observed.
  void Add(const std::string& gateway, v2::ExplainedRoute item) {
    v2::ExplainedRoute bare = item;
    for (auto& share : *bare.mutable_shares()) share.clear_health();
    const auto [same, first] = places_.try_emplace(bare.SerializeAsString(), items_.size());
    if (first) items_.push_back(std::move(item));
    v2::ExplainedRoute& told = items_[same->second];
    if (told.gateways_size() < kMostNamed)
      told.add_gateways(gateway);
    else
      told.set_more_gateways(told.more_gateways() + 1);
  }

  struct Said {
    Shortfall shortfall;
    google::protobuf::RepeatedPtrField<v2::ExplainedHop> said;
  };
  std::map<std::pair<std::string, std::string>, Said> hops_;  // By cluster and tier-2 object.
  Pieces& pieces_;
  const compile::World& world_;
  const AskedRequest& asked_;
  const ReportedHealth& health_;
  Hops taking_{pieces_, health_};
  std::set<std::string> parts_;  // FQNs of all that takes part in the item at hand.
  std::vector<v2::ExplainedRoute> items_;
  std::map<std::string, size_t> places_;  // Of items, by what they say of any gateway.
};

}  // namespace

std::vector<v2::ExplainedRoute> ExplainRoute(Pieces& pieces, const AskedRequest& asked, const ReportedHealth& health) {
  return Explanation(pieces, asked, health).Make();
}

}  // namespace weir::status
