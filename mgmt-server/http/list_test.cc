// Lists with a filter, an order and a mask, and writes that are only tried.
#include "mgmt-server/http/rest_fixture.h"

namespace weir::edge {
namespace {

const std::string kClusters = "/v2/organizations/demo-org/clusters";

class Lists : public RestApi {
 protected:
  void SetUp() override {
    RestApi::SetUp();
    const char* regions[] = {"eu", "us", "eu", "ap", "us"};
    for (int i = 0; i < 5; ++i) {
      ASSERT_EQ(Post(kClusters, fmt::format(R"({{"metadata":{{"name":"c{}","labels":{{"rank":"{}"}}}},)"
                                            R"("spec":{{"locality":{{"region":"{}"}}}}}})",
                                            i, 9 - i, regions[i]))
                    .status,
                200);
    }
  }
  // Names over all pages.
  std::string Names(const std::string& query, const std::string& token = "") {
    std::string names, page;
    for (int pages = 0; pages < 10; ++pages) {
      const Answer answer =
          Send("GET", fmt::format("{}?{}{}{}", kClusters, query, page.empty() ? "" : "&pageToken=", page), "",
               token.empty() ? admin_ : token);
      if (answer.status != 200) return answer.reason();
      const document::Node* items = answer.body.Find("items");
      for (size_t i = 0; items != nullptr && i < items->items.size(); ++i) {
        names += (names.empty() ? "" : " ") + items->items[i].Find("metadata")->Find("fqn")->text.substr(32);
      }
      page = answer.Text({"nextPageToken"});
      if (page.empty()) return names;
      names += " |";
    }
    return names;
  }
};

TEST_F(Lists, ShowWhatTheFilterTakes) {
  EXPECT_EQ(Names("filter=spec.locality.region%20%3D%20eu"), "c0 c2");
  EXPECT_EQ(Names("filter=NOT%20spec.locality.region:eu&pageSize=2"), "c1 c3 | c4");
  EXPECT_EQ(Names("filter=metadata.labels.rank%3E6&pageSize=3"), "c0 c1 c2") << "a page that is full and the last";
  EXPECT_EQ(Names("filter=state.connected%3Dtrue"), "") << "what only the server knows";
  EXPECT_EQ(Names("filter=metadata.nme%3Dx"), "BAD_FILTER");
}

TEST_F(Lists, StandInTheOrderThatIsAsked) {
  EXPECT_EQ(Names("orderBy=metadata.labels.rank"), "c4 c3 c2 c1 c0");
  EXPECT_EQ(Names("orderBy=spec.locality.region,metadata.name%20desc&pageSize=2"), "c3 c2 | c0 c4 | c1");
  EXPECT_EQ(Names("orderBy=metadata.createTime%20desc&pageSize=5"), "c4 c3 c2 c1 c0");
  EXPECT_EQ(Names("orderBy=metadata.labels.rank&filter=spec.locality.region%3Deu"), "c2 c0");
  EXPECT_EQ(Names("orderBy=metadata.labels"), "BAD_ORDER");
}

TEST_F(Lists, ATokenIsOfTheQuestionThatItWasGivenFor) {
  const std::string token = Get(kClusters + "?pageSize=2&orderBy=metadata.labels.rank").Text({"nextPageToken"});
  ASSERT_NE(token, "");
  EXPECT_EQ(Get(kClusters + "?pageSize=2&orderBy=metadata.labels.rank&pageToken=" + token).status, 200);
  for (const char* other : {"orderBy=metadata.name", "orderBy=metadata.labels.rank&filter=metadata.name:c", ""}) {
    EXPECT_EQ(Get(fmt::format("{}?{}&pageToken={}", kClusters, other, token)).reason(), "BAD_PAGE_TOKEN") << other;
  }
}

TEST_F(Lists, SayOnlyWhatTheMaskNames) {
  const Answer answer = Get(kClusters + "?fieldMask=metadata.labels,spec.locality.region&pageSize=1");
  ASSERT_EQ(answer.status, 200) << answer.text;
  EXPECT_THAT(answer.text,
              HasSubstr(R"({"metadata":{"labels":{"rank":"9"},"fqn":"organizations/demo-org/clusters/c0"},)"
                        R"("spec":{"locality":{"region":"eu"}}})"));
  const Answer bad = Get(kClusters + "?fieldMask=metadata.nme");
  EXPECT_EQ(bad.reason(), "BAD_FIELD_MASK");
  EXPECT_THAT(bad.text, HasSubstr("metadata.nme"));
}

TEST_F(Lists, ShowWhatWasByTheRightsOfToday) {
  const int64_t then = store_->Read()->revision();
  const std::string eve = NewUser("eve");
  ASSERT_EQ(Post(kClusters + "/c1/accessbindings:grant",
                 R"({"role":"reader","subject":{"user":"organizations/demo-org/users/eve"}})")
                .status,
            200);
  std::string body = Get(kClusters + "/c1").text;
  body.replace(body.find("\"us\""), 4, "\"me\"");
  ASSERT_EQ(Send("PUT", kClusters + "/c1", body, admin_).status, 200);
  ASSERT_EQ(Send("DELETE", kClusters + "/c0", "", admin_).status, 200);
  const std::string at = "asOfRevision=" + std::to_string(then);
  EXPECT_EQ(Names(at), "c0 c1 c2 c3 c4");
  EXPECT_EQ(Names(at + "&filter=spec.locality.region%3Dus&pageSize=1"), "c1 | c4");
  EXPECT_EQ(Names(at, eve), "c1") << "she reads it today";
  EXPECT_EQ(Get(kClusters + "/c1?" + at).Text({"spec", "locality", "region"}), "us");
  EXPECT_EQ(Get(kClusters + "/c0?" + at).status, 200);
  EXPECT_EQ(Get(kClusters + "/c0").status, 404);
  EXPECT_EQ(Send("GET", kClusters + "/c0?" + at, "", eve).reason(), "RESOURCE_MISSING");
  EXPECT_EQ(Send("GET", kClusters + "/c1?" + at, "", eve).Text({"spec", "locality", "region"}), "us");
  EXPECT_EQ(Get(kClusters + "?asOfRevision=99999").reason(), "REVISION_UNKNOWN");
  EXPECT_EQ(Get(kClusters + "?asOfRevision=1&asOfTime=2026-01-01T00:00:00Z").reason(), "INVALID_REQUEST");
  // A page of then goes on then.
  const std::string token = Get(kClusters + "?pageSize=2&" + at).Text({"nextPageToken"});
  EXPECT_EQ(Get(kClusters + "?pageSize=2&pageToken=" + token).reason(), "BAD_PAGE_TOKEN");
}

// A filter is asked only of what the caller may read: else its answers would tell of the rest.
TEST_F(Lists, AFilterSeesOnlyWhatItsCallerMayRead) {
  const std::string eve = NewUser("eve");
  ASSERT_EQ(Post(kClusters + "/c1/accessbindings:grant",
                 R"({"role":"reader","subject":{"user":"organizations/demo-org/users/eve"}})")
                .status,
            200);
  EXPECT_EQ(Names("filter=spec.locality.region:*", eve), "c1");
  EXPECT_EQ(Names("filter=spec.locality.region%3Deu", eve), "");
  EXPECT_EQ(Names("orderBy=metadata.labels.rank&pageSize=1", eve), "c1");
}

TEST_F(Lists, ASearchFindsNamesLabelsAndHostsOfWhatOneMayRead) {
  ASSERT_EQ(Apply(kSurroundings).status, 200);
  ASSERT_EQ(Apply(kFounding).status, 200);
  const auto found = [&](const std::string& query, const std::string& token) {
    std::string text, page;
    for (int pages = 0; pages < 20; ++pages) {
      const Answer answer =
          Send("GET", fmt::format("/v2/search?{}{}{}", query, page.empty() ? "" : "&pageToken=", page), "", token);
      if (answer.status != 200) return answer.reason();
      const document::Node* items = answer.body.Find("items");
      for (size_t i = 0; items != nullptr && i < items->items.size(); ++i) {
        const std::string& fqn = items->items[i].Find("fqn")->text;
        text += fmt::format("{}{}:{}", text.empty() ? "" : " ", fqn.substr(fqn.rfind('/') + 1),
                            items->items[i].Find("field")->text);
      }
      page = answer.Text({"nextPageToken"});
      if (page.empty()) return text;
    }
    return std::string("no end");
  };
  EXPECT_EQ(found("q=SERVICEA.example", admin_), "service1-tier1:host");
  EXPECT_EQ(found("q=rank%3D9", admin_), "c0:label");
  EXPECT_EQ(found("q=cluster1", admin_), "cluster1:name");
  EXPECT_EQ(found("q=demo&pageSize=1", admin_), "demo-org:name demo-tenant:name demo-ws:name demo-gw-group:name");
  EXPECT_EQ(found("q=demo&parent=organizations/demo-org/tenants/demo-tenant/workspaces/demo-ws", admin_),
            "demo-ws:name demo-gw-group:name");
  EXPECT_EQ(found("q=x", admin_), "INVALID_REQUEST");
  EXPECT_EQ(found("q=demo&pageSize=101", admin_), "INVALID_REQUEST");
  const std::string eve = NewUser("eve");
  EXPECT_EQ(found("q=demo", eve), "");
  ASSERT_EQ(Post(kClusters + "/c1/accessbindings:grant",
                 R"({"role":"reader","subject":{"user":"organizations/demo-org/users/eve"}})")
                .status,
            200);
  EXPECT_EQ(found("q=rank", eve), "c1:label");
}

TEST_F(Lists, ATriedWriteIsAnsweredAndNotStored) {
  const int64_t revision = store_->Read()->revision();
  const Answer made = Send("POST", kClusters + "?dryRun=true", R"({"metadata":{"name":"c9"}})", admin_);
  EXPECT_EQ(made.status, 200) << made.text;
  EXPECT_EQ(made.Text({"metadata", "name"}), "c9");
  EXPECT_EQ(Get(kClusters + "/c9").status, 404);
  EXPECT_EQ(Send("POST", kClusters + "?dryRun=true", R"({"metadata":{"name":"c0"}})", admin_).reason(),
            "RESOURCE_EXISTS");

  const Answer before = Get(kClusters + "/c0");
  std::string body = before.text;
  body.replace(body.find("\"eu\""), 4, "\"me\"");
  const Answer changed = Send("PUT", kClusters + "/c0?dryRun=true", body, admin_);
  EXPECT_EQ(changed.Text({"spec", "locality", "region"}), "me") << changed.text;
  EXPECT_EQ(Get(kClusters + "/c0").text, before.text);

  EXPECT_EQ(Send("DELETE", kClusters + "/c0?dryRun=true", "", admin_).status, 200);
  EXPECT_EQ(Get(kClusters + "/c0").text, before.text);
  EXPECT_EQ(Send("DELETE", "/v2/organizations/demo-org/tenants/none?dryRun=true", "", admin_).status, 404);
  EXPECT_EQ(store_->Read()->revision(), revision);
}

}  // namespace
}  // namespace weir::edge
