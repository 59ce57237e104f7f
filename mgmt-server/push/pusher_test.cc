#include "mgmt-server/push/pusher.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "api/weir/agent/v1/discovery.pb.h"
#include "api/weir/mesh/v1/intent.pb.h"
#include "api/weir/v2/cluster.pb.h"
#include "api/weir/v2/gateway.pb.h"
#include "api/weir/v2/gateway_group.pb.h"
#include "api/weir/v2/organization.pb.h"
#include "api/weir/v2/organization_setting.pb.h"
#include "api/weir/v2/rollout.pb.h"
#include "api/weir/v2/tier1_gateway.pb.h"
#include "api/weir/v2/workspace.pb.h"
#include "libs/xds/grpc/recording_handler.h"
#include "mgmt-server/push/world_feed.h"
#include "mgmt-server/store/temp_store.h"
#include "tests/support/real_time.h"

namespace weir::push {
namespace {

const std::string kOrg = "organizations/o";
const std::string kWs = kOrg + "/tenants/t/workspaces/w";
const std::string kGroup = kWs + "/gatewaygroups/g";
constexpr int kHosts = 50;

std::string ClusterName(const std::string& name) { return kOrg + "/clusters/" + name; }

// The real store and the real snapshots; only agents are missing. Fifty hosts that go to two clusters.
class Pushing : public testing::Test {
 protected:
  Pushing() : ads_(nobody_, Options()) {
    Put<v2::Organization>(kOrg, "spec { domain: 'o.test' }");
    Put<v2::Workspace>(kWs, "spec { namespace_selector { names: '*/*' } }");
    Put<v2::GatewayGroup>(kGroup, "");
    for (const char* name : {"edge", "c1", "c2"}) Put<v2::Cluster>(ClusterName(name), "spec { tier1_cluster: true }");
    for (int i = 0; i < kHosts; ++i) {
      PutTier1(i, 50);
      Put<v2::Gateway>(
          fmt::format("{}/gateways/g{}", kGroup, i),
          fmt::format("spec {{ workload_selector {{ namespace: 't2' labels {{ key: 'app' value: 'gw' }} }} http {{ "
                      "name: 's' hostname: 'h{}.test' port: 80 routing {{ rules {{ route {{ service_destination {{ "
                      "host: 'n/h' port: 1 }} }} }} }} }} }}",
                      i));
    }
    PutWorkload("edge", "t1", "a", "127.0.1.10");
    PutWorkload("c1", "t2", "a", "127.0.2.10");
    PutWorkload("c2", "t2", "a", "127.0.3.10");
  }
  static xds::AdsServiceOptions Options() {
    xds::AdsServiceOptions options;
    options.rules = std::make_shared<xds::ServerRules>(xds::MeshRules());
    return options;
  }
  void Start() {
    pusher_ = std::make_unique<Pusher>(*store_, ads_, PusherOptions{.roots_pem = "ROOT"});
    ASSERT_TRUE(pusher_->Start().ok());
    Settle();
  }

  template <typename T>
  void Put(const std::string& fqn, const std::string& text) {
    T message;
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
    const auto put = store_->Write([&](store::Txn& txn) {
      return txn.Put({T::descriptor()->name(), fqn, message.SerializeAsString(), {}, std::nullopt});
    });
    ASSERT_TRUE(put.ok()) << put.error().ToString();
  }
  void PutTier1(int host, int weight) {
    Put<v2::Tier1Gateway>(
        fmt::format("{}/tier1gateways/h{}", kGroup, host),
        fmt::format("spec {{ workload_selector {{ namespace: 't1' labels {{ key: 'app' value: 'gw' }} }} "
                    "external_servers {{ name: 's' hostname: 'h{}.test' port: 80 clusters {{ name: 'c1' weight: {} }} "
                    "clusters {{ name: 'c2' weight: 50 }} }} }}",
                    host, weight));
  }
  void PutWorkload(const std::string& cluster, const std::string& name_space, const std::string& name,
                   const std::string& address) {
    agent::v1::Workload workload;
    workload.set_name(name);
    workload.set_namespace_(name_space);
    workload.set_service_account(name);
    (*workload.mutable_labels())["app"] = "gw";
    workload.add_addresses(address);
    store::FactsChange change;
    change.cluster_uid = store_->Read()->Get(ClusterName(cluster))->uid;
    change.workloads[name_space + "/" + name] = workload.SerializeAsString();
    const Status applied = store_->Write([&](store::Txn& txn) { return txn.ApplyFacts(change); });
    ASSERT_TRUE(applied.ok()) << applied.error().ToString();
  }

  // Waits until everything stored is pushed, and remembers it.
  void Settle() {
    ASSERT_TRUE(Eventually([this] { return pusher_->revision() >= store_->Read()->revision(); }));
    ASSERT_TRUE(Eventually([this] { return pusher_->facts_sequence() >= store_->Read()->facts_sequence(); }));
    for (const char* name : {"edge", "c1", "c2"}) before_[name] = ads_.GetSnapshot(ClusterName(name));
    compiled_ = Compiled();
  }
  uint64_t Compiled() const {
    uint64_t compiled = 0;
    pusher_->Read([&](const compile::Compilation& compilation) { compiled = compilation.compiled(); });
    return compiled;
  }
  // "edge DestinationSet t1:app=gw/80/h3.test/s/0" for each resource that differs from what Settle remembered.
  std::set<std::string> Sent() {
    const auto was = before_;
    const uint64_t had = compiled_;
    Settle();
    recompiled_ = compiled_ - had;
    std::set<std::string> sent;
    for (const auto& [cluster, snapshot] : before_) {
      for (const auto& [url, resources] : snapshot->types) {
        const auto& old = was.at(cluster)->Of(url);
        for (const auto& [name, resource] : *resources) {
          const auto found = old.find(name);
          if (found != old.end() && found->second->version == resource->version) continue;
          sent.insert(cluster + " " + url.substr(url.rfind('.') + 1) + " " + name);
        }
      }
    }
    return sent;
  }

  store::TempStore store_;
  xds::RecordingHandler nobody_{
      [](const xds::AdsPeer&) -> Result<xds::AdsGrant> { return Unauthenticated("NOBODY", "no agent is expected"); }};
  xds::AdsService ads_;
  std::unique_ptr<Pusher> pusher_;
  std::map<std::string, xds::SnapshotPtr> before_;
  uint64_t compiled_ = 0;
  uint64_t recompiled_ = 0;  // By what the last Sent tells of.
};

using Strings = std::set<std::string>;

TEST_F(Pushing, AnswersNobodyBeforeEverythingIsCompiled) {
  EXPECT_EQ(ads_.GetSnapshot(ClusterName("edge")), nullptr);
  Start();
  for (const char* name : {"edge", "c1", "c2"}) {
    ASSERT_NE(before_[name], nullptr);
    EXPECT_EQ(before_[name]->types.size(), 5u) << "a type that is missing would never be answered";
  }
  EXPECT_EQ(before_["edge"]->Of(compile::TypeUrl("Host")).size(), size_t{kHosts});
}

TEST_F(Pushing, AWriteCompilesOnlyWhatItTouches) {
  Start();
  PutTier1(3, 75);
  EXPECT_EQ(Sent(), Strings{"edge DestinationSet t1:app=gw/80/h3.test/s/0"});
  // Besides these: the listener, the endpoints of two clusters, the listeners that must let it in; in both worlds once.
  EXPECT_LE(recompiled_, 10u);
}

TEST_F(Pushing, ADrainRecompilesTheSpreadsAndNothingElse) {
  Start();
  Put<v2::Cluster>(ClusterName("c1"), "spec { admin_state: DRAINING }");
  const Strings sent = Sent();
  EXPECT_EQ(sent.size(), size_t{kHosts});
  EXPECT_EQ(recompiled_, uint64_t{kHosts});
  EXPECT_TRUE(sent.contains("edge DestinationSet t1:app=gw/80/h7.test/s/0"));
  const auto before = before_;
  Put<v2::Cluster>(ClusterName("c1"), "metadata { description: 'x' } spec { admin_state: DRAINING }");
  EXPECT_EQ(Sent(), Strings{});
  EXPECT_EQ(recompiled_, 0u);
  EXPECT_EQ(before_, before) << "the very same snapshots";
}

TEST_F(Pushing, ASettingRecompilesTheSpreads) {
  Start();
  Put<v2::OrganizationSetting>(kOrg + "/settings/main", "spec { failover_settings { mode: ORDERED } }");
  EXPECT_EQ(Sent().size(), size_t{kHosts});
  EXPECT_EQ(recompiled_, uint64_t{kHosts});
}

TEST_F(Pushing, ANewGatewayOfTheEdgeIsLetInByTheOthers) {
  Start();
  PutWorkload("edge", "t1", "b", "127.0.1.11");
  // Each host says who may call it; nothing else changes.
  const Strings sent = Sent();
  Strings hosts;
  for (const std::string cluster : {"c1", "c2"}) {
    for (const auto& [name, resource] : ads_.GetSnapshot(ClusterName(cluster))->Of(xds::kMeshHost)) {
      hosts.insert(cluster + " Host " + name);
      mesh::v1::Host host;
      ASSERT_TRUE(host.ParseFromString(resource->value)) << name;
      EXPECT_THAT(host.allowed_callers(), testing::Contains(testing::EndsWith("/ns/t1/sa/b")))
          << cluster << " " << name;
    }
  }
  EXPECT_EQ(sent, hosts);
  EXPECT_EQ(hosts.size(), size_t{2 * kHosts});
}

// A rollout that gives the host h3 another port.
class RollingOut : public Pushing {
 protected:
  void Begin() {
    Start();
    const store::ResourcePtr stored = store_->Read()->Get(object_);
    v2::Gateway gateway;
    ASSERT_TRUE(gateway.ParseFromString(stored->body));
    auto& rule = *gateway.mutable_spec()->mutable_http(0)->mutable_routing()->mutable_rules(0);
    rule.mutable_route()->mutable_service_destination()->set_port(9090);
    v2::RolloutOverlay::Resource& resource = *overlay_.add_resources();
    resource.set_fqn(object_);
    resource.set_kind("Gateway");
    resource.set_uid(stored->uid);
    resource.set_body(gateway.SerializeAsString());
  }
  void Tell(const std::string& cluster) {
    overlay_.add_clusters(ClusterName(cluster));
    ASSERT_TRUE(
        store_->Write([&](store::Txn& txn) { return txn.PutOverlay({set_, overlay_.SerializeAsString()}); }).ok());
    pusher_->FollowOverlays();
    ASSERT_TRUE(Eventually([&] { return IsTold(cluster) && IsPushed(cluster); }));
  }
  bool IsTold(const std::string& cluster) {
    bool is = false;
    pusher_->Read([&](const compile::Compilation& compilation) { is = compilation.IsAhead(ClusterName(cluster)); });
    return is;
  }
  // What is compiled stands in the snapshot a moment later.
  bool IsPushed(const std::string& cluster) {
    std::map<std::string, std::string> compiled;
    pusher_->Read([&](const compile::Compilation& compilation) {
      for (const auto& [key, resource] : compilation.Of(ClusterName(cluster))) {
        if (compile::TypeUrl(key.type) == xds::kMeshDestinationSet) compiled[resource.name] = resource.bytes;
      }
    });
    return SetsOf(ads_, cluster) == compiled;
  }
  static std::map<std::string, std::string> SetsOf(xds::AdsService& ads, const std::string& cluster) {
    std::map<std::string, std::string> sets;
    for (const auto& [name, resource] : ads.GetSnapshot(ClusterName(cluster))->Of(xds::kMeshDestinationSet))
      sets[name] = resource->value;
    return sets;
  }

  const std::string object_ = kGroup + "/gateways/g3", set_ = kOrg + "/changesets/1";
  v2::RolloutOverlay overlay_;
};

TEST_F(RollingOut, ReachesItsClustersAndNoOthersWhileOthersWriteOn) {
  Begin();
  Tell("c1");
  const Strings first = Sent();
  EXPECT_FALSE(first.empty());
  for (const std::string& one : first) EXPECT_TRUE(one.starts_with("c1 ") && one.find("h3.test") < one.size()) << one;
  EXPECT_LE(recompiled_, 10u);
  PutTier1(4, 75);
  EXPECT_EQ(Sent(), Strings{"edge DestinationSet t1:app=gw/80/h4.test/s/0"});
  EXPECT_TRUE(IsTold("c1"));
}

// Another server with this state says the very same, and has never said anything else.
TEST_F(RollingOut, OutlivesARestartWithoutAMomentInBetween) {
  Begin();
  const auto stored = SetsOf(ads_, "c1");
  Tell("c1");
  xds::AdsService others(nobody_, Options());
  Pusher again(*store_, others, PusherOptions{.roots_pem = "ROOT"});
  ASSERT_TRUE(again.Start().ok());
  EXPECT_EQ(SetsOf(others, "c1"), SetsOf(ads_, "c1"));
  EXPECT_NE(SetsOf(others, "c1"), stored);
  EXPECT_EQ(SetsOf(others, "c2"), SetsOf(ads_, "c2"));
  again.Stop();
}

TEST_F(RollingOut, IsNoNewsWhenItIsStored) {
  Begin();
  Tell("c1");
  Tell("c2");
  Settle();
  ASSERT_TRUE(store_
                  ->Write([&](store::Txn& txn) -> Status {
                    WEIR_TRY(txn.DeleteOverlay(set_));
                    WEIR_TRY(txn.Put({"Gateway", object_, overlay_.resources(0).body(), {}, std::nullopt}));
                    return {};
                  })
                  .ok());
  EXPECT_EQ(Sent(), Strings{});
  EXPECT_FALSE(IsTold("c1"));
}

TEST_F(RollingOut, TakesItsChangeBackWhenItEnds) {
  Begin();
  const auto stored = SetsOf(ads_, "c1");
  overlay_.add_resources()->set_fqn(kGroup + "/gateways/g5");
  overlay_.mutable_resources(1)->set_gone(true);
  Tell("c1");
  EXPECT_EQ(SetsOf(ads_, "c1").size(), stored.size() - 1);
  ASSERT_TRUE(store_->Write([&](store::Txn& txn) { return txn.DeleteOverlay(set_); }).ok());
  pusher_->FollowOverlays();
  EXPECT_TRUE(Eventually([&] { return SetsOf(ads_, "c1") == stored; }));
}

TEST_F(Pushing, TakesTheSnapshotOfADeletedClusterAway) {
  Start();
  ASSERT_TRUE(store_->Write([&](store::Txn& txn) { return txn.Delete(ClusterName("c2")); }).ok());
  ASSERT_TRUE(Eventually([this] { return pusher_->revision() >= store_->Read()->revision(); }));
  EXPECT_EQ(ads_.GetSnapshot(ClusterName("c2")), nullptr);
}

// Events come after the commit: what is compiled says how far it heard, not how far the store is.
TEST_F(Pushing, ClaimsNoMoreThanItHeard) {
  WorldFeed feed(Clock::Real());
  const store::ViewPtr first = store_->Read();
  compile::World world = feed.Load(*first, "");
  PutTier1(0, 99);
  PutWorkload("c1", "t2", "b", "127.0.2.11");
  const store::ViewPtr later = store_->Read();
  ASSERT_GT(later->revision(), first->revision());
  WorldFeed::Reached reached = feed.WaitForEventsOf(*later, Duration::zero());
  EXPECT_EQ(reached.revision, first->revision());
  EXPECT_EQ(reached.facts_sequence, first->facts_sequence());
  feed.Note(store::ChangeEvent{.revision = later->revision(), .changes = {}});
  reached = feed.WaitForEventsOf(*later, Duration::zero());
  EXPECT_EQ(reached.revision, later->revision());
  EXPECT_EQ(reached.facts_sequence, first->facts_sequence());
  reached = feed.WaitForEventsOf(*first, Duration::zero());
  EXPECT_EQ(reached.revision, first->revision()) << "the view is not newer than itself";
}

}  // namespace
}  // namespace weir::push
