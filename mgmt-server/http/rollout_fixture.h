#pragma once

#include "mgmt-server/http/change_set_fixture.h"

// For tests of change sets in waves.
namespace weir::edge::plans {

using std::chrono::seconds;
using v2::ChangeSet;
using v2::Rollout;
using v2::WaveProgress;

inline constexpr char kEntry[] = "organizations/demo-org/tenants/t/workspaces/w/gatewaygroups/g/gateways/entry";
inline constexpr char kClusters[] = "organizations/demo-org/clusters/";

inline v2::WaveEvidence Counted(int64_t requests, int64_t errors) {
  v2::WaveEvidence one;
  one.set_host("shop.test");
  one.set_cluster("c1");
  one.set_gateway("edge");
  one.set_source(std::string(kGroup) + "/tier1gateways/shop");
  one.set_requests(requests);
  one.set_errors(errors);
  return one;
}

// A tier 2 "entry" at c1 and c2, of which the tests change the port; a test says what gateways make of it.
class RolloutTest : public ChangeSetTest {
 protected:
  RolloutTest() {
    handlers_clock_ = &by_hand_;
    fleet_.wave = [this](const status::WaveQuestion& question) {
      asked_ = question;
      status::WaveSeen seen = answer_;
      seen.now = by_hand_.Now();
      answer_.counted.clear();
      return seen;
    };
    answer_.told = true;
  }
  void SetUp() override {
    ChangeSetTest::SetUp();
    // What is stored is dated by the store's clock.
    by_hand_.JumpWall(store_->Read()->Get("organizations/demo-org")->create_time - by_hand_.Wall());
    Store(Tier1("shop", "shop.test", kBoth) + Tier2("entry", "shop.test"));
  }
  static ChangeSet InWaves(int port = 9090, int approvals = 0) {
    ChangeSet set = Contents(Tier2("entry", "shop.test", "t", port), approvals);
    v2::RolloutWave& wave = *set.add_waves();
    wave.add_clusters("c1");
    wave.mutable_gate()->mutable_bake_time()->set_seconds(10);
    return set;
  }
  ChangeSet Started(const std::string& token = "") {
    const ChangeSet set = Created(InWaves(), token);
    return Read<ChangeSet>(Do(set, "commit", "{}", token));
  }
  void Tick() { standing_.Step(); }
  void After(int time) {
    by_hand_.Advance(seconds(time));
    Tick();
  }
  // "c1" in `Wave 1` is RELEASED, and then bakes.
  void UntilBaking() {
    Tick();
    Tick();
    Tick();
  }
  void UntilPassed() {
    answer_.counted = {Counted(200, 1)};
    After(11);
  }
  std::string States(const ChangeSet& set) {
    const ChangeSet found = Found(set);
    std::string states = ChangeSet::State_Name(found.state());
    for (const WaveProgress& wave : found.rollout().waves()) states += " " + WaveProgress::State_Name(wave.state());
    return states;
  }
  std::set<std::string> Told() {
    std::set<std::string> told;
    for (const store::OverlayPtr& row : store_->Read()->Overlays()) {
      v2::RolloutOverlay overlay;
      EXPECT_TRUE(overlay.ParseFromString(row->body));
      for (const std::string& cluster : overlay.clusters()) told.insert(cluster.substr(sizeof kClusters - 1));
    }
    return told;
  }
  uint32_t StoredPort() {
    v2::Gateway gateway;
    gateway.ParseFromString(store_->Read()->Get(kEntry)->body);
    return gateway.spec().http(0).routing().rules(0).route().service_destination().port();
  }
  bool Audited(const ChangeSet& set, const std::string& action) {
    return Get("/v2/auditrecords?action=change-set." + action).text.find(set.fqn()) != std::string::npos;
  }
  // Nothing of it is left, and nothing of it was stored.
  void ExpectReverted(const ChangeSet& set, Rollout::Reason reason) {
    const ChangeSet found = Found(set);
    EXPECT_EQ(found.state(), ChangeSet::REVERTED) << found.DebugString();
    EXPECT_EQ(Rollout::Reason_Name(found.rollout().reason()), Rollout::Reason_Name(reason));
    EXPECT_FALSE(found.rollout().message().empty());
    EXPECT_THAT(store_->Read()->Overlays(), IsEmpty());
    EXPECT_NE(StoredPort(), 9090u);
    EXPECT_TRUE(Audited(set, "revert"));
    EXPECT_EQ(Do(set, "commit").reason(), "CHANGE_SET_STATE");
  }

  ManualClock by_hand_;
  status::WaveQuestion asked_;
  status::WaveSeen answer_;
};

}  // namespace weir::edge::plans
