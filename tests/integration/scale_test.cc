#include <fmt/format.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <map>

#include "api/weir/agent/v1/discovery.pb.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "libs/base/clock.h"
#include "libs/proxy/envoy_snapshot.h"
#include "libs/proxy/plan.h"
#include "libs/translate/facts.h"
#include "libs/translate/intent.h"
#include "libs/translate/xds/translator.h"
#include "libs/xds/protocol/server_stream.h"
#include "mgmt-server/compile/compile.h"

// Very many hosts on one tier-2 gateway, through compile, both xDS hops, translation and the reader of the gateway:
// what one host more costs is counted in bytes.
namespace weir {
namespace {

using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DeltaDiscoveryResponse;

const std::string kOrg = "organizations/o";
const std::string kGroup = kOrg + "/tenants/t/workspaces/w/gatewaygroups/g";
constexpr int kHosts = 12'000;
constexpr char kCaller[] = "spiffe://edge.o.test/ns/t1/sa/gw";

template <typename T>
std::shared_ptr<T> From(const std::string& text) {
  auto message = std::make_shared<T>();
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, message.get())) << text;
  return message;
}

// A stream whose client takes and acknowledges everything at once.
class Hop {
 public:
  using Has = std::map<std::string, std::map<std::string, std::string>>;  // Type URL, name -> value.

  explicit Hop(const xds::ServerRules& rules)
      : stream_(std::make_shared<xds::ServerRules>(rules), Clock::Real(), [](const xds::AckEvent&) {}) {
    for (const auto& type : rules.types) {
      DeltaDiscoveryRequest request;
      request.mutable_node()->set_id("n");
      request.set_type_url(type.url);
      request.add_resource_names_subscribe("*");
      EXPECT_TRUE(stream_.OnRequest(request).ok());
    }
  }
  // Returns the bytes that were sent.
  size_t Deliver(xds::SnapshotPtr snapshot) {
    stream_.SetSnapshot(std::move(snapshot));
    size_t bytes = 0;
    changed.clear();
    for (DeltaDiscoveryResponse response; stream_.Next(&response); response.Clear()) {
      bytes += response.ByteSizeLong();
      auto& has = has_[response.type_url()];
      for (const auto& from : response.resources()) {
        has[from.name()] = from.resource().value();
        changed.push_back({response.type_url(), from.name(), from.version(), from.resource().value()});
      }
      for (const auto& name : response.removed_resources()) has.erase(name);
      DeltaDiscoveryRequest answer;
      answer.set_type_url(response.type_url());
      answer.set_response_nonce(response.nonce());
      EXPECT_TRUE(stream_.OnRequest(answer).ok());
    }
    return bytes;
  }
  const Has& has() const { return has_; }

  struct Changed {
    std::string url, name, version, value;
  };
  std::vector<Changed> changed;

 private:
  xds::ServerStream stream_;
  Has has_;
};

xds::SnapshotPtr SnapshotOf(const compile::ClusterIntent& compiled) {
  std::map<std::string, std::shared_ptr<xds::Resources>> types;
  for (const char* type : {"TrustBundle", "ServiceEndpoints", "DestinationSet", "Host", "Listener"}) {
    types[compile::TypeUrl(type)] = std::make_shared<xds::Resources>();
  }
  for (const auto& [key, piece] : compiled) {
    auto resource = std::make_shared<xds::Resource>();
    resource->name = piece.name;
    resource->version = piece.version;
    resource->value = piece.bytes;
    (*types[compile::TypeUrl(key.type)])[piece.name] = std::move(resource);
  }
  auto snapshot = std::make_shared<xds::Snapshot>();
  for (auto& [url, resources] : types) snapshot->types[url] = std::move(resources);
  return snapshot;
}
xds::SnapshotPtr SnapshotOf(const translate::NodeConfig& config) {
  auto snapshot = std::make_shared<xds::Snapshot>();
  for (const auto& [url, named] : config.types) {
    auto resources = std::make_shared<xds::Resources>();
    for (const auto& [name, resource] : named) (*resources)[name] = resource->resource;
    snapshot->types[url] = std::move(resources);
  }
  return snapshot;
}

std::string Servers(int from, int to) {
  std::string servers;
  for (int i = from; i < to; ++i) {
    servers += fmt::format(
        "http {{ name: 'h{0}' hostname: 'h{0}.example' port: 80 routing {{ rules {{ route {{ service_destination {{ "
        "host: 'shop/web.shop.svc.cluster.local' port: 8080 }} }} }} }} }} ",
        i);
  }
  return servers;
}
agent::v1::Workload Workload(const std::string& name_space, const std::string& app, const std::string& address) {
  return *From<agent::v1::Workload>(
      fmt::format("name: '{1}' namespace: '{0}' service_account: '{1}' labels {{ key: 'app' value: '{1}' }} addresses: "
                  "'{2}'",
                  name_space, app, address));
}

class Scale : public testing::Test {
 protected:
  Scale() {
    compile::World world;
    world.SetRoots("ROOT");
    world.Put(kOrg, From<v2::Organization>("spec { domain: 'o.test' }"));
    world.Put(kOrg + "/tenants/t/workspaces/w", From<v2::Workspace>("spec { namespace_selector { names: '*/*' } }"));
    world.Put(kGroup, From<v2::GatewayGroup>(""));
    world.Put(kOrg + "/clusters/edge", From<v2::Cluster>("spec { tier1_cluster: true }"));
    world.Put(kOrg + "/clusters/c1", From<v2::Cluster>(""));
    world.PutWorkload(kOrg + "/clusters/edge", Workload("t1", "gw", "127.0.1.10"));
    for (const auto& workload : {Workload("shop", "t2", "127.0.2.10"), Workload("shop", "web", "127.0.2.20")}) {
      world.PutWorkload(kOrg + "/clusters/c1", workload);
      facts_.workloads[translate::KeyOf(workload)] = std::make_shared<agent::v1::Workload>(workload);
    }
    facts_.services["shop/web"] = From<agent::v1::Service>(
        "name: 'web' namespace: 'shop' host: 'web.shop.svc.cluster.local' ports: 8080 selector { key: 'app' value: "
        "'web' }");
    world.Put(kGroup + "/tier1gateways/wide",
              From<v2::Tier1Gateway>("spec { workload_selector { namespace: 't1' labels { key: 'app' value: 'gw' } } "
                                     "external_servers { name: 's' hostname: 'h7.example' port: 80 clusters { name: "
                                     "'c1' } } external_servers { name: 'n' hostname: 'new.example' port: 80 clusters "
                                     "{ name: 'c1' } } }"));
    // An object holds 10,000 servers at most.
    world.Put(kGroup + "/gateways/a", Gateway(Servers(0, kHosts / 2)));
    world.Put(kGroup + "/gateways/b", Gateway(Servers(kHosts / 2, kHosts)));
    compilation_ = compile::Compilation(std::move(world));
  }
  static std::shared_ptr<v2::Gateway> Gateway(const std::string& servers) {
    return From<v2::Gateway>("spec { workload_selector { namespace: 'shop' labels { key: 'app' value: 't2' } } " +
                             servers + " }");
  }
  void AddObject(const std::string& name, std::shared_ptr<v2::Gateway> gateway) {
    compile::World after = compilation_.world();
    after.Put(kGroup + "/gateways/" + name, std::move(gateway));
    compile::Change change;
    change.fqns.insert(kGroup + "/gateways/" + name);
    compilation_.Update(std::move(after), change);
  }
  // Bytes of both hops; the gateway's snapshot afterwards is in `built_`.
  std::pair<size_t, size_t> Deliver() {
    const size_t down = server_.Deliver(SnapshotOf(compilation_.Of(kOrg + "/clusters/c1")));
    for (const auto& one : server_.changed) {
      EXPECT_TRUE(translate::UpsertIntent(one.url, one.name, one.version, one.value, &intent_).ok());
    }
    const auto config = translator_.Translate(intent_, facts_, "shop/t2", {.vhds = true, .stock_envoy = false});
    EXPECT_TRUE(config->problems.empty());
    const size_t gateway = agent_.Deliver(SnapshotOf(*config));
    std::vector<proxy::EnvoyResource> resources;
    for (const auto& one : agent_.changed) {
      if (one.url != xds::kSecret) resources.push_back({one.url, one.name, one.value});
    }
    auto built = gateway_.Apply(resources, {}, "v");
    EXPECT_TRUE(built.refused.empty());
    plan_ = *proxy::Plan::Build(built.snapshot, plan_.get());
    return {down, gateway};
  }
  // Who may call this name on the mesh port: "" nobody, "-" no such name.
  std::string CallerOf(const std::string& sni) const {
    for (const auto& [key, listener] : plan_->listeners) {
      if (!key.ends_with(":15443")) continue;
      const auto found = listener->Find(sni);
      if (found.chain < 0) return "-";
      return listener->Admits(found, kCaller) ? kCaller : "";
    }
    return "no mesh port";
  }

  compile::Compilation compilation_;
  Hop server_{xds::MeshRules()};
  Hop agent_{xds::EnvoyRules()};
  translate::Intent intent_;
  translate::Facts facts_;
  translate::Translator translator_{{"c1", "c1.o.test", "ROOT"}};
  proxy::SnapshotBuilder gateway_{proxy::kFormOnly};
  std::shared_ptr<const proxy::Plan> plan_;
};

TEST_F(Scale, TwelveThousandHostsStandOnOneTier2AndOneMoreCostsAtMostTwoKilobytesPerHop) {
  const auto [down, gateway] = Deliver();
  EXPECT_GT(down, 1'000'000u);
  EXPECT_EQ(agent_.has().at(std::string(xds::kVirtualHost)).size(), static_cast<size_t>(kHosts));
  EXPECT_LT(agent_.has().at(std::string(xds::kListener)).at("15443").size(), 2'048u);
  EXPECT_EQ(CallerOf("h7.example"), kCaller);
  EXPECT_EQ(CallerOf("h8.example"), "");  // No tier-1 gateway routes to it.
  EXPECT_EQ(CallerOf("new.example"), "-");

  AddObject("c", Gateway("http { name: 'n' hostname: 'new.example' port: 80 routing { rules { route { "
                         "service_destination { host: 'shop/web.shop.svc.cluster.local' port: 8080 } } } } }"));
  const uint64_t read = translator_.read();
  const uint64_t made = translator_.built();
  const auto [down_more, gateway_more] = Deliver();
  RecordProperty("server_to_agent_bytes", static_cast<int>(down_more));
  RecordProperty("agent_to_gateway_bytes", static_cast<int>(gateway_more));
  EXPECT_GT(down_more, 0u);
  EXPECT_LE(down_more, 2'048u);
  EXPECT_GT(gateway_more, 0u);
  EXPECT_LE(gateway_more, 2'048u);
  EXPECT_LE(translator_.read() - read, 2u);   // The host and its destination set.
  EXPECT_EQ(translator_.built() - made, 1u);  // Its virtual host.
  EXPECT_EQ(CallerOf("new.example"), kCaller);
  EXPECT_EQ(CallerOf("h7.example"), kCaller);
}

}  // namespace
}  // namespace weir
