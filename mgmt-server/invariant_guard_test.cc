#include "mgmt-server/invariant_guard.h"

#include "api/weir/v2/tenant_invariant.pb.h"
#include "mgmt-server/compile/random_walk.h"
#include "mgmt-server/invariants/intent.h"
#include "mgmt-server/invariants/test_invariants.h"

namespace weir::server {
namespace {

using compile::ClusterName;
using compile::From;
using compile::kGroup;
using compile::kOrg;
using compile::World;
using invariants::Invariant;
using services::BrokenInvariant;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A state of the store, written by hand: the same resources as a World has.
class State {
 public:
  const store::View& view() const { return view_; }
  void Put(const std::string& fqn, const google::protobuf::Message& message, const std::string& uid = "") {
    auto stored = std::make_shared<store::StoredResource>();
    stored->kind = message.GetDescriptor()->name();
    stored->fqn = fqn;
    const store::ResourcePtr before = view_.Get(fqn);
    stored->uid = !uid.empty() ? uid : before != nullptr ? before->uid : fmt::format("uid-{}", ++count_);
    stored->etag = std::to_string(++count_);
    stored->body = message.SerializeAsString();
    store::ViewLoader(view_).Put(stored);
    changes_.push_back({stored->kind, fqn, stored->uid, false});
  }
  void Remove(const std::string& fqn) {
    const store::ResourcePtr before = view_.Get(fqn);
    if (before == nullptr) return;
    changes_.push_back({before->kind, fqn, before->uid, true});
    store::ViewLoader(view_).Remove(fqn);
  }
  // What agents reported of a cluster, as the World has it.
  void Report(const World& world, const std::string& cluster) {
    const store::ResourcePtr stored = view_.Get(cluster);
    const compile::Facts* facts = world.facts(cluster);
    if (stored == nullptr || facts == nullptr) return;
    auto next = std::make_shared<store::ClusterFacts>();
    if (const auto before = view_.Facts(stored->uid)) *next = *before;
    next->cluster_uid = stored->uid;
    std::vector<std::string> gone;
    next->workloads.VisitAll([&](const std::string& key, const std::string&) {
      if (!facts->workloads.contains(key)) gone.push_back(key);
      return true;
    });
    for (const std::string& key : gone) next->workloads.Erase(key);
    for (const auto& [key, workload] : facts->workloads) {
      const std::string bytes = workload->SerializeAsString();
      const std::string* had = next->workloads.Find(key);
      if (had == nullptr || *had != bytes) next->workloads.Set(key, bytes);
    }
    store::ViewLoader(view_).Add(store::ClusterFactsPtr(std::move(next)));
  }
  std::vector<store::ResourceChange> TakeChanges() { return std::exchange(changes_, {}); }
  // As it is in the World now.
  void Mirror(const World& world, const std::string& fqn) {
    if (const compile::GatewayShape* shape = world.gateway(fqn)) return Put(fqn, *shape->source);
    const auto found = world.state().resources.find(fqn);
    if (found != world.state().resources.end()) return Put(fqn, *found->second);
    Remove(fqn);
  }

 private:
  store::View view_;
  std::vector<store::ResourceChange> changes_;
  int count_ = 0;
};

// "<Invariant>: <what>"
std::multiset<std::string> Said(const std::vector<BrokenInvariant>& broken) {
  std::multiset<std::string> said;
  for (const BrokenInvariant& each : broken) said.insert(each.fqn + ": " + each.what);
  return said;
}

std::shared_ptr<v2::Invariant> Spec(const std::string& spec) {
  return From<v2::Invariant>(fmt::format("spec {{ {} }}", spec));
}

// The organization of compile::Demo, stored.
class Guard : public ::testing::Test {
 protected:
  Guard() {
    world_ = compile::Demo();
    for (const auto& [fqn, resource] : world_.state().resources) state_.Mirror(world_, fqn);
    for (const auto& [fqn, shape] : world_.state().gateways) state_.Mirror(world_, fqn);
    for (const std::string& cluster : world_.clusters()) state_.Report(world_, cluster);
    state_.TakeChanges();
  }
  // What a write of that is told; it is stored if nothing is.
  template <typename Write>
  std::vector<BrokenInvariant> Try(Write write, bool asks_tenants = false) {
    const State before = state_;
    write(state_);
    const auto changes = state_.TakeChanges();
    auto broken = guard_.Judge(
        {.before = before.view(), .after = state_.view(), .changes = changes, .asks_tenants = asks_tenants});
    if (!broken.empty()) state_ = before;
    return broken;
  }
  std::vector<BrokenInvariant> TryPut(const std::string& fqn, const google::protobuf::Message& message,
                                      bool asks_tenants = false) {
    return Try([&](State& state) { state.Put(fqn, message); }, asks_tenants);
  }

  World world_;
  State state_;
  InvariantGuard guard_;
  const std::string kInvariant = kOrg + "/invariants/two";
  const std::string kTenants = "organizations/o/tenants/t/invariants/two";
  const std::shared_ptr<v2::Invariant> two_ = Spec("min_clusters { host: 'x.test' count: 2 }");
};

TEST_F(Guard, KeepsNothingWhileThereIsNoInvariant) {
  EXPECT_THAT(TryPut(kGroup + "/tier1gateways/a", *compile::Tier1("x.test", "clusters { name: 'c1' }")), IsEmpty());
  EXPECT_EQ(guard_.followed(), 0u);
}

TEST_F(Guard, RefusesOneThatIsBrokenWhenItIsMade) {
  EXPECT_THAT(TryPut(kInvariant, *Spec("min_clusters { host: 'x.test' count: 3 }")), testing::SizeIs(1));
  EXPECT_THAT(TryPut(kInvariant, *two_), IsEmpty());
  const auto broken = TryPut(kInvariant, *Spec("min_clusters { host: 'x.test' count: 3 }"));
  ASSERT_EQ(broken.size(), 1u);
  EXPECT_EQ(broken[0].what, "x.test has 2 of 3 clusters that can take its requests");
  // An alarm may be raised of what is so already, but not the refusal of it.
  const auto alarm = Spec("min_clusters { host: 'x.test' count: 3 } enforcement: ALARM");
  EXPECT_THAT(TryPut(kOrg + "/invariants/three", *alarm), IsEmpty());
  EXPECT_THAT(TryPut(kOrg + "/invariants/three", *Spec("min_clusters { host: 'x.test' count: 3 }")),
              testing::SizeIs(1));
}

TEST_F(Guard, NamesTheLineThatTheWriteChanged) {
  ASSERT_THAT(TryPut(kInvariant, *two_), IsEmpty());
  auto broken = TryPut(kGroup + "/tier1gateways/a", *compile::Tier1("x.test", "clusters { name: 'c1' }"));
  ASSERT_EQ(broken.size(), 1u);
  EXPECT_EQ(broken[0].document, kGroup + "/tier1gateways/a");
  EXPECT_EQ(broken[0].field, "spec.externalServers[0].clusters");
  EXPECT_EQ(broken[0].condition, "x.test: at least 2 clusters");
  EXPECT_THAT(broken[0].about, ElementsAre(kGroup + "/tier1gateways/a"));
  broken = TryPut(ClusterName("c2"), *From<v2::Cluster>("spec { admin_state: DRAINING }"));
  ASSERT_EQ(broken.size(), 1u);
  EXPECT_EQ(broken[0].document, ClusterName("c2"));
  EXPECT_EQ(broken[0].field, "spec.adminState");
  broken = Try([](State& state) { state.Remove(kGroup + "/gateways/b"); });
  ASSERT_EQ(broken.size(), 1u);
  EXPECT_EQ(broken[0].document, kGroup + "/gateways/b");
  EXPECT_EQ(broken[0].field, "");
  broken = TryPut(kGroup + "/gateways/b", *compile::Tier2("y.test"));
  ASSERT_EQ(broken.size(), 1u);
  EXPECT_EQ(broken[0].document, kGroup + "/gateways/b");
  EXPECT_EQ(broken[0].field, "spec.http");
}

TEST_F(Guard, LetsThroughWhatMakesNothingWorse) {
  const auto alarm = Spec("min_clusters { host: 'x.test' count: 2 } enforcement: ALARM");
  ASSERT_THAT(TryPut(kInvariant, *two_), IsEmpty());
  // Let through on purpose, in one write, and then an alarm.
  EXPECT_THAT(Try([&](State& state) {
                state.Put(kInvariant, *alarm);
                state.Put(kGroup + "/tier1gateways/a", *compile::Tier1("x.test", "clusters { name: 'c1' }"));
              }),
              IsEmpty());
  EXPECT_THAT(TryPut(kInvariant, *two_), testing::SizeIs(1)) << "not before it is repaired";
  EXPECT_THAT(TryPut(kGroup + "/tier1gateways/a", *compile::Tier1("x.test", compile::k7525)), IsEmpty());
  EXPECT_THAT(TryPut(kInvariant, *two_), IsEmpty());

  // Broken behind the back of the writes: agents went, the list follows. Then nobody is in the way of a repair.
  const std::string selecting = kGroup + "/tier1gateways/all";
  ASSERT_THAT(TryPut(selecting, *compile::Tier1("y.test", "")), IsEmpty());
  ASSERT_THAT(TryPut(kGroup + "/gateways/y", *compile::Tier2("y.test")), IsEmpty());
  ASSERT_THAT(TryPut(kOrg + "/invariants/y", *Spec("min_clusters { host: 'y.test' count: 2 }")), IsEmpty());
  world_.RemoveWorkload(ClusterName("c2"), "t2/gw");
  state_.Report(world_, ClusterName("c2"));
  EXPECT_THAT(TryPut(ClusterName("c2"), *From<v2::Cluster>("spec { network: 'n' }")), IsEmpty()) << "no worse";
  EXPECT_THAT(TryPut(ClusterName("c1"), *From<v2::Cluster>("spec { admin_state: DRAINING }")), testing::SizeIs(2));
  EXPECT_THAT(TryPut(kOrg + "/invariants/y", *Spec("min_clusters { host: 'y.test' count: 1 }")), IsEmpty());
}

// Neither refused by it, nor told of it.
TEST_F(Guard, HoldsTheWordOfATenantAgainstItsOwnWritesOnly) {
  v2::TenantInvariant two;
  *two.mutable_spec() = two_->spec();
  ASSERT_THAT(TryPut(kTenants, two), IsEmpty());
  const std::string other = "organizations/o/tenants/u/workspaces/w";
  EXPECT_THAT(Try([&](State& state) {
                state.Put(other, *From<v2::Workspace>("spec { namespace_selector { names: '*/u1' } }"));
                state.Put(other + "/gatewaygroups/g", *From<v2::GatewayGroup>("spec {}"));
                state.Put(other + "/gatewaygroups/g/tier1gateways/a",
                          *compile::Tier1("x.test", "clusters { name: 'c1' }"));
              }),
              IsEmpty());
  const auto drained = *From<v2::Cluster>("spec { admin_state: DRAINING }");
  EXPECT_THAT(Said(TryPut(ClusterName("c1"), drained, true)),
              ElementsAre(HasSubstr("x.test has 1 of 2 clusters that can take its requests: c1 is DRAINING")));
  EXPECT_THAT(TryPut(ClusterName("c1"), drained), IsEmpty()) << "a document of the organization's";
  EXPECT_THAT(TryPut(kGroup + "/tier1gateways/a", *compile::Tier1("x.test", "clusters { name: 'c2' }")), IsEmpty())
      << "no worse than it is";
  EXPECT_THAT(TryPut(kGroup + "/tier1gateways/a", *compile::Tier1("x.test", "clusters { name: 'c1' }")),
              testing::SizeIs(1));
}

TEST_F(Guard, TakesACreatedAgainForAnother) {
  ASSERT_THAT(TryPut(kInvariant, *two_), IsEmpty());
  world_.RemoveWorkload(ClusterName("c2"), "t2/gw");
  // The list selects who has a gateway: of the new cluster nobody has reported any.
  ASSERT_THAT(TryPut(kGroup + "/tier1gateways/a", *compile::Tier1("x.test", "")), IsEmpty());
  EXPECT_THAT(Said(Try([](State& state) {
                state.Remove(ClusterName("c2"));
                state.Put(ClusterName("c2"), v2::Cluster(), "another");
              })),
              ElementsAre(HasSubstr("x.test has 1 of 2 clusters")));
}

// Nobody's gateway is touched when a namespace gets an owner, and yet somebody reaches what is his now.
TEST_F(Guard, KnowsThatNamespacesChangeHands) {
  const std::string other = "organizations/o/tenants/u/workspaces/w";
  ASSERT_THAT(
      Try([&](State& state) {
        state.Put(compile::kWs, *From<v2::Workspace>("spec { namespace_selector { names: '*/t1' } }"));
        state.Put(other, *From<v2::Workspace>("spec { namespace_selector { names: '*/t2' } privileged: true }"));
        state.Put(other + "/gatewaygroups/g", *From<v2::GatewayGroup>("spec {}"));
        state.Put(other + "/gatewaygroups/g/gateways/b", *compile::Tier2("x.test"));
        state.Put(kOrg + "/invariants/apart", *Spec("no_path { from { outside_tenant: 't' } to { tenant: 't' } }"));
      }),
      IsEmpty());
  const auto broken = TryPut(compile::kWs, *From<v2::Workspace>("spec { namespace_selector { names: '*/app' } }"));
  ASSERT_EQ(broken.size(), 1u);
  EXPECT_THAT(broken[0].what, HasSubstr("leads to services in */app"));
  EXPECT_EQ(broken[0].document, compile::kWs) << "the one that was written";
}

// A write beside a thousand hosts and Invariants looks at its own.
TEST_F(Guard, CostsWhatIsChanged) {
  Try([&](State& state) {
    for (int i = 0; i < 300; ++i) {
      const std::string host = fmt::format("h{}.test", i);
      state.Put(fmt::format("{}/tier1gateways/h{}", kGroup, i), *compile::Tier1(host, compile::k7525));
      state.Put(fmt::format("{}/gateways/h{}", kGroup, i), *compile::Tier2(host));
      state.Put(fmt::format("{}/invariants/h{}", kOrg, i),
                *Spec(fmt::format("min_clusters {{ host: '{}' count: 2 }}", host)));
    }
  });
  const size_t followed = guard_.followed(), judged = guard_.judged();
  EXPECT_EQ(judged, 300u);
  EXPECT_THAT(TryPut(kGroup + "/tier1gateways/h7", *compile::Tier1("h7.test", compile::k7525, 2)), IsEmpty());
  EXPECT_EQ(guard_.judged() - judged, 1u);
  EXPECT_LE(guard_.followed() - followed, 2u);
  EXPECT_THAT(TryPut(kGroup + "/tier1gateways/h7", *compile::Tier1("h7.test", "clusters { name: 'c1' }")),
              testing::SizeIs(1));
  EXPECT_LE(guard_.followed() - followed, 6u) << "there and back again";
}

// After any sequence of writes, facts between them and refusals: the same as to judge everything before and after.
class GuardWalk : public ::testing::Test {
 protected:
  void Run(unsigned seed) {
    compile::Walk walk(seed);
    World world;
    State state;
    InvariantGuard guard;
    compile::Change change;
    for (int i = 0; i < 60; ++i) walk.Step(world, change);
    Show(world, change, state);
    for (const Invariant& invariant : asked_) {
      if (invariant.tenant.empty()) {
        v2::Invariant message;
        *message.mutable_spec() = invariant.spec;
        state.Put(invariant.fqn, message);
      } else {
        v2::TenantInvariant message;
        *message.mutable_spec() = invariant.spec;
        state.Put(invariant.fqn, message);
      }
    }
    state.TakeChanges();
    for (int batch = 0; batch < 100; ++batch) {
      World after = world;
      change = {};
      for (int i = 0; i <= walk.Pick(3); ++i) walk.Step(after, change);
      const bool facts = !change.workloads.empty() || !change.clusters.empty();
      const State before = state;
      const World had = world;
      Show(after, change, state);
      const auto changes = state.TakeChanges();
      world = after;
      if (facts) continue;  // Nobody judges what agents report, nor here what came with it.
      const auto expected = Expected(had, after, change.fqns);
      const auto said = Said(guard.Judge({.before = before.view(), .after = state.view(), .changes = changes}));
      ASSERT_EQ(said, expected) << "seed " << seed << " batch " << batch;
      (expected.empty() ? held_ : broken_) += 1;
      if (expected.empty() || walk.Pick(2) == 0) continue;
      state = before;  // It was refused.
      world = had;
    }
  }
  static void Show(const World& world, const compile::Change& change, State& state) {
    for (const std::string& fqn : change.fqns) state.Mirror(world, fqn);
    for (const std::string& cluster : world.clusters()) state.Report(world, cluster);
  }
  std::multiset<std::string> Expected(const World& before, const World& after, const std::set<std::string>& fqns) {
    std::multiset<std::string> said;
    for (const Invariant& invariant : asked_) {
      const bool inside = std::any_of(fqns.begin(), fqns.end(), [&](const std::string& fqn) {
        return resource::IsAtOrBelow(fqn, invariant.parent);
      });
      if (!inside) continue;
      const auto worse =
          invariants::Worse(invariants::JudgeIntent(before, invariant), invariants::JudgeIntent(after, invariant));
      for (const auto& breach : worse) said.insert(invariant.fqn + ": " + breach.message);
    }
    return said;
  }
  static Invariant Named(const char* name, const std::string& spec, const std::string& parent) {
    Invariant invariant = invariants::Make(spec, parent);
    invariant.fqn = parent + "/invariants/" + name;
    return invariant;
  }

  const std::string kTenant = "organizations/o/tenants/t";
  const std::vector<Invariant> asked_{
      Named("min", "min_clusters { host: 'a.x.test' count: 1 }", kOrg),
      Named("wild", "min_clusters { host: '*.x.test' count: 1 }", kOrg),
      Named("regions", "only_regions { host: 'b.x.test' regions: 'r' }", kOrg),
      Named("path", "no_path { from { outside_tenant: 't' } to { tenant: 't' } }", kOrg),
      Named("namespaces", "no_path { from { namespace: '*/n2' } to { namespace: 'c2/n1' } }", kOrg),
      Named("min", "min_clusters { host: 'x.test' count: 2 }", kTenant),
      Named("path", "no_path { from { tenant: 't' } to { namespace: '*/n1' } }", kTenant)};
  size_t held_ = 0, broken_ = 0;
};

TEST_F(GuardWalk, SaysWhatAFullJudgementWouldSay) {
  for (unsigned seed = 1; seed <= 6 && !HasFailure(); ++seed) Run(seed);
  EXPECT_GT(held_, 100u);
  EXPECT_GT(broken_, 30u);
}

}  // namespace
}  // namespace weir::server
