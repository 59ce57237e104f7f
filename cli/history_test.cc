#include "cli/history.h"

#include "cli/server_fixture.h"

namespace weir::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Moment, IsARevisionATimeOrSoLongAgo) {
  const int64_t now = 1'800'000'000;
  EXPECT_EQ(ParseMoment("to", "417", now)->revision, 417);
  EXPECT_FALSE(ParseMoment("to", "417", now)->seconds.has_value());
  const std::pair<const char*, int64_t> times[] = {{"90s", now - 90},
                                                   {"30m", now - 1800},
                                                   {"2h", now - 7200},
                                                   {"3d", now - 3 * 86400},
                                                   {"2026-11-29T10:00:00Z", 1'795'946'400},
                                                   {"2026-11-29T11:00:00+01:00", 1'795'946'400}};
  for (const auto& [text, seconds] : times) {
    const auto moment = ParseMoment("to", text, now);
    ASSERT_TRUE(moment.ok()) << text;
    EXPECT_EQ(moment->seconds.value_or(0), seconds) << text;
  }
  for (const char* text : {"", "h", "-3", "yesterday", "3w", "1.5h", "99999999999999999999", "12345678h"}) {
    EXPECT_FALSE(ParseMoment("to", text, now).ok()) << text;
  }
}

class HistoryCommands : public CommandLine {
 protected:
  // What stands first in the newest line of `weir history`.
  std::string Newest() {
    EXPECT_EQ(Run({"history", "--limit", "1"}), kExitOk) << error_;
    const size_t line = output_.find('\n') + 1;
    return output_.substr(line, output_.find(' ', line) - line);
  }
  std::string Changed(const std::string& from, const std::string& to) {
    std::string documents = kDocuments;
    documents.replace(documents.find(from), from.size(), to);
    return documents;
  }
};

TEST_F(HistoryCommands, TellWhatWasAndBringItBack) {
  const std::string before = Newest();
  ASSERT_EQ(Apply(Changed("weight: 75", "weight: 60")), kExitOk) << error_;
  ASSERT_EQ(Run({"history"}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("organizations/acme/users/admin"));
  EXPECT_THAT(output_, HasSubstr("tier1gateways/shop"));
  EXPECT_THAT(output_, Not(HasSubstr("tenants/t/accessbindings"))) << "they come with what they belong to";
  ASSERT_EQ(Run({"history", "tier1gateway", "shop"}), kExitOk) << error_;
  EXPECT_EQ(std::count(output_.begin(), output_.end(), '\n'), 3) << output_;
  ASSERT_EQ(Run({"history", "organizations/acme/tenants/t", "--below", "--limit", "1"}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("updated"));
  EXPECT_THAT(error_, HasSubstr("--limit shows more"));
  ASSERT_EQ(Run({"history", "show", "tier1gateway", "shop", "--as-of", before}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("weight: 75"));
  ASSERT_EQ(Run({"history", "diff", "tier1gateway", "shop", "--from", before}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("spec.externalServers: "));
  ASSERT_EQ(Run({"restore", "tier1gateway", "shop", "--to", before, "--dry-run"}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("nothing was changed"));
  ASSERT_EQ(Run({"restore", "tier1gateway", "shop", "--to", before, "-m", "as before"}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("shop updated"));
  ASSERT_EQ(Run({"get", "tier1gateway", "shop", "-o", "yaml"}), kExitOk);
  EXPECT_THAT(output_, HasSubstr("weight: 75"));
  ASSERT_EQ(Run({"history", "--limit", "1"}), kExitOk);
  EXPECT_THAT(output_, HasSubstr("as before"));
  ASSERT_EQ(Run({"restore", "tier1gateway", "shop", "--to", before}), kExitOk);
  EXPECT_THAT(output_, HasSubstr("nothing to do"));
}

TEST_F(HistoryCommands, ASubtreeComesBackAfterItWasDeleted) {
  const std::string before = Newest();
  ASSERT_EQ(Run({"delete", "organizations/acme/tenants/t", "--cascade"}), kExitOk) << error_;
  ASSERT_EQ(Run({"history", "organizations/acme/tenants/t"}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("deleted"));
  ASSERT_EQ(Run({"restore", "organizations/acme/tenants/t", "--subtree", "--to", before}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("tier1gateways/shop created"));
  ASSERT_EQ(Run({"get", "tier1gateway", "shop"}), kExitOk) << error_;
}

TEST_F(HistoryCommands, EverythingComesBackAsADryRunPlannedIt) {
  const std::string before = Newest();
  ASSERT_EQ(Apply(Changed("weight: 75", "weight: 60")), kExitOk) << error_;
  ASSERT_EQ(Run({"restore", "--everything", "--access", "--to", before, "--dry-run"}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("tier1gateways/shop updated"));
  const size_t at = output_.rfind("\nplan ") + 6;
  const std::string plan = output_.substr(at, output_.find('\n', at) - at);
  EXPECT_EQ(Run({"restore", "--everything", "--to", before, "--plan", plan}), kExitRefused);
  EXPECT_THAT(error_, HasSubstr("PLAN_STALE")) << "it was planned with --access";
  ASSERT_EQ(Run({"restore", "--everything", "--access", "--to", before, "--plan", plan}), kExitOk) << error_;
  ASSERT_EQ(Run({"get", "tier1gateway", "shop", "-o", "yaml"}), kExitOk);
  EXPECT_THAT(output_, HasSubstr("weight: 75"));
}

TEST_F(HistoryCommands, AuditSaysWhoDidWhat) {
  ASSERT_EQ(Run({"audit", "tenant", "t"}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("create"));
  ASSERT_EQ(Run({"audit", "--user", "admin", "--action", "login", "-o", "json"}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("\"action\": \"login\""));
  ASSERT_EQ(Run({"audit", "--action", "nothing-like-it"}), kExitOk);
}

TEST_F(HistoryCommands, SayWhatTheyWant) {
  EXPECT_EQ(Run({"restore", "tier1gateway", "shop"}), kExitUsage);
  EXPECT_EQ(Run({"restore", "--to", "1"}), kExitUsage);
  EXPECT_EQ(Run({"restore", "tier1gateway", "shop", "--everything", "--to", "1"}), kExitUsage);
  EXPECT_EQ(Run({"history", "diff", "tier1gateway", "shop"}), kExitUsage);
  EXPECT_EQ(Run({"history", "show"}), kExitUsage);
  EXPECT_EQ(Run({"history", "--limit", "0"}), kExitUsage);
  EXPECT_EQ(Run({"restore", "tier1gateway", "shop", "--to", "yesterday"}), kExitUsage);
  EXPECT_EQ(Run({"history", "show", "tier1gateway", "shop", "--as-of", "99999"}), kExitRefused);
  EXPECT_THAT(error_, HasSubstr("REVISION_UNKNOWN"));
}

}  // namespace
}  // namespace weir::cli
