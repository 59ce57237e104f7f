#include <fcntl.h>
#include <sys/resource.h>

#include <set>

#include "libs/base/descriptors.h"
#include "libs/proxy/health_test_tiers.h"
#include "libs/proxy/plan.h"

// Evidence names who failed: what an application answers, what a pod leaves unanswered and what this process lacks
// never takes a cluster from its callers; one dead rule never takes a host.

namespace weir::proxy {
namespace {

using Answers = std::map<std::string, int>;

std::string Get(const std::string& path) { return "GET " + path + " HTTP/1.1\r\nHost: a.example\r\n\r\n"; }

class EvidenceTest : public HealthTest {
 protected:
  // Asks for `path` `n` times; how often each pod answered. A failed request is counted under its status.
  Answers AskFor(const std::string& path, int n) {
    Answers answers;
    Conn conn = Conn::To(t1.Port("public"));
    for (int i = 0; i < n; ++i) {
      conn.Send(Get(path));
      const auto [head, body] = Response(conn);
      ++answers[head.starts_with("HTTP/1.1 200") ? body : head.substr(0, head.find('\r'))];
      if (head.empty() || Header(head, "connection") == "close") conn = Conn::To(t1.Port("public"));
    }
    return answers;
  }
};

// One caller asks for failures by turns, so that the schedule deals all of them to one cluster; others must not notice.
TEST_F(EvidenceTest, WhatAnApplicationAnswersMovesNoShare) {
  StartAll();
  for (const std::string path : {"/says/502", "/says/503", "/says/504", "/says/nothing"}) {
    Conn conn = Conn::To(t1.Port("public"));
    for (int i = 0; i < 10; ++i) {
      conn.Send("POST " + path + " HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n");
      conn.Send(Get(path));
      Response(conn);
      Response(conn);
      EXPECT_EQ(Ask(6), (Answers{{"1", 3}, {"2", 3}})) << path;
    }
    for (const char* cluster : {"c1", "c2"}) {
      EXPECT_EQ(Of(cluster).reason, "") << path;
      EXPECT_EQ(Of(cluster).evidence[0].source, "digest") << path;
    }
  }
}

TEST_F(EvidenceTest, ARowOfAnswersThatNobodyElseInterruptsMovesNoShareEither) {
  StartAll();
  for (const std::string path : {"/says/502", "/says/503", "/says/504", "/says/nothing"}) {
    AskFor(path, 20);
    EXPECT_EQ(Ask(60), (Answers{{"1", 30}, {"2", 30}})) << path;
  }
}

TEST_F(EvidenceTest, AnAnswerThatBreaksOffMovesNoShare) {
  Backend half([](Conn& conn) {
    while (true) {
      const std::string head = conn.TakeHead();
      if (head.empty()) return;
      const bool whole = !head.starts_with("GET /half");
      conn.Send(whole ? "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1"
                      : "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n1");
      if (!whole) return;
    }
  });
  StartTier2(0, {half.port});
  StartTier2(1, {pod[1].backend.port});
  StartTier1();
  ASSERT_TRUE(Eventually(3s, [&] { return Proven("c1") && Proven("c2"); }));
  for (int i = 0; i < 40; ++i) {
    Conn conn = Conn::To(t1.Port("public"));
    conn.Send("GET /half HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
    conn.ToEnd();
  }
  EXPECT_EQ(Of("c1").reason, "");
  EXPECT_EQ(Ask(40), (Answers{{"1", 20}, {"2", 20}}));
}

// ---- Rules of a host

class RulesTest : public EvidenceTest {
 protected:
  // As StartTier2, with a rule of its own for /beta, served by `beta`.
  void StartTwoRules(int i, std::vector<uint16_t> all, std::vector<uint16_t> beta) {
    t2[i] = std::make_unique<Engine>();
    ASSERT_TRUE(t2[i]->Start({}).ok());
    ASSERT_TRUE(t2[i]->SetIdentity(IdentityOf(root, kT2[i])).ok());
    auto built = std::make_shared<Snapshot>(*Tier2(i, std::move(all), Digest::kOffered));
    auto destination = std::make_shared<DestinationSet>(*built->destination_sets["backend"]);
    destination->name = "beta";
    destination->localities = {At("pods", 1, std::move(beta))};
    built->destination_sets["beta"] = destination;
    auto listener = std::make_shared<Listener>(*built->listeners.front());
    Config two({});
    two.rules = {{traffic::PathKind::kPathSeparated, "/beta", 1}, {traffic::PathKind::kPrefix, "/", 0}};
    two.actions.resize(2);
    two.actions[1].destination_set = "beta";
    listener->chains.front().routes = two.BuildRoutes();
    built->listeners = {listener};
    ASSERT_TRUE(ApplyAndWait(*t2[i], built).ok());
    port_of[i] = t2[i]->Port("public");
  }
  void StartWeighted(uint32_t first, uint32_t second) {
    ASSERT_TRUE(t1.Start({}).ok());
    ASSERT_TRUE(t1.SetIdentity(IdentityOf(root, kT1)).ok());
    auto snapshot = std::make_shared<Snapshot>(*Tier1());
    auto destination = std::make_shared<DestinationSet>(*snapshot->destination_sets["backend"]);
    destination->localities[0].weight = first;
    destination->localities[1].weight = second;
    snapshot->destination_sets["backend"] = destination;
    ASSERT_TRUE(ApplyAndWait(t1, snapshot).ok());
    ASSERT_TRUE(Eventually(3s, [&] { return Proven("c1") && Proven("c2"); }));
  }
};

TEST_F(RulesTest, ARuleThatOneClusterCannotServeLeavesItsShareOfTheOthersAlone) {
  StartTwoRules(0, {pod[0].backend.port}, {});
  StartTwoRules(1, {pod[1].backend.port}, {pod[1].backend.port});
  StartWeighted(90, 10);
  ASSERT_TRUE(Eventually(3s, [&] { return Of("c1").evidence[0].text == "cannot serve /beta*"; }));
  Answers all, beta;
  for (int round = 0; round < 20; ++round) {  // By turns: neither bends the other's shares.
    for (const auto& [who, count] : AskFor("/", 10)) all[who] += count;
    for (const auto& [who, count] : AskFor("/beta/x?q=/", 10)) beta[who] += count;
  }
  EXPECT_EQ(all, (Answers{{"1", 180}, {"2", 20}}));
  EXPECT_EQ(beta, (Answers{{"2", 200}}));
  EXPECT_EQ(AskFor("/betamax", 10), (Answers{{"1", 9}, {"2", 1}}));
  EXPECT_TRUE(Of("c1").can_serve);
  EXPECT_EQ(Of("c1").reason, "");
  EXPECT_EQ(t1.GetStats().retries, 0u);  // Known beforehand, not found out by each request.
}

TEST_F(RulesTest, ADeadRuleIsHeldAndReturnsSlowlyByItself) {
  hold = 500ms;
  slow_return = 500ms;
  Pod beta("b");
  StartTwoRules(0, {pod[0].backend.port}, {beta.backend.port});
  StartTwoRules(1, {pod[1].backend.port}, {pod[1].backend.port});
  StartWeighted(1, 1);
  Load load(t1.Port("public"));
  EXPECT_GT(AskFor("/beta", 20)["b"], 0);
  beta.healthy = false;
  ASSERT_TRUE(OnAllWorkers([&] { return AskFor("/beta", 10) == Answers{{"2", 10}}; }));
  EXPECT_TRUE(Of("c1").can_serve);
  beta.healthy = true;
  const Stopwatch back;
  ASSERT_TRUE(Eventually(5s, [&] { return AskFor("/beta", 20)["b"] >= 8; }));
  EXPECT_GE(back.Elapsed(), 500ms);
  load.End();
  EXPECT_EQ(load.failed, 0);
}

TEST_F(RulesTest, WhatNobodyCanServeIsSaidAndTheRestServed) {
  StartTwoRules(0, {pod[0].backend.port}, {});
  StartTwoRules(1, {pod[1].backend.port}, {});
  StartWeighted(1, 1);
  ASSERT_TRUE(Eventually(3s, [&] { return Of("c2").evidence[0].text == "cannot serve /beta*"; }));
  Conn conn = Conn::To(t1.Port("public"));
  conn.Send(Get("/beta"));
  const std::string head = Response(conn).first;
  EXPECT_TRUE(head.starts_with("HTTP/1.1 503")) << head;
  EXPECT_EQ(Header(head, "x-weir-reason"), "no_cluster_can_serve");
  EXPECT_EQ(AskFor("/", 20), (Answers{{"1", 10}, {"2", 10}}));
}

// Who asks by checks learns of the host as a whole: it serves while any rule can be served, and what reached nobody
// goes elsewhere.
TEST_F(RulesTest, AHostOfWhichAPartCanBeServedAnswersItsCheckWell) {
  StartTwoRules(0, {pod[0].backend.port}, {});
  StartTwoRules(1, {pod[1].backend.port}, {pod[1].backend.port});
  Config config({At("c1", 1, {port_of[0]}, kT2[0]), At("c2", 1, {port_of[1]}, kT2[1])});
  config.destination->tls = UpstreamTls{"a.example", {}};
  config.destination->check = Check("/.weir/health");
  ASSERT_TRUE(t1.Start({}).ok());
  ASSERT_TRUE(t1.SetIdentity(IdentityOf(root, kT1)).ok());
  ASSERT_TRUE(ApplyAndWait(t1, config.Build()).ok());
  ASSERT_TRUE(Eventually(3s, [&] { return Proven("c1") && Proven("c2"); }));
  EXPECT_EQ(AskFor("/", 20), (Answers{{"1", 10}, {"2", 10}}));
}

// ---- Pods behind one gateway

class ByHandTest : public EngineTest {
 protected:
  // Lets time pass until `holds`.
  template <typename Condition>
  bool PassUntil(const Condition& holds) {
    return Eventually([&] {
      Pass(50ms);
      return holds();
    });
  }
};

class PodsTest : public ByHandTest {
 protected:
  // Callers that ask all the time, each on a new connection.
  struct Callers {
    explicit Callers(uint16_t port) {
      for (int i = 0; i < 4; ++i) {
        threads.emplace_back([this, port] {
          while (!stop) {
            Conn conn = Conn::To(port);
            conn.Send(kGet);
            failed += !Response(conn).first.starts_with("HTTP/1.1 200");
            ++asked;
          }
        });
      }
    }
    ~Callers() {
      stop = true;
      for (auto& thread : threads) thread.join();
    }
    std::atomic<bool> stop{false};
    std::atomic<int> asked{0}, failed{0};
    std::vector<std::thread> threads;
  };
  static Answers Count(uint16_t port, int n, const std::string& path = "/") {
    Answers answers;
    Conn conn = Conn::To(port);
    for (int i = 0; i < n; ++i) {
      conn.Send(Get(path));
      const auto [head, body] = Response(conn);
      ++answers[head.starts_with("HTTP/1.1 200") ? body : head.substr(0, head.find('\r'))];
    }
    return answers;
  }
};

TEST_F(PodsTest, WhatWasNeverSentIsTriedAtEachLivingPod) {
  Echo alive("alive");
  Start(Config({At("pods", 1, {ClosedPort(), ClosedPort(), ClosedPort(), alive.backend.port})}));
  for (int i = 0; i < 8; ++i) {  // On connections of their own, as different callers do.
    Conn conn = Conn::To(port);
    conn.Send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\nx");
    EXPECT_EQ(Response(conn).second, "alivex") << i;
  }
}

TEST_F(PodsTest, WhatAPodAnswersLeavesItItsTurns) {
  Pod pod("a");
  Echo good("good");
  Start(Config({At("pods", 1, {pod.backend.port, good.backend.port})}));
  for (const std::string status : {"502", "503", "504"}) {
    EXPECT_EQ(Count(port, 40, "/says/" + status), (Answers{{"good", 20}, {"HTTP/1.1 " + status + " As Asked", 20}}));
  }
}

// A pod that takes requests and says nothing: one request finds it out, and nobody waits behind it.
TEST_F(PodsTest, ASilentPodCollectsNoRequestsAndIsTakenBackWhenItAnswers) {
  std::atomic<bool> silent{true};
  std::atomic<int> taken{0};
  Backend moody([&](Conn& conn) {
    while (!conn.TakeHead().empty()) {
      if (silent) {
        ++taken;
        conn.More();
        return;
      }
      conn.Send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nmoody");
    }
  });
  Echo good("good");
  Config config({At("pods", 1, {moody.port, good.backend.port})});
  config.actions[0].timeout = 1'200ms;
  config.destination->check = HealthCheck{};
  config.destination->check->kind = HealthCheck::Kind::kTcp;  // Which it passes.
  config.destination->check->timeout = 60s;
  StartByHand(config);
  auto callers = std::make_unique<Callers>(port);
  // 5 s, in which thousands could be asked: time passes only while somebody is answered.
  for (int tick = 0; tick < 100; ++tick) {
    const int before = callers->asked;
    EXPECT_TRUE(Eventually([&] { return callers->asked >= before + 3; }));
    Pass(50ms);
  }
  callers->stop = true;
  EXPECT_TRUE(PassUntil([&] { return engine.GetStats().requests_in_flight == 0; }));  // One may be with the silent one.
  // Of hundreds: those that were with it before the first was given up, then one at a time.
  EXPECT_GT(callers->asked, 200);
  EXPECT_GE(callers->failed, 1);
  EXPECT_LE(callers->failed, 10);
  EXPECT_LE(taken, 10);
  callers.reset();
  silent = false;
  Answers answers;
  EXPECT_TRUE(PassUntil([&] { return (answers = Count(port, 50))["moody"] >= 10; }));
  EXPECT_GE(answers["good"], 10);
}

TEST_F(PodsTest, TheBusierOfTwoGetsNoMore) {
  std::promise<void> go;
  const auto open = go.get_future().share();
  std::atomic<int> waiting{0};
  Backend slow([&](Conn& conn) {
    while (!conn.TakeHead().empty()) {
      ++waiting;
      open.wait();
      conn.Send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nslow");
    }
  });
  Echo fast("fast");
  Start(Config({At("pods", 1, {slow.port, fast.backend.port})}));
  std::vector<Conn> first;
  while (waiting == 0) {
    first.push_back(Conn::To(port));
    first.back().Send(kGet);
    pollfd answered{first.back().fd(), POLLIN, 0};
    ASSERT_TRUE(Eventually([&] { return waiting > 0 || poll(&answered, 1, 0) == 1; }));
  }
  EXPECT_EQ(Count(port, 200)["fast"] + waiting, 201);  // While it has one, the other that has none is chosen.
  EXPECT_EQ(waiting, 1);
  go.set_value();
  for (Conn& conn : first) Response(conn);
}

// ---- Nobody else can

TEST_F(EvidenceTest, WhoAnswersLastServesAtOnceWhenNobodyElseCan) {
  StartAll();
  pod[0].healthy = pod[1].healthy = false;
  ASSERT_TRUE(Eventually(2s, [&] { return Out("c1", "no_endpoint") && Out("c2", "no_endpoint"); }));
  // The app's check needs a hundred good answers 5 s apart from now on: too long for the only one.
  auto slow = std::make_shared<Snapshot>(*Tier2(0, {pod[0].backend.port}, Digest::kOffered));
  auto destination = std::make_shared<DestinationSet>(*slow->destination_sets["backend"]);
  destination->check->interval = 5'000ms;
  destination->check->up_after = 100;
  slow->destination_sets["backend"] = destination;
  ASSERT_TRUE(ApplyAndWait(*t2[0], slow).ok());
  pod[0].healthy = true;
  EXPECT_TRUE(Eventually(20s, [&] { return Ask(1) == Answers{{"1", 1}}; }));
}

TEST_F(EvidenceTest, WhoCameBackAMomentAgoTakesEverythingWhenTheOtherDies) {
  StartAll();
  pod[0].healthy = false;
  ASSERT_TRUE(Eventually(2s, [&] { return Out("c1", "no_endpoint"); }));
  pod[0].healthy = true;
  ASSERT_TRUE(Eventually(2s, [&] { return Out("c1", "held"); }));
  Load load(t1.Port("public"));
  pod[1].healthy = false;
  ASSERT_TRUE(Eventually(2s, [&] { return Of("c1").can_serve; }));
  EXPECT_EQ(Ask(20), (Answers{{"1", 20}}));
  load.End();
  EXPECT_EQ(load.failed, 0);
}

// ---- What must not be cut, and what must be found

TEST_F(EvidenceTest, ARequestUnderWayIsNotCutBecauseItsPodFellIll) {
  std::promise<void> go;
  const auto open = go.get_future().share();
  std::atomic<bool> ill{false};
  std::atomic<int> arrived{0};
  Backend app([&](Conn& conn) {
    while (true) {
      const std::string head = conn.TakeHead();
      if (head.empty()) return;
      if (head.starts_with("POST")) {
        conn.Take(std::stoul(Header(head, "Content-Length")));
        ++arrived;
        open.wait();
      }
      const char* status = head.starts_with("GET /healthz") && ill ? "503 Ill" : "200 OK";
      conn.Send(fmt::format("HTTP/1.1 {}\r\ncontent-length: 4\r\n\r\ndone", status));
    }
  });
  StartTier2(0, {app.port});
  StartTier2(1, {pod[1].backend.port});
  StartTier1();
  ASSERT_TRUE(Eventually(3s, [&] { return Proven("c1") && Proven("c2"); }));
  std::vector<Conn> posts;
  while (arrived == 0 && posts.size() < 8) {  // One of two in a row goes to c1, on each worker.
    posts.push_back(Conn::To(t1.Port("public")));
    posts.back().Send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\nx");
    Eventually(200ms, [&] { return arrived > 0; });
  }
  ASSERT_GT(arrived, 0);
  ill = true;
  ASSERT_TRUE(Eventually(3s, [&] { return Out("c1", "no_endpoint"); }));
  go.set_value();
  for (Conn& post : posts) EXPECT_TRUE(Response(post).first.starts_with("HTTP/1.1 200"));
}

TEST_F(EvidenceTest, AnAppThatServedAndClosesItsPortIsFoundByItsCheck) {
  auto app = std::make_unique<Pod>("x");
  Config config({At("c1", 1, {app->backend.port}), At("c2", 1, {pod[1].backend.port})});
  config.destination->check = Check("/healthz");
  config.destination->check->interval = 20s;    // The end of its connection is asked about at once,
  config.destination->check->down_after = 100;  // and a closed port is certain.
  ASSERT_TRUE(t1.Start({}).ok() && ApplyAndWait(t1, config.Build()).ok());
  ASSERT_TRUE(Eventually(3s, [&] { return Proven("c1") && Proven("c2"); }));
  app.reset();
  EXPECT_TRUE(Eventually(2s, [&] { return Out("c1", "no_endpoint") && t1.GetStats().requests == 0; }));
}

// ---- Descriptors

class DescriptorsTest : public ByHandTest {
 protected:
  void SetUp() override { getrlimit(RLIMIT_NOFILE, &before_); }
  void TearDown() override { setrlimit(RLIMIT_NOFILE, &before_); }
  static size_t NextDescriptor() {
    const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(fd);
    return static_cast<size_t>(fd);
  }
  void Allow(size_t descriptors) {
    rlimit limit = before_;
    limit.rlim_cur = descriptors;
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  }
  rlimit before_{};
};

TEST_F(DescriptorsTest, StartingRaisesTheSoftLimitToTheHardOne) {
  rlimit low = before_;
  low.rlim_cur = std::min<rlim_t>(512, before_.rlim_max);
  setrlimit(RLIMIT_NOFILE, &low);
  ASSERT_TRUE(engine.Start({}).ok());
  rlimit now{};
  getrlimit(RLIMIT_NOFILE, &now);
  EXPECT_EQ(now.rlim_cur, before_.rlim_max);
}

TEST_F(DescriptorsTest, CallersCannotTakeTheLastOnes) {
  Echo echo("ok");
  Start(Config({At("c1", 1, {echo.backend.port}), At("c2", 1, {echo.backend.port})}));
  Conn warm = Conn::To(port);
  warm.Send(kGet);
  EXPECT_EQ(Response(warm).second, "ok");
  std::vector<Conn> callers;
  for (int i = 0; i < 120; ++i) callers.push_back(Conn::To(port));
  ASSERT_TRUE(Eventually([&] { return engine.GetStats().connections_open == 121; }));
  // As many as those are, accepted or not, and some more; a third of all is kept.
  Allow((NextDescriptor() + 40) * 3 / 2);
  for (int i = 0; i < 120; ++i) callers.push_back(Conn::To(port));
  size_t open = 0;
  for (const Stopwatch watch; watch.Elapsed() < 500ms;) open = engine.GetStats().connections_open;
  EXPECT_LT(open, 241u);  // Some wait,
  EXPECT_GT(open, 20u);
  std::set<size_t> answered;
  for (size_t i = 0; i < callers.size(); ++i) {
    callers[i].Send(kGet);
    pollfd ready{callers[i].fd(), POLLIN, 0};
    if (poll(&ready, 1, 20) != 1) continue;
    answered.insert(i);
    EXPECT_EQ(Response(callers[i]).second, "ok");  // but whoever got in is served.
  }
  EXPECT_LT(answered.size(), callers.size());
  for (const size_t i : answered) callers[i] = Conn(-1);
  for (size_t i = 0; i < callers.size(); ++i) {
    if (!answered.contains(i)) {
      EXPECT_EQ(Response(callers[i]).second, "ok");
      callers[i] = Conn(-1);
    }
  }
  for (const SetHealthReport& set : engine.Health()) {
    for (const LocalityHealthReport& one : set.localities) EXPECT_EQ(one.reason, "") << one.cluster;
  }
}

TEST_F(DescriptorsTest, AShortageHereIsNobodysFault) {
  Echo one("1"), two("2");
  Config config({At("c1", 1, {one.backend.port}), At("c2", 1, {two.backend.port})});
  config.destination->check = HealthCheck{};
  config.destination->check->kind = HealthCheck::Kind::kTcp;
  config.destination->check->interval = 100ms;
  config.destination->check->timeout = 60s;
  StartByHand(config);
  Conn conn = Conn::To(port);
  conn.Send("GET /none HTTP/1.1\r\nHost: nobody.example\r\n\r\n");  // Accepted, nothing connected yet.
  Response(conn);
  Allow(3);  // Not one more.
  for (int i = 0; i < 6; ++i) {
    conn.Send(kGet);
    const std::string head = Response(conn).first;
    EXPECT_TRUE(head.starts_with("HTTP/1.1 503")) << head;
    EXPECT_EQ(Header(head, "x-weir-reason"), "local_shortage");
    Pass(200ms);  // Checks of both run into it too.
  }
  Allow(before_.rlim_cur);
  conn.Send(kGet);
  EXPECT_TRUE(Response(conn).first.starts_with("HTTP/1.1 200"));
  for (const SetHealthReport& set : engine.Health()) {
    for (const LocalityHealthReport& locality : set.localities) {
      EXPECT_EQ(locality.reason, "") << locality.cluster;
      EXPECT_TRUE(locality.evidence[0].healthy) << locality.cluster << ": " << locality.evidence[0].text;
    }
  }
}

// ---- Who is slow

class StallTest : public EngineTest {};

TEST_F(StallTest, WhoDoesNotReadTheBodyIsTheOneToBlame) {
  std::promise<void> over;
  const auto end = over.get_future().share();
  Backend deaf([end](Conn& conn) {
    conn.TakeHead();
    end.wait();
  });
  Options options;
  options.limits.stalled_body = 400ms;
  Config config({At("c1", 1, {deaf.port})});
  config.actions[0].timeout = 0ms;
  Start(config, options);
  Conn conn = Conn::To(port);
  conn.Send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100000000\r\n\r\n");
  std::thread sender([&] { conn.Send(std::string(30 << 20, 'x')); });
  const std::string head = conn.TakeHead();
  EXPECT_TRUE(head.starts_with("HTTP/1.1 504 ")) << head;
  EXPECT_EQ(Header(head, "x-weir-reason"), "upstream_stalled");
  shutdown(conn.fd(), SHUT_RDWR);
  sender.join();
  over.set_value();
}

TEST_F(StallTest, WhoDoesNotSendTheBodyIsTheOneToBlame) {
  Backend patient([](Conn& conn) { conn.ToEnd(); });
  Options options;
  options.limits.stalled_body = 300ms;
  Start(Config({At("c1", 1, {patient.port})}), options);
  Conn conn = Conn::To(port);
  conn.Send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 10\r\n\r\nhalf");
  EXPECT_TRUE(conn.TakeHead().starts_with("HTTP/1.1 408 "));
}

// ---- How a peer is spoken to

class WireTest : public TlsTest {
 protected:
  // T1 with endpoints that have no identity of their own.
  std::shared_ptr<const Snapshot> First(std::vector<UriMatch> allowed, const std::string& sni = "a.example") {
    Config first({At("c1", 1, {t2.Port("public")})});
    first.destination->tls = UpstreamTls{sni, std::move(allowed)};
    first.destination->check = HealthCheck{};
    first.destination->check->interval = 100ms;
    return first.Build();
  }
  std::string Ask() {
    Conn conn = Conn::To(t1.Port("public"));
    conn.Send(kGet);
    return Response(conn).first.substr(9, 3);
  }
};

TEST_F(WireTest, AnEndpointWithoutAnIdentityOfItsOwnIsSpokenToInTls) {
  Run(kT1, kT2, kT1, "a.example");
  ASSERT_TRUE(ApplyAndWait(t1, First({{kT2, false}})).ok());
  EXPECT_EQ(Ask(), "200");
  EXPECT_TRUE(Eventually([&] {  // So is its check.
    const auto report = t1.Health();
    return !report.empty() && report[0].localities[0].evidence[0].text == "status 200";
  }));
  EXPECT_EQ(t2.GetStats().tls_failures, 0u);
}

TEST_F(WireTest, NoConnectionSurvivesAChangeOfWhoIsAllowedOrAskedFor) {
  Run(kT1, kT2, kT1, "a.example");
  ASSERT_TRUE(ApplyAndWait(t1, First({{kT2, false}})).ok());
  EXPECT_EQ(Ask(), "200");
  ASSERT_TRUE(ApplyAndWait(t1, First({{"spiffe://c1.acme/ns/t2/sa/other", false}})).ok());
  EXPECT_EQ(Ask(), "503");
  ASSERT_TRUE(ApplyAndWait(t1, First({{kT2, false}})).ok());
  EXPECT_TRUE(Eventually([&] { return Ask() == "200"; }));
  ASSERT_TRUE(ApplyAndWait(t1, First({{kT2, false}}, "b.example")).ok());
  EXPECT_EQ(Ask(), "503");
}

TEST(PeerWire, IsSaidNeverAbsent) {
  EXPECT_FALSE(PeerWire().plain());
  EXPECT_FALSE(PeerWire().tls());
  EXPECT_TRUE(PeerWire::Plain().plain());
  EXPECT_TRUE(PeerWire::Tls(nullptr).tls());
  EXPECT_FALSE(PeerWire::Tls(nullptr).proves_identity());
  DestinationSet destination;
  EXPECT_TRUE(WireTo(destination, {}).plain());
  destination.tls = UpstreamTls{"a", {}};
  EXPECT_TRUE(WireTo(destination, {}).tls());
  EXPECT_FALSE(WireTo(destination, {}).proves_identity());  // Any that verifies.
  destination.tls->allowed_uris = {{"spiffe://a/b", false}};
  EXPECT_EQ(WireTo(destination, {}).rule()->exact, std::vector<std::string>{"spiffe://a/b"});
  EXPECT_EQ(WireTo(destination, {"127.0.0.1", 1, "spiffe://c/d"}).rule()->exact,
            std::vector<std::string>{"spiffe://c/d"});
}

// ---- Retries

// Every pod of every cluster resets: what may be repeated is, and yet the pods see less than twice what was asked.
TEST_F(EvidenceTest, RetriesDoNotMultiplyAnOutage) {
  std::atomic<int> seen{0};
  Backend dying([&](Conn& conn) { seen += !conn.TakeHead().empty(); });
  StartTier2(0, {dying.port});
  StartTier2(1, {dying.port});
  StartTier1();
  constexpr int kAsked = 200;
  for (int i = 0; i < kAsked; ++i) {
    Conn conn = Conn::To(t1.Port("public"));
    conn.Send(kGet);
    EXPECT_TRUE(Response(conn).first.starts_with("HTTP/1.1 50"));
  }
  EXPECT_LE(seen, kAsked * 15 / 10);
}

}  // namespace
}  // namespace weir::proxy
