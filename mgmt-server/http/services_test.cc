// The registry of services: what agents report, as resources that nobody writes.
#include "api/weir/agent/v1/discovery.pb.h"
#include "mgmt-server/http/rest_fixture.h"
#include "mgmt-server/services/registry.h"

namespace weir::edge {
namespace {

constexpr char kServices[] = "/v2/organizations/demo-org/services";

class ServicesOfAgents : public RestApi {
 protected:
  void SetUp() override {
    RestApi::SetUp();
    ASSERT_EQ(Apply(kSurroundings).status, 200);
  }
  void Report(const std::string& cluster, const std::vector<std::string>& services,
              const std::vector<std::string>& workloads = {}, const std::vector<std::string>& gone = {}) {
    store::FactsChange change;
    change.cluster_uid = store_->Read()->Get("organizations/demo-org/clusters/" + cluster)->uid;
    for (const std::string& name : services) {  // "shop/web"
      agent::v1::Service service;
      service.set_namespace_(name.substr(0, name.find('/')));
      service.set_name(name.substr(name.find('/') + 1));
      service.add_ports(8080);
      (*service.mutable_selector())["app"] = service.name();
      change.services[name] = service.SerializeAsString();
    }
    for (const std::string& name : workloads) {  // "shop/web": one that the service of that name selects.
      agent::v1::Workload workload;
      workload.set_namespace_(name.substr(0, name.find('/')));
      workload.set_name(fmt::format("{}-{}", name.substr(name.find('/') + 1), ++workloads_));
      workload.add_addresses("127.0.0.9");
      (*workload.mutable_labels())["app"] = name.substr(name.find('/') + 1);
      change.workloads[workload.namespace_() + "/" + workload.name()] = workload.SerializeAsString();
    }
    change.removed_services = gone;
    ASSERT_TRUE(store_->Write([&](store::Txn& txn) { return txn.ApplyFacts(change); }).ok());
  }
  // "web.shop: cluster1=2 cluster2=0"
  std::vector<std::string> Listed(const std::string& question = "", const std::string& token = "") {
    std::vector<std::string> lines;
    const Answer answer = Send("GET", kServices + question, "", token.empty() ? admin_ : token);
    const document::Node* items = answer.body.Find("items");
    if (items == nullptr) return lines;
    for (const document::Node& item : items->items) {
      std::string line = item.Find("metadata")->Find("name")->text + ":";
      for (const document::Node& cluster : item.Find("state")->Find("clusters")->items) {
        line += fmt::format(" {}={}", cluster.Find("cluster")->text, cluster.Find("endpoints")->text);
      }
      lines.push_back(std::move(line));
    }
    return lines;
  }

  int workloads_ = 0;
};
using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST_F(ServicesOfAgents, AreOneForEachNameAndNamespace) {
  EXPECT_THAT(Listed(), IsEmpty());
  Report("cluster1", {"shop/web", "shop/db"}, {"shop/web", "shop/web", "pay/web"});
  Report("cluster2", {"shop/web", "pay/web"}, {"shop/web"});
  EXPECT_THAT(Listed(), ElementsAre("db.shop: cluster1=0", "web.pay: cluster2=0", "web.shop: cluster1=2 cluster2=1"));
  const Answer got = Get(std::string(kServices) + "/web.shop");
  ASSERT_EQ(got.status, 200) << got.text;
  EXPECT_EQ(got.Text({"metadata", "fqn"}), "organizations/demo-org/services/web.shop");
  EXPECT_EQ(got.Text({"state", "endpoints"}), "3");
  EXPECT_THAT(got.text, HasSubstr("\"hosts\":[\"web.shop.svc.cluster.local\"]"));
  Report("cluster1", {}, {}, {"shop/web"});
  EXPECT_THAT(Listed(), ElementsAre("db.shop: cluster1=0", "web.pay: cluster2=0", "web.shop: cluster2=1"));
  EXPECT_NE(Get(std::string(kServices) + "/web.shop").Text({"metadata", "resourceVersion"}),
            got.Text({"metadata", "resourceVersion"}));
  ASSERT_EQ(Send("DELETE", "/v2/organizations/demo-org/clusters/cluster2?cascade=true", "", admin_).status, 200);
  EXPECT_THAT(Listed(), ElementsAre("db.shop: cluster1=0"));
  EXPECT_EQ(Get(std::string(kServices) + "/web.pay").reason(), "RESOURCE_MISSING");
}

TEST_F(ServicesOfAgents, AreFilteredOrderedMaskedAndPagedLikeAnyList) {
  Report("cluster1", {"shop/a", "shop/b", "pay/c"}, {"shop/b", "pay/c", "pay/c"});
  EXPECT_THAT(Listed("?filter=state.namespace%20%3D%20shop"), ElementsAre("a.shop: cluster1=0", "b.shop: cluster1=1"));
  EXPECT_THAT(Listed("?filter=state.endpoints%20%3E%201"), ElementsAre("c.pay: cluster1=2"));
  EXPECT_THAT(Listed("?orderBy=state.endpoints%20desc&pageSize=2"),
              ElementsAre("c.pay: cluster1=2", "b.shop: cluster1=1"));
  const Answer first = Get(std::string(kServices) + "?pageSize=2");
  const std::string token = first.Text({"nextPageToken"});
  EXPECT_THAT(Listed("?pageSize=2&pageToken=" + token), ElementsAre("c.pay: cluster1=2"));
  EXPECT_EQ(Get(std::string(kServices) + "?fieldMask=state.hosts&pageSize=1").text.find("cluster1"), std::string::npos);
  EXPECT_EQ(Get(std::string(kServices) + "?filter=spec.x%20%3D%201").reason(), "BAD_FILTER");
  EXPECT_THAT(Get("/v2/search?q=b.shop").text, HasSubstr("organizations/demo-org/services/b.shop"));
  EXPECT_THAT(Get("/v2/search?q=c.pay.svc").text, HasSubstr("\"field\":\"host\""));
}

// Whose namespace it is sees it where it is his, and nothing of what others run under the same name.
TEST_F(ServicesOfAgents, ShowEachWhatLiesInHisNamespaces) {
  Report("cluster1", {"t1/web", "pay/web"});
  Report("cluster2", {"t1/web"}, {"t1/web"});
  const std::string eve = NewUser("eve");
  EXPECT_EQ(Send("GET", kServices, "", eve).status, 404);
  EXPECT_EQ(Send("GET", std::string(kServices) + "/web.t1", "", eve).reason(), "RESOURCE_MISSING");
  ASSERT_EQ(Apply(R"({"apiVersion": "api.weir.dev/v2", "kind": "Workspace", "metadata": {"name": "demo-ws",
    "organization": "demo-org", "tenant": "demo-tenant"}, "spec": {"namespaceSelector": {"names": ["cluster1/t1"]}}})")
                .status,
            200);
  const std::string ws = "/v2/organizations/demo-org/tenants/demo-tenant/workspaces/demo-ws";
  const Answer granted =
      Post(ws + "/accessbindings:grant", R"({"role":"reader","subject":{"user":"organizations/demo-org/users/eve"}})");
  ASSERT_EQ(granted.status, 200) << granted.text;
  EXPECT_THAT(Listed("", eve), ElementsAre("web.t1: cluster1=0"));
  const Answer got = Send("GET", std::string(kServices) + "/web.t1", "", eve);
  EXPECT_EQ(got.Text({"state", "endpoints"}), "0") << "nothing of the one in cluster2";
  EXPECT_EQ(got.text.find("cluster2"), std::string::npos);
  EXPECT_THAT(Listed("?filter=state.clusters.cluster%3Acluster2", eve), IsEmpty());
  Report("cluster2", {}, {"t1/web"});
  const Answer again = Send("GET", std::string(kServices) + "/web.t1", "", eve);
  EXPECT_EQ(again.Text({"metadata", "resourceVersion"}), got.Text({"metadata", "resourceVersion"}))
      << "a version tells of nothing that is not shown";
  Report("cluster1", {}, {"t1/web"});
  EXPECT_NE(Send("GET", std::string(kServices) + "/web.t1", "", eve).Text({"metadata", "resourceVersion"}),
            got.Text({"metadata", "resourceVersion"}));
  EXPECT_EQ(Send("GET", "/v2/search?q=web", "", eve).text.find("web.pay"), std::string::npos);
}

TEST_F(ServicesOfAgents, SayWhetherGatewaysFindSomebody) {
  Report("cluster1", {"shop/web"});
  Report("cluster2", {"shop/web"});
  EXPECT_EQ(Get(std::string(kServices) + "/web.shop").Text({"state", "health"}), "");
  fleet_.word = [](const std::string& cluster, const std::string& host, uint32_t port) {
    EXPECT_EQ(host, "shop/web.shop.svc.cluster.local");
    EXPECT_EQ(port, 8080u);
    return services::FleetView::ServiceWord{true, cluster.ends_with("cluster2"), "no_endpoint"};
  };
  const Answer got = Get(std::string(kServices) + "/web.shop");
  EXPECT_EQ(got.Text({"state", "health"}), "SERVING");
  EXPECT_THAT(got.text, HasSubstr(R"("health":"NOT_SERVING","reason":"no_endpoint")"));
  EXPECT_THAT(Listed("?filter=state.health%20%3D%20SERVING"), testing::SizeIs(1));
}

TEST_F(ServicesOfAgents, AreWrittenByNobody) {
  Report("cluster1", {"shop/web"});
  const std::string path = std::string(kServices) + "/web.shop";
  for (const char* method : {"PUT", "DELETE"}) {
    const Answer refused = Send(method, path, method[0] == 'P' ? "{}" : "", admin_);
    EXPECT_EQ(refused.status, 405) << refused.text;
    EXPECT_EQ(refused.reason(), "METHOD_NOT_ALLOWED");
  }
  EXPECT_EQ(Send("POST", kServices, "{}", admin_).status, 405);
  const Answer applied = Apply(R"({"apiVersion": "registry.weir.dev/v2", "kind": "Service",
    "metadata": {"name": "web", "organization": "demo-org"}})");
  EXPECT_EQ(applied.status, 400) << applied.text;
  EXPECT_THAT(applied.text, HasSubstr("weir get services"));
  EXPECT_EQ(store_->Read()->Get("organizations/demo-org/services/web.shop"), nullptr) << "facts stay facts";
}

// Facts that did not change are not read again.
TEST_F(ServicesOfAgents, CostWhatChanged) {
  for (const char* cluster : {"cluster1", "cluster2"}) {
    std::vector<std::string> services;
    services.reserve(1000);
    for (int i = 0; i < 1000; ++i) services.push_back(fmt::format("n{}/s{}", i % 10, i));
    Report(cluster, services, {services.begin(), services.begin() + 200});
  }
  services::Registry registry;
  EXPECT_EQ(registry.Of(*store_->Read())->resource_count(), 1000u);
  EXPECT_EQ(registry.clusters_read(), 2u);
  const store::ViewPtr same = registry.Of(*store_->Read());
  EXPECT_EQ(registry.Of(*store_->Read()), same);
  EXPECT_EQ(registry.clusters_read(), 2u);
  Report("cluster2", {"n1/new"});
  EXPECT_EQ(registry.Of(*store_->Read())->resource_count(), 1001u);
  EXPECT_EQ(registry.clusters_read(), 3u);
  ASSERT_THAT(Listed("?pageSize=100"), testing::SizeIs(100));
}

}  // namespace
}  // namespace weir::edge
