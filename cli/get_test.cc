// What get and delete take beside a kind and a name.
#include "cli/jsonpath.h"
#include "cli/server_fixture.h"

namespace weir::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string Path(const std::string& path) {
  const auto root = document::ParseOne(
      R"({"metadata":{"name":"a","labels":{"x.y/z":"v"}},"spec":{"http":[{"port":80},{"port":81}]},"n":null,"b":true})");
  auto text = EvaluateJsonPath(*root, path);
  return text.ok() ? *text : text.error().reason;
}

TEST(JsonPath, ReadsWhatPeopleType) {
  EXPECT_EQ(Path("{.metadata.name}"), "a");
  EXPECT_EQ(Path("{$.metadata.name}"), "a");
  EXPECT_EQ(Path("{.metadata.labels['x.y/z']}"), "v");
  EXPECT_EQ(Path("{.spec.http[1].port}"), "81");
  EXPECT_EQ(Path("{.spec.http[*].port}"), "80 81");
  EXPECT_EQ(Path("{.spec.http[0]}"), R"({"port":80})");
  EXPECT_EQ(Path(R"(name={.metadata.name}{"\t"}{.b}{"\n"})"), "name=a\ttrue\n");
  EXPECT_EQ(Path("{.missing.deep}{.spec.http[7]}"), "");
  EXPECT_EQ(Path("plain"), "plain");
  for (const char* wrong : {"{.metadata", "{metadata}", "{.spec.http[}", "{.spec.http[?(@.port)]}", "{range .items}",
                            "{..name}", "{.spec.http[x]}"}) {
    EXPECT_EQ(Path(wrong), "USAGE") << wrong;
  }
}

class GetAndDelete : public CommandLine {
 protected:
  void SetUp() override {
    CommandLine::SetUp();
    std::string documents;
    for (const char* name : {"n1", "n2", "n3"}) {
      documents += fmt::format(
          "---\napiVersion: api.weir.dev/v2\nkind: Cluster\nmetadata: {{organization: acme, name: {}, labels: {{team: "
          "{}}}}}\nspec: {{locality: {{region: {}}}}}\n",
          name, name[1] == '3' ? "b" : "a", name[1] == '1' ? "us" : "eu");
    }
    ASSERT_EQ(Apply(documents), kExitOk) << error_;
  }
};

TEST_F(GetAndDelete, ListsAreNarrowedAndOrdered) {
  ASSERT_EQ(Run({"get", "clusters", "-l", "team=a", "-o", "name"}), kExitOk) << error_;
  EXPECT_EQ(output_, "organizations/acme/clusters/n1\norganizations/acme/clusters/n2\n");
  ASSERT_EQ(Run({"get", "clusters", "-l", "team,team!=a", "-o", "name"}), kExitOk) << error_;
  EXPECT_EQ(output_, "organizations/acme/clusters/n3\n");
  ASSERT_EQ(Run({"get", "clusters", "-l", "team", "--filter", "spec.locality.region = eu OR metadata.name = n1",
                 "--sort-by", "spec.locality.region desc, metadata.name", "-o", "jsonpath={.items[*].metadata.name}"}),
            kExitOk)
      << error_;
  EXPECT_EQ(output_, "n1 n2 n3\n");
  ASSERT_EQ(Run({"get", "clusters", "-l", "!team", "-o", "name"}), kExitOk) << error_;
  EXPECT_THAT(output_, Not(HasSubstr("/n1")));
  EXPECT_EQ(Run({"get", "clusters", "-l", "=a"}), kExitUsage);
  EXPECT_EQ(Run({"get", "clusters", "n1", "-l", "team=a"}), kExitUsage);
  EXPECT_EQ(Run({"get", "clusters", "--filter", "nonsense"}), kExitRefused);
  EXPECT_THAT(error_, HasSubstr("filter"));
  EXPECT_EQ(Run({"get", "clusters", "-o", "jsonpath={range .items}"}), kExitUsage);
}

TEST_F(GetAndDelete, SeveralNamesAreTakenInTheirOrder) {
  ASSERT_EQ(Run({"get", "cluster", "n3", "n1", "-o", "name"}), kExitOk) << error_;
  EXPECT_EQ(output_, "organizations/acme/clusters/n3\norganizations/acme/clusters/n1\n");
  ASSERT_EQ(Run({"get", "cluster", "n3", "-o", "wide"}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("team=b"));
  EXPECT_EQ(Run({"get", "cluster", "n1", "none"}), kExitRefused);
}

TEST_F(GetAndDelete, DeletesSeveralAndFilesAndOnlyTries) {
  ASSERT_EQ(Run({"delete", "cluster", "n1", "n2", "--dry-run"}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("clusters/n2 deleted (dry run)"));
  ASSERT_EQ(Run({"get", "cluster", "n1", "n2", "-o", "name"}), kExitOk) << error_;
  ASSERT_EQ(Run({"delete", "cluster", "n1", "n2"}), kExitOk) << error_;
  EXPECT_EQ(Run({"get", "cluster", "n1"}), kExitRefused);

  const std::string tree =
      "apiVersion: api.weir.dev/v2\nkind: Tenant\nmetadata: {organization: acme, name: t9}\n---\n"
      "apiVersion: api.weir.dev/v2\nkind: TenantSetting\nmetadata: {organization: acme, tenant: t9, name: s}\n";
  ASSERT_EQ(Apply(tree), kExitOk) << error_;
  ASSERT_EQ(Run({"delete", "-f", folder_ + "/document.yaml"}), kExitOk) << error_;
  EXPECT_EQ(Run({"get", "tenant", "t9"}), kExitRefused);
  EXPECT_EQ(Run({"delete", "cluster"}), kExitUsage);
  EXPECT_EQ(Run({"delete"}), kExitUsage);
}

}  // namespace
}  // namespace weir::cli
