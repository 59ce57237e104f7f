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
    T before;
    const store::ResourcePtr had = store_->Read()->Get(fqn);
    const bool known = had != nullptr && before.ParseFromString(had->body);
    const Status status = store_->Write([&](store::Txn& txn) -> Status {
      WEIR_ASSIGN(const store::ResourcePtr stored,
                  txn.Put({T::descriptor()->name(), fqn, Serialize(message), {}, std::nullopt}));
      std::vector<Issue> issues;
      checks_.Check(
          txn.view(), *stored,
          {[this](const store::StoredResource&) { return may_read_; },
           [this](const store::StoredResource&) { return may_write_; }, known ? std::make_shared<T>(before) : nullptr},
          issues);
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
    const std::string text = text_;
    EXPECT_EQ(Put<v2::GatewayGroup>(group, "spec {}"), "");
    text_ = text;
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
  bool may_write_ = false;  // What others have.
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
  EXPECT_THAT(text_, HasSubstr("somebody who may write the tenant"));
  ASSERT_EQ(PutWorkspace("o", "a", "namespace_selector { names: '*/a' } privileged: true"), "");
  EXPECT_EQ(PutEntry("o", "a", "mine", "a", "b"), "");
  EXPECT_EQ(PutEntry("o", "a", "mine", "b", "a"), "WORKLOADS_OUTSIDE_WORKSPACE");
  // It is taken away whatever points there.
  EXPECT_EQ(PutWorkspace("o", "a", "namespace_selector { names: '*/a' }"), "");
}

// Whoever may write a workspace, or a group, need not be who may read all in it.
TEST_F(Checked, WhatStandsInTheWayIsNamedToWhoMayReadIt) {
  const std::string group = GroupOf("o", "a");
  const std::string workspace = group.substr(0, group.find("/gatewaygroups"));
  ASSERT_EQ(PutWorkspace("o", "a", "namespace_selector { names: '*/a' }"), "");
  ASSERT_EQ(PutEntry("o", "a", "mine", "a", "a"), "");
  for (const bool may_read : {true, false}) {
    may_read_ = may_read;
    ASSERT_EQ(Put<v2::GatewayGroup>(group, "spec { namespace_selector { names: '*/a' } }"), "");
    EXPECT_EQ(Put<v2::Workspace>(workspace, "spec { namespace_selector { names: '*/b' } }"), "GROUP_OUTSIDE_WORKSPACE");
    EXPECT_THAT(text_, HasSubstr("|spec.namespaceSelector.names: "));
    EXPECT_THAT(text_, HasSubstr("needs a namespace that would be missing"));
    EXPECT_EQ(text_.find(group) != std::string::npos, may_read) << text_;
    EXPECT_EQ(Put<v2::GatewayGroup>(group, "spec { config_mode: DIRECT }"), "GROUP_MODE_MISMATCH");
    EXPECT_EQ(text_.find("gateways/mine") != std::string::npos, may_read) << text_;
  }
}

TEST_F(Checked, ANamespaceIsTakenOnceInAnOrganization) {
  ASSERT_EQ(PutWorkspace("o", "a", "namespace_selector { names: 'c1/*' }"), "");
  EXPECT_EQ(PutWorkspace("o", "b", "namespace_selector { names: '*/n' }"), "NAMESPACE_TAKEN");
  EXPECT_THAT(text_, HasSubstr("organizations/o/tenants/a/workspaces/w"));
  may_read_ = false;
  EXPECT_EQ(PutWorkspace("o", "b", "namespace_selector { names: '*/n' }"), "NAMESPACE_TAKEN");
  EXPECT_THAT(text_, Not(HasSubstr("tenants/a")));
  EXPECT_EQ(PutWorkspace("o", "b", "namespace_selector { names: 'c2/n' }"), "");
}

// Two workspaces of one tenant, and one of another.
class Hosts : public Checked {
 protected:
  Hosts() {
    EXPECT_EQ(Put<v2::Cluster>("organizations/o/clusters/c", "spec {}"), "");
    for (const std::string workspace : {"t/a", "t/b", "u/a"}) {
      EXPECT_EQ(Put<v2::Workspace>(Workspace(workspace), "spec { namespace_selector { names: '*/" +
                                                             workspace.substr(0, 1) + workspace.substr(2) + "' } }"),
                "");
      EXPECT_EQ(Put<v2::GatewayGroup>(Workspace(workspace) + "/gatewaygroups/g", "spec {}"), "");
    }
  }
  static std::string Workspace(const std::string& name) {
    return "organizations/o/tenants/" + name.substr(0, 1) + "/workspaces/" + name.substr(2);
  }
  static std::string Selector(const std::string& workspace, const char* app) {
    return "workload_selector { namespace: '" + workspace.substr(0, 1) + workspace.substr(2) +
           "' labels { key: 'app' value: '" + app + "' } }";
  }
  std::string PutTier2(const std::string& workspace, const std::string& name, const std::string& host) {
    return Put<v2::Gateway>(Workspace(workspace) + "/gatewaygroups/g/gateways/" + name,
                            "spec { " + Selector(workspace, name.c_str()) + " http { name: 's' hostname: '" + host +
                                "' port: 80 routing { rules { route { service_destination { host: '" +
                                workspace.substr(0, 1) + workspace.substr(2) + "/web.x' port: 1 } } } } } }");
  }
  std::string PutTier1(const std::string& workspace, const std::string& name, const std::string& host,
                       const std::string& tenant = "") {
    return Put<v2::Tier1Gateway>(Workspace(workspace) + "/gatewaygroups/g/tier1gateways/" + name,
                                 "spec { " + Selector(workspace, name.c_str()) +
                                     " external_servers { name: 's' port: 80 hostname: '" + host + "' tenant: '" +
                                     tenant + "' clusters { name: 'c' } } }");
  }
  // A Gateway that goes to clusters is tier 1.
  std::string PutEdge(const std::string& workspace, const std::string& name, const std::string& host) {
    return Put<v2::Gateway>(Workspace(workspace) + "/gatewaygroups/g/gateways/" + name,
                            "spec { " + Selector(workspace, name.c_str()) + " http { name: 's' hostname: '" + host +
                                "' port: 80 routing { rules { route { cluster_destination { clusters { name: 'c' } } "
                                "} } } } }");
  }
};

constexpr const char* kTaken = "HOST_TAKEN_BY_ANOTHER_WORKSPACE";

TEST_F(Hosts, AreAnsweredByOneWorkspaceOfATenant) {
  ASSERT_EQ(PutTier2("t/a", "shop", "shop.test"), "");
  EXPECT_EQ(PutTier2("t/a", "more", "shop.test"), "");  // On other workloads of the same.
  EXPECT_EQ(PutTier2("t/b", "shop", "shop.test"), kTaken);
  EXPECT_THAT(text_, HasSubstr("|spec.http[0].hostname: "));
  EXPECT_THAT(text_, HasSubstr("workspaces/a/"));
  EXPECT_EQ(PutTier2("t/b", "shop", "*.test"), kTaken);
  EXPECT_EQ(PutTier2("t/b", "shop", "*.shop.test"), "");
  EXPECT_EQ(PutTier2("t/a", "deep", "x.y.shop.test"), kTaken);  // Below b's.
  EXPECT_EQ(PutTier2("u/a", "shop", "shop.test"), "");          // Another tenant has its own.
  may_read_ = false;
  EXPECT_EQ(PutTier2("t/b", "other", "shop.test"), kTaken);
  EXPECT_THAT(text_, Not(HasSubstr("workspaces/a/")));
  may_write_ = true;
  EXPECT_EQ(PutTier2("t/b", "other", "shop.test"), "");
  EXPECT_THAT(SharedHosts(*store_->Read()), ::testing::Contains(::testing::Pair(HasSubstr("/a/"), HasSubstr("/b/"))));
  may_write_ = false;
  EXPECT_EQ(PutTier2("t/b", "other", "shop.test"), "");  // What is stored stays,
  EXPECT_EQ(PutTier2("t/b", "other", "b.test"), "");     // may be given up
  EXPECT_TRUE(SharedHosts(*store_->Read()).empty());
  EXPECT_EQ(PutTier2("t/b", "other", "shop.test"), kTaken);  // and not be taken again.
}

TEST_F(Hosts, AreNotDrawnFromAnotherWorkspace) {
  ASSERT_EQ(PutTier2("t/a", "shop", "shop.test"), "");
  ASSERT_EQ(PutTier2("t/a", "all", "*.all.test"), "");
  EXPECT_EQ(PutTier1("t/a", "own", "shop.test"), "");
  for (const char* host : {"shop.test", "x.all.test", "*.all.test"}) {
    EXPECT_EQ(PutTier1("t/b", "edge", host), kTaken) << host;
    EXPECT_EQ(PutEdge("t/b", "edge", host), kTaken) << host;
  }
  EXPECT_EQ(PutTier1("t/b", "edge", "*.test"), "");  // No tier 2 of shop.test answers for all of it.
  EXPECT_EQ(PutTier1("u/a", "edge", "shop.test"), "");
  may_write_ = true;
  EXPECT_EQ(PutTier1("t/b", "edge", "shop.test"), "");
}

// Nor by being there first: what came later would be drawn.
TEST_F(Hosts, ThatTierOneOfAnotherWorkspaceWaitsForAreTaken) {
  ASSERT_EQ(PutTier1("t/b", "edge", "shop.test"), "");
  ASSERT_EQ(PutEdge("t/b", "front", "front.test"), "");
  EXPECT_EQ(PutTier1("t/a", "edge", "shop.test"), "");  // Neither answers.
  EXPECT_EQ(PutTier2("t/a", "shop", "shop.test"), kTaken);
  EXPECT_EQ(PutTier2("t/a", "shop", "*.test"), kTaken);
  EXPECT_EQ(PutTier2("t/a", "shop", "front.test"), kTaken);
  EXPECT_EQ(PutTier2("t/b", "shop", "shop.test"), kTaken);  // a's edge would be answered by it.
  EXPECT_EQ(PutTier1("t/a", "edge", "a.test"), "");
  EXPECT_EQ(PutTier2("t/b", "shop", "shop.test"), "");
  // A server that names the tenant takes what is given: to name it needs the right write there.
  ASSERT_EQ(PutTier1("t/b", "shared", "other.test", "t"), "");
  EXPECT_EQ(PutTier2("t/a", "shop", "other.test"), "");
  EXPECT_EQ(PutTier1("t/b", "shared", "other.test", ""), kTaken);
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
                    const auto no = [](const store::StoredResource&) { return false; };
                    later.Check(txn.view(), *stored, {no, no, nullptr}, issues);
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
    EXPECT_THAT(text_, HasSubstr("gateways/entry"));
    may_read_ = false;  // Who has rights on one group of the workspace.
    EXPECT_EQ(PutEntry(organization, "t", "twin", "n", "n"), "GATEWAY_HOST_TAKEN");
    EXPECT_THAT(text_, Not(HasSubstr("gateways/entry")));
    may_read_ = true;
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
