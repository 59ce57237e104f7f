#include "mgmt-server/compile/compile.h"

#include <set>

#include "mgmt-server/compile/test_world.h"

namespace weir::compile {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(Compile, TellsTheEdgeWhereToSpreadAHost) {
  const World world = Demo();
  const ClusterIntent intent = Compile(world, ClusterName("edge"));
  EXPECT_THAT(Names(intent), ElementsAre("DestinationSet t1:app=gw1/80/x.test/s/0", "Host t1:app=gw1/80/x.test",
                                         "Listener t1:app=gw1/80", "ServiceEndpoints c1/t/x.test",
                                         "ServiceEndpoints c2/t/x.test", "TrustBundle o.test"));
  const auto listener = Read<mesh::v1::Listener>(intent, "Listener", "t1:app=gw1/80");
  EXPECT_EQ(listener.tier(), mesh::v1::TIER1);
  EXPECT_EQ(listener.selector().labels().at("app"), "gw1");
  const auto host = Read<mesh::v1::Host>(intent, "Host", "t1:app=gw1/80/x.test");
  EXPECT_EQ(host.listener(), "t1:app=gw1/80");
  EXPECT_FALSE(host.on_mesh());
  EXPECT_THAT(host.allowed_callers(), IsEmpty());
  const auto set = Read<mesh::v1::DestinationSet>(intent, "DestinationSet", "t1:app=gw1/80/x.test/s/0");
  ASSERT_EQ(set.clusters_size(), 2);
  EXPECT_EQ(set.clusters(0).weight(), 75u);
  EXPECT_EQ(set.clusters(1).endpoints(), "c2/t/x.test");
  EXPECT_EQ(set.clusters(1).region(), "r-c2");
  EXPECT_EQ(set.provenance().fqn(), kGroup + "/tier1gateways/a");
  const auto endpoints = Read<mesh::v1::ServiceEndpoints>(intent, "ServiceEndpoints", "c1/t/x.test");
  ASSERT_EQ(endpoints.endpoints_size(), 1);
  EXPECT_EQ(endpoints.endpoints(0).address(), "127.0.2.10");
  EXPECT_EQ(endpoints.endpoints(0).port(), 15443u);
  EXPECT_EQ(endpoints.endpoints(0).spiffe_id(), "spiffe://c1.o.test/ns/t2/sa/sa-gw");
  EXPECT_FALSE(endpoints.has_as_of());
  EXPECT_EQ(Read<mesh::v1::TrustBundle>(intent, "TrustBundle", "o.test").root_pem(), "ROOT");
}

TEST(Compile, TellsForHowLongALeafThatHasRunOutIsBelieved) {
  World world = Demo();
  const auto grace = [&] {
    return Read<mesh::v1::TrustBundle>(Compile(world, ClusterName("c1")), "TrustBundle", "o.test")
        .expired_grace_seconds();
  };
  EXPECT_EQ(grace(), 0u);
  world.Put(kOrg + "/settings/main", From<v2::OrganizationSetting>("spec { expired_identity_grace { seconds: 600 } }"));
  EXPECT_EQ(grace(), 600u);
}

TEST(Compile, TellsTier2WhoMayCall) {
  const ClusterIntent intent = Compile(Demo(), ClusterName("c1"));
  EXPECT_THAT(Names(intent), ElementsAre("DestinationSet t2:app=gw2/80/x.test/s/0", "Host t2:app=gw2/80/x.test",
                                         "Listener t2:app=gw2/80", "TrustBundle o.test"));
  const auto listener = Read<mesh::v1::Listener>(intent, "Listener", "t2:app=gw2/80");
  EXPECT_EQ(listener.tier(), mesh::v1::TIER2);
  const auto host = Read<mesh::v1::Host>(intent, "Host", "t2:app=gw2/80/x.test");
  EXPECT_TRUE(host.on_mesh());
  EXPECT_THAT(host.allowed_callers(),
              ElementsAre("spiffe://edge.o.test/ns/t1/sa/sa-gw-a", "spiffe://edge.o.test/ns/t1/sa/sa-gw-b"));
  const auto set = Read<mesh::v1::DestinationSet>(intent, "DestinationSet", "t2:app=gw2/80/x.test/s/0");
  EXPECT_EQ(set.service().namespace_(), "app");
  EXPECT_EQ(set.service().host(), "web.app.svc.cluster.local");
  EXPECT_EQ(set.service().port(), 8080u);
}

TEST(Compile, LetsAWildcardTier2HostAnswer) {
  World world = Demo();
  world.Put(kGroup + "/gateways/b", Tier2("*.test"));
  EXPECT_EQ(Read<mesh::v1::ServiceEndpoints>(Compile(world, ClusterName("edge")), "ServiceEndpoints", "c1/t/x.test")
                .endpoints_size(),
            1);
  EXPECT_EQ(
      Read<mesh::v1::Host>(Compile(world, ClusterName("c1")), "Host", "t2:app=gw2/80/*.test").allowed_callers_size(),
      2);
}

TEST(Compile, LeavesOutNamespacesOfOthers) {
  World world = Demo();
  world.Put(kWs, From<v2::Workspace>("spec { namespace_selector { names: 'edge/*' names: 'c1/t2' } }"));
  EXPECT_THAT(Names(Compile(world, ClusterName("c2"))), ElementsAre("TrustBundle o.test"));
  world.Put(kGroup, From<v2::GatewayGroup>("spec { namespace_selector { names: 'edge/t1' } }"));
  EXPECT_THAT(Names(Compile(world, ClusterName("c1"))), ElementsAre("TrustBundle o.test"));
}

// Of two tier-1 objects each host lets in those that route to it, not whoever calls another host of the same port.
TEST(Compile, LetsEachHostBeCalledByItsOwnCallersOnly) {
  World world = Demo();
  auto both = Tier2("x.test");
  auto* second = both->mutable_spec()->add_http();
  *second = both->spec().http(0);
  second->set_name("y");
  second->set_hostname("y.test");
  world.Put(kGroup + "/gateways/b", both);
  world.PutWorkload(ClusterName("edge"), Workload("t9", "gw-y", "gw9", "127.0.1.12"));
  auto other = Tier1("y.test", "clusters { name: 'c1' }");
  other->mutable_spec()->mutable_workload_selector()->CopyFrom(
      From<v2::Tier1GatewaySpec>(Selector("t9", "gw9"))->workload_selector());
  world.Put(kGroup + "/tier1gateways/y", other);
  const auto callers = [&](const char* cluster, const char* host) {
    const auto read =
        Read<mesh::v1::Host>(Compile(world, ClusterName(cluster)), "Host", std::string("t2:app=gw2/80/") + host);
    return std::vector<std::string>(read.allowed_callers().begin(), read.allowed_callers().end());
  };
  EXPECT_THAT(callers("c1", "x.test"),
              ElementsAre("spiffe://edge.o.test/ns/t1/sa/sa-gw-a", "spiffe://edge.o.test/ns/t1/sa/sa-gw-b"));
  EXPECT_THAT(callers("c1", "y.test"), ElementsAre("spiffe://edge.o.test/ns/t9/sa/sa-gw-y"));
  EXPECT_THAT(callers("c2", "y.test"), IsEmpty());
}

TEST(Compile, MergesObjectsOfOneSelector) {
  World world = Demo();
  world.Put(kGroup + "/tier1gateways/z", Tier1("y.test", k7525));
  const auto intent = Compile(world, ClusterName("edge"));
  const auto only = [&](const ClusterIntent& of) { return of.at({"Listener", "t1:app=gw1/80"}).bytes; };
  EXPECT_EQ(only(intent), only(Compile(Demo(), ClusterName("edge"))));  // One object and one host more.
  EXPECT_EQ(intent.at({"Listener", "t1:app=gw1/80"}).provenance.size(), 2u);
  const std::string version = intent.at({"Listener", "t1:app=gw1/80"}).version;
  world.Put(kGroup + "/tier1gateways/z", Tier1("y.test", "clusters { name: 'c1' }", 9));
  EXPECT_EQ(Compile(world, ClusterName("edge")).at({"Listener", "t1:app=gw1/80"}).version, version);
}

TEST(Compile, KeepsTheEndpointsOfASilentCluster) {
  World world = Demo();
  world.SetConnected(ClusterName("c1"), false, std::chrono::system_clock::time_point(std::chrono::seconds(1000)));
  const auto endpoints =
      Read<mesh::v1::ServiceEndpoints>(Compile(world, ClusterName("edge")), "ServiceEndpoints", "c1/t/x.test");
  EXPECT_EQ(endpoints.endpoints_size(), 1);
  EXPECT_EQ(endpoints.as_of().seconds(), 1000);
}

TEST(Compile, TellsEveryClusterWhichMembershipsCount) {
  World world = Demo();
  const auto cluster = [&](const std::string& fqn, const std::string& uid, int generation) {
    world.Put(fqn,
              From<v2::Cluster>(fmt::format("metadata {{ uid: '{}' }} state {{ generation: {} }}", uid, generation)));
  };
  cluster(ClusterName("c1"), "u1", 3);
  cluster(ClusterName("c2"), "u2", 0);  // Nobody has joined.
  cluster("organizations/p/clusters/c1", "u9", 1);
  for (const char* name : {"edge", "c1", "c2"}) {
    const auto bundle = Read<mesh::v1::TrustBundle>(Compile(world, ClusterName(name)), "TrustBundle", "o.test");
    ASSERT_EQ(bundle.memberships_size(), 1) << name;
    EXPECT_EQ(bundle.memberships(0).uid(), "u1");
    EXPECT_EQ(bundle.memberships(0).lowest_generation(), 3u);
    EXPECT_EQ(bundle.memberships(0).trust_domain(), "c1.o.test");
  }
}

// What an agent reports is its word: whoever labels a workload as tier 1 is let in by its own cluster alone, until an
// administrator says more of the cluster.
TEST(Compile, LetsTier1GatewaysInOnlyFromClustersThatAreAdmitted) {
  World world = Demo();
  const auto callers = [&](const char* cluster) {
    const auto host = Read<mesh::v1::Host>(Compile(world, ClusterName(cluster)), "Host", "t2:app=gw2/80/x.test");
    return std::vector<std::string>(host.allowed_callers().begin(), host.allowed_callers().end());
  };
  const std::string a = "spiffe://edge.o.test/ns/t1/sa/sa-gw-a", b = "spiffe://edge.o.test/ns/t1/sa/sa-gw-b";
  const std::string invented = "spiffe://c1.o.test/ns/t1/sa/sa-invented";
  EXPECT_THAT(callers("c1"), ElementsAre(a, b));
  world.PutWorkload(ClusterName("c1"), Workload("t1", "invented", "gw1", "127.0.2.66"));
  EXPECT_THAT(callers("c1"), ElementsAre(invented, a, b));
  EXPECT_THAT(callers("c2"), ElementsAre(a, b));
  world.Put(ClusterName("edge"), From<v2::Cluster>(""));
  EXPECT_THAT(callers("c1"), ElementsAre(invented));
  EXPECT_THAT(callers("c2"), IsEmpty());
  world.Put(ClusterName("c1"), From<v2::Cluster>("spec { tier1_cluster: true }"));
  EXPECT_THAT(callers("c2"), ElementsAre(invented));
}

TEST(World, CopiesDoNotSeeEachOther) {
  World a = Demo();
  World b = a;
  b.Remove(kGroup + "/gateways/b");
  b.RemoveWorkload(ClusterName("edge"), "t1/gw-a");
  EXPECT_NE(a.gateway(kGroup + "/gateways/b"), nullptr);
  EXPECT_EQ(a.facts(ClusterName("edge"))->workloads.size(), 2u);
  EXPECT_EQ(b.facts(ClusterName("edge"))->workloads.size(), 1u);
}

TEST(Compile, SendsATier1ToTheGatewaysOfItsOwnTenant) {
  World world = Demo();
  const std::string other = kOrg + "/tenants/u/workspaces/v";
  world.Put(other, From<v2::Workspace>("spec { namespace_selector { names: 'c2/t3' names: 'edge/t9' } }"));
  world.Put(other + "/gatewaygroups/h", From<v2::GatewayGroup>(""));
  world.PutWorkload(ClusterName("c2"), Workload("t3", "foreign", "gw3", "127.0.3.30"));
  auto foreign = Tier2("x.test");
  foreign->mutable_spec()->mutable_workload_selector()->CopyFrom(
      From<v2::GatewaySpec>(Selector("t3", "gw3"))->workload_selector());
  const World without = world;
  world.Put(other + "/gatewaygroups/h/gateways/b", foreign);

  // A gateway of another tenant neither draws the host to itself ...
  const auto endpoints =
      Read<mesh::v1::ServiceEndpoints>(Compile(world, ClusterName("edge")), "ServiceEndpoints", "c2/t/x.test");
  ASSERT_EQ(endpoints.endpoints_size(), 1);
  EXPECT_EQ(endpoints.endpoints(0).address(), "127.0.3.10");
  // ... nor lets the callers of this tenant in ...
  EXPECT_THAT(Read<mesh::v1::Host>(Compile(world, ClusterName("c2")), "Host", "t3:app=gw3/80/x.test").allowed_callers(),
              IsEmpty());
  // ... unless a server names its tenant.
  auto named = Tier1("x.test", k7525);
  named->mutable_spec()->mutable_external_servers(0)->set_tenant("u");
  world.Put(kGroup + "/tier1gateways/a", named);
  const auto edge = Compile(world, ClusterName("edge"));
  const auto set = Read<mesh::v1::DestinationSet>(edge, "DestinationSet", "t1:app=gw1/80/x.test/s/0");
  EXPECT_EQ(set.clusters(1).endpoints(), "c2/u/x.test");
  const auto theirs = Read<mesh::v1::ServiceEndpoints>(edge, "ServiceEndpoints", "c2/u/x.test");
  ASSERT_EQ(theirs.endpoints_size(), 1);
  EXPECT_EQ(theirs.endpoints(0).address(), "127.0.3.30");
  const auto c2 = Compile(world, ClusterName("c2"));
  EXPECT_EQ(Read<mesh::v1::Host>(c2, "Host", "t3:app=gw3/80/x.test").allowed_callers_size(), 2);
  EXPECT_THAT(Read<mesh::v1::Host>(c2, "Host", "t2:app=gw2/80/x.test").allowed_callers(), IsEmpty());
}

TEST(Compile, LetsOnePortOfAHostAnswerOnTheMeshPort) {
  World world = Demo();
  auto gateway = Tier2("x.test");
  auto* redirect = gateway->mutable_spec()->add_http();
  redirect->set_name("r");
  redirect->set_hostname("x.test");
  redirect->set_port(79);
  redirect->mutable_routing()->add_rules()->mutable_redirect()->set_uri("/x");
  world.Put(kGroup + "/gateways/b", gateway);
  const auto intent = Compile(world, ClusterName("c1"));
  EXPECT_TRUE(Read<mesh::v1::Host>(intent, "Host", "t2:app=gw2/80/x.test").on_mesh());
  const auto redirecting = Read<mesh::v1::Host>(intent, "Host", "t2:app=gw2/79/x.test");
  EXPECT_FALSE(redirecting.on_mesh());
  EXPECT_THAT(redirecting.allowed_callers(), IsEmpty());
}

TEST(Compile, KeepsTier1HostsOffTheMeshPort) {
  World world = Demo();
  auto beside = Tier2("direct.test");
  beside->mutable_spec()->mutable_workload_selector()->CopyFrom(
      From<v2::GatewaySpec>(Selector("t1", "gw1"))->workload_selector());
  world.Put(kGroup + "/gateways/d", beside);
  const auto edge = Compile(world, ClusterName("edge"));
  EXPECT_FALSE(Read<mesh::v1::Host>(edge, "Host", "t1:app=gw1/80/x.test").on_mesh());
  EXPECT_TRUE(Read<mesh::v1::Host>(edge, "Host", "t1:app=gw1/80/direct.test").on_mesh());
}

// Ownership may change after the write: what is out of scope leads nowhere, and status says why.
TEST(Compile, ServesOnlyNamespacesThatTheWorkspaceOwns) {
  const std::string fqn = kGroup + "/gateways/b";
  World world = Demo();
  const auto served = [&](const char* cluster) {
    return Read<mesh::v1::DestinationSet>(Compile(world, ClusterName(cluster)), "DestinationSet",
                                          "t2:app=gw2/80/x.test/s/0")
        .has_service();
  };
  EXPECT_TRUE(served("c1") && served("c2"));
  EXPECT_FALSE(OutOfScopeOf(world, fqn).has_value());

  const std::string own = "names: 'edge/t1' names: '*/t2'";
  world.Put(kWs, From<v2::Workspace>("spec { namespace_selector { " + own + " names: 'c1/app' } }"));
  EXPECT_TRUE(served("c1"));
  EXPECT_FALSE(served("c2"));
  ASSERT_TRUE(OutOfScopeOf(world, fqn).has_value());
  EXPECT_EQ(OutOfScopeOf(world, fqn)->reason, "SERVICE_OUTSIDE_WORKSPACE");
  EXPECT_THAT(OutOfScopeOf(world, fqn)->message, ::testing::HasSubstr("spec.http[0].routing.rules[0].route"));
  EXPECT_FALSE(OutOfScopeOf(world, kGroup + "/tier1gateways/a").has_value());

  world.Put(kWs, From<v2::Workspace>("spec { namespace_selector { " + own + " } privileged: true }"));
  EXPECT_TRUE(served("c1") && served("c2"));
  EXPECT_FALSE(OutOfScopeOf(world, fqn).has_value());

  world.Put(kWs, From<v2::Workspace>("spec { namespace_selector { names: 'edge/t1' } privileged: true }"));
  EXPECT_THAT(Names(Compile(world, ClusterName("c1"))), ElementsAre("TrustBundle o.test"));
  ASSERT_TRUE(OutOfScopeOf(world, fqn).has_value());  // Privilege chooses no workloads.
  EXPECT_EQ(OutOfScopeOf(world, fqn)->reason, "WORKLOADS_OUTSIDE_WORKSPACE");
}

TEST(Compile, SaysWhichRouteMayBeRepeated) {
  World world = Demo();
  auto gateway = Tier2("x.test");
  gateway->mutable_spec()->mutable_http(0)->mutable_routing()->mutable_rules(0)->set_idempotent(true);
  world.Put(kGroup + "/gateways/b", gateway);
  EXPECT_TRUE(
      Read<mesh::v1::Host>(Compile(world, ClusterName("c1")), "Host", "t2:app=gw2/80/x.test").routes(0).idempotent());
}

TEST(Compile, HandsTheTimesOfBothTiersOn) {
  World world = Demo();
  auto tier1 = Tier1("x.test", k7525);
  auto* server = tier1->mutable_spec()->mutable_external_servers(0);
  server->mutable_timeout()->set_seconds(90);
  server->mutable_idle_timeout()->set_seconds(0);
  world.Put(kGroup + "/tier1gateways/a", tier1);
  auto tier2 = Tier2("x.test");
  auto* rule = tier2->mutable_spec()->mutable_http(0)->mutable_routing()->mutable_rules(0);
  rule->mutable_timeout()->set_seconds(0);
  rule->mutable_idle_timeout()->set_seconds(7);
  world.Put(kGroup + "/gateways/b", tier2);
  const auto first =
      Read<mesh::v1::Host>(Compile(world, ClusterName("edge")), "Host", "t1:app=gw1/80/x.test").routes(0);
  EXPECT_EQ(first.timeout().seconds(), 90);
  EXPECT_TRUE(first.has_idle_timeout());
  EXPECT_EQ(first.idle_timeout().seconds(), 0);
  const auto second = Read<mesh::v1::Host>(Compile(world, ClusterName("c1")), "Host", "t2:app=gw2/80/x.test").routes(0);
  EXPECT_TRUE(second.has_timeout());
  EXPECT_EQ(second.idle_timeout().seconds(), 7);
}

TEST(Compile, NamesEverythingThatAPieceComesFrom) {
  World world = Demo();
  world.Put(kOrg + "/settings/main", From<v2::OrganizationSetting>("spec { failover_settings { mode: ORDERED } }"));
  const auto edge = Compile(world, ClusterName("edge"));
  EXPECT_THAT(edge.at({"DestinationSet", "t1:app=gw1/80/x.test/s/0"}).provenance,
              ElementsAre(ClusterName("c1"), ClusterName("c2"), ClusterName("edge"), kOrg + "/settings/main",
                          kGroup + "/tier1gateways/a"));
  EXPECT_THAT(edge.at({"Host", "t1:app=gw1/80/x.test"}).provenance, ElementsAre(kGroup + "/tier1gateways/a"));
  EXPECT_THAT(Compile(world, ClusterName("c1")).at({"Host", "t2:app=gw2/80/x.test"}).provenance,
              ElementsAre(kGroup + "/gateways/b", kGroup + "/tier1gateways/a"));
}

TEST(Compilation, SendsOnlyWhatChanged) {
  Compilation compilation(Demo());
  World after = compilation.world();
  after.Put(kGroup + "/tier1gateways/a",
            Tier1("x.test", "clusters { name: 'c1' weight: 1 } clusters { name: 'c2' weight: 1 }", 2));
  Change change;
  change.fqns.insert(kGroup + "/tier1gateways/a");
  const auto deltas = compilation.Update(after, change);
  ASSERT_EQ(deltas.size(), 1u);
  std::vector<std::string> changed;
  for (const auto& resource : deltas.at(ClusterName("edge")).changed) changed.push_back(resource.type);
  EXPECT_THAT(changed, ElementsAre("DestinationSet"));
}

// What a gateway said of the first time must not be taken for the third.
TEST(Compilation, GivesBytesThatReturnAVersionOfTheirOwn) {
  Compilation compilation(Demo());
  const Key key{"Host", "t2:app=gw2/80/x.test"};
  const auto now = [&] { return compilation.Of(ClusterName("c1")).at(key); };
  const Resource first = now();
  const auto change = [&](bool there) {
    World after = compilation.world();
    if (there)
      after.Put(kGroup + "/tier1gateways/a", Tier1("x.test", k7525));
    else
      after.Remove(kGroup + "/tier1gateways/a");
    Change change;
    change.fqns.insert(kGroup + "/tier1gateways/a");
    compilation.Update(std::move(after), change);
  };
  std::set<std::string> versions{first.version};
  for (int i = 0; i < 3; ++i) {
    change(false);
    EXPECT_NE(now().bytes, first.bytes);
    EXPECT_TRUE(versions.insert(now().version).second);
    change(true);
    EXPECT_EQ(now().bytes, first.bytes);
    EXPECT_TRUE(versions.insert(now().version).second);
  }
  change(true);  // Nothing differs: nothing is sent.
  EXPECT_TRUE(versions.contains(now().version));
}

}  // namespace
}  // namespace weir::compile
