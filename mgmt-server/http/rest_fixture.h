#pragma once

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "api/weir/v2/user.pb.h"
#include "libs/base/file.h"
#include "libs/base/ids.h"
#include "libs/document/document.h"
#include "libs/http/client.h"
#include "libs/http/server.h"
#include "mgmt-server/authn/administrator.h"
#include "mgmt-server/authn/authn.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/ca/ca.h"
#include "mgmt-server/http/rest.h"
#include "mgmt-server/invariant_guard.h"
#include "mgmt-server/plan_answers.h"
#include "mgmt-server/push/world_feed.h"
#include "mgmt-server/route_answers.h"
#include "mgmt-server/services/services.h"
#include "mgmt-server/services/waits.h"
#include "mgmt-server/services/watches.h"
#include "mgmt-server/status/wave.h"
#include "mgmt-server/store/sqlite/sqlite_store.h"

// For tests only.
namespace weir::edge {

using ::testing::HasSubstr;
using ::testing::Not;

// The founding document, as its users have it.
inline constexpr const char* kFounding = R"(apiVersion: gateway.tsb.tetrate.io/v2
kind: Tier1Gateway
metadata:
  name: service1-tier1
  group: demo-gw-group
  organization: demo-org
  tenant: demo-tenant
  workspace: demo-ws
spec:
  workloadSelector:
    namespace: t1
    labels:
      app: gateway-t1
      istio: ingressgateway
  externalServers:
  - name: service1
    hostname: servicea.example.com
    port: 80
    tls: {}
    clusters:
    - name: cluster1
      weight: 75
    - name: cluster2
      weight: 25
)";

inline constexpr const char* kSurroundings = R"(---
apiVersion: api.weir.dev/v2
kind: Cluster
metadata: {name: cluster1, organization: demo-org}
spec: {locality: {region: eu}}
---
apiVersion: api.weir.dev/v2
kind: Cluster
metadata: {name: cluster2, organization: demo-org}
spec: {locality: {region: us}}
---
apiVersion: gateway.weir.dev/v2
kind: GatewayGroup
metadata: {name: demo-gw-group, organization: demo-org, tenant: demo-tenant, workspace: demo-ws}
spec: {}
---
apiVersion: api.weir.dev/v2
kind: Workspace
metadata: {name: demo-ws, organization: demo-org, tenant: demo-tenant}
spec: {namespaceSelector: {names: ["*/t1"]}}
---
apiVersion: api.weir.dev/v2
kind: Tenant
metadata: {name: demo-tenant, organization: demo-org}
)";

struct Answer {
  int status = 0;
  document::Node body;
  std::string text;
  std::string etag;
  http::Headers headers;

  std::string Text(std::initializer_list<const char*> path) const {
    const document::Node* node = &body;
    for (const char* key : path) {
      node = node->Find(key);
      if (node == nullptr) return "";
    }
    return node->text;
  }
  std::string reason() const { return Text({"reason"}); }
};

// A fleet without agents: nothing was reported, nobody waits in vain. A test says what it wants otherwise.
struct NoFleet final : services::FleetView {
  store::Store* store = nullptr;
  const Clock* clock = &Clock::Real();
  template <typename Answer>
  using ByHost = std::function<std::vector<Answer>(const std::string& parent, const std::string& host)>;
  std::function<Result<std::vector<v2::ResourceStatus>>(const std::string& parent)> statuses = [](const auto&) {
    return std::vector<v2::ResourceStatus>();
  };
  std::function<v2::ResourceStatus(const std::string& fqn, int64_t revision)> applied = [](const auto& fqn, int64_t) {
    v2::ResourceStatus status;
    status.set_fqn(fqn);
    return status;
  };
  ByHost<v2::HostTraffic> traffic = [](const auto&, const auto&) { return std::vector<v2::HostTraffic>(); };
  ByHost<v2::HostHealth> health = [](const auto&, const auto&) { return std::vector<v2::HostHealth>(); };
  std::vector<v2::HeldCluster> held;
  std::vector<std::string> away;
  ByHost<std::string> serving = [](const auto&, const auto&) { return std::vector<std::string>(); };

  Result<v2::ResourceStatus> Status(const std::string& fqn) const override { return applied(fqn, 0); }
  Result<std::vector<v2::ResourceStatus>> Statuses(const std::string& parent) const override {
    return statuses(parent);
  }
  bool compiled = true;
  bool IsCompiled(int64_t) const override { return compiled; }
  v2::ResourceStatus WaitApplied(const std::string& fqn, int64_t revision, MonoTime) const override {
    return applied(fqn, revision);
  }
  v2::ClusterState ClusterState(const std::string& fqn) const override {  // As it is stored.
    v2::Cluster cluster;
    const store::ResourcePtr stored = store->Read()->Get(fqn);
    if (stored != nullptr) cluster.ParseFromString(stored->body);
    return cluster.state();
  }
  std::vector<v2::HostTraffic> Traffic(const std::string& parent, const std::string& host) const override {
    return traffic(parent, host);
  }
  std::vector<v2::HostHealth> Health(const std::string& parent, const std::string& host) const override {
    return health(parent, host);
  }
  std::vector<std::string> Serving(const std::string& parent, const std::string& host) const override {
    return serving(parent, host);
  }
  std::function<ServiceWord(const std::string& cluster, const std::string& host, uint32_t port)> word =
      [](const auto&, const auto&, uint32_t) { return ServiceWord(); };
  ServiceWord ServiceHealth(const std::string& cluster, const std::string& host, uint32_t port) const override {
    return word(cluster, host, port);
  }
  std::function<std::vector<v2::FailoverPlan>(const std::set<std::string>& without)> failover = [](const auto&) {
    return std::vector<v2::FailoverPlan>();
  };
  std::vector<v2::FailoverPlan> Failover(const std::string&, const std::string&,
                                         const std::set<std::string>& without) const override {
    return failover(without);
  }
  // From what is stored.
  Result<std::vector<v2::ExplainedRoute>> ExplainRoute(const status::AskedRequest& asked, const store::ViewPtr& then,
                                                       MonoTime) const override {
    const store::ViewPtr now = store->Read();
    return server::ExplainRouteAt(then == nullptr ? *now : *then, *now, asked);
  }
  // From what is stored, compiled anew.
  Result<services::PlanEffect> Plan(const services::PlanQuestion& question) const override {
    compile::World world = push::WorldFeed(Clock::Real()).Load(*store->Read(), "ROOT");
    return server::PlanFrom(std::move(world), {}, *clock, traffic("", ""), question);
  }
  Result<services::Concerned> ConcernedBy(const services::PlanQuestion& question) const override {
    return server::ConcernedFrom(push::WorldFeed(Clock::Real()).Load(*store->Read(), "ROOT"), question);
  }
  std::function<status::WaveSeen(const status::WaveQuestion& question)> wave = [](const auto&) {
    return status::WaveSeen();
  };
  status::WaveSeen ObserveWave(const status::WaveQuestion& question) const override { return wave(question); }
  std::vector<v2::HeldCluster> HeldClusters() const override { return held; }
  std::vector<std::string> AwayClusters() const override { return away; }
  void ReleaseHeldClusters() override { held.clear(); }
  v2::ServerStatus ServerStatus() const override { return v2::ServerStatus(); }
  Result<v2::ReplaceRootResponse> Roots() const override { return v2::ReplaceRootResponse(); }
  weir::Status ReplaceRoot(v2::ReplaceRootRequest::Step) override { return {}; }
};

// The whole way from a TLS client to the store in a temporary folder; only gateways are missing.
class RestApi : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("weir-rest-" + RandomHex(8));
    std::filesystem::create_directories(folder_);
    store::SqliteOptions store_options;
    store_options.path = folder_ + "/weir.db";
    auto store = store::OpenSqlite(store_options, authz::TenancyPolicy());
    ASSERT_TRUE(store.ok()) << store.error().ToString();
    store_ = std::move(store).value();
    authn::Options authn_options;
    authn_options.cost = {.memory_kib = 64, .passes = 1};
    authn_ = std::make_unique<authn::Authn>(*store_, authn_options);
    auto administrator = authn::EnsureAdministrator(
        *store_, *authn_, {.organization = "demo-org", .user = "admin", .state_dir = folder_});
    ASSERT_TRUE(administrator.ok()) << administrator.error().ToString();
    auto ca = ca::ServerCa::Open(ca::FileBlobs(folder_),
                                 {.organization_domain = "demo-org.weir.internal", .names = {"127.0.0.1"}});
    ASSERT_TRUE(ca.ok()) << ca.error().ToString();
    ca_ = std::move(ca).value();

    fleet_.store = store_.get();
    fleet_.clock = handlers_clock_;
    backends_ = std::make_unique<services::Backends>(*store_, *authn_, fleet_, invariants_, stopping_,
                                                     ca_->anchor_sha256(), *handlers_clock_);
    writes_ = std::make_unique<services::Writes>(*store_, bounds_);
    methods_ = services::MakeTable(*backends_);
    standing_ = services::AddAll(*methods_, *backends_, *writes_);
    rest_ = std::make_unique<Rest>(*methods_);
    http::ServerOptions options;
    options.certificate_chain_pem = ca_->server_certificate().chain_pem;
    options.private_key_pem = ca_->server_certificate().key_pem;
    options.handler_threads = 4;
    options.screen = [this](std::string_view head, const std::string&) { return rest_->Screen(head); };
    options.render_error = [](int status, const Error& error) { return Rest::RenderError(status, error, NewUid()); };
    auto server = http::Server::Start(options, [this](http::Request&& r) { return rest_->Handle(std::move(r)); });
    ASSERT_TRUE(server.ok()) << server.error().ToString();
    server_ = std::move(server).value();
    auto client = http::Client::Create(
        {.port = server_->port(), .ca_pem = ca_->anchor_pem(), .spiffe_id = "", .server_name = ""});
    ASSERT_TRUE(client.ok());
    client_ = std::make_unique<http::Client>(std::move(client).value());
    auto password = ReadFile(administrator->password_path);
    ASSERT_TRUE(password.ok());
    while (!password->empty() && password->back() == '\n') password->pop_back();
    admin_ = Login("admin", *password);
  }

  void TearDown() override {
    standing_.Stop();
    if (server_) server_->Stop();
    std::filesystem::remove_all(folder_);
  }

  Answer Send(const std::string& method, const std::string& target, const std::string& body, const std::string& token,
              http::Headers headers = {}) {
    if (!token.empty()) headers.emplace_back("Authorization", "Bearer " + token);
    auto response = client_->Do({method, target, std::move(headers), body, ""});
    EXPECT_TRUE(response.ok()) << response.error().ToString();
    if (!response.ok()) return {};
    Answer answer;
    answer.status = response->status;
    answer.text = response->body;
    answer.etag = std::string(response->Header("etag"));
    answer.headers = response->headers;
    auto parsed = document::ParseOne(response->body, {}, document::Syntax::kJson);
    if (parsed.ok()) answer.body = std::move(parsed).value();
    return answer;
  }
  Answer Get(const std::string& target) { return Send("GET", target, "", admin_); }
  Answer Post(const std::string& target, const std::string& body) { return Send("POST", target, body, admin_); }
  Answer Apply(const std::string& documents, const std::string& manager = "", bool force = false,
               const std::string& token = "") {
    document::Node body = document::Node::Map();
    body.Add("documents", document::Node::String(documents));
    if (!manager.empty()) body.Add("manager", document::Node::String(manager));
    if (force) body.Add("force", document::Node::Bool(true));
    return Send("POST", "/v2/documents:apply", document::WriteJson(body), token.empty() ? admin_ : token);
  }

  std::string Login(const std::string& user, const std::string& password) {
    document::Node body = document::Node::Map();
    body.Add("organization", document::Node::String("demo-org"));
    body.Add("user", document::Node::String(user));
    body.Add("password", document::Node::String(password));
    const Answer answer = Send("POST", "/v2/login", document::WriteJson(body), "");
    EXPECT_EQ(answer.status, 200) << answer.text;
    return answer.Text({"token"});
  }

  // A user without any role.
  std::string NewUser(const std::string& name) {
    EXPECT_EQ(Post("/v2/organizations/demo-org/users", R"({"metadata":{"name":")" + name + R"("},"spec":{}})").status,
              200);
    EXPECT_EQ(
        Post("/v2/organizations/demo-org/users/" + name + ":setPassword", R"({"password":"a-long-password"})").status,
        200);
    return Login(name, "a-long-password");
  }

  const Clock* handlers_clock_ = &Clock::Real();  // Of the handlers; set before SetUp.
  std::string folder_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<authn::Authn> authn_;
  std::unique_ptr<ca::ServerCa> ca_;
  NoFleet fleet_;
  server::InvariantGuard invariants_;
  std::atomic<bool> stopping_{false};
  std::unique_ptr<services::Backends> backends_;
  services::WriteBounds bounds_;
  std::unique_ptr<services::Writes> writes_;
  std::unique_ptr<services::MethodTable> methods_;
  services::Standing standing_;
  std::unique_ptr<Rest> rest_;
  std::unique_ptr<http::Server> server_;
  std::unique_ptr<http::Client> client_;
  std::string admin_;
};

}  // namespace weir::edge
