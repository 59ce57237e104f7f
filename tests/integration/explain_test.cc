#include <fmt/format.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <random>

#include "libs/proxy/engine_test_peers.h"
#include "libs/proxy/envoy_snapshot.h"
#include "libs/translate/intent.h"
#include "libs/translate/xds/translator.h"
#include "mgmt-server/compile/compile.h"
#include "mgmt-server/status/route.h"

// What the server says a request would meet, against what the engine of a tier-1 gateway does with it: objects and
// requests by chance, through compile, translation and the gateway's own reader to a socket.
namespace weir {
namespace {

const std::string kOrg = "organizations/o";
const std::string kGroup = kOrg + "/tenants/t/workspaces/w/gatewaygroups/g";
const std::string kEdge = kOrg + "/clusters/edge";
constexpr int kWorlds = 12, kRequests = 150;

template <typename T>
std::shared_ptr<T> From(const std::string& text) {
  auto message = std::make_shared<T>();
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, message.get())) << text;
  return message;
}

class Chance {
 public:
  explicit Chance(unsigned seed) : random_(seed) {}
  unsigned Pick(unsigned n) { return static_cast<unsigned>(random_() % n); }
  template <size_t N>
  std::string Of(const char* const (&choices)[N]) {
    return choices[Pick(N)];
  }

 private:
  std::mt19937 random_;
};

// One object: servers that overlap by name, wildcard and port, with rules of every kind. Bodies say which rule it was.
std::shared_ptr<v2::Gateway> Object(Chance& chance, const std::string& name, const std::string& labels) {
  static const char* const kHosts[] = {"a.test", "b.a.test", "*.a.test", "*.test", "x.test"};
  static const char* const kPaths[] = {"/", "/a", "/a/", "/a/b", "/ab", "/A", "/c"};
  std::string servers;
  std::set<std::string> taken;
  for (unsigned i = 0, count = 1 + chance.Pick(3); i < count; ++i) {
    const std::string host = chance.Of(kHosts);
    if (!taken.insert(host).second) continue;
    std::string rules;
    for (unsigned rule = 0, many = 1 + chance.Pick(4); rule < many; ++rule) {
      std::string match;
      for (unsigned k = chance.Pick(3); k > 0; --k) {
        match +=
            fmt::format("match {{ uri {{ {}: '{}' }} }} ", chance.Pick(2) == 0 ? "exact" : "prefix", chance.Of(kPaths));
      }
      static const char* const kRedirects[] = {"authority: 'other.test'", "uri: '/new'",
                                               "uri: '/new?y=1' redirect_code: 308"};
      std::string action;
      switch (chance.Pick(4)) {
        case 0:
          action = fmt::format("redirect {{ {} }}", chance.Of(kRedirects));
          break;
        case 1:
          action =
              "route { cluster_destination { clusters { name: 'c1' weight: 1 } clusters { name: 'c2' weight: 3 } } }";
          break;
        default:
          action = fmt::format("direct_response {{ status: {} body: '{}-{}-{}' }}", 200 + chance.Pick(3) * 150, name, i,
                               rule);
      }
      rules += fmt::format("rules {{ {}{} }} ", match, action);
    }
    servers += fmt::format("http {{ name: 's{}' hostname: '{}' port: 80 routing {{ {} }} }} ", i, host, rules);
  }
  return From<v2::Gateway>(fmt::format("spec {{ workload_selector {{ namespace: 't1' {} }} {} }}", labels, servers));
}

compile::World WorldBy(Chance& chance) {
  compile::World world;
  world.SetRoots("ROOT");
  world.Put(kOrg, From<v2::Organization>("spec { domain: 'o.test' }"));
  world.Put(kOrg + "/tenants/t/workspaces/w", From<v2::Workspace>("spec { namespace_selector { names: '*/*' } }"));
  world.Put(kGroup, From<v2::GatewayGroup>(""));
  for (const char* name : {"edge", "c1", "c2"}) {
    world.Put(kOrg + "/clusters/" + name, From<v2::Cluster>("spec { tier1_cluster: true }"));
  }
  world.PutWorkload(kEdge, *From<agent::v1::Workload>(
                               "name: 'gw' namespace: 't1' service_account: 'gw' labels { key: 'app' value: 'gw' } "
                               "labels { key: 'more' value: 'yes' } addresses: '127.0.0.1'"));
  // Two selectors that take the same workload: hosts of two listeners meet on one port.
  world.Put(kGroup + "/gateways/m", Object(chance, "m", "labels { key: 'app' value: 'gw' }"));
  world.Put(kGroup + "/gateways/n", Object(chance, "n", "labels { key: 'app' value: 'gw' }"));
  world.Put(kGroup + "/gateways/k", Object(chance, "k", "labels { key: 'more' value: 'yes' }"));
  return world;
}

// The edge's gateway with what its agent would tell it, on a port of the kernel's choice.
class Gateway {
 public:
  explicit Gateway(const compile::Compilation& compilation) {
    translate::Intent intent;
    for (const auto& [key, piece] : compilation.Of(kEdge)) {
      EXPECT_TRUE(
          translate::UpsertIntent(compile::TypeUrl(key.type), piece.name, piece.version, piece.bytes, &intent).ok());
    }
    translate::Facts facts;
    facts.workloads = compilation.world().facts(kEdge)->workloads;
    translate::Translator translator({"edge", "edge.o.test", "ROOT"});
    const auto config = translator.Translate(intent, facts, "t1/gw", {.vhds = true, .stock_envoy = false});
    std::vector<proxy::EnvoyResource> resources;
    for (const auto& [url, named] : config->types) {
      if (url == xds::kSecret) continue;
      for (const auto& [name, resource] : named) resources.push_back({url, name, resource->resource->value});
    }
    auto built = proxy::BuildSnapshot(resources, "1");
    EXPECT_TRUE(built.ok()) << built.error().ToString();
    auto snapshot = std::make_shared<proxy::Snapshot>(*built->snapshot);
    std::string name;
    std::erase_if(snapshot->listeners, [](const auto& listener) { return listener->port == 15443; });
    for (auto& listener : snapshot->listeners) {
      auto anywhere = std::make_shared<proxy::Listener>(*listener);
      anywhere->port = 0;
      name = anywhere->name;
      listener = std::move(anywhere);
    }
    EXPECT_EQ(snapshot->listeners.size(), 1u);
    EXPECT_TRUE(engine_.Start({}).ok());
    EXPECT_TRUE(proxy::ApplyAndWait(engine_, snapshot).ok());
    port_ = engine_.Port(name);
  }

  struct Answer {
    int status = 0;
    std::string reason, location, body;
    bool operator==(const Answer&) const = default;
  };
  Answer Ask(const v2::ExplainRouteRequest& request) const {
    proxy::Conn conn = proxy::Conn::To(port_);
    std::string head = fmt::format("{} {} HTTP/1.1\r\nhost: {}\r\n", request.method(), request.path(), request.host());
    for (const std::string& line : request.headers()) head += line + "\r\n";
    conn.Send(head + "\r\n");
    const std::string answer = conn.TakeHead();
    Answer out;
    if (answer.size() > 12) out.status = std::stoi(answer.substr(9, 3));
    out.reason = proxy::Header(answer, "x-weir-reason");
    out.location = proxy::Header(answer, "location");
    const std::string length = proxy::Header(answer, "content-length");
    if (request.method() != "HEAD" && !length.empty()) out.body = conn.Take(std::stoul(length));
    if (out.body == out.reason + "\n") out.body.clear();  // The reason once more.
    return out;
  }

 private:
  proxy::Engine engine_;
  uint16_t port_ = 0;
};

v2::ExplainRouteRequest RequestBy(Chance& chance) {
  static const char* const kHosts[] = {"a.test", "A.TEST",      "b.a.test",  "c.a.test", "c.b.a.test", "x.test",
                                       "y.test", "nobody.else", "a.test:80", "a.test.",  ".test",      "b.a.test:80"};
  static const char* const kPaths[] = {
      "/",      "/a",       "/a/",     "/a/b",     "/ab",     "/A",   "/c",
      "/a?x=1", "/a//b",    "/c/../a", "/%61",     "/a%2fb",  "/..",  "/.weir/health",
      "/?q",    "/a/b/../", "*",       "relative", "/a#frag", "/%zz", "http://x.test/a"};
  static const char* const kMethods[] = {"GET", "GET", "GET", "POST", "HEAD", "OPTIONS", "TRACE", "PUT", "CONNECT"};
  static const char* const kHeaders[] = {
      "idempotency-key: 7", "max-forwards: 0",         "via: 1.1 weir",       "bad_name: 1",     "x-b: 2",
      "content-length: 0",  "transfer-encoding: gzip", "connection: upgrade", "host: twice.test"};
  v2::ExplainRouteRequest request;
  request.set_parent(kOrg);
  request.set_host(chance.Of(kHosts));
  request.set_path(chance.Of(kPaths));
  request.set_method(chance.Pick(3) == 0 ? chance.Of(kMethods) : "GET");
  if (chance.Pick(5) == 0) request.add_headers(chance.Of(kHeaders));
  return request;
}

Gateway::Answer Said(const std::vector<v2::ExplainedRoute>& items, bool to_head) {
  if (items.empty()) return {.status = 404, .reason = "no_such_host", .location = "", .body = ""};
  EXPECT_EQ(items.size(), 1u);
  const v2::ExplainedRoute& item = items.front();
  return {item.status(), item.reason(), item.location(), to_head ? "" : item.body()};
}

TEST(ExplainRoute, SaysWhatTheEngineDoes) {
  std::map<int, int> outcomes;
  for (unsigned seed = 1; seed <= kWorlds; ++seed) {
    Chance chance(seed);
    const compile::Compilation compilation(WorldBy(chance));
    const Gateway gateway(compilation);
    for (int i = 0; i < kRequests; ++i) {
      const v2::ExplainRouteRequest request = RequestBy(chance);
      const status::AskedRequest asked = status::ReadAsked(request);
      status::PushedPieces pieces(compilation);
      const auto items = status::ExplainRoute(pieces, asked, status::NothingReported());
      const Gateway::Answer said = Said(items, request.method() == "HEAD"), done = gateway.Ask(request);
      // Of a host that nobody knows there is nothing to explain, and what is wrong with the request may be said first.
      if (items.empty() && asked.refusal) continue;
      EXPECT_EQ(said, done) << "seed " << seed << "\n"
                            << request.ShortDebugString() << "\nsaid " << said.status << " " << said.reason << " "
                            << said.location << " " << said.body << "\ndone " << done.status << " " << done.reason
                            << " " << done.location << " " << done.body;
      ++outcomes[items.empty() ? 0 : items.front().outcome()];
      // What is compiled on demand says the same.
      status::PiecesOnDemand fresh(compilation.world());
      const auto again = status::ExplainRoute(fresh, asked, status::NothingReported());
      ASSERT_EQ(again.size(), items.size());
      for (size_t k = 0; k < items.size(); ++k) EXPECT_EQ(again[k].SerializeAsString(), items[k].SerializeAsString());
    }
  }
  for (const int outcome : {0, 1, 3, 4, 5, 6})
    EXPECT_GT(outcomes[outcome], 20) << "outcome " << outcome << " is hardly met";
}

}  // namespace
}  // namespace weir
