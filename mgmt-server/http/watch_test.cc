#include "mgmt-server/http/watch_fixture.h"
#include "tests/support/real_time.h"

namespace weir::edge {
namespace {

TEST_F(WatchTest, ListAndWatchHaveNoGap) {
  MakeTenant("a");
  const Reader reader(*methods_, admin_, Everything());
  ASSERT_FALSE(reader.refused());
  MakeTenant("b");
  Rename("a", "A");
  EXPECT_EQ(Send("DELETE", kTenants + "/b", "", admin_).status, 200);
  MakeTenant("b");  // Another one of the same name.
  const auto admin = PrincipalOf(admin_);
  EXPECT_TRUE(Eventually([&] { return reader.things() == Listed(admin); }));
  EXPECT_EQ(reader.wrong(), "");
  const auto events = reader.events();
  const auto end = std::find_if(events.begin(), events.end(), [](const auto& event) { return event.initial_end(); });
  ASSERT_NE(end, events.end());
  std::vector<std::string> after;
  for (auto event = end + 1; event != events.end(); ++event) {
    after.push_back(v2::WatchEvent::Type_Name(event->type()) + " " + event->fqn().substr(event->fqn().rfind('/') + 1));
  }
  // What came before the list was whole is in the list.
  const std::vector<std::string> all = {"ADDED b", "MODIFIED a", "DELETED b", "ADDED b"};
  ASSERT_LE(after.size(), all.size());
  EXPECT_EQ(after, std::vector<std::string>(all.end() - static_cast<std::ptrdiff_t>(after.size()), all.end()));
}

TEST_F(WatchTest, ARightThatGoesTakesThingsAwayAndOneThatComesShowsThem) {
  MakeTenant("hers");
  MakeTenant("others");
  const std::string ann = NewUser("ann");
  Grant("organizations/demo-org/tenants/hers", User("ann"));
  const Reader reader(*methods_, ann, Everything());
  const auto shown = [&] {
    std::vector<std::string> names;
    for (const auto& [fqn, version] : reader.things()) names.push_back(fqn.substr(fqn.rfind('/') + 1));
    return names;
  };
  using Names = std::vector<std::string>;
  EXPECT_TRUE(Eventually([&] { return shown() == Names{"hers"}; }));
  const size_t before = reader.events().size();
  Rename("others", "what ann must not learn");
  Grant("organizations/demo-org/tenants/hers", User("ann"), false);
  EXPECT_TRUE(Eventually([&] { return shown().empty(); }));
  EXPECT_EQ(reader.events().size(), before + 1) << "of the other tenant nothing is told, not even that it changed";
  EXPECT_FALSE(reader.events().back().has_resource());
  // Over a team, and over another team that is in it.
  EXPECT_EQ(Post("/v2/organizations/demo-org/teams", R"({"metadata":{"name":"in"},"spec":{}})").status, 200);
  const Answer out = Post("/v2/organizations/demo-org/teams",
                          R"({"metadata":{"name":"out"},"spec":{"members":["organizations/demo-org/teams/in"]}})");
  ASSERT_EQ(out.status, 200) << out.text;
  Grant("organizations/demo-org/tenants/others", R"({"team":"organizations/demo-org/teams/out"})");
  const auto members = [&](const std::string& list) {
    const Answer was = Get("/v2/organizations/demo-org/teams/in");
    const Answer is = Send("PUT", "/v2/organizations/demo-org/teams/in",
                           R"({"metadata":{"resourceVersion":")" + was.Text({"metadata", "resourceVersion"}) +
                               R"("},"spec":{"members":[)" + list + "]}}",
                           admin_);
    EXPECT_EQ(is.status, 200) << is.text;
  };
  EXPECT_TRUE(shown().empty());
  members(R"("organizations/demo-org/users/ann")");
  EXPECT_TRUE(Eventually([&] { return shown() == Names{"others"}; })) << reader.things().size();
  members("");
  EXPECT_TRUE(Eventually([&] { return shown().empty(); }));
  EXPECT_EQ(reader.wrong(), "");
}

TEST_F(WatchTest, EndsWithItsTokenItsTimeAndTheServer) {
  const std::string ann = NewUser("ann");
  const Reader hers(*methods_, ann, Everything());
  v2::WatchRequest brief = Everything();
  brief.set_seconds(1);
  const Reader timed(*methods_, admin_, brief);
  const Reader lasting(*methods_, admin_, Everything());
  EXPECT_TRUE(Eventually([&] { return hers.pieces() > 0 && lasting.pieces() > 0; }));
  EXPECT_EQ(Send("POST", "/v2/logout", "", ann).status, 200);
  EXPECT_TRUE(Eventually([&] { return hers.ended() == "BAD_TOKEN"; }));
  EXPECT_TRUE(Eventually([&] { return timed.ended() == "done"; }));
  EXPECT_EQ(lasting.ended(), "");
  standing_.watches->Stop();
  EXPECT_EQ(lasting.ended(), "STOPPING");
  EXPECT_NE(lasting.position(), "");
  EXPECT_EQ(standing_.watches->count(), 0u);
  EXPECT_EQ(Reader(*methods_, admin_, Everything()).refused()->reason, "STOPPING");
}

TEST_F(WatchTest, SoManyOfOneAndAPlaceIsFreeWhenItsHolderHasGone) {
  std::vector<std::unique_ptr<Reader>> readers;
  for (size_t i = 0; i < services::Watches::kOfOne; ++i) {
    readers.push_back(std::make_unique<Reader>(*methods_, admin_, Everything(false)));
    ASSERT_FALSE(readers.back()->refused());
  }
  EXPECT_EQ(Reader(*methods_, admin_, Everything(false)).refused()->reason, "TOO_MANY_WATCHES");
  EXPECT_FALSE(Reader(*methods_, NewUser("ann"), Everything(false)).refused());
  readers.pop_back();
  EXPECT_TRUE(Eventually([&] { return !Reader(*methods_, admin_, Everything(false)).refused(); }));
}

// A watch of the tenants, from the beginning or after a position.
class WatchPositionTest : public WatchTest {
 protected:
  WatchPositionTest() { request_.set_kinds("Tenant"); }
  std::unique_ptr<Reader> After(const std::string& where, const std::string& token) {
    v2::WatchRequest asked = request_;
    asked.set_initial(false);
    asked.set_after(where);
    return std::make_unique<Reader>(*methods_, token, asked);
  }
  std::string ReasonAfter(const std::string& where, const std::string& token) {
    const auto reader = After(where, token);
    return reader->refused() ? reader->refused()->reason : "";
  }
  std::string PositionNow() {
    const Reader reader(*methods_, admin_, request_);
    EXPECT_TRUE(Eventually([&] { return !reader.position().empty(); }));
    return reader.position();
  }
  static std::string Types(const Reader& reader) {
    std::string text;
    for (const auto& event : reader.events()) text += v2::WatchEvent::Type_Name(event.type()) + " ";
    return text;
  }

  v2::WatchRequest request_ = Everything();
};

TEST_F(WatchPositionTest, GoesOnWhereItWas) {
  MakeTenant("a");
  const std::string position = PositionNow();
  const std::string revision = Rename("a", "A");
  MakeTenant("b");
  auto reader = After(position, admin_);
  EXPECT_TRUE(Eventually([&] { return Types(*reader) == "MODIFIED ADDED BOOKMARK "; })) << Types(*reader);
  reader = After(revision, admin_);
  EXPECT_TRUE(Eventually([&] { return Types(*reader) == "ADDED BOOKMARK "; })) << Types(*reader);
  EXPECT_EQ(ReasonAfter("999999", admin_), "REVISION_UNKNOWN");
  EXPECT_EQ(ReasonAfter("junk", admin_), "BAD_POSITION");
  EXPECT_EQ(ReasonAfter(position, NewUser("ann")), "BAD_POSITION") << "it was said to somebody else";
  request_.set_filter("metadata.name = a");
  EXPECT_EQ(ReasonAfter(position, admin_), "BAD_POSITION") << "of another question";
}

TEST_F(WatchPositionTest, WhatHistoryDoesNotHoldIsNamed) {
  MakeTenant("a");
  const std::string position = PositionNow();
  MakeTenant("b");
  // As a server that was restored from a backup and went another way would find it.
  services::WatchPositions positions(*store_);
  ASSERT_TRUE(positions.Prepare().ok());
  const std::string asked = PrincipalOf(admin_).uid + " " + services::WatchScope::Read(request_).value().text();
  services::WatchPosition here = services::WatchPosition::Of(*store_->Read());
  EXPECT_EQ(ReasonAfter(positions.Seal(here, asked), admin_), "");
  here.mark[0] ^= 1;
  EXPECT_EQ(ReasonAfter(positions.Seal(here, asked), admin_), "WATCH_OF_ANOTHER_HISTORY");
  here.revision += 1000;
  EXPECT_EQ(ReasonAfter(positions.Seal(here, asked), admin_), "WATCH_OF_ANOTHER_HISTORY");
  ASSERT_TRUE(store_->Write([&](store::Txn& txn) { return txn.ForgetHistory(txn.view().revision(), 0); }).ok());
  EXPECT_EQ(ReasonAfter(position, admin_), "WATCH_EXPIRED");
  EXPECT_EQ(ReasonAfter("1", admin_), "WATCH_EXPIRED");
}

TEST_F(WatchTest, ShowsWhatTheScopeAndTheFilterSay) {
  ASSERT_EQ(Apply(kSurroundings).status, 200);
  const auto shown = [&](const std::string& parent, const std::string& kinds, const std::string& filter) {
    v2::WatchRequest request = Everything();
    request.set_parent(parent);
    request.set_kinds(kinds);
    request.set_filter(filter);
    const Reader reader(*methods_, admin_, request);
    if (reader.refused()) return reader.refused()->reason;
    EXPECT_TRUE(Eventually([&] { return reader.position() != ""; }));
    std::string text;
    for (const auto& [fqn, version] : reader.things()) text += fqn.substr(fqn.rfind('/') + 1) + " ";
    return text;
  };
  const std::string o = "organizations/demo-org";
  EXPECT_EQ(shown(o + "/clusters", "", ""), "cluster1 cluster2 ");
  EXPECT_EQ(shown(o + "/clusters/cluster1", "", ""), "cluster1 ");
  EXPECT_EQ(shown(o + "/tenants/-/workspaces", "", ""), "demo-ws demo-gw-group ");
  EXPECT_EQ(shown(o + "/tenants/demo-tenant", "Workspace,gatewaygroups", ""), "demo-ws demo-gw-group ");
  EXPECT_EQ(shown(o, "Cluster", "spec.locality.region = us"), "cluster2 ");
  EXPECT_EQ(shown(o + "/tenants/demo-tenant", "AccessBindings", ""), "accessbindings accessbindings accessbindings ");
  EXPECT_EQ(shown(o, "", "spec.locality.region = us"), "INVALID_REQUEST");
  EXPECT_EQ(shown(o, "Tenant", "spec.locality.region = us"), "BAD_FILTER");
  EXPECT_EQ(shown(o, "Unicorn", ""), "INVALID_REQUEST");
  EXPECT_EQ(shown(o + "/unicorns", "", ""), "BAD_FQN");
  EXPECT_EQ(shown(o + "/tenants/none", "", ""), "RESOURCE_MISSING");
  // What no longer fits goes, what fits now comes.
  v2::WatchRequest request = Everything(false);
  request.set_kinds("Tenant");
  request.set_filter("metadata.displayName = shown");
  const Reader reader(*methods_, admin_, request);
  Rename("demo-tenant", "shown");
  EXPECT_TRUE(Eventually([&] { return reader.things().size() == 1; }));
  Rename("demo-tenant", "hidden");
  EXPECT_TRUE(Eventually([&] { return reader.things().empty(); }));
  EXPECT_EQ(reader.wrong(), "");
}

TEST_F(WatchTest, OverRestItIsAStreamOfServerSentEvents) {
  MakeTenant("a");
  const Answer first = Get("/v2/watch?kinds=Tenant&initial=true&seconds=1");
  EXPECT_EQ(first.status, 200);
  EXPECT_EQ(http::FindHeader(first.headers, "content-type"), "text/event-stream");
  EXPECT_THAT(first.text, HasSubstr("event: ADDED\ndata: {\"type\":\"ADDED\",\"kind\":\"Tenant\""));
  EXPECT_THAT(first.text, HasSubstr("\"resource\":{\"metadata\":{\"name\":\"a\""));
  EXPECT_THAT(first.text, HasSubstr("event: BOOKMARK"));
  const size_t id = first.text.rfind("id: ");
  ASSERT_NE(id, std::string::npos);
  const std::string position = first.text.substr(id + 4, first.text.find('\n', id) - id - 4);
  Rename("a", "A");
  const Answer then =
      Send("GET", "/v2/watch?kinds=Tenant&initial=true&seconds=1", "", admin_, {{"Last-Event-ID", position}});
  EXPECT_THAT(then.text, HasSubstr("event: MODIFIED\n"));
  EXPECT_THAT(then.text, Not(HasSubstr("event: ADDED\n")));
  EXPECT_EQ(Get("/v2/watch?kinds=Tenant&after=junk").reason(), "BAD_POSITION");
  EXPECT_EQ(Send("GET", "/v2/watch", "", "").status, 401);
  // A caller who leaves leaves his place.
  EXPECT_TRUE(Eventually([&] { return standing_.watches->count() == 0; }));
}

}  // namespace
}  // namespace weir::edge
