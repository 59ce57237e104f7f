// What the server says of the shares of a list is what a gateway deals out that was given the list by its agent: random
// documents, through compile, translation, snapshot and schedule.
#include <random>

#include "api/weir/agent/v1/traffic.pb.h"
#include "libs/proxy/envoy_snapshot.h"
#include "libs/proxy/upstream.h"
#include "libs/translate/intent.h"
#include "libs/translate/xds/translator.h"
#include "libs/xds/protocol/types.h"
#include "mgmt-server/compile/test_world.h"
#include "mgmt-server/status/reach.h"

namespace weir {
namespace {

using compile::ClusterName;
using compile::From;

const std::string kTier1 = compile::kGroup + "/tier1gateways/a";
const std::string kSet = "t1:app=gw1/80/x.test/s/0";
constexpr int kRequests = 1'000;

// What the judge of one gateway says: of clusters by name.
class Said : public status::ReportedHealth {
 public:
  status::Voice VoiceOf(const std::string&, const std::string&) const override { return status::Voice::kHeard; }
  const agent::v1::ClusterHealth* Find(const std::string&, const std::string&, const std::string&,
                                       const std::string& target) const override {
    const auto found = clusters.find(target);
    return found == clusters.end() ? nullptr : &found->second;
  }
  status::Shortfall Plight(const std::string&) const override { return {}; }

  std::map<std::string, agent::v1::ClusterHealth> clusters;
};

struct Sample {
  compile::World world = compile::Demo();
  Said said;
  std::string text;  // The document.
};

class Shares : public testing::Test {
 protected:
  uint32_t Roll(uint32_t below) { return static_cast<uint32_t>(random_() % below); }

  void AddCluster(int i, Sample& sample) {
    static constexpr const char* kStates[] = {"ACTIVE", "ACTIVE", "ACTIVE", "ACTIVE", "STANDBY", "DRAINING"};
    const std::string name = fmt::format("c{}", i), state = kStates[Roll(6)];
    sample.world.Put(ClusterName(name), From<v2::Cluster>(fmt::format(
                                            "metadata {{ name: '{}' labels {{ key: 'ring' value: '{}' }} }} spec "
                                            "{{ admin_state: {} locality {{ region: 'r{}' }} }}",
                                            name, Roll(2), state, Roll(3))));
    sample.world.SetConnected(ClusterName(name), true, {});
    sample.text += fmt::format("{} {} ", name, state);
    if (Roll(8) > 0) {
      sample.world.PutWorkload(ClusterName(name),
                               compile::Workload("t2", "gw", "gw2", fmt::format("127.0.{}.10", 10 + i)));
    }
    sample.world.PutService(ClusterName(name), *From<agent::v1::Service>("name: 'web' namespace: 'app' ports: 8080 "
                                                                         "selector { key: 'app' value: 'web' }"));
    sample.world.PutWorkload(ClusterName(name), compile::Workload("app", "web-1", "web", "127.0.2.21"));
    agent::v1::ClusterHealth& health = sample.said.clusters[name];
    const bool serves = Roll(4) > 0;
    health.set_can_serve(serves);
    health.set_reason(serves ? "" : "gateways_down");
    if (serves && Roll(2) == 0) health.set_returning(1 + Roll(10));
    sample.text += fmt::format("{} {}; ", serves, health.returning());
  }

  Sample Make() {
    Sample sample;
    const int size = 1 + static_cast<int>(Roll(6));
    const bool weighted = Roll(3) > 0;
    for (int i = 1; i <= size; ++i) AddCluster(i, sample);
    std::string list;
    for (int i = 1; i <= size; ++i) {
      list += fmt::format("clusters {{ name: 'c{}' ", i);
      if (weighted) list += fmt::format("weight: {} ", Roll(3) == 0 ? 0 : Roll(4) == 0 ? Roll(4'000'000) : Roll(100));
      list += "} ";
    }
    if (Roll(4) == 0)
      list += fmt::format("clusters {{ labels {{ key: 'ring' value: '9' }} {} }} ", weighted ? "weight: 50" : "");
    list += fmt::format("failover_settings {{ mode: {} panic: {} regional_failover {{ from: 'r0' to: 'r1' }} }}",
                        Roll(2) == 0 ? "ORDERED" : "PROPORTIONAL", Roll(2) == 0);
    sample.world.Put(kTier1, compile::Tier1("x.test", list));
    sample.text += list;
    return sample;
  }

  std::mt19937 random_{11};
};

// As the gateway has it: by snapshot.
std::shared_ptr<const proxy::DestinationSet> AtTheGateway(const compile::Compilation& compilation) {
  translate::Intent intent;
  for (const auto& [key, resource] : compilation.Of(ClusterName("edge"))) {
    const Status taken =
        translate::UpsertIntent(compile::TypeUrl(key.type), resource.name, resource.version, resource.bytes, &intent);
    EXPECT_TRUE(taken.ok()) << taken.error().ToString();
  }
  agent::v1::Discovery discovery;
  *discovery.add_workloads() = compile::Workload("t1", "gw-a", "gw1", "127.0.1.10");
  translate::Translator translator({"edge", "edge.o.test", "ROOT"});
  const auto config =
      translator.Translate(intent, translate::FactsFrom(discovery), "t1/gw-a", {.vhds = true, .stock_envoy = false});
  std::vector<proxy::EnvoyResource> resources;
  for (const std::string_view type : {xds::kCluster, xds::kEndpoints}) {
    for (const auto& [name, resource] : config->types.find(type)->second)
      resources.push_back({std::string(type), name, resource->resource->value});
  }
  const auto built = proxy::BuildSnapshot(resources, "1");
  if (!built.ok()) {
    ADD_FAILURE() << built.error().ToString();
    return nullptr;
  }
  const auto found = built->snapshot->destination_sets.find(kSet);
  if (found == built->snapshot->destination_sets.end()) return nullptr;
  auto set = std::make_shared<proxy::DestinationSet>(*found->second);
  set->tls.reset();  // Nobody connects.
  return set;
}

// Of kRequests, how many each cluster gets.
std::map<std::string, int> Dealt(const std::shared_ptr<const proxy::DestinationSet>& set, const Said& said,
                                 bool panic) {
  auto health = std::make_shared<proxy::SetHealth>();
  for (const proxy::Locality& locality : set->localities) {
    const agent::v1::ClusterHealth& known = said.clusters.at(locality.cluster);
    proxy::LocalityHealth& one = health->localities.emplace_back();
    one.cluster = locality.cluster;
    one.can_serve = known.can_serve();
    one.returning = known.returning() == 0 ? traffic::Candidate::kFull : known.returning();
  }
  proxy::DestinationState state;
  state.Update(set, 1);
  (void)state.SetHealth(health, 1);
  std::map<std::string, int> dealt;
  for (int i = 0; i < kRequests; ++i) {
    const proxy::Choice choice = panic ? state.PickAnyway() : state.Pick({.target = "/", .now_ms = 1});
    if (choice.locality != SIZE_MAX) ++dealt[state.LocalityName(choice.locality)];
  }
  return dealt;
}

TEST_F(Shares, AreAtTheGatewayWhatTheServerSays) {
  int ordered = 0, returning = 0, panics = 0, served = 0;
  for (int round = 0; round < 250; ++round) {
    const Sample sample = Make();
    const compile::Compilation compilation(sample.world);
    const auto routes = status::RoutesOf(compilation, *sample.world.gateway(kTier1), sample.said);
    if (routes.empty()) continue;
    const status::RouteReach& route = routes.front();
    const traffic::Spread spread = traffic::SpreadOf(route.mode, route.destinations, route.panic);
    const auto set = AtTheGateway(compilation);
    ASSERT_NE(set, nullptr) << sample.text;
    ASSERT_EQ(set->panic, route.panic);
    ASSERT_EQ(set->localities.size(), route.destinations.size());
    const std::map<std::string, int> dealt = Dealt(set, sample.said, spread.panic);
    for (size_t i = 0; i < route.destinations.size(); ++i) {
      const traffic::Destination& destination = route.destinations[i];
      const auto found = dealt.find(destination.cluster);
      ASSERT_NEAR(found == dealt.end() ? 0 : found->second, spread.shares[i] * kRequests, 2.0)
          << destination.cluster << " in round " << round << ": " << sample.text;
      returning += spread.shares[i] > 0 && destination.returning < traffic::Candidate::kFull;
    }
    ordered += route.mode == traffic::Mode::kOrdered;
    panics += spread.panic;
    served += spread.nobody == traffic::Reason::kNone;
  }
  EXPECT_GT(ordered, 80);
  EXPECT_GT(returning, 60);
  EXPECT_GT(panics, 3);
  EXPECT_GT(served, 120);
}

// More steps than Envoy has priorities: the gateway takes the list, and both make the same of it.
TEST_F(Shares, OfAListOfManyStepsAreTheSame) {
  for (const char* mode : {"ORDERED", "PROPORTIONAL"}) {
    Sample sample;
    std::string list, regions;
    for (int i = 0; i < 200; ++i) {
      const std::string name = fmt::format("c{}", i);
      sample.world.Put(
          ClusterName(name),
          From<v2::Cluster>(fmt::format("metadata {{ name: '{}' }} spec {{ locality {{ region: 'r{}' }} }}", name, i)));
      sample.world.SetConnected(ClusterName(name), true, {});
      sample.world.PutWorkload(ClusterName(name), compile::Workload("t2", "gw", "gw2", fmt::format("127.1.{}.10", i)));
      sample.world.PutService(ClusterName(name), *From<agent::v1::Service>("name: 'web' namespace: 'app' ports: 8080 "
                                                                           "selector { key: 'app' value: 'web' }"));
      sample.world.PutWorkload(ClusterName(name), compile::Workload("app", "web-1", "web", "127.0.2.21"));
      list += fmt::format("clusters {{ name: '{}' }} ", name);
      regions += fmt::format("regional_failover {{ from: '{}' to: 'r{}' }} ",
                             i == 0 ? "r-edge" : fmt::format("r{}", i - 1), i);
      sample.said.clusters[name].set_can_serve(i >= 150);
      sample.said.clusters[name].set_reason(i >= 150 ? "" : "gateways_down");
    }
    sample.world.Put(
        kTier1, compile::Tier1("x.test", fmt::format("{} failover_settings {{ mode: {} {} }}", list, mode, regions)));
    const compile::Compilation compilation(sample.world);
    const auto routes = status::RoutesOf(compilation, *sample.world.gateway(kTier1), sample.said);
    ASSERT_FALSE(routes.empty());
    const traffic::Spread spread = traffic::SpreadOf(routes[0].mode, routes[0].destinations);
    const auto set = AtTheGateway(compilation);
    ASSERT_NE(set, nullptr);
    const std::map<std::string, int> dealt = Dealt(set, sample.said, false);
    EXPECT_EQ(dealt.size(), std::string_view(mode) == "ORDERED" ? 1u : 50u);
    for (size_t i = 0; i < spread.shares.size(); ++i) {
      const auto found = dealt.find(routes[0].destinations[i].cluster);
      ASSERT_NEAR(found == dealt.end() ? 0 : found->second, spread.shares[i] * kRequests, 2.0);
    }
  }
}

}  // namespace
}  // namespace weir
