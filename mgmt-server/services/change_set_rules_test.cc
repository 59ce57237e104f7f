#include "mgmt-server/services/change_set_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libs/rpc/time.h"
#include "mgmt-server/store/temp_store.h"

namespace weir::services {
namespace {

using ::testing::ElementsAre;
using v2::ChangeSet;

// Every way that there is, and no other.
TEST(ChangeSetRules, GoFromStateToStateAsTheTableSays) {
  std::vector<std::string> ways;
  constexpr std::pair<ChangeSetVerb, const char*> kVerbs[] = {
      {ChangeSetVerb::kEdit, "edit"},     {ChangeSetVerb::kApprove, "approve"}, {ChangeSetVerb::kCommit, "commit"},
      {ChangeSetVerb::kReject, "reject"}, {ChangeSetVerb::kAbort, "abort"},     {ChangeSetVerb::kComplete, "complete"},
      {ChangeSetVerb::kRevert, "revert"}};
  for (const auto& [verb, word] : kVerbs) {
    for (int from = 0; from < ChangeSet::State_ARRAYSIZE; ++from) {
      for (int to = 0; to < ChangeSet::State_ARRAYSIZE; ++to) {
        ChangeSet set;
        set.set_state(static_cast<ChangeSet::State>(from));
        const Status moved = Move(verb, static_cast<ChangeSet::State>(to), set);
        if (!moved.ok()) {
          EXPECT_EQ(moved.error().reason, "CHANGE_SET_STATE");
          EXPECT_EQ(set.state(), from);
          continue;
        }
        EXPECT_EQ(set.state(), to);
        ways.push_back(fmt::format("{} {} {}", word, ChangeSet::State_Name(static_cast<ChangeSet::State>(from)),
                                   ChangeSet::State_Name(set.state())));
      }
    }
  }
  EXPECT_THAT(
      ways, ElementsAre("edit PENDING_APPROVAL PENDING_APPROVAL", "edit APPROVED PENDING_APPROVAL",
                        "edit APPROVED APPROVED", "approve PENDING_APPROVAL PENDING_APPROVAL",
                        "approve PENDING_APPROVAL APPROVED", "commit APPROVED COMMITTED", "commit APPROVED ROLLING_OUT",
                        "reject PENDING_APPROVAL REJECTED", "reject APPROVED REJECTED", "reject ROLLING_OUT REJECTED",
                        "abort PENDING_APPROVAL ABORTED", "abort APPROVED ABORTED", "abort ROLLING_OUT ABORTED",
                        "complete ROLLING_OUT COMMITTED", "revert ROLLING_OUT REVERTED"));
}

TEST(ChangeSetRules, EditorsAreBoundedAndTheirApprovalsCountNoMore) {
  ChangeSet set;
  *set.add_approvals() = Person({"a", "uid-a"}, WallTime());
  *set.add_approvals() = Person({"b", "uid-b"}, WallTime());
  ASSERT_TRUE(AddEditor({"a", "uid-a"}, WallTime(), set).ok());
  ASSERT_TRUE(AddEditor({"c", "uid-c"}, WallTime(), set).ok());
  ASSERT_TRUE(AddEditor({"a", "uid-a"}, WallTime(), set).ok());
  ASSERT_EQ(set.editors_size(), 2);
  EXPECT_EQ(set.editors(1).uid(), "uid-a");  // The last one made the plan.
  ASSERT_EQ(set.approvals_size(), 1);
  EXPECT_EQ(set.approvals(0).uid(), "uid-b");
  for (int i = 0; i < 18; ++i) ASSERT_TRUE(AddEditor({"x", std::to_string(i)}, WallTime(), set).ok());
  EXPECT_EQ(AddEditor({"y", "y"}, WallTime(), set).error().reason, "TOO_MANY_EDITORS");
  EXPECT_TRUE(AddEditor({"c", "uid-c"}, WallTime(), set).ok());
}

class ChangeSetRoom : public ::testing::Test {
 protected:
  Status Put(const std::string& author, const std::string& name, bool open, size_t bytes) {
    return store_->Write([&](store::Txn& txn) -> Status {
      store::ChangeSetRow row{.fqn = "organizations/o/changesets/" + name,
                              .uid = name,
                              .author_uid = author,
                              .open = open,
                              .created = WallTime(std::chrono::seconds(++time_)),
                              .body = std::string(bytes, 'x')};
      WEIR_TRY(MakeRoom(txn, bounds_, row));
      return txn.PutChangeSet(std::move(row));
    });
  }
  std::vector<std::string> Kept() {
    std::vector<std::string> names;
    store_->Read()->ForEachChangeSet("organizations/o", [&](const store::ChangeSetPtr& each) {
      names.push_back(each->uid);
      return true;
    });
    return names;
  }

  store::TempStore store_;
  ChangeSetBounds bounds_{.open_of_one = 2, .kept_of_one = 3, .bytes_of_one = 100, .kept = 5, .bytes = 200};
  int time_ = 0;
};

TEST_F(ChangeSetRoom, TheOldestEndedOfTheAuthorGoFirst) {
  ASSERT_TRUE(Put("b", "other", false, 10).ok());
  ASSERT_TRUE(Put("a", "open", true, 10).ok());
  ASSERT_TRUE(Put("a", "z-old", false, 10).ok());
  ASSERT_TRUE(Put("a", "new", false, 10).ok());
  ASSERT_TRUE(Put("a", "next", true, 10).ok());
  EXPECT_THAT(Kept(), ElementsAre("new", "next", "open", "other"));
  EXPECT_EQ(Put("a", "third", true, 10).error().reason, "TOO_MANY_CHANGE_SETS");  // Open ones stay.
  EXPECT_TRUE(Put("a", "next", true, 20).ok());                                   // The same one again.
  EXPECT_TRUE(Put("a", "next", false, 60).ok());
  EXPECT_THAT(Kept(), ElementsAre("new", "next", "open", "other"));
  EXPECT_TRUE(Put("a", "big", true, 85).ok());
  EXPECT_THAT(Kept(), ElementsAre("big", "open", "other"));
  EXPECT_EQ(Put("a", "big", true, 95).error().reason, "TOO_MANY_CHANGE_SETS");
}

// Else nothing of a full house could be approved.
TEST_F(ChangeSetRoom, AnApprovalAlwaysFits) {
  store::TempStore store;
  const ChangeSetBounds bounds{.open_of_one = 2, .kept_of_one = 3, .bytes_of_one = 300, .kept = 5, .bytes = 300};
  ChangeSet set;
  set.set_fqn("organizations/o/changesets/a");
  *set.mutable_author() = Person({"a", "uid-a"}, WallTime());
  set.set_state(ChangeSet::PENDING_APPROVAL);
  const auto put = [&] {
    return store->Write([&](store::Txn& txn) { return StoreChangeSet(txn, {}, bounds, "change-set.test", set); });
  };
  set.set_documents(std::string(bounds.bytes_of_one - 120, 'x'));
  ASSERT_TRUE(put().ok());
  *set.add_approvals() = Person({std::string(100, 'b'), "uid-b"}, WallTime());
  const Status approved = put();
  EXPECT_TRUE(approved.ok()) << approved.error().ToString();
  set.set_message("longer");
  EXPECT_EQ(put().error().reason, "TOO_MANY_CHANGE_SETS") << "anything else asks for room";
}

TEST_F(ChangeSetRoom, OfAllTheOldestEndedGoes) {
  ASSERT_TRUE(Put("b", "b1", false, 10).ok());
  ASSERT_TRUE(Put("b", "b2", true, 10).ok());
  ASSERT_TRUE(Put("c", "c1", true, 10).ok());
  ASSERT_TRUE(Put("d", "d1", true, 10).ok());
  ASSERT_TRUE(Put("e", "e1", true, 10).ok());
  ASSERT_TRUE(Put("f", "f1", true, 10).ok());
  EXPECT_THAT(Kept(), ElementsAre("b2", "c1", "d1", "e1", "f1"));
  EXPECT_EQ(Put("g", "g1", true, 10).error().reason, "TOO_MANY_CHANGE_SETS");
}

TEST_F(ChangeSetRoom, BytesOfAllAreBounded) {
  ASSERT_TRUE(Put("a", "a1", true, 90).ok());
  ASSERT_TRUE(Put("b", "b1", true, 90).ok());
  EXPECT_EQ(Put("c", "c1", true, 30).error().reason, "TOO_MANY_CHANGE_SETS");
  EXPECT_TRUE(Put("c", "c1", true, 20).ok());
}

}  // namespace
}  // namespace weir::services
