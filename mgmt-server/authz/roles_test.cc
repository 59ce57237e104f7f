#include "mgmt-server/authz/roles.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <random>
#include <set>

#include "api/weir/v2/access_bindings.pb.h"
#include "api/weir/v2/role.pb.h"
#include "api/weir/v2/team.pb.h"
#include "libs/base/ids.h"
#include "libs/ngac/oracle.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/authz/subjects.h"
#include "mgmt-server/store/sqlite/sqlite_store.h"

namespace weir::authz {
namespace {

using authn::Principal;
using resource::Kind;
using store::ResourcePtr;
using store::Txn;

const std::string kOrg = "organizations/o";
const std::string kTenant = kOrg + "/tenants/t";
const std::string kCluster = kOrg + "/clusters/c";

v2::RoleSpec SpecOf(const std::string& text) {
  v2::RoleSpec spec;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &spec)) << text;
  return spec;
}

// An organization with its administrator, in a file that may be closed and opened again.
class RolesTest : public testing::Test {
 protected:
  RolesTest() : folder_(std::filesystem::temp_directory_path() / ("weir-roles-" + RandomHex(6))) {
    std::filesystem::create_directories(folder_);
    Reopen();
    Put("Organization", kOrg, "");
    root_ = User("root");
    EXPECT_TRUE(store_->Write([&](Txn& txn) { return GrantInstallation(txn, kOrg, root_.uid); }).ok());
    Put("Tenant", kTenant, "");
    Put("Cluster", kCluster, "");
  }
  ~RolesTest() override {
    store_.reset();
    std::filesystem::remove_all(folder_);
  }
  void Reopen() {
    store_.reset();
    auto opened = store::OpenSqlite({.path = folder_ / "weir.db"}, TenancyPolicy());
    ASSERT_TRUE(opened.ok()) << opened.error().ToString();
    store_ = std::move(opened).value();
  }
  std::string Put(const std::string& kind, const std::string& fqn, const std::string& body) {
    const auto done = store_->Write([&](Txn& txn) -> Status {
      const bool fresh = txn.Get(fqn) == nullptr;
      WEIR_ASSIGN(const ResourcePtr stored, txn.Put({kind, fqn, body, {}, std::nullopt}));
      return fresh ? OnCreate(txn, *stored, {}) : Status();
    });
    return done.ok() ? "" : done.error().reason;
  }
  std::string PutRole(const std::string& name, const std::string& text) {
    v2::Role role;
    *role.mutable_spec() = SpecOf(text);
    return Put("Role", kOrg + "/roles/" + name, role.SerializeAsString());
  }
  std::string Delete(const std::string& fqn, const std::string& going) {
    const auto done = store_->Write([&](Txn& txn) -> Status {
      WEIR_TRY(OnDelete(txn, *txn.Get(fqn), going));
      WEIR_TRY(txn.Delete(fqn));
      return {};
    });
    return done.ok() ? "" : done.error().reason;
  }
  Principal User(const std::string& name, const std::string& kind = "User", const std::string& collection = "users") {
    const std::string fqn = kOrg + "/" + collection + "/" + name;
    EXPECT_EQ(Put(kind, fqn, ""), "");
    return {fqn, store_->Read()->Get(fqn)->uid};
  }
  std::string TryGrant(const Principal& by, const std::string& on, const std::string& role, const std::string& to) {
    v2::Subject subject;
    SetFqn(to, subject);
    const auto done = store_->Write([&](Txn& txn) { return Grant(txn, by, on, role, subject); });
    return done.ok() ? "" : done.error().reason;
  }
  std::string TryRevoke(const std::string& on, const std::string& role, const std::string& from) {
    v2::Subject subject;
    SetFqn(from, subject);
    const auto done = store_->Write([&](Txn& txn) { return Revoke(txn, root_, on, role, subject); });
    return done.ok() ? "" : done.error().reason;
  }
  bool May(const Principal& who, Right right, const std::string& fqn, std::optional<Kind> created = std::nullopt) {
    return Authorize(*store_->Read(), who, right, fqn, created).ok();
  }
  std::string Followed() const { return ngac::Describe(store_->Read()->graph()); }
  std::string MayGive(const Principal& who, const std::string& before, const std::string& after) {
    const v2::RoleSpec was = SpecOf(before), is = SpecOf(after);
    const Status checked = CheckMayGive(*store_->Read(), who, kOrg, before.empty() ? nullptr : &was, is);
    return checked.ok() ? "" : checked.error().reason;
  }

  std::filesystem::path folder_;
  std::unique_ptr<store::Store> store_;
  Principal root_;
};

TEST_F(RolesTest, GiveTheirRightsOnTheirKindsOnly) {
  ASSERT_EQ(PutRole("op",
                    "rules { kinds: 'Cluster' rights: 'read' rights: 'write' } rules { kinds: 'Tenant' rights: "
                    "'create' }"),
            "");
  const Principal ann = User("ann"), ci = User("ci", "ServiceAccount", "serviceaccounts");
  for (const Principal& who : {ann, ci}) {
    ASSERT_EQ(TryGrant(root_, kOrg, "op", who.fqn), "");
    EXPECT_TRUE(May(who, Right::kRead, kCluster));
    EXPECT_TRUE(May(who, Right::kWrite, kCluster));
    EXPECT_FALSE(May(who, Right::kDelete, kCluster));
    EXPECT_FALSE(May(who, Right::kJoin, kCluster));
    EXPECT_FALSE(May(who, Right::kRead, kTenant));
    EXPECT_FALSE(May(who, Right::kRead, kOrg));
  }
  // Who may create below must be able to read where: else even the refusal would say that it is there.
  EXPECT_FALSE(May(ann, Right::kCreate, kOrg, Kind::kTenant));
  ASSERT_EQ(PutRole("op", "rules { kinds: 'Organization' rights: 'read' } rules { kinds: 'Tenant' rights: 'create' }"),
            "");
  EXPECT_TRUE(May(ann, Right::kCreate, kOrg, Kind::kTenant));
  EXPECT_FALSE(May(ann, Right::kCreate, kOrg, Kind::kCluster));
  EXPECT_FALSE(May(ann, Right::kCreate, kOrg, Kind::kUser));
}

TEST_F(RolesTest, AChangeCountsAtOnceWhereverItIsBound) {
  ASSERT_EQ(PutRole("r", "rules { rights: 'read' }"), "");
  const Principal ann = User("ann"), bob = User("bob");
  ASSERT_EQ(TryGrant(root_, kTenant, "rbac/r", ann.fqn), "");
  ASSERT_EQ(TryGrant(root_, kCluster, "rbac/r", bob.fqn), "");
  EXPECT_FALSE(May(ann, Right::kWrite, kTenant));
  ASSERT_EQ(PutRole("r", "rules { rights: 'read' rights: 'write' }"), "");
  EXPECT_TRUE(May(ann, Right::kWrite, kTenant));
  EXPECT_TRUE(May(bob, Right::kWrite, kCluster));
  ASSERT_EQ(PutRole("r", "rules { kinds: 'Cluster' rights: 'read' }"), "");
  EXPECT_FALSE(May(ann, Right::kRead, kTenant));
  EXPECT_TRUE(May(bob, Right::kRead, kCluster));
  EXPECT_FALSE(May(bob, Right::kWrite, kCluster));
  const std::string before = Followed();
  Reopen();
  EXPECT_EQ(Followed(), before);
}

TEST_F(RolesTest, NobodyGivesMoreThanHeHas) {
  const Principal ann = User("ann");
  ASSERT_EQ(TryGrant(root_, kOrg, "editor", ann.fqn), "");
  EXPECT_EQ(MayGive(ann, "", "rules { rights: 'read' rights: 'delete' }"), "");
  EXPECT_EQ(MayGive(ann, "", "rules { kinds: 'User' rights: 'set-policy' }"), "ROLE_EXCEEDS_OWN");
  EXPECT_EQ(MayGive(ann, "", "rules { kinds: 'Cluster' rights: 'cluster.join' }"), "ROLE_EXCEEDS_OWN");
  // What a role gave before, and less than it gave, is nobody's gift.
  EXPECT_EQ(MayGive(ann, "rules { rights: 'set-policy' }", "rules { kinds: 'User' rights: 'set-policy' }"), "");
  EXPECT_EQ(MayGive(ann, "rules { kinds: 'User' rights: 'set-policy' }", "rules { rights: 'set-policy' }"),
            "ROLE_EXCEEDS_OWN");
  // Bound: what the role gives there, by who holds it there.
  ASSERT_EQ(PutRole("policy", "rules { kinds: 'Tenant' rights: 'set-policy' rights: 'read' }"), "");
  ASSERT_EQ(PutRole("join", "rules { kinds: 'Cluster' rights: 'cluster.join' }"), "");
  const Principal bob = User("bob");
  ASSERT_EQ(TryGrant(root_, kTenant, "policy", bob.fqn), "");
  EXPECT_EQ(TryGrant(bob, kTenant, "policy", ann.fqn), "");
  EXPECT_EQ(TryGrant(bob, kTenant, "join", ann.fqn), "GRANT_EXCEEDS_OWN");
  EXPECT_EQ(TryGrant(bob, kTenant, "reader", ann.fqn), "GRANT_EXCEEDS_OWN");
  EXPECT_EQ(TryGrant(bob, kTenant, "nobody", ann.fqn), "UNKNOWN_ROLE");
}

TEST_F(RolesTest, ANameThatIsMadeAgainInheritsNothing) {
  ASSERT_EQ(PutRole("r", "rules { rights: 'read' }"), "");
  const Principal ann = User("ann");
  ASSERT_EQ(TryGrant(root_, kTenant, "r", ann.fqn), "");
  const std::string role = kOrg + "/roles/r";
  EXPECT_EQ(Delete(role, role), "ROLE_IN_USE");
  const auto& stored = *store_->Read()->Get(role);
  const Status unbound = CheckUnbound(*store_->Read(), root_, stored, role);
  ASSERT_FALSE(unbound.ok());
  EXPECT_NE(unbound.error().message.find(kTenant), std::string::npos);
  const Status stranger = CheckUnbound(*store_->Read(), User("eve"), stored, role);
  ASSERT_FALSE(stranger.ok());
  EXPECT_EQ(stranger.error().message.find(kTenant), std::string::npos);
  ASSERT_EQ(TryRevoke(kTenant, "r", ann.fqn), "");
  EXPECT_EQ(Delete(role, role), "");
  ASSERT_EQ(PutRole("r", "rules { rights: 'read' rights: 'write' }"), "");
  EXPECT_FALSE(May(ann, Right::kRead, kTenant));
  // Together with its organization it goes, bound or not.
  ASSERT_EQ(TryGrant(root_, kTenant, "r", ann.fqn), "");
  EXPECT_EQ(Delete(role, kOrg), "");
  EXPECT_FALSE(May(ann, Right::kRead, kTenant));
}

// The plain oracle: who has a role on something at or above a place has there what the role gives on the place's kind.
class RandomRoles : public RolesTest {
 protected:
  using Gives = std::set<std::pair<Right, Kind>>;

  RandomRoles() {
    for (const char* name : {"a", "b", "c", "d"}) users_.push_back(User(name));
    users_.push_back(User("sa", "ServiceAccount", "serviceaccounts"));
    for (const char* name : {"x", "y"}) {
      const std::string tenant = kOrg + "/tenants/" + name;
      Put("Tenant", tenant, "");
      Put("Workspace", tenant + "/workspaces/w", "");
      Put("GatewayGroup", tenant + "/workspaces/w/gatewaygroups/g", "");
      for (const char* below : {"", "/workspaces/w", "/workspaces/w/gatewaygroups/g"})
        places_.push_back(tenant + below);
    }
    places_.insert(places_.end(), {kOrg, kCluster});
    for (const Role& role : Roles()) {
      for (const Right right : role.rights) {
        for (const Kind kind : kinds_) roles_[role.name].emplace(right, kind);
      }
    }
  }
  size_t Pick(size_t n) { return random_() % n; }
  void ChangeRole(const std::string& name) {
    v2::Role role;
    Gives gives;
    for (size_t rule = 0; rule <= Pick(3); ++rule) {
      auto& made = *role.mutable_spec()->add_rules();
      std::set<Kind> kinds;
      for (size_t i = Pick(4); i > 0; --i) kinds.insert(kinds_[Pick(kinds_.size())]);
      for (const Kind kind : kinds) made.add_kinds(resource::Info(kind).name);
      if (kinds.empty()) kinds.insert(kinds_.begin(), kinds_.end());
      for (size_t i = 0; i <= Pick(3); ++i) {
        const Right right = resource::kRights[Pick(resource::kRights.size())];
        made.add_rights(std::string(RightName(right)));
        for (const Kind kind : kinds) gives.emplace(right, kind);
      }
    }
    ASSERT_EQ(Put("Role", kOrg + "/roles/" + name, role.SerializeAsString()), "");
    roles_["rbac/" + name] = std::move(gives);
  }
  void Step() {
    const std::string name = "r" + std::to_string(Pick(4));
    const std::string& place = places_[Pick(places_.size())];
    const std::string& user = users_[Pick(users_.size())].fqn;
    auto role = roles_.begin();
    std::advance(role, static_cast<std::ptrdiff_t>(Pick(roles_.size())));
    switch (Pick(6)) {
      case 0:
        return ChangeRole(name);
      case 1: {
        const bool known = roles_.contains("rbac/" + name);
        const bool bound = std::any_of(bound_.begin(), bound_.end(),
                                       [&](const auto& each) { return std::get<1>(each) == "rbac/" + name; });
        if (!known) return;
        const std::string fqn = kOrg + "/roles/" + name;
        ASSERT_EQ(Delete(fqn, fqn), bound ? "ROLE_IN_USE" : "");
        if (!bound) roles_.erase("rbac/" + name);
        return;
      }
      case 2:
      case 3:
        if (bound_.erase({place, role->first, user}) == 0) return;
        ASSERT_EQ(TryRevoke(place, role->first, user), "");
        return;
      default:
        ASSERT_EQ(TryGrant(root_, place, role->first, user), "");
        bound_.emplace(place, role->first, user);
    }
  }
  bool Judged(const std::string& user, Right right, Kind kind, const std::string& place) const {
    return std::any_of(bound_.begin(), bound_.end(), [&](const auto& each) {
      const auto& [on, role, who] = each;
      return who == user && resource::IsAtOrBelow(place, on) && roles_.at(role).contains({right, kind});
    });
  }
  void Compare(size_t* allowed) {
    for (const Principal& user : users_) {
      for (const std::string& place : places_) {
        const Kind own = resource::ParseFqn(place)->kind;
        const bool reads = Judged(user.fqn, Right::kRead, own, place);
        for (const Right right : resource::kRights) {
          for (const Kind kind : right == Right::kCreate ? kinds_ : std::vector<Kind>{own}) {
            const bool judged = reads && Judged(user.fqn, right, kind, place);
            *allowed += judged;
            ASSERT_EQ(May(user, right, place, right == Right::kCreate ? std::optional(kind) : std::nullopt), judged)
                << user.fqn << " " << RightName(right) << " " << resource::Info(kind).name << " " << place;
          }
        }
      }
    }
  }

  std::mt19937 random_{11};
  const std::vector<Kind> kinds_ = {Kind::kOrganization, Kind::kCluster,      Kind::kTenant,
                                    Kind::kWorkspace,    Kind::kGatewayGroup, Kind::kTier1Gateway};
  std::vector<Principal> users_;
  std::vector<std::string> places_;
  std::map<std::string, Gives> roles_;
  std::set<std::tuple<std::string, std::string, std::string>> bound_;  // On what, role, to whom.
};

TEST_F(RandomRoles, AreDecidedAsThePlainOracleDoesAndAfterARestartToo) {
  size_t allowed = 0;
  for (int step = 0; step < 400; ++step) {
    Step();
    if (HasFatalFailure()) FAIL() << step;
    if (step % 40 == 39) Compare(&allowed);
    if (step % 160 == 159) {
      const std::string before = Followed();
      Reopen();
      ASSERT_EQ(Followed(), before) << step;
    }
  }
  EXPECT_GT(allowed, 500u);
}

}  // namespace
}  // namespace weir::authz
