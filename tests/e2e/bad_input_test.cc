#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "cluster-agent/link/membership.h"
#include "libs/base/file.h"
#include "libs/identity/certificates.h"
#include "tests/e2e/scene.h"

// What people and machines get when they do something wrong: a clear answer from the real programs, and nothing lost.
namespace weir::e2e {
namespace {

namespace fs = std::filesystem;
using test::Milliseconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr int kRefused = 1, kUsage = 2, kUnreachable = 3, kTimedOut = 4;  // Of weir.

// The key and certificate chain of an identity that an agent's intermediate signs, whoever's name that is.
struct Stolen {
  std::string key_file;
  std::string chain_file;
};
class BadInput : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    scene_ = new Scene({.net = 51, .tier1s = 1});
    const Status up = scene_->BringUp();
    ASSERT_TRUE(up.ok()) << up.error().message;
  }
  static void TearDownTestSuite() {
    delete scene_;
    scene_ = nullptr;
  }
  void SetUp() override { before_ = Stored(); }
  // Whatever a test did wrong, what was stored stands and requests go on.
  void TearDown() override {
    EXPECT_EQ(Stored(), before_);
    const auto load = scene_->Drive(20);
    EXPECT_EQ(load.failed, 0u) << load.first_error;
    const Status alive = scene_->fleet().CheckRunning();
    EXPECT_TRUE(alive.ok()) << alive.error().message;
  }

  static test::Finished Weir(std::vector<std::string> arguments, std::string_view input = "") {
    auto finished = scene_->fleet().Weir(std::move(arguments), input);
    EXPECT_TRUE(finished.ok()) << finished.error().message;
    return finished.ok() ? *finished : test::Finished{-1, "", ""};
  }
  static std::string Stored() {
    std::string all;
    for (const char* kind : {"tenants", "clusters", "users", "tier1gateways", "gateways"})
      all += Weir({"get", kind, "-o", "yaml"}).out;
    return all;
  }
  static std::string Tenant(const std::string& name, const std::string& more = "") {
    return "apiVersion: api.weir.dev/v2\nkind: Tenant\nmetadata: {name: " + name + ", organization: e2e-org}\n" + more;
  }
  // A program that must end by itself, and what it said.
  static test::Finished Run(const std::string& program, std::vector<std::string> flags) {
    test::Command command;
    command.name = program;
    command.argv = std::move(flags);
    command.argv.insert(command.argv.begin(), scene_->fleet().options().bin_dir + "/" + program);
    auto finished = test::RunCommand(std::move(command), Milliseconds(20'000));
    EXPECT_TRUE(finished.ok()) << finished.error().message;
    return finished.ok() ? *finished : test::Finished{-1, "", ""};
  }
  static std::vector<std::string> AgentFlags(const std::string& state, const std::string& listen) {
    return {"--state-dir",       state,
            "--server",          scene_->Server() + ":9444",
            "--join-token-file", state + "/join-token",
            "--discovery-file",  scene_->fleet().AgentState("c1") + "/discovery.yaml",
            "--listen",          listen};
  }
  // What makes an agent the agent of its cluster, and what it serves.
  static void CopyState(const std::string& cluster, const std::string& to) {
    for (const auto& entry : fs::directory_iterator(scene_->fleet().AgentState(cluster))) {
      if (entry.is_regular_file()) fs::copy_file(entry.path(), fs::path(to) / entry.path().filename());
    }
  }
  static std::string Folder(const std::string& name) {
    std::string path = scene_->fleet().options().folder + "/" + name;
    EXPECT_TRUE(MakeFolders(path, 0700).ok());
    return path;
  }

  // Key and intermediate of a cluster's agent, as anyone finds them who reads its state folder.
  static identity::Authority Steal(const std::string& cluster) {
    std::string text;
    for (const auto& entry : fs::directory_iterator(scene_->fleet().AgentState(cluster))) {
      if (entry.path().filename().string().starts_with("membership")) text = *ReadFile(entry.path());
    }
    const auto blocks = *identity::SplitBundle(text.substr(text.find("-----BEGIN CERTIFICATE")));
    const size_t key = text.find("-----BEGIN PRIVATE KEY");
    return {blocks.at(0), text.substr(key, text.find("-----BEGIN CERTIFICATE") - key)};
  }
  static Stolen Sign(const std::string& cluster, const std::string& spiffe_id) {
    const identity::Authority issuer = Steal(cluster);
    identity::LeafRequest request;
    const std::string key = *identity::NewKey();
    request.csr_pem = *identity::MakeCsr(key);
    request.spiffe_id = spiffe_id;
    const auto leaf = identity::SignLeaf(issuer, request);
    EXPECT_TRUE(leaf.ok()) << leaf.error().message;
    const std::string name = "stolen-" + cluster + "-" + std::to_string(++count_);
    return {scene_->File(name + ".key", key), scene_->File(name + ".pem", *leaf + issuer.certificate_pem)};
  }
  // What comes back when one speaks TLS with that identity and sends `bytes`; at most two seconds.
  static std::string Speak(const Stolen& as, const std::string& where, const std::string& name, const std::string& alpn,
                           const std::string& bytes) {
    test::Command command;
    command.name = "openssl";
    command.argv = {"/usr/bin/timeout",
                    "2",
                    "/usr/bin/openssl",
                    "s_client",
                    "-quiet",
                    "-connect",
                    where,
                    "-servername",
                    name,
                    "-cert",
                    as.chain_file,
                    "-cert_chain",
                    as.chain_file,
                    "-key",
                    as.key_file,
                    "-alpn",
                    alpn};
    const auto finished = test::RunCommand(std::move(command), Milliseconds(20'000), bytes);
    EXPECT_TRUE(finished.ok()) << finished.error().message;
    return finished.ok() ? finished->out + finished->err : "";
  }
  // Flips a byte in the middle of every generation.
  static void Corrupt(const std::string& folder) {
    int damaged = 0;
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (!entry.path().filename().string().starts_with("last-good")) continue;
      std::string text = *ReadFile(entry.path());
      text[text.size() / 2] ^= 0x55;
      ASSERT_TRUE(WriteFileAtomic(entry.path(), text, 0600).ok());
      ++damaged;
    }
    ASSERT_GT(damaged, 0) << folder;
  }

  static Scene* scene_;
  static int count_;
  std::string before_;
};
Scene* BadInput::scene_ = nullptr;
int BadInput::count_ = 0;

TEST_F(BadInput, ABrokenDocumentIsNamedByFileLineAndColumn) {
  const std::string broken = scene_->File("broken.yaml", Tenant("x", "spec: {\n"));
  auto answer = Weir({"apply", "-f", broken});
  EXPECT_EQ(answer.exit_code, kRefused);
  EXPECT_THAT(answer.err, HasSubstr("broken.yaml:")) << answer.err;

  const std::string wrong =
      scene_->File("wrong.yaml", Tenant("x") + "\n---\n" + Tenant("y", "spec:\n  displayName: a\n  displayName: b\n"));
  answer = Weir({"apply", "-f", wrong});
  EXPECT_EQ(answer.exit_code, kRefused);
  EXPECT_THAT(answer.err, HasSubstr("displayName"));
  EXPECT_THAT(answer.err, HasSubstr("wrong.yaml:11:")) << answer.err;
  const std::string unknown = scene_->File("unknown.yaml", Tenant("x", "spec: {colour: red, size: 2}\n"));
  answer = Weir({"apply", "-f", unknown});
  EXPECT_EQ(answer.exit_code, kRefused);
  EXPECT_THAT(answer.err, AllOf(HasSubstr("spec.colour"), HasSubstr("spec.size"), HasSubstr("unknown.yaml:4:")))
      << answer.err;
}

TEST_F(BadInput, AMissingParentRefusesEveryDocumentOfTheCall) {
  const auto answer = Weir({"apply", "-f", "-"}, Tenant("good") +
                                                     "---\napiVersion: api.weir.dev/v2\nkind: Workspace\n"
                                                     "metadata: {name: w, organization: e2e-org, tenant: nobody}\n"
                                                     "spec: {namespaceSelector: {names: [\"c1/*\"]}}\n");
  EXPECT_EQ(answer.exit_code, kRefused);
  EXPECT_THAT(answer.err, HasSubstr("organizations/e2e-org/tenants/nobody")) << answer.err;
}

TEST_F(BadInput, ADocumentThatWasReadBeforeAnotherChangedItIsRefused) {
  const auto answer = Weir({"apply", "-f", "-"},
                           "apiVersion: api.weir.dev/v2\nkind: Tenant\n"
                           "metadata: {name: t, organization: e2e-org, resourceVersion: \"stale\"}\n");
  EXPECT_EQ(answer.exit_code, kRefused);
  EXPECT_THAT(answer.err, HasSubstr("ETAG_MISMATCH"));
}

TEST_F(BadInput, AStrangerIsToldWhatIsMissingAndAPasswordComesFromStandardInput) {
  ASSERT_EQ(Weir({"apply", "-f", "-"},
                 "apiVersion: api.weir.dev/v2\nkind: User\nmetadata: {name: ann, organization: e2e-org}\n")
                .exit_code,
            0);
  EXPECT_EQ(Weir({"user", "password", "ann"}, "short\n").exit_code, kRefused);
  EXPECT_EQ(Weir({"user", "password", "ann"}, "").exit_code, kUsage);
  const auto set = Weir({"user", "password", "ann"}, "correct horse battery staple\n");
  EXPECT_EQ(set.exit_code, 0) << set.err;

  const auto as_ann = [&](std::vector<std::string> arguments, std::string_view input) {
    test::Command command;
    command.name = "weir as ann";
    command.argv = std::move(arguments);
    command.argv.insert(command.argv.begin(), scene_->fleet().options().bin_dir + "/weir");
    command.env = scene_->fleet().CliEnvironment();
    command.env.back() = "WEIR_HOME=" + scene_->fleet().options().folder + "/ann";
    return *test::RunCommand(std::move(command), Milliseconds(20'000), input);
  };
  auto answer = as_ann({"get", "tenants"}, "");
  EXPECT_EQ(answer.exit_code, kRefused);
  EXPECT_THAT(answer.err, HasSubstr("weir login USER"));
  EXPECT_EQ(as_ann({"login", "ann"}, "wrong horse battery staple\n").exit_code, kRefused);
  answer = as_ann({"login", "ann"}, "correct horse battery staple\n");
  ASSERT_EQ(answer.exit_code, 0) << answer.err;
  answer = as_ann({"get", "tenants"}, "");
  EXPECT_EQ(answer.exit_code, kRefused);
  EXPECT_THAT(answer.err, HasSubstr("RESOURCE_MISSING"));  // To a stranger nothing exists.
  answer = Weir({"apply", "-f", "-"},
                "apiVersion: rbac.weir.dev/v2\nkind: AccessBindings\nmetadata: {fqn: organizations/e2e-org/tenants/t}\n"
                "allow:\n- role: rbac/reader\n  subjects: [{user: organizations/e2e-org/users/ann}]\n"
                "- role: rbac/admin\n  subjects: [{user: organizations/e2e-org/users/admin}]\n");
  ASSERT_EQ(answer.exit_code, 0) << answer.err;
  answer = as_ann({"apply", "-f", "-"}, Tenant("t, displayName: mine"));
  EXPECT_EQ(answer.exit_code, kRefused);
  EXPECT_THAT(answer.err, HasSubstr("write")) << answer.err;
  answer = as_ann({"cluster", "token", "c1"}, "");
  EXPECT_EQ(answer.exit_code, kRefused);
  EXPECT_EQ(Weir({"delete", "user", "ann"}).exit_code, 0);
}

TEST_F(BadInput, ExitCodesSayWhatHappened) {
  EXPECT_EQ(Weir({"get", "tenants"}).exit_code, 0);
  EXPECT_EQ(Weir({"get", "tenant", "absent"}).exit_code, kRefused);
  EXPECT_EQ(Weir({"get", "unicorns"}).exit_code, kUsage);
  const auto answer = Weir({"get", "tenants", "--server", scene_->Server() + ":1"});
  EXPECT_EQ(answer.exit_code, kUnreachable);
  EXPECT_THAT(answer.err, HasSubstr("Is weir-server running there"));
}

TEST_F(BadInput, WaitingForAFrozenGatewayRunsOutOfTimeAndNamesIt) {
  test::Process* t1 = scene_->fleet().Find("gateway/edge/t1/t1-1");
  t1->Freeze();
  const auto answer = Weir({"apply", "--wait=2", "-f", "-"}, scene_->Tier1Yaml({70, 30}));
  EXPECT_EQ(answer.exit_code, kTimedOut) << answer.err;
  EXPECT_THAT(answer.out, HasSubstr("t1/t1-1")) << answer.out;
  EXPECT_THAT(answer.err, HasSubstr("weir status"));
  t1->Thaw();
  const Status again = scene_->SetWeights({50, 50});
  EXPECT_TRUE(again.ok()) << again.error().message;
  before_ = Stored();  // The weights are back, as a version of their own.
}

TEST_F(BadInput, AJoinTokenIsUsedOnceAndInTime) {
  const std::string state = Folder("joiner");
  const std::string used = *ReadFile(scene_->fleet().AgentState("c1") + "/join-token");
  ASSERT_TRUE(WriteFileAtomic(state + "/join-token", used, 0600).ok());
  const std::string listen = fmt::format("127.{}.9.2:15012", scene_->options().net);
  auto answer = Run("weir-agent", AgentFlags(state, listen));
  EXPECT_EQ(answer.exit_code, 1);
  EXPECT_THAT(answer.out + answer.err, HasSubstr("JOIN_TOKEN_USED"));

  const auto token = scene_->fleet().WeirOk({"cluster", "token", "c1", "--ttl", "1"});
  ASSERT_TRUE(token.ok()) << token.error().message;
  std::this_thread::sleep_for(Milliseconds(1'100));  // The token's life.
  ASSERT_TRUE(WriteFileAtomic(state + "/join-token", *token, 0600).ok());
  answer = Run("weir-agent", AgentFlags(state, listen));
  EXPECT_EQ(answer.exit_code, 1);
  EXPECT_THAT(answer.out + answer.err, HasSubstr("JOIN_TOKEN_EXPIRED"));
  EXPECT_EQ(Weir({"cluster", "token", "absent"}).exit_code, kRefused);
}

TEST_F(BadInput, APortInUseIsNamedByEveryProgram) {
  const std::string net = fmt::format("127.{}.", scene_->options().net);
  auto answer = Run("weir-server", {"--state-dir", Folder("second-server"), "--address", scene_->Server()});
  EXPECT_EQ(answer.exit_code, 1);
  EXPECT_THAT(answer.out + answer.err, AllOf(HasSubstr("PORT_IN_USE"), HasSubstr("-port")));

  // Copies: the programs must not share the state of those that run.
  const std::string agent = Folder("second-agent");
  CopyState("c1", agent);
  answer = Run("weir-agent", AgentFlags(agent, net + "2.2:15012"));
  EXPECT_EQ(answer.exit_code, 1);
  EXPECT_THAT(answer.out + answer.err, AllOf(HasSubstr("ADDRESS_IN_USE"), HasSubstr(net + "2.2:15012")));

  const std::string workload = scene_->fleet().AgentState("edge") + "/workloads/t1/t1-1";
  answer = Run("weir-tier1", {"--config", workload + "/gateway.json", "--state-dir", Folder("second-gateway")});
  EXPECT_EQ(answer.exit_code, 1);
  EXPECT_THAT(answer.out + answer.err, AllOf(HasSubstr("IN_USE"), HasSubstr(scene_->Tier1(1))));
}

TEST_F(BadInput, AStolenAgentDoesNotStartAsAnotherCluster) {
  const std::string state = Folder("stolen-agent");
  CopyState("c1", state);
  agent::Membership forged;
  forged.cluster = "c2";
  forged.organization = kOrganization;
  forged.trust_domain = "c2.e2e-org.weir.internal";
  forged.intermediate = Steal("c1");
  forged.anchor_pem = *ReadFile(scene_->fleet().ServerState() + "/server-anchor.pem");
  forged.root_pem = *ReadFile(scene_->fleet().ServerState() + "/mesh-root.pem");
  // Twice: no older generation is left to fall back on.
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(agent::SaveMembership(state + "/membership", forged).ok());
  const auto answer = Run("weir-agent", AgentFlags(state, fmt::format("127.{}.9.3:15012", scene_->options().net)));
  EXPECT_EQ(answer.exit_code, 1);
  EXPECT_THAT(answer.out + answer.err, HasSubstr("MEMBERSHIP_FOREIGN"));
}

TEST_F(BadInput, AStolenAgentIsNobodyForAnotherClustersGateway) {
  const std::string where = scene_->Tier2(2) + ":15443";
  const std::string get = fmt::format("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", kHost);
  const std::string tier1 = "spiffe://edge.e2e-org.weir.internal/ns/t1/sa/gateway-t1";
  EXPECT_THAT(Speak(Sign("edge", tier1), where, kHost, "http/1.1", get), HasSubstr("200 OK"));
  const std::string foreign = Speak(Sign("c1", tier1), where, kHost, "http/1.1", get);
  EXPECT_THAT(foreign, Not(HasSubstr("HTTP/1.1")));
  EXPECT_THAT(foreign, HasSubstr("alert"));
}

TEST_F(BadInput, AStolenAgentIsNobodyElseForTheServer) {
  const std::string where = scene_->Server() + ":9444";
  // The server keeps a connection that it likes and waits for more; the other it ends at once, with or without an
  // alert.
  const auto refused = [](const std::string& said) {
    return said.find("alert") != std::string::npos || said.find("unexpected eof") != std::string::npos;
  };
  const std::string own =
      Speak(Sign("c1", "spiffe://c1.e2e-org.weir.internal/weir-agent"), where, "localhost", "h2", "");
  EXPECT_FALSE(refused(own)) << own;
  const std::string foreign =
      Speak(Sign("c1", "spiffe://c2.e2e-org.weir.internal/weir-agent"), where, "localhost", "h2", "");
  EXPECT_TRUE(refused(foreign)) << foreign;
}

TEST_F(BadInput, ACorruptLastGoodIsRefusedWithItsReasonAndNeverServed) {
  auto& fleet = scene_->fleet();
  for (const char* name : {"server", "agent/edge", "gateway/edge/t1/t1-1"}) fleet.Find(name)->Kill();
  Corrupt(fleet.AgentState("edge"));
  Corrupt(fleet.AgentState("edge") + "/workloads/t1/t1-1/state");

  // The agent has nothing to say then, and says nothing: the gateway waits and tells why.
  ASSERT_TRUE(fleet.Restart("agent/edge").ok());
  EXPECT_TRUE(test::WaitForLog(fleet.Find("agent/edge"), "LAST_GOOD", Milliseconds(20'000)).ok());
  ASSERT_TRUE(fleet.Restart("gateway/edge/t1/t1-1").ok());
  EXPECT_TRUE(
      test::WaitForLog(fleet.Find("gateway/edge/t1/t1-1"), "a last-good file is refused", Milliseconds(20'000)).ok());
  EXPECT_FALSE(test::CanConnect(scene_->Tier1(1), kPort));

  ASSERT_TRUE(fleet.Restart("server").ok());
  const Status served = test::WaitUntil("requests to be served", Milliseconds(30'000), nullptr,
                                        [] { return scene_->Drive(1).failed == 0; });
  EXPECT_TRUE(served.ok()) << served.error().message;
  const Status ready = scene_->WaitState("READY");
  EXPECT_TRUE(ready.ok()) << ready.error().message;
}

}  // namespace
}  // namespace weir::e2e
