// Roles by teams: who is in a team has what it has, and nobody gets more by one than he may give.
#include "mgmt-server/http/rest_fixture.h"

namespace weir::edge {
namespace {

const std::string kTeams = "/v2/organizations/demo-org/teams";
const std::string kOrg = "/v2/organizations/demo-org";

class Teams : public RestApi {
 protected:
  static std::string User(const std::string& name) { return "organizations/demo-org/users/" + name; }
  static std::string Team(const std::string& name) { return "organizations/demo-org/teams/" + name; }
  static std::string Document(const std::string& name, const std::vector<std::string>& members) {
    std::string text =
        "---\napiVersion: api.weir.dev/v2\nkind: Team\nmetadata: {organization: demo-org, name: " + name +
        "}\nspec:\n  members: [";
    for (size_t i = 0; i < members.size(); ++i) text += (i == 0 ? "" : ", ") + members[i];
    return text + "]\n";
  }
  // Makes or changes the team, all of it: "" or the reason why not.
  std::string Has(const std::string& name, const std::vector<std::string>& members, const std::string& given = "") {
    const std::string& token = given.empty() ? admin_ : given;
    std::string list;
    for (const std::string& member : members) list += fmt::format("{}\"{}\"", list.empty() ? "" : ",", member);
    const Answer there = Send("GET", kTeams + "/" + name, "", token);
    const Answer answer =
        there.status == 200
            ? Send("PUT", kTeams + "/" + name,
                   R"({"metadata":{"resourceVersion":")" + there.Text({"metadata", "resourceVersion"}) +
                       R"("},"spec":{"members":[)" + list + "]}}",
                   token)
            : Send("POST", kTeams, R"({"metadata":{"name":")" + name + R"("},"spec":{"members":[)" + list + "]}}",
                   token);
    return answer.status == 200 ? "" : answer.reason();
  }
  std::string Bind(const std::string& verb, const std::string& where, const std::string& role,
                   const std::string& team) {
    const Answer answer = Post(where + "/accessbindings:" + verb,
                               R"({"role":")" + role + R"(","subject":{"team":")" + Team(team) + "\"}}");
    return answer.status == 200 ? "" : answer.reason();
  }
  bool Reads(const std::string& token) { return Send("GET", kOrg + "/tenants/t", "", token).status == 200; }

  void SetUp() override {
    RestApi::SetUp();
    ASSERT_EQ(Post(kOrg + "/tenants", R"({"metadata":{"name":"t"}})").status, 200);
    ann_ = NewUser("ann");
  }
  std::string ann_;
};

TEST_F(Teams, GiveTheirRolesToTheirMembersAndToThoseOfTheTeamsInThem) {
  ASSERT_EQ(Has("outer", {}), "");
  ASSERT_EQ(Bind("grant", kOrg + "/tenants/t", "reader", "outer"), "");
  EXPECT_FALSE(Reads(ann_));
  ASSERT_EQ(Has("inner", {User("ann")}), "");
  EXPECT_FALSE(Reads(ann_));
  ASSERT_EQ(Has("outer", {Team("inner")}), "");
  EXPECT_TRUE(Reads(ann_));
  // Its lists show what a role of a team shows.
  EXPECT_THAT(Send("GET", kOrg + "/tenants", "", ann_).text, HasSubstr("tenants/t"));
  ASSERT_EQ(Has("inner", {}), "");
  EXPECT_FALSE(Reads(ann_));
  ASSERT_EQ(Has("inner", {User("ann")}), "");
  EXPECT_TRUE(Reads(ann_));
  ASSERT_EQ(Bind("revoke", kOrg + "/tenants/t", "reader", "outer"), "");
  EXPECT_FALSE(Reads(ann_));
}

TEST_F(Teams, EndWithWhatTheyAreMadeOf) {
  ASSERT_EQ(Has("inner", {User("ann")}), "");
  ASSERT_EQ(Has("outer", {Team("inner")}), "");
  ASSERT_EQ(Bind("grant", kOrg + "/tenants/t", "reader", "outer"), "");
  ASSERT_EQ(Send("DELETE", kTeams + "/inner", "", admin_).status, 200);
  EXPECT_FALSE(Reads(ann_));
  EXPECT_THAT(Get(kTeams + "/outer").text, Not(HasSubstr("inner")));
  // The name is another team then.
  ASSERT_EQ(Has("inner", {User("ann")}), "");
  EXPECT_FALSE(Reads(ann_));
  ASSERT_EQ(Has("outer", {User("ann")}), "");
  ASSERT_TRUE(Reads(ann_));
  ASSERT_EQ(Send("DELETE", kOrg + "/users/ann", "", admin_).status, 200);
  EXPECT_THAT(Get(kTeams + "/outer").text, Not(HasSubstr("users/ann")));
  EXPECT_FALSE(Reads(NewUser("ann")));
  ASSERT_EQ(Send("DELETE", kTeams + "/outer", "", admin_).status, 200);
  EXPECT_THAT(Get(kOrg + "/tenants/t/accessbindings").text, Not(HasSubstr("teams/")));
}

TEST_F(Teams, NobodyPutsHimselfIntoOneThatHasMoreThanHe) {
  ASSERT_EQ(
      Post(kOrg + "/accessbindings:grant", R"({"role":"editor","subject":{"user":")" + User("ann") + "\"}}").status,
      200);
  ASSERT_EQ(Has("admins", {}), "");
  EXPECT_EQ(Has("admins", {User("ann")}, ann_), "") << "it has nothing yet";
  ASSERT_EQ(Has("admins", {}), "");
  ASSERT_EQ(Bind("grant", kOrg, "admin", "admins"), "");
  EXPECT_EQ(Has("admins", {User("ann")}, ann_), "TEAM_EXCEEDS_OWN");
  // Neither over a team in it.
  ASSERT_EQ(Has("inner", {}), "");
  EXPECT_EQ(Has("admins", {Team("inner")}, ann_), "TEAM_EXCEEDS_OWN");
  ASSERT_EQ(Has("admins", {Team("inner")}), "");
  EXPECT_EQ(Has("inner", {User("ann")}, ann_), "TEAM_EXCEEDS_OWN");
  // By a document as by an update.
  EXPECT_EQ(Apply(Document("inner", {User("ann")}), "", true, ann_).reason(), "TEAM_EXCEEDS_OWN");
  // And nobody becomes one who has it by a team.
  NewUser("bob");
  ASSERT_EQ(Has("inner", {User("bob")}), "");
  ASSERT_EQ(
      Post(kOrg + "/users/bob/accessbindings:grant", R"({"role":"admin","subject":{"user":")" + User("ann") + "\"}}")
          .status,
      200);
  EXPECT_EQ(Send("POST", kOrg + "/users/bob:setPassword", R"({"password":"strings-to-pull"})", ann_).reason(),
            "USER_EXCEEDS_OWN");
  // To take somebody out gives nothing.
  EXPECT_EQ(Has("inner", {}, ann_), "");
}

TEST_F(Teams, AreRefusedForWhatIsNoMember) {
  ASSERT_EQ(Post("/v2/organizations", R"({"metadata":{"name":"other"}})").status, 200);
  ASSERT_EQ(Post("/v2/organizations/other/users", R"({"metadata":{"name":"eve"}})").status, 200);
  EXPECT_EQ(Has("a", {"organizations/other/users/eve"}), "UNKNOWN_SUBJECT");
  EXPECT_EQ(Has("a", {User("nobody")}), "UNKNOWN_SUBJECT");
  EXPECT_EQ(Has("a", {User("ann"), User("ann")}), "INVALID_RESOURCE");
  EXPECT_EQ(Has("a", {"organizations/demo-org/tenants/t"}), "INVALID_RESOURCE");
  EXPECT_EQ(Bind("grant", kOrg + "/tenants/t", "reader", "nobody"), "UNKNOWN_SUBJECT");
  ASSERT_EQ(Has("a", {}), "");
  EXPECT_EQ(Has("a", {Team("a")}), "TEAM_CYCLE");
  ASSERT_EQ(Has("b", {Team("a")}), "");
  EXPECT_EQ(Has("a", {Team("b")}), "TEAM_CYCLE");
  // In one call in any order.
  EXPECT_EQ(Apply(Document("z1", {Team("z2")}) + Document("z2", {Team("z3")}) + Document("z3", {})).status, 200);
}

TEST_F(Teams, AnOrganizationKeepsAnAdministrator) {
  NewUser("root");
  ASSERT_EQ(Has("admins", {User("root")}), "");
  ASSERT_EQ(Bind("grant", kOrg, "admin", "admins"), "");
  const Answer revoked =
      Post(kOrg + "/accessbindings:revoke", R"({"role":"admin","subject":{"user":")" + User("admin") + "\"}}");
  ASSERT_EQ(revoked.status, 200) << "the team has one: " << revoked.text;
  const std::string root = Login("root", "a-long-password");
  EXPECT_EQ(Has("admins", {}, root), "LAST_ADMIN");
  EXPECT_EQ(Send("DELETE", kTeams + "/admins", "", root).reason(), "LAST_ADMIN");
  EXPECT_EQ(Send("DELETE", kOrg + "/users/root", "", admin_).reason(), "LAST_ADMIN");
  // A service account alone is no help to who has lost its key.
  ASSERT_EQ(Post(kOrg + "/serviceaccounts", R"({"metadata":{"name":"ci"}})").status, 200);
  const std::string account = "organizations/demo-org/serviceaccounts/ci";
  EXPECT_EQ(Has("admins", {account}, root), "LAST_ADMIN");
  EXPECT_EQ(Has("admins", {account, User("root")}, root), "");
  EXPECT_EQ(Send("DELETE", kOrg + "/users/root", "", admin_).reason(), "LAST_ADMIN");
  EXPECT_EQ(Has("admins", {User("root"), User("ann")}, root), "");
  EXPECT_EQ(Has("admins", {User("ann")}, root), "");
}

// The graph is derived from what is stored, by a restart as by changes.
TEST_F(Teams, AreTheSameAfterARestart) {
  ASSERT_EQ(Has("inner", {User("ann")}), "");
  ASSERT_EQ(Has("outer", {Team("inner")}), "");
  ASSERT_EQ(Bind("grant", kOrg + "/tenants/t", "reader", "outer"), "");
  const std::string ann = store_->Read()->Get(User("ann"))->uid;
  standing_.waits->Stop();
  server_->Stop();
  const auto reads = [&] {
    const store::ViewPtr view = store_->Read();
    return authz::Allowed(*view, {.fqn = User("ann"), .uid = ann}, authz::Right::kRead,
                          *view->Get("organizations/demo-org/tenants/t"));
  };
  EXPECT_TRUE(reads());
  rest_.reset();
  writes_.reset();
  backends_.reset();
  authn_.reset();
  store_.reset();
  store::SqliteOptions options;
  options.path = folder_ + "/weir.db";
  auto again = store::OpenSqlite(options, authz::TenancyPolicy());
  ASSERT_TRUE(again.ok()) << again.error().ToString();
  store_ = std::move(again).value();
  EXPECT_TRUE(reads());
}

}  // namespace
}  // namespace weir::edge
