#include "mgmt-server/plan/preview.h"

#include "mgmt-server/compile/test_world.h"

namespace weir::plan {
namespace {

using compile::World;
using ::testing::HasSubstr;

Question Weights(const World& before) {
  Question question{.before = before,
                    .after = before,
                    .change = {},
                    .intents = {},
                    .traffic = {},
                    .documents = {},
                    .may_read = {},
                    .go_on = {},
                    .in_time = {}};
  const std::string fqn = compile::kGroup + "/tier1gateways/a";
  question.after.Put(fqn,
                     compile::Tier1("x.test", "clusters { name: 'c1' weight: 1 } clusters { name: 'c2' weight: 9 }"));
  question.change.fqns.insert(fqn);
  question.documents = {fqn};
  question.may_read = [](const std::string&) { return true; };
  question.go_on = [] { return Status(); };
  question.in_time = [] { return true; };
  return question;
}

TEST(Preview, GatewaysThatDifferInTheirAddressesAreToldOnce) {
  World world = compile::Demo();
  for (const char* name : {"gw-a", "gw-b"}) {  // One service account.
    auto workload = compile::Workload("t1", name, "gw1", name == std::string("gw-a") ? "127.0.1.10" : "127.0.1.11");
    workload.set_service_account("one");
    world.PutWorkload(compile::ClusterName("edge"), workload);
  }
  const auto preview = PreviewOf(Weights(world));
  ASSERT_TRUE(preview.ok());
  ASSERT_EQ(preview->seen.clusters_size(), 1);
  ASSERT_EQ(preview->seen.clusters(0).gateways_size(), 1);
  EXPECT_EQ(preview->seen.clusters(0).gateways(0).workloads_size(), 2);
  EXPECT_THAT(preview->seen.ShortDebugString(), HasSubstr("ClusterLoadAssignment"));
}

TEST(Preview, ClustersForWhichNoTimeIsLeftSaySo) {
  Question question = Weights(compile::Demo());
  question.in_time = [] { return false; };
  const auto preview = PreviewOf(question);
  ASSERT_TRUE(preview.ok());
  EXPECT_EQ(preview->seen.clusters(0).changed(), 1);
  EXPECT_TRUE(preview->seen.clusters(0).gateways().empty());
  EXPECT_THAT(preview->seen.clusters(0).not_translated(), HasSubstr("no time left"));
  question.go_on = [] { return Status(Cancelled("CALLER_GONE", "left")); };
  EXPECT_EQ(PreviewOf(question).error().reason, "CALLER_GONE");
}

TEST(Preview, TheDigestFollowsWhatIsSeenAndNothingElse) {
  Question question = Weights(compile::Demo());
  const std::string whole = PreviewOf(question)->digest;
  EXPECT_EQ(PreviewOf(Weights(compile::Demo()))->digest, whole);
  question.may_read = [](const std::string&) { return false; };
  const auto blind = PreviewOf(question);
  EXPECT_TRUE(blind->seen.clusters().empty());
  EXPECT_NE(blind->digest, whole);
  question.change = {};
  question.after = question.before;
  EXPECT_EQ(PreviewOf(question)->digest, blind->digest);
}

}  // namespace
}  // namespace weir::plan
