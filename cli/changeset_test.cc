#include <filesystem>

#include "cli/server_fixture.h"

namespace weir::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kGateways[] = "organizations/acme/tenants/t/workspaces/w/gatewaygroups/g/tier1gateways/";

class ChangeSetCommandLine : public CommandLine {
 protected:
  static std::string Gateway(const std::string& name, const std::string& host) {
    std::string document(kDocuments);
    document = document.substr(document.rfind("---\n") + 4);
    document.replace(document.find("name: shop"), 10, "name: " + name);
    document.replace(document.find("shop.example.com"), 16, host);
    return document;
  }
  static std::string Group() {
    const std::string gateways = kGateways;
    return gateways.substr(0, gateways.find("/tier1gateways"));
  }
  void Write(const std::string& file, const std::string& text) {
    std::filesystem::create_directories(folder_ + "/dir");
    ASSERT_TRUE(WriteFileAtomic(folder_ + "/dir/" + file, text).ok());
  }
  std::string Word(const std::string& before) const {
    const size_t at = output_.rfind(before);
    if (at == std::string::npos) return "";
    const size_t begin = at + before.size();
    return output_.substr(begin, output_.find_first_of(" \n", begin) - begin);
  }
  std::string Name() const { return output_.substr(0, output_.find(' ')); }
};

TEST_F(ChangeSetCommandLine, IsCreatedPlannedCommittedAndShown) {
  Write("a.yaml", Gateway("a", "a.example.com"));
  ASSERT_EQ(Run({"changeset", "create", "-f", folder_ + "/dir"}), kExitUsage);
  EXPECT_THAT(error_, HasSubstr("-m MESSAGE"));
  ASSERT_EQ(Run({"changeset", "create", "-f", folder_ + "/dir", "--delete", std::string(kGateways) + "shop", "-m",
                 "shop becomes a"}),
            kExitOk)
      << error_;
  EXPECT_THAT(output_, AllOf(HasSubstr("APPROVED"), HasSubstr(std::string("+ ") + kGateways + "a"),
                             HasSubstr(std::string("- ") + kGateways + "shop"), HasSubstr("message shop becomes a")));
  const std::string name = Name(), plan = Word("plan ");
  ASSERT_EQ(Run({"changeset", "plan", name}), kExitOk) << error_;
  EXPECT_THAT(output_, AllOf(HasSubstr("NO_WORKLOAD"), HasSubstr("plan " + plan)));
  ASSERT_EQ(Run({"changeset", "list", "--open"}), kExitOk) << error_;
  EXPECT_THAT(output_, AllOf(HasSubstr(name), HasSubstr("shop becomes a")));
  EXPECT_EQ(Run({"changeset", "approve", name, "--plan", plan}), kExitRefused);
  EXPECT_THAT(error_, HasSubstr("APPROVES_OWN"));
  EXPECT_EQ(Run({"changeset", "approve", name}), kExitUsage);
  Write("a.yaml", Gateway("a", "b.example.com"));
  ASSERT_EQ(Run({"changeset", "update", name, "-f", folder_ + "/dir", "-m", "only a"}), kExitOk) << error_;
  EXPECT_THAT(output_, Not(HasSubstr(plan)));
  EXPECT_EQ(Run({"changeset", "commit", name, "--plan", plan}), kExitRefused);
  EXPECT_THAT(error_, HasSubstr("PLAN_STALE"));
  ASSERT_EQ(Run({"changeset", "commit", name, "--wait=1"}), kExitTimedOut) << error_;  // There is no gateway.
  EXPECT_THAT(output_, HasSubstr("COMMITTED, revision "));
  ASSERT_EQ(Run({"history"}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("only a"));
  ASSERT_EQ(Run({"changeset", "list", "--open"}), kExitOk) << error_;
  EXPECT_THAT(output_, Not(HasSubstr(name)));
  ASSERT_EQ(Run({"changeset", "get", name, "-o", "json"}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("\"COMMITTED\""));
  EXPECT_EQ(Run({"changeset", "abort", name}), kExitRefused);
  EXPECT_THAT(error_, HasSubstr("CHANGE_SET_STATE"));
  EXPECT_EQ(Run({"changeset", "get", "nil"}), kExitRefused);
}

TEST_F(ChangeSetCommandLine, AFaultIsNamedWithItsFile) {
  Write("a.yaml", Gateway("a", "no host"));
  EXPECT_EQ(Run({"changeset", "create", "-f", folder_ + "/dir", "-m", "m"}), kExitRefused);
  EXPECT_THAT(error_, HasSubstr("a.yaml:"));
}

TEST_F(ChangeSetCommandLine, PruneDeletesWhatTheFolderNamesNoLonger) {
  Write("a.yaml", Gateway("a", "a.example.com"));
  Write("b.yaml", Gateway("b", "b.example.com"));
  const std::string folder = folder_ + "/dir";
  ASSERT_EQ(Run({"apply", "-f", folder, "-m", "both"}), kExitOk) << error_;
  std::filesystem::remove(folder + "/b.yaml");
  ASSERT_EQ(Run({"plan", "-f", folder, "--prune"}), kExitChanges) << error_;
  // What the server began with was applied by the same manager.
  EXPECT_THAT(output_, AllOf(HasSubstr(std::string("- ") + kGateways + "b"),
                             HasSubstr(std::string("- ") + kGateways + "shop"), Not(HasSubstr("- " + Group() + "\n"))));
  const std::string plan = Word("\nplan ");
  ASSERT_EQ(Run({"apply", "-f", folder, "--prune", "--dry-run"}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr(std::string(kGateways) + "b deleted (dry run)"));
  ASSERT_EQ(Run({"apply", "-f", folder, "--prune", "--plan", plan, "-m", "b goes"}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr(std::string(kGateways) + "b deleted"));
  EXPECT_EQ(Run({"get", "tier1gateway", "b"}), kExitRefused);
  ASSERT_EQ(Run({"history"}), kExitOk);
  EXPECT_THAT(output_, AllOf(HasSubstr("b goes"), HasSubstr("both")));

  std::filesystem::remove(folder + "/a.yaml");
  EXPECT_EQ(Run({"apply", "-f", folder, "--prune", "--prune-scope", Group()}), kExitUsage);
  EXPECT_THAT(error_, HasSubstr("holds no .yaml"));
  EXPECT_EQ(Run({"apply", "-f", folder, "--prune-scope", "x"}), kExitUsage);
  EXPECT_EQ(Run({"apply", "-f", folder, "--prune", "--allow-empty", "--prune-scope", Group()}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr(std::string(kGateways) + "a deleted"));
}

}  // namespace
}  // namespace weir::cli
