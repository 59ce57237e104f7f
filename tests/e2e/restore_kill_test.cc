#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <set>
#include <thread>

#include "tests/e2e/killed_server.h"

// kill -9 of weir-server while it brings back a part of the tree: after a restart all of it is back, or nothing is.
// WEIR_SERVER_KILLS: how often (default 30).
namespace weir::e2e {
namespace {

constexpr char kTenant[] = "/v2/organizations/e2e-org/tenants/t";
constexpr int kWorkspaces = 40;

class RestoreKill : public KilledServer {
 protected:
  // Of "then" and "now" a third each is deleted or made, and the others are different.
  static std::string Document(int i, const std::string& text) {
    return fmt::format(
        "---\napiVersion: api.weir.dev/v2\nkind: Workspace\nmetadata: {{name: w{}, organization: e2e-org, tenant: t, "
        "description: {}}}\nspec: {{namespaceSelector: {{names: [\"*/n{}\"]}}}}\n",
        i, text, i);
  }
  static bool IsIn(int i, const std::string& text) { return i % 3 != (text == "then" ? 0 : 1); }

  void Make(http::Client& client, const std::string& text) {
    std::string documents = "apiVersion: api.weir.dev/v2\nkind: Tenant\nmetadata: {name: t, organization: e2e-org}\n";
    for (int i = 0; i < kWorkspaces; ++i) {
      if (IsIn(i, text))
        documents += Document(i, text);
      else
        (void)Call(client, "DELETE", fmt::format("{}/workspaces/w{}", kTenant, i), "");
    }
    Node body = Node::Map();
    body.Add("documents", Node::String(documents));
    body.Add("force", Node::Bool(true));
    const auto made = Call(client, "POST", "/v2/documents:apply", document::WriteJson(body));
    ASSERT_TRUE(made.ok() && made->status == 200) << (made.ok() ? made->body : made.error().ToString());
  }
  // "then" or "now" when all is as it was then, or is now; else what is there.
  std::string Found(http::Client& client) {
    const auto listed = Call(client, "GET", std::string(kTenant) + "/workspaces?pageSize=1000", "");
    if (!listed.ok()) return listed.error().ToString();
    const auto root = document::ParseOne(listed->body, {}, document::Syntax::kJson);
    const Node* items = root.ok() ? root->Find("items") : nullptr;
    if (items == nullptr) return listed->body;
    std::set<std::string> found;
    for (const Node& item : items->items) {
      const Node* metadata = item.Find("metadata");
      found.insert(metadata->Find("name")->text + " " + metadata->Find("description")->text);
    }
    for (const std::string text : {"then", "now"}) {
      std::set<std::string> expected;
      for (int i = 0; i < kWorkspaces; ++i) {
        if (IsIn(i, text)) expected.insert(fmt::format("w{} {}", i, text));
      }
      if (found == expected) return text;
    }
    return listed->body;
  }
  int64_t Newest(http::Client& client) {
    const auto listed = Call(client, "GET", "/v2/revisions?pageSize=1", "");
    const auto root = listed.ok() ? document::ParseOne(listed->body, {}, document::Syntax::kJson) : listed.error();
    const Node* items = root.ok() ? root->Find("items") : nullptr;
    return items == nullptr || items->items.empty() ? -1 : std::stoll(items->items.front().Find("number")->text);
  }
};

TEST_F(RestoreKill, AllOfItIsBackOrNothingIs) {
  const char* wanted = std::getenv("WEIR_SERVER_KILLS");
  const unsigned kills = wanted == nullptr ? 30 : static_cast<unsigned>(std::strtoul(wanted, nullptr, 10));
  ASSERT_TRUE(MakeFolders(folder_, 0700).ok());
  std::random_device seed;
  const unsigned seeded = seed();
  std::minstd_rand random(seeded);
  const Status started = Start();
  ASSERT_TRUE(started.ok()) << started.error().ToString();
  auto client = NewClient();
  ASSERT_TRUE(client.ok());
  Make(*client, "then");
  const std::string order = fmt::format(R"({{"toRevision":{},"subtree":true}})", Newest(*client));
  unsigned back = 0, answered = 0;
  for (unsigned round = 0; round < kills; ++round) {
    Make(*client, "now");
    ASSERT_EQ(Found(*client), "now");
    const int64_t before = Newest(*client);
    bool was_answered = false;
    std::thread restoring([&] {
      auto other = NewClient();
      const auto answer = Call(*other, "POST", std::string(kTenant) + ":restore", order);
      was_answered = answer.ok() && answer->status == 200;
    });
    // The moment is the point of this test: before, within and after the write.
    std::this_thread::sleep_for(Milliseconds(std::uniform_int_distribution<int>(2, 120)(random)));
    server_->Kill();
    restoring.join();
    const Status again = Start();
    ASSERT_TRUE(again.ok()) << again.error().ToString();
    client = NewClient();
    const std::string found = Found(*client);
    ASSERT_TRUE(found == "then" || (found == "now" && !was_answered)) << found << " (seed " << seeded << ")";
    EXPECT_EQ(Newest(*client), before + (found == "then" ? 1 : 0));
    back += found == "then" ? 1 : 0;
    answered += was_answered ? 1 : 0;
  }
  fmt::print("{} kills: {} restores were whole, {} of them answered, all others not begun (seed {})\n", kills, back,
             answered, seeded);
}

}  // namespace
}  // namespace weir::e2e
