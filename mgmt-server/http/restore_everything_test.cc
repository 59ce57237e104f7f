// A restore of a whole organization: its plan, its bounds, and who may what afterwards.
#include <random>

#include "mgmt-server/http/plan_fixture.h"
#include "mgmt-server/services/differences.h"
#include "mgmt-server/services/restoring.h"

namespace weir::edge::plans {
namespace {

constexpr char kOrganization[] = "organizations/demo-org";
constexpr char kOrg[] = "/v2/organizations/demo-org";

class RestoreEverything : public PlanTest {
 protected:
  int64_t Now() { return store_->Read()->revision(); }
  Answer Restore(int64_t revision, const std::string& more = "", const std::string& token = "",
                 const std::string& path = kOrg) {
    return Send("POST", path + ":restore", fmt::format(R"({{"toRevision":{},"subtree":true{}}})", revision, more),
                token.empty() ? admin_ : token);
  }
  Answer Ask(const std::string& method, const std::string& path, const std::string& body = "") {
    Answer answer = Send(method, kOrg + path, body, admin_);
    EXPECT_EQ(answer.status, 200) << method << " " << path << ": " << answer.text;
    return answer;
  }
  void Bind(const std::string& path, const std::string& role, const std::string& user, const char* verb = "grant") {
    Ask("POST", path + "/accessbindings:" + verb,
        R"({"role":")" + role + R"(","subject":{"user":"organizations/demo-org/users/)" + user + "\"}}");
  }
  // As documents, by FQN; who is there and may what apart.
  static std::map<std::string, std::string> Documents(const store::View& view, bool access = false) {
    std::map<std::string, std::string> documents;
    view.ForEach("", "", [&](const store::ResourcePtr& each) {
      const bool aside = each->kind == "AccessBindings" || each->kind == "Role" || each->kind == "User" ||
                         each->kind == "Team" || each->kind == "ServiceAccount";
      if (aside == access) documents[each->fqn] = services::DocumentText(*services::ToMessage(*each).value());
      return true;
    });
    return documents;
  }
  std::string DocumentNow(const std::string& fqn) {
    const store::ResourcePtr stored = store_->Read()->Get(std::string(kOrganization) + fqn);
    return stored == nullptr ? "" : services::DocumentText(*services::ToMessage(*stored).value());
  }
};

// Somebody who changes whatever comes to his mind; what he is refused he leaves.
class Writer {
 public:
  explicit Writer(unsigned seed) : random_(seed) {}
  int Below(int bound) { return std::uniform_int_distribution<int>(0, bound - 1)(random_); }
  // A document to apply, or below which name (then the second) everything is deleted.
  std::pair<std::string, std::string> Next() {
    const std::string tenant = Below(2) == 0 ? "t" : "n" + std::to_string(Below(2));
    const std::string name = "x" + std::to_string(Below(3));
    const std::string group = fmt::format("tenants/{}/workspaces/w/gatewaygroups/g", tenant);
    switch (Below(9)) {
      case 0:
        return {"", "tenants/" + tenant};
      case 1:
        return {"", group + "/tier1gateways/" + name};
      case 2:
        return {"", "clusters/more" + std::to_string(Below(2))};
      case 3:
        return {Cluster("more" + std::to_string(Below(2)), fmt::format("locality: {{region: r{}}}", Below(3))), ""};
      case 4:
        return {Tenancy(tenant), ""};
      case 5:
        return {Meta("Tenant", tenant, fmt::format(", description: d{}", Below(3))), ""};
      case 6:
        return {Tier2(name, fmt::format("{}-{}.test", tenant, name), tenant, 8080 + Below(3)), ""};
      default:
        return {Tier1(name, fmt::format("{}-{}.test", tenant, name),
                      fmt::format("{{name: c{}, weight: {}}}", 1 + Below(2), 1 + Below(3)), tenant),
                ""};
    }
  }

 private:
  std::mt19937 random_;
};

TEST_F(RestoreEverything, OfAnyHistoryIsWhatTheListOfThenSays) {
  Writer writer(20261130);
  std::vector<int64_t> revisions = {Now()};
  int written = 0, restored = 0;
  for (int step = 0; step < 160; ++step) {
    const auto [document, gone] = writer.Next();
    const Answer answer = gone.empty() ? Apply(document, "", true)
                                       : Send("DELETE", fmt::format("{}/{}?cascade=true", kOrg, gone), "", admin_);
    if (answer.status == 200 && Now() != revisions.back()) {
      revisions.push_back(Now());
      ++written;
    }
    if (step % 10 != 9) continue;
    const int64_t then = revisions[static_cast<size_t>(writer.Below(static_cast<int>(revisions.size())))];
    const Answer done = Restore(then);
    ASSERT_EQ(done.status, 200) << "to " << then << " of " << Now() << ": " << done.text;
    const auto as_of = store_->ReadAt(then);
    ASSERT_TRUE(as_of.ok());
    ASSERT_EQ(Documents(*store_->Read()), Documents(**as_of)) << "to " << then;
    if (Now() != revisions.back()) ++restored;
    revisions.push_back(Now());
  }
  EXPECT_GT(written, 50);
  EXPECT_GT(restored, 8);
}

TEST_F(RestoreEverything, IsPlannedAndDoesWhatWasPlanned) {
  Store(Tier1("a", "a.test", kBoth));
  const int64_t then = Now();
  Store(Tier1("a", "a.test", "{name: c1, weight: 1}") + Tier1("b", "b.test", kBoth));
  const Answer planned = Restore(then, R"(,"dryRun":true)");
  ASSERT_EQ(planned.status, 200) << planned.text;
  v2::RestoreResourcesResponse response;
  std::vector<FieldViolation> violations;
  document::ToMessage(planned.body, response, violations);
  EXPECT_THAT(IntentOf(response.plan()), ::testing::Contains(HasSubstr("edge Host -")));
  EXPECT_THAT(IntentOf(response.plan()), ::testing::Contains(HasSubstr("edge DestinationSet ~")));
  EXPECT_EQ(response.items_size(), 2);
  const std::string plan = R"(,"plan":")" + response.plan().plan() + R"(")";
  // Of another caller, state or extent it is another plan.
  const std::string ben = Grant("ben", "admin", kOrganization);
  EXPECT_EQ(Restore(then, plan, ben).reason(), "PLAN_STALE");
  EXPECT_EQ(Restore(then - 1, plan).reason(), "PLAN_STALE");
  EXPECT_EQ(Restore(then, plan + R"(,"access":true)").reason(), "PLAN_STALE");
  EXPECT_EQ(Restore(then, R"(,"plan":"no plan")").reason(), "INVALID_REQUEST");
  // What it would do now counts.
  Store(Tier1("c", "c.test", kBoth));
  const Answer stale = Restore(then, plan);
  EXPECT_EQ(stale.reason(), "PLAN_STALE");
  EXPECT_THAT(stale.text, HasSubstr("tier1gateways/c"));
  EXPECT_EQ(Send("DELETE", fmt::format("/v2/{}/tier1gateways/c", kGroup), "", admin_).status, 200);
  EXPECT_EQ(Restore(then, plan + R"(,"dryRun":true)").status, 200);
  EXPECT_NE(store_->Read()->Get(std::string(kGroup) + "/tier1gateways/b"), nullptr) << "a dry run stores nothing";
  const Answer done = Restore(then, plan + R"(,"message":"as it was")");
  ASSERT_EQ(done.status, 200) << done.text;
  EXPECT_EQ(store_->GetRevision(Now())->message, "as it was");
  EXPECT_EQ(store_->Read()->Get(std::string(kGroup) + "/tier1gateways/b"), nullptr);
}

TEST_F(RestoreEverything, WithAccessIsAboutThoseWhoAreStillTheSame) {
  for (const char* user : {"ann", "bob", "eve"}) (void)NewUser(user);
  const auto team = [](const std::string& members) {
    return R"({"metadata":{"name":"crew"},"spec":{"members":[)" + members + "]}}";
  };
  Ask("POST", "/teams", team(R"("organizations/demo-org/users/ann","organizations/demo-org/users/bob")"));
  Ask("POST", "/roles", R"({"metadata":{"name":"op"},"spec":{"rules":[{"rights":["read"]}]}})");
  Bind("/tenants/t", "rbac/op", "ann");
  Bind("/tenants/t", "writer", "bob");
  Bind("/tenants/u", "writer", "ann");
  const int64_t then = Now();
  const auto before = Documents(*store_->Read(), true);
  Bind("/tenants/t", "rbac/op", "ann", "revoke");
  Bind("/tenants/u", "admin", "eve");
  Ask("DELETE", "/teams/crew");
  Ask("PUT", "/roles/op",
      R"({"metadata":{"resourceVersion":")" +
          Get(std::string(kOrg) + "/roles/op").Text({"metadata", "resourceVersion"}) +
          R"("},"spec":{"rules":[{"rights":["read","write"]}]}})");
  (void)NewUser("new");
  ASSERT_EQ(Restore(then).status, 200);
  EXPECT_THAT(DocumentNow("/tenants/t/accessbindings"), Not(HasSubstr("users/ann"))) << "what was taken stays taken";
  EXPECT_EQ(DocumentNow("/teams/crew"), "");
  ASSERT_EQ(Restore(then, R"(,"access":true)").status, 200);
  auto after = Documents(*store_->Read(), true);
  EXPECT_THAT(after[std::string(kOrganization) + "/users/new"], HasSubstr("new")) << "nobody is deleted";
  for (const auto& [fqn, document] : before) {
    if (fqn.starts_with(std::string(kOrganization) + "/teams/crew/")) continue;
    EXPECT_EQ(after[fqn], document);
  }
  // Another one of that name has nothing of it.
  Ask("DELETE", "/users/bob");
  (void)NewUser("bob");
  const Answer done = Restore(then, R"(,"access":true)");
  ASSERT_EQ(done.status, 200) << done.text;
  EXPECT_THAT(done.text, HasSubstr("users/bob stays as it is: it is another one"));
  EXPECT_THAT(DocumentNow("/tenants/t/accessbindings"), Not(HasSubstr("users/bob")));
  EXPECT_THAT(DocumentNow("/teams/crew"), Not(HasSubstr("users/bob")));
}

TEST_F(RestoreEverything, KeysOfServiceAccountsStayAsTheyAreToday) {
  constexpr char kKey[] =
      R"({"id":"one","publicKey":{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}})";
  const std::string path = "/serviceaccounts/ci";
  Ask("POST", "/serviceaccounts",
      R"({"metadata":{"name":"ci","description":"then"},"spec":{"keys":[)" + std::string(kKey) + "]}}");
  const int64_t then = Now();
  Ask("PUT", path,
      R"({"metadata":{"description":"now","resourceVersion":")" +
          Get(kOrg + path).Text({"metadata", "resourceVersion"}) + R"("},"spec":{}})");
  const Answer done = Restore(then, R"(,"access":true)");
  ASSERT_EQ(done.status, 200) << done.text;
  EXPECT_THAT(DocumentNow(path), HasSubstr("then"));
  EXPECT_THAT(DocumentNow(path), Not(HasSubstr("f83OJ3D2"))) << "a key that was taken away stays away";
  EXPECT_THAT(done.text, HasSubstr("its keys stay as they are today"));
  Ask("DELETE", path);
  ASSERT_EQ(Restore(then, R"(,"access":true)").status, 200);
  EXPECT_THAT(DocumentNow(path), HasSubstr("then"));
  EXPECT_THAT(DocumentNow(path), Not(HasSubstr("f83OJ3D2")));
  EXPECT_EQ(Post(std::string(kOrg) + ":restore", fmt::format(R"({{"toRevision":{},"access":true}})", then)).reason(),
            "INVALID_REQUEST");
}

// All of it is refused, nobody gets more.
TEST_F(RestoreEverything, NeverGivesWhatItsCallerMayNotGrant) {
  (void)NewUser("ann");
  Bind("/tenants/t", "admin", "ann");
  Store(Tier1("a", "a.test", kBoth));
  const int64_t then = Now();
  Bind("/tenants/t", "admin", "ann", "revoke");
  Store(Tier1("a", "a.test", "{name: c1, weight: 1}"));
  Ask("POST", "/roles",
      R"({"metadata":{"name":"clerk"},"spec":{"rules":[{"rights":["read","create","write","set-policy"]}]}})");
  const std::string ben = Grant("ben", "rbac/clerk", kTenant);
  const std::string path = std::string("/v2/") + kTenant;
  const int64_t before = Now();
  EXPECT_EQ(Restore(then, R"(,"access":true)", ben, path).reason(), "GRANT_EXCEEDS_OWN");
  EXPECT_EQ(Restore(then, R"(,"access":true,"dryRun":true)", ben, path).reason(), "GRANT_EXCEEDS_OWN");
  EXPECT_EQ(Now(), before);
  EXPECT_EQ(Restore(then, "", ben, path).status, 200) << "without it he may";
  EXPECT_THAT(DocumentNow("/tenants/t/accessbindings"), Not(HasSubstr("users/ann")));
  // Who may not set policies there brings none back, and learns of none.
  const std::string writer = Grant("cid", "writer", kTenant);
  const Answer done = Restore(then, R"(,"access":true)", writer, path);
  EXPECT_EQ(done.status, 200) << done.text;
  EXPECT_THAT(done.text, Not(HasSubstr("ann")));
  EXPECT_THAT(DocumentNow("/tenants/t/accessbindings"), Not(HasSubstr("users/ann")));
}

TEST_F(RestoreEverything, OfMoreThanSoManyChangesIsRefused) {
  const int64_t then = Now();
  const auto made = [&](size_t from, size_t to) {
    return store_
        ->Write([&](store::Txn& txn) -> Status {
          for (size_t i = from; i < to; ++i) {
            WEIR_ASSIGN(const store::ResourcePtr stored,
                        txn.Put({.kind = "Tenant",
                                 .fqn = fmt::format("{}/tenants/many-{}", kOrganization, i),
                                 .body = "",
                                 .field_owners = {},
                                 .expected_etag = ""}));
            WEIR_TRY(authz::OnCreate(txn, *stored, {}));
          }
          return {};
        })
        .ok();
  };
  ASSERT_TRUE(made(0, services::kMostRestored));
  const int64_t all = Now();
  ASSERT_TRUE(made(services::kMostRestored, services::kMostRestored + 1));
  const int64_t before = Now();
  EXPECT_EQ(Restore(then).reason(), "TOO_MANY_CHANGES");
  EXPECT_EQ(Now(), before) << "and nothing was stored";
  EXPECT_EQ(Restore(all).status, 200);
  const Answer done = Restore(then);
  EXPECT_EQ(done.status, 200) << done.text.substr(0, 300);
  EXPECT_EQ(store_->Read()->Get(std::string(kOrganization) + "/tenants/many-0"), nullptr);
}

}  // namespace
}  // namespace weir::edge::plans
