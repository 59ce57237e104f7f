#include <map>

#include "libs/resource/kinds.h"
#include "mgmt-server/http/rest_fixture.h"

// Names, lists and who changed what, through the REST door.
namespace weir::edge {
namespace {

using ::testing::AllOf;

class RestNames : public RestApi {
 protected:
  void Make(const std::string& parent, const std::string& collection, const std::string& name,
            const std::string& spec = "{}") {
    const Answer made =
        Post("/v2/" + parent + "/" + collection, R"({"metadata":{"name":")" + name + R"("},"spec":)" + spec + "}");
    ASSERT_EQ(made.status, 200) << made.text;
  }
  // A tenant with a workspace and a group of the same name.
  std::string MakeBranch(const std::string& name) {
    const std::string tenant = "organizations/demo-org/tenants/" + name;
    Make("organizations/demo-org", "tenants", name);
    Make(tenant, "workspaces", name, R"({"namespaceSelector":{"names":["*/)" + name + R"("]}})");
    Make(tenant + "/workspaces/" + name, "gatewaygroups", name);
    return tenant + "/workspaces/" + name + "/gatewaygroups/" + name;
  }
  static std::string Gateway(const std::string& host, const std::string& name_space) {
    return R"({"workloadSelector":{"namespace":")" + name_space +
           R"(","labels":{"app":"a"}},"http":[{"name":"h","port":80,)" + R"("hostname":")" + host +
           R"(","routing":{"rules":[{"directResponse":{"status":204}}]}}]})";
  }
  static std::string Tier1(const std::string& host, const std::string& name_space) {
    return R"({"workloadSelector":{"namespace":")" + name_space +
           R"(","labels":{"app":"b"}},"externalServers":[{"name":"h","port":80,"hostname":")" + host +
           R"(","clusters":[{"name":"c1"}]}]})";
  }
  size_t Count(const std::string& target, const std::string& token = "") {
    const Answer answer = Send("GET", target, "", token.empty() ? admin_ : token);
    EXPECT_EQ(answer.status, 200) << target << answer.text;
    const auto* items = answer.body.Find("items");
    return items == nullptr ? 0 : items->items.size();
  }
};

TEST_F(RestNames, EveryKindMayHaveEveryWordOfThePathsAsItsName) {
  const std::string group = MakeBranch("base");
  Make("organizations/demo-org", "clusters", "c1");
  const std::string workspace = resource::ParentFqn(group);
  const std::string tenant = resource::ParentFqn(workspace);
  std::vector<std::string> words = {"status", "statuses", "traffic", "health", "metadata", "organization"};
  for (const resource::KindInfo& kind : resource::Kinds()) words.emplace_back(kind.collection);
  int namespaces = 0;
  for (const std::string& word : words) {
    const std::string fresh = "n" + std::to_string(namespaces++);
    struct Case {
      resource::Kind kind;
      std::string parent, spec;
    };
    const std::vector<Case> cases = {
        {resource::Kind::kOrganization, "", "{}"},
        {resource::Kind::kTenant, "organizations/demo-org", "{}"},
        {resource::Kind::kCluster, "organizations/demo-org", "{}"},
        {resource::Kind::kUser, "organizations/demo-org", "{}"},
        {resource::Kind::kOrganizationSetting, "organizations/demo-org", "{}"},
        {resource::Kind::kWorkspace, tenant, R"({"namespaceSelector":{"names":["*/)" + fresh + R"("]}})"},
        {resource::Kind::kGatewayGroup, workspace, "{}"},
        {resource::Kind::kTier1Gateway, group, Tier1(fresh + "-1.example.com", "base")},
        {resource::Kind::kGateway, group, Gateway(fresh + ".example.com", "base")},
    };
    for (const Case& each : cases) {
      const std::string collection(resource::Info(each.kind).collection);
      const std::string path = "/v2/" + resource::ChildFqn(each.parent, each.kind, word);
      const Answer made = Post("/v2/" + (each.parent.empty() ? "" : each.parent + "/") + collection,
                               R"({"metadata":{"name":")" + word + R"("},"spec":)" + each.spec + "}");
      ASSERT_EQ(made.status, 200) << path << made.text;
      const Answer got = Get(path);
      EXPECT_EQ(got.text, made.text) << path;
      EXPECT_EQ(Get(path + "/accessbindings").status, 200) << path;
      EXPECT_EQ(Send("PUT", path, R"({"metadata":{"description":"d"},"spec":)" + each.spec + "}", admin_,
                     {{"If-Match", got.etag}})
                    .status,
                200)
          << path;
      EXPECT_EQ(Count("/v2/" + (each.parent.empty() ? "" : each.parent + "/") + collection + "?name=" + word), 1u)
          << path;
      EXPECT_EQ(Send("DELETE", path, "", admin_).status, 200) << path;
      EXPECT_EQ(Get(path).status, 404) << path;
    }
  }
}

TEST_F(RestNames, ListsAcrossParentsInOneCall) {
  for (const char* name : {"a", "b", "c"}) {
    const std::string group = MakeBranch(name);
    Make(group, "gateways", "shop", Gateway("shop." + std::string(name) + ".example.com", name));
    Make(group, "gateways", name, Gateway(std::string(name) + ".example.com", name));
  }
  const std::string all = "/v2/organizations/demo-org/tenants/-/workspaces/-/gatewaygroups/-/gateways";
  EXPECT_EQ(Count(all), 6u);
  EXPECT_EQ(Count(all + "?name=shop"), 3u);
  EXPECT_EQ(Count(all + "?name=b"), 1u);
  EXPECT_EQ(Count(all + "?name=none"), 0u);
  EXPECT_EQ(Count("/v2/organizations/-/tenants/-/workspaces/b/gatewaygroups/-/gateways"), 2u);
  EXPECT_EQ(Count("/v2/organizations/demo-org/tenants/a/workspaces/-/gatewaygroups/-/gateways"), 2u);
  EXPECT_EQ(Count("/v2/organizations/demo-org/tenants/-/workspaces"), 3u);
  EXPECT_EQ(Get("/v2/organizations/demo-org/tenants/none/workspaces/-/gatewaygroups/-/gateways").status, 404);
  EXPECT_EQ(Get(all + "?name=Not%20a%20name").status, 400);
  EXPECT_EQ(Get("/v2/organizations/demo-org/tenants/-").status, 400) << "only a list may ask for any";

  // Page by page, with what a page shows in the order of names.
  std::string token;
  std::vector<std::string> seen;
  do {
    const Answer page = Get(all + "?pageSize=4" + (token.empty() ? "" : "&pageToken=" + token));
    ASSERT_EQ(page.status, 200) << page.text;
    for (const auto& item : page.body.Find("items")->items) seen.push_back(item.Find("metadata")->Find("fqn")->text);
    token = page.Text({"nextPageToken"});
  } while (!token.empty());
  EXPECT_EQ(seen.size(), 6u);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
}

TEST_F(RestNames, APageTokenBelongsToItsQuestion) {
  for (int i = 0; i < 5; ++i) Make("organizations/demo-org", "tenants", "t" + std::to_string(i));
  const std::string list = "/v2/organizations/demo-org/tenants?pageSize=2";
  const std::string token = Get(list).Text({"nextPageToken"});
  ASSERT_FALSE(token.empty());
  EXPECT_EQ(Get(list + "&pageToken=" + token).status, 200);
  EXPECT_EQ(Get("/v2/organizations/demo-org/tenants?pageSize=3&pageToken=" + token).status, 200);
  std::string forged = token;
  forged.back() = forged.back() == '0' ? '1' : '0';
  for (const std::string& wrong : {forged, token.substr(0, token.size() - 2), token.substr(2), std::string("00"),
                                   std::string("organizations/demo-org/tenants/t1"), token + "00", "zz" + token}) {
    const Answer answer = Get(list + "&pageToken=" + wrong);
    EXPECT_EQ(answer.status, 400) << wrong;
    EXPECT_EQ(answer.reason(), "BAD_PAGE_TOKEN");
  }
  EXPECT_EQ(Get("/v2/organizations/demo-org/users?pageToken=" + token).reason(), "BAD_PAGE_TOKEN");
  EXPECT_EQ(Get("/v2/organizations/-/tenants?pageToken=" + token).reason(), "BAD_PAGE_TOKEN");
  EXPECT_EQ(Get(list + "&name=t1&pageToken=" + token).reason(), "BAD_PAGE_TOKEN");
  const std::string eve = NewUser("eve");
  EXPECT_EQ(Send("GET", list + "&pageToken=" + token, "", eve).reason(), "BAD_PAGE_TOKEN");
}

TEST_F(RestNames, APageTokenSaysNothingOfWhatCannotBeRead) {
  for (const char* name : {"a", "b", "secret", "topsecret", "z"}) Make("organizations/demo-org", "tenants", name);
  const std::string eve = NewUser("eve");
  const auto grant = [&](const std::string& tenant) {
    ASSERT_EQ(Post("/v2/organizations/demo-org/tenants/" + tenant + "/accessbindings:grant",
                   R"({"role":"reader","subject":{"user":"organizations/demo-org/users/eve"}})")
                  .status,
              200);
  };
  grant("a");
  const std::string list = "/v2/organizations/demo-org/tenants?pageSize=1";
  // The readable one first: nothing says that others follow.
  EXPECT_EQ(Send("GET", list, "", eve).Text({"nextPageToken"}), "");
  grant("z");
  const Answer first = Send("GET", list, "", eve);
  const std::string token = first.Text({"nextPageToken"});
  ASSERT_FALSE(token.empty());
  EXPECT_THAT(token, Not(HasSubstr(ToHex("secret"))));
  EXPECT_THAT(token, HasSubstr(ToHex("tenants/a"))) << "the last that was shown, not the next in the store";
  const Answer second = Send("GET", list + "&pageToken=" + token, "", eve);
  EXPECT_THAT(second.text, AllOf(HasSubstr("tenants/z"), Not(HasSubstr("nextPageToken")), Not(HasSubstr("secret"))));
}

TEST_F(RestNames, WhoHasARoleBelowSeesThatPartOfTheWhole) {
  MakeBranch("mine");
  MakeBranch("theirs");
  const std::string ann = NewUser("ann");
  const std::string eve = NewUser("eve");
  ASSERT_EQ(Post("/v2/organizations/demo-org/tenants/mine/accessbindings:grant",
                 R"({"role":"admin","subject":{"user":"organizations/demo-org/users/ann"}})")
                .status,
            200);
  fleet_.statuses = [&](const std::string& parent) -> Result<std::vector<v2::ResourceStatus>> {
    std::vector<v2::ResourceStatus> all;
    store_->Read()->ForEach(parent, "", [&](const store::ResourcePtr& resource) {
      all.emplace_back().set_fqn(resource->fqn);
      return true;
    });
    return all;
  };
  const std::string root = "/v2/organizations/demo-org";
  const Answer statuses = Send("GET", root + "/statuses", "", ann);
  EXPECT_EQ(statuses.status, 200) << statuses.text;
  EXPECT_THAT(statuses.text, AllOf(HasSubstr("tenants/mine/workspaces/mine"), Not(HasSubstr("theirs"))));
  EXPECT_EQ(Count(root + "/clusters", ann), 0u);
  EXPECT_EQ(Count(root + "/traffic", ann), 0u);
  EXPECT_EQ(Count(root + "/tenants/-/workspaces", ann), 1u);
  EXPECT_EQ(Send("GET", root + "/tenants/theirs/workspaces", "", ann).status, 404);
  for (const char* path : {"/statuses", "/clusters", "/traffic", "/tenants/-/workspaces"}) {
    EXPECT_EQ(Send("GET", root + path, "", eve).status, 404) << "a stranger is told nothing: " << path;
    EXPECT_EQ(Send("GET", "/v2/organizations/absent" + std::string(path), "", ann).status, 404) << path;
  }
}

TEST_F(RestNames, APutTakesOverTheFieldsThatItChanges) {
  ASSERT_EQ(Apply(R"({apiVersion: api.weir.dev/v2, kind: Tenant,
    metadata: {name: t, organization: demo-org, displayName: one, description: first}})",
                  "ci")
                .status,
            200);
  const std::string fqn = "organizations/demo-org/tenants/t";
  const auto owner = [&](const std::string& field) { return store_->Read()->Get(fqn)->field_owners.at(field); };
  EXPECT_EQ(owner("metadata.displayName"), "ci of organizations/demo-org/users/admin");
  ASSERT_EQ(Send("PUT", "/v2/" + fqn, R"({"metadata":{"displayName":"two","description":"first"}})", admin_,
                 {{"If-Match", Get("/v2/" + fqn).etag}})
                .status,
            200);
  EXPECT_EQ(owner("metadata.displayName"), "api of organizations/demo-org/users/admin");
  EXPECT_EQ(owner("metadata.description"), "ci of organizations/demo-org/users/admin") << "it was not changed";
  // So the document that set it first meets a conflict instead of undoing it unseen.
  const Answer conflict = Apply(R"({apiVersion: api.weir.dev/v2, kind: Tenant,
    metadata: {name: t, organization: demo-org, displayName: one, description: first}})",
                                "ci");
  EXPECT_EQ(conflict.reason(), "FIELD_CONFLICT");
  EXPECT_THAT(conflict.text, AllOf(HasSubstr("metadata.displayName"), Not(HasSubstr("metadata.description"))));
}

TEST_F(RestNames, TwoPeopleWithOneToolDoNotOverwriteEachOtherUnasked) {
  const std::string ann = NewUser("ann");
  ASSERT_EQ(Post("/v2/organizations/demo-org/accessbindings:grant",
                 R"({"role":"editor","subject":{"user":"organizations/demo-org/users/ann"}})")
                .status,
            200);
  const auto document = [](const std::string& text, const std::string& version = "") {
    return "{apiVersion: api.weir.dev/v2, kind: Tenant, metadata: {name: t, organization: demo-org, description: " +
           text + (version.empty() ? "" : ", resourceVersion: \"" + version + "\"") + "}}";
  };
  ASSERT_EQ(Apply(document("mine")).status, 200);
  const std::string version = Get("/v2/organizations/demo-org/tenants/t").Text({"metadata", "resourceVersion"});
  const Answer conflict = Apply(document("hers"), "", false, ann);
  EXPECT_EQ(conflict.status, 409);
  EXPECT_THAT(conflict.text, HasSubstr("weir of organizations/demo-org/users/admin"));
  EXPECT_EQ(Apply(document("hers", version), "", false, ann).status, 200);
  const Answer stale = Apply(document("mine again", version));
  EXPECT_EQ(stale.reason(), "ETAG_MISMATCH") << stale.text;
  ASSERT_EQ(Send("DELETE", "/v2/organizations/demo-org/tenants/t", "", admin_).status, 200);
  EXPECT_THAT(Apply(document("back", version)).text, HasSubstr("take metadata.resourceVersion out"));
  EXPECT_EQ(Apply(document("back")).status, 200);
}

}  // namespace
}  // namespace weir::edge
