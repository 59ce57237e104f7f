#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mgmt-server/store/temp_store.h"

namespace weir::store {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> Found(const View& view) {
  std::vector<std::string> found;
  view.ForEachChangeSet("organizations/o", [&](const ChangeSetPtr& set) {
    found.push_back(fmt::format("{} {} {} {} {}", set->uid, set->author_uid, set->open, set->body.size(),
                                set->created.time_since_epoch().count()));
    return true;
  });
  return found;
}

TEST(ChangeSetRows, StandBesideTheTreeAndOutliveARestart) {
  TempStore store;
  const auto put = [&](const std::string& fqn, bool open, const std::string& body) {
    return store->Write([&](Txn& txn) -> Status {
      return txn.PutChangeSet({.fqn = fqn,
                               .uid = fqn.substr(fqn.size() - 1),
                               .author_uid = "a",
                               .open = open,
                               .created = WallTime(std::chrono::microseconds(7)),
                               .body = body});
    });
  };
  const int64_t revision = store->Read()->revision();
  ASSERT_TRUE(put("organizations/o/changesets/1", true, std::string("\0\1", 2)).ok());
  ASSERT_TRUE(put("organizations/o/changesets/2", true, "two").ok());
  const ViewPtr before = store->Read();
  ASSERT_TRUE(put("organizations/o/changesets/2", false, "more").ok());
  ASSERT_TRUE(put("organizations/o2/changesets/3", true, "three").ok());
  ASSERT_TRUE(put("organizations/o2/changesets/4", true, "four").ok());
  ASSERT_TRUE(store->Write([&](Txn& txn) { return txn.DeleteChangeSet("organizations/o2/changesets/3"); }).ok());
  const Status refused = store->Write([&](Txn& txn) -> Status {
    WEIR_TRY(txn.DeleteChangeSet("organizations/o/changesets/1"));
    return Aborted("NO", "no");
  });
  EXPECT_FALSE(refused.ok());
  EXPECT_EQ(before->FindChangeSet("organizations/o/changesets/2")->body, "two");  // A view never changes.
  for (const bool reopened : {false, true}) {
    if (reopened) store.Reopen();
    const ViewPtr view = store->Read();
    EXPECT_EQ(view->revision(), revision);
    EXPECT_THAT(Found(*view), ElementsAre("1 a true 2 7000", "2 a false 4 7000"));
    EXPECT_EQ(view->FindChangeSet("organizations/o2/changesets/3"), nullptr);
    EXPECT_EQ(view->FindChangeSet("organizations/o2/changesets/4")->body, "four");
  }
}

TEST(OverlayRows, OutliveARestartAndAreTheSameAsLongAsNobodyWritesThem) {
  TempStore store;
  const auto put = [&](const std::string& fqn, const std::string& body) {
    return store->Write([&](Txn& txn) { return txn.PutOverlay({fqn, body}); });
  };
  ASSERT_TRUE(put("organizations/o/changesets/1", std::string("\0\1", 2)).ok());
  ASSERT_TRUE(put("organizations/o/changesets/2", "two").ok());
  const OverlayPtr first = store->Read()->FindOverlay("organizations/o/changesets/1");
  ASSERT_TRUE(put("organizations/o/changesets/2", "more").ok());
  ASSERT_TRUE(put("organizations/o/changesets/3", "three").ok());
  ASSERT_TRUE(store->Write([&](Txn& txn) { return txn.DeleteOverlay("organizations/o/changesets/3"); }).ok());
  EXPECT_EQ(store->Read()->FindOverlay("organizations/o/changesets/1"), first);
  for (const bool reopened : {false, true}) {
    if (reopened) store.Reopen();
    const std::vector<OverlayPtr> all = store->Read()->Overlays();
    ASSERT_EQ(all.size(), 2u);
    EXPECT_EQ(all[0]->body, std::string("\0\1", 2));
    EXPECT_EQ(all[1]->body, "more");
  }
}

}  // namespace
}  // namespace weir::store
