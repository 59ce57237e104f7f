#include "mgmt-server/authz/authz.h"

#include <gtest/gtest.h>

#include <random>

#include "api/weir/v2/access_bindings.pb.h"
#include "mgmt-server/authz/roles.h"
#include "mgmt-server/store/temp_store.h"

namespace weir::authz {
namespace {

using authn::Principal;
using store::Txn;

constexpr const char* kOrg = "organizations/o";
constexpr const char* kTenant = "organizations/o/tenants/t";
constexpr const char* kOther = "organizations/o/tenants/other";
constexpr const char* kWorkspace = "organizations/o/tenants/t/workspaces/w";

// The product's policy, and one binding that no role makes: who has a resource of kind "Delegates" below a tenant may
// read the tenant and set its policy, no more.
class WithDelegates : public store::Policy {
 public:
  std::vector<std::string> Rights() const override { return TenancyPolicy().Rights(); }
  Status Derive(const store::View& view, ngac::Graph& graph) const override {
    return TenancyPolicy().Derive(view, graph);
  }
  Status ApplyChange(const store::View& view, const store::StoredResource* before, const store::StoredResource* after,
                     ngac::Graph& graph) const override {
    if (after == nullptr || after->kind != "Delegates") return TenancyPolicy().ApplyChange(view, before, after, graph);
    const std::string tenant = "o:" + view.Get(kTenant)->uid;
    WEIR_TRY(graph.CreateNode("delegates", ngac::NodeType::kUserAttribute, {"users"}));
    ngac::Rights rights;
    for (const resource::KindInfo& kind : resource::Kinds()) {
      rights |= RightOn(Right::kRead, kind.kind) | RightOn(Right::kSetPolicy, kind.kind);
    }
    WEIR_TRY(graph.Associate("delegates", tenant, rights));
    return graph.Assign("u:" + view.Get(after->body)->uid, "delegates");
  }
  Status ApplyRoleChange(std::string_view role, std::string_view user_uid, bool given,
                         ngac::Graph& graph) const override {
    return TenancyPolicy().ApplyRoleChange(role, user_uid, given, graph);
  }
};

// Root rules the organization; ann and bob are plain users.
class AuthzTest : public testing::Test {
 protected:
  AuthzTest() {
    Create("Organization", kOrg, {});
    root_ = CreateUser("root");
    ann_ = CreateUser("ann");
    bob_ = CreateUser("bob");
    EXPECT_TRUE(store_->Write([&](Txn& txn) { return GrantInstallation(txn, kOrg, root_.uid); }).ok());
    Create("Tenant", kTenant, root_);
    Create("Tenant", kOther, root_);
    Create("Workspace", kWorkspace, root_);
  }
  void Create(const std::string& kind, const std::string& fqn, const Principal& creator) {
    const Status created = store_->Write([&](Txn& txn) -> Status {
      WEIR_ASSIGN(const store::ResourcePtr resource, txn.Put({kind, fqn, fqn, {}, ""}));
      return OnCreate(txn, *resource, creator);
    });
    ASSERT_TRUE(created.ok()) << created.error().ToString();
  }
  void Delete(const std::string& fqn) {
    const Status deleted = store_->Write([&](Txn& txn) -> Status {
      WEIR_TRY(OnDelete(txn, *txn.Get(fqn)));
      WEIR_TRY(txn.Delete(fqn));
      return {};
    });
    ASSERT_TRUE(deleted.ok()) << deleted.error().ToString();
  }
  Principal CreateUser(const std::string& name) {
    const std::string fqn = std::string(kOrg) + "/users/" + name;
    Create("User", fqn, {});
    return {fqn, store_->Read()->Get(fqn)->uid};
  }
  std::string Ask(const Principal& principal, Right right, const std::string& fqn) {
    const auto answer = Authorize(*store_->Read(), principal, right, fqn);
    return answer.ok() ? "" : answer.error().reason;
  }
  std::string TryGrant(const Principal& by, const std::string& fqn, const std::string& role, const Principal& to) {
    v2::Subject subject;
    subject.set_user(to.fqn);
    const auto done = store_->Write([&](Txn& txn) { return Grant(txn, by, fqn, role, subject); });
    return done.ok() ? "" : done.error().reason;
  }
  std::string TryRevoke(const Principal& by, const std::string& fqn, const std::string& role, const Principal& from) {
    v2::Subject subject;
    subject.set_user(from.fqn);
    const auto done = store_->Write([&](Txn& txn) { return Revoke(txn, by, fqn, role, subject); });
    return done.ok() ? "" : done.error().reason;
  }

  WithDelegates policy_;
  store::TempStore store_{policy_};
  Principal root_, ann_, bob_;
};

TEST_F(AuthzTest, RolesGiveTheirRightsThereAndBelowAndNowhereElse) {
  const std::vector<Right> all = {Right::kRead, Right::kWrite, Right::kCreate, Right::kDelete, Right::kSetPolicy};
  for (const Role& role : Roles()) {
    ASSERT_EQ(TryGrant(root_, kTenant, role.name, ann_), "");
    for (const Right right : all) {
      const bool has = std::find(role.rights.begin(), role.rights.end(), right) != role.rights.end();
      EXPECT_EQ(Ask(ann_, right, kTenant), has ? "" : "RIGHT_MISSING") << role.name << RightName(right);
      EXPECT_EQ(Ask(ann_, right, kWorkspace), has ? "" : "RIGHT_MISSING") << role.name << RightName(right);
      EXPECT_EQ(Ask(ann_, right, kOrg), "RESOURCE_MISSING");
      EXPECT_EQ(Ask(ann_, right, kOther), "RESOURCE_MISSING");
      EXPECT_EQ(Ask(bob_, right, kTenant), "RESOURCE_MISSING");
    }
    ASSERT_EQ(TryRevoke(root_, kTenant, role.name, ann_), "");
    EXPECT_EQ(Ask(ann_, Right::kRead, kTenant), "RESOURCE_MISSING");
  }
}

TEST_F(AuthzTest, WhatOneMayNotReadLooksExactlyAsIfItDidNotExist) {
  for (const Right right : {Right::kRead, Right::kWrite, Right::kSetPolicy}) {
    const auto hidden = Authorize(*store_->Read(), ann_, right, kTenant);
    const auto missing = Authorize(*store_->Read(), ann_, right, "organizations/o/tenants/x");
    std::string text = hidden.error().ToString();
    text.replace(text.find(kTenant), std::string(kTenant).size(), "organizations/o/tenants/x");
    EXPECT_EQ(text, missing.error().ToString());
    EXPECT_EQ(hidden.error().code, Code::kNotFound);
  }
}

TEST_F(AuthzTest, SaysWhatIsMissingToWhoMayRead) {
  ASSERT_EQ(TryGrant(root_, kTenant, "reader", ann_), "");
  const auto denied = Authorize(*store_->Read(), ann_, Right::kWrite, kWorkspace);
  EXPECT_EQ(denied.error().code, Code::kPermissionDenied);
  EXPECT_NE(denied.error().message.find("'write'"), std::string::npos);
  EXPECT_NE(denied.error().message.find("rbac/writer"), std::string::npos);
  EXPECT_EQ(denied.error().message.find("rbac/reader"), std::string::npos);
}

TEST_F(AuthzTest, NamesThePathThatAllowed) {
  const auto allowed = Authorize(*store_->Read(), root_, Right::kWrite, std::string(kOrg) + "/users/ann");
  ASSERT_TRUE(allowed.ok());
  EXPECT_EQ(allowed->path,
            "tenancy: organizations/o/users/root > rbac/admin @ organizations/o > organizations/o/users/ann");
}

TEST_F(AuthzTest, TheCreatorIsAdminOfWhatItCreated) {
  ASSERT_EQ(TryGrant(root_, kTenant, "rbac/creator", ann_), "");
  const std::string made = std::string(kTenant) + "/workspaces/mine";
  EXPECT_EQ(Ask(ann_, Right::kCreate, kTenant), "");
  Create("Workspace", made, ann_);
  EXPECT_EQ(Ask(ann_, Right::kSetPolicy, made), "");
  EXPECT_EQ(Ask(ann_, Right::kWrite, kWorkspace), "RIGHT_MISSING");
  const auto bindings = ReadBindings(*store_->Read(), made);
  ASSERT_EQ(bindings->allow_size(), 1);
  EXPECT_EQ(bindings->allow(0).role(), "rbac/admin");
  EXPECT_EQ(bindings->allow(0).subjects(0).user(), ann_.fqn);
  EXPECT_EQ(bindings->metadata().fqn(), made);
  EXPECT_FALSE(bindings->metadata().resource_version().empty());
}

TEST_F(AuthzTest, OnlyWhoMaySetPolicyGrantsAndOnlyWhatItHolds) {
  ASSERT_EQ(TryGrant(root_, kTenant, "rbac/editor", ann_), "");
  EXPECT_EQ(TryGrant(ann_, kTenant, "rbac/reader", bob_), "RIGHT_MISSING");
  EXPECT_EQ(TryGrant(bob_, kTenant, "rbac/reader", bob_), "RESOURCE_MISSING");
  ASSERT_EQ(TryGrant(root_, kTenant, "rbac/admin", ann_), "");
  EXPECT_EQ(TryGrant(ann_, kTenant, "rbac/admin", bob_), "");
  EXPECT_EQ(TryGrant(ann_, kOther, "rbac/reader", bob_), "RESOURCE_MISSING");
  EXPECT_EQ(TryGrant(ann_, kOrg, "rbac/reader", ann_), "RESOURCE_MISSING");
  EXPECT_EQ(Ask(bob_, Right::kSetPolicy, kWorkspace), "");
}

// Whoever may bind somewhere learns nothing of the users of another organization, and lets none of them in.
TEST_F(AuthzTest, SubjectsBelongToTheOrganizationOfTheObject) {
  Create("Organization", "organizations/rival", root_);
  Create("User", "organizations/rival/users/eve", root_);
  ASSERT_EQ(TryGrant(root_, kTenant, "rbac/admin", ann_), "");
  const auto said = [&](const std::string& user, bool all) {
    v2::Subject subject;
    subject.set_user(user);
    v2::AccessBindings wanted;
    wanted.add_allow()->set_role("reader");
    *wanted.mutable_allow(0)->add_subjects() = subject;
    const auto done = store_->Write([&](Txn& txn) {
      return all ? SetBindings(txn, ann_, kTenant, wanted, std::nullopt) : Grant(txn, ann_, kTenant, "reader", subject);
    });
    std::string text = done.ok() ? "" : done.error().ToString();
    if (const size_t at = text.find(user); at != std::string::npos) text.erase(at, user.size());
    return text;
  };
  for (const bool all : {false, true}) {
    EXPECT_NE(said("organizations/rival/users/eve", all).find("UNKNOWN_SUBJECT"), std::string::npos);
    EXPECT_EQ(said("organizations/rival/users/eve", all), said("organizations/rival/users/nobody", all));
    EXPECT_EQ(said("organizations/rival/users/eve", all), said("organizations/absent/users/eve", all));
  }
}

// No built-in role gives set-policy without the rest; a binding of the graph may.
TEST_F(AuthzTest, NobodyGrantsMoreThanItHolds) {
  ASSERT_TRUE(store_->Write([&](Txn& txn) { return txn.Put({"Delegates", "delegates", ann_.fqn, {}, {}}); }).ok());
  EXPECT_EQ(TryGrant(ann_, kTenant, "rbac/writer", ann_), "GRANT_EXCEEDS_OWN");
  EXPECT_EQ(TryGrant(ann_, kTenant, "rbac/admin", bob_), "GRANT_EXCEEDS_OWN");
  EXPECT_EQ(TryGrant(ann_, kTenant, "rbac/reader", bob_), "");
}

TEST_F(AuthzTest, AddingOneSubjectNeverOverwritesAnother) {
  ASSERT_EQ(TryGrant(root_, kTenant, "rbac/reader", ann_), "");
  ASSERT_EQ(TryGrant(root_, kTenant, "rbac/reader", bob_), "");
  const int64_t revision = store_->Read()->revision();
  ASSERT_EQ(TryGrant(root_, kTenant, "rbac/reader", bob_), "");
  EXPECT_EQ(store_->Read()->revision(), revision) << "granting again changes nothing";
  EXPECT_EQ(Ask(ann_, Right::kRead, kTenant), "");
  ASSERT_EQ(TryRevoke(root_, kTenant, "rbac/reader", ann_), "");
  EXPECT_EQ(Ask(ann_, Right::kRead, kTenant), "RESOURCE_MISSING");
  EXPECT_EQ(Ask(bob_, Right::kRead, kTenant), "");
}

TEST_F(AuthzTest, ReplacingTheBindingsNeedsTheEtag) {
  v2::AccessBindings wanted;
  auto* binding = wanted.add_allow();
  binding->set_role("writer");
  binding->add_subjects()->set_user(ann_.fqn);
  const auto set = [&](std::optional<std::string> etag) {
    const auto done = store_->Write(
        [&](Txn& txn) { return SetBindings(txn, root_, std::string(kTenant) + "/accessbindings", wanted, etag); });
    return done.ok() ? "" : done.error().reason;
  };
  EXPECT_EQ(set("1-00000000"), "ETAG_MISMATCH");
  EXPECT_EQ(set(ReadBindings(*store_->Read(), kTenant)->metadata().resource_version()), "");
  EXPECT_EQ(Ask(ann_, Right::kWrite, kWorkspace), "");
  EXPECT_EQ(Ask(root_, Right::kSetPolicy, kTenant), "") << "still by the organization";
  binding->add_subjects()->set_user("organizations/o/users/nobody");
  EXPECT_EQ(set(std::nullopt), "UNKNOWN_SUBJECT");
  binding->set_role("emperor");
  EXPECT_EQ(set(std::nullopt), "UNKNOWN_ROLE");
  EXPECT_EQ(Ask(ann_, Right::kWrite, kWorkspace), "") << "a refused change leaves nothing";
}

TEST_F(AuthzTest, AnOrganizationKeepsAnAdministrator) {
  EXPECT_EQ(TryRevoke(root_, kOrg, "rbac/admin", root_), "LAST_ADMIN");
  ASSERT_EQ(TryGrant(root_, kOrg, "rbac/admin", ann_), "");
  EXPECT_EQ(TryRevoke(ann_, kOrg, "rbac/admin", root_), "");
}

TEST_F(AuthzTest, AUserThatComesBackInheritsNothing) {
  ASSERT_EQ(TryGrant(root_, kTenant, "rbac/admin", ann_), "");
  ASSERT_EQ(TryGrant(root_, kTenant, "rbac/reader", bob_), "");
  Delete(ann_.fqn);
  EXPECT_EQ(Ask(ann_, Right::kRead, kTenant), "RESOURCE_MISSING");
  const Principal again = CreateUser("ann");
  EXPECT_EQ(Ask(again, Right::kRead, kTenant), "RESOURCE_MISSING");
  const auto bindings = ReadBindings(*store_->Read(), kTenant);
  for (const auto& binding : bindings->allow()) {
    for (const auto& subject : binding.subjects()) EXPECT_NE(subject.user(), ann_.fqn);
  }
  EXPECT_EQ(Ask(bob_, Right::kRead, kTenant), "");
  // A later change of the document does not bring the old grant back.
  ASSERT_EQ(TryGrant(root_, kTenant, "rbac/writer", bob_), "");
  EXPECT_EQ(Ask(again, Right::kRead, kTenant), "RESOURCE_MISSING");
}

TEST_F(AuthzTest, AResourceThatComesBackInheritsNothing) {
  ASSERT_EQ(TryGrant(root_, kWorkspace, "rbac/writer", ann_), "");
  const size_t nodes = store_->Read()->graph().node_count();
  Delete(kWorkspace);
  EXPECT_EQ(store_->Read()->Get(std::string(kWorkspace) + "/accessbindings"), nullptr);
  EXPECT_EQ(store_->Read()->graph().node_count(), nodes - 3);
  Create("Workspace", kWorkspace, root_);
  EXPECT_EQ(Ask(ann_, Right::kRead, kWorkspace), "RESOURCE_MISSING");
}

TEST_F(AuthzTest, AllowedFollowsTheOwnerForBindings) {
  ASSERT_EQ(TryGrant(root_, kTenant, "rbac/reader", ann_), "");
  const auto view = store_->Read();
  EXPECT_TRUE(Allowed(*view, ann_, Right::kRead, *view->Get(kTenant)));
  EXPECT_TRUE(Allowed(*view, ann_, Right::kRead, *view->Get(std::string(kTenant) + "/accessbindings")));
  EXPECT_FALSE(Allowed(*view, ann_, Right::kRead, *view->Get(std::string(kOther) + "/accessbindings")));
  EXPECT_FALSE(Allowed(*view, {}, Right::kRead, *view->Get(kTenant)));
}

// Whatever delegates do, nobody but root ever gets anything outside the tenant that root gave away.
TEST_F(AuthzTest, DelegatesNeverReachBeyondWhatTheyWereGiven) {
  std::mt19937 random(11);
  ASSERT_EQ(TryGrant(root_, kTenant, "rbac/admin", ann_), "");
  std::vector<Principal> people = {ann_, bob_};
  for (int i = 0; i < 4; ++i) people.push_back(CreateUser("p" + std::to_string(i)));
  std::vector<std::string> places = {kOrg, kTenant, kOther, kWorkspace, std::string(kOther) + "/workspaces/x"};
  Create("Workspace", places.back(), root_);
  for (int step = 0; step < 400; ++step) {
    const Principal& by = people[random() % people.size()];
    const Principal& to = people[random() % people.size()];
    const std::string& place = places[random() % places.size()];
    const std::string& role = Roles()[random() % Roles().size()].name;
    if (random() % 4 == 0) {
      (void)TryRevoke(by, place, role, to);
    } else {
      (void)TryGrant(by, place, role, to);
    }
    for (const Principal& person : people) {
      for (const std::string& place2 : {places[0], places[2], places[4]}) {
        ASSERT_EQ(Ask(person, Right::kRead, place2), "RESOURCE_MISSING") << person.fqn << " " << place2;
      }
    }
  }
}

}  // namespace
}  // namespace weir::authz
