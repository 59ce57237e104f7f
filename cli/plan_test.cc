#include "cli/server_fixture.h"

namespace weir::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kFqn[] = "organizations/acme/tenants/t/workspaces/w/gatewaygroups/g/tier1gateways/shop";

class PlanCommandLine : public CommandLine {
 protected:
  std::string Weights(int c1, int c2) const {
    std::string document(kDocuments);
    document = document.substr(document.rfind("---\n") + 4);
    const std::string from = "[{name: c1, weight: 75}, {name: c2, weight: 25}]";
    document.replace(document.find(from), from.size(),
                     fmt::format("[{{name: c1, weight: {}}}, {{name: c2, weight: {}}}]", c1, c2));
    return document;
  }
  int On(const std::string& verb, const std::string& document, std::vector<std::string> arguments = {}) {
    EXPECT_TRUE(WriteFileAtomic(folder_ + "/document.yaml", document).ok());
    arguments.insert(arguments.begin(), {verb, "-f", folder_ + "/document.yaml"});
    return Run(arguments);
  }
  // Of what is stored by the server's start.
  std::vector<std::string> Taken(std::vector<std::string> arguments = {}) const {
    arguments.emplace_back("--force");
    return arguments;
  }
};

TEST_F(PlanCommandLine, SaysWhatChangesAndAppliesThatAndNothingElse) {
  ASSERT_NO_FATAL_FAILURE(StartAgent());
  agent_->Acknowledge();
  ASSERT_EQ(On("apply", Weights(75, 25), Taken()), kExitOk) << error_;
  EXPECT_EQ(On("plan", Weights(75, 25)), kExitOk) << error_;
  EXPECT_EQ(output_.rfind("nothing would change\n"), output_.size() - 21) << output_;

  ASSERT_EQ(On("plan", Weights(10, 90)), kExitChanges) << error_;
  EXPECT_THAT(output_,
              AllOf(HasSubstr(std::string("~ ") + kFqn), HasSubstr("- spec.externalServers[s].clusters[c1].weight: 75"),
                    HasSubstr("+ spec.externalServers[s].clusters[c1].weight: 10"),
                    HasSubstr("cluster edge: 0 added, 1 changed, 0 removed of intent"),
                    HasSubstr("gateway n/gw1, n/gw2"), HasSubstr("HOST_UNANSWERED"), Not(HasSubstr("\x1b"))));
  const std::string name = output_.substr(output_.rfind("plan ") + 5);
  const std::string plan = name.substr(0, name.find('\n'));
  EXPECT_EQ(On("apply", Weights(11, 89), {"--plan", plan}), kExitRefused);
  EXPECT_THAT(error_, HasSubstr("PLAN_STALE"));
  EXPECT_EQ(On("apply", Weights(10, 90), {"--plan", plan, "--dry-run"}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("updated (dry run)"));
  EXPECT_EQ(On("apply", Weights(10, 90), {"--plan", plan}), kExitOk) << error_;
  EXPECT_EQ(On("apply", Weights(10, 90), {"--plan", plan}), kExitRefused);
  EXPECT_THAT(error_, HasSubstr("plan is stale"));

  ASSERT_EQ(On("plan", Weights(20, 80), {"-o", "json"}), kExitChanges) << error_;
  EXPECT_THAT(output_, HasSubstr("\"plannedRevision\""));
  EXPECT_EQ(Run({"plan", "--delete", kFqn}), kExitChanges) << error_;
  EXPECT_THAT(output_, HasSubstr(std::string("- ") + kFqn));
  EXPECT_EQ(Run({"plan"}), kExitUsage);
}

TEST_F(PlanCommandLine, DiffHasTheExitCodesOfKubectl) {
  ASSERT_EQ(On("apply", Weights(75, 25), Taken()), kExitOk) << error_;
  EXPECT_EQ(On("diff", Weights(75, 25)), 0);
  EXPECT_EQ(On("diff", Weights(10, 90)), 1);
  EXPECT_THAT(output_, AllOf(HasSubstr("clusters[c1].weight: 10"), Not(HasSubstr("cluster edge"))));
  EXPECT_GT(On("diff", "kind: Nonsense\n"), 1);
  EXPECT_EQ(On("plan", "kind: Nonsense\n"), kExitRefused);
  EXPECT_THAT(error_, HasSubstr("document.yaml:1"));
  EXPECT_EQ(On("apply", Weights(10, 90), {"--dry-run"}), kExitOk);
  EXPECT_EQ(On("diff", Weights(10, 90)), 1);
  EXPECT_EQ(On("apply", Weights(10, 90), {"--dry-run", "--wait"}), kExitUsage);
  EXPECT_EQ(On("plan", Weights(1, 2), {"--manager", "other"}), kExitRefused);
  EXPECT_THAT(output_, HasSubstr("! "));
}

}  // namespace
}  // namespace weir::cli
