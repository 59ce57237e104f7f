#pragma once

#include "api/weir/agent/v1/discovery.pb.h"
#include "api/weir/v2/documents.pb.h"
#include "api/weir/v2/plan.pb.h"
#include "mgmt-server/http/rest_fixture.h"

// For tests of plans: two tenants, an edge and two clusters with what agents reported of them.
namespace weir::edge::plans {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

inline constexpr char kTenant[] = "organizations/demo-org/tenants/t";
inline constexpr char kGroup[] = "organizations/demo-org/tenants/t/workspaces/w/gatewaygroups/g";

inline std::string Meta(const std::string& kind, const std::string& name, const std::string& more) {
  const std::string group = kind == "Cluster" || kind == "Tenant" ? "api" : kind == "Workspace" ? "api" : "gateway";
  return fmt::format("apiVersion: {}.weir.dev/v2\nkind: {}\nmetadata: {{name: {}, organization: demo-org{}}}\n", group,
                     kind, name, more);
}
inline std::string In(const std::string& tenant) { return ", tenant: " + tenant + ", workspace: w, group: g"; }

inline std::string Tenancy(const std::string& tenant) {
  return Meta("Tenant", tenant, "") + "---\n" + Meta("Workspace", "w", ", tenant: " + tenant) +
         fmt::format("spec: {{namespaceSelector: {{names: ['*/{0}-edge', '*/{0}-in', '*/{0}-app']}}}}\n---\n", tenant) +
         Meta("GatewayGroup", "g", ", tenant: " + tenant + ", workspace: w") + "---\n";
}
inline std::string Tier1(const std::string& name, const std::string& host, const std::string& clusters,
                         const std::string& tenant = "t") {
  return Meta("Tier1Gateway", name, In(tenant)) +
         fmt::format(
             "spec:\n  workloadSelector: {{namespace: {}-edge, labels: {{app: t1}}}}\n  externalServers:\n"
             "  - {{name: s, hostname: {}, port: 80, clusters: [{}]}}\n---\n",
             tenant, host, clusters);
}
inline std::string Tier2(const std::string& name, const std::string& host, const std::string& tenant = "t",
                         int port = 8080) {
  return Meta("Gateway", name, In(tenant)) +
         fmt::format(
             "spec:\n  workloadSelector: {{namespace: {0}-in, labels: {{app: t2}}}}\n  http:\n"
             "  - name: s\n    hostname: {1}\n    port: 80\n    routing: {{rules: [{{route: {{serviceDestination: "
             "{{host: {0}-app/web.{0}-app.svc.cluster.local, port: {2}}}}}}}]}}\n---\n",
             tenant, host, port);
}
inline std::string Cluster(const std::string& name, const std::string& spec) {
  return Meta("Cluster", name, "") + "spec: {" + spec + "}\n---\n";
}
inline constexpr char kBoth[] = "{name: c1, weight: 75}, {name: c2, weight: 25}";

class PlanTest : public RestApi {
 protected:
  void SetUp() override {
    RestApi::SetUp();
    Store(Tenancy("t") + Tenancy("u") + Cluster("edge", "tier1Cluster: true, locality: {region: eu}") +
          Cluster("c1", "locality: {region: eu}") + Cluster("c2", "locality: {region: us}"));
    for (const std::string tenant : {"t", "u"}) {
      AddWorkload("edge", tenant + "-edge", "t1", "127.0.1.10");
      for (const std::string cluster : {"c1", "c2"}) {
        AddWorkload(cluster, tenant + "-in", "t2", cluster == "c1" ? "127.0.2.10" : "127.0.3.10");
      }
    }
  }
  void Store(const std::string& documents) {
    const Answer answer = Apply(documents);
    ASSERT_EQ(answer.status, 200) << answer.text;
  }
  void AddWorkload(const std::string& cluster, const std::string& name_space, const std::string& app,
                   const std::string& address) {
    agent::v1::Workload workload;
    workload.set_name(app);
    workload.set_namespace_(name_space);
    workload.set_service_account("default");
    (*workload.mutable_labels())["app"] = app;
    workload.add_addresses(address);
    agent::v1::Service service;
    service.set_name("web");
    const std::string apps = name_space.substr(0, 1) + "-app";
    service.set_namespace_(apps);
    service.set_host("web." + apps + ".svc.cluster.local");
    service.add_ports(8080);
    (*service.mutable_selector())["app"] = "web";
    const std::string uid = store_->Read()->Get("organizations/demo-org/clusters/" + cluster)->uid;
    ASSERT_TRUE(store_
                    ->Write([&](store::Txn& txn) -> Status {
                      return txn.ApplyFacts({.cluster_uid = uid,
                                             .full = false,
                                             .workloads = {{name_space + "/" + app, workload.SerializeAsString()}},
                                             .services = {{apps + "/web", service.SerializeAsString()}},
                                             .removed_workloads = {},
                                             .removed_services = {},
                                             .agent_sequence = 0,
                                             .hash = ""});
                    })
                    .ok());
  }
  v2::PlanResponse Plan(const v2::PlanRequest& request, const std::string& token = "") {
    const Answer answer = Send("POST", "/v2/documents:plan", document::ToJson(request), token.empty() ? admin_ : token);
    EXPECT_EQ(answer.status, 200) << answer.text;
    v2::PlanResponse response;
    std::vector<FieldViolation> violations;
    document::ToMessage(answer.body, response, violations);
    EXPECT_TRUE(violations.empty());
    return response;
  }
  v2::PlanResponse Plan(const std::string& documents, const std::string& token = "") {
    v2::PlanRequest request;
    request.set_documents(documents);
    return Plan(request, token);
  }
  Answer Refused(const v2::PlanRequest& request, const std::string& token = "") {
    return Send("POST", "/v2/documents:plan", document::ToJson(request), token.empty() ? admin_ : token);
  }
  Answer ApplyPlan(const std::string& documents, const std::string& plan, const std::string& token = "",
                   bool dry_run = false) {
    v2::ApplyDocumentsRequest request;
    request.set_documents(documents);
    request.set_plan(plan);
    request.set_dry_run(dry_run);
    return Send("POST", "/v2/documents:apply", document::ToJson(request), token.empty() ? admin_ : token);
  }
  std::string Grant(const std::string& user, const std::string& role, const std::string& fqn) {
    const std::string token = NewUser(user);
    const Answer answer =
        Post("/v2/" + fqn + "/accessbindings:grant",
             R"({"role":")" + role + R"(","subject":{"user":"organizations/demo-org/users/)" + user + R"("}})");
    EXPECT_EQ(answer.status, 200) << answer.text;
    return token;
  }
  compile::Compilation Compiled() {
    return compile::Compilation(push::WorldFeed(Clock::Real()).Load(*store_->Read(), "ROOT"));
  }
};

// "edge Host +name"
inline std::vector<std::string> IntentOf(const v2::PlanResponse& plan) {
  std::vector<std::string> lines;
  for (const auto& cluster : plan.clusters()) {
    for (const auto& one : cluster.intent()) {
      const char* sign = one.change() == v2::PlannedResource::ADDED     ? "+"
                         : one.change() == v2::PlannedResource::CHANGED ? "~"
                                                                        : "-";
      lines.push_back(fmt::format("{} {} {}{}", cluster.cluster(), one.type(), sign, one.name()));
    }
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}
inline std::vector<std::string> Difference(const compile::Compilation& before, const compile::Compilation& after) {
  std::set<std::string> clusters;
  for (const auto* each : {&before, &after}) {
    for (const std::string& cluster : each->world().clusters()) clusters.insert(cluster);
  }
  std::vector<std::string> lines;
  for (const std::string& cluster : clusters) {
    const auto& was = before.Of(cluster);
    const auto& is = after.Of(cluster);
    const auto add = [&](const compile::Key& key, char sign) {
      lines.push_back(fmt::format("{} {} {}{}", resource::LastName(cluster), key.type, sign, key.name));
    };
    for (const auto& [key, one] : was) {
      if (!is.contains(key))
        add(key, '-');
      else if (is.at(key).bytes != one.bytes)
        add(key, '~');
    }
    for (const auto& [key, one] : is) {
      if (!was.contains(key)) add(key, '+');
    }
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}
inline std::vector<std::string> Reasons(const v2::PlanResponse& plan) {
  std::vector<std::string> reasons;
  for (const auto& finding : plan.findings()) reasons.push_back(finding.reason());
  return reasons;
}

}  // namespace weir::edge::plans
