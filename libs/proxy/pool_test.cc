#include <thread>

#include "libs/base/mutex.h"
#include "libs/proxy/engine_test_peers.h"
#include "libs/proxy/upstream.h"

// Many requests at once for one endpoint: few connections are opened, and the requests wait for them in turn.

namespace weir::proxy {
namespace {

constexpr int kAtOnce = static_cast<int>(Pool::kConnectsAtOnce);
constexpr int kFew = kAtOnce + 12;  // What the pace lets through while the callers come, on a slow machine too.

// Stands before T2: lets the first connection through, and answers on it only while it is not paused. The others are
// accepted and never answered, so that their TLS handshake does not come to an end.
struct Gate {
  Gate(uint16_t to, int let_through)
      : backend([this, to, let_through](Conn& caller) {
          if (++seen > let_through) {
            while (caller.More()) {
            }
            return;
          }
          Relay(caller, to);
        }) {}
  ~Gate() { over = true; }

  void Relay(Conn& caller, uint16_t to) {
    Conn callee = Conn::To(to);
    char buffer[16384];
    while (!over) {
      pollfd wait[2] = {{caller.fd(), POLLIN, 0}, {paused ? -1 : callee.fd(), POLLIN, 0}};
      if (poll(wait, 2, 10) < 0) return;
      for (Conn* from : {&caller, &callee}) {
        if (wait[from == &callee].revents == 0) continue;
        const ssize_t got = recv(from->fd(), buffer, sizeof buffer, 0);
        if (got <= 0) return;
        Conn& other = from == &caller ? callee : caller;
        if (!other.Send({buffer, static_cast<size_t>(got)})) return;
      }
    }
  }
  void AwaitConnections(int count) {
    EXPECT_TRUE(Eventually([&] { return backend.connections >= count; })) << backend.connections;
  }

  std::atomic<int> seen{0};
  std::atomic<bool> paused{false}, over{false};
  Backend backend;
};

class PoolTest : public TlsTest {
 protected:
  void SetUp() override { Run(kT1, kT2, kT1, "a.example"); }
  void Serve(std::vector<Locality> localities, std::chrono::milliseconds connect_timeout) {
    Config config(std::move(localities));
    config.destination->tls = UpstreamTls{"a.example", {}};
    config.destination->connect_timeout = connect_timeout;
    ASSERT_TRUE(ApplyAndWait(t1, config.Build()).ok());
  }
  // A caller whose first request has been answered: its upstream connection is idle now.
  Conn Served() {
    Conn caller = Conn::To(t1.Port("public"));
    caller.Send(kGet);
    EXPECT_EQ(Response(caller).second, "secret");
    return caller;
  }
  std::vector<Conn> Callers(int count) {
    std::vector<Conn> callers;
    for (int i = 0; i < count; ++i) {
      callers.push_back(Conn::To(t1.Port("public")));
      callers.back().Send(kGet);
    }
    return callers;
  }
};

TEST_F(PoolTest, RequestsWaitInTurnForAConnectionThatIsFreed) {
  Gate gate(t2.Port("public"), 1);
  Serve({At("c1", 1, {gate.backend.port}, kT2)}, 20s);
  Conn first = Served();
  gate.paused = true;
  std::vector<Conn> callers = Callers(50);
  gate.AwaitConnections(kAtOnce);
  gate.paused = false;
  for (Conn& caller : callers) EXPECT_EQ(Response(caller).second, "secret");
  EXPECT_LT(gate.backend.connections, kFew);
  EXPECT_EQ(t1.GetStats().upstream_connections, static_cast<uint64_t>(gate.backend.connections));
}

// A thread that had no time sees its timers late and what has arrived unread: one more moment tells silence from that.
TEST_F(PoolTest, AThreadThatStoodStillDoesNotTakeItForTheSilenceOfItsPeer) {
  ManualClock clock;
  Options options;
  options.clock = &clock;
  Engine late;
  ASSERT_TRUE(late.Start(options).ok());
  ASSERT_TRUE(late.SetIdentity(IdentityOf(root_, kT1)).ok());
  for (const bool answers : {true, false}) {
    Gate gate(t2.Port("public"), answers ? 1 : 0);
    gate.paused = true;
    Config config({At("c1", 1, {gate.backend.port}, kT2)});
    config.destination->tls = UpstreamTls{"a.example", {}};
    config.destination->connect_timeout = 500ms;
    ASSERT_TRUE(ApplyAndWait(late, config.Build()).ok());
    Conn caller = Conn::To(late.Port("public"));
    caller.Send(kGet);
    gate.AwaitConnections(1);
    clock.Advance(5s);
    EXPECT_EQ(late.GetStats().upstream_connect_failures, 0u);
    gate.paused = false;
    if (!answers) Pass(clock, {&late}, 1s);
    const auto [head, body] = Response(caller);
    EXPECT_EQ(answers ? body : Header(head, "x-weir-reason"), answers ? "secret" : "connect_failed");
  }
}

TEST_F(PoolTest, RequestsThatWaitInVainGoElsewhereTogether) {
  Gate gate(t2.Port("public"), 0);
  Serve({At("c1", 1, {gate.backend.port}, kT2), At("c2", 0, {t2.Port("public")}, kT2)}, 500ms);
  std::vector<Conn> callers = Callers(50);
  for (Conn& caller : callers) EXPECT_EQ(Response(caller).second, "secret");
  EXPECT_LT(gate.backend.connections, kFew);
  EXPECT_EQ(t1.GetStats().retries, 50u);
}

// A lost packet, or a full backlog: while the endpoint answers on other connections, that proves nothing against it.
TEST_F(PoolTest, AConnectWithoutAnswerBesideAnswersTakesNobodyOut) {
  Gate gate(t2.Port("public"), 1);
  Serve({At("c1", 1, {gate.backend.port}, kT2), At("c2", 0, {t2.Port("public")}, kT2)}, 300ms);
  Conn first = Served();
  std::atomic<bool> over{false};
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&] {
      Conn conn = Conn::To(t1.Port("public"));
      while (!over) {
        conn.Send(kGet);
        EXPECT_EQ(Response(conn).second, "secret");
      }
    });
  }
  Eventually([&] { return t1.GetStats().upstream_connect_failures >= 3; });
  over = true;
  for (std::thread& caller : callers) caller.join();
  EXPECT_GE(t1.GetStats().upstream_connect_failures, 3u);
  EXPECT_EQ(t1.GetStats().retries, 0u);
}

TEST_F(PoolTest, ACallerThatLeavesTheQueueIsNotServed) {
  Gate gate(t2.Port("public"), 1);
  Serve({At("c1", 1, {gate.backend.port}, kT2)}, 20s);
  Conn first = Served();
  gate.paused = true;
  first.Send(kGet);
  {
    const std::vector<Conn> gone = Callers(20);
    gate.AwaitConnections(kAtOnce);
  }
  std::vector<Conn> callers = Callers(1);
  ASSERT_TRUE(Eventually([&] { return t1.GetStats().requests_in_flight <= 2; }));
  gate.paused = false;
  EXPECT_EQ(Response(first).second, "secret");
  EXPECT_EQ(Response(callers[0]).second, "secret");
  MutexLock lock(echo.mutex);
  EXPECT_EQ(echo.heads.size(), 3u);
}

}  // namespace
}  // namespace weir::proxy
