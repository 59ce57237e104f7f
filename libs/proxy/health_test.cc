#include <algorithm>

#include "libs/proxy/health_test_tiers.h"

// Who can serve: real T1 and T2 engines over TLS, with backends that die, fall ill and freeze.

namespace weir::proxy {
namespace {

TEST_F(HealthTest, SplitsWhileEverybodyIsWell) {
  StartAll();
  EXPECT_EQ(Ask(100), (std::map<std::string, int>{{"1", 50}, {"2", 50}}));
  EXPECT_EQ(Of("c1").evidence[0].source, "digest");
  EXPECT_EQ(Of("c1").reason, "");
}

TEST_F(HealthTest, TellsOnceWhatChanged) {
  StartAll();
  HealthChanges news = t1.TakeHealthChanges(true);
  ASSERT_TRUE(news.answered);
  EXPECT_TRUE(news.whole);
  ASSERT_EQ(news.sets.size(), 1u);
  // What belongs to the start may still come.
  ASSERT_TRUE(Eventually(3s, [&] {
    news = t1.TakeHealthChanges(false);
    return news.answered && news.sets.empty();
  }));
  t2[0].reset();
  ASSERT_TRUE(Eventually(3s, [&] {
    for (const SetHealthReport& set : t1.TakeHealthChanges(false).sets) {
      for (const LocalityHealthReport& one : set.localities) {
        if (one.cluster == "c1" && !one.can_serve) return true;
      }
    }
    return false;
  }));
  EXPECT_EQ(t1.TakeHealthChanges(true).sets.size(), 1u);
}
TEST_F(HealthTest, MovesTheShareWhenThePodsBehindATier2FallIll) {
  StartAll();
  Load load(t1.Port("public"));
  pod[0].healthy = false;
  ASSERT_TRUE(Eventually(2s, [&] { return Out("c1", "no_endpoint"); }));
  EXPECT_EQ(Ask(50), (std::map<std::string, int>{{"2", 50}}));
  load.End();
  EXPECT_EQ(load.failed, 0);
  EXPECT_GT(load.asked, 0);
}

TEST_F(HealthTest, MovesTheShareWhenATier2IsKilled) {
  StartAll();
  Load load(t1.Port("public"));
  t2[0].reset();
  ASSERT_TRUE(Eventually(2s, [&] { return Out("c1", "gateways_down"); }));
  EXPECT_EQ(Ask(50), (std::map<std::string, int>{{"2", 50}}));
  load.End();
  EXPECT_EQ(load.failed, 0);
}

TEST_F(HealthTest, FreesWhatWaitsOnAFrozenTier2AndTakesItBack) {
  hold = 300ms;
  slow_return = 200ms;
  StartAll();
  std::vector<Conn> posts;
  for (int i = 0; i < 4; ++i) {
    posts.push_back(Conn::To(t1.Port("public")));
    for (int j = 0; j < 2; ++j) {
      posts.back().Send(kGet);
      Response(posts.back());
    }
  }
  std::promise<void> frozen, go;
  const auto thaw = go.get_future().share();
  t2[0]->Apply(Tier2(0, {pod[0].backend.port}, Digest::kOffered), [&frozen, thaw](const Status&) {
    frozen.set_value();
    thaw.wait();  // On the only worker: nothing is accepted, read or answered.
  });
  frozen.get_future().wait();
  // Of four requests on two workers at least one is sent to the frozen one, over a connection that stood before.
  for (Conn& post : posts) post.Send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\nx");
  Load load(t1.Port("public"));
  int told = 0;
  for (Conn& post : posts) {
    const std::string head = Response(post).first;
    if (head.starts_with("HTTP/1.1 200")) continue;
    ++told;
    EXPECT_TRUE(head.starts_with("HTTP/1.1 502")) << head;  // It may have been executed.
    EXPECT_EQ(Header(head, "retry-after"), "");
    EXPECT_NE(Header(head, "x-weir-reason"), "");
  }
  EXPECT_GT(told, 0);
  ASSERT_TRUE(Eventually(5s, [&] { return Out("c1", "gateways_down"); }));
  EXPECT_TRUE(Eventually(5s, [&load, asked = load.asked + 20] { return load.asked > asked; }));
  load.End();
  go.set_value();
  EXPECT_EQ(load.failed, 0);
  EXPECT_LE(load.slowest, 4'000);  // 2.5 s, and this machine.
  EXPECT_TRUE(Eventually(5s, [&] { return Of("c1").can_serve && Of("c1").reason.empty(); }));
}

TEST_F(HealthTest, HoldsAndReturnsSlowly) {
  hold = 600ms;
  slow_return = 1'000ms;
  StartAll();
  pod[0].healthy = false;
  ASSERT_TRUE(Eventually(2s, [&] { return Out("c1", "no_endpoint"); }));
  const Stopwatch down;
  pod[0].healthy = true;
  ASSERT_TRUE(Eventually(2s, [&] { return Out("c1", "held"); }));
  ASSERT_TRUE(Eventually(3s, [&] { return Of("c1").can_serve; }));
  EXPECT_GE(down.Elapsed(), 500ms);
  std::map<uint32_t, int> steps;
  ASSERT_TRUE(Eventually(3s, [&] { return ++steps[Of("c1").returning] > 0 && steps.contains(10); }));
  EXPECT_GE(steps.size(), 3u);  // Not all at once.
  ASSERT_TRUE(Eventually(2s, [&] { return Ask(100) == std::map<std::string, int>{{"1", 50}, {"2", 50}}; }));
}

TEST_F(HealthTest, ServesFromWhoIsHeldWhenNobodyElseCan) {
  StartAll();
  pod[0].healthy = pod[1].healthy = false;
  ASSERT_TRUE(Eventually(2s, [&] { return Out("c1", "no_endpoint") && Out("c2", "no_endpoint"); }));
  Conn conn = Conn::To(t1.Port("public"));
  conn.Send(kGet);
  const std::string head = Response(conn).first;
  EXPECT_TRUE(head.starts_with("HTTP/1.1 503")) << head;
  EXPECT_EQ(Header(head, "x-weir-reason"), "no_cluster_can_serve");
  EXPECT_EQ(Header(head, "retry-after"), "1");
  pod[1].healthy = true;
  ASSERT_TRUE(Eventually(2s, [&] { return Of("c2").can_serve; }));
  EXPECT_EQ(Ask(20), (std::map<std::string, int>{{"2", 20}}));
}

TEST_F(HealthTest, AsksByChecksWhereThereIsNoDigest) {
  hold = slow_return = 0ms;
  for (const Digest digest : {Digest::kNamed404, Digest::kNoName}) {
    pod[0].healthy = true;
    StartTier2(0, {pod[0].backend.port}, digest);
    StartTier2(1, {pod[1].backend.port}, digest);
    if (digest == Digest::kNamed404) {
      StartTier1();
    } else {
      ASSERT_TRUE(ApplyAndWait(t1, Tier1()).ok());
    }
    ASSERT_TRUE(Eventually(3s, [&] { return Of("c1").can_serve && Of("c1").evidence[0].text == "status 200"; }));
    EXPECT_EQ(Of("c1").evidence[0].source, "check");
    pod[0].healthy = false;
    ASSERT_TRUE(Eventually(3s, [&] { return !Of("c1").can_serve; }));
    EXPECT_EQ(Ask(20), (std::map<std::string, int>{{"2", 20}}));
  }
}

TEST_F(HealthTest, KeepsWhatItKnowsOverNewSnapshots) {
  StartAll();
  pod[0].healthy = false;
  ASSERT_TRUE(Eventually(2s, [&] { return Out("c1", "no_endpoint"); }));
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(ApplyAndWait(t1, Tier1()).ok());
    ASSERT_EQ(Ask(4), (std::map<std::string, int>{{"2", 4}}));
    ASSERT_TRUE(Out("c1", "no_endpoint"));
  }
}

TEST_F(HealthTest, LetsADrainingTier2GoWithoutAnError) {
  StartAll();
  Load load(t1.Port("public"));
  t2[0]->Drain();
  ASSERT_TRUE(Eventually(2s, [&] { return Out("c1", "gateways_down"); }));
  EXPECT_EQ(Ask(20), (std::map<std::string, int>{{"2", 20}}));
  load.End();
  EXPECT_EQ(load.failed, 0);
}

TEST_F(HealthTest, TakesALateTier2WithoutHold) {
  StartTier2(0, {pod[0].backend.port});
  t2[0].reset();  // Its port stays free for it.
  StartTier2(1, {pod[1].backend.port});
  StartTier1();
  ASSERT_TRUE(Eventually(2s, [&] { return Out("c1", "gateways_down"); }));
  EXPECT_EQ(Ask(20), (std::map<std::string, int>{{"2", 20}}));
  StartTier2(0, {pod[0].backend.port}, Digest::kOffered, port_of[0]);
  ASSERT_TRUE(Eventually(3s, [&] { return Of("c1").can_serve; }));
  EXPECT_EQ(Of("c1").returning, 10u);
  EXPECT_EQ(Ask(100), (std::map<std::string, int>{{"1", 50}, {"2", 50}}));
}

TEST_F(HealthTest, LeavesADrainedClusterAlone) {
  StartAll();
  auto snapshot = std::make_shared<Snapshot>(*Tier1());
  auto destination = std::make_shared<DestinationSet>(*snapshot->destination_sets["backend"]);
  destination->localities[0].drained = true;
  snapshot->destination_sets["backend"] = destination;
  const auto before = Of("c2").since;
  ASSERT_TRUE(ApplyAndWait(t1, snapshot).ok());
  EXPECT_EQ(Ask(20), (std::map<std::string, int>{{"2", 20}}));
  EXPECT_TRUE(Out("c1", "drained"));
  const auto drained = Of("c1").since;
  EXPECT_GT(drained, before) << "since it was drained, not since it was last ill";
  ASSERT_TRUE(ApplyAndWait(t1, Tier1()).ok());
  ASSERT_TRUE(Eventually(1s, [&] { return Ask(20) == std::map<std::string, int>{{"1", 10}, {"2", 10}}; }));
  EXPECT_GT(Of("c1").since, drained);
  EXPECT_LT(Of("c2").since, drained) << "of it nothing has changed";
}

TEST_F(HealthTest, FindsAClosedPortBeforeARequestDoes) {
  Config config({At("dead", 3, {ClosedPort()}), At("alive", 1, {pod[0].backend.port})});
  config.destination->check = Check("");
  config.destination->check->kind = HealthCheck::Kind::kTcp;
  ASSERT_TRUE(t1.Start({}).ok());
  ASSERT_TRUE(ApplyAndWait(t1, config.Build()).ok());
  ASSERT_TRUE(Eventually(2s, [&] { return Out("dead", "no_endpoint") && Proven("alive"); }));
  EXPECT_EQ(Ask(20), (std::map<std::string, int>{{"1", 20}}));
  EXPECT_EQ(t1.GetStats().retries, 0u);
}

TEST_F(HealthTest, FollowsFailedRequestsWhereNothingIsChecked) {
  Config config({At("dead", 1, {ClosedPort()}), At("alive", 1, {pod[0].backend.port})});
  Options options;
  options.clock = &clock;
  ASSERT_TRUE(t1.Start(options).ok());
  ASSERT_TRUE(ApplyAndWait(t1, config.Build()).ok());
  EXPECT_EQ(Ask(20), (std::map<std::string, int>{{"1", 20}}));
  EXPECT_LE(t1.GetStats().retries, 2u);
  EXPECT_TRUE(Out("dead", "no_endpoint"));
  EXPECT_EQ(Of("dead").evidence[0].source, "connect");
  // Tried again later: a hint is not proof.
  Pass(clock, {&t1}, 10s);
  EXPECT_TRUE(Of("dead").can_serve);
}

TEST_F(HealthTest, TellsNothingMoreToWhomItMayNotTellAnyMore) {
  StartAll();
  auto changed = std::make_shared<Snapshot>(*Tier2(0, {pod[0].backend.port}, Digest::kOffered));
  auto listener = std::make_shared<Listener>(*changed->listeners.front());
  ASSERT_TRUE(listener->chains.back().health_digest);
  listener->chains.back().tls->allowed_uris = {{"spiffe://edge.acme/ns/t1/sa/another", false}};
  changed->listeners = {listener};
  ASSERT_TRUE(ApplyAndWait(*t2[0], changed).ok());
  EXPECT_TRUE(Eventually(3s, [&] { return Out("c1", "gateways_down"); }));
  EXPECT_TRUE(Eventually(3s, [&] { return Proven("c1"); })) << "then it is asked by checks, as one without a digest";
}

TEST_F(HealthTest, TellsNobodyOutside) {
  StartAll();
  Conn conn = Conn::To(t1.Port("public"));
  conn.Send("GET /.weir/health HTTP/1.1\r\nHost: a.example\r\n\r\n");
  EXPECT_TRUE(Response(conn).first.starts_with("HTTP/1.1 404"));
}

// ---- By hand: how long a hold and a return last, to the tick

// Two clusters behind TCP checks, which the kernel answers as long as a port listens.
class HoldTest : public EngineTest {
 protected:
  void StartHeld(std::chrono::milliseconds hold, std::chrono::milliseconds slow_return) {
    Config config({At("c1", 1, {*net::BoundPort(door_.get())}), At("c2", 1, {other_.backend.port})});
    config.destination->check = HealthCheck{};
    config.destination->check->kind = HealthCheck::Kind::kTcp;
    config.destination->check->interval = 100ms;
    config.destination->check->timeout = 60s;
    config.destination->hold = hold;
    config.destination->slow_return = slow_return;
    StartByHand(config);
    ASSERT_TRUE(Eventually([&] {
      Pass(50ms);
      return State().empty() && !First().evidence.at(0).text.empty();
    }));
  }
  LocalityHealthReport First() { return engine.Health().at(0).localities.at(0); }
  std::string State() {
    const LocalityHealthReport report = First();
    return report.can_serve ? "" : report.reason;
  }
  // Until c1's state is `state`; how long that took. What the kernel has to answer may take longer than it should.
  std::chrono::milliseconds PassUntil(const std::string& state) {
    std::chrono::milliseconds passed{0};
    EXPECT_TRUE(Eventually([&] {
      if (State() == state) return true;
      Pass(50ms);
      passed += 50ms;
      return false;
    })) << State();
    return passed;
  }
  // The port closes, and opens again as soon as that is known.
  void Blink() {
    const uint16_t port = *net::BoundPort(door_.get());
    door_ = net::Fd();
    PassUntil("no_endpoint");
    door_ = std::move(*net::ListenShared(*net::Address::Parse("127.0.0.1", port)));
  }

  net::Fd door_ = std::move(*net::ListenShared(*net::Address::Parse("127.0.0.1", 0)));
  Echo other_{"2"};
};

TEST_F(HoldTest, WhoWasDownStaysOutForTheHoldAndTakesItsShareBackInSteps) {
  StartHeld(10s, 20s);
  Blink();
  const auto well = PassUntil("held");
  EXPECT_GE(well + PassUntil(""), 9'900ms);
  std::map<uint32_t, std::chrono::milliseconds> steps;
  for (std::chrono::milliseconds passed{0}; passed < 25s; passed += 100ms, Pass(100ms)) {
    steps.emplace(First().returning, passed);
  }
  ASSERT_EQ(steps.size(), 10u);
  EXPECT_GE(steps.at(10), 17s);
  EXPECT_TRUE(
      std::is_sorted(steps.begin(), steps.end(), [](const auto& a, const auto& b) { return a.second < b.second; }));
  EXPECT_EQ(State(), "");
}

TEST_F(HoldTest, WithoutAHoldItIsBackAtOnce) {
  StartHeld(0s, 0s);
  Blink();
  PassUntil("");
  EXPECT_EQ(First().returning, traffic::Candidate::kFull);
}

}  // namespace
}  // namespace weir::proxy
