#include "mgmt-server/http/rollout_fixture.h"

// Change sets in waves: who is told when, and when it goes back.
namespace weir::edge::plans {
namespace {

TEST_F(RolloutTest, TellsTheNextWaveWhenTheOneBeforeHasPassed) {
  const ChangeSet set = Started();
  EXPECT_EQ(States(set), "ROLLING_OUT PENDING PENDING");
  ASSERT_EQ(set.rollout().waves_size(), 2);
  EXPECT_EQ(set.rollout().waves(1).clusters(0), "c2");
  EXPECT_EQ(set.started_by().user(), "organizations/demo-org/users/admin");
  EXPECT_THAT(Told(), IsEmpty());

  Tick();
  EXPECT_EQ(States(set), "ROLLING_OUT RELEASED PENDING");
  EXPECT_THAT(Told(), ElementsAre("c1"));
  answer_.waiting = {Counted(0, 0)};
  After(1);
  EXPECT_EQ(States(set), "ROLLING_OUT RELEASED PENDING") << "a gateway does not run it yet";
  EXPECT_THAT(asked_.wave, ElementsAre(std::string(kClusters) + "c1"));
  EXPECT_THAT(asked_.hosts, ElementsAre("shop.test"));
  EXPECT_THAT(asked_.resources, ElementsAre(kEntry));
  answer_.waiting.clear();
  After(1);
  EXPECT_EQ(States(set), "ROLLING_OUT BAKING PENDING");
  answer_.counted = {Counted(150, 1)};
  After(1);
  answer_.counted = {Counted(50, 0)};
  After(1);
  EXPECT_EQ(Found(set).rollout().waves(0).requests(), 200);
  EXPECT_EQ(Found(set).rollout().waves(0).errors(), 1);
  After(8);
  EXPECT_EQ(States(set), "ROLLING_OUT BAKING PENDING") << "its time is not over";
  After(2);
  EXPECT_EQ(States(set), "ROLLING_OUT PASSED RELEASED");
  EXPECT_THAT(Told(), ElementsAre("c1", "c2"));
  EXPECT_EQ(Found(set).rollout().waves(0).requests(), 200);
}

TEST_F(RolloutTest, IsStoredAsOneRevisionWhenTheLastWaveHasPassed) {
  const int64_t revision = store_->Read()->revision();
  const ChangeSet set = Started();
  UntilBaking();
  UntilPassed();
  EXPECT_EQ(StoredPort(), 8080u);
  EXPECT_EQ(store_->Read()->revision(), revision) << "nothing of it is stored";
  After(1);
  After(1);
  EXPECT_THAT(asked_.told, ElementsAre(std::string(kClusters) + "c1", std::string(kClusters) + "c2"));
  EXPECT_THAT(asked_.wave, ElementsAre(std::string(kClusters) + "c2"));
  UntilPassed();
  EXPECT_EQ(States(set), "COMMITTED PASSED PASSED");
  EXPECT_THAT(store_->Read()->Overlays(), IsEmpty());
  EXPECT_EQ(StoredPort(), 9090u);
  EXPECT_EQ(Found(set).revision(), revision + 1);
  EXPECT_EQ(Found(set).ended_by().user(), "organizations/demo-org/users/admin");
  EXPECT_THAT(Get("/v2/revisions?pageSize=1").text, HasSubstr(set.fqn()));
  for (const char* action : {"start", "wave", "commit"}) EXPECT_TRUE(Audited(set, action)) << action;
  EXPECT_FALSE(Audited(set, "revert"));
}

class Rolling : public RolloutTest {
 public:
  using RolloutTest::After, RolloutTest::answer_, RolloutTest::Told, RolloutTest::UntilBaking, RolloutTest::UntilPassed;
};

struct Failing {
  const char* what;
  std::function<void(Rolling&)> happens;
  Rollout::Reason reason;
  const char* states;
};
const Failing kFailing[] = {
    {"requests fail", [](Rolling& t) { t.answer_.counted = {Counted(100, 2)}, t.After(1); }, Rollout::SUCCESS_RATE,
     "REVERTED FAILED PENDING"},
    {"nobody asks", [](Rolling& t) { t.answer_.counted = {Counted(99, 0)}, t.After(10); }, Rollout::INCONCLUSIVE,
     "REVERTED FAILED PENDING"},
    {"the second wave fails",
     [](Rolling& t) {
       t.UntilPassed();
       t.UntilBaking();
       t.answer_.counted = {Counted(100, 50)};
       t.After(1);
     },
     Rollout::SUCCESS_RATE, "REVERTED PASSED FAILED"},
    {"a gateway is lost at the end",
     [](Rolling& t) { t.answer_.waiting = {Counted(0, 0)}, t.answer_.counted = {Counted(200, 0)}, t.After(10); },
     Rollout::NOT_READY, "REVERTED FAILED PENDING"},
    {"clusters cannot serve",
     [](Rolling& t) {
       t.answer_.unservable = {Counted(0, 0)};
       t.After(1);
       t.answer_.unservable.clear();  // It was back.
       t.After(1);
       t.answer_.unservable = {Counted(0, 0)};
       t.After(1);
       t.After(4);
       EXPECT_EQ(t.Told().size(), 1u) << "for less than 5 s";
       t.After(1);
     },
     Rollout::CANNOT_SERVE, "REVERTED FAILED PENDING"},
};

TEST_F(Rolling, AWaveWhoseGateDoesNotHoldStopsAndRevertsAll) {
  for (const Failing& each : kFailing) {
    SCOPED_TRACE(each.what);
    answer_ = {};
    answer_.told = true;
    const ChangeSet set = Started();
    UntilBaking();
    EXPECT_EQ(States(set), "ROLLING_OUT BAKING PENDING");
    each.happens(*this);
    ExpectReverted(set, each.reason);
    EXPECT_EQ(States(set), each.states);
  }
}

TEST_F(RolloutTest, AWaveThatGatewaysDoNotTakeStops) {
  for (const bool rejected : {false, true}) {
    answer_.waiting = {Counted(0, 0)};
    answer_.waiting[0].set_text("no such port");
    answer_.rejected = false;
    const ChangeSet set = Started();
    Tick();
    Tick();
    After(59);
    EXPECT_EQ(States(set), "ROLLING_OUT RELEASED PENDING");
    answer_.rejected = rejected;
    After(rejected ? 0 : 1);
    ExpectReverted(set, rejected ? Rollout::REJECTED : Rollout::NOT_READY);
    ASSERT_EQ(Found(set).rollout().waves(0).evidence_size(), 1);
    EXPECT_EQ(Found(set).rollout().waves(0).evidence(0).text(), "no such port");
  }
}

TEST_F(RolloutTest, AWaveThatIsNotToldInTimeStops) {
  answer_.told = false;
  const ChangeSet set = Started();
  Tick();
  Tick();
  EXPECT_EQ(States(set), "ROLLING_OUT RELEASED PENDING");
  After(60);
  ExpectReverted(set, Rollout::NOT_READY);
}

TEST_F(RolloutTest, GoesOnWithoutTrafficWhereThatIsAskedFor) {
  ChangeSet contents = InWaves();
  contents.mutable_waves(0)->mutable_gate()->set_without_traffic(true);
  contents.mutable_waves(0)->add_clusters("c2");
  const ChangeSet set = Read<ChangeSet>(Do(Created(contents), "commit"));
  UntilBaking();
  After(10);
  EXPECT_EQ(States(set), "COMMITTED PASSED");
}

}  // namespace
}  // namespace weir::edge::plans
