#include "mgmt-server/http/change_set_fixture.h"
#include "mgmt-server/services/planning.h"

// Change sets: what is committed is what was planned, all of it or nothing, once those who have to approved that.
namespace weir::edge::plans {
namespace {

TEST_F(ChangeSetTest, StoresDocumentsAndDeletionsAtOnceWithItsNameAndMessage) {
  Store(Tier1("old", "a.test", kBoth));
  v2::ChangeSet contents = Contents(Tier1("new", "a.test", kBoth));
  contents.add_deletions(std::string(kGroup) + "/tier1gateways/old");
  const v2::ChangeSet set = Created(contents);
  EXPECT_EQ(set.state(), v2::ChangeSet::APPROVED);  // Needs no approvals.
  ASSERT_EQ(set.items_size(), 2) << set.DebugString();
  EXPECT_EQ(set.items(0).outcome(), v2::PlannedDocument::CREATED);
  EXPECT_EQ(set.items(1).outcome(), v2::PlannedDocument::DELETED);
  EXPECT_THAT(set.touched(), IsEmpty());
  EXPECT_TRUE(Has("tier1gateways/old") && !Has("tier1gateways/new"));
  const int64_t before = store_->Read()->revision();

  const auto committed = Read<v2::ChangeSet>(Do(set, "commit"));
  EXPECT_EQ(committed.state(), v2::ChangeSet::COMMITTED);
  EXPECT_EQ(committed.revision(), before + 1);
  EXPECT_TRUE(!Has("tier1gateways/old") && Has("tier1gateways/new"));
  const Answer history = Get("/v2/revisions?pageSize=1");
  EXPECT_THAT(history.text, HasSubstr("\"why\""));
  EXPECT_THAT(history.text, HasSubstr(set.fqn()));
  EXPECT_EQ(Do(set, "commit").reason(), "CHANGE_SET_STATE");
  EXPECT_EQ(Found(set).ended_by().user(), "organizations/demo-org/users/admin");
  EXPECT_THAT(Get("/v2/auditrecords?action=change-set.commit").text, HasSubstr(set.fqn()));
  EXPECT_THAT(Get("/v2/auditrecords?action=change-set.create").text, HasSubstr(set.fqn()));
}

TEST_F(ChangeSetTest, OneFaultRefusesAllOfIt) {
  EXPECT_THAT(Create(Contents(Tier1("a", "a.test", kBoth) + Tier1("b", "b.test", "{name: nil, weight: 1}"))).text,
              HasSubstr("nil"));
  EXPECT_EQ(Listed(admin_), 0);
  const v2::ChangeSet set = Created(Contents(Tier1("a", "a.test", kBoth) + Tier1("b", "b.test", kBoth)));
  Store(Tier1("taken", "b.test", kBoth));
  EXPECT_GE(Do(set, "commit").status, 400);
  EXPECT_FALSE(Has("tier1gateways/a"));
  EXPECT_EQ(Found(set).state(), v2::ChangeSet::APPROVED);
}

TEST_F(ChangeSetTest, SaysWhatIsMissing) {
  v2::ChangeSet contents = Contents("");
  contents.clear_message();
  contents.set_approvals_required(11);
  const Answer refused = Create(contents);
  EXPECT_THAT(refused.text, HasSubstr("\"message\""));
  EXPECT_THAT(refused.text, HasSubstr("holds no document"));
  EXPECT_THAT(refused.text, HasSubstr("approvalsRequired"));
  EXPECT_THAT(Send("POST", kSets, R"({"message":"m","documents":"a: b","waves":[{"hold":"60s"}]})", admin_).text,
              HasSubstr("waves"));
  contents = Contents("");
  contents.add_deletions("organizations/demo-org");
  EXPECT_THAT(Create(contents).text, HasSubstr("by its own change set"));
  const Answer other = Post("/v2/organizations", R"({"metadata":{"name":"other"},"spec":{"domain":"other.test"}})");
  ASSERT_EQ(other.status, 200) << other.text;
  contents = Contents("apiVersion: api.weir.dev/v2\nkind: Tenant\nmetadata: {name: x, organization: other}\n");
  EXPECT_THAT(Create(contents).text, HasSubstr("is not of organizations/demo-org"));
}

TEST_F(ChangeSetTest, IsStaleWhenItWouldDoAnotherThingUntilItIsRenewed) {
  Store(Tier1("a", "a.test", kBoth));
  const v2::ChangeSet set = Created(Contents(Tier1("a", "a.test", "{name: c1, weight: 1}")));
  Store(Tier1("elsewhere", "z.test", kBoth));
  EXPECT_TRUE(Read<v2::PlanChangeSetResponse>(Do(set, "plan")).current());
  Store(Tier1("a", "a.test", "{name: c2, weight: 1}"));
  const Answer stale = Do(set, "commit");
  EXPECT_EQ(stale.reason(), "PLAN_STALE");
  EXPECT_THAT(stale.text, HasSubstr("tier1gateways/a (revision"));
  EXPECT_FALSE(Read<v2::PlanChangeSetResponse>(Do(set, "plan")).current());
  const auto renewed = Read<v2::PlanChangeSetResponse>(Do(set, "plan", R"({"renew":true})"));
  EXPECT_TRUE(renewed.current());
  EXPECT_NE(renewed.change_set().plan(), set.plan());
  EXPECT_EQ(Do(set, "commit", R"({"plan":")" + set.plan() + R"("})").reason(), "PLAN_STALE");
  EXPECT_EQ(Do(set, "commit", R"({"plan":")" + renewed.change_set().plan() + R"("})").status, 200);
}

TEST_F(ChangeSetTest, IsChangedByVersion) {
  const v2::ChangeSet set = Created(Contents(Tier1("a", "a.test", kBoth)));
  const auto changed = Read<v2::ChangeSet>(Update(set, Contents(Tier1("b", "b.test", kBoth))));
  EXPECT_NE(changed.plan(), set.plan());
  EXPECT_EQ(changed.items(0).fqn(), std::string(kGroup) + "/tier1gateways/b");
  EXPECT_EQ(Update(set, Contents(Tier1("c", "c.test", kBoth))).reason(), "ETAG_MISMATCH");
  EXPECT_EQ(Send("PUT", "/v2/" + set.fqn(), document::ToJson(Contents(Tier1("c", "c.test", kBoth))), admin_).reason(),
            "ETAG_REQUIRED");
  EXPECT_EQ(Do(set, "abort", R"({"reason":"no"})").status, 200);
  EXPECT_EQ(Found(set).reason(), "no");
  EXPECT_EQ(Update(Found(set), Contents(Tier1("c", "c.test", kBoth))).reason(), "CHANGE_SET_STATE");
  EXPECT_EQ(Do(set, "plan").reason(), "CHANGE_SET_STATE");
}

TEST_F(ChangeSetTest, WhoMadeItMayNotApproveIt) {
  const std::string tom = Grant("tom", "rbac/admin", kTenant), eva = Grant("eva", "rbac/admin", kTenant);
  const std::string ann = Grant("ann", "rbac/admin", kTenant);
  const v2::ChangeSet set = Created(Contents(Tier1("a", "a.test", kBoth), 2), tom);
  EXPECT_EQ(set.state(), v2::ChangeSet::PENDING_APPROVAL);
  EXPECT_EQ(Approve(set, tom).reason(), "APPROVES_OWN");
  EXPECT_THAT(Do(set, "commit", "{}", tom).text, HasSubstr("0 of 2 approvals"));
  EXPECT_EQ(Approve(set, eva).status, 200);
  EXPECT_EQ(Approve(set, eva).status, 200);  // Counts once.
  EXPECT_EQ(Found(set).approvals_size(), 1);
  EXPECT_EQ(Found(set).state(), v2::ChangeSet::PENDING_APPROVAL);
  // Whoever changes it loses his own approval and all others.
  const auto changed = Read<v2::ChangeSet>(Update(Found(set), Contents(Tier1("a", "b.test", kBoth)), eva));
  EXPECT_EQ(changed.approvals_size(), 0);
  EXPECT_EQ(Approve(changed, eva).reason(), "APPROVES_OWN");
  EXPECT_EQ(Approve(changed, tom).reason(), "APPROVES_OWN");
  EXPECT_EQ(Do(changed, "reject", "{}", eva).reason(), "APPROVES_OWN");
  EXPECT_EQ(Do(changed, "abort", "{}", ann).reason(), "NOT_YOURS");
  EXPECT_EQ(Approve(set, ann).reason(), "PLAN_STALE");  // Another plan than she saw.
  EXPECT_EQ(Approve(changed, ann).status, 200);
  EXPECT_EQ(Approve(changed, admin_).status, 200);
  EXPECT_EQ(Approve(changed, Grant("zoe", "rbac/admin", kTenant)).reason(), "CHANGE_SET_STATE");  // Enough.
  EXPECT_EQ(Do(changed, "commit", "{}", tom).status, 200);
  // Fields are the author's, whoever changed or committed it.
  const auto owners = store_->Read()->Get(std::string(kGroup) + "/tier1gateways/a")->field_owners;
  EXPECT_EQ(owners.begin()->second, "weir of organizations/demo-org/users/tom");
}

TEST_F(ChangeSetTest, AnApprovalIsOfOnePlan) {
  Store(Tier1("a", "a.test", kBoth));
  const std::string eva = Grant("eva", "rbac/admin", kTenant);
  const v2::ChangeSet set = Created(Contents(Tier1("a", "a.test", "{name: c1, weight: 1}"), 1));
  ASSERT_EQ(Approve(set, eva).status, 200);
  // The same after a renewal that does the same.
  const auto same = Read<v2::PlanChangeSetResponse>(Do(set, "plan", R"({"renew":true})")).change_set();
  EXPECT_EQ(same.state(), v2::ChangeSet::APPROVED);
  Store(Tier1("a", "a.test", "{name: c2, weight: 1}"));
  EXPECT_EQ(Do(set, "commit").reason(), "PLAN_STALE");
  const auto other = Read<v2::PlanChangeSetResponse>(Do(set, "plan", R"({"renew":true})")).change_set();
  EXPECT_EQ(other.state(), v2::ChangeSet::PENDING_APPROVAL);
  EXPECT_EQ(other.approvals_size(), 0);
  EXPECT_EQ(Approve(set, eva).reason(), "PLAN_STALE");
  Store(Tier1("a", "a.test", "{name: c2, weight: 2}"));
  EXPECT_EQ(Approve(other, eva).reason(), "PLAN_STALE");  // It would do something else now.
}

TEST_F(ChangeSetTest, ApproversNeedAllRightsAndKeepThem) {
  const std::string eva = Grant("eva", "rbac/writer", kTenant), rita = Grant("rita", "rbac/reader", kTenant);
  const v2::ChangeSet both = Created(Contents(Tier1("a", "a.test", kBoth) + Tier1("u", "u.test", kBoth, "u"), 1));
  EXPECT_EQ(Approve(both, eva).status, 404);  // She sees half of what it touches.
  const v2::ChangeSet set = Created(Contents(Tier1("b", "b.test", kBoth), 1));
  EXPECT_EQ(Approve(set, rita).reason(), "RIGHT_MISSING");
  EXPECT_EQ(Do(set, "reject", "{}", rita).reason(), "RIGHT_MISSING");
  const std::string ann = Grant("ann", "rbac/admin", kTenant);
  ASSERT_EQ(Approve(set, ann).status, 200);
  EXPECT_EQ(Do(set, "commit", "{}", rita).reason(), "RIGHT_MISSING");
  ASSERT_EQ(Post(std::string("/v2/") + kTenant + "/accessbindings:revoke",
                 R"({"role":"rbac/admin","subject":{"user":"organizations/demo-org/users/ann"}})")
                .status,
            200);
  const Answer refused = Do(set, "commit");
  EXPECT_EQ(refused.reason(), "APPROVALS_MISSING");
  EXPECT_THAT(refused.text, HasSubstr("users/ann"));
  // Another one of her name is not she.
  ASSERT_EQ(Send("DELETE", "/v2/organizations/demo-org/users/ann", "", admin_).status, 200);
  const std::string again = Grant("ann", "rbac/admin", kTenant);
  EXPECT_EQ(Do(set, "commit").reason(), "APPROVALS_MISSING");
  EXPECT_EQ(Do(set, "reject", R"({"reason":"late"})", again).status, 200);
  EXPECT_EQ(Found(set).state(), v2::ChangeSet::REJECTED);
}

TEST_F(ChangeSetTest, IsStoredWithTheRightsOfTheMoment) {
  const std::string tom = Grant("tom", "rbac/admin", kTenant);
  const v2::ChangeSet set = Created(Contents(Tier1("a", "a.test", kBoth)), tom);
  ASSERT_EQ(Post(std::string("/v2/") + kTenant + "/accessbindings:revoke",
                 R"({"role":"rbac/admin","subject":{"user":"organizations/demo-org/users/tom"}})")
                .status,
            200);
  EXPECT_GE(Do(set, "commit", "{}", tom).status, 400);
  EXPECT_EQ(Do(set, "commit").reason(), "PLAN_STALE");  // Nor in the name of him who planned it.
  EXPECT_FALSE(Has("tier1gateways/a"));
  ASSERT_EQ(Do(set, "plan", R"({"renew":true})").status, 200);
  EXPECT_EQ(Do(set, "commit").status, 200);
}

TEST_F(ChangeSetTest, NothingOfItIsSeenByWhoMayNotReadAllThatItTouches) {
  const std::string tom = Grant("tom", "rbac/admin", kTenant);
  const std::string una = Grant("una", "rbac/admin", "organizations/demo-org/tenants/u");
  const std::string rita = Grant("rita", "rbac/reader", kTenant), nobody = NewUser("nobody");
  const v2::ChangeSet set = Created(Contents(Tier1("a", "a.test", kBoth)), tom);
  EXPECT_EQ(Found(set, rita).documents(), set.documents());
  EXPECT_EQ(Listed(rita), 1);
  EXPECT_EQ(Listed(una), 0);
  EXPECT_EQ(Send("GET", kSets, "", nobody).status, 404);
  v2::ChangeSet missing = set;
  missing.set_fqn(set.fqn() + "0");
  for (const char* verb : {"approve", "reject", "commit", "abort", "plan"}) {
    const Answer there = Do(set, verb, "{}", una), not_there = Do(missing, verb, "{}", una);
    EXPECT_EQ(there.status, 404) << verb;
    EXPECT_EQ(there.reason(), not_there.reason());
  }
  EXPECT_EQ(Send("GET", "/v2/" + set.fqn(), "", una).status, 404);
  EXPECT_EQ(Update(set, Contents(Tier1("a", "a.test", kBoth)), una).status, 404);
  // A name that is created again inherits nothing, and its author keeps what he wrote.
  ASSERT_EQ(Send("DELETE", "/v2/" + std::string(kTenant) + "?cascade=true", "", admin_).status, 200);
  Store(Tenancy("t"));
  const std::string heir = Grant("heir", "rbac/admin", kTenant);
  EXPECT_EQ(Send("GET", "/v2/" + set.fqn(), "", heir).status, 404);
  EXPECT_EQ(Listed(heir), 0);
  EXPECT_EQ(Found(set, tom).documents(), set.documents());
  EXPECT_EQ(Found(set).documents(), set.documents());  // Who may read the organization.
}

TEST_F(ChangeSetTest, BindingsInItAreSeenByWhoMaySetThem) {
  const std::string rita = Grant("rita", "rbac/reader", kTenant), ann = Grant("ann", "rbac/admin", kTenant);
  const v2::ChangeSet set = Created(
      Contents("apiVersion: rbac.weir.dev/v2\nkind: AccessBindings\nmetadata: {fqn: organizations/demo-org/tenants/t}\n"
               "allow:\n- {role: rbac/admin, subjects: [{user: organizations/demo-org/users/admin}, {user: "
               "organizations/demo-org/users/ann}]}\n- {role: rbac/reader, subjects: [{user: "
               "organizations/demo-org/users/rita}]}\n"));
  EXPECT_EQ(Send("GET", "/v2/" + set.fqn(), "", rita).status, 404);
  EXPECT_EQ(Send("GET", "/v2/" + set.fqn(), "", ann).status, 200);
}

TEST_F(ChangeSetTest, OpenOnesOfOneAreBounded) {
  v2::ChangeSet last;
  for (int i = 0; i < 20; ++i)
    last = Created(Contents(Tier1(fmt::format("a{}", i), fmt::format("a{}.test", i), kBoth)));
  const Answer refused = Create(Contents(Tier1("b", "b.test", kBoth)));
  EXPECT_EQ(refused.status, 429) << refused.text;
  EXPECT_EQ(refused.reason(), "TOO_MANY_CHANGE_SETS");
  EXPECT_EQ(Create(Contents(Tier1("b", "b.test", kBoth)), Grant("tom", "rbac/admin", kTenant)).status, 200);
  EXPECT_EQ(Do(last, "abort").status, 200);
  EXPECT_EQ(Create(Contents(Tier1("b", "b.test", kBoth))).status, 200);

  std::set<std::string> seen;
  std::string token;
  do {
    const auto page = Read<v2::ListChangeSetsResponse>(
        Get(std::string(kSets) + "?pageSize=7&openOnly=true" + (token.empty() ? "" : "&pageToken=" + token)));
    EXPECT_LE(page.items_size(), 7);
    for (const auto& item : page.items()) {
      EXPECT_TRUE(seen.insert(item.fqn()).second && item.documents().empty() && item.items().empty());
    }
    token = page.next_page_token();
  } while (!token.empty());
  EXPECT_EQ(seen.size(), 21u);
}

// Somebody writes each time after the plan was made again.
TEST_F(ChangeSetTest, InARaceItIsStoredOnlyIfItDoesTheSame) {
  Store(Tier1("a", "a.test", kBoth));
  const services::Planning planning(*backends_, *writes_);
  services::CallContext call;
  call.principal = authn_->Authenticate(admin_).value();
  const std::string documents = Tier1("a", "a.test", "{name: c1, weight: 1}");
  for (const bool touched : {true, false}) {
    v2::ApplyDocumentsRequest request;
    request.set_documents(documents);
    auto order = services::ReadChange(services::ChangeTextOf(request), call.principal);
    ASSERT_TRUE(order.ok());
    const services::PlanToken token = planning.Make(call, *order, false)->token;
    int made = 0, also = 0;
    const auto make = [&]() -> Result<services::MadePlan> {
      auto again = planning.Make(call, *order, false);
      if (touched && made == 2) {
        Store(Tier1("a", "a.test", "{name: c2, weight: 7}"));
      } else {
        Store(Tier1("z", fmt::format("z{}.test", made), kBoth));
      }
      ++made;
      return again;
    };
    const Status stored = planning.StoreIf(call, *order, token, make, false, [&](store::Txn&, const auto&) -> Status {
      ++also;
      return {};
    });
    EXPECT_EQ(made, 3);
    EXPECT_EQ(also, touched ? 0 : 1);
    if (touched)
      EXPECT_EQ(stored.error().reason, "PLAN_STALE");
    else
      EXPECT_TRUE(stored.ok());
    Store(Tier1("a", "a.test", kBoth));
  }
}

TEST_F(ChangeSetTest, GoesWithItsOrganization) {
  ASSERT_EQ(Post("/v2/organizations", R"({"metadata":{"name":"other"},"spec":{"domain":"other.test"}})").status, 200);
  const Answer made =
      Post("/v2/organizations/other/changesets",
           document::ToJson(
               Contents("apiVersion: api.weir.dev/v2\nkind: Tenant\nmetadata: {name: x, organization: other}\n")));
  const auto set = Read<v2::ChangeSet>(made);
  EXPECT_NE(store_->Read()->FindChangeSet(set.fqn()), nullptr);
  const Answer gone = Send("DELETE", "/v2/organizations/other?cascade=true", "", admin_);
  ASSERT_EQ(gone.status, 200) << gone.text;
  EXPECT_EQ(store_->Read()->FindChangeSet(set.fqn()), nullptr);
}

}  // namespace
}  // namespace weir::edge::plans
