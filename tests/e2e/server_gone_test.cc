#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <set>
#include <thread>

#include "libs/base/file.h"
#include "tests/e2e/doors.h"
#include "tests/e2e/mesh_client.h"
#include "tests/e2e/posts.h"
#include "tests/support/downloads.h"

// The management server is gone for much longer than a leaf lives, and meanwhile everything else happens: agents and
// gateways restart, a cluster's entry dies and comes back, a new pod starts. Not one request is lost.
//   WEIR_SERVER_GONE_SECONDS  how long (default 60; ./dev soak: 1800)
//   WEIR_SERVER_GONE_LEAF     life of a leaf in seconds (default 20)
namespace weir::e2e {
namespace {

using test::Milliseconds;
using Steady = std::chrono::steady_clock;

unsigned Setting(const char* name, unsigned otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : static_cast<unsigned>(std::strtoul(text, nullptr, 10));
}

class ServerGone : public testing::Test {
 protected:
  // The moment `part` (0 to 1) of the whole time.
  void Until(double part) {
    std::this_thread::sleep_until(
        began_ + std::chrono::duration_cast<Steady::duration>(std::chrono::duration<double>(part * seconds_)));
  }
  void ExpectServes(const std::string& address) {
    test::LoadOptions load = scene_.Load(10);
    load.targets = {{address, kPort}};
    const Status serves = test::WaitUntil(address + " to serve", Milliseconds(30'000), nullptr,
                                          [&] { return test::RunLoad(load).failed == 0; });
    EXPECT_TRUE(serves.ok()) << serves.error().message;
  }
  Status BringUp() {
    WEIR_TRY(scene_.BringUp());
    return AddOrders(scene_);
  }
  // Through the T1 that stays; the other one restarts.
  test::LoadOptions Load(const std::atomic<bool>& stop) {
    test::LoadOptions load = scene_.Load(0);
    load.targets = {{scene_.Tier1(1), kPort}};
    load.connections = 4;
    load.rate = 30;
    load.stop = [&stop] { return stop.load(); };
    return load;
  }
  // Its T2 died with what it had under way.
  static void ExpectOnlyLostWithC2(Posts& posts, test::Downloads& downloads) {
    const PostVerdict posted = posts.Judge({.failed = Posts::Connections()});
    fmt::print("{}\n", posted.ToString());
    EXPECT_EQ(posted.wrong, "");
    for (const test::Download& download : downloads.Finish())
      EXPECT_TRUE(download.error.empty() || download.backend == "c2") << download.backend << ": " << download.error;
  }
  void Restart(const std::string& name) {
    scene_.fleet().Find(name)->Kill();
    EXPECT_TRUE(scene_.fleet().Restart(name).ok()) << name;
  }

  const unsigned seconds_ = std::max(30u, Setting("WEIR_SERVER_GONE_SECONDS", 60));
  const unsigned leaf_ = Setting("WEIR_SERVER_GONE_LEAF", 20);
  Scene scene_{{.net = 63, .workers = 1, .agent_flags = {"--leaf-lifetime", fmt::format("{}s", leaf_)}}};
  Steady::time_point began_;
};

TEST_F(ServerGone, NoRequestIsLost) {
  const Status up = BringUp();
  ASSERT_TRUE(up.ok()) << up.error().message;
  const std::string t1_state = GatewayState(scene_, "edge", "t1/t1-1");
  const std::string roots = *ReadFile(scene_.fleet().ServerState() + "/mesh-root.pem");
  std::atomic<bool> stop{false};
  test::LoadReport report;
  began_ = Steady::now();
  scene_.fleet().Find("server")->Kill();
  std::thread client([&] { report = test::RunLoad(Load(stop)); });
  Posts posts(scene_, Load(stop).targets);
  test::Downloads downloads({Load(stop).targets, kOrders, 2, 1'000'000, 250'000});
  std::set<std::string> leaves;
  std::atomic<bool> count{true};
  std::thread counter([&] {
    while (count) {
      const auto kept = KeptIdentity(t1_state);
      if (kept.ok()) leaves.insert(kept->serial);
      std::this_thread::sleep_for(Milliseconds(500));
    }
  });

  Until(0.15);
  Restart("agent/edge");
  Restart("agent/c1");
  Until(0.25);
  const std::string new_pod = fmt::format("127.{}.2.40", scene_.options().net);
  const auto pod = AddPod(scene_, 1, "pod-new", new_pod);
  EXPECT_TRUE(pod.ok()) << pod.error().message;
  if (pod.ok()) {  // T2 must have learnt of it, with the identity that the agent alone gave it.
    const Status used = test::WaitUntil("requests at the new pod", Milliseconds(30'000), nullptr, [&] {
      return GatewayMetric(new_pod, "weir_traffic_requests_total").value_or(0) > 0;
    });
    EXPECT_TRUE(used.ok()) << used.error().message;
  }
  Until(0.40);
  Restart("gateway/edge/t1/t1-2");
  ExpectServes(scene_.Tier1(2));
  Until(0.50);
  scene_.fleet().Find("gateway/c2/shop/t2")->Kill();  // T1 sends everything to c1 now.
  Until(0.70);
  EXPECT_TRUE(scene_.fleet().Restart("gateway/c2/shop/t2").ok());
  const Status back =
      test::WaitForPort(scene_.fleet().Find("gateway/c2/shop/t2"), scene_.Tier2(2), 15443, Milliseconds(30'000));
  EXPECT_TRUE(back.ok()) << back.error().message;
  // Its kept leaf has run out meanwhile: the agent alone gives it another.
  std::string last;
  const Status known = test::WaitUntil("a handshake with it", Milliseconds(30'000), nullptr, [&] {
    const auto handshake = MeshHandshake(scene_.Tier2(2), kHost, t1_state, roots, kHost);
    last = handshake.ok() ? "" : handshake.error().ToString();
    return handshake.ok();
  });
  EXPECT_TRUE(known.ok()) << known.error().message << ": " << last;
  Until(0.80);
  Restart("agent/c2");
  Until(1.0);
  stop = true;
  client.join();
  count = false;
  counter.join();

  fmt::print("server gone for {} s with leaves of {} s: {} requests, {} failed, {} leaves of one T1\n", seconds_, leaf_,
             report.requests, report.failed, leaves.size());
  EXPECT_EQ(report.failed, 0u) << report.first_error;
  ExpectOnlyLostWithC2(posts, downloads);
  EXPECT_GT(report.by_backend["c1"], 0u);
  EXPECT_GT(report.by_backend["c2"], 0u);
  EXPECT_GE(leaves.size(), seconds_ / leaf_);
  ASSERT_TRUE(scene_.fleet().Restart("server").ok());
  const Status ready = scene_.WaitState("READY", Milliseconds(60'000));
  EXPECT_TRUE(ready.ok()) << ready.error().message;
}

}  // namespace
}  // namespace weir::e2e
