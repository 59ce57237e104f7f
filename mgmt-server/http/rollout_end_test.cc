#include "mgmt-server/http/rollout_fixture.h"
#include "mgmt-server/services/rollouts.h"

// What else may happen to a change set in waves: others write, rights end, servers start again, somebody stops it.
namespace weir::edge::plans {
namespace {

TEST_F(RolloutTest, WhatOthersWriteStopsItWhereItIsTheSameThing) {
  const ChangeSet set = Started();
  UntilBaking();
  Store(Tier1("elsewhere", "z.test", kBoth));
  After(1);
  EXPECT_EQ(States(set), "ROLLING_OUT BAKING PENDING");
  Store(Tier2("entry", "shop.test", "t", 7070));
  After(1);
  ExpectReverted(set, Rollout::CONFLICT);
  EXPECT_THAT(Found(set).rollout().message(), HasSubstr(kEntry));
  EXPECT_EQ(States(set), "REVERTED STOPPED PENDING");

  const ChangeSet gone = Started();
  UntilBaking();
  ASSERT_EQ(Send("DELETE", std::string("/v2/") + kEntry, "", admin_).status, 200);
  After(1);
  EXPECT_EQ(Found(gone).state(), ChangeSet::REVERTED);
}

// Between the last look and the commit: the write that would store it finds out.
TEST_F(RolloutTest, IsNotStoredOverWhatSomebodyWroteAtTheLastMoment) {
  const ChangeSet set = Started();
  UntilBaking();
  UntilPassed();
  Tick();
  Tick();
  EXPECT_EQ(States(set), "ROLLING_OUT PASSED BAKING");
  fleet_.wave = [&](const status::WaveQuestion&) {
    Store(Tier2("entry", "shop.test", "t", 7070));
    status::WaveSeen seen = answer_;
    seen.counted = {Counted(200, 0)};
    return seen;
  };
  After(11);
  EXPECT_NE(Found(set).state(), ChangeSet::COMMITTED);
  EXPECT_EQ(StoredPort(), 7070u);
  After(1);
  ExpectReverted(set, Rollout::CONFLICT);
}

// A rollout that takes the host's only receiver away, and the condition that there is one.
class ForAnInvariant : public RolloutTest {
 protected:
  static ChangeSet WithoutReceiver() {
    ChangeSet contents = InWaves();
    contents.set_documents(Tier2("entry", "other.test"));
    return contents;
  }
  ChangeSet StartedWithoutReceiver() { return Read<ChangeSet>(Do(Created(WithoutReceiver()), "commit")); }
  void Demand() {
    Store(
        "apiVersion: api.weir.dev/v2\nkind: Invariant\nmetadata: {name: one, organization: demo-org}\n"
        "spec: {minClusters: {host: shop.test, count: 1}}\n");
  }
};

TEST_F(ForAnInvariant, IsRefusedAtTheStart) {
  Demand();
  const ChangeSet set = Created(WithoutReceiver());
  const Answer answer = Do(set, "commit");
  EXPECT_EQ(answer.reason(), "INVARIANT_BROKEN") << answer.text;
  EXPECT_THAT(answer.text, HasSubstr("\"line\":"));
  EXPECT_EQ(Found(set).state(), ChangeSet::APPROVED);
  EXPECT_THAT(store_->Read()->Overlays(), IsEmpty());
}

TEST_F(ForAnInvariant, GoesBackWhenItCameMeanwhile) {
  const ChangeSet set = StartedWithoutReceiver();
  UntilBaking();
  Demand();
  After(1);
  ExpectReverted(set, Rollout::CONFLICT);
  EXPECT_THAT(Found(set).rollout().message(), HasSubstr("INVARIANT_BROKEN"));
}

// Between the last look and the commit.
TEST_F(ForAnInvariant, IsNotStoredWhenItCameAtTheLastMoment) {
  const ChangeSet set = StartedWithoutReceiver();
  UntilBaking();
  UntilPassed();
  Tick();
  Tick();
  EXPECT_EQ(States(set), "ROLLING_OUT PASSED BAKING");
  fleet_.wave = [&, demanded = false](const status::WaveQuestion&) mutable {
    if (!std::exchange(demanded, true)) Demand();
    status::WaveSeen seen = answer_;
    seen.counted = {Counted(200, 0)};
    return seen;
  };
  After(11);
  EXPECT_NE(Found(set).state(), ChangeSet::COMMITTED);
  After(1);
  ExpectReverted(set, Rollout::CONFLICT);
}

TEST_F(RolloutTest, WhoStartedItMustStillBeAllowedTo) {
  const std::string tess = Grant("tess", "rbac/admin", kTenant);
  ChangeSet contents = InWaves();
  contents.set_force(true);  // The fields are the administrator's.
  const ChangeSet set = Read<ChangeSet>(Do(Created(contents, tess), "commit", "{}", tess));
  UntilBaking();
  ASSERT_EQ(Post(std::string("/v2/") + kTenant + "/accessbindings:revoke",
                 R"({"role":"rbac/admin","subject":{"user":"organizations/demo-org/users/tess"}})")
                .status,
            200);
  After(1);
  ExpectReverted(set, Rollout::RIGHTS);
}

TEST_F(RolloutTest, ApprovalsCountAtTheEndAsAtTheBeginning) {
  const std::string tess = Grant("tess", "rbac/admin", kTenant);
  const ChangeSet set = Created(InWaves(9090, 1));
  EXPECT_EQ(Do(set, "commit").reason(), "CHANGE_SET_STATE");
  ASSERT_EQ(Approve(set, tess).status, 200);
  ASSERT_EQ(Read<ChangeSet>(Do(set, "commit")).state(), ChangeSet::ROLLING_OUT);
  UntilBaking();
  UntilPassed();
  UntilBaking();
  ASSERT_EQ(Post(std::string("/v2/") + kTenant + "/accessbindings:revoke",
                 R"({"role":"rbac/admin","subject":{"user":"organizations/demo-org/users/tess"}})")
                .status,
            200);
  UntilPassed();
  ExpectReverted(set, Rollout::APPROVALS);
}

TEST_F(RolloutTest, IsEndedByHandAtAnyTime) {
  const std::string tess = Grant("tess", "rbac/admin", kTenant);
  for (const char* verb : {"abort", "reject"}) {
    const ChangeSet set = Started();
    UntilBaking();
    const bool rejects = verb == std::string("reject");
    if (!rejects) {
      EXPECT_EQ(Do(set, "abort", "{}", tess).reason(), "NOT_YOURS");
    }
    ASSERT_EQ(Do(set, verb, R"({"reason":"smells"})", rejects ? tess : "").status, 200);
    EXPECT_THAT(store_->Read()->Overlays(), IsEmpty());
    EXPECT_EQ(States(set), std::string(rejects ? "REJECTED" : "ABORTED") + " STOPPED PENDING");
    EXPECT_EQ(Found(set).reason(), "smells");
    EXPECT_EQ(Found(set).rollout().reason(), Rollout::ENDED);
    Tick();
    EXPECT_EQ(StoredPort(), 8080u);
  }
}

TEST_F(RolloutTest, TakesNoLongerThanItMay) {
  const ChangeSet set = Started();
  UntilBaking();
  by_hand_.JumpWall(seconds(2 * (60 + 10) + 600 - 60));
  Tick();
  EXPECT_EQ(Found(set).state(), ChangeSet::ROLLING_OUT);
  by_hand_.JumpWall(seconds(120));
  Tick();
  ExpectReverted(set, Rollout::TIME_OVER);
}

// Another server with this state: it neither forgets the rollout nor believes what it did not see.
TEST_F(RolloutTest, GoesOnAfterARestartAndCountsItsWaveAnew) {
  const ChangeSet set = Started();
  UntilBaking();
  answer_.counted = {Counted(90, 0)};
  After(9);
  services::Rollouts again(*backends_, *writes_);
  again.Tick();
  EXPECT_EQ(States(set), "ROLLING_OUT RELEASED PENDING") << "gateways first";
  again.Tick();
  EXPECT_EQ(States(set), "ROLLING_OUT BAKING PENDING");
  again.Tick();
  by_hand_.Advance(seconds(9));
  again.Tick();
  EXPECT_EQ(States(set), "ROLLING_OUT BAKING PENDING") << "the whole time";
  answer_.counted = {Counted(20, 0)};
  by_hand_.Advance(seconds(1));
  again.Tick();
  ExpectReverted(set, Rollout::INCONCLUSIVE);
}

TEST_F(RolloutTest, OneAtATimeAndNothingElseIsDoneWithIt) {
  const ChangeSet set = Started();
  const ChangeSet other = Created(InWaves(9191));
  EXPECT_EQ(Do(other, "commit").reason(), "ROLLOUT_RUNNING");
  EXPECT_EQ(Do(set, "commit").reason(), "CHANGE_SET_STATE");
  EXPECT_EQ(Do(set, "plan", R"({"renew":true})").reason(), "CHANGE_SET_STATE");
  EXPECT_EQ(Update(Found(set), InWaves(9191)).reason(), "CHANGE_SET_STATE");
  ASSERT_EQ(Do(set, "abort").status, 200);
  EXPECT_EQ(Do(other, "commit").status, 200);
}

TEST_F(RolloutTest, WavesThatDoNotFitAreRefusedWhenItIsMade) {
  ChangeSet set = InWaves();
  set.mutable_waves(0)->add_clusters("edge");
  const Answer refused = Create(set);
  EXPECT_EQ(refused.reason(), "WAVES_UNKNOWN");
  EXPECT_THAT(refused.text, HasSubstr("waves[0].clusters[1]"));
  set = InWaves();
  set.mutable_waves(0)->mutable_gate()->set_min_success_rate(0.99);
  EXPECT_THAT(Create(set).text, HasSubstr("waves[0].gate.minSuccessRate"));
  set = Contents(Meta("Tenant", "v", ""));
  set.add_waves()->add_clusters("c1");
  EXPECT_EQ(Create(set).reason(), "WAVES_EMPTY");
  set = Contents(Cluster("c9", "network: n") + Tier2("entry", "shop.test", "t", 9090));
  set.add_waves()->add_clusters("c1");
  EXPECT_EQ(Create(set).reason(), "WAVES_CLUSTER");
  EXPECT_EQ(Listed(admin_), 0);
  // Who changes the waves of an approved one needs its approvals again.
  const std::string tess = Grant("tess", "rbac/admin", kTenant);
  const ChangeSet made = Created(InWaves(9090, 1));
  ASSERT_EQ(Approve(made, tess).status, 200);
  set = InWaves(9090, 1);
  set.mutable_waves(0)->mutable_gate()->set_without_traffic(true);
  EXPECT_EQ(Read<ChangeSet>(Update(Found(made), set)).state(), ChangeSet::PENDING_APPROVAL);
}

TEST_F(RolloutTest, EvidenceOfWhatOneMayNotReadIsNotShown) {
  const std::string tess = Grant("tess", "rbac/admin", kEntry);
  const ChangeSet set = Started();
  UntilBaking();
  answer_.counted = {Counted(100, 50)};
  After(1);
  EXPECT_EQ(Found(set).rollout().waves(0).evidence_size(), 1);
  const ChangeSet seen = Found(set, tess);
  EXPECT_EQ(seen.rollout().waves(0).evidence_size(), 0);
  EXPECT_EQ(seen.rollout().waves(0).hidden_evidence(), 1);
  EXPECT_THAT(seen.rollout().message(), Not(HasSubstr("shop.test")));
}

}  // namespace
}  // namespace weir::edge::plans
