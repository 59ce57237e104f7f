#include "tests/e2e/faults.h"

#include <signal.h>
#include <unistd.h>

#include <cstdlib>

#include "libs/base/file.h"
#include "tests/support/http_client.h"

// Programs die, freeze and come back while requests go on. Every GET may be repeated, so none may fail while one
// cluster is alive.
namespace weir::e2e {
namespace {

constexpr char kTier2[] = "gateway/c1/shop/t2";

class Faults : public FaultTest {
 protected:
  static void SetUpTestSuite() {
    const Status up = BringUp({.net = 70, .pods = 2});
    ASSERT_TRUE(up.ok()) << up.error().message;
  }
};

TEST_F(Faults, AKilledClusterLosesNoGet) {
  traffic_->RunFor(0.5);
  Mark("kill -9 of every process of c1", {.clusters = {"c1"}});
  Kill(AllOf("c1"));
  ExpectOnly("c2");
  ExpectNothingLost();
  Restart(AllOf("c1"));
  ExpectSharesBack();
  ExpectNothingLost();
  // Those that were under way at c1 must have failed: else nothing was proved of them.
  const PostVerdict posts = posts_->Judge({.failed = Posts::Connections()});
  EXPECT_EQ(posts.wrong, "");
  EXPECT_GT(posts.failed, 0u) << posts.ToString();
  EXPECT_GT(posts.repeated, 0u) << posts.ToString();
}

TEST_F(Faults, AKilledClusterCutsOnlyItsOwnAnswers) {
  test::Downloads downloads({.targets = scene_->Load(0).targets,
                             .host = kOrders,
                             .connections = 16,
                             .bytes = 3'000'000,
                             .served_rate = 1'000'000,
                             .once = true});
  const Status begun = downloads.AllBegun(test::Milliseconds(2'500));
  ASSERT_TRUE(begun.ok()) << begun.error().message;
  Mark("kill -9 of every process of c1 while answers of seconds are under way", {.clusters = {"c1"}});
  Kill(AllOf("c1"));
  std::map<std::string, unsigned> whole, cut;
  for (const test::Download& download : downloads.Finish()) {
    ++(download.error.empty() ? whole : cut)[download.backend];
    if (!download.error.empty()) {
      EXPECT_NE(download.error.find("CONNECTION_LOST"), std::string::npos) << download.error;
      EXPECT_LT(download.bytes, 3'000'000u);
    }
  }
  EXPECT_EQ(whole.count("c1") + cut.count("c2"), 0u);
  EXPECT_GE(whole["c2"], 2u);
  EXPECT_GE(cut["c1"], 8u);
  ExpectNothingLost();
  Restart(AllOf("c1"));
  ExpectSharesBack();
}

TEST_F(Faults, ADrainedClusterFinishesWhatItHas) {
  test::Downloads downloads({.targets = scene_->Load(0).targets,
                             .host = kOrders,
                             .connections = 16,
                             .bytes = 3'000'000,
                             .served_rate = 1'000'000,
                             .once = true});
  const Status begun = downloads.AllBegun(test::Milliseconds(2'500));
  ASSERT_TRUE(begun.ok()) << begun.error().message;
  Mark("a drain of c1 while answers of seconds are under way");
  const auto drained = fleet().WeirOk({"cluster", "drain", "c1"});
  ASSERT_TRUE(drained.ok()) << drained.error().message;
  ExpectOnly("c2");
  std::map<std::string, unsigned> by;
  for (const test::Download& download : downloads.Finish()) {
    EXPECT_EQ(download.error, "") << download.backend;
    ++by[download.backend];
  }
  EXPECT_GE(by["c1"], 8u);
  ExpectNothingLost();
  const auto active = fleet().WeirOk({"cluster", "activate", "c1"});
  ASSERT_TRUE(active.ok()) << active.error().message;
  ExpectSharesBack();
  ExpectNothingLost();
}

TEST_F(Faults, SlowReadersHoldNobodyAndNoMemory) {
  std::map<std::string, uint64_t> before;
  for (const std::string& name : fleet().Names()) {
    if (name.starts_with("gateway/")) before[name] = Program(name).ResidentBytes();
  }
  // 8 x 48 MB that nobody takes. Buffers of the kernel hold some MB of each.
  Mark("8 callers that read slowly");
  test::Downloads slow({.targets = scene_->Load(0).targets,
                        .host = kOrders,
                        .connections = 8,
                        .bytes = 200'000'000,
                        .served_rate = 6'000'000,
                        .read_rate = 100'000});
  const Status begun = slow.AllBegun(test::Milliseconds(5'000));
  ASSERT_TRUE(begun.ok()) << begun.error().message;
  traffic_->RunFor(8);
  for (const auto& [name, bytes] : before) {
    if (kSlowdown > 1) break;  // AddressSanitizer keeps what was freed.
    const uint64_t now = Program(name).ResidentBytes();
    EXPECT_LT(now, bytes + (24u << 20)) << name << " grew from " << bytes;
  }
  ExpectNothingLost();
  EXPECT_LE(Since().slowest, kSlowest / 3);
  EXPECT_NEAR(Since().Share("c1"), 0.75, 0.02);
  for (const test::Download& download : slow.Abandon()) {
    EXPECT_EQ(download.error, "");
    EXPECT_GT(download.bytes, 100'000u);  // Each of them moves.
  }
}

TEST_F(Faults, AFrozenClusterLosesNoGet) {
  Mark("SIGSTOP of c1's T2, connections open and new", {.clusters = {"c1"}});
  Program(kTier2).Freeze();
  ExpectOnly("c2");
  ExpectNothingLost();
  Program(kTier2).Thaw();
  ExpectSharesBack();
  ExpectNothingLost();
}

TEST_F(Faults, ATier1ThatStartsWhileAClusterIsFrozenLosesNoGet) {
  traffic_->Stop();
  Program(kTier2).Freeze();
  Kill({"gateway/edge/t1/t1-1"});
  Restart({"gateway/edge/t1/t1-1"});
  const Status up =
      test::WaitForPort(fleet().Find("gateway/edge/t1/t1-1"), scene_->Tier1(1), kPort, test::Milliseconds(20'000));
  ASSERT_TRUE(up.ok()) << up.error().message;
  test::LoadOptions load = scene_->Load(0);
  load.targets = {{scene_->Tier1(1), kPort}};
  load.rate = kRate / 2;
  load.connections = 32;
  traffic_ = std::make_unique<test::Traffic>(load);
  Mark("a T1 starts while c1's T2 is frozen", {.clusters = {"c1"}});
  ExpectOnly("c2");
  ExpectNothingLost();
  Program(kTier2).Thaw();
  ExpectSharesBack();
  ExpectNothingLost();
}

TEST_F(Faults, TheOtherTier1GoesOnExactly) {
  traffic_->Stop();
  test::LoadOptions load = scene_->Load(0);
  load.targets = {{scene_->Tier1(2), kPort}};
  load.rate = kRate;
  load.connections = 8;
  traffic_ = std::make_unique<test::Traffic>(load);
  traffic_->RunFor(0.5);
  Mark("kill -9 of one T1 of two, seen through the other");
  Kill({"gateway/edge/t1/t1-1"});
  traffic_->RunFor(2);
  Restart({"gateway/edge/t1/t1-1"});
  traffic_->RunFor(1);
  traffic_->Stop();
  ExpectNothingLost();
  const test::Span span = Since();
  // Two workers, and as much again for where the counting begins and ends.
  EXPECT_NEAR(static_cast<double>(span.by_backend.at("c1")), 0.75 * static_cast<double>(span.requests), 4);
  const Status up =
      test::WaitForPort(fleet().Find("gateway/edge/t1/t1-1"), scene_->Tier1(1), kPort, test::Milliseconds(20'000));
  EXPECT_TRUE(up.ok()) << up.error().message;
}

TEST_F(Faults, ATier2WithoutPodsGivesItsShareAway) {
  Mark("kill -9 of both pod proxies of c1, its T2 alive", {.clusters = {"c1"}});
  Kill({"gateway/c1/shop/pod-1", "gateway/c1/shop/pod-2"});
  ExpectOnly("c2");
  ExpectNothingLost();
  Restart({"gateway/c1/shop/pod-1", "gateway/c1/shop/pod-2"});
  ExpectSharesBack();
  ExpectNothingLost();
}

// Who can serve is told host by host: a service without pods is no concern of the other hosts of its gateway.
TEST_F(Faults, AHostWithoutPodsHurtsNoOther) {
  Mark("another host of the same T2s, whose service has no pods");
  const std::string path = scene_->File("empty.yaml", R"(apiVersion: gateway.weir.dev/v2
kind: Gateway
metadata: {name: empty, organization: e2e-org, tenant: t, workspace: w, group: g}
spec:
  workloadSelector: {namespace: shop, labels: {app: gateway-t2}}
  http:
  - name: empty
    hostname: empty.example.com
    port: 80
    routing: {rules: [{route: {serviceDestination: {host: shop/empty.shop.svc.cluster.local, port: 8080}}}]}
)");
  const auto applied = fleet().Weir({"apply", "-f", path, "--wait"});
  ASSERT_TRUE(applied.ok()) << applied.error().message;
  EXPECT_EQ(applied->exit_code, 4) << applied->out << applied->err;  // Stored, but nobody could be answered by it.
  EXPECT_NE(applied->out.find("SERVICE_MISSING"), std::string::npos) << applied->out;
  traffic_->RunFor(2);
  ExpectNothingLost();
  EXPECT_NEAR(Since().Share("c1"), 0.75, 0.02);
  const auto health = fleet().Weir({"explain", "health", kHost});
  ASSERT_TRUE(health.ok()) << health.error().message;
  EXPECT_EQ(health->out.find("part"), std::string::npos) << health->out;
}

TEST_F(Faults, DeadAppsBehindLivingProxiesGiveTheirShareAway) {
  Mark("kill -9 of both apps of c1, T2 and pod proxies alive", {.clusters = {"c1"}});
  Kill({"app/c1/shop/pod-1", "app/c1/shop/pod-2"});
  ExpectOnly("c2", 2 * kSlowest);
  ExpectNothingLost();
  Restart({"app/c1/shop/pod-1", "app/c1/shop/pod-2"});
  ExpectSharesBack();
  ExpectNothingLost();
}

TEST_F(Faults, OneDeadPodOfTwoMovesNoShare) {
  Mark("kill -9 of one pod of two of c1", {.clusters = {"c1"}});
  Kill({"gateway/c1/shop/pod-1"});
  traffic_->RunFor(2);
  ExpectNothingLost();
  EXPECT_NEAR(Since().Share("c1"), 0.75, 0.02);
  Restart({"gateway/c1/shop/pod-1"});
  traffic_->RunFor(1);
  ExpectNothingLost();
}

// A TCP connect is its only check, and the kernel answers that. The request that waits in vain says it.
TEST_F(Faults, AFrozenAppCollectsNoRequests) {
  Mark("SIGSTOP of one app of two of c1: it takes connections and says nothing", {.clusters = {"c1"}, .nobody = true});
  Program("app/c1/shop/pod-1").Freeze();
  traffic_->RunFor(20);
  const test::Span frozen = Since();
  Program("app/c1/shop/pod-1").Thaw();
  // As many as its neighbour has under way (POSTs and downloads count too), and single requests after it was set aside;
  // half of the cluster's turns would be more than 700.
  EXPECT_LE(frozen.failed, 40u) << frozen.ToString();
  EXPECT_NEAR(frozen.Share("c1"), 0.75, 0.03) << frozen.ToString();
  ExpectSharesBack();
}

TEST_F(Faults, WithoutAnyClusterTheAnswerIsClearAndAllComesBack) {
  const std::vector<std::string> all{kTier2, "gateway/c2/shop/t2"};
  Mark("kill -9 of the T2s of all clusters, and back", {.clusters = {"c1", "c2"}, .nobody = true});
  Kill(all);
  test::HttpClient client(scene_->Tier1(1), kPort);
  const Status none = test::WaitUntil("a clear refusal", test::Milliseconds(5'000), nullptr, [&] {
    const auto answer = client.Get(kHost, "/");
    return answer.ok() && answer->status == 503 && answer->headers.contains("x-weir-reason") &&
           answer->headers.at("x-weir-reason") == "no_cluster_can_serve";
  });
  EXPECT_TRUE(none.ok()) << none.error().message;
  const auto before = std::chrono::steady_clock::now();
  const auto answer = client.Get(kHost, "/");
  ASSERT_TRUE(answer.ok()) << answer.error().message;
  EXPECT_EQ(answer->headers.contains("retry-after") ? answer->headers.at("retry-after") : "", "1");
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::milliseconds(500));  // Nobody waits for the dead.
  const test::Span refused = Since();
  // 502: it was under way when its T2 died.
  for (const auto& [error, count] : refused.errors) {
    EXPECT_TRUE(error.starts_with("status 503 (") || error.starts_with("status 502 (")) << error;
  }

  Restart(all);
  ExpectSharesBack();
  const double back = traffic_->Now();
  traffic_->RunFor(1);
  EXPECT_EQ(traffic_->timeline().Between(back).failed, 0u);
}

TEST_F(Faults, AClockThatJumpsMovesNothing) {
#ifdef WEIR_SANITIZE_ADDRESS
  GTEST_SKIP() << "no program of clang's AddressSanitizer starts under libfaketime (a double free in its first dlsym)";
#endif
  const char* library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
  if (access(library, R_OK) != 0) GTEST_SKIP() << library << " is missing (Debian: libfaketime)";
  const std::string clock = scene_->File("t1-clock", "+0\n");
  traffic_->Stop();
  Kill({"gateway/edge/t1/t1-1"});
  const Status started =
      fleet().Restart("gateway/edge/t1/t1-1", {std::string("LD_PRELOAD=") + library, "FAKETIME_TIMESTAMP_FILE=" + clock,
                                               "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"});
  ASSERT_TRUE(started.ok()) << started.error().message;
  const Status up =
      test::WaitForPort(fleet().Find("gateway/edge/t1/t1-1"), scene_->Tier1(1), kPort, test::Milliseconds(20'000));
  ASSERT_TRUE(up.ok()) << up.error().message;
  test::LoadOptions load = scene_->Load(0);
  load.targets = {{scene_->Tier1(1), kPort}};
  load.rate = kRate;
  load.connections = 8;
  traffic_ = std::make_unique<test::Traffic>(load);
  ExpectSharesBack();
  Mark("the clock of a T1 jumps an hour ahead, then two hours back");
  for (const char* time : {"+3600\n", "-3600\n"}) {
    ASSERT_TRUE(WriteFileAtomic(clock, time).ok());
    traffic_->RunFor(2.5);
  }
  ExpectNothingLost();
  EXPECT_NEAR(Since().Share("c1"), 0.75, 0.02);
  traffic_->Stop();
  Kill({"gateway/edge/t1/t1-1"});
  Restart({"gateway/edge/t1/t1-1"});
}

TEST_F(Faults, KillsInARowLoseNoGet) {
  const char* asked = std::getenv("WEIR_FAULT_KILLS");  // 20 before a release.
  const int kills = asked == nullptr ? 1 : std::atoi(asked);
  Mark(fmt::format("{} times kill -9 of a T2, c2 and c1 in turn", kills),
       {.clusters = {"c1", "c2"}, .times = static_cast<unsigned>(kills)});
  for (int i = 0; i < kills; ++i) {
    const bool first = i % 2 == 1;
    const std::string victim = first ? kTier2 : "gateway/c2/shop/t2";
    Kill({victim});
    ExpectOnly(first ? "c2" : "c1");
    Restart({victim});
    ExpectSharesBack();
    ExpectNothingLost();
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace weir::e2e
