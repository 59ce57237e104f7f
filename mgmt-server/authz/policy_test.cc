#include "mgmt-server/store/policy.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "api/weir/v2/access_bindings.pb.h"
#include "libs/base/ids.h"
#include "libs/ngac/oracle.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/authz/roles.h"
#include "mgmt-server/store/sqlite/database.h"
#include "mgmt-server/store/sqlite/sqlite_store.h"

namespace weir::authz {
namespace {

using authn::Principal;
using store::ResourcePtr;
using store::Txn;

constexpr const char* kOrg = "organizations/o";

v2::Subject SubjectOf(const std::string& user) {
  v2::Subject subject;
  subject.set_user(user);
  return subject;
}

// An organization with its administrator "root", in a file that may be closed and opened again.
class TenancyPolicyTest : public testing::Test {
 protected:
  TenancyPolicyTest() : folder_(std::filesystem::temp_directory_path() / ("weir-policy-" + RandomHex(6))) {
    std::filesystem::create_directories(folder_);
    Reopen();
    EXPECT_TRUE(Create("Organization", kOrg, {}).ok());
    root_ = CreateUser("root");
    EXPECT_TRUE(store_->Write([&](Txn& txn) { return GrantInstallation(txn, kOrg, root_.uid); }).ok());
  }
  ~TenancyPolicyTest() override {
    store_.reset();
    std::filesystem::remove_all(folder_);
  }
  std::string Path() const { return folder_ / "weir.db"; }
  std::string TryOpen() {
    store_.reset();
    auto opened = store::OpenSqlite({.path = Path()}, TenancyPolicy());
    if (!opened.ok()) return opened.error().reason;
    store_ = std::move(opened).value();
    return "";
  }
  void Reopen() { ASSERT_EQ(TryOpen(), ""); }

  Status Create(const std::string& kind, const std::string& fqn, const Principal& creator) {
    return store_->Write([&](Txn& txn) -> Status {
      WEIR_ASSIGN(const ResourcePtr resource, txn.Put({kind, fqn, fqn, {}, ""}));
      return OnCreate(txn, *resource, creator);
    });
  }
  Status Delete(const std::string& fqn) {
    return store_->Write([&](Txn& txn) -> Status {
      const ResourcePtr resource = txn.Get(fqn);
      if (!resource) return Missing(fqn);
      WEIR_TRY(OnDelete(txn, *resource));
      WEIR_TRY(txn.Delete(fqn));
      return {};
    });
  }
  Principal CreateUser(const std::string& name) {
    const std::string fqn = std::string(kOrg) + "/users/" + name;
    (void)Create("User", fqn, {});
    return {fqn, store_->Read()->Get(fqn)->uid};
  }
  // The graph of what is stored, made from nothing.
  std::string Derived() const {
    ngac::Graph graph(TenancyPolicy().Rights());
    const Status derived = TenancyPolicy().Derive(*store_->Read(), graph);
    EXPECT_TRUE(derived.ok()) << derived.error().ToString();
    return ngac::Describe(graph);
  }
  std::string Followed() const { return ngac::Describe(store_->Read()->graph()); }
  std::string TryDeleteBare(const std::string& fqn) {
    const auto deleted = store_->Write([&](Txn& txn) { return txn.Delete(fqn); });
    return deleted.ok() ? "" : deleted.error().reason;
  }

  std::filesystem::path folder_;
  std::unique_ptr<store::Store> store_;
  Principal root_;
};

// Random creations, grants, revocations and deletions, by whom ever; many are refused.
class RandomChanges : public TenancyPolicyTest {
 protected:
  RandomChanges() { users_.push_back(root_.fqn); }

  size_t Pick(size_t n) { return random_() % n; }
  Status Step() {
    const std::string place = places_[Pick(places_.size())];
    const std::string user = users_[Pick(users_.size())];
    const ResourcePtr stored = store_->Read()->Get(user);
    const Principal by{user, stored ? stored->uid : ""};
    switch (Pick(8)) {
      case 0: {
        const std::string made = place + (place == kOrg ? "/tenants/t" : "/workspaces/w") + std::to_string(Pick(6));
        if (made.size() < 60) places_.push_back(made);
        return Create(place == kOrg ? "Tenant" : "Workspace", made, by);
      }
      case 1:
        users_.push_back(std::string(kOrg) + "/users/u" + std::to_string(Pick(12)));
        return Create("User", users_.back(), by);
      case 2:
        return Delete(Pick(3) == 0 ? user : place);
      default:
        return Rebind(place, by, Pick(3) == 0);
    }
  }
  Status Rebind(const std::string& place, const Principal& by, bool revoke) {
    const std::string& role = Roles()[Pick(Roles().size())].name;
    const v2::Subject subject = SubjectOf(users_[Pick(users_.size())]);
    const Principal& grantor = Pick(2) == 0 ? root_ : by;
    return store_->Write([&](Txn& txn) -> Status {
      if (revoke) WEIR_TRY(Revoke(txn, by, place, role, subject));
      if (!revoke) WEIR_TRY(Grant(txn, grantor, place, role, subject));
      return {};
    });
  }

  std::mt19937 random_{7};
  std::vector<std::string> places_ = {kOrg};
  std::vector<std::string> users_;
};

// The graph that followed every change is the one that the stored resources give.
TEST_F(RandomChanges, TheGraphThatFollowedIsTheGraphThatIsDerived) {
  size_t refused = 0, done = 0;
  for (int step = 0; step < 1200; ++step) {
    ++(Step().ok() ? done : refused);
    if (step % 20 == 0) {
      ASSERT_EQ(Followed(), Derived()) << step;
    }
    if (step % 300 == 299) {
      const std::string before = Followed();
      Reopen();
      ASSERT_EQ(Followed(), before) << step;
    }
  }
  EXPECT_GT(done, 300u);
  EXPECT_GT(refused, 100u);
}

TEST_F(RandomChanges, ItsQuickDecisionsAreThoseOfThePlainSearch) {
  for (int step = 0; step < 400; ++step) (void)Step();
  const store::ViewPtr view = store_->Read();
  std::vector<std::string> users, nodes;
  view->graph().ForEachNode([&](ngac::NodeId, const ngac::Node& node) {
    nodes.push_back(node.name);
    if (node.type == ngac::NodeType::kUser) users.push_back(node.name);
  });
  size_t allowed = 0;
  for (const std::string& user : users) {
    for (const std::string& node : nodes) {
      for (const Right asked : resource::kRights) {
        const std::string right = GraphRightName(asked, resource::Kind::kWorkspace);
        const bool judged = ngac::DecideBySearch(view->graph(), user, right, node);
        ASSERT_EQ(view->graph().Decide(user, right, node), judged) << user << " " << right << " " << node;
        allowed += judged;
      }
    }
  }
  EXPECT_GT(allowed, 100u);
}

TEST_F(TenancyPolicyTest, AResourceEndsWithItsBindingsInEitherOrder) {
  const std::string before = Followed();
  for (const bool bindings_first : {true, false}) {
    SCOPED_TRACE(bindings_first);
    ASSERT_TRUE(Create("Tenant", "organizations/o/tenants/t", root_).ok());
    ASSERT_TRUE(store_
                    ->Write([&](Txn& txn) -> Status {
                      const std::string bindings = "organizations/o/tenants/t/accessbindings";
                      if (bindings_first) WEIR_TRY(txn.Delete(bindings));
                      WEIR_TRY(txn.Delete("organizations/o/tenants/t"));
                      if (!bindings_first) WEIR_TRY(txn.Delete(bindings));
                      return {};
                    })
                    .ok());
    EXPECT_EQ(Followed(), before);
    EXPECT_EQ(Derived(), before);
  }
}

// Bindings name users, and belong to a name: neither may be left behind for whoever gets the name next.
TEST_F(TenancyPolicyTest, NothingIsLeftForWhoComesNext) {
  ASSERT_TRUE(Create("Tenant", "organizations/o/tenants/t", root_).ok());
  const Principal ann = CreateUser("ann");
  ASSERT_TRUE(store_->Write([&](Txn& txn) { return Grant(txn, root_, kOrg, "rbac/reader", SubjectOf(ann.fqn)); }).ok());
  EXPECT_EQ(TryDeleteBare(ann.fqn), "USER_HAS_ROLES");
  EXPECT_TRUE(Delete(ann.fqn).ok());
  ASSERT_EQ(TryDeleteBare("organizations/o/tenants/t"), "");
  EXPECT_EQ(Create("Tenant", "organizations/o/tenants/t", root_).error().reason, "STORE_DAMAGED");
  EXPECT_EQ(TryDeleteBare(kOrg), "HAS_MEMBERS");
  EXPECT_EQ(Create("Tenant", "organizations/nowhere/tenants/t", root_).error().reason, "RESOURCE_MISSING");
}

TEST_F(TenancyPolicyTest, AStoreWhoseBindingsNameNobodyIsNotOpened) {
  v2::AccessBindings message;
  auto* binding = message.add_allow();
  binding->set_role("rbac/admin");
  binding->add_subjects()->set_user("organizations/o/users/ghost");
  const std::string body = message.SerializeAsString();
  store_.reset();
  {
    auto database = store::Database::Open(Path(), "", false);
    ASSERT_TRUE(database.ok());
    auto damage =
        database->Prepare("UPDATE versions SET body = ? WHERE fqn = 'organizations/o/users/root/accessbindings'");
    ASSERT_TRUE(damage.ok());
    ASSERT_TRUE(damage->Blob(body).Run().ok());
  }
  EXPECT_EQ(TryOpen(), "STORE_DAMAGED");
}

// What schema 2 had in place of the installation's roles.
constexpr const char* kSchema2 = R"sql(
  DROP TABLE overlays; DROP TABLE change_sets; DROP TABLE used_assertions; ALTER TABLE sessions DROP COLUMN key_thumbprint;
  DROP TABLE kept_answers; DROP TABLE revisions; DROP TABLE audit_anchor; DELETE FROM counters WHERE name LIKE 'history%';
  DROP TABLE installation_roles;
  CREATE TABLE nodes(name TEXT PRIMARY KEY, type INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE assignments(
    member TEXT NOT NULL REFERENCES nodes ON DELETE CASCADE, container TEXT NOT NULL REFERENCES nodes,
    PRIMARY KEY(member, container)) STRICT, WITHOUT ROWID;
  CREATE INDEX assignments_by_container ON assignments(container);
  CREATE TABLE associations(
    source TEXT NOT NULL REFERENCES nodes ON DELETE CASCADE, target TEXT NOT NULL REFERENCES nodes ON DELETE CASCADE,
    rights TEXT NOT NULL, PRIMARY KEY(source, target)) STRICT, WITHOUT ROWID;
  CREATE INDEX associations_by_target ON associations(target);
  PRAGMA user_version = 2)sql";

// Schema 2 kept the graph in tables. The resources say all of it but who has a role on the installation.
TEST_F(TenancyPolicyTest, TheGraphOfAnOlderFileIsTheSameOneDerived) {
  const Principal ann = CreateUser("ann");
  ASSERT_TRUE(Create("Tenant", "organizations/o/tenants/t", ann).ok());
  ASSERT_TRUE(store_->Write([&](Txn& txn) { return txn.PutInstallationRole("rbac/reader", ann.uid); }).ok());
  const std::string before = Followed();
  store_.reset();
  {
    auto database = store::Database::Open(Path(), "", false);
    ASSERT_TRUE(database.ok());
    ASSERT_TRUE(database->Execute(kSchema2).ok());
    const auto insert = [&](const char* sql, std::initializer_list<std::string> values) {
      auto statement = database->Prepare(sql);
      ASSERT_TRUE(statement.ok());
      for (const std::string& value : values) statement->Text(value);
      ASSERT_TRUE(statement->Run().ok());
    };
    for (const std::string node : {"users", "root", "tenancy", "b:root:rbac/admin", "b:root:rbac/reader"}) {
      insert("INSERT INTO nodes VALUES(?, 2)", {node});
    }
    for (const Principal& user : {root_, ann}) insert("INSERT INTO nodes VALUES(?, 3)", {"u:" + user.uid});
    insert("INSERT INTO assignments VALUES(?, ?)", {"b:root:rbac/admin", "users"});
    insert("INSERT INTO assignments VALUES(?, ?)", {"u:" + ann.uid, "users"});
    insert("INSERT INTO assignments VALUES(?, ?)", {"u:" + root_.uid, "b:root:rbac/admin"});
    insert("INSERT INTO assignments VALUES(?, ?)", {"u:" + ann.uid, "b:root:rbac/reader"});
    insert("INSERT INTO associations VALUES(?, ?, 'read')", {"b:root:rbac/admin", "root"});
  }
  Reopen();
  EXPECT_EQ(Followed(), before);
  EXPECT_TRUE(store_->Read()->HasInstallationRole("rbac/admin", root_.uid));
}

}  // namespace
}  // namespace weir::authz
