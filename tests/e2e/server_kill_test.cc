#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <thread>

#include "tests/e2e/killed_server.h"

// kill -9 of weir-server at random moments while it writes: what it acknowledged is there after a restart, and nothing
// is there by halves. WEIR_SERVER_KILLS: how often (default 30).
namespace weir::e2e {
namespace {

constexpr char kTenants[] = "/v2/organizations/e2e-org/tenants";

// What a client was told of one tenant.
struct KnownTenant {
  std::string text;     // Of the last write that was acknowledged; "" = not even its creation was.
  std::string pending;  // Of the write whose answer never came; "" = none.
};
using Ledger = std::map<std::string, KnownTenant>;

class ServerKill : public KilledServer {
 protected:
  // Creates tenants and changes each once, until the server is gone.
  void Write(const std::string& prefix, Ledger* ledger) const {
    auto client = NewClient();
    if (!client.ok()) return;
    for (int i = 0;; ++i) {
      const std::string name = fmt::format("{}-{}", prefix, i);
      KnownTenant& tenant = (*ledger)[name];
      for (const char* text : {"first", "second"}) {
        const bool create = tenant.text.empty();
        tenant.pending = text;
        const std::string body =
            fmt::format(R"({{"metadata":{{"name":"{}","organization":"e2e-org","description":"{}"{}}}}})", name, text,
                        create ? "" : fmt::format(R"(,"resourceVersion":"{}")", versions_of_thread));
        const auto answer = Call(*client, create ? "POST" : "PUT",
                                 create ? std::string(kTenants) : fmt::format("{}/{}", kTenants, name), body);
        if (!answer.ok()) return;
        if (answer->status != 200) {
          tenant.text = fmt::format("refused with {}: {}", answer->status, answer->body);
          return;
        }
        versions_of_thread = Field(answer->body, {"metadata", "resourceVersion"});
        tenant.text = text;
        tenant.pending.clear();
      }
    }
  }

  // How many of the ledger are not as they must be; says the first few.
  uint64_t Lost(http::Client& client, const Ledger& ledger) const {
    uint64_t lost = 0;
    for (const auto& [name, tenant] : ledger) {
      const auto answer = Call(client, "GET", fmt::format("{}/{}", kTenants, name), "");
      const bool there = answer.ok() && answer->status == 200;
      const std::string text = there ? Field(answer->body, {"metadata", "description"}) : "";
      const bool known = answer.ok() && (there || answer->status == 404);
      if (known && (text == tenant.text || (!tenant.pending.empty() && text == tenant.pending))) continue;
      if (++lost <= 3) {
        ADD_FAILURE() << name << " was acknowledged as \"" << tenant.text << "\" (pending \"" << tenant.pending
                      << "\") and is now " << (answer.ok() ? answer->body : answer.error().ToString());
      }
    }
    return lost;
  }

  // One state from its first start through so many kills.
  void KillTimes(unsigned kills, std::minstd_rand& random);

  static thread_local std::string versions_of_thread;
  uint64_t acknowledged_ = 0, unknown_ = 0;
};
thread_local std::string ServerKill::versions_of_thread;

// A state grows with every round, and a start with its state: what is asked here is asked of a young one again and
// again.
constexpr unsigned kKillsOfAState = 100;

void ServerKill::KillTimes(unsigned kills, std::minstd_rand& random) {
  server_.reset();
  std::filesystem::remove_all(folder_ + "/server");
  root_.clear();
  Ledger all;
  Status started = Start();
  for (unsigned round = 0; round < kills; ++round) {
    ASSERT_TRUE(started.ok()) << started.error().ToString();
    constexpr unsigned kWriters = 3;
    std::vector<Ledger> ledgers(kWriters);
    std::vector<std::thread> writers;
    writers.reserve(kWriters);
    for (unsigned i = 0; i < kWriters; ++i) {
      writers.emplace_back([this, round, i, ledger = &ledgers[i]] { Write(fmt::format("t{}-{}", round, i), ledger); });
    }
    // The moment is the point of this test: anywhere within the work, the very first write included.
    std::this_thread::sleep_for(Milliseconds(std::uniform_int_distribution<int>(5, 250)(random)));
    server_->Kill();
    for (auto& writer : writers) writer.join();
    started = Start();
    ASSERT_TRUE(started.ok()) << started.error().ToString();
    auto client = NewClient();
    ASSERT_TRUE(client.ok());
    for (const Ledger& ledger : ledgers) {
      ASSERT_EQ(Lost(*client, ledger), 0u) << "after kill " << round + 1;
      for (const auto& [name, tenant] : ledger) {
        acknowledged_ += !tenant.text.empty();
        unknown_ += !tenant.pending.empty();
      }
      all.insert(ledger.begin(), ledger.end());
    }
  }
  // And all of it still, after the last restart.
  auto client = NewClient();
  ASSERT_TRUE(client.ok());
  if (all.size() > 2'000) all.erase(std::next(all.begin(), 2'000), all.end());
  EXPECT_EQ(Lost(*client, all), 0u);
}

TEST_F(ServerKill, NothingAcknowledgedIsLost) {
  const char* wanted = std::getenv("WEIR_SERVER_KILLS");
  const unsigned kills = wanted == nullptr ? 30 : static_cast<unsigned>(std::strtoul(wanted, nullptr, 10));
  ASSERT_TRUE(MakeFolders(folder_, 0700).ok());
  std::random_device seed;
  const unsigned seeded = seed();
  std::minstd_rand random(seeded);
  for (unsigned done = 0; done < kills && !HasFailure(); done += kKillsOfAState) {
    KillTimes(std::min(kKillsOfAState, kills - done), random);
  }
  EXPECT_GT(acknowledged_, kills);
  fmt::print("{} kills: {} tenants acknowledged, {} writes without an answer, none lost (seed {})\n", kills,
             acknowledged_, unknown_, seeded);
}

}  // namespace
}  // namespace weir::e2e
