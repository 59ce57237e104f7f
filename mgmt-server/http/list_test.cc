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
      const Answer answer = Send("GET", kClusters + "?" + query + (page.empty() ? "" : "&pageToken=" + page), "",
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
    EXPECT_EQ(Get(kClusters + "?" + other + "&pageToken=" + token).reason(), "BAD_PAGE_TOKEN") << other;
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
