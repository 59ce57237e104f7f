#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "libs/base/file.h"
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
    std::lock_guard lock(mutex_);
    return seen_;
  }

 private:
  void Run() {
    while (!stop_) {
      const auto own = KeptIdentity(state_);
      const auto peer = MeshHandshake(address_, sni_, state_, roots_, host_);
      {
        std::lock_guard lock(mutex_);
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
  mutable std::mutex mutex_;
  Seen seen_;
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

}  // namespace
}  // namespace weir::e2e
