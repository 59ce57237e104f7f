#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <set>
#include <thread>

#include "tests/e2e/doors.h"
#include "tests/e2e/moods.h"
#include "tests/e2e/said.h"
#include "tests/e2e/scene.h"
#include "tests/support/http_client.h"

// READY at revision r: a request through every gateway concerned answers by r. Sampled while other things change all
// the time; $WEIR_READY_SAMPLES makes it longer.
namespace weir::e2e {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::seconds;

constexpr char kMeta[] = "organization: e2e-org, tenant: t, workspace: w, group: g";
constexpr char kProbe[] = "probe.example.com";
constexpr char kEdge[] = "edge.example.com";
constexpr uint16_t kProbePort = 18081;  // Of the T2s: nobody needs it, but it makes a listener with callers of its own.

// What answers with the number of the revision: a T1 by itself, and both T2s behind every T1.
std::string Probe(int number) {
  const std::string rule =
      fmt::format("{{match: [{{uri: {{exact: /revision}}}}], directResponse: {{status: 200, body: \"{}\"}}}}", number);
  const std::string clusters = "[{name: c1, weight: 50}, {name: c2, weight: 50}]";
  return fmt::format(
      "apiVersion: gateway.weir.dev/v2\nkind: Gateway\nmetadata: {{name: probe-t2, {0}}}\nspec:\n"
      "  workloadSelector: {{namespace: shop, labels: {{app: gateway-t2}}}}\n"
      "  http: [{{name: p, hostname: {1}, port: {2}, routing: {{rules: [{3}, {{route: {{serviceDestination: "
      "{{host: shop/servicea.shop.svc.cluster.local, port: 8080}}}}}}]}}}}, {{name: q, hostname: {5}, port: {2}, "
      "routing: "
      "{{rules: [{{route: {{serviceDestination: {{host: shop/servicea.shop.svc.cluster.local, port: "
      "8080}}}}}}]}}}}]\n---\n"
      "apiVersion: gateway.weir.dev/v2\nkind: Tier1Gateway\nmetadata: {{name: probe-t1, {0}}}\nspec:\n"
      "  workloadSelector: {{namespace: t1, labels: {{app: gateway-t1}}}}\n"
      "  externalServers: [{{name: p, hostname: {1}, port: 80, clusters: {4}}}]\n---\n"
      "apiVersion: gateway.weir.dev/v2\nkind: Gateway\nmetadata: {{name: probe-edge, {0}}}\nspec:\n"
      "  workloadSelector: {{namespace: t1, labels: {{app: gateway-t1}}}}\n"
      "  http: [{{name: e, hostname: {5}, port: 80, routing: {{rules: [{3}, {{route: {{clusterDestination: "
      "{{clusters: {4}}}}}}}]}}}}]\n",
      kMeta, kProbe, kProbePort, rule, clusters, kEdge);
}

std::vector<std::string> Delete(const std::string& kind, const std::string& name) {
  return {"delete", kind, name, "--tenant", "t", "--workspace", "w", "--group", "g"};
}

// Weights move, a cluster is drained and activated, a host comes and goes: on the same gateways and listeners.
void Churn(const Scene& scene, const std::atomic<bool>& stop) {
  const std::string noise = fmt::format(
      "apiVersion: gateway.weir.dev/v2\nkind: Gateway\nmetadata: {{name: noise, {}}}\nspec:\n"
      "  workloadSelector: {{namespace: shop, labels: {{app: gateway-t2}}}}\n"
      "  http: [{{name: n, hostname: noise.example.com, port: {}, routing: {{rules: [{{redirect: {{uri: /}}}}]}}}}]\n",
      kMeta, kProbePort);
  uint64_t failed = 0;
  const auto say = [&](std::vector<std::string> arguments, std::string_view input = "") {
    const auto done = scene.fleet().Weir(std::move(arguments), input);
    failed += done.ok() ? 0 : 1;  // It only has to move; what it asks for may cross with something else.
  };
  for (unsigned round = 0; !stop; ++round) {
    say({"apply", "-f", "-"}, scene.Tier1Yaml({1 + round % 9, 5}));
    say({"cluster", round % 2 == 0 ? "drain" : "activate", "c2"});
    if (round % 2 == 0)
      say({"apply", "-f", "-"}, noise);
    else
      say(Delete("gateway", "noise"));
  }
  say({"cluster", "activate", "c2"});
  EXPECT_EQ(failed, 0u);
}

// "" when the answer is of this revision or a later one.
std::string LieOf(const Scene& scene, unsigned tier1, const char* host, int number) {
  const auto answer = test::HttpClient(scene.Tier1(tier1), kPort).Get(host, "/revision");
  const std::string who = fmt::format("READY at {}, but t1-{} for {}: ", number, tier1, host);
  if (!answer.ok()) return who + answer.error().message;
  int says = -1;
  std::from_chars(answer->body.data(), answer->body.data() + answer->body.size(), says);
  if (answer->status == 200 && says >= number) return "";
  const auto reason = answer->headers.find("x-weir-reason");
  return who + fmt::format("{} \"{}\" {}", answer->status, answer->body,
                           reason == answer->headers.end() ? "" : reason->second);
}

class ReadyTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    scene_ = new Scene({.net = 73});
    const Status up = scene_->BringUp();
    ASSERT_TRUE(up.ok()) << up.error().message;
  }
  static void TearDownTestSuite() {
    delete scene_;
    scene_ = nullptr;
  }
  // Status of a GET through one T1; 0 = no answer.
  static int Ask(unsigned tier1, const std::string& host) {
    const auto answer = test::HttpClient(scene_->Tier1(tier1), kPort).Get(host, "/");
    return answer.ok() ? answer->status : 0;
  }
  static void TurnC2(const std::atomic<bool>& stop, std::atomic<uint64_t>& turns, const std::atomic<uint64_t>& looks);
  static Scene* scene_;
};
Scene* ReadyTest::scene_ = nullptr;

TEST_F(ReadyTest, MeansThatEveryGatewayAnswersByThatRevision) {
  Scene& scene = *scene_;
  const char* more = std::getenv("WEIR_READY_SAMPLES");
  const int wanted = more == nullptr ? 200 : std::atoi(more);
  const auto limit = Clock::now() + (more == nullptr ? seconds(40) : seconds(3600));

  std::atomic<bool> stop{false};
  std::thread churn([&] { Churn(scene, stop); });
  int samples = 0, questions = 0;
  std::vector<std::string> lies;
  for (int number = 1; samples < wanted && Clock::now() < limit && lies.size() < 10; ++number) {
    // Each third time the T2s first stop letting the T1s in, and must do so again: the bytes of before return.
    if (number % 3 == 0) {
      EXPECT_TRUE(scene.fleet().WeirOk(Delete("tier1gateway", "probe-t1")).ok());
    }
    const auto applied = scene.fleet().WeirOk({"apply", "--wait", "-f", "-"}, Probe(number));
    if (!applied.ok()) {
      lies.push_back(applied.error().message);
      continue;
    }
    ++samples;
    for (unsigned tier1 = 1; tier1 <= 2; ++tier1) {
      for (const char* host : {kEdge, kProbe, kProbe, kProbe, kProbe}) {
        ++questions;
        if (std::string lie = LieOf(scene, tier1, host, number); !lie.empty()) lies.push_back(std::move(lie));
      }
    }
  }
  stop = true;
  churn.join();
  for (const std::string& lie : lies) ADD_FAILURE() << lie;
  EXPECT_GE(samples, 5);
  fmt::print("{} times READY, {} questions, {} lies\n", samples, questions, lies.size());
}

constexpr char kEmptyCluster[] =
    "apiVersion: api.weir.dev/v2\nkind: Cluster\nmetadata: {name: c3, organization: e2e-org}\n"
    "spec: {adminState: DRAINING}\n";

// Drains and activates c2 until `stop`; each state is looked at a few times. By force: a mood may have no other
// cluster.
void ReadyTest::TurnC2(const std::atomic<bool>& stop, std::atomic<uint64_t>& turns,
                       const std::atomic<uint64_t>& looks) {
  const auto turn = [](const std::vector<std::string>& words) {
    const auto turned = scene_->fleet().WeirOk(words);
    EXPECT_TRUE(turned.ok()) << turned.error().message;
  };
  for (bool drained = false; !stop; ++turns) {
    turn(drained ? std::vector<std::string>{"cluster", "activate", "c2"}
                 : std::vector<std::string>{"cluster", "drain", "c2", "--force"});
    drained = !drained;
    const uint64_t seen = looks;
    (void)test::WaitUntil("a few looks", test::Milliseconds(10'000), nullptr,
                          [&] { return stop || looks >= seen + 6; });
  }
  turn({"cluster", "activate", "c2"});
}

TEST_F(ReadyTest, WhatIsNotAnsweredSaysWhyAndExplainSaysTheSame) {
  const char* more = std::getenv("WEIR_READY_SAMPLES");
  const unsigned wanted = more == nullptr ? 6 * Moods::kKinds : static_cast<unsigned>(std::atoi(more));
  const auto empty = scene_->fleet().WeirOk({"apply", "-f", "-"}, kEmptyCluster);
  ASSERT_TRUE(empty.ok()) << empty.error().message;
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> turns{0}, looks{0};
  std::thread churn([&] { TurnC2(stop, turns, looks); });
  std::vector<std::unique_ptr<Moods>> lanes;
  std::vector<std::thread> threads;
  std::atomic<unsigned> next{0};
  for (const char* name : {"mood-a", "mood-b"}) lanes.push_back(std::make_unique<Moods>(*scene_, name));
  for (auto& lane : lanes) {
    threads.emplace_back([&] {
      for (unsigned number; (number = next++) < wanted && lane->lies.size() < 5;) lane->Next(number, turns, looks);
    });
  }
  for (std::thread& thread : threads) thread.join();
  stop = true;
  churn.join();
  uint64_t ready = 0, unserved = 0;
  for (const auto& lane : lanes) {
    for (const std::string& lie : lane->lies) ADD_FAILURE() << lie;
    ready += lane->ready;
    unserved += lane->unserved;
  }
  fmt::print("{} times READY, {} times unserved, {} turns of c2\n", ready, unserved, turns.load());
  EXPECT_GT(ready, 0u);
  EXPECT_GT(unserved, 0u);
}

// Another agent of c1 with the same identity, at an address of its own.
Result<std::unique_ptr<test::Process>> StartClone(const Scene& scene) {
  const std::string folder = scene.fleet().AgentState("c1");
  const std::string copy = folder + "-clone";
  const auto copied = test::RunCommand({"cp", {"/bin/cp", "-a", folder, copy}, {}, "", ""}, test::Milliseconds(10'000));
  if (!copied.ok() || copied->exit_code != 0) return Internal("COPY", "{} could not be copied", folder);
  for (const char* socket : {"/admin.sock", "/lock"}) std::filesystem::remove(copy + socket);
  test::Command command = scene.fleet().Find("agent/c1")->command();
  command.name = "the clone of agent/c1";
  command.log_file = folder + "-clone.log";
  const std::string other = fmt::format("127.{}.2.3", scene.options().net);
  for (std::string& argument : command.argv) {
    for (const auto& [from, to] : {std::pair(folder, copy), std::pair(scene.AgentAddress(1), other)}) {
      for (size_t at = argument.find(from); at != std::string::npos; at = argument.find(from, at + to.size()))
        argument.replace(at, from.size(), to);
    }
  }
  return test::Process::Start(command);
}

TEST_F(ReadyTest, AClusterSaysWhatItsAgentDoes) {
  const auto lost = [&] { return scene_->Drive(40).failed; };
  const auto made = scene_->fleet().WeirOk(
      {"apply", "-f", "-"},
      "apiVersion: api.weir.dev/v2\nkind: Cluster\nmetadata: {name: c9, organization: e2e-org}\n");
  ASSERT_TRUE(made.ok()) << made.error().message;
  EXPECT_TRUE(AwaitReason(*scene_, ClusterFqn("c9"), "NEVER_JOINED").ok());

  // By force: what an earlier case left may be served by c2 alone.
  const auto drained = scene_->fleet().WeirOk({"cluster", "drain", "c2", "--force"});
  ASSERT_TRUE(drained.ok()) << drained.error().message;
  Status said = AwaitReason(*scene_, ClusterFqn("c2"), "DRAINING");
  EXPECT_TRUE(said.ok()) << said.error().message;
  EXPECT_EQ(lost(), 0u);
  ASSERT_TRUE(scene_->fleet().WeirOk({"cluster", "activate", "c2"}).ok());
  said = AwaitReason(*scene_, ClusterFqn("c2"), "");
  EXPECT_TRUE(said.ok()) << said.error().message;

  scene_->fleet().Find("agent/c1")->Kill();
  said = AwaitReason(*scene_, ClusterFqn("c1"), "DISCONNECTED", 60);
  EXPECT_TRUE(said.ok()) << said.error().message;
  EXPECT_EQ(lost(), 0u) << "its gateways go on";
  EXPECT_TRUE(scene_->fleet().Restart("agent/c1").ok());
  said = AwaitReason(*scene_, ClusterFqn("c1"), "", 60);
  EXPECT_TRUE(said.ok()) << said.error().message;

  {
    const auto clone = StartClone(*scene_);
    ASSERT_TRUE(clone.ok()) << clone.error().message;
    said = AwaitReason(*scene_, ClusterFqn("c1"), "DUPLICATE_AGENT");
    EXPECT_TRUE(said.ok()) << said.error().message << "\n" << (*clone)->LogTail(20);
    EXPECT_EQ(lost(), 0u);
  }
}

// A socket that somebody else holds.
class Squatter {
 public:
  Squatter(const std::string& address, uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(port);
    inet_pton(AF_INET, address.c_str(), &where.sin_addr);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&where), sizeof where), 0);
    EXPECT_EQ(listen(fd_, 1), 0);
  }
  ~Squatter() { close(fd_); }
  Squatter(const Squatter&) = delete;
  Squatter& operator=(const Squatter&) = delete;

 private:
  const int fd_;
};

TEST_F(ReadyTest, APortThatIsTakenIsNotReadyAndNamed) {
  constexpr uint16_t kTaken = 18095;
  const std::string yaml = fmt::format(
      "apiVersion: gateway.weir.dev/v2\nkind: Gateway\nmetadata: {{name: squat, {}}}\nspec:\n"
      "  workloadSelector: {{namespace: shop, labels: {{app: gateway-t2}}}}\n"
      "  http: [{{name: s, hostname: squat.example.com, port: {}, routing: {{rules: [{{directResponse: {{status: 200, "
      "body: here}}}}]}}}}]\n",
      kMeta, kTaken);
  const std::string fqn = "organizations/e2e-org/tenants/t/workspaces/w/gatewaygroups/g/gateways/squat";
  const auto answers = [&](unsigned cluster) {
    const auto answer = test::HttpClient(scene_->Tier2(cluster), kTaken).Get("squat.example.com", "/");
    return answer.ok() && answer->status == 200 && answer->body == "here";
  };
  {
    const Squatter squatter(scene_->Tier2(1), kTaken);
    ASSERT_TRUE(scene_->fleet().WeirOk({"apply", "-f", "-"}, yaml).ok());
    Said said;
    const Status refused = test::WaitUntil("a refusal", test::Milliseconds(20'000), nullptr, [&] {
      said = StatusOf(*scene_, fqn);
      return said.state == "FAILED";
    });
    EXPECT_TRUE(refused.ok()) << said.state << " " << said.reason << " " << said.message;
    EXPECT_EQ(said.reason, "REJECTED");
    EXPECT_NE(said.message.find(std::to_string(kTaken)), std::string::npos) << said.message;
    EXPECT_NE(said.message.find("c1"), std::string::npos) << said.message;
    EXPECT_EQ(GatewaySays(scene_->Tier2(1), "/ready"), "") << "that gateway does not serve all that is wanted";
    EXPECT_NE(GatewaySays(scene_->Tier2(2), "/ready"), "") << "this one does";
    EXPECT_TRUE(answers(2));
    EXPECT_EQ(scene_->Drive(40).failed, 0u) << "the other listeners serve on";
    EXPECT_EQ(StatusOf(*scene_, fqn).state, "FAILED") << "as long as the port is taken";
  }
  const Status ready = AwaitReason(*scene_, fqn, "");
  EXPECT_TRUE(ready.ok()) << ready.error().message;
  EXPECT_TRUE(answers(1));
  EXPECT_NE(GatewaySays(scene_->Tier2(1), "/ready"), "");
}

}  // namespace
}  // namespace weir::e2e
