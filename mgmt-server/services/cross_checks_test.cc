#include "mgmt-server/services/cross_checks.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "api/weir/v2/cluster.pb.h"
#include "api/weir/v2/gateway.pb.h"
#include "api/weir/v2/gateway_group.pb.h"
#include "api/weir/v2/organization.pb.h"
#include "api/weir/v2/tier1_gateway.pb.h"
#include "api/weir/v2/workspace.pb.h"
#include "mgmt-server/services/writes.h"
#include "mgmt-server/store/temp_store.h"

namespace weir::services {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string GroupOf(const std::string& organization, const std::string& tenant) {
  return fmt::format("organizations/{}/tenants/{}/workspaces/w/gatewaygroups/g", organization, tenant);
}

class Checked : public testing::Test {
 protected:
  // "" = stored, else the reason; the message is kept.
  template <typename T>
  std::string Put(const std::string& fqn, const std::string& text) {
    T message;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
    const Status status = store_->Write([&](store::Txn& txn) -> Status {
      WEIR_ASSIGN(const store::ResourcePtr stored,
                  txn.Put({T::descriptor()->name(), fqn, Serialize(message), {}, std::nullopt}));
      std::vector<Issue> issues;
      checks_.Check(txn.view(), *stored, [this](const store::StoredResource&) { return may_read_; }, issues);
      return ToStatus(issues);
    });
    text_ = status.ok() ? "" : status.error().message;
    for (const auto& violation : status.ok() ? std::vector<FieldViolation>() : status.error().violations) {
      text_ += "|" + violation.field + ": " + violation.description;
    }
    return status.ok() ? "" : status.error().reason;
  }
  std::string PutWorkspace(const std::string& organization, const std::string& tenant, const std::string& spec) {
    const std::string group = GroupOf(organization, tenant);
    const std::string said =
        Put<v2::Workspace>(group.substr(0, group.find("/gatewaygroups")), fmt::format("spec {{ {} }}", spec));
    EXPECT_EQ(Put<v2::GatewayGroup>(group, "spec {}"), "");
    return said;
  }
  std::string PutEntry(const std::string& organization, const std::string& tenant, const std::string& name,
                       const std::string& workloads, const std::string& service) {
    return Put<v2::Gateway>(
        GroupOf(organization, tenant) + "/gateways/" + name,
        fmt::format("spec {{ workload_selector {{ namespace: '{}' labels {{ key: 'app' value: 'gw' }} }} http {{ name: "
                    "'s' hostname: 'x.test' port: 80 routing {{ rules {{ route {{ service_destination {{ host: "
                    "'{}/web.x' port: 1 }} }} }} }} }} }}",
                    workloads, service));
  }

  store::TempStore store_;
  CrossChecks checks_{*store_};
  std::string text_;
  bool may_read_ = true;
};

TEST_F(Checked, AGatewayServesOnlyNamespacesOfItsWorkspace) {
  ASSERT_EQ(PutWorkspace("o", "a", "namespace_selector { names: '*/a' }"), "");
  ASSERT_EQ(PutWorkspace("o", "b", "namespace_selector { names: '*/b' }"), "");
  EXPECT_EQ(PutEntry("o", "a", "mine", "a", "a"), "");
  EXPECT_EQ(PutEntry("o", "a", "mine", "a", "b"), "SERVICE_OUTSIDE_WORKSPACE");
  EXPECT_THAT(text_, HasSubstr("|spec.http[0].routing.rules[0].route.serviceDestination.host: "));
  EXPECT_THAT(text_, HasSubstr("spec.privileged"));  // The remedy
  EXPECT_THAT(text_, Not(HasSubstr("tenants/b")));   // tells nothing of who owns it.
  EXPECT_EQ(PutEntry("o", "a", "mine", "a", "nobodys"), "SERVICE_OUTSIDE_WORKSPACE");
  EXPECT_EQ(PutEntry("o", "a", "mine", "b", "a"), "WORKLOADS_OUTSIDE_WORKSPACE");
  ASSERT_EQ(PutWorkspace("o", "a", "namespace_selector { names: '*/a' } privileged: true"), "");
  EXPECT_EQ(PutEntry("o", "a", "mine", "a", "b"), "");
  EXPECT_EQ(PutEntry("o", "a", "mine", "b", "a"), "WORKLOADS_OUTSIDE_WORKSPACE");
  // It is taken away whatever points there.
  EXPECT_EQ(PutWorkspace("o", "a", "namespace_selector { names: '*/a' }"), "");
}

TEST_F(Checked, ANamespaceIsTakenOnceInAnOrganization) {
  ASSERT_EQ(PutWorkspace("o", "a", "namespace_selector { names: 'c1/*' }"), "");
  EXPECT_EQ(PutWorkspace("o", "b", "namespace_selector { names: '*/n' }"), "NAMESPACE_TAKEN");
  EXPECT_EQ(PutWorkspace("o", "b", "namespace_selector { names: 'c2/n' }"), "");
}

TEST_F(Checked, AWorkspaceIsComparedOnlyWithThoseThatItTouches) {
  for (int i = 0; i < 300; ++i) {
    const std::string number = std::to_string(i);
    ASSERT_EQ(PutWorkspace("o", "t" + number, "namespace_selector { names: '*/n" + number + "' }"), "");
  }
  EXPECT_EQ(checks_.workspaces_compared(), 0u);
  EXPECT_EQ(PutWorkspace("o", "t300", "namespace_selector { names: 'c/n7' }"), "NAMESPACE_TAKEN");
  EXPECT_EQ(checks_.workspaces_compared(), 1u);
  // A namespace that was given up is free, and what a refused write wanted is nobody's.
  ASSERT_EQ(PutWorkspace("o", "t7", "namespace_selector { names: '*/other' }"), "");
  EXPECT_EQ(PutWorkspace("o", "t301", "namespace_selector { names: '*/n7' }"), "");
  // A new one that begins with what is stored knows it all the same.
  CrossChecks later(*store_);
  std::vector<Issue> issues;
  ASSERT_TRUE(store_
                  ->Write([&](store::Txn& txn) -> Status {
                    v2::Workspace workspace;
                    workspace.mutable_spec()->mutable_namespace_selector()->add_names("*/n9");
                    WEIR_ASSIGN(const store::ResourcePtr stored, txn.Put({"Workspace",
                                                                          "organizations/o/tenants/t302/workspaces/w",
                                                                          Serialize(workspace),
                                                                          {},
                                                                          std::nullopt}));
                    later.Check(txn.view(), *stored, [](const store::StoredResource&) { return true; }, issues);
                    return {};
                  })
                  .ok());
  ASSERT_EQ(issues.size(), 1u);
  EXPECT_EQ(issues[0].reason, "NAMESPACE_TAKEN");
}

// Organizations share nothing: not hosts, not namespaces, not clusters.
TEST_F(Checked, TheSameDocumentsStandInTwoOrganizations) {
  for (const char* organization : {"o", "p"}) {
    ASSERT_EQ(PutWorkspace(organization, "t", "namespace_selector { names: '*/n' }"), "");
    EXPECT_EQ(PutEntry(organization, "t", "entry", "n", "n"), "") << organization << ": " << text_;
    EXPECT_EQ(PutEntry(organization, "t", "twin", "n", "n"), "GATEWAY_HOST_TAKEN");
  }
  ASSERT_EQ(Put<v2::Cluster>("organizations/o/clusters/c", "spec {}"), "");
  const auto edge = [&](const char* organization) {
    return Put<v2::Tier1Gateway>(GroupOf(organization, "t") + "/tier1gateways/a",
                                 "spec { workload_selector { namespace: 'n' labels { key: 'app' value: 't1' } } "
                                 "external_servers { name: 's' hostname: 'y.test' port: 80 clusters { name: 'c' } } }");
  };
  EXPECT_EQ(edge("p"), "CLUSTER_MISSING");
  EXPECT_EQ(edge("o"), "");
  const store::ViewPtr view = store_->Read();
  EXPECT_EQ(checks_.UserOfCluster(*view, *view->Get("organizations/o/clusters/c"), ""),
            GroupOf("o", "t") + "/tier1gateways/a");
}

TEST_F(Checked, DomainsOfOrganizationsDoNotOverlap) {
  const auto put = [&](const std::string& name, const std::string& domain) {
    return Put<v2::Organization>("organizations/" + name, fmt::format("spec {{ domain: '{}' }}", domain));
  };
  EXPECT_EQ(put("a", "acme.test"), "");
  EXPECT_EQ(put("a", "acme.test"), "");  // Itself.
  EXPECT_EQ(put("b", "acme.test"), "DOMAIN_TAKEN");
  EXPECT_THAT(text_, HasSubstr("organizations/a"));
  EXPECT_THAT(text_, HasSubstr("spec.domain"));
  EXPECT_EQ(put("b", "c1.acme.test"), "DOMAIN_TAKEN");  // A cluster of a has it, or may.
  EXPECT_EQ(put("b", "test"), "DOMAIN_TAKEN");
  EXPECT_EQ(put("b", "1.weir-server"), "DOMAIN_TAKEN");
  EXPECT_EQ(put("b", "notacme.test"), "");
  may_read_ = false;
  EXPECT_EQ(put("c", "x.acme.test"), "DOMAIN_TAKEN");
  EXPECT_THAT(text_, Not(HasSubstr("organizations/a")));
  EXPECT_TRUE(CrossChecks::OverlappingDomains(*store_->Read()).empty());
  ASSERT_TRUE(store_
                  ->Write([](store::Txn& txn) {  // As an older state may have it.
                    v2::Organization nested;
                    nested.mutable_spec()->set_domain("x.acme.test");
                    return txn.Put({"Organization", "organizations/d", Serialize(nested), {}, {}});
                  })
                  .ok());
  EXPECT_EQ(CrossChecks::OverlappingDomains(*store_->Read()).size(), 1u);
}

}  // namespace
}  // namespace weir::services
