#include "mgmt-server/services/past.h"

#include <gtest/gtest.h>

#include "mgmt-server/store/temp_store.h"

namespace weir::services {
namespace {

class PastTest : public testing::Test {
 protected:
  PastTest() {
    for (int i = 0; i < 30; ++i) {
      EXPECT_TRUE(
          store_->Write([&](store::Txn& txn) { return txn.Put({"Thing", "a", std::to_string(i + 1), {}, {}}); }).ok());
    }
  }
  static CallContext By(const std::string& uid) {
    CallContext call;
    call.principal.uid = uid;
    return call;
  }
  std::string At(CallContext& call, int64_t revision) {
    const auto turn = past_.TakeTurn(call);
    if (!turn.ok()) return turn.error().reason;
    const auto view = past_.ViewAt(call, *turn, revision);
    return view.ok() ? (*view)->Get("a")->body : view.error().reason;
  }

  store::TempStore store_;
  Past past_{*store_};
};

TEST_F(PastTest, ReadsAtOnceAreBoundedByPrincipal) {
  CallContext ann = By("ann"), bob = By("bob"), eve = By("eve");
  const auto first = past_.TakeTurn(ann);
  auto second = past_.TakeTurn(ann);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(past_.TakeTurn(ann).error().reason, "PAST_IN_WORK");
  EXPECT_GT(ann.retry_after, Duration(0));
  EXPECT_EQ(At(ann, 5), "PAST_IN_WORK");
  EXPECT_EQ(At(bob, 5), "5") << "the others read on";
  std::vector<Past::Turn> turns;
  for (size_t taken = 2; taken < Past::kReads; ++taken) {
    CallContext other = By("other-" + std::to_string(taken / 2));
    turns.push_back(past_.TakeTurn(other).value());
  }
  EXPECT_EQ(past_.TakeTurn(eve).error().reason, "PAST_IN_WORK");
  turns.clear();
  EXPECT_EQ(At(eve, 7), "7");
  *second = nullptr;
  EXPECT_EQ(At(ann, 6), "6");
}

TEST_F(PastTest, KeepsTheLastStatesOfEach) {
  CallContext ann = By("ann");
  for (int64_t revision = 1; revision <= 10; ++revision) EXPECT_EQ(At(ann, revision), std::to_string(revision));
  EXPECT_EQ(past_.kept(), Past::kKeptOfOne);
  for (int who = 0; who < 10; ++who) {
    CallContext other = By("other-" + std::to_string(who));
    for (int64_t revision = 11; revision <= 14; ++revision) At(other, revision + who);
  }
  EXPECT_EQ(past_.kept(), Past::kKept);
  EXPECT_EQ(At(ann, 30), "30");
  EXPECT_EQ(At(ann, 31), "REVISION_UNKNOWN");
}

// What is kept in memory is not kept longer than on disk.
TEST_F(PastTest, ForgetsWithTheStore) {
  CallContext ann = By("ann");
  EXPECT_EQ(At(ann, 5), "5");
  EXPECT_EQ(At(ann, 20), "20");
  ASSERT_TRUE(store_->Write([](store::Txn& txn) { return txn.ForgetHistory(10, 3); }).ok());
  EXPECT_EQ(At(ann, 5), "REVISION_UNKNOWN");
  EXPECT_EQ(At(ann, 20), "20");
  EXPECT_EQ(past_.kept(), 1u);
}

TEST_F(PastTest, ATimeIsTheLastRevisionThatWasNotLater) {
  google::protobuf::Timestamp time;
  EXPECT_EQ(*past_.Resolve("asOf", 0, false, time), 30);
  EXPECT_EQ(*past_.Resolve("asOf", 7, false, time), 7);
  time.set_seconds(4'000'000'000);
  EXPECT_EQ(*past_.Resolve("asOf", 0, true, time), 30);
  time.set_seconds(1);
  EXPECT_EQ(*past_.Resolve("asOf", 0, true, time), 0);
  EXPECT_EQ(past_.Resolve("asOf", 7, true, time).error().violations.front().field, "asOfTime");
  EXPECT_EQ(past_.Resolve("asOf", -1, false, time).error().violations.front().field, "asOfRevision");
  time.set_seconds(INT64_MAX);
  EXPECT_EQ(past_.Resolve("asOf", 0, true, time).error().reason, "INVALID_REQUEST");
}

}  // namespace
}  // namespace weir::services
