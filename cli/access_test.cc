// Users, teams, roles, bindings and service accounts as they are typed.
#include <sys/stat.h>

#include "cli/server_fixture.h"

namespace weir::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class Access : public CommandLine {
 protected:
  std::string KeyFile() const { return folder_ + "/gitops.key"; }
  void MakeAccount() {
    ASSERT_EQ(Run({"sa", "create", "gitops"}), kExitOk) << error_;
    ASSERT_EQ(Run({"sa", "keys", "add", "gitops", "--id", "one", "--out", KeyFile()}), kExitOk) << error_;
  }
  // What a token may do, by its exit code.
  int As(const std::string& token, const std::vector<std::string>& arguments) {
    setenv("WEIR_TOKEN", token.c_str(), 1);
    const int code = Run(arguments);
    unsetenv("WEIR_TOKEN");
    return code;
  }
  std::string Token() {
    EXPECT_EQ(Run({"sa", "token", "--key", KeyFile()}), kExitOk) << error_;
    return output_.substr(0, output_.find('\n'));
  }
};

TEST_F(Access, BindingsAddAndTakeAwayOneSubject) {
  ASSERT_EQ(Run({"user", "create", "ann", "--email", "ann@example.com"}), kExitOk) << error_;
  ASSERT_EQ(Run({"team", "create", "checkout", "--user", "ann"}), kExitOk) << error_;
  ASSERT_EQ(Run({"sa", "create", "gitops"}), kExitOk) << error_;
  ASSERT_EQ(Run({"role", "create", "operator", "--rule", "read", "--rule", "write:cluster,Tenant"}), kExitOk) << error_;
  ASSERT_EQ(Run({"get", "role", "operator", "-o", "json"}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("\"Tenant\""));
  ASSERT_EQ(Run({"bind", "grant", "operator", "--on", "tenants/t", "--sa", "gitops"}), kExitOk) << error_;
  ASSERT_EQ(Run({"bind", "grant", "reader", "--on", "tenants/t", "--team", "checkout"}), kExitOk) << error_;
  ASSERT_EQ(Run({"bind", "grant", "editor", "--on", "organizations/acme/tenants/t", "--user", "ann"}), kExitOk)
      << error_;
  ASSERT_EQ(Run({"bind", "revoke", "rbac/editor", "--on", "tenants/t", "--user", "ann"}), kExitOk) << error_;
  ASSERT_EQ(Run({"bind", "list", "--on", "tenants/t"}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("rbac/operator   organizations/acme/serviceaccounts/gitops\n"));
  EXPECT_THAT(output_, HasSubstr("rbac/reader     organizations/acme/teams/checkout\n"));
  EXPECT_THAT(output_, Not(HasSubstr("rbac/editor")));
  EXPECT_EQ(Run({"bind", "grant", "reader", "--on", "tenants/t"}), kExitUsage);
  EXPECT_EQ(Run({"bind", "grant", "reader", "--on", "castles/t", "--user", "ann"}), kExitUsage);
  EXPECT_EQ(Run({"bind", "grant", "king", "--on", "tenants/t", "--user", "ann"}), kExitRefused);
  EXPECT_THAT(error_, HasSubstr("rbac/admin"));
  EXPECT_EQ(Run({"delete", "role", "operator"}), kExitRefused);
  EXPECT_THAT(error_, HasSubstr("bound on organizations/acme/tenants/t"));
}

TEST_F(Access, TeamsGainAndLoseMembers) {
  for (const char* name : {"ann", "bob"}) ASSERT_EQ(Run({"user", "create", name}), kExitOk) << error_;
  ASSERT_EQ(Run({"team", "create", "checkout", "--user", "ann"}), kExitOk) << error_;
  ASSERT_EQ(Run({"team", "add", "checkout", "--user", "bob", "--user", "ann"}), kExitOk) << error_;
  ASSERT_EQ(Run({"team", "remove", "checkout", "--user", "ann"}), kExitOk) << error_;
  ASSERT_EQ(Run({"get", "team", "checkout", "-o", "json"}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("users/bob"));
  EXPECT_THAT(output_, Not(HasSubstr("users/ann")));
  ASSERT_EQ(Run({"team", "remove", "checkout", "--user", "ann"}), kExitOk);
  EXPECT_THAT(output_, HasSubstr("so it was already"));
  EXPECT_EQ(Run({"team", "add", "checkout"}), kExitUsage);
}

TEST_F(Access, AServiceAccountSignsInWithItsKeyFile) {
  MakeAccount();
  struct stat info{};
  ASSERT_EQ(::stat(KeyFile().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_EQ(Run({"sa", "keys", "list", "gitops"}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("one   ES256"));
  EXPECT_EQ(Run({"sa", "keys", "add", "gitops", "--out", KeyFile()}), kExitUsage) << "it would be written over";
  ASSERT_EQ(Run({"bind", "grant", "reader", "--sa", "gitops"}), kExitOk) << error_;
  const std::string token = Token();
  EXPECT_EQ(As(token, {"get", "tenant", "t"}), kExitOk) << error_;
  ASSERT_EQ(Run({"sa", "keys", "remove", "gitops", "two"}), kExitRefused);
  ASSERT_EQ(Run({"sa", "keys", "add", "gitops", "--id", "two", "--rsa", "--out", folder_ + "/two.key"}), kExitOk)
      << error_;
  ASSERT_EQ(Run({"sa", "keys", "remove", "gitops", "one"}), kExitOk) << error_;
  EXPECT_NE(As(token, {"get", "tenant", "t"}), kExitOk);
  EXPECT_EQ(Run({"sa", "token", "--key", KeyFile()}), kExitRefused);
  ASSERT_EQ(Run({"login", "--service-account-key", folder_ + "/two.key"}), kExitOk) << error_;
  EXPECT_EQ(Run({"get", "tenant", "t"}), kExitOk) << error_;
  ASSERT_EQ(::chmod((folder_ + "/two.key").c_str(), 0644), 0);
  EXPECT_EQ(Run({"login", "--service-account-key", folder_ + "/two.key"}), kExitRefused);
  EXPECT_THAT(error_, HasSubstr("chmod 600"));
}

TEST_F(Access, EffectiveTellsWhoSetWhat) {
  ASSERT_EQ(Run({"effective", "tier1gateway", "shop"}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("failoverSettings of server s: PROPORTIONAL (the default: nobody sets it)\n"));
  ASSERT_EQ(Apply("apiVersion: api.weir.dev/v2\nkind: OrganizationSetting\nmetadata: {name: main, organization: acme}\n"
                  "spec: {failoverSettings: {mode: ORDERED}}\n"),
            kExitOk)
      << error_;
  ASSERT_EQ(
      Apply("apiVersion: api.weir.dev/v2\nkind: TenantSetting\nmetadata: {name: main, organization: acme, tenant: t}\n"
            "spec: {failoverSettings: {panic: true}}\n"),
      kExitOk)
      << error_;
  ASSERT_EQ(Run({"effective", "tier1gateway", "shop"}), kExitOk) << error_;
  EXPECT_THAT(output_,
              HasSubstr("of server s: {\"panic\":true}\n  set by organizations/acme/tenants/t/settings/main (rev"));
  EXPECT_THAT(output_, HasSubstr("in place of what organizations/acme/settings/main (rev"));
  ASSERT_EQ(Run({"effective", "organizations/acme/tenants/t", "-o", "json"}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("\"setBy\""));
}

}  // namespace
}  // namespace weir::cli
