#include <functional>

#include "libs/proxy/engine.h"
#include "libs/proxy/engine_test_peers.h"

// Who can serve: real T1 and T2 engines over TLS, with backends that die, fall ill and freeze.

namespace weir::proxy {
namespace {

// An app with a health page.
struct Pod {
  explicit Pod(std::string name)
      : backend([this, name](Conn& conn) {
          while (true) {
            const std::string head = conn.TakeHead();
            if (head.empty()) return;
            const bool check = head.starts_with("GET /healthz ");
            const std::string text = check ? "" : name;
            const char* status = check && !healthy ? "503 Ill" : "200 OK";
            if (head.starts_with("POST")) conn.Take(std::stoul(Header(head, "Content-Length")));
            if (!conn.Send(fmt::format("HTTP/1.1 {}\r\ncontent-length: {}\r\n\r\n{}", status, text.size(), text))) {
              return;
            }
          }
        }) {}
  std::atomic<bool> healthy{true};
  Backend backend;
};

constexpr char kT1[] = "spiffe://edge.acme/ns/t1/sa/t1";
const char* const kT2[] = {"spiffe://c1.acme/ns/t2/sa/t2", "spiffe://c2.acme/ns/t2/sa/t2"};

class HealthTest : public testing::Test {
 protected:
  enum class Digest { kOffered, kNamed404, kNoName };

  static HealthCheck Check(std::string path) {
    HealthCheck check;
    check.path = std::move(path);
    check.interval = 100ms;
    check.timeout = 400ms;
    return check;
  }
  // T2 number `i`, its host's pods at `ports`.
  std::shared_ptr<const Snapshot> Tier2(int i, std::vector<uint16_t> ports, Digest digest, uint16_t port = 0) {
    Config config({At("pods", 1, std::move(ports))});
    config.tls = DownstreamTls{true, {{kT1, false}}};
    config.server_names = {"a.example"};
    config.port = port;
    config.cluster->check = Check("/healthz");
    config.cluster->hold = 10s;  // A set of one cluster must not suffer from it.
    auto built = std::make_shared<Snapshot>(*config.Build());
    if (digest == Digest::kNoName) return built;
    auto listener = std::make_shared<Listener>(*built->listeners.front());
    Config none({});
    none.actions[0].cluster.clear();
    none.actions[0].direct_response = DirectResponse{404, ""};
    listener->chains.push_back({"weir.health",
                                {fmt::format("health.c{}.acme", i + 1)},
                                config.tls,
                                none.BuildRoutes(),
                                digest == Digest::kOffered});
    built->listeners = {listener};
    return built;
  }
  void StartTier2(int i, std::vector<uint16_t> ports, Digest digest = Digest::kOffered, uint16_t port = 0) {
    t2[i] = std::make_unique<Engine>();
    ASSERT_TRUE(t2[i]->Start({}).ok());
    ASSERT_TRUE(t2[i]->SetIdentity(IdentityOf(root, kT2[i])).ok());
    const Status status = ApplyAndWait(*t2[i], Tier2(i, std::move(ports), digest, port));
    ASSERT_TRUE(status.ok()) << status.error().ToString();
    port_of[i] = t2[i]->Port("public");
  }
  std::shared_ptr<const Snapshot> Tier1() {
    Config config({At("c1", 1, {port_of[0]}, kT2[0]), At("c2", 1, {port_of[1]}, kT2[1])});
    config.cluster->tls = UpstreamTls{"a.example", {}};
    config.cluster->digest = true;
    config.cluster->check = Check("/.weir/health");
    config.cluster->hold = hold;
    config.cluster->slow_return = slow_return;
    return config.Build();
  }
  void StartTier1() {
    Options options;
    options.workers = 2;
    ASSERT_TRUE(t1.Start(options).ok());
    ASSERT_TRUE(t1.SetIdentity(IdentityOf(root, kT1)).ok());
    ASSERT_TRUE(ApplyAndWait(t1, Tier1()).ok());
  }
  void StartAll(Digest digest = Digest::kOffered) {
    StartTier2(0, {pod[0].backend.port}, digest);
    StartTier2(1, {pod[1].backend.port}, digest);
    StartTier1();
    ASSERT_TRUE(Eventually(3s, [&] { return Proven("c1") && Proven("c2"); }));
  }

  LocalityHealthReport Of(const std::string& cluster) {
    for (const SetHealthReport& set : t1.Health()) {
      for (const LocalityHealthReport& one : set.localities) {
        if (one.cluster == cluster) return one;
      }
    }
    return {};
  }
  bool Proven(const std::string& cluster) {
    const LocalityHealthReport report = Of(cluster);
    return report.can_serve && !report.evidence.empty() && report.evidence[0].healthy &&
           !report.evidence[0].text.empty();
  }
  bool Out(const std::string& cluster, std::string_view reason) {
    const LocalityHealthReport report = Of(cluster);
    return !report.can_serve && report.reason == reason;
  }
  static bool Eventually(std::chrono::milliseconds within, const std::function<bool()>& holds) {
    const auto until = std::chrono::steady_clock::now() + within;
    while (!holds()) {
      if (std::chrono::steady_clock::now() > until) return false;
      std::this_thread::sleep_for(5ms);
    }
    return true;
  }
  // Asks `n` times; how often each answered. A failed request is counted under its status line.
  std::map<std::string, int> Ask(int n) {
    std::map<std::string, int> answers;
    Conn conn = Conn::To(t1.Port("public"));
    for (int i = 0; i < n; ++i) {
      conn.Send(kGet);
      const auto [head, body] = Response(conn);
      ++answers[head.starts_with("HTTP/1.1 200") ? body : head.substr(0, head.find('\r'))];
      if (head.empty()) conn = Conn::To(t1.Port("public"));
    }
    return answers;
  }
  // Callers that ask all the time until stopped.
  struct Load {
    explicit Load(uint16_t port) {
      for (int i = 0; i < 4; ++i) {
        callers.emplace_back([this, port] {
          Conn conn = Conn::To(port);
          while (!stop) {
            const auto began = std::chrono::steady_clock::now();
            conn.Send(kGet);
            const auto [head, body] = Response(conn);
            if (!head.starts_with("HTTP/1.1 200")) {
              ++failed;
              conn = Conn::To(port);
            }
            ++asked;
            const auto took =
                std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began);
            int64_t before = slowest;
            while (before < took.count() && !slowest.compare_exchange_weak(before, took.count())) {
            }
          }
        });
      }
    }
    ~Load() { End(); }
    void End() {
      stop = true;
      for (auto& caller : callers) caller.join();
      callers.clear();
    }
    std::atomic<bool> stop{false};
    std::atomic<int> asked{0}, failed{0};
    std::atomic<int64_t> slowest{0};
    std::vector<std::thread> callers;
  };

  identity::Authority root = *identity::NewRoot("test root");
  std::chrono::milliseconds hold{10'000}, slow_return{10'000};
  Pod pod[2] = {Pod("1"), Pod("2")};
  std::unique_ptr<Engine> t2[2];
  uint16_t port_of[2] = {0, 0};
  Engine t1;
};

TEST_F(HealthTest, SplitsWhileEverybodyIsWell) {
  StartAll();
  EXPECT_EQ(Ask(100), (std::map<std::string, int>{{"1", 50}, {"2", 50}}));
  EXPECT_EQ(Of("c1").evidence[0].source, "digest");
  EXPECT_EQ(Of("c1").reason, "");
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
  std::this_thread::sleep_for(50ms);
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
  const auto down = std::chrono::steady_clock::now();
  pod[0].healthy = true;
  ASSERT_TRUE(Eventually(2s, [&] { return Out("c1", "held"); }));
  ASSERT_TRUE(Eventually(3s, [&] { return Of("c1").can_serve; }));
  EXPECT_GE(std::chrono::steady_clock::now() - down, 500ms);
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
  auto cluster = std::make_shared<Cluster>(*snapshot->clusters["backend"]);
  cluster->localities[0].drained = true;
  snapshot->clusters["backend"] = cluster;
  ASSERT_TRUE(ApplyAndWait(t1, snapshot).ok());
  EXPECT_EQ(Ask(20), (std::map<std::string, int>{{"2", 20}}));
  EXPECT_TRUE(Out("c1", "drained"));
  ASSERT_TRUE(ApplyAndWait(t1, Tier1()).ok());
  ASSERT_TRUE(Eventually(1s, [&] { return Ask(20) == std::map<std::string, int>{{"1", 10}, {"2", 10}}; }));
}

TEST_F(HealthTest, FindsAClosedPortBeforeARequestDoes) {
  Config config({At("dead", 3, {ClosedPort()}), At("alive", 1, {pod[0].backend.port})});
  config.cluster->check = Check("");
  config.cluster->check->kind = HealthCheck::Kind::kTcp;
  ASSERT_TRUE(t1.Start({}).ok());
  ASSERT_TRUE(ApplyAndWait(t1, config.Build()).ok());
  ASSERT_TRUE(Eventually(2s, [&] { return Out("dead", "no_endpoint") && Proven("alive"); }));
  EXPECT_EQ(Ask(20), (std::map<std::string, int>{{"1", 20}}));
  EXPECT_EQ(t1.GetStats().retries, 0u);
}

TEST_F(HealthTest, FollowsFailedRequestsWhereNothingIsChecked) {
  Config config({At("dead", 1, {ClosedPort()}), At("alive", 1, {pod[0].backend.port})});
  ASSERT_TRUE(t1.Start({}).ok());
  ASSERT_TRUE(ApplyAndWait(t1, config.Build()).ok());
  EXPECT_EQ(Ask(20), (std::map<std::string, int>{{"1", 20}}));
  EXPECT_LE(t1.GetStats().retries, 2u);
  EXPECT_TRUE(Out("dead", "no_endpoint"));
  EXPECT_EQ(Of("dead").evidence[0].source, "connect");
  // Tried again later: a hint is not proof.
  EXPECT_TRUE(Eventually(3s, [&] { return Of("dead").can_serve; }));
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
  EXPECT_EQ(Ask(20), (std::map<std::string, int>{{"2", 20}}));
}

TEST_F(HealthTest, TellsNobodyOutside) {
  StartAll();
  Conn conn = Conn::To(t1.Port("public"));
  conn.Send("GET /.weir/health HTTP/1.1\r\nHost: a.example\r\n\r\n");
  EXPECT_TRUE(Response(conn).first.starts_with("HTTP/1.1 404"));
}

}  // namespace
}  // namespace weir::proxy
