// A policy that refuses a change: nothing of it is there, whatever the caller does then.
#include <gtest/gtest.h>

#include "mgmt-server/store/temp_store.h"
#include "tests/conformance/shelf_policy.h"

namespace weir::store {
namespace {

TEST(PolicyRefusal, IsTheAnswerOfTheWrite) {
  TempStore store(ShelfPolicy::Get());
  const auto refused = store->Write([](Txn& txn) { return txn.Put({"Tenant", "a", "refused", {}, {}}); });
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().reason, "POLICY_REFUSES");
  EXPECT_EQ(store->Read()->resource_count(), 0u);
  EXPECT_EQ(store->Read()->graph().node_count(), 1u);
}

// The policy had made the node before it refused.
TEST(PolicyRefusal, LeavesNothingHalfBesideWhatTheCallerGoesOnWith) {
  TempStore store(ShelfPolicy::Get());
  ASSERT_TRUE(store
                  ->Write([&](Txn& txn) -> Status {
                    EXPECT_FALSE(txn.Put({"Tenant", "b", "refused", {}, {}}).ok());
                    WEIR_TRY(txn.Put({"Tenant", "c", "1", {}, {}}));
                    return {};
                  })
                  .ok());
  const ViewPtr view = store->Read();
  EXPECT_EQ(view->resource_count(), 1u);
  EXPECT_EQ(view->graph().node_count(), 2u);
  EXPECT_NE(view->graph().Find("c"), ngac::kNoNode);
  EXPECT_EQ(store->History("b")->size(), 0u);
}

}  // namespace
}  // namespace weir::store
