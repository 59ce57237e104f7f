#pragma once

#include "mgmt-server/test_assembly.h"

// For tests: a host that an edge sends to two clusters, in both of which somebody answers.
namespace weir::server {

inline constexpr char kC1[] = "organizations/acme/clusters/c1", kC2[] = "organizations/acme/clusters/c2";
inline constexpr char kTwoReceivers[] = R"(apiVersion: api.weir.dev/v2
kind: Cluster
metadata: {name: c2, organization: acme}
---
apiVersion: gateway.weir.dev/v2
kind: Gateway
metadata: {name: back, organization: acme, tenant: t, workspace: w, group: g}
spec:
  workloadSelector: {namespace: t2, labels: {app: t2}}
  http:
  - name: s
    hostname: shop.example.com
    port: 80
    routing: {rules: [{route: {serviceDestination: {host: app/web.app.svc.cluster.local, port: 8080}}}]}
---
apiVersion: gateway.weir.dev/v2
kind: Tier1Gateway
metadata: {name: shop, organization: acme, tenant: t, workspace: w, group: g}
spec:
  workloadSelector: {namespace: n, labels: {app: t1}}
  externalServers:
  - {name: s, hostname: shop.example.com, port: 80, clusters: [{name: c1, weight: 1}, {name: c2, weight: 1}]}
)";

class TwoReceivers : public Assembly {
 protected:
  void SetUp() override {
    Assembly::SetUp();
    Apply(kTwoReceivers);
    JoinEdge();
    agent_->Run({"n/gw"}, {{"app", "t1"}});
    agent_->Acknowledge();
    for (const char* cluster : {kC1, kC2}) {
      auto receiver = Join(cluster);
      ASSERT_TRUE(receiver.ok()) << receiver.error().ToString();
      Serve(**receiver);
      receiver.value()->Acknowledge();
      receivers_.push_back(std::move(receiver).value());
    }
    WaitForStatus(kShop,
                  [](const auto& now) { return now.state() == v2::ResourceStatus::READY && now.gateways_size() == 3; });
  }
  void TearDown() override {
    receivers_.clear();
    Assembly::TearDown();
  }
  // A tier-2 gateway runs, and the service behind it.
  static void Serve(fleet::SmallAgent& receiver) {
    receiver.Run({"t2/gw", "app/web-1"}, {{"app", "t2"}});
    agent::v1::FactsDelta facts;
    auto& service = *facts.add_services();
    service.set_namespace_("app");
    service.set_name("web");
    service.add_ports(8080);
    (*service.mutable_selector())["app"] = "t2";
    receiver.Say(facts);
  }

  std::vector<std::unique_ptr<fleet::SmallAgent>> receivers_;  // Of c1 and c2.
};

}  // namespace weir::server
