#include "mgmt-server/invariants/intent.h"

#include <functional>
#include <random>

#include "mgmt-server/invariants/test_invariants.h"

namespace weir::invariants {
namespace {

using compile::ClusterName;
using compile::From;
using compile::kGroup;
using compile::kOrg;
using compile::Selector;
using compile::World;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string kTier1 = kGroup + "/tier1gateways/a";
const std::string kTier2 = kGroup + "/gateways/b";
const std::string kTenant = "organizations/o/tenants/t";
const std::string kOther = "organizations/o/tenants/u";

using Spoil = std::function<void(World&)>;
World After(const Spoil& spoil) {
  World world = compile::Demo();
  if (spoil) spoil(world);
  return world;
}
Spoil Cluster(const std::string& name, const std::string& spec) {
  return [=](World& world) { world.Put(ClusterName(name), From<v2::Cluster>(fmt::format("spec {{ {} }}", spec))); };
}
Spoil Sends(const std::string& host, const std::string& clusters) {
  return [=](World& world) { world.Put(kTier1, compile::Tier1(host, clusters)); };
}
Spoil Gone(const std::string& fqn) {
  return [=](World& world) { world.Remove(fqn); };
}
// Another tenant with a workspace, a group, and one tier-1 object of this host.
void AddTenant(World& world, const std::string& tenant, const std::string& namespaces, const std::string& server) {
  const std::string workspace = tenant + "/workspaces/w";
  world.Put(workspace, From<v2::Workspace>(fmt::format("spec {{ namespace_selector {{ {} }} }}", namespaces)));
  world.Put(workspace + "/gatewaygroups/g", From<v2::GatewayGroup>("spec {}"));
  world.Put(workspace + "/gatewaygroups/g/tier1gateways/a",
            From<v2::Tier1Gateway>(fmt::format("spec {{ {} external_servers {{ name: 's' port: 80 {} }} }}",
                                               Selector("u1", "gw1"), server)));
}

struct Case {
  const char* what;
  Spoil spoil;
  std::string broken;  // Part of the message; "" = it holds.
};
void Check(const std::string& spec, const std::vector<Case>& cases, const std::string& parent = kOrg) {
  const Invariant invariant = Make(spec, parent);
  for (const Case& each : cases) {
    const std::string said = Messages(JudgeIntent(After(each.spoil), invariant));
    if (each.broken.empty())
      EXPECT_EQ(said, "") << each.what;
    else
      EXPECT_THAT(said, HasSubstr(each.broken)) << each.what;
  }
}

TEST(MinClusters, CountsWhoMayTakeRequests) {
  Check("min_clusters { host: 'x.test' count: 2 }",
        {{"two that are named", nullptr, ""},
         {"weight 0 takes over", Sends("x.test", "clusters { name: 'c1' weight: 1 } clusters { name: 'c2' weight: 0 }"),
          ""},
         {"one only", Sends("x.test", "clusters { name: 'c1' }"), "x.test has 1 of 2 clusters"},
         {"one twice in two rules' lists is one", Sends("x.test", "clusters { name: 'c1' } clusters { name: 'gone' }"),
          "gone is not there"},
         {"draining", Cluster("c1", "admin_state: DRAINING"), "c1 is DRAINING"},
         {"standby", Cluster("c1", "admin_state: STANDBY"), "c1 is STANDBY"},
         {"maintenance", Cluster("c2", "admin_state: MAINTENANCE"), "c2 is MAINTENANCE"},
         {"an end of it", Cluster("c2", "admin_state: ACTIVE"), ""},
         {"nobody answers", Gone(kTier2), "has 0 of 2 clusters"},
         {"nobody sends", Gone(kTier1), "no tier-1 gateway object sends x.test"},
         {"another host", Sends("y.test", compile::k7525), "no tier-1 gateway object sends x.test"},
         {"a wildcard takes it",
          [](World& world) {
            Sends("*.test", compile::k7525)(world);
            world.Put(kTier2, compile::Tier2("*.test"));
          },
          ""},
         {"receivers may stand in c1 only",
          [](World& world) {
            world.Put(kGroup, From<v2::GatewayGroup>("spec { namespace_selector { names: 'c1/t2' names: '*/t1' } }"));
          },
          "c2 has no tier-2 gateway object that answers for it"},
         {"the tier-1 object stands nowhere",
          [](World& world) {
            world.Put(kGroup, From<v2::GatewayGroup>("spec { namespace_selector { names: '*/t2' } }"));
          },
          "no tier-1 gateway object sends x.test"},
         {"no gateway has started",
          [](World& world) {
            for (const char* name : {"gw-a", "gw-b"})
              world.RemoveWorkload(ClusterName("edge"), std::string("t1/") + name);
            for (const char* name : {"c1", "c2"}) world.RemoveWorkload(ClusterName(name), "t2/gw");
          },
          ""}});
}

// The rule that sends to fewer speaks for its server, and every object that takes the host counts.
TEST(MinClusters, HoldsAtEveryGatewayAndRule) {
  World world = compile::Demo();
  AddTenant(world, kOther, "names: '*/u1'", "hostname: 'x.test' tenant: 't' clusters { name: 'c1' }");
  const auto breaches = JudgeIntent(world, Make("min_clusters { host: 'x.test' count: 2 }"));
  ASSERT_EQ(breaches.size(), 1u) << Messages(breaches);
  EXPECT_EQ(breaches[0].lines.at(0).fqn, kOther + "/workspaces/w/gatewaygroups/g/tier1gateways/a");
  EXPECT_EQ(breaches[0].lines.at(0).field, "spec.externalServers[0].clusters");
  EXPECT_EQ(breaches[0].depth, 1u);
  // To the tenant it is no matter what others do with his host.
  EXPECT_THAT(JudgeIntent(world, Make("min_clusters { host: 'x.test' count: 2 }", kTenant)), IsEmpty());
  const auto deeper = JudgeIntent(world, Make("min_clusters { host: 'x.test' count: 5 }"));
  ASSERT_EQ(deeper.size(), 2u);
  EXPECT_EQ(deeper[0].depth + deeper[1].depth, 3u + 4u);
}

TEST(MinClusters, AsksTheServerThatTakesTheHost) {
  World world = compile::Demo();
  const auto two = From<v2::Tier1Gateway>(fmt::format(
      "spec {{ {} external_servers {{ name: 's' hostname: 'x.test' port: 80 {} }} external_servers {{ name: 'w' "
      "hostname: '*.test' port: 80 clusters {{ name: 'c1' }} }} }}",
      Selector("t1", "gw1"), compile::k7525));
  world.Put(kTier1, two);
  EXPECT_THAT(JudgeIntent(world, Make("min_clusters { host: 'x.test' count: 2 }")), IsEmpty());
  EXPECT_THAT(JudgeIntent(world, Make("min_clusters { host: 'y.test' count: 2 }")), testing::SizeIs(1));
  EXPECT_THAT(JudgeIntent(world, Make("min_clusters { host: '*.test' count: 2 }")), testing::SizeIs(1));
}

TEST(OnlyRegions, AreThoseOfEveryClusterThatIsNamed) {
  Check("only_regions { host: 'x.test' regions: 'r-c1' regions: 'r-c2' }",
        {{"both", nullptr, ""},
         {"moved", Cluster("c2", "locality { region: 'us' }"), "x.test may be sent to c2 in region us"},
         {"without a region", Cluster("c2", ""), "may be sent to c2 without a region"},
         {"drained or not", Cluster("c2", "locality { region: 'us' } admin_state: DRAINING"), "in region us"},
         {"a third", Sends("x.test", "clusters { name: 'edge' weight: 0 }"), "edge in region r-edge"},
         {"a wildcard takes it", Sends("*.test", "clusters { name: 'edge' }"), "*.test may be sent to edge"},
         {"nobody sends it", Gone(kTier1), ""},
         {"another host", Sends("y.test", "clusters { name: 'edge' }"), ""}});
}

TEST(NoPath, FollowsRulesAndTheGatewaysBehindThem) {
  Check("no_path { from { namespace: '*/t1' } to { namespace: '*/app' } }",
        {{"by the tier 2", nullptr, "x.test of " + kTier1 + " leads to services in c1/app by " + kTier2},
         {"no such host behind", [](World& world) { world.Put(kTier2, compile::Tier2("y.test")); }, ""},
         {"nothing behind", Gone(kTier2), ""},
         {"drained is no wall", Cluster("c1", "admin_state: DRAINING"), "c1/app"}});
  Check("no_path { from { namespace: 'c1/t1' } to { namespace: '*/app' } }",
        {{"they may stand there", nullptr, "leads to"},
         {"they may not",
          [](World& world) {
            world.Put(kGroup, From<v2::GatewayGroup>("spec { namespace_selector { names: 'edge/t1' names: '*/t2' } }"));
          },
          ""}});
  Check("no_path { from { namespace: '*/t2' } to { namespace: 'c2/app' } }", {{"directly", nullptr, "leads to"}});
  Check("no_path { from { namespace: '*/t2' } to { namespace: '*/other' } }", {{"elsewhere", nullptr, ""}});
  Check("no_path { from { namespace: '*/t1' } to { namespace: 'edge/app' } }",
        {{"no list goes there", nullptr, ""}, {"one does", Sends("x.test", "clusters { name: 'edge' }"), "edge/app"}});
}

TEST(NoPath, KnowsTenantsByWhatTheyOwn) {
  const auto neighbour = [](World& world) {
    AddTenant(world, kOther, "names: '*/u1'", "hostname: 'x.test' tenant: 't' clusters { name: 'c2' }");
  };
  Check("no_path { from { outside_tenant: 't' } to { tenant: 't' } }",
        {{"only its own", nullptr, ""},
         {"a neighbour", neighbour, "x.test of " + kOther},
         {"to its own gateways",
          [](World& world) { AddTenant(world, kOther, "names: '*/u1'", "hostname: 'x.test' clusters { name: 'c2' }"); },
          ""}});
  Check("no_path { from { tenant: 'u' } to { namespace: '*/app' } }", {{"a neighbour", neighbour, "c2/app"}});
  Check("no_path { from { tenant: 't' } to { tenant: 'u' } }",
        {{"it owns another", neighbour, ""},
         {"it owns what is reached", [](World& world) { AddTenant(world, kOther, "names: '*/app'", "hostname: 'q'"); },
          "leads to services"}});
  // The tenant's own word is about its own gateways.
  Check("no_path { from { tenant: 't' } to { namespace: '*/app' } }", {{"its own", nullptr, "by " + kTier2}}, kTenant);
  Check("no_path { from { namespace: '*/u1' } to { namespace: '*/app' } }", {{"a neighbour", neighbour, ""}}, kTenant);
}

// What is behind a neighbour's gateway is the neighbour's, though the own one turns to it.
TEST(NoPath, OfATenantEndsAtItsOwnGateways) {
  World world = compile::Demo();
  AddTenant(world, kOther, "names: '*/u1' names: '*/t2'", "hostname: 'q' clusters { name: 'c1' }");
  const std::string workspace = kOther + "/workspaces/w";
  world.Put(workspace, From<v2::Workspace>("spec { namespace_selector { names: '*/t2' } privileged: true }"));
  world.Put(workspace + "/gatewaygroups/g/gateways/b", compile::Tier2("x.test"));
  world.Remove(kTier2);
  world.Put(kTier1, compile::Tier1("x.test", "tenant: 'u' clusters { name: 'c1' }"));
  const char* spec = "no_path { from { namespace: '*/t1' } to { namespace: '*/app' } }";
  EXPECT_THAT(Messages(JudgeIntent(world, Make(spec))), HasSubstr("c1/app by " + workspace));
  EXPECT_EQ(Messages(JudgeIntent(world, Make(spec, kTenant))), "");
  // Nor is it asked who answers there.
  EXPECT_EQ(Messages(JudgeIntent(world, Make("min_clusters { host: 'x.test' count: 1 }", kTenant))), "");
  world.Remove(workspace + "/gatewaygroups/g/gateways/b");
  EXPECT_EQ(Messages(JudgeIntent(world, Make("min_clusters { host: 'x.test' count: 1 }", kTenant))), "");
  EXPECT_THAT(Messages(JudgeIntent(world, Make("min_clusters { host: 'x.test' count: 1 }"))), HasSubstr("0 of 1"));
}

TEST(MutualTls, NeedsATrustDomainWhereverRequestsGo) {
  Check("mutual_tls_between_clusters {}", {{"as it is", nullptr, ""}, {"no domain", Gone(kOrg), "could not verify"}});
}

TEST(Breaches, AreWorseWhereTheyAreNewOrDeeper) {
  const auto breach = [](const std::string& key, uint64_t depth) {
    return Breach{.key = key, .depth = depth, .message = key, .lines = {}};
  };
  const std::vector<Breach> before{breach("a", 1), breach("b", 2), breach("c", 3)};
  EXPECT_EQ(Messages(Worse(before, before)), "");
  EXPECT_EQ(Messages(Worse(before, {breach("a", 2), breach("b", 2), breach("c", 1)})), "a");
  EXPECT_EQ(Messages(Worse(before, {breach("d", 1)})), "d");
  EXPECT_EQ(Messages(Worse({}, before)), "a; b; c");
}

}  // namespace
}  // namespace weir::invariants
