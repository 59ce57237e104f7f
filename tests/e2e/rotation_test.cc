#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <map>
#include <set>
#include <thread>

#include "libs/base/file.h"
#include "libs/base/mutex.h"
#include "tests/e2e/doors.h"
#include "tests/e2e/mesh_client.h"

// Leaves of 10 s and intermediates of a minute are renewed under load: no handshake fails, in neither direction, and
// connections that stand keep standing.
namespace weir::e2e {
namespace {

using test::Milliseconds;
using Steady = std::chrono::steady_clock;

// New connections in a row to one gateway's 15443, in the name of another, until told to end.
class Knocker {
 public:
  Knocker(std::string address, std::string sni, std::string state, std::string roots, std::string host)
      : address_(std::move(address)),
        sni_(std::move(sni)),
        state_(std::move(state)),
        roots_(std::move(roots)),
        host_(std::move(host)),
        thread_([this] { Run(); }) {}
  ~Knocker() { Stop(); }
  void Stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  struct Seen {
    uint64_t handshakes = 0, failed = 0;
    std::string first_error;
    std::set<std::string> leaves, intermediates;  // Serials of the other end.
    std::set<std::string> own;                    // Of ours.
  };
  Seen Now() const {
    MutexLock lock(mutex_);
    return seen_;
  }

 private:
  void Run() {
    while (!stop_) {
      const auto own = KeptIdentity(state_);
      const auto peer = MeshHandshake(address_, sni_, state_, roots_, host_);
      {
        MutexLock lock(mutex_);
        ++seen_.handshakes;
        if (peer.ok()) {
          seen_.leaves.insert(peer->serial);
          seen_.intermediates.insert(peer->intermediate_serial);
          if (own.ok()) seen_.own.insert(own->serial);
        } else {
          ++seen_.failed;
          if (seen_.first_error.empty()) seen_.first_error = peer.error().ToString();
        }
      }
      std::this_thread::sleep_for(Milliseconds(20));  // A pace, not a wait: the machine has others to serve.
    }
  }
  const std::string address_, sni_, state_, roots_, host_;
  mutable Mutex mutex_;
  Seen seen_ WEIR_GUARDED_BY(mutex_);
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

TEST(Rotation, NoHandshakeFailsWhileLeavesAndIntermediatesAreRenewed) {
  Scene scene({.net = 62,
               .tier1s = 1,
               .clusters = 1,
               .workers = 1,
               .server_flags = {"--intermediate-lifetime", "60s"},
               .agent_flags = {"--leaf-lifetime", "10s"}});
  const Status up = scene.BringUp();
  ASSERT_TRUE(up.ok()) << up.error().message;
  const std::string roots = *ReadFile(scene.fleet().ServerState() + "/mesh-root.pem");
  const std::string t1 = GatewayState(scene, "edge", "t1/t1-1"), t2 = GatewayState(scene, "c1", "shop/t2");
  constexpr char kServiceHost[] = "servicea.shop.svc.cluster.local";

  std::map<std::string, double> failures_before;  // Starting up, a T1 may have knocked before its T2 was ready.
  for (const std::string& address : {scene.Tier1(1), scene.Tier2(1), scene.Pod(1, 1)}) {
    failures_before[address] = GatewayMetric(address, "weir_proxy_tls_failures_total").value_or(-1);
  }
  // T1 to T2 and T2 to the pod, each time a new connection; and requests of a client over kept ones.
  Knocker at_t2(scene.Tier2(1), kHost, t1, roots, kHost);
  Knocker at_pod(scene.Pod(1, 1), std::string("outbound_.8080_._.") + kServiceHost, t2, roots, kServiceHost);
  test::LoadOptions load = scene.Load(0);
  load.rate = 100;
  load.connections = 4;
  const auto began = Steady::now();
  const auto enough = [&] {
    const auto a = at_t2.Now(), b = at_pod.Now();
    return Steady::now() - began > std::chrono::seconds(30) && a.leaves.size() >= 4 && a.own.size() >= 4 &&
           b.leaves.size() >= 4 && b.own.size() >= 4 && a.intermediates.size() >= 2 && b.intermediates.size() >= 2;
  };
  std::atomic<bool> stop{false};
  load.stop = [&] { return stop.load(); };
  test::LoadReport report;
  std::thread client([&] { report = test::RunLoad(load); });
  const Status rotated =
      test::WaitUntil("several renewals of leaves and one of the intermediates", Milliseconds(75'000), nullptr, enough);
  stop = true;
  client.join();
  at_t2.Stop();
  at_pod.Stop();
  EXPECT_TRUE(rotated.ok()) << rotated.error().message;
  for (const auto& [where, seen] : {std::pair("T1 to T2", at_t2.Now()), std::pair("T2 to pod", at_pod.Now())}) {
    fmt::print("{}: {} handshakes, {} failed, {} leaves and {} intermediates of the server, {} leaves of the client\n",
               where, seen.handshakes, seen.failed, seen.leaves.size(), seen.intermediates.size(), seen.own.size());
    EXPECT_EQ(seen.failed, 0u) << where << ": " << seen.first_error;
    EXPECT_GE(seen.handshakes, 20u) << where;
  }
  EXPECT_EQ(report.failed, 0u) << report.first_error;
  EXPECT_GT(report.requests, 500u);
  for (const auto& [address, before] : failures_before) {
    EXPECT_EQ(GatewayMetric(address, "weir_proxy_tls_failures_total").value_or(-1), before) << address;
  }
}

Status Step(const Scene& scene, const std::string& step, Milliseconds within) {
  std::string last;
  const Status taken = test::WaitUntil("replace-root " + step, within, nullptr, [&] {
    const auto answer = scene.fleet().WeirOk({"server", "replace-root", step});
    last = answer.ok() ? *answer : answer.error().message;
    return answer.ok();
  });
  if (taken.ok()) return {};
  return DeadlineExceeded("STEP", "{}: {}", step, last);
}

// The identities that a gateway keeps now, as somebody has them who was once on that machine.
std::string CopyIdentity(const Scene& scene, const std::string& state) {
  const std::string copy = scene.fleet().options().folder + "/stolen";
  std::filesystem::create_directories(copy);
  for (const char* name : {"/identity.1", "/identity.2"}) {
    if (std::filesystem::exists(state + name)) std::filesystem::copy_file(state + name, copy + name);
  }
  return copy;
}

void ReplaceRoot(const Scene& scene) {
  const auto early = scene.fleet().Weir({"server", "replace-root", "--use"});
  EXPECT_NE(early.ok() ? early->exit_code : 0, 0) << "nothing was introduced";
  for (const auto& [step, seconds] :
       {std::pair("--introduce", 10), std::pair("--use", 30), std::pair("--finish", 90)}) {
    const Status taken = Step(scene, step, std::chrono::seconds(seconds));
    ASSERT_TRUE(taken.ok()) << taken.error().message;
  }
}

// New connections: both ends are of the new root; what was signed under the old one is nobody's.
void ExpectNewRootOnly(const Scene& scene, const std::string& state, const std::string& stolen,
                       const std::string& old_root, const std::string& new_root) {
  EXPECT_EQ(new_root.find(old_root), std::string::npos);
  const auto peer = MeshHandshake(scene.Tier2(1), kHost, state, new_root, kHost);
  EXPECT_TRUE(peer.ok()) << peer.error().message;
  EXPECT_FALSE(MeshHandshake(scene.Tier2(1), kHost, stolen, new_root, kHost).ok());
  EXPECT_FALSE(MeshHandshake(scene.Tier2(1), kHost, state, old_root, kHost).ok());
}

// What a platform team does whose mesh root's key may be in other hands.
TEST(Rotation, TheMeshRootIsReplacedAndNoRequestFails) {
  Scene scene({.net = 62, .tier1s = 1, .clusters = 2, .workers = 1});
  const Status up = scene.BringUp();
  ASSERT_TRUE(up.ok()) << up.error().message;
  const std::string path = scene.fleet().ServerState() + "/mesh-root.pem", old_root = *ReadFile(path);
  const std::string t1 = GatewayState(scene, "edge", "t1/t1-1"), stolen = CopyIdentity(scene, t1);
  ASSERT_TRUE(MeshHandshake(scene.Tier2(1), kHost, stolen, old_root, kHost).ok());

  std::atomic<bool> stop{false};
  test::LoadOptions load = scene.Load(0);
  load.rate = 100;
  load.connections = 4;
  load.stop = [&] { return stop.load(); };
  test::LoadReport report;
  std::thread client([&] { report = test::RunLoad(load); });
  ReplaceRoot(scene);
  const Status ready = scene.WaitState("READY");
  EXPECT_TRUE(ready.ok()) << ready.error().message;
  ExpectNewRootOnly(scene, t1, stolen, old_root, *ReadFile(path));
  stop = true;
  client.join();
  EXPECT_EQ(report.failed, 0u) << report.first_error;
  EXPECT_GT(report.requests, 500u);
  for (const char* name : {"server", "agent/c1", "gateway/c1/shop/t2"}) {  // Nothing of it is held in memory alone.
    EXPECT_TRUE(scene.fleet().Restart(name).ok()) << name;
  }
  const Status again = scene.WaitState("READY");
  EXPECT_TRUE(again.ok()) << again.error().message;
  EXPECT_EQ(scene.Drive(50).failed, 0u);
}

// What it signs while it is ahead is valid at once, and what it signs afterwards is asked for in time.
TEST(Rotation, AnAgentWhoseClockIsAheadForAWhileCostsNoRequest) {
#ifdef WEIR_SANITIZE_ADDRESS
  GTEST_SKIP() << "no program of clang's AddressSanitizer starts under libfaketime (a double free in its first dlsym)";
#endif
  const char* library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
  if (access(library, R_OK) != 0) GTEST_SKIP() << library << " is missing (Debian: libfaketime)";
  Scene scene({.net = 62, .tier1s = 1, .clusters = 1, .workers = 1, .agent_flags = {"--leaf-lifetime", "10s"}});
  const Status up = scene.BringUp();
  ASSERT_TRUE(up.ok()) << up.error().message;
  const std::string clock = scene.File("agent-clock", "+0\n");
  scene.fleet().Find("agent/c1")->Kill();
  const Status started =
      scene.fleet().Restart("agent/c1", {std::string("LD_PRELOAD=") + library, "FAKETIME_TIMESTAMP_FILE=" + clock,
                                         "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"});
  ASSERT_TRUE(started.ok()) << started.error().message;
  Knocker at_t2(scene.Tier2(1), kHost, GatewayState(scene, "edge", "t1/t1-1"),
                *ReadFile(scene.fleet().ServerState() + "/mesh-root.pem"), kHost);
  std::atomic<bool> stop{false};
  test::LoadOptions load = scene.Load(0);
  load.rate = 100;
  load.connections = 4;
  load.stop = [&] { return stop.load(); };
  test::LoadReport report;
  std::thread client([&] { report = test::RunLoad(load); });
  for (const char* ahead : {"+20\n", "+0\n"}) {
    EXPECT_TRUE(WriteFileAtomic(clock, ahead).ok());
    const size_t before = at_t2.Now().leaves.size();
    // One may be under way; the next is signed by this clock. What is signed ahead lives longer by that much.
    const Status renewed = test::WaitUntil("leaves of that time", Milliseconds(75'000), nullptr,
                                           [&] { return at_t2.Now().leaves.size() >= before + 2; });
    EXPECT_TRUE(renewed.ok()) << ahead << renewed.error().message;
  }
  stop = true;
  client.join();
  at_t2.Stop();
  EXPECT_EQ(at_t2.Now().failed, 0u) << at_t2.Now().first_error;
  EXPECT_EQ(report.failed, 0u) << report.first_error;
  EXPECT_GT(report.requests, 500u);
}

}  // namespace
}  // namespace weir::e2e
