#pragma once

#include <chrono>
#include <random>

#include "libs/resource/kinds.h"
#include "mgmt-server/compile/gateway_shape.h"
#include "mgmt-server/compile/test_world.h"

// For tests that compare what follows changes with what is found anew.
namespace weir::compile {

// Random changes of everything that a World is made of.
class Walk {
 public:
  explicit Walk(unsigned seed) : random_(seed) {}

  void Step(World& world, Change& change) {
    switch (Pick(15)) {
      case 0:
        return PutOrganization(world, change);
      case 1:
        return PutCluster(world, change);
      case 2:
        return PutWorkspace(world, change);
      case 3:
        return PutGroup(world, change);
      case 4:
      case 5:
      case 6:
        return PutTier1(world, change);
      case 7:
      case 8:
        return PutGateway(world, change);
      case 9:
      case 10:
      case 11:
        return Report(world, change);
      case 12:
        return PutSetting(world, change);
      default:
        return Turn(world, change);
    }
  }
  // What is ahead comes, changes, reaches clusters or leaves them, and goes.
  void StepAhead(const World& world, Ahead& ahead) {
    switch (Pick(16)) {
      case 0:
        ahead = {};
        return;
      case 1:
        ahead.clusters.clear();
        return;
      case 2:
      case 3:
      case 4:
      case 5:
        ahead.clusters.insert(Cluster());
        return;
      default:
        break;
    }
    World other = world;
    Change change;
    for (int i = 0; i < 4; ++i) Step(other, change);
    for (const std::string& fqn : change.fqns) {
      if (resource::ParentFqn(fqn).empty()) continue;
      Ahead::Entry entry{"", "", std::to_string(++revision_), nullptr};
      const auto found = other.state().resources.find(fqn);
      if (const GatewayShape* shape = other.gateway(fqn))
        entry.message = shape->source;
      else if (found != other.state().resources.end())
        entry.message = found->second;
      if (entry.message == nullptr && fqn.find("/clusters/") != std::string::npos) continue;  // Is not done ahead.
      ahead.resources.insert_or_assign(fqn, entry);
    }
  }
  int Pick(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }

 private:
  std::string Of(std::vector<std::string> texts) {
    return texts[static_cast<size_t>(Pick(static_cast<int>(texts.size())))];
  }
  std::string Org() { return Of({"organizations/o", "organizations/o", "organizations/p"}); }
  std::string Cluster() { return Org() + "/clusters/" + Of({"c1", "c2", "c3"}); }
  std::string Workspace() { return Org() + "/tenants/" + Of({"t", "t", "u"}) + "/workspaces/" + Of({"w", "x"}); }
  std::string Failover() {
    return Of({"", "", "failover_settings { panic: true }", "failover_settings { mode: ORDERED }",
               "failover_settings { failover_priority: 'l' }",
               "failover_settings { regional_failover { from: 'r' to: 's' } }"});
  }
  std::string Setting() { return Failover() + Of({"", "", " expired_identity_grace { seconds: 60 }"}); }
  std::string Tenant() { return Of({"", "", "tenant: 't'", "tenant: 'u'"}); }
  std::string Group() { return Workspace() + "/gatewaygroups/" + Of({"g", "h"}); }
  std::string Host() { return Of({"a.x.test", "b.x.test", "*.x.test", "*.test", "x.test"}); }
  std::string Select() { return Selector(Of({"n1", "n2"}), Of({"g", "h"})); }
  std::string Destinations() {
    return Of(
        {"clusters { name: 'c1' }", "clusters { name: 'c2' weight: 2 } clusters { name: 'c1' weight: 1 }",
         "clusters { name: 'c3' }", "", "clusters { labels { key: 'l' value: '1' } }",
         "clusters { network: 'n' weight: 3 } clusters { name: 'c1' weight: 1 }",
         "clusters { labels { key: 'l' value: '1' } network: 'n' } clusters { network: 'default' }",
         "clusters { name: 'c2' network: 'n' } clusters { name: 'c1' }",
         "clusters { name: 'c1' } clusters { name: 'c3' }",
         "clusters { name: 'c1' weight: 1 } clusters { name: 'c2' weight: 0 } clusters { name: 'c3' weight: 0 }"});
  }
  void Put(World& world, Change& change, const std::string& fqn, std::shared_ptr<google::protobuf::Message> message,
           int keep) {
    change.fqns.insert(fqn);
    if (Pick(keep) == 0) return world.Remove(fqn);
    resource::MutableMetadataOf(*message).set_revision(++revision_);
    world.Put(fqn, std::move(message));
  }
  void PutOrganization(World& world, Change& change) {
    Put(world, change, Org(), From<v2::Organization>(fmt::format("spec {{ domain: '{}' }}", Of({"o.test", "p.test"}))),
        8);
  }
  void PutCluster(World& world, Change& change) {
    const std::string cluster = Cluster();
    Put(world, change, cluster,
        From<v2::Cluster>(fmt::format(
            "metadata {{ uid: '{}' {} }} spec {{ locality {{ region: '{}' zone: '{}' }} {} {} }} state {{ {} }}",
            Of({"u", "u", "v"}), Of({"", "", "labels { key: 'l' value: '1' }"}), Of({"r", "s"}), Of({"", "z"}),
            Of({"", "admin_state: DRAINING", "admin_state: STANDBY network: 'n'", "network: 'n'"}),
            Of({"", "tier1_cluster: true"}), Of({"", "generation: 1", "generation: 2"}))),
        8);
  }
  void PutWorkspace(World& world, Change& change) {
    Put(world, change, Workspace(),
        From<v2::Workspace>(fmt::format("spec {{ namespace_selector {{ names: '{}/{}' }} {} }}",
                                        Of({"*", "*", "c1", "c2"}), Of({"*", "*", "n1"}),
                                        Of({"", "", "privileged: true"}))),
        5);
  }
  void PutGroup(World& world, Change& change) {
    Put(world, change, Group(),
        From<v2::GatewayGroup>(Of({"", "", "spec { namespace_selector { names: '*/n1' } }",
                                   "spec { namespace_selector { names: 'c1/*' } }"})),
        5);
  }
  void PutSetting(World& world, Change& change) {
    const std::string setting = Org() + "/settings/" + Of({"a", "b"});
    Put(world, change, setting, From<v2::OrganizationSetting>(fmt::format("spec {{ {} }}", Setting())), 4);
  }
  // Of a workload.
  void Report(World& world, Change& change) {
    const std::string cluster = Cluster();
    const auto workload = Workload(Of({"n1", "n2"}), Of({"a", "b", "c"}), Of({"g", "h"}), Of({"1.1.1.1", "2.2.2.2"}));
    const std::string name = workload.namespace_() + "/" + workload.name();
    change.workloads[cluster].insert(name);
    if (Pick(3) == 0)
      world.RemoveWorkload(cluster, name);
    else
      world.PutWorkload(cluster, workload);
  }
  // Roots, or who is connected.
  void Turn(World& world, Change& change) {
    if (Pick(4) == 0) {
      change.roots = true;
      world.SetRoots(Of({"A", "B"}));
      return;
    }
    const std::string cluster = Cluster();
    change.clusters.insert(cluster);
    world.SetConnected(cluster, Pick(2) == 0, std::chrono::system_clock::time_point(std::chrono::seconds(Pick(3))));
  }
  void PutTier1(World& world, Change& change) {
    std::string servers;
    for (int i = 0; i <= Pick(3); ++i) {
      servers += fmt::format("external_servers {{ name: 's{}' hostname: '{}' port: {} {} {} {} }} ", Pick(2), Host(),
                             80 + Pick(2), Destinations(), Failover(), Tenant());
    }
    Put(world, change, Group() + "/tier1gateways/" + Of({"a", "b"}),
        From<v2::Tier1Gateway>(fmt::format("spec {{ {} {} }}", Select(), servers)), 4);
  }
  void PutGateway(World& world, Change& change) {
    const bool tier1 = Pick(4) == 0;
    std::string servers;
    for (int i = 0; i <= Pick(3); ++i) {
      std::string rules = Of({"", "rules { redirect { uri: '/x' } } "});
      rules += tier1 ? fmt::format("rules {{ route {{ cluster_destination {{ {} }} }} }}", Destinations())
                     : fmt::format("rules {{ route {{ service_destination {{ host: '{}/h' port: 1 }} }} }}",
                                   Of({"n1", "n2"}));
      servers += fmt::format("http {{ name: 's{}' hostname: '{}' port: {} routing {{ {} }} {} {} }} ", Pick(2), Host(),
                             80 + Pick(2), rules, Failover(), Tenant());
    }
    Put(world, change, Group() + "/gateways/" + Of({"a", "b"}),
        From<v2::Gateway>(fmt::format("spec {{ {} {} }}", Select(), servers)), 4);
  }

  std::mt19937 random_;
  int64_t revision_ = 0;
};

}  // namespace weir::compile
