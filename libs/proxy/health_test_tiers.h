#pragma once

#include <functional>
#include <map>

#include "libs/dialect/dialect.h"
#include "libs/proxy/engine.h"
#include "libs/proxy/engine_test_peers.h"

// A tier 1 over two tier 2 with one pod each: real engines over TLS.

namespace weir::proxy {

struct Pod {
  explicit Pod(std::string name)
      : backend([this, name](Conn& conn) {
          while (true) {
            const std::string head = conn.TakeHead();
            if (head.empty()) return;
            const bool check = head.starts_with("GET /healthz ");
            const std::string text = check ? "" : name;
            const std::string status = check ? (healthy ? "200 OK" : "503 Ill") : Says(head);
            if (!check && status.empty()) return;  // Closes, without an answer.
            if (head.starts_with("POST")) conn.Take(std::stoul(Header(head, "Content-Length")));
            if (!conn.Send(fmt::format("HTTP/1.1 {}\r\ncontent-length: {}\r\n\r\n{}", status, text.size(), text))) {
              return;
            }
          }
        }) {}
  // "GET /says/502 " is answered by this status, "GET /says/nothing " not at all, anything else by 200.
  static std::string Says(const std::string& head) {
    constexpr std::string_view kSays = "GET /says/";
    if (!head.starts_with(kSays)) return "200 OK";
    const std::string word = head.substr(kSays.size(), head.find(' ', kSays.size()) - kSays.size());
    return word == "nothing" ? "" : word + " As Asked";
  }
  std::atomic<bool> healthy{true};
  Backend backend;
};

inline constexpr char kT1[] = "spiffe://edge.acme/ns/t1/sa/t1";
inline const char* const kT2[] = {"spiffe://c1.acme/ns/t2/sa/t2", "spiffe://c2.acme/ns/t2/sa/t2"};

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
    config.destination->check = Check("/healthz");
    config.destination->hold = 10s;  // A set of one cluster must not suffer from it.
    auto built = std::make_shared<Snapshot>(*config.Build());
    if (digest == Digest::kNoName) return built;
    auto listener = std::make_shared<Listener>(*built->listeners.front());
    Config none({});
    none.actions[0].destination_set.clear();
    none.actions[0].direct_response = DirectResponse{404, ""};
    listener->chains.push_back({std::string(dialect::kHealthChain),
                                {dialect::HealthSni(fmt::format("c{}.acme", i + 1))},
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
    config.destination->tls = UpstreamTls{"a.example", {}};
    config.destination->digest = true;
    config.destination->check = Check(std::string(dialect::kHealthPath));
    config.destination->hold = hold;
    config.destination->slow_return = slow_return;
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
    // Who was never seen able has nothing to be held for.
    ASSERT_TRUE(Eventually(3s, [&] { return Checked(*t2[0]) && Checked(*t2[1]); }));
    StartTier1();
    ASSERT_TRUE(Eventually(3s, [&] { return Proven("c1") && Proven("c2"); }));
  }

  // It comes to be so on every worker: they hear of health one after the other, and each connection may meet another.
  template <typename Condition>
  static bool OnAllWorkers(const Condition& condition) {
    int in_a_row = 0;
    return Eventually(3s, [&] { return (in_a_row = condition() ? in_a_row + 1 : 0) == 10; });
  }

  // Its pod has answered a check well.
  static bool Checked(const Engine& tier2) {
    const std::vector<SetHealthReport> sets = tier2.Health();
    return !sets.empty() && sets[0].localities.at(0).evidence.at(0).text == "status 200";
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
    return weir::Eventually(holds, within);
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
            const Stopwatch watch;
            conn.Send(kGet);
            const auto [head, body] = Response(conn);
            if (!head.starts_with("HTTP/1.1 200")) {
              ++failed;
              conn = Conn::To(port);
            }
            ++asked;
            const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(watch.Elapsed());
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

  ManualClock clock;  // Of who is given it.
  identity::Authority root = *identity::NewRoot("test root");
  std::chrono::milliseconds hold{10'000}, slow_return{10'000};
  Pod pod[2] = {Pod("1"), Pod("2")};
  std::unique_ptr<Engine> t2[2];
  uint16_t port_of[2] = {0, 0};
  Engine t1;
};

}  // namespace weir::proxy
