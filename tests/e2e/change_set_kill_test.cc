#include <fmt/format.h>

#include <random>
#include <set>
#include <thread>

#include "tests/e2e/killed_server.h"

// kill -9 of weir-server while it commits a change set: after a restart it is committed and all of it is there, or it
// waits as before and nothing is. WEIR_SERVER_KILLS: how often (default 30).
namespace weir::e2e {
namespace {

constexpr char kTenant[] = "/v2/organizations/e2e-org/tenants/t";
constexpr int kWorkspaces = 40;

class ChangeSetKill : public KilledServer {
 protected:
  static std::string Workspace(const std::string& name, const std::string& text, const std::string& namespaces) {
    return fmt::format(
        "---\napiVersion: api.weir.dev/v2\nkind: Workspace\nmetadata: {{name: {}, organization: e2e-org, tenant: t, "
        "description: {}}}\nspec: {{namespaceSelector: {{names: [\"*/{}\"]}}}}\n",
        name, text, namespaces);
  }
  // Those of one round go, and others come in their place.
  std::string Order(unsigned round) const {
    const std::string text = fmt::format("r{}", round);
    std::string documents;
    Node deletions = Node::Sequence();
    for (int i = 0; i < kWorkspaces; ++i) {
      const std::string before = fmt::format("r{}-{}", round, i), after = fmt::format("r{}-{}", round + 1, i);
      deletions.items.push_back(Node::String(fmt::format("{}/workspaces/{}", std::string(kTenant).substr(4), before)));
      documents += Workspace(after, text, fmt::format("n{}", i));
    }
    Node body = Node::Map();
    body.Add("documents", Node::String(documents));
    body.Add("message", Node::String(text));
    body.Add("deletions", std::move(deletions));
    return document::WriteJson(body);
  }
  // Of how many rounds there is something.
  std::set<std::string> Rounds(http::Client& client, size_t* count) {
    std::set<std::string> rounds;
    const auto listed = Call(client, "GET", std::string(kTenant) + "/workspaces?pageSize=1000", "");
    const auto root = listed.ok() ? document::ParseOne(listed->body, {}, document::Syntax::kJson) : listed.error();
    const Node* items = root.ok() ? root->Find("items") : nullptr;
    *count = items == nullptr ? 0 : items->items.size();
    for (size_t i = 0; i < *count; ++i) {
      const std::string name = items->items[i].Find("metadata")->Find("name")->text;
      rounds.insert(name.substr(0, name.find('-')));
    }
    return rounds;
  }
  void MakeFirst(http::Client& client) {
    std::string first = "apiVersion: api.weir.dev/v2\nkind: Tenant\nmetadata: {name: t, organization: e2e-org}\n";
    for (int i = 0; i < kWorkspaces; ++i) first += Workspace(fmt::format("r0-{}", i), "first", fmt::format("n{}", i));
    Node body = Node::Map();
    body.Add("documents", Node::String(first));
    const auto applied = Call(client, "POST", "/v2/documents:apply", document::WriteJson(body));
    ASSERT_TRUE(applied.ok() && applied->status == 200) << (applied.ok() ? applied->body : applied.error().ToString());
  }
  // Whether it was answered that it is committed, before the server was killed.
  bool CommitUntilKilled(const std::string& fqn, Milliseconds moment) {
    bool answered = false;
    std::thread committing([&] {
      auto other = NewClient();
      const auto answer = Call(*other, "POST", "/v2/" + fqn + ":commit", "{}");
      answered = answer.ok() && answer->status == 200;
    });
    // The moment is the point of this test: before, within and after the write.
    std::this_thread::sleep_for(moment);
    server_->Kill();
    committing.join();
    return answered;
  }
  std::string State(http::Client& client, const std::string& fqn) {
    const auto answer = Call(client, "GET", "/v2/" + fqn, "");
    return answer.ok() ? Field(answer->body, {"state"}) : answer.error().ToString();
  }
};

TEST_F(ChangeSetKill, AllOfItIsThereOrItWaits) {
  const char* wanted = std::getenv("WEIR_SERVER_KILLS");
  const unsigned kills = wanted == nullptr ? 30 : static_cast<unsigned>(std::strtoul(wanted, nullptr, 10));
  ASSERT_TRUE(MakeFolders(folder_, 0700).ok());
  std::random_device seed;
  const unsigned seeded = seed();
  std::minstd_rand random(seeded);
  ASSERT_TRUE(Start().ok());
  auto client = NewClient();
  ASSERT_TRUE(client.ok());
  MakeFirst(*client);
  unsigned whole = 0, answered = 0;
  for (unsigned round = 0; round < kills && !HasFailure(); ++round) {
    SCOPED_TRACE(fmt::format("round {}, seed {}", round, seeded));
    const auto made = Call(*client, "POST", "/v2/organizations/e2e-org/changesets", Order(round));
    ASSERT_TRUE(made.ok() && made->status == 200) << (made.ok() ? made->body : made.error().ToString());
    const std::string fqn = Field(made->body, {"fqn"});
    const bool was_answered = CommitUntilKilled(fqn, Milliseconds(std::uniform_int_distribution<int>(2, 200)(random)));
    ASSERT_TRUE(Start().ok());
    client = NewClient();
    const std::string state = State(*client, fqn);
    const bool committed = state == "COMMITTED";
    ASSERT_TRUE(committed || (state == "APPROVED" && !was_answered)) << state;
    size_t count = 0;
    EXPECT_EQ(Rounds(*client, &count), std::set<std::string>{fmt::format("r{}", round + (committed ? 1 : 0))});
    EXPECT_EQ(count, static_cast<size_t>(kWorkspaces));
    whole += committed ? 1 : 0;
    answered += was_answered ? 1 : 0;
    if (committed) continue;
    const auto then = Call(*client, "POST", "/v2/" + fqn + ":commit", "{}");  // It goes on where it was.
    ASSERT_TRUE(then.ok() && then->status == 200) << (then.ok() ? then->body : then.error().ToString());
  }
  fmt::print("{} kills: {} change sets were committed whole, {} of them answered, all others waited (seed {})\n", kills,
             whole, answered, seeded);
}

}  // namespace
}  // namespace weir::e2e
