#include "cluster-agent/agent.h"

#include <gmock/gmock.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "api/weir/agent/v1/agent.grpc.pb.h"
#include "api/weir/bootstrap/v1/bootstrap.pb.h"
#include "api/weir/mesh/v1/intent.pb.h"
#include "cluster-agent/link/membership.h"
#include "libs/base/file.h"
#include "libs/base/ids.h"
#include "libs/base/mutex.h"
#include "libs/document/document.h"
#include "libs/identity/certificates.h"
#include "libs/identity/spiffe_id.h"
#include "libs/identity/token.h"
#include "libs/rpc/channel.h"
#include "libs/rpc/server.h"
#include "libs/rpc/status.h"
#include "libs/rpc/time.h"
#include "libs/translate/bytes.h"
#include "libs/xds/grpc/ads_client.h"
#include "libs/xds/grpc/recording_handler.h"
#include "tests/support/real_time.h"

// The real agent against a server of a few lines: real certificates, real gRPC on loopback, a real xDS client as data
// plane.
namespace weir::agent {
namespace {

using std::chrono::seconds;

// Issues both anchors and answers join, reports and mesh ADS for one cluster.
class SmallServer : public v1::ClusterJoin::Service, public v1::AgentReports::Service {
 public:
  explicit SmallServer(const std::string& folder, int port = 0) {
    anchor_ = *identity::NewServerAnchor();
    root_ = *identity::NewRoot("test root");
    Start(folder, port);
  }
  ~SmallServer() override { Stop(); }

  void Start(const std::string& folder, int port) {
    identity::LeafRequest leaf;
    const std::string key = *identity::NewKey();
    leaf.csr_pem = *identity::MakeCsr(key);
    leaf.spiffe_id = identity::ServerPeer(anchor_.certificate_pem)->spiffe_id;
    rpc::ServerTls tls;
    tls.chain_pem = *identity::SignLeaf(anchor_, leaf) + anchor_.certificate_pem;
    tls.key_pem = key;
    tls.client_roots_pem = root_.certificate_pem;
    tls.client_certificate = rpc::ClientCertificate::kOptional;
    tls_now_ = tls;
    tls_ = *rpc::RotatingServerTls::Open(folder + "/server-tls", tls, Clock::Real());
    xds::AdsServiceOptions options;
    options.rules = std::make_shared<const xds::ServerRules>(xds::MeshRules());
    ads_ = std::make_unique<xds::AdsService>(handler_, std::move(options));
    grpc::ServerBuilder builder;
    rpc::ApplyDefaults(builder);
    builder.AddListeningPort("127.0.0.1:" + std::to_string(port), tls_->credentials(), &port_);
    builder.RegisterService(static_cast<v1::ClusterJoin::Service*>(this));
    builder.RegisterService(static_cast<v1::AgentReports::Service*>(this));
    builder.RegisterService(ads_->service());
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
  }
  void Stop() {
    if (server_ == nullptr) return;
    ads_->Shutdown();
    server_->Shutdown(rpc::DeadlineIn({}));
    server_->Wait();
    server_.reset();
    ads_.reset();
  }

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  int port() const { return port_; }
  std::string Token(const std::string& cluster, bool rejoin = false) const {
    auto token = identity::JoinToken::New("organizations/o/clusters/" + cluster,
                                          *identity::CertificateSha256(anchor_.certificate_pem));
    token.rejoin = rejoin;
    return token.ToText();
  }
  const std::string& root_pem() const { return root_.certificate_pem; }
  void SignWith(const identity::Authority& root) {
    MutexLock lock(mutex_);
    root_ = root;
  }
  // What is trusted from now on, said to everybody.
  void Trust(const std::string& roots_pem) {
    rpc::ServerTls next = tls_now_;
    next.client_roots_pem = roots_pem;
    ASSERT_TRUE(tls_->Replace(next).ok());
    {
      MutexLock lock(mutex_);
      roots_pem_ = roots_pem;
    }
    mesh::v1::TrustBundle trust;
    trust.set_name("test");
    trust.set_root_pem(roots_pem);
    Tell(trust);
    Publish("edge");
  }

  template <typename Message>
  void Tell(const Message& message) {
    MutexLock lock(mutex_);
    const std::string url = "type.googleapis.com/" + Message::descriptor()->full_name();
    auto next = std::make_shared<xds::Resources>(*intent_[url]);
    (*next)[message.name()] = xds::MakeResource(message.name(), translate::Bytes(message));
    intent_[url] = std::move(next);
  }
  // The same bytes by another version, as when what was replaced has come back.
  void Rename(std::string_view url, const std::string& name, const std::string& version) {
    MutexLock lock(mutex_);
    auto next = std::make_shared<xds::Resources>(*intent_[std::string(url)]);
    xds::Resource resource = *next->at(name);
    resource.version = version;
    (*next)[name] = std::make_shared<const xds::Resource>(std::move(resource));
    intent_[std::string(url)] = std::move(next);
  }
  // A type that is not loaded yet: the server does not answer for it.
  void Withhold(std::string_view url) {
    MutexLock lock(mutex_);
    withheld_ = url;
  }
  bool Acknowledged(std::string_view url, const std::string& name) const { return handler_.Accepted(name, url); }
  void Publish(const std::string& cluster) {
    auto snapshot = std::make_shared<xds::Snapshot>();
    {
      MutexLock lock(mutex_);  // Not below: who hands out a snapshot may be the one who is told of it.
      for (const auto& [url, resources] : intent_) {
        if (url != withheld_) snapshot->types[url] = resources;
      }
    }
    ads_->SetSnapshot(identity::AgentSpiffeId(cluster + ".test"), snapshot);
  }

  grpc::Status Join(grpc::ServerContext*, const v1::JoinRequest* request, v1::JoinResponse* response) override {
    const auto token = identity::JoinToken::Parse(request->token());
    MutexLock lock(mutex_);
    if (!used_.insert(token->secret).second) return rpc::ToGrpc(Unauthenticated("JOIN_TOKEN_USED", "used"));
    ++joins;
    last_token = request->token();
    return Sign(token->cluster(), request->csr_pem(), response);
  }
  grpc::Status Renew(grpc::ServerContext* context, const v1::RenewRequest* request,
                     v1::JoinResponse* response) override {
    const std::string id = rpc::PeerSpiffeId(*context);
    if (id != identity::AgentSpiffeId("edge.test")) return rpc::ToGrpc(PermissionDenied("NO", "{}", id));
    MutexLock lock(mutex_);
    ++renewals;
    return Sign("edge", request->csr_pem(), response);
  }
  grpc::Status Report(grpc::ServerContext*,
                      grpc::ServerReaderWriter<v1::ServerMessage, v1::AgentMessage>* stream) override {
    v1::AgentMessage in;
    while (stream->Read(&in)) {
      v1::ServerMessage out;
      MutexLock lock(mutex_);
      if (in.has_hello()) out.mutable_state()->set_hash(facts.hash());
      if (in.has_facts()) {
        facts = in.facts();
        ++deltas;
        out.mutable_ack()->set_sequence(in.facts().sequence());
      }
      if (in.has_applied()) {
        for (const auto& gateway : in.applied().gateways()) {
          connected[gateway.workload()] = gateway.connected();
          for (const auto& intent : gateway.intents()) applied[intent.type() + " " + intent.name()] = intent;
        }
      }
      if (in.has_heartbeat()) {
        out.mutable_heartbeat()->set_sequence(in.heartbeat().sequence());
        *out.mutable_heartbeat()->mutable_time() = rpc::ToTimestamp(clock->Wall() + clock_ahead);
        out.mutable_heartbeat()->set_held(held);
      }
      if (in.has_problems()) problems = in.problems();
      lock.Unlock();
      stream->Write(out);
    }
    return grpc::Status::OK;
  }

  template <typename Get>
  auto With(Get get) {
    MutexLock lock(mutex_);
    return get();
  }

  std::string last_token;
  int joins = 0, renewals = 0, deltas = 0;
  v1::FactsDelta facts;
  std::map<std::string, v1::AppliedIntent> applied;
  std::map<std::string, bool> connected;
  v1::Problems problems;
  std::chrono::seconds clock_ahead{0};
  std::string held;
  const Clock* clock = &Clock::Real();
  Duration intermediate_lifetime = std::chrono::hours(24);

 private:
  grpc::Status Sign(const std::string& cluster, const std::string& csr, v1::JoinResponse* response)
      WEIR_REQUIRES(mutex_) {
    const auto signed_ca =
        identity::SignIntermediate(root_, {csr, cluster + ".test", {"uid-" + cluster, 1}, intermediate_lifetime});
    if (!signed_ca.ok()) return rpc::ToGrpc(signed_ca.error());
    response->set_cluster(cluster);
    response->set_organization("o");
    response->set_trust_domain(cluster + ".test");
    response->set_intermediate_pem(*signed_ca);
    response->set_root_pem(roots_pem_.empty() ? root_.certificate_pem : roots_pem_);
    return grpc::Status::OK;
  }

  Mutex mutex_;
  identity::Authority anchor_, root_;
  std::string roots_pem_ WEIR_GUARDED_BY(mutex_);  // "" = root_ alone.
  rpc::ServerTls tls_now_;
  std::unique_ptr<rpc::RotatingServerTls> tls_;
  xds::RecordingHandler handler_{[](const xds::AdsPeer& peer) -> Result<xds::AdsGrant> {
    if (peer.uris.size() != 1) return Unauthenticated("PEER_IDENTITY_MISSING", "no identity");
    return xds::AdsGrant{peer.uris[0]};
  }};
  std::unique_ptr<xds::AdsService> ads_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
  std::set<std::string> used_ WEIR_GUARDED_BY(mutex_);
  std::string withheld_ WEIR_GUARDED_BY(mutex_);
  std::map<std::string, xds::ResourcesPtr> intent_ WEIR_GUARDED_BY(mutex_){
      {std::string(xds::kMeshTrustBundle), std::make_shared<xds::Resources>()},
      {std::string(xds::kMeshServiceEndpoints), std::make_shared<xds::Resources>()},
      {std::string(xds::kMeshDestinationSet), std::make_shared<xds::Resources>()},
      {std::string(xds::kMeshHost), std::make_shared<xds::Resources>()},
      {std::string(xds::kMeshListener), std::make_shared<xds::Resources>()}};
};

class AgentTest : public testing::Test, public xds::AdsClientHandler {
 protected:
  AgentTest() : folder_(testing::TempDir() + "weir-agent-" + RandomHex(4)) {
    EXPECT_TRUE(MakeFolders(folder_).ok());
    server_ = std::make_unique<SmallServer>(folder_);
    EXPECT_TRUE(WriteFileAtomic(folder_ + "/discovery.yaml", R"(
workloads:
- {name: t1, namespace: edge, addresses: [127.0.1.10], labels: {app: t1}, ports: {80: 18080}}
- {name: other, namespace: edge, addresses: [127.0.1.11], labels: {app: other}}
)")
                    .ok());
    mesh::v1::TrustBundle trust;
    trust.set_name("test");
    trust.set_root_pem(server_->root_pem());
    server_->Tell(trust);
    Serve("shop.example", 200);
  }
  ~AgentTest() override {
    agent_.reset();
    server_.reset();
    std::filesystem::remove_all(folder_);
  }

  void Serve(const std::string& hostname, uint32_t status) {
    mesh::v1::Listener listener;
    listener.set_name("edge/app=t1/80");
    listener.set_port(80);
    listener.set_tier(mesh::v1::TIER1);
    listener.mutable_selector()->set_namespace_("edge");
    (*listener.mutable_selector()->mutable_labels())["app"] = "t1";
    mesh::v1::Host host;
    host.set_name("edge/app=t1/80/" + hostname);
    host.set_hostname(hostname);
    host.set_listener(listener.name());
    host.add_routes()->mutable_direct_response()->set_status(status);
    server_->Tell(host);
    server_->Tell(listener);
    server_->Publish("edge");
  }

  // From now on time passes only as the test says, for the agent and in what the server says of it; it is the real one
  // now, because gRPC judges certificates by that.
  void StopClock() {
    SetToPresent(manual_);
    clock_ = &manual_;
    server_->With([&] {
      server_->clock = &manual_;
      return 0;
    });
  }

  Status StartAgent(bool with_token = true) { return StartWith(with_token ? server_->Token("edge") : std::string()); }
  Status StartWith(const std::string& token) {
    bootstrap::v1::Agent bootstrap;
    bootstrap.set_state_dir(folder_ + "/state");
    bootstrap.set_server(server_address_.empty() ? server_->address() : server_address_);
    bootstrap.set_discovery_file(folder_ + "/discovery.yaml");
    bootstrap.set_listen("127.0.0.1:0");
    if (!token.empty()) {
      EXPECT_TRUE(identity::WriteSecretFile(folder_ + "/token", token).ok());
      bootstrap.set_join_token_file(folder_ + "/token");
    }
    Agent::FillDefaults(bootstrap);
    auto started = Agent::Start(bootstrap, "test", stop_, *clock_);
    if (!started.ok()) return started.error();
    agent_ = std::move(*started);
    return {};
  }

  std::string WorkloadFolder(const std::string& workload) const { return folder_ + "/state/workloads/" + workload; }
  bootstrap::v1::Gateway ReadBootstrap(const std::string& workload) const {
    bootstrap::v1::Gateway gateway;
    const Status read = document::ReadMessage(*ReadFile(WorkloadFolder(workload) + "/gateway.json"), gateway);
    EXPECT_TRUE(read.ok()) << read.error().ToString();
    return gateway;
  }
  rpc::ChannelOptions Channel(const std::string& workload) const {
    const bootstrap::v1::Gateway gateway = ReadBootstrap(workload);
    rpc::ChannelOptions options;
    options.target = gateway.agent();
    options.peer = {gateway.root_pem(), gateway.agent_id()};
    options.bearer_token = *identity::ReadSecretFile(gateway.token_file());
    while (options.bearer_token.ends_with('\n')) options.bearer_token.pop_back();
    return options;
  }

  // A data plane that accepts everything, or refuses what `refuse` says.
  std::unique_ptr<xds::AdsClient> Connect(const std::string& workload, bool vhds = true) {
    xds::AdsClientOptions options;
    channel_ = Channel(workload);
    options.node.id = "edge/edge/liar";  // What a node says of itself counts for nothing.
    if (vhds) options.node.features.insert("dev.weir.vhds");
    for (const std::string_view type :
         {xds::kCluster, xds::kEndpoints, xds::kListener, xds::kRoute, xds::kVirtualHost, xds::kSecret}) {
      options.types.emplace_back(type);
    }
    auto client = std::make_unique<xds::AdsClient>(*this, std::move(options));
    client_ = client.get();
    client->Start();
    return client;
  }

  rpc::ChannelOptions Channel() override { return channel_; }
  void OnUpdate(const xds::Update& update) override {
    if (!refuse_.empty() && update.type_url == xds::kVirtualHost)
      client_->Reject(update.id, refuse_);
    else
      client_->Accept(update.id);
  }
  void OnState(bool, const std::string&) override {}

  std::string folder_;
  std::string server_address_;
  ManualClock manual_;
  const Clock* clock_ = &Clock::Real();
  std::unique_ptr<SmallServer> server_;
  std::atomic<bool> stop_{false};
  std::unique_ptr<Agent> agent_;
  std::string refuse_;
  rpc::ChannelOptions channel_;  // Of client_: one data plane at a time.
  xds::AdsClient* client_ = nullptr;
};

TEST_F(AgentTest, JoinsOnceAndServesWhatTheServerIntends) {
  const Status started = StartAgent();
  ASSERT_TRUE(started.ok()) << started.error().ToString() << started.error().cause;
  ASSERT_TRUE(Eventually([&] { return agent_->Ready().ok() && agent_->ServerConnected(); }));
  EXPECT_EQ(std::filesystem::status(folder_ + "/state/membership.1").permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  EXPECT_TRUE(Eventually([&] { return server_->With([&] { return server_->facts.workloads_size() == 2; }); }));

  auto client = Connect("edge/t1");
  ASSERT_TRUE(Eventually(
      [&] { return client->Accepted()->Find(xds::kVirtualHost, "edge/app=t1/80/shop.example") != nullptr; }));
  EXPECT_NE(client->Accepted()->Find(xds::kListener, "80"), nullptr);
  EXPECT_NE(client->Accepted()->Find(xds::kSecret, "trust"), nullptr);
  EXPECT_EQ(client->Accepted()->Find(xds::kSecret, "identity"), nullptr);  // Ours keep their key to themselves.
  ASSERT_TRUE(Eventually([&] {
    return server_->With([&] {
      const auto found = server_->applied.find("Host edge/app=t1/80/shop.example");
      return found != server_->applied.end() && !found->second.version().empty() && server_->connected["edge/t1"];
    });
  }));
  client->Stop();
  EXPECT_TRUE(Eventually([&] { return server_->With([&] { return !server_->connected["edge/t1"]; }); }));

  agent_.reset();
  ASSERT_TRUE(StartAgent(false).ok()) << "without a token";
  ASSERT_TRUE(Eventually([&] { return agent_->ServerConnected(); }));
  EXPECT_EQ(server_->joins, 1);
  EXPECT_EQ(server_->With([&] { return server_->deltas; }), 1);  // The server still has the same facts.
}

TEST_F(AgentTest, ASecondOneInTheSameFolderIsRefusedBeforeItTouchesAnything) {
  ASSERT_TRUE(StartAgent().ok());
  ASSERT_TRUE(Eventually([&] { return agent_->Ready().ok() && agent_->ServerConnected(); }));
  const auto files = [&] {
    std::map<std::string, std::string> found;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_ + "/state")) {
      if (!entry.is_regular_file() || entry.path().string().find(".tmp.") != std::string::npos) continue;  // Not yet.
      found[entry.path()] = *ReadFile(entry.path());
    }
    return found;
  };
  ASSERT_TRUE(Eventually([&] { return files().contains(folder_ + "/state/last-good.1"); }));
  const auto before = files();
  const auto first = std::move(agent_);
  EXPECT_EQ(StartAgent().error().reason, "STATE_IN_USE");
  EXPECT_EQ(files(), before);
  EXPECT_EQ(server_->joins, 1);
}

TEST_F(AgentTest, AMemberUsesAnotherTokenOnlyWhenTheTokenSaysSoAndSaysWhatItDoesNotUse) {
  const auto problem = [&] {
    return server_->With([&] {
      for (const auto& one : server_->problems.problems()) {
        if (one.source() == "membership") return one.text();
      }
      return std::string();
    });
  };
  ASSERT_TRUE(StartAgent().ok());
  ASSERT_EQ(server_->joins, 1);
  const std::string of_a_workload = Channel("edge/t1").bearer_token;
  agent_.reset();
  // The same token stays in its file: nothing to say.
  ASSERT_TRUE(StartWith(server_->last_token).ok());
  ASSERT_TRUE(Eventually([&] { return agent_->ServerConnected(); }));
  EXPECT_EQ(server_->joins, 1);
  EXPECT_EQ(problem(), "");
  agent_.reset();
  ASSERT_TRUE(StartWith(server_->Token("edge")).ok());
  EXPECT_TRUE(Eventually([&] { return problem().find("is not used") != std::string::npos; })) << problem();
  EXPECT_NE(problem().find("weir cluster rejoin edge"), std::string::npos) << problem();
  EXPECT_EQ(server_->joins, 1);
  agent_.reset();
  ASSERT_TRUE(StartWith(server_->Token("edge", true)).ok());
  EXPECT_EQ(server_->joins, 2);
  EXPECT_NE(Channel("edge/t1").bearer_token, of_a_workload) << "a secret of the membership that ended";
  const std::string used = server_->last_token;
  agent_.reset();
  // A used one that this agent does not remember is refused by the server; what is held goes on.
  std::filesystem::remove(folder_ + "/state/membership.token");
  ASSERT_TRUE(StartWith(used).ok());
  EXPECT_TRUE(Eventually([&] { return problem().find("JOIN_TOKEN_USED") != std::string::npos; })) << problem();
}

// Both trusted, then the other one signs, then the first is trusted no more: without a restart, at the agent and at
// what it hands to gateways.
TEST_F(AgentTest, FollowsTheReplacementOfTheMeshRoot) {
  ASSERT_TRUE(StartAgent().ok());
  auto client = Connect("edge/t1");
  const auto trusted = [&](const std::string& roots) {
    return Eventually([&] {
      const xds::Resource* secret = client->Accepted()->Find(xds::kSecret, "trust");
      return secret != nullptr && secret->value.find(roots) != std::string::npos;
    });
  };
  const std::string first = server_->root_pem();
  const identity::Authority second = *identity::NewRoot("second root");
  ASSERT_TRUE(trusted(first));
  const auto files_say = [&](const std::string& roots) {
    return Eventually([&] { return ReadBootstrap("edge/t1").root_pem() == roots; });
  };
  server_->Trust(first + second.certificate_pem);
  EXPECT_TRUE(trusted(first + second.certificate_pem));
  EXPECT_TRUE(files_say(first + second.certificate_pem)) << "renewed once, for the roots alone";
  server_->SignWith(second);
  server_->Trust(second.certificate_pem + first);
  EXPECT_TRUE(trusted(second.certificate_pem + first));
  EXPECT_TRUE(files_say(second.certificate_pem + first));
  EXPECT_EQ(server_->With([&] { return server_->renewals; }), 2);
  server_->Trust(second.certificate_pem);
  EXPECT_TRUE(files_say(second.certificate_pem));
  client->Stop();
}

TEST_F(AgentTest, TellsTheServerWhyAGatewayRejected) {
  ASSERT_TRUE(StartAgent().ok());
  refuse_ = "routes[0] is not served";
  auto client = Connect("edge/t1");
  EXPECT_TRUE(Eventually([&] {
    return server_->With([&] { return server_->applied["Host edge/app=t1/80/shop.example"].error() == refuse_; });
  }));
  client->Stop();
}

// Whether its links stand or were lost meanwhile: the server waits for the version that it wants now.
TEST_F(AgentTest, ReportsWhatGatewaysRunByTheVersionThatTheServerSaysNow) {
  ASSERT_TRUE(StartAgent().ok());
  ASSERT_TRUE(Eventually([&] { return agent_->Ready().ok(); }));
  auto client = Connect("edge/t1");
  const std::string name = "edge/app=t1/80/shop.example";
  const auto reported = [&](const std::string& version) {
    return Eventually(
        [&] { return server_->With([&] { return server_->applied["Host " + name].version() == version; }); });
  };
  ASSERT_TRUE(Eventually([&] { return client->Accepted()->Find(xds::kVirtualHost, name) != nullptr; }));
  server_->Rename(xds::kMeshHost, name, "come-back.1");
  server_->Publish("edge");
  EXPECT_TRUE(reported("come-back.1"));
  const int port = server_->port();
  server_->Stop();
  server_->Rename(xds::kMeshHost, name, "come-back.2");
  server_->Start(folder_, port);
  server_->Publish("edge");
  EXPECT_TRUE(reported("come-back.2"));
}

TEST_F(AgentTest, ServesTheLastGoodIntentWithoutTheServer) {
  ASSERT_TRUE(StartAgent().ok());
  ASSERT_TRUE(Eventually([&] { return agent_->Ready().ok(); }));
  agent_.reset();
  server_address_ = server_->address();
  server_->Stop();
  ASSERT_TRUE(StartAgent(false).ok());
  auto client = Connect("edge/t1");
  EXPECT_TRUE(Eventually([&] { return client->Accepted()->Find(xds::kListener, "80") != nullptr; }));
  EXPECT_FALSE(agent_->ServerConnected());
  client->Stop();
  agent_.reset();

  // Corrupt the newest generation: the older one serves.
  const auto newest = folder_ + "/state/last-good.1";
  std::filesystem::copy_file(newest, folder_ + "/state/last-good.2", std::filesystem::copy_options::overwrite_existing);
  std::string bytes = *ReadFile(newest);
  bytes[bytes.size() / 2] ^= 1;
  ASSERT_TRUE(WriteFileAtomic(newest, bytes).ok());
  ASSERT_TRUE(StartAgent(false).ok());
  client = Connect("edge/t1");
  EXPECT_TRUE(Eventually([&] { return client->Accepted()->Find(xds::kListener, "80") != nullptr; }));
  client->Stop();
}

TEST_F(AgentTest, HalfAnIntentIsNeitherPublishedNorKept) {
  server_->Withhold(xds::kMeshHost);
  server_->Publish("edge");
  ASSERT_TRUE(StartAgent().ok());
  auto client = Connect("edge/t1");
  ASSERT_TRUE(Eventually([&] { return server_->Acknowledged(xds::kMeshTrustBundle, "test"); }));
  // A change of what is there comes through, so that all before it has been dealt with.
  mesh::v1::TrustBundle more;
  more.set_name("more.test");
  more.set_root_pem(server_->root_pem());
  server_->Tell(more);
  server_->Publish("edge");
  ASSERT_TRUE(Eventually([&] { return server_->Acknowledged(xds::kMeshTrustBundle, "more.test"); }));
  EXPECT_FALSE(agent_->Ready().ok());
  EXPECT_EQ(client->Accepted()->Find(xds::kListener, "80"), nullptr);
  agent_.reset();  // Writes what it would keep.
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/state/last-good.1"));
  client->Stop();

  server_->Withhold("");
  server_->Publish("edge");
  ASSERT_TRUE(StartAgent(false).ok());
  client = Connect("edge/t1");
  EXPECT_TRUE(Eventually([&] { return client->Accepted()->Find(xds::kListener, "80") != nullptr; }));
  EXPECT_TRUE(Eventually([&] { return std::filesystem::exists(folder_ + "/state/last-good.1"); }));
  client->Stop();
}

TEST_F(AgentTest, SaysItsFirstFactsWholeToAServerThatHasOthers) {
  server_->With([&] {
    server_->facts.set_hash("of what ran before");
    return 0;
  });
  std::filesystem::rename(folder_ + "/discovery.yaml", folder_ + "/later.yaml");
  ASSERT_TRUE(StartAgent().ok());
  ASSERT_TRUE(Eventually([&] { return agent_->ServerConnected(); }));  // The server has said what it has.
  std::filesystem::rename(folder_ + "/later.yaml", folder_ + "/discovery.yaml");
  ASSERT_TRUE(Eventually([&] { return server_->With([&] { return server_->deltas > 0; }); }));
  EXPECT_TRUE(server_->With([&] { return server_->facts.full(); })) << "else what ran before stays for ever";
  EXPECT_EQ(server_->With([&] { return server_->facts.workloads_size(); }), 2);
}

TEST_F(AgentTest, DecidesByTheTokenWhoAWorkloadIs) {
  ASSERT_TRUE(StartAgent().ok());
  ASSERT_TRUE(Eventually([&] { return agent_->Ready().ok(); }));
  auto client = Connect("edge/other");  // Says that it is another; sees what its token entitles it to.
  ASSERT_TRUE(Eventually([&] { return client->Complete(); }));
  EXPECT_EQ(client->Accepted()->Find(xds::kListener, "80"), nullptr);
  client->Stop();

  const auto sign = [&](const rpc::ChannelOptions& options, v1::SignResponse* response) {
    const auto channel = rpc::MakeChannel(options);
    v1::SignRequest request;
    request.set_csr_pem(*identity::MakeCsr(*identity::NewKey()));
    grpc::ClientContext context;
    context.set_deadline(rpc::DeadlineIn(seconds(10)));
    return v1::WorkloadIdentity::NewStub(*channel)->Sign(&context, request, response);
  };
  v1::SignResponse response;
  const grpc::Status status = sign(Channel("edge/t1"), &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.spiffe_id(), "spiffe://edge.test/ns/edge/sa/default");
  const auto facts = identity::VerifyChain(response.chain_pem(), server_->root_pem());
  ASSERT_TRUE(facts.ok()) << facts.error().ToString();
  EXPECT_EQ(facts->spiffe_id, response.spiffe_id());
  rpc::ChannelOptions stranger = Channel("edge/t1");
  stranger.bearer_token = RandomHex(32);
  EXPECT_EQ(sign(stranger, &response).error_code(), grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(AgentTest, GivesAStockEnvoyItsIdentityBySds) {
  ASSERT_TRUE(StartAgent().ok());
  auto client = Connect("edge/t1", false);
  ASSERT_TRUE(Eventually([&] { return client->Accepted()->Find(xds::kSecret, "identity") != nullptr; }));
  EXPECT_TRUE(client->Accepted()->Of(xds::kVirtualHost).empty());
  client->Stop();
  EXPECT_TRUE(ReadFile(WorkloadFolder("edge/t1") + "/envoy.yaml").ok());
}

TEST_F(AgentTest, RenewsTheIntermediateAtAboutHalfOfItsLife) {
  StopClock();
  ASSERT_TRUE(StartAgent().ok());
  const auto renewals = [&] { return server_->With([&] { return server_->renewals; }); };
  const std::string of_a_workload = Channel("edge/t1").bearer_token;
  manual_.Advance(server_->intermediate_lifetime * 2 / 5 - seconds(1));
  EXPECT_EQ(renewals(), 0);
  manual_.Advance(server_->intermediate_lifetime / 5 + seconds(2));
  EXPECT_TRUE(Eventually([&] { return renewals() > 0; }));
  agent_.reset();  // With what it has stored by now.
  ASSERT_TRUE(StartAgent(false).ok());
  EXPECT_EQ(Channel("edge/t1").bearer_token, of_a_workload);
}

TEST_F(AgentTest, SaysWhatTheServersHeartbeatsTell) {
  const auto beat = [&](seconds ahead, const char* held) {
    return server_->With([&] { return server_->clock_ahead = ahead, server_->held = held, 0; });
  };
  beat(seconds(200), "it acknowledged revision 9");
  StopClock();
  ASSERT_TRUE(StartAgent().ok());
  const auto told = [&] { return server_->With([&] { return server_->problems.ShortDebugString(); }); };
  const auto tells = [&](bool wanted) {
    return Eventually([&] {
      manual_.Advance(std::chrono::milliseconds(50));
      const auto says = [&](const char* text) { return (told().find(text) != std::string::npos) == wanted; };
      return says("s behind the server") && says("it acknowledged revision 9");
    });
  };
  EXPECT_TRUE(tells(true)) << told();
  beat(seconds(0), "");
  EXPECT_TRUE(tells(false)) << told();
}

TEST_F(AgentTest, RefusesAServerWhoseAnchorTheTokenDoesNotName) {
  SmallServer impostor(folder_ + "/impostor");
  server_address_ = impostor.address();
  EXPECT_EQ(StartAgent().error().reason, "ANCHOR_MISMATCH");
  EXPECT_EQ(impostor.joins, 0);
}

TEST_F(AgentTest, StartsFromTheOlderMembershipAndKeptFactsWhenTheNewerAreDamaged) {
  ASSERT_TRUE(StartAgent().ok());
  ASSERT_TRUE(Eventually([&] { return agent_->Ready().ok(); }));
  agent_.reset();
  server_address_ = server_->address();
  server_->Stop();
  const std::string state = folder_ + "/state/";
  std::filesystem::copy_file(state + "membership.1", state + "membership.2");
  std::filesystem::permissions(state + "membership.2", std::filesystem::perms::owner_read);
  ASSERT_TRUE(WriteFileAtomic(state + "membership.1", ReadFile(state + "membership.1")->substr(0, 300), 0600).ok());
  ASSERT_TRUE(WriteFileAtomic(folder_ + "/discovery.yaml", "").ok());
  const Status started = StartAgent(false);
  ASSERT_TRUE(started.ok()) << started.error().ToString();
  auto client = Connect("edge/t1");
  EXPECT_TRUE(Eventually([&] { return client->Accepted()->Find(xds::kListener, "80") != nullptr; }));
  client->Stop();
  agent_.reset();

  // Both damaged and no token: it says why and does not start.
  ASSERT_TRUE(WriteFileAtomic(state + "membership.2", "", 0600).ok());
  const Error refused = StartAgent(false).error();
  EXPECT_EQ(refused.reason, "LAST_GOOD_CUT");
  EXPECT_NE(refused.message.find("membership.2"), std::string::npos);
}

TEST(Membership, AStolenIntermediateSpeaksForNoOtherCluster) {
  const identity::Authority root = *identity::NewRoot("root");
  const std::string key = *identity::NewKey();
  const std::string intermediate =
      *identity::SignIntermediate(root, {*identity::MakeCsr(key), "a.test", {"uid-a", 1}, std::chrono::hours(1)});
  const std::string anchor = identity::NewServerAnchor()->certificate_pem;
  Membership stolen{"a", "o", "a.test", {intermediate, key}, anchor, root.certificate_pem};
  EXPECT_TRUE(CheckMembership(stolen, Clock::Real()).ok());
  const auto own = NewLeaf(stolen, "spiffe://a.test/ns/shop/sa/web", "", std::chrono::minutes(5), Clock::Real());
  ASSERT_TRUE(own.ok());
  EXPECT_TRUE(identity::VerifyChain(own->chain_pem, root.certificate_pem).ok());
  const auto foreign = NewLeaf(stolen, "spiffe://b.test/ns/shop/sa/web", "", std::chrono::minutes(5), Clock::Real());
  EXPECT_TRUE(!foreign.ok() || !identity::VerifyChain(foreign->chain_pem, root.certificate_pem).ok());
  stolen.trust_domain = "b.test";
  EXPECT_EQ(CheckMembership(stolen, Clock::Real()).error().reason, "MEMBERSHIP_FOREIGN");
}

}  // namespace
}  // namespace weir::agent
