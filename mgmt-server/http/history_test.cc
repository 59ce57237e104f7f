// The past over the REST door: who sees what of it.
#include "mgmt-server/http/history_fixture.h"

namespace weir::edge {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST_F(History, ListsRevisionsWithAuthorsNewestFirst) {
  const int64_t before = Now();
  MakeTenant("t", "first");
  Describe(std::string(kOrg) + "/tenants/t", "second");
  Delete(std::string(kOrg) + "/tenants/t");
  const auto line = [&](int64_t after, const std::string& text) { return std::to_string(before + after) + " " + text; };
  for (const int page_size : {100, 1}) {
    EXPECT_THAT(Listed(admin_, "&fqn=organizations/demo-org/tenants/t", page_size),
                ElementsAre(line(3, "DELETED tenants/t"), line(2, "UPDATED tenants/t"), line(1, "CREATED tenants/t")));
  }
  const Answer answer = Get("/v2/revisions?pageSize=1");
  const document::Node& newest = answer.body.Find("items")->items.front();
  EXPECT_EQ(newest.Find("author")->text, "organizations/demo-org/users/admin");
  EXPECT_THAT(newest.Find("time")->text, HasSubstr("20"));
  EXPECT_THAT(Listed(admin_, "&fqn=organizations/demo-org/tenants/other"), IsEmpty());
}

TEST_F(History, ShowsOneResourceAsItWasAndWhatIsDifferent) {
  const std::string path = std::string(kOrg) + "/tenants/t";
  MakeTenant("t", "first");
  const int64_t first = Now();
  Describe(path, "second");
  EXPECT_THAT(At(path, first, admin_).Text({"document"}), HasSubstr("description: first"));
  EXPECT_THAT(At(path, Now(), admin_).Text({"document"}), HasSubstr("kind: Tenant"));
  EXPECT_EQ(At(path, first - 1, admin_).reason(), "RESOURCE_MISSING");
  EXPECT_EQ(At(path, Now() + 1, admin_).reason(), "REVISION_UNKNOWN");
  EXPECT_EQ(Get(path + ":at?asOfTime=yesterday").status, 400);
  EXPECT_EQ(Get(path + ":at?asOfRevision=1&asOfTime=2026-01-01T00:00:00Z").status, 400);
  EXPECT_EQ(Get(path + ":at?asOfTime=2200-01-01T00:00:00Z").Text({"revision"}), std::to_string(Now()));
  EXPECT_EQ(Get(path + ":at?asOfTime=1999-01-01T00:00:00Z").reason(), "RESOURCE_MISSING");
  const Answer diff = Get(path + ":diff?fromRevision=" + std::to_string(first));
  ASSERT_EQ(diff.status, 200) << diff.text;
  EXPECT_THAT(diff.text, HasSubstr(R"("field":"metadata.description")"));
  EXPECT_THAT(diff.text, HasSubstr(R"(\"first\")"));
  EXPECT_THAT(diff.text, HasSubstr(R"(\"second\")"));
}

// The table: who is shown the past of what, by the rule of history.proto.
class PastOfTenants : public History {
 protected:
  static constexpr const char* kNo = "RESOURCE_MISSING";
  void SetUp() override {
    History::SetUp();
    MakeTenant("t", "of the first owner");
    MakeTenant("u");
    MakeWorkspace("t", "w", "*/first");
    owner_ = NewUser("owner");
    neighbour_ = NewUser("neighbour");
    inside_ = NewUser("inside");
    Grant(t_, "admin", "owner");
    Grant(std::string(kOrg) + "/tenants/u", "admin", "neighbour");
    Grant(w_, "reader", "inside");
    then_ = Now();
  }
  std::string Sees(const std::string& path, const std::string& token) {
    const Answer answer = At(path, then_, token);
    return answer.status == 200 ? "yes" : answer.reason();
  }

  const std::string t_ = std::string(kOrg) + "/tenants/t", w_ = t_ + "/workspaces/w";
  std::string owner_, neighbour_, inside_;
  int64_t then_ = 0;
};

TEST_F(PastOfTenants, IsShownToWhoMayReadItNowAndToNobodyElse) {
  EXPECT_EQ(Sees(t_, owner_), "yes");
  EXPECT_EQ(Sees(t_, neighbour_), kNo);
  EXPECT_EQ(Sees(t_, inside_), kNo);
  EXPECT_EQ(Sees(w_, inside_), "yes");
  EXPECT_EQ(Sees(w_, neighbour_), kNo);
  EXPECT_EQ(At(std::string(kOrg) + "/tenants/x", then_, neighbour_).Text({"message"}),
            "organizations/demo-org/tenants/x does not exist");
  EXPECT_EQ(At(t_, then_, neighbour_).Text({"message"}), "organizations/demo-org/tenants/t does not exist");
  // Who lost the right sees nothing of the time when he had it.
  ASSERT_EQ(Post(w_ + "/accessbindings:revoke",
                 R"({"role":"reader","subject":{"user":"organizations/demo-org/users/inside"}})")
                .status,
            200);
  EXPECT_EQ(Sees(w_, inside_), kNo);
  EXPECT_THAT(Versions(w_, inside_), ElementsAre(kNo));
  EXPECT_EQ(Send("GET", w_ + ":diff?fromRevision=" + std::to_string(then_), "", inside_).reason(), kNo);
}

TEST_F(PastOfTenants, OfWhatIsGoneIsShownByWhatWasAboveItEverSince) {
  Delete(w_);
  EXPECT_EQ(Sees(w_, owner_), "yes");
  EXPECT_EQ(Sees(w_, inside_), kNo);
  EXPECT_EQ(Sees(w_, neighbour_), kNo);
  Delete(t_);
  EXPECT_EQ(Sees(t_, owner_), kNo);
  EXPECT_EQ(Sees(w_, owner_), kNo);
  EXPECT_EQ(Sees(w_, admin_), "yes");
}

// The name again, of somebody else: another thing.
TEST_F(PastOfTenants, IsNotInheritedByAName) {
  Delete(t_);
  MakeTenant("t", "of the second owner");
  MakeWorkspace("t", "w", "*/second");
  Grant(t_, "admin", "neighbour");
  const int64_t since = Now();
  EXPECT_EQ(Sees(t_, neighbour_), kNo);
  EXPECT_EQ(Sees(w_, neighbour_), kNo);
  EXPECT_EQ(At(w_, since, neighbour_).status, 200);
  EXPECT_EQ(Versions(w_, neighbour_).size(), 1u);
  EXPECT_EQ(Versions(w_, admin_).size(), 3u);
  EXPECT_EQ(Restore(t_, then_, R"(,"subtree":true)", neighbour_).reason(), kNo);
  EXPECT_EQ(Restore(w_, then_, "", neighbour_).reason(), kNo);
  for (const std::string& line : Listed(neighbour_, "&fqn=organizations/demo-org/tenants/t")) {
    EXPECT_GT(std::stoll(line), then_ + 1) << line;
  }
  Delete(w_);  // Gone below the second: by the second.
  EXPECT_EQ(At(w_, since, neighbour_).status, 200);
  EXPECT_EQ(Sees(w_, neighbour_), kNo);
}

TEST_F(History, TellsOfARevisionOnlyWhatTheCallerMayRead) {
  MakeTenant("t");
  MakeTenant("u");
  const std::string neighbour = NewUser("neighbour");
  Grant(std::string(kOrg) + "/tenants/u", "reader", "neighbour");
  const std::string documents =
      "apiVersion: api.weir.dev/v2\nkind: Workspace\nmetadata: {name: one, organization: demo-org, tenant: t}\nspec: "
      "{namespaceSelector: {names: [\"*/one\"]}}\n---\napiVersion: api.weir.dev/v2\nkind: Workspace\nmetadata: {name: "
      "two, organization: demo-org, tenant: u}\nspec: {namespaceSelector: {names: [\"*/two\"]}}\n";
  const int64_t before = Now();
  ASSERT_EQ(Apply(documents).status, 200);
  ASSERT_EQ(Restore(std::string(kOrg) + "/tenants/t", before, R"(,"subtree":true,"message":"of t alone")").status, 200);
  const std::string both = std::to_string(before + 1);
  EXPECT_EQ(Get("/v2/revisions?fqn=organizations/demo-org/tenants").status, 400) << "no name of a resource";
  const auto all = Listed(neighbour);
  EXPECT_THAT(all, ElementsAre(both + " CREATED tenants/u/workspaces/two", testing::EndsWith("CREATED tenants/u")));
  EXPECT_THAT(Send("GET", "/v2/revisions", "", neighbour).text, Not(HasSubstr("of t alone")));
  EXPECT_THAT(Get("/v2/revisions").text, HasSubstr("of t alone"));
}

TEST_F(History, AMessageIsForWhoSeesAllOfItsRevision) {
  MakeTenant("t");
  MakeWorkspace("t", "one", "*/one");
  MakeWorkspace("t", "two", "*/two");
  const std::string reader = NewUser("reader");
  const int64_t before = Now();
  Delete(std::string(kOrg) + "/tenants/t/workspaces/one");
  Delete(std::string(kOrg) + "/tenants/t/workspaces/two");
  ASSERT_EQ(Restore(std::string(kOrg) + "/tenants/t", before, R"(,"subtree":true,"message":"two of them")").status,
            200);
  Grant(std::string(kOrg) + "/tenants/t/workspaces/two", "reader", "reader");
  const std::string seen = Send("GET", "/v2/revisions", "", reader).text;
  EXPECT_THAT(seen, HasSubstr("workspaces/two"));
  EXPECT_THAT(seen, Not(HasSubstr("workspaces/one")));
  EXPECT_THAT(seen, Not(HasSubstr("two of them")));
}

TEST_F(History, BindingsOfThePastAskForSetPolicy) {
  const std::string t = std::string(kOrg) + "/tenants/t";
  MakeTenant("t");
  const std::string reader = NewUser("reader"), lead = NewUser("lead");
  Grant(t, "reader", "reader");
  Grant(t, "admin", "lead");
  const int64_t then = Now();
  EXPECT_EQ(At(t + "/accessbindings", then, reader).reason(), "RESOURCE_MISSING");
  EXPECT_THAT(At(t + "/accessbindings", then, lead).Text({"document"}), HasSubstr("users/reader"));
  EXPECT_EQ(At(t, then, reader).status, 200);
}

TEST_F(History, PageTokensBelongToTheirQuestion) {
  MakeTenant("t");
  MakeTenant("u");
  const std::string ann = NewUser("ann");
  Grant(kOrg, "reader", "ann");
  const std::string token = Get("/v2/revisions?pageSize=1").Text({"nextPageToken"});
  ASSERT_FALSE(token.empty());
  EXPECT_EQ(Get("/v2/revisions?pageSize=1&pageToken=" + token).status, 200);
  EXPECT_EQ(Get("/v2/revisions?fqn=organizations/demo-org&pageToken=" + token).reason(), "BAD_PAGE_TOKEN");
  EXPECT_EQ(Send("GET", "/v2/revisions?pageToken=" + token, "", ann).reason(), "BAD_PAGE_TOKEN");
}

TEST_F(History, AuditIsForThoseWhoSayWhoMayWhat) {
  const std::string t = std::string(kOrg) + "/tenants/t";
  MakeTenant("t");
  MakeTenant("u");
  MakeWorkspace("t", "w", "*/w");
  const std::string reader = NewUser("reader"), lead = NewUser("lead");
  Grant(t, "reader", "reader");
  Grant(t, "admin", "lead");
  Delete(t + "/workspaces/w");
  const auto actions = [&](const std::string& query, const std::string& token) {
    std::vector<std::string> found;
    const Answer answer = Send("GET", "/v2/auditrecords?" + query, "", token);
    EXPECT_EQ(answer.status, 200) << answer.text;
    if (const document::Node* items = answer.body.Find("items")) {
      for (const auto& item : items->items) found.push_back(item.Find("action")->text);
    }
    return found;
  };
  EXPECT_THAT(actions("", reader), IsEmpty());
  EXPECT_THAT(actions("", lead), ElementsAre("delete", "set-policy", "set-policy", "create", "create"));
  EXPECT_THAT(actions("action=delete&fqn=organizations/demo-org/tenants/t", admin_), ElementsAre("delete"));
  EXPECT_THAT(actions("principal=organizations/demo-org/users/lead", admin_), ElementsAre("login"));
  EXPECT_THAT(actions("fqn=organizations/demo-org/tenants/u", lead), IsEmpty());
  Delete(t);
  MakeTenant("t");
  Grant(t, "admin", "lead");
  EXPECT_THAT(actions("", lead), ElementsAre("set-policy", "create")) << "nothing of what had the name before";
  EXPECT_EQ(Get("/v2/auditrecords?pageSize=2000").status, 400);
}

// Before anything is read for him: what else is wrong with his question he does not learn.
TEST_F(History, WhoMayReadNothingUnderANameCostsTheDiskNothing) {
  MakeTenant("t");
  const std::string stranger = NewUser("stranger"), reader = NewUser("reader");
  Grant(std::string(kOrg) + "/tenants/t", "reader", "reader");
  for (const char* question : {":history?pageToken=junk", ":at?asOfRevision=99999", ":diff?fromRevision=99999"}) {
    for (const char* name : {"/tenants/t", "/tenants/none"}) {
      EXPECT_EQ(Send("GET", kOrg + std::string(name) + question, "", stranger).reason(), "RESOURCE_MISSING")
          << name << question;
    }
    EXPECT_NE(Send("GET", kOrg + std::string("/tenants/t") + question, "", reader).reason(), "RESOURCE_MISSING")
        << question;
  }
}

}  // namespace
}  // namespace weir::edge
