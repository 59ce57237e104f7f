#include <random>

#include "api/weir/v2/tenant.pb.h"
#include "mgmt-server/http/watch_fixture.h"
#include "tests/support/real_time.h"

namespace weir::edge {
namespace {

// Random writes, rights and reconnects.
class RandomWatch : public WatchTest {
 protected:
  struct Watch {
    std::string token, parent;
    authn::Principal principal;
    std::unique_ptr<Reader> reader = nullptr;
  };

  int Pick(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }

  void Begin(Watch& watch) {
    v2::WatchRequest request = Everything();
    request.set_parent(watch.parent);
    watch.reader = std::make_unique<Reader>(*methods_, watch.token, request);
  }
  // Over another connection, with what he knows.
  void GoOn(Watch& watch) {
    v2::WatchRequest request;
    request.set_parent(watch.parent);
    const Reader::Things known = watch.reader->things();
    const bool whole = watch.reader->whole();
    request.set_after(watch.reader->position());
    if (request.after().empty() || !whole) return Begin(watch);
    watch.reader = std::make_unique<Reader>(*methods_, watch.token, request, SIZE_MAX, known);
    if (watch.reader->refused()) Begin(watch);  // Nothing of it is his to see just now.
  }

  void ChangeSomething(const std::string& text) {
    const std::string tenant = "t" + std::to_string(Pick(3)), path = kTenants + "/" + tenant;
    const std::string workspace = "w" + std::to_string(Pick(3));
    const int what = Pick(8);
    if (what == 0) Post(kTenants, R"({"metadata":{"name":")" + tenant + R"("}})");
    if (what == 1 && Pick(3) == 0) Send("DELETE", path + "?cascade=true", "", admin_);
    if (what == 2 || what == 3) {
      Post(path + "/workspaces", R"({"metadata":{"name":")" + workspace +
                                     R"("},"spec":{"namespaceSelector":{"names":["*/)" + tenant + workspace +
                                     R"("]}}})");
    }
    if (what == 4) Send("DELETE", path + "/workspaces/" + workspace, "", admin_);
    if (what == 5) ChangeRights(Pick(2) == 0 ? path : path + "/workspaces/" + workspace);
    if (what == 6) ChangeTeam();
    if (what == 7 && Get(path).status == 200) Rename(tenant, text);
  }
  void ChangeRights(const std::string& where) {
    const std::string subject = Pick(2) == 0 ? User("ann") : R"({"team":"organizations/demo-org/teams/team"})";
    Post(where + "/accessbindings:" + (Pick(2) == 0 ? "grant" : "revoke"),
         R"({"role":"reader","subject":)" + subject + "}");
  }
  void ChangeTeam() {
    const std::string team = "/v2/organizations/demo-org/teams/team";
    const std::string version = Get(team).Text({"metadata", "resourceVersion"});
    Send("PUT", team,
         R"({"metadata":{"resourceVersion":")" + version + R"("},"spec":{"members":[)" +
             (Pick(2) == 0 ? R"("organizations/demo-org/users/ann")" : "") + "]}}",
         admin_);
  }

  std::mt19937 random_{20261130};
};

TEST_F(RandomWatch, WhatIsToldMakesTheListAfterAnyHistory) {
  const std::string ann = NewUser("ann");
  EXPECT_EQ(Post("/v2/organizations/demo-org/teams", R"({"metadata":{"name":"team"},"spec":{}})").status, 200);
  MakeTenant("t1");
  Grant("organizations/demo-org/tenants/t1", User("ann"));
  std::vector<Watch> watches;
  for (const std::string& token : {admin_, ann}) {
    for (const char* parent : {"", "organizations/demo-org/tenants/t1"}) {
      watches.push_back({token, parent, PrincipalOf(token)});
      Begin(watches.back());
    }
  }
  for (int round = 0; round < 60; ++round) {
    for (int i = Pick(4); i >= 0; --i) ChangeSomething(std::to_string(round));
    if (Pick(3) == 0) GoOn(watches[static_cast<size_t>(Pick(static_cast<int>(watches.size())))]);
    if (Pick(4) != 0) continue;
    for (Watch& watch : watches) {
      if (watch.reader->refused()) Begin(watch);
      if (watch.reader->refused()) continue;
      ASSERT_TRUE(Eventually([&] { return watch.reader->things() == Listed(watch.principal, watch.parent); }))
          << "round " << round << ", " << watch.principal.fqn << " at " << watch.parent;
      ASSERT_EQ(watch.reader->wrong(), "")
          << "round " << round << ", " << watch.principal.fqn << " at " << watch.parent;
    }
  }
}

// 900 take what comes and 100 nothing: those are cut off, which costs the others nothing, and told where to go on.
class ThousandWatch : public WatchTest {
 protected:
#ifdef WEIR_SANITIZE_ADDRESS
  static constexpr size_t kWatchers = 200;  // It looks at memory; a thousand of them take minutes.
#else
  static constexpr size_t kWatchers = 1000;
#endif
  static constexpr size_t kWrites = services::Watches::kSteps + 50;
  static constexpr std::chrono::minutes kPatience{3};
  static bool Slow(size_t i) { return i % 10 == 0; }  // Takes the list and nothing after it.

  void SetUp() override {
    WatchTest::SetUp();
    MakeTenant("t");
    for (size_t i = 0; i < kWatchers / services::Watches::kOfOne; ++i) {
      tokens_.push_back(NewUser("u" + std::to_string(i)));
      Grant("organizations/demo-org", User("u" + std::to_string(i)));
    }
    request_.set_kinds("Tenant");
  }
  // The revision.
  int64_t Write(size_t number) {
    const std::string fqn = "organizations/demo-org/tenants/t";
    const auto written = store_->Write([&](store::Txn& txn) -> Result<store::ResourcePtr> {
      v2::Tenant tenant;
      tenant.ParseFromString(txn.Get(fqn)->body);
      tenant.mutable_metadata()->set_display_name(std::to_string(number));
      return txn.Put({.kind = "Tenant",
                      .fqn = fqn,
                      .body = tenant.SerializeAsString(),
                      .field_owners = {},
                      .expected_etag = std::nullopt});
    });
    return written.ok() ? (*written)->revision : 0;
  }
  static void ExpectEveryOneInOrder(const Reader& reader) {
    int64_t revision = 0;
    size_t modified = 0;
    for (const v2::WatchEvent& event : reader.events()) {
      if (event.type() != v2::WatchEvent::MODIFIED) continue;
      ++modified;
      ASSERT_GT(event.revision(), revision);
      revision = event.revision();
    }
    ASSERT_EQ(modified, kWrites);
    ASSERT_EQ(reader.ended(), "");
  }

  std::vector<std::string> tokens_;
  v2::WatchRequest request_ = Everything();
};

TEST_F(ThousandWatch, WhoDoesNotReadCostsNobodyAnything) {
  std::vector<std::unique_ptr<Reader>> readers;
  for (size_t i = 0; i < kWatchers; ++i) {
    readers.push_back(
        std::make_unique<Reader>(*methods_, tokens_[i % tokens_.size()], request_, Slow(i) ? 1 : SIZE_MAX));
    ASSERT_FALSE(readers.back()->refused()) << readers.back()->refused()->ToString();
  }
  for (const auto& reader : readers) ASSERT_TRUE(Eventually([&] { return !reader->position().empty(); }, kPatience));
  int64_t last = 0;
  for (size_t i = 0; i < kWrites; ++i) {
    last = Write(i);
    // As fast as they are told: what is stored faster than that is told as less, larger changes.
    const bool told = i % 20 != 0 || Eventually([&] { return readers[1]->last() == last; }, kPatience);
    ASSERT_TRUE(told);
  }
  for (size_t i = 0; i < kWatchers; ++i) {
    if (Slow(i)) continue;
    ASSERT_TRUE(Eventually([&] { return readers[i]->last() == last; }, kPatience)) << i << readers[i]->ended();
    ExpectEveryOneInOrder(*readers[i]);
  }
  for (size_t i = 0; i < kWatchers; ++i) {
    if (!Slow(i)) continue;
    EXPECT_EQ(readers[i]->pieces(), 1u);
    readers[i]->Take();
    ASSERT_TRUE(Eventually([&] { return readers[i]->ended() == "WATCH_TOO_SLOW"; })) << i;
  }
  request_.set_initial(false);
  request_.set_after(readers[0]->position());
  const Reader again(*methods_, tokens_[0], request_, SIZE_MAX, readers[0]->things());
  ASSERT_FALSE(again.refused()) << again.refused()->ToString();
  EXPECT_TRUE(Eventually([&] { return !again.events().empty(); }));
  EXPECT_EQ(again.events().front().type(), v2::WatchEvent::MODIFIED);
  EXPECT_EQ(again.events().front().revision(), last);
}

}  // namespace
}  // namespace weir::edge
