#include "libs/proxy/engine_test_peers.h"
#include "libs/proxy/plan.h"

// A chain by host: SNI is looked up among the hosts of its routes, and each host says who may call it.
namespace weir::proxy {
namespace {

constexpr char kCaller[] = "spiffe://edge.acme/ns/t1/sa/t1", kOther[] = "spiffe://edge.acme/ns/t9/sa/t9";

struct HostSpec {
  std::string domain;
  std::shared_ptr<const Callers> callers;  // Null: not on the mesh port.
};
std::shared_ptr<const Callers> Only(std::vector<std::string> ids) {
  auto callers = std::make_shared<Callers>();
  for (std::string& id : ids) callers->push_back({std::move(id), false});
  return callers;
}

// All hosts lead to destination set "backend".
std::shared_ptr<const Routes> RoutesTo(const std::vector<HostSpec>& specs) {
  auto routes = std::make_shared<Routes>();
  std::vector<std::shared_ptr<const traffic::VirtualHost>> hosts;
  for (const HostSpec& spec : specs) {
    auto host = std::make_shared<traffic::VirtualHost>();
    host->name = spec.domain;
    host->domains = {spec.domain};
    host->rules = {{traffic::PathKind::kPrefix, "/", 0}};
    hosts.push_back(host);
    auto actions = std::make_shared<std::vector<RouteAction>>();
    actions->emplace_back().destination_set = "backend";
    routes->actions.push_back(actions);
    routes->callers.push_back(spec.callers);
  }
  routes->table = *traffic::RouteTable::Build(hosts);
  return routes;
}
DownstreamTls ByHost() {
  DownstreamTls tls;
  tls.require_client_certificate = true;
  tls.by_host = true;
  return tls;
}
std::shared_ptr<const Plan> PlanOf(const std::vector<std::vector<HostSpec>>& ports) {
  auto listener = std::make_shared<Listener>();
  listener->name = "mesh";
  listener->address = "127.0.0.1";
  for (const auto& hosts : ports) listener->chains.push_back({"mesh", {}, ByHost(), RoutesTo(hosts)});
  listener->chains.push_back({"digest", {"health.c1.acme"}, DownstreamTls{true, {{kCaller, false}}}, RoutesTo({})});
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->listeners = {listener};
  auto plan = Plan::Build(snapshot, nullptr);
  EXPECT_TRUE(plan.ok()) << plan.error().ToString();
  return *plan;
}

TEST(MeshPort, LooksSniUpAmongTheHostsOfAllPorts) {
  const auto one = Only({kCaller});
  const auto plan =
      PlanOf({{{"a.example", one}, {"*.w.example", one}, {"n.w.example", nullptr}, {"two.example", nullptr}},
              {{"b.example", Only({kOther})},
               {"x.w.example", Only({kOther})},
               {"two.example", one},
               {"nobody.example", Only({})}}});
  const PlannedListener& listener = *plan->listeners.begin()->second;
  struct {
    const char* sni;
    int chain;
    bool caller, other;
  } cases[] = {
      {"a.example", 0, true, false},      {"A.EXAMPLE", 0, true, false},         {"b.example", 1, false, true},
      {"y.w.example", 0, true, false},    {"x.w.example", 1, false, true},  // The exact one, though on a later port.
      {"two.example", 1, true, false},    {"nobody.example", 1, false, false},   {"n.w.example", -1, false, false},
      {"w.example", -1, false, false},    {"unknown.example", -1, false, false}, {"", -1, false, false},
      {"health.c1.acme", 2, true, false},
  };
  for (const auto& one_case : cases) {
    const auto found = listener.Find(one_case.sni);
    EXPECT_EQ(found.chain, one_case.chain) << one_case.sni;
    EXPECT_EQ(listener.Admits(found, kCaller), one_case.caller) << one_case.sni;
    EXPECT_EQ(listener.Admits(found, kOther), one_case.other) << one_case.sni;
    EXPECT_FALSE(listener.Admits(found, "")) << one_case.sni;
    const auto rule = listener.RuleOf(found);
    ASSERT_EQ(rule != nullptr, one_case.chain >= 0) << one_case.sni;
    if (rule == nullptr) continue;
    EXPECT_TRUE(rule->require_certificate);
    EXPECT_EQ(rule->Accepts(kCaller), one_case.caller) << one_case.sni;  // The handshake asks this.
    EXPECT_EQ(rule->Accepts(kOther), one_case.other) << one_case.sni;
  }
}

class MeshPortTest : public TlsTest {
 protected:
  void SetUp() override {
    const auto root = identity::NewRoot("test root");
    ASSERT_TRUE(root.ok());
    root_ = *root;
    ASSERT_TRUE(t2.Start({}).ok());
    ASSERT_TRUE(t2.SetIdentity(IdentityOf(root_, kT2)).ok());
    Serve({{"a.example", Only({kCaller})},
           {"b.example", Only({kOther})},
           {"*.w.example", Only({kCaller})},
           {"public.example", nullptr},
           {"nobody.example", Only({})}});
    StartCaller(t1, kCaller);
    StartCaller(other_, kOther);
  }
  void Serve(const std::vector<HostSpec>& hosts) {
    Config config({At("c1", 1, {echo.backend.port})});
    auto snapshot = std::make_shared<Snapshot>(*config.Build());
    auto listener = std::make_shared<Listener>(*snapshot->listeners.front());
    listener->chains = {{"mesh", {}, ByHost(), RoutesTo(hosts)}};
    snapshot->listeners = {listener};
    const Status applied = ApplyAndWait(t2, snapshot);
    ASSERT_TRUE(applied.ok()) << applied.error().ToString();
  }
  // Sends whatever host is asked for to the SNI that the path names.
  void StartCaller(Engine& engine, const char* id) {
    Config config(std::vector<Locality>{});
    auto snapshot = std::make_shared<Snapshot>(*config.Build());
    snapshot->destination_sets.clear();
    auto host = std::make_shared<traffic::VirtualHost>();
    host->name = "all";
    host->domains = {"*"};
    auto actions = std::make_shared<std::vector<RouteAction>>();
    for (const std::string sni :
         {"a.example", "b.example", "x.w.example", "public.example", "nobody.example", "unknown.example"}) {
      auto destination = std::make_shared<DestinationSet>();
      destination->name = sni;
      destination->tls = UpstreamTls{sni, {}};
      destination->localities = {At("c1", 1, {t2.Port("public")}, kT2)};
      snapshot->destination_sets[sni] = destination;
      host->rules.push_back({traffic::PathKind::kPrefix, "/" + sni, static_cast<uint32_t>(actions->size())});
      actions->emplace_back().destination_set = sni;
    }
    auto routes = std::make_shared<Routes>();
    routes->table = *traffic::RouteTable::Build({host});
    routes->actions = {actions};
    auto listener = std::make_shared<Listener>(*snapshot->listeners.front());
    listener->chains = {{"all", {}, std::nullopt, routes}};
    snapshot->listeners = {listener};
    ASSERT_TRUE(engine.Start({}).ok());
    ASSERT_TRUE(engine.SetIdentity(IdentityOf(root_, id)).ok());
    ASSERT_TRUE(ApplyAndWait(engine, snapshot).ok());
  }
  std::string Ask(Engine& caller, const std::string& sni, const std::string& host) {
    Conn conn = Conn::To(caller.Port("public"));
    conn.Send("GET /" + sni + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n");
    const std::string head = conn.TakeHead();
    return head.size() < 12 ? "no answer" : head.substr(9, 3);
  }

  Engine other_;
};

TEST_F(MeshPortTest, LetsEachCallerToItsHostsOnlyWhateverItNames) {
  struct {
    bool other;
    const char *sni, *host, *status;
  } cases[] = {
      {false, "a.example", "a.example", "200"},
      {false, "a.example", "b.example", "421"},       // Another one's host, over a connection of its own.
      {false, "a.example", "x.w.example", "421"},     // A host of its own, but not of this connection.
      {false, "a.example", "public.example", "421"},  // Not on the mesh port at all.
      {false, "a.example", "unknown.example", "404"},
      {false, "x.w.example", "x.w.example", "200"},
      {false, "x.w.example", "y.w.example", "200"},  // The same host: a wildcard.
      {false, "b.example", "b.example", "50"},       // No handshake.
      {false, "b.example", "a.example", "50"},
      {false, "public.example", "public.example", "50"},
      {false, "nobody.example", "nobody.example", "50"},
      {false, "unknown.example", "a.example", "50"},
      {true, "b.example", "b.example", "200"},
      {true, "a.example", "a.example", "50"},
      {true, "b.example", "a.example", "421"},
      {true, "nobody.example", "nobody.example", "50"},
  };
  for (const auto& one : cases) {
    const std::string status = Ask(one.other ? other_ : t1, one.sni, one.host);
    EXPECT_TRUE(status.starts_with(one.status))  // "50": T1 did not get through, before its request or with it.
        << (one.other ? "other " : "caller ") << one.sni << " " << one.host << ": " << status;
  }
}

// What was taken away ends on open connections too; who stays keeps his.
TEST_F(MeshPortTest, AsksAgainOnOpenConnectionsWhenCallersChange) {
  EXPECT_EQ(Ask(t1, "a.example", "a.example"), "200");
  EXPECT_EQ(Ask(other_, "b.example", "b.example"), "200");
  Serve({{"a.example", Only({kOther})}, {"b.example", Only({kOther})}});
  EXPECT_EQ(Ask(t1, "a.example", "a.example").substr(0, 2), "50");  // Lost with its connection, or refused anew.
  EXPECT_EQ(Ask(other_, "b.example", "b.example"), "200");
}

}  // namespace
}  // namespace weir::proxy
