// What comes back by a restore over the REST door, and what does not.
#include "mgmt-server/http/history_fixture.h"

namespace weir::edge {
namespace {

using ::testing::UnorderedElementsAre;

TEST_F(History, BringsBackOneResource) {
  const std::string path = std::string(kOrg) + "/tenants/t";
  MakeTenant("t", "first");
  const int64_t first = Now();
  Describe(path, "second");
  const std::string uid = Get(path).Text({"metadata", "uid"});
  const int64_t before = Now();
  const Answer plan = Restore(path, first, R"(,"dryRun":true)");
  EXPECT_THAT(plan.text, HasSubstr("UPDATED"));
  EXPECT_EQ(plan.Text({"revision"}), "");
  EXPECT_EQ(Now(), before);
  const Answer done = Restore(path, first, R"(,"message":"as it was")");
  ASSERT_EQ(done.status, 200) << done.text;
  EXPECT_EQ(done.Text({"revision"}), std::to_string(before + 1));
  EXPECT_EQ(Get(path).Text({"metadata", "description"}), "first");
  EXPECT_EQ(Get(path).Text({"metadata", "uid"}), uid);
  EXPECT_THAT(Get("/v2/revisions?pageSize=1").text, HasSubstr("as it was"));
  EXPECT_EQ(store_->AuditBefore(INT64_MAX, 1)->front().action, "update");
  const Answer again = Restore(path, first);
  EXPECT_EQ(again.status, 200);
  EXPECT_EQ(again.Text({"revision"}), "") << "nothing was different";
  EXPECT_EQ(Now(), before + 1);
  EXPECT_EQ(Restore(path, first - 1).reason(), "RESOURCE_MISSING");
}

TEST_F(History, BringsBackASubtreeAsItWasWithNewUidsAndTheBindingsOfThoseWhoAreStillThere) {
  const std::string t = std::string(kOrg) + "/tenants/t";
  MakeTenant("t", "first");
  MakeWorkspace("t", "kept", "*/kept");
  MakeWorkspace("t", "lost", "*/lost");
  (void)NewUser("ann");
  (void)NewUser("bob");
  Grant(t + "/workspaces/lost", "writer", "ann");
  Grant(t + "/workspaces/lost", "writer", "bob");
  const std::string uid = Get(t + "/workspaces/lost").Text({"metadata", "uid"});
  const int64_t then = Now();
  Delete(t + "/workspaces/lost");
  MakeWorkspace("t", "newer", "*/lost");  // Has the namespace meanwhile.
  Describe(t, "second");
  Delete(std::string(kOrg) + "/users/bob");
  (void)NewUser("bob");  // Another one.
  const Answer done = Restore(t, then, R"(,"subtree":true)");
  ASSERT_EQ(done.status, 200) << done.text;
  EXPECT_EQ(Get(t).Text({"metadata", "description"}), "first");
  EXPECT_EQ(Get(t + "/workspaces/newer").status, 404);
  EXPECT_EQ(Get(t + "/workspaces/lost").status, 200);
  EXPECT_NE(Get(t + "/workspaces/lost").Text({"metadata", "uid"}), uid);
  const std::string bindings = Get(t + "/workspaces/lost/accessbindings").text;
  EXPECT_THAT(bindings, HasSubstr("users/ann"));
  EXPECT_THAT(bindings, HasSubstr("users/admin"));
  EXPECT_THAT(bindings, Not(HasSubstr("users/bob")));
  EXPECT_THAT(done.text, HasSubstr("users/bob did not come back"));
  // One revision, and each object's own record.
  const int64_t revision = Now();
  EXPECT_EQ(done.Text({"revision"}), std::to_string(revision));
  std::vector<std::string> actions;
  const auto rows = store_->AuditBefore(INT64_MAX, 4);
  ASSERT_TRUE(rows.ok());
  for (const auto& row : *rows) {
    EXPECT_EQ(row.revision, revision);
    actions.push_back(row.action);
  }
  EXPECT_THAT(actions, UnorderedElementsAre("delete", "create", "update", "set-policy"));
}

// What a team has, its members have: the name of one who went is another's now.
TEST_F(History, ATeamComesBackWithoutThoseWhoseNameIsAnothersNow) {
  const std::string team = std::string(kOrg) + "/teams/t";
  (void)NewUser("ann");
  (void)NewUser("bob");
  const Answer made = Post(std::string(kOrg) + "/teams", R"({"metadata":{"name":"t"},"spec":{"members":[)"
                                                         R"("organizations/demo-org/users/ann",)"
                                                         R"("organizations/demo-org/users/bob"]}})");
  ASSERT_EQ(made.status, 200) << made.text;
  const int64_t then = Now();
  Delete(team);
  Delete(std::string(kOrg) + "/users/bob");
  (void)NewUser("bob");  // Another one.
  const Answer done = Restore(team, then);
  ASSERT_EQ(done.status, 200) << done.text;
  EXPECT_THAT(done.text, HasSubstr("users/bob did not come back"));
  const std::string members = Get(team).text;
  EXPECT_THAT(members, HasSubstr("users/ann"));
  EXPECT_THAT(members, Not(HasSubstr("users/bob")));
}

// What came there since goes with a restore; whoever may not read it is not told its name.
TEST_F(History, ARestoreNamesNothingThatTheCallerMayNotRead) {
  const std::string t = std::string(kOrg) + "/tenants/t";
  MakeTenant("t", "first");
  MakeWorkspace("t", "w", "*/w");
  const std::string ops = NewUser("ops");
  const Answer role = Post(std::string(kOrg) + "/roles",
                           R"({"metadata":{"name":"ops"},"spec":{"rules":[{"kinds":["Tenant","Workspace"],)"
                           R"("rights":["read","write","create","delete"]}]}})");
  ASSERT_EQ(role.status, 200) << role.text;
  Grant(t, "ops", "ops");
  const int64_t then = Now();
  const Answer group = Post(t + "/workspaces/w/gatewaygroups", R"({"metadata":{"name":"secret"},"spec":{}})");
  ASSERT_EQ(group.status, 200) << group.text;
  const Answer refused = Restore(t, then, R"(,"subtree":true)", ops);
  EXPECT_EQ(refused.reason(), "RIGHT_MISSING") << refused.text;
  EXPECT_THAT(refused.text,
              AllOf(HasSubstr("something below organizations/demo-org/tenants/t"), Not(HasSubstr("secret"))));
  const Answer kept = Restore(t, Now(), R"(,"subtree":true)", ops);
  EXPECT_EQ(kept.status, 200) << "what was there then and cannot be read is left alone: " << kept.text;
  EXPECT_EQ(Get(t + "/workspaces/w/gatewaygroups/secret").status, 200);
  EXPECT_EQ(Restore(t, then, R"(,"subtree":true)").status, 200);
}

// Each object as if the caller wrote it now; one that he may not write keeps all of it back.
TEST_F(History, ARestoreNeedsTheRightOnEveryObjectAndIsWholeOrNothing) {
  const std::string t = std::string(kOrg) + "/tenants/t";
  MakeTenant("t", "first");
  MakeWorkspace("t", "w", "*/w");
  const std::string reader = NewUser("reader"), writer = NewUser("writer");
  Grant(t, "reader", "reader");
  Grant(t, "writer", "writer");
  const int64_t then = Now();
  Describe(t, "second");
  Delete(t + "/workspaces/w");
  const int64_t before = Now();
  EXPECT_EQ(Restore(t, then, "", reader).reason(), "RIGHT_MISSING");
  EXPECT_EQ(Restore(t, then, R"(,"subtree":true)", writer).reason(), "RIGHT_MISSING") << "he may not create";
  EXPECT_EQ(Restore(t, then, R"(,"subtree":true,"dryRun":true)", writer).reason(), "RIGHT_MISSING");
  EXPECT_EQ(Now(), before);
  EXPECT_EQ(Get(t).Text({"metadata", "description"}), "second");
  EXPECT_EQ(Restore(t, then, "", writer).status, 200);
}

// Two that exchanged a namespace: in between both have it.
TEST_F(History, TheEndOfARestoreCountsNotTheWay) {
  const std::string t = std::string(kOrg) + "/tenants/t";
  const auto document = [](const std::string& name, const std::string& space) {
    return "---\napiVersion: api.weir.dev/v2\nkind: Workspace\nmetadata: {name: " + name +
           ", organization: demo-org, tenant: t}\nspec: {namespaceSelector: {names: [\"*/" + space + "\"]}}\n";
  };
  MakeTenant("t");
  ASSERT_EQ(Apply(document("a", "one") + document("b", "two")).status, 200);
  const int64_t then = Now();
  ASSERT_EQ(Apply(document("a", "three")).status, 200);
  ASSERT_EQ(Apply(document("b", "one")).status, 200);
  ASSERT_EQ(Apply(document("a", "two")).status, 200);
  const Answer done = Restore(t, then, R"(,"subtree":true)");
  ASSERT_EQ(done.status, 200) << done.text;
  EXPECT_THAT(Get(t + "/workspaces/a").text, HasSubstr("*/one"));
  EXPECT_THAT(Get(t + "/workspaces/b").text, HasSubstr("*/two"));
  // What contradicts something outside is refused.
  EXPECT_EQ(Apply(document("a", "nine")).reason(), "FIELD_CONFLICT") << "what was brought back is whose hand it was";
  ASSERT_EQ(Apply(document("a", "nine"), "", true).status, 200);
  ASSERT_EQ(Apply(document("c", "one")).status, 200);
  EXPECT_EQ(Restore(t + "/workspaces/a", then).reason(), "NAMESPACE_TAKEN");
  EXPECT_THAT(Get(t + "/workspaces/a").text, HasSubstr("*/nine"));
}

TEST_F(History, BindingsComeBackByNameToTheSameThingOnly) {
  const std::string t = std::string(kOrg) + "/tenants/t";
  MakeTenant("t");
  (void)NewUser("ann");
  Grant(t, "reader", "ann");
  const int64_t then = Now();
  ASSERT_EQ(
      Post(t + "/accessbindings:revoke", R"({"role":"reader","subject":{"user":"organizations/demo-org/users/ann"}})")
          .status,
      200);
  ASSERT_EQ(Restore(t, then, R"(,"subtree":true)").status, 200);
  EXPECT_THAT(Get(t + "/accessbindings").text, Not(HasSubstr("users/ann"))) << "a right that was taken stays taken";
  ASSERT_EQ(Restore(t + "/accessbindings", then).status, 200);
  EXPECT_THAT(Get(t + "/accessbindings").text, HasSubstr("users/ann"));
  Delete(t);
  MakeTenant("t");
  EXPECT_EQ(Restore(t + "/accessbindings", then).reason(), "NOT_THE_SAME");
  EXPECT_THAT(Get(t + "/accessbindings").text, Not(HasSubstr("users/ann")));
}

}  // namespace
}  // namespace weir::edge
