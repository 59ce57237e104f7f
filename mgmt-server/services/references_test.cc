#include "mgmt-server/services/references.h"

#include <gtest/gtest.h>

#include "api/weir/v2/access_bindings.pb.h"
#include "api/weir/v2/gateway.pb.h"
#include "api/weir/v2/gateway_group.pb.h"
#include "api/weir/v2/tier1_gateway.pb.h"
#include "api/weir/v2/workspace.pb.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/store/temp_store.h"

namespace weir::services {
namespace {

const std::string kOrg = "organizations/o";
const std::string kShop = kOrg + "/tenants/shop";
const std::string kObject = kOrg + "/tenants/platform/workspaces/w/gatewaygroups/g/tier1gateways/a";

class Reaching : public testing::Test {
 protected:
  Reaching() {
    Create("Organization", kOrg, {});
    for (const char* name : {"root", "ann"}) Create("User", kOrg + "/users/" + name, {});
    root_ = {kOrg + "/users/root", store_->Read()->Get(kOrg + "/users/root")->uid};
    EXPECT_TRUE(store_->Write([&](store::Txn& txn) { return authz::GrantInstallation(txn, kOrg, root_.uid); }).ok());
    ann_ = {kOrg + "/users/ann", store_->Read()->Get(kOrg + "/users/ann")->uid};
    Create("Tenant", kOrg + "/tenants/platform", root_);
    Create("Tenant", kShop, root_);
  }
  void Create(const std::string& kind, const std::string& fqn, const authn::Principal& creator) {
    const Status created = store_->Write([&](store::Txn& txn) -> Status {
      WEIR_ASSIGN(const store::ResourcePtr resource, txn.Put({kind, fqn, fqn, {}, ""}));
      return authz::OnCreate(txn, *resource, creator);
    });
    ASSERT_TRUE(created.ok()) << created.error().ToString();
  }
  void Grant(const std::string& role, const std::string& on = kShop) {
    v2::Subject subject;
    subject.set_user(ann_.fqn);
    const auto granted = store_->Write([&](store::Txn& txn) { return authz::Grant(txn, root_, on, role, subject); });
    ASSERT_TRUE(granted.ok()) << granted.error().ToString();
  }
  // "" = ok, else the reason.
  std::string Write(const v2::Tier1Gateway* before, const v2::Tier1Gateway& after, std::string_view fqn = kObject) {
    const Status checked = CheckRights(*store_->Read(), ann_, fqn, before, after);
    if (checked.ok()) return "";
    EXPECT_EQ(checked.error().violations.at(0).field, "spec.externalServers[0].tenant");
    return checked.error().reason;
  }
  static v2::Tier1Gateway Object(const std::string& host, const std::string& tenant) {
    v2::Tier1Gateway object;
    auto* server = object.mutable_spec()->add_external_servers();
    server->set_hostname(host);
    server->set_tenant(tenant);
    return object;
  }

  store::TempStore store_{authz::TenancyPolicy()};
  authn::Principal root_, ann_;
};

TEST_F(Reaching, NeedsTheRightWriteOnTheOtherTenant) {
  EXPECT_EQ(Write(nullptr, Object("x.test", "shop")), "RESOURCE_MISSING");
  EXPECT_EQ(Write(nullptr, Object("x.test", "nobody")), "RESOURCE_MISSING");  // Nobody learns which of them exist.
  Grant("reader");
  EXPECT_EQ(Write(nullptr, Object("x.test", "shop")), "RIGHT_MISSING");
  Grant("writer");
  EXPECT_EQ(Write(nullptr, Object("x.test", "shop")), "");
}

// Who names the own tenant draws on all of its workspaces, whoever has the host.
TEST_F(Reaching, NeedsNothingForTheOwnTenantUnlessItIsNamed) {
  EXPECT_EQ(Write(nullptr, Object("x.test", "")), "");
  EXPECT_EQ(Write(nullptr, Object("x.test", "platform")), "RESOURCE_MISSING");
  const v2::Tier1Gateway unnamed = Object("x.test", "");
  EXPECT_EQ(Write(&unnamed, Object("x.test", "platform")), "RESOURCE_MISSING");
  Grant("writer", kOrg + "/tenants/platform");
  EXPECT_EQ(Write(nullptr, Object("x.test", "platform")), "");
}

// Who may write a workspace or a group does not widen it: that is for who may write what it lies in.
class Bounds : public Reaching {
 protected:
  template <typename T>
  static T With(std::initializer_list<const char*> names) {
    T message;
    for (const char* name : names) message.mutable_spec()->mutable_namespace_selector()->add_names(name);
    return message;
  }
  std::string Reason(const std::string& fqn, const google::protobuf::Message* before,
                     const google::protobuf::Message& after, const std::string& field = "") {
    const Status checked = CheckRights(*store_->Read(), ann_, fqn, before, after);
    if (checked.ok()) return "";
    EXPECT_EQ(checked.error().violations.at(0).field, field);
    return checked.error().reason;
  }
  const std::string kWorkspace = kOrg + "/tenants/platform/workspaces/w";
  const std::string kSecond = "spec.namespaceSelector.names[1]";
};

TEST_F(Bounds, OfAWorkspaceAreDrawnByWhoMayWriteTheTenant) {
  Create("Workspace", kWorkspace, ann_);  // So she is its administrator.
  const auto stored = With<v2::Workspace>({"c1/*", "*/m"});
  const auto narrower = With<v2::Workspace>({"c1/a", "c2/m"}), wider = With<v2::Workspace>({"c1/*", "*/db"});
  EXPECT_EQ(Reason(kWorkspace, &stored, stored), "");
  EXPECT_EQ(Reason(kWorkspace, &stored, narrower), "");
  EXPECT_EQ(Reason(kWorkspace, &stored, wider, kSecond), "RESOURCE_MISSING");
  EXPECT_EQ(Reason(kWorkspace, &narrower, stored, "spec.namespaceSelector.names[0]"), "RESOURCE_MISSING");
  EXPECT_EQ(Reason(kWorkspace, nullptr, wider), "");  // The right create on the tenant was asked.
  Grant("reader", kOrg + "/tenants/platform");
  EXPECT_EQ(Reason(kWorkspace, &stored, wider, kSecond), "RIGHT_MISSING");
  Grant("writer", kOrg + "/tenants/platform");
  EXPECT_EQ(Reason(kWorkspace, &stored, wider), "");
}

TEST_F(Bounds, OfAGroupAreDrawnByWhoMayWriteTheWorkspace) {
  const std::string group = kWorkspace + "/gatewaygroups/g";
  Create("Workspace", kWorkspace, root_);
  Create("GatewayGroup", group, root_);
  Grant("editor", group);
  const v2::GatewayGroup all;
  const auto one = With<v2::GatewayGroup>({"c1/a"}), two = With<v2::GatewayGroup>({"c1/a", "c1/b"});
  EXPECT_EQ(Reason(group, &one, two, kSecond), "RESOURCE_MISSING");
  EXPECT_EQ(Reason(group, &one, all, "spec.namespaceSelector"), "RESOURCE_MISSING");
  EXPECT_EQ(Reason(group, &all, two), "");
  EXPECT_EQ(Reason(group, &two, one), "");
  Grant("writer", kWorkspace);
  EXPECT_EQ(Reason(group, &one, two), "");
  EXPECT_EQ(Reason(group, &one, all), "");
}

// Who writes a workspace may not open it to all namespaces of the organization; who writes the organization may.
TEST_F(Reaching, APrivilegedWorkspaceNeedsTheRightWriteOnTheOrganization) {
  const std::string fqn = kOrg + "/tenants/platform/workspaces/w";
  v2::Workspace plain, privileged;
  privileged.mutable_spec()->set_privileged(true);
  const auto reason = [&](const v2::Workspace* before, const v2::Workspace& after) -> std::string {
    const Status checked = CheckRights(*store_->Read(), ann_, fqn, before, after);
    if (checked.ok()) return "";
    EXPECT_EQ(checked.error().violations.at(0).field, "spec.privileged");
    return checked.error().reason;
  };
  EXPECT_EQ(reason(nullptr, plain), "");
  EXPECT_EQ(reason(nullptr, privileged), "RESOURCE_MISSING");
  Grant("admin", kOrg + "/tenants/platform");  // All rights of a tenant are not enough.
  EXPECT_EQ(reason(&plain, privileged), "RESOURCE_MISSING");
  Grant("reader", kOrg);
  EXPECT_EQ(reason(&plain, privileged), "RIGHT_MISSING");
  EXPECT_EQ(reason(&privileged, privileged), "");  // It was given by somebody who could.
  EXPECT_EQ(reason(&privileged, plain), "");
  Grant("writer", kOrg);
  EXPECT_EQ(reason(nullptr, privileged), "");
}

TEST_F(Reaching, CountsForGatewaysToo) {
  v2::Gateway gateway;
  gateway.mutable_spec()->add_http()->set_tenant("shop");
  const Status checked = CheckRights(*store_->Read(), ann_, kObject, nullptr, gateway);
  ASSERT_FALSE(checked.ok());
  EXPECT_EQ(checked.error().violations.at(0).field, "spec.http[0].tenant");
}

}  // namespace
}  // namespace weir::services
