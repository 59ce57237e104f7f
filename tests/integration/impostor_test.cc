// Somebody holds the CA of cluster A and stands on every way of cluster B and of the people at the CLI. Nothing that he
// can sign, and nothing that is old or misshapen, makes any client of ours say a word.
#include <gtest/gtest.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <functional>

#include "api/weir/v2/session.pb.h"
#include "cli/client.h"
#include "cluster-agent/link/intent_link.h"
#include "cluster-agent/link/membership.h"
#include "cluster-agent/link/reports.h"
#include "libs/base/file.h"
#include "libs/base/ids.h"
#include "libs/gateway/identity_keeper.h"
#include "libs/gateway/load_reports.h"
#include "libs/http/client.h"
#include "libs/identity/spiffe_id.h"
#include "libs/identity/token.h"
#include "libs/proxy/engine_test_peers.h"
#include "libs/xds/grpc/ads_client.h"
#include "tests/integration/thief.h"

namespace weir {
namespace {

using identity::Authority;
using thief::Forgery;
using thief::Thief;

constexpr char kA[] = "a.acme.weir.internal", kB[] = "b.acme.weir.internal";
constexpr char kSecret[] = "the-secret-of-secrets";

Authority Intermediate(const Authority& root, const std::string& domain) {
  Authority made;
  made.key_pem = *identity::NewKey();
  made.certificate_pem = *identity::SignIntermediate(root, {*identity::MakeCsr(made.key_pem), domain, {"uid", 1}});
  return made;
}

// An installation with two clusters, and what B and the people know of it.
struct World {
  Authority anchor = *identity::NewServerAnchor();
  Authority root = *identity::NewRoot("acme");
  Authority a = Intermediate(root, kA), weak_a = thief::WeakIntermediate(root, kA), b = Intermediate(root, kB);
  std::string server_id = identity::ServerPeer(anchor.certificate_pem)->spiffe_id;
  std::string folder = testing::TempDir() + "weir-impostor-" + RandomHex(6);

  agent::Membership Member() const { return {"b", "acme", kB, b, anchor.certificate_pem, root.certificate_pem}; }
  agent::Leaf AgentLeaf() const { return *agent::NewAgentLeaf(Member(), std::chrono::hours(1), Clock::Real()); }
  rpc::ChannelOptions ToServer(const std::string& target) const {
    rpc::ChannelOptions options;
    options.target = target;
    options.peer = Member().ServerRule();
    const agent::Leaf own = AgentLeaf();
    options.chain_pem = own.chain_pem;
    options.key_pem = own.key_pem;
    return options;
  }
  gateway::Settings Gateway(const std::string& target) const {
    gateway::Settings settings;
    settings.state_dir = folder;
    settings.agent = target;
    settings.agent_id = identity::AgentSpiffeId(kB);
    settings.root_pem = root.certificate_pem;
    settings.token_file = folder + "/token";
    settings.node_id = "b/shop/t2";
    EXPECT_TRUE(identity::WriteSecretFile(settings.token_file, kSecret).ok());
    return settings;
  }
};

// One of our clients, told to talk to somebody: returns when the talk is over.
struct Client {
  const char* name;
  std::string expects;      // SPIFFE id.
  const Authority& issuer;  // Who signs for it.
  bool by_name = false;     // Demands the DNS name localhost instead.
  std::function<void(Thief&)> talk;
};

template <typename Loop>
void RunUntilItKnocked(Loop& loop, Thief& thief) {
  loop.Start();
  EXPECT_TRUE(thief.WaitForOne());
  loop.Stop();
}

void LogIn(const World& world, Thief& thief) {
  cli::Session session;
  session.server = thief.target();
  session.anchor_pem = world.anchor.certificate_pem;
  v2::LoginRequest request;
  request.set_organization("acme");
  request.set_user("admin");
  request.set_password(kSecret);
  v2::LoginResponse response;
  EXPECT_FALSE(cli::Client::Connect(session)->Call("Sessions/Login", request, response, 10).ok());
}

void Post(const World& world, Thief& thief, const std::string& spiffe_id) {
  http::ClientOptions options;
  options.port = thief.port();
  options.ca_pem = world.anchor.certificate_pem;
  options.spiffe_id = spiffe_id;
  if (spiffe_id.empty()) options.server_name = "localhost";
  http::Request request;
  request.method = "POST";
  request.target = "/v2/login";
  request.body = kSecret;
  EXPECT_FALSE(http::Client::Create(options)->Do(request).ok());
}

void JoinIt(const World& world, Thief& thief) {
  const auto pin = identity::CertificateSha256(world.anchor.certificate_pem);
  const auto token = identity::JoinToken::New("organizations/acme/clusters/b", *pin).ToText();
  EXPECT_FALSE(agent::Join(thief.target(), token, Clock::Real()).ok());
}

// An agent with nothing to say but who it is.
struct QuietAgent final : agent::ReportSources {
  QuietAgent(const World& world, const Thief& thief) : channel(world.ToServer(thief.target())) {}
  rpc::ChannelOptions Channel() override { return channel; }
  bool Applied(bool, agent::v1::Applied*) override { return false; }
  bool Traffic(bool, std::vector<agent::v1::GatewayTraffic>*) override { return false; }
  void AddProblems(agent::v1::Problems*) override {}
  void OnDuplicate() override {}
  const rpc::ChannelOptions channel;
};

void Report(const World& world, Thief& thief) {
  QuietAgent quiet(world, thief);
  agent::Reports reports(quiet, {});
  RunUntilItKnocked(reports, thief);
}

// Takes whatever comes: nothing does.
struct Receiver final : agent::IntentHandler, xds::AdsClientHandler {
  explicit Receiver(rpc::ChannelOptions way) : channel(std::move(way)) {}
  rpc::ChannelOptions Channel() override { return channel; }
  void OnIntent(const translate::Intent&) override {}
  void OnUpdate(const xds::Update&) override {}
  void OnState(bool, const std::string&) override {}
  const rpc::ChannelOptions channel;
};

void ReceiveIntent(const World& world, Thief& thief) {
  Receiver receiver(world.ToServer(thief.target()));
  agent::IntentLinkOptions options;
  options.instance = "b";
  options.last_good_path = world.folder + "/intent";
  options.owner = kB;
  agent::IntentLink link(receiver, options);
  RunUntilItKnocked(link, thief);
}

void ReceiveConfiguration(const World& world, Thief& thief) {
  Receiver receiver(*world.Gateway(thief.target()).AgentChannel());
  xds::AdsClientOptions options;
  options.node.id = "b/shop/t2";
  options.types = {std::string(xds::kListener)};
  xds::AdsClient client(receiver, options);
  RunUntilItKnocked(client, thief);
}

void KeepIdentity(const World& world, Thief& thief) {
  gateway::IdentityKeeper keeper(
      world.Gateway(thief.target()), [](const gateway::Leaf&) { return Status(); }, Clock::Real());
  RunUntilItKnocked(keeper, thief);
}

struct NoLoad final : gateway::LoadSources {
  std::vector<proxy::ShareReport> Shares() override { return {}; }
  proxy::HealthChanges TakeHealthChanges(bool) override { return {}; }
  std::vector<std::string> Problems() override { return {}; }
};

void ReportLoad(const World& world, Thief& thief) {
  const gateway::Settings settings = world.Gateway(thief.target());
  NoLoad none;
  gateway::LoadReports reports(settings, none, Clock::Real());
  RunUntilItKnocked(reports, thief);
}

// T1 to T2 and T2 to the pod: the engine, which demands `upstream` of whom it hands a request to.
void HandOn(const World& world, Thief& thief, const std::string& own, const std::string& upstream) {
  proxy::Config config({proxy::At("b", 1, {thief.port()}, upstream)});
  config.destination->tls = proxy::UpstreamTls{"a.example", {}};
  proxy::Engine engine;
  ASSERT_TRUE(engine.Start({}).ok());
  const std::string key = *identity::NewKey();
  identity::LeafRequest leaf;
  leaf.csr_pem = *identity::MakeCsr(key);
  leaf.spiffe_id = own;
  const std::string chain = *identity::SignLeaf(world.b, leaf) + world.b.certificate_pem;
  ASSERT_TRUE(engine.SetIdentity({chain, key, world.root.certificate_pem}).ok());
  ASSERT_TRUE(proxy::ApplyAndWait(engine, config.Build()).ok());
  proxy::Conn caller = proxy::Conn::To(engine.Port("public"));
  caller.Send(std::string("GET / HTTP/1.1\r\nHost: a.example\r\nAuthorization: ") + kSecret + "\r\n\r\n");
  const std::string answer = proxy::Response(caller).first;
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 50")) << answer;
}

std::vector<Client> Clients(const World& world) {
  const std::string agent = identity::AgentSpiffeId(kB), t1 = identity::WorkloadSpiffeId(kB, "shop", "t1"),
                    t2 = identity::WorkloadSpiffeId(kB, "shop", "t2"),
                    pod = identity::WorkloadSpiffeId(kB, "shop", "web");
  const auto with = [&world](auto function) { return [&world, function](Thief& thief) { function(world, thief); }; };
  return {
      {"weir login", world.server_id, world.anchor, false, with(LogIn)},
      {"http by SPIFFE id", world.server_id, world.anchor, false,
       [&world](Thief& thief) { Post(world, thief, world.server_id); }},
      {"http by DNS name", world.server_id, world.anchor, true, [&world](Thief& thief) { Post(world, thief, ""); }},
      {"join", world.server_id, world.anchor, false, with(JoinIt)},
      {"renewal", world.server_id, world.anchor, false,
       [&world](Thief& thief) {
         EXPECT_FALSE(agent::Renew(thief.target(), world.Member(), world.AgentLeaf(), Clock::Real()).ok());
       }},
      {"agent's reports", world.server_id, world.anchor, false, with(Report)},
      {"agent's intent", world.server_id, world.anchor, false, with(ReceiveIntent)},
      {"gateway's configuration", agent, world.b, false, with(ReceiveConfiguration)},
      {"gateway's identity", agent, world.b, false, with(KeepIdentity)},
      {"gateway's loads", agent, world.b, false, with(ReportLoad)},
      {"T1 to T2", t2, world.b, false, [&world, t1, t2](Thief& thief) { HandOn(world, thief, t1, t2); }},
      {"T2 to pod", pod, world.b, false, [&world, t2, pod](Thief& thief) { HandOn(world, thief, t2, pod); }},
  };
}

Forgery::San Uri(std::string value) { return {GEN_URI, std::move(value)}; }
Forgery::San Dns(std::string value) { return {GEN_DNS, std::move(value)}; }
Forgery::San Email(std::string value) { return {GEN_EMAIL, std::move(value)}; }

// What A's key can put into a leaf.
std::vector<Forgery> OfAThief(const std::string& expected) {
  const std::string own = identity::AgentSpiffeId(kA), domain = kB;
  return {
      {"its own id", "", {Uri(own), Dns("agent." + std::string(kA))}},
      {"the expected id", "", {Uri(expected)}},
      {"two ids, the expected last", "", {Uri(own), Uri(expected)}},
      {"two ids, the expected first", "", {Uri(expected), Uri(own)}},
      {"an id with NUL", "", {Uri(expected + std::string("\0.", 2) + kA)}},
      {"e-mail 127.0.0.1", "", {Email("127.0.0.1")}},
      {"e-mail localhost", "", {Email("localhost")}},
      {"e-mail of the agent", "", {Email("agent." + domain)}},
      {"e-mail that looks like the id", "", {Email(expected)}},
      {"its own id and e-mail", "", {Uri(own), Email("127.0.0.1")}},
      {"CN localhost", "localhost", {}},
      {"CN 127.0.0.1", "127.0.0.1", {}},
      {"CN *.domain", "*." + domain, {}},
      {"CN the expected id", expected, {}},
      {"its own id and CN localhost", "localhost", {Uri(own)}},
      {"DNS localhost", "", {Dns("localhost")}},
      {"DNS of the agent", "", {Dns("agent." + domain)}},
      {"DNS svc.cluster.local", "", {Dns("weir-server.weir.svc.cluster.local")}},
      {"DNS of an id", "", {Dns(expected)}},
      {"IP 127.0.0.1", "", {{GEN_IPADD, std::string("\x7f\0\0\1", 4)}}},
      {"nothing", "", {}},
  };
}

// What the rightful one shows. Only the server's anchor may sign for localhost.
std::vector<Forgery::San> Right(const World& world, const Client& client) {
  std::vector<Forgery::San> names{Uri(client.expects)};
  if (&client.issuer == &world.anchor) names.push_back(Dns("localhost"));
  return names;
}

// What even the rightful issuer must not be believed.
std::vector<Forgery> OfTheIssuer(const World& world, const Client& client) {
  const std::string& expected = client.expects;
  std::string upper = expected;
  upper[9] = 'B';  // The first letter of the trust domain, or something else that it is not.
  const std::vector<Forgery::San> right = Right(world, client);
  const std::chrono::seconds hour{3600};
  return {
      {"expired", "", right, -2 * hour, -hour},
      {"not yet valid", "", right, hour, 2 * hour},
      {"two ids", "", {Uri(expected), Uri(expected + "2")}},
      {"the same id twice", "", {Uri(expected), Uri(expected)}},
      {"a longer id", "", {Uri(expected + "0")}},
      {"a shorter id", "", {Uri(expected.substr(0, expected.size() - 1))}},
      {"a longer path", "", {Uri(expected + "/x")}},
      {"another case", "", {Uri(upper)}},
      {"CN localhost", "localhost", {}},
      {"CN the expected id", expected, {}},
      {"e-mail 127.0.0.1", "", {Email("127.0.0.1")}},
      {"e-mail localhost", "", {Email("localhost")}},
  };
}

// Sends everything along that a client may look for in a chain: both anchors and the rightful issuer.
std::string Heard(const World& world, const Client& client, const Authority& issuer, const Forgery& forgery) {
  const std::string key = *identity::NewKey();
  std::string chain = thief::Forge(issuer, forgery, key) + issuer.certificate_pem;
  if (&issuer != &client.issuer) chain += client.issuer.certificate_pem;
  for (const Authority* anchor : {&world.anchor, &world.root}) {
    if (chain.find(anchor->certificate_pem) == std::string::npos) chain += anchor->certificate_pem;
  }
  Thief thief(chain, key);
  client.talk(thief);
  EXPECT_TRUE(thief.WaitForOne()) << "nobody came";
  return thief.Heard();
}

TEST(Impostor, TheRightfulOneHearsEveryClient) {
  const World world;
  for (const Client& client : Clients(world)) {
    SCOPED_TRACE(client.name);
    EXPECT_NE(Heard(world, client, client.issuer, {"right", "", Right(world, client)}), "");
  }
}

TEST(Impostor, WhoHoldsAClustersAuthorityHearsNothingOfOthers) {
  const World world;
  for (const Client& client : Clients(world)) {
    for (const Authority* issuer : {&world.a, &world.weak_a}) {
      for (const Forgery& forgery : OfAThief(client.expects)) {
        SCOPED_TRACE(std::string(client.name) + ": " + forgery.name + (issuer == &world.a ? "" : " (weak issuer)"));
        EXPECT_EQ(Heard(world, client, *issuer, forgery), "");
      }
    }
  }
}

TEST(Impostor, WhatIsOldOrMisshapenIsRefusedFromTheRightfulIssuerToo) {
  const World world;
  for (const Client& client : Clients(world)) {
    for (const Forgery& forgery : OfTheIssuer(world, client)) {
      const bool has_name =
          std::any_of(forgery.sans.begin(), forgery.sans.end(), [](const auto& san) { return san.type == GEN_URI; });
      const bool timely = forgery.not_after.count() > 0 && forgery.not_before.count() < 0;
      if (client.by_name && has_name && timely) continue;  // It does not ask for an id.
      SCOPED_TRACE(std::string(client.name) + ": " + forgery.name);
      EXPECT_EQ(Heard(world, client, client.issuer, forgery), "");
    }
  }
}

}  // namespace
}  // namespace weir
