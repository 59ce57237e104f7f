#include <atomic>
#include <future>
#include <map>
#include <thread>

#include "libs/proxy/engine.h"
#include "libs/proxy/engine_test_peers.h"

// An engine ends, or is replaced by another, while callers keep asking.

namespace weir::proxy {
namespace {

// Callers that count everything but a whole 200 as a failure.
class Callers {
 public:
  Callers(uint16_t port, int kept, int fresh) : port_(port) {
    for (int i = 0; i < kept + fresh; ++i) {
      threads_.emplace_back([this, keep = i < kept] { Call(keep); });
    }
  }
  ~Callers() { Stop(); }
  void Stop() {
    stop_ = true;
    for (auto& thread : threads_) thread.join();
    threads_.clear();
  }
  // Waits for so many more answers.
  void WaitForMore(int more) {
    const int until = answers + more;
    EXPECT_TRUE(Eventually([&] { return answers >= until; })) << answers;
  }
  std::atomic<int> answers{0}, failed{0};

 private:
  void Call(bool keep) {
    std::unique_ptr<Conn> conn;
    while (!stop_) {
      if (conn == nullptr) conn = std::make_unique<Conn>(Conn::To(port_));
      const bool sent = conn->Send(keep ? kGet : "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
      const auto [head, body] = Response(*conn);
      failed += !sent || !head.starts_with("HTTP/1.1 200") || body != "x";
      ++answers;
      if (!keep || Header(head, "connection") == "close" || head.empty()) conn = nullptr;
    }
  }
  const uint16_t port_;
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

class UpgradeTest : public testing::TestWithParam<std::pair<unsigned, unsigned>> {};

TEST_P(UpgradeTest, ReplacesAnEngineUnderLoadWithoutAFailure) {
  Echo echo("x");
  const Config config({At("c1", 1, {echo.backend.port})});
  Options options;
  options.drain_idle = 200ms;
  options.workers = GetParam().first;
  auto old = std::make_unique<Engine>();
  ASSERT_TRUE(old->Start(options).ok());
  ASSERT_TRUE(ApplyAndWait(*old, config.Build()).ok());
  const uint16_t port = old->Port("public");
  Callers callers(port, 4, 4);
  callers.WaitForMore(200);

  auto sockets = old->ExportSockets();
  ASSERT_TRUE(sockets.ok());
  EXPECT_EQ(sockets->size(), GetParam().first);
  Engine next;
  options.workers = GetParam().second;
  options.hold = true;
  ASSERT_TRUE(next.Start(options, std::move(*sockets)).ok());
  ASSERT_TRUE(ApplyAndWait(next, config.Build()).ok());
  EXPECT_EQ(next.GetStats().connections_accepted, 0u);
  ASSERT_TRUE(next.Open().ok());
  EXPECT_EQ(next.Port("public"), port);
  callers.WaitForMore(100);
  std::promise<void> ended, drained;
  old->DrainHandedOver([&] { ended.set_value(); });
  ASSERT_EQ(ended.get_future().wait_for(10s), std::future_status::ready);
  callers.WaitForMore(200);
  old->Drain([&] { drained.set_value(); });
  ASSERT_EQ(drained.get_future().wait_for(20s), std::future_status::ready);
  old.reset();
  callers.WaitForMore(200);
  callers.Stop();
  EXPECT_EQ(callers.failed, 0);
  EXPECT_GT(next.GetStats().connections_accepted, 0u);
  // And once more: what was taken over can be handed on, all of it.
  const auto again = next.ExportSockets();
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->size(), std::max(GetParam().first, GetParam().second));
}

INSTANTIATE_TEST_SUITE_P(Workers, UpgradeTest,
                         testing::Values(std::pair(2u, 2u), std::pair(3u, 1u), std::pair(1u, 3u)));

TEST(Hold, NobodyIsAcceptedAndAForeignAddressFailsAlone) {
  auto foreign = net::ListenShared(*net::Address::Parse("127.0.0.1", 0));
  Echo echo("x");
  Config config({At("c1", 1, {echo.backend.port})});
  config.port = *net::BoundPort(foreign->get());
  Options options;
  options.hold = true;
  Engine engine;
  ASSERT_TRUE(engine.Start(options).ok());
  EXPECT_FALSE(engine.Open().ok());
  ASSERT_TRUE(ApplyAndWait(engine, config.Build()).ok());
  ASSERT_TRUE(engine.Open().ok());
  ASSERT_EQ(engine.Unbound().size(), 1u);
  EXPECT_EQ(engine.Unbound()[0].error.reason, "ADDRESS_IN_USE");
}

class DrainTest : public EngineTest {
 protected:
  void StartDraining(std::chrono::milliseconds idle) {
    Options options;
    options.drain_idle = idle;
    StartByHand(Config({At("c1", 1, {echo.backend.port})}), options);
  }
  bool Drained() {
    const auto over = drained.get_future();
    return Eventually([&] {
      Pass(100ms);
      return over.wait_for(0s) == std::future_status::ready;
    });
  }
  Echo echo{"x"};
  std::promise<void> drained;
};

TEST_F(DrainTest, AKeptConnectionHasItsNextRequestAnswered) {
  StartDraining(60s);
  Conn conn = Conn::To(port);
  conn.Send(kGet);
  Response(conn);
  engine.Drain([this] { drained.set_value(); });
  Pass(20s);
  conn.Send(kGet);
  const auto [head, body] = Response(conn);
  EXPECT_EQ(body, "x");
  EXPECT_EQ(Header(head, "connection"), "close");
  EXPECT_EQ(conn.ToEnd(), "");
  EXPECT_TRUE(Drained());
}

TEST_F(DrainTest, AQuietConnectionIsEndedWithoutAReset) {
  StartDraining(100ms);
  Conn conn = Conn::To(port);
  conn.Send(kGet);
  Response(conn);
  Conn fresh = Conn::To(port);
  fresh.Send("\r\n");
  engine.Drain([this] { drained.set_value(); });
  Pass(300ms);
  EXPECT_FALSE(conn.More());
  conn.Send(kGet);  // Too late, but read: no reset.
  char byte;
  EXPECT_EQ(recv(conn.fd(), &byte, 1, 0), 0);
  EXPECT_FALSE(fresh.More());
  EXPECT_TRUE(Drained());
}

}  // namespace
}  // namespace weir::proxy
