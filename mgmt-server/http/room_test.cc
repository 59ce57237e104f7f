#include <semaphore>
#include <thread>

#include "mgmt-server/http/rest_fixture.h"
#include "mgmt-server/services/in_work.h"
#include "mgmt-server/services/writes.h"
#include "tests/support/real_time.h"

// How much may be stored, and how much goes in one write.
namespace weir::edge {
namespace {

TEST_F(RestApi, ALargeDeletionLetsOthersWriteBetween) {
  ASSERT_EQ(Apply(kSurroundings).status, 200);
  constexpr size_t kGroups = services::Writes::kMostOfDeletion + 100;
  std::string groups;
  for (size_t i = 0; i < kGroups; ++i) {
    groups += fmt::format(
        "---\napiVersion: gateway.weir.dev/v2\nkind: GatewayGroup\nmetadata: {{name: g{}, organization: demo-org, "
        "tenant: demo-tenant, workspace: demo-ws}}\n",
        i);
  }
  ASSERT_EQ(Apply(groups).status, 200);
  const std::string tenant = "/v2/organizations/demo-org/tenants/demo-tenant";
  const int64_t before = store_->Read()->revision();
  EXPECT_EQ(Send("DELETE", tenant + "?cascade=true&resourceVersion=made-up", "", admin_).reason(), "ETAG_MISMATCH");
  EXPECT_EQ(store_->Read()->revision(), before);
  EXPECT_EQ(Send("DELETE", tenant + "?cascade=true&dryRun=true", "", admin_).reason(), "DRY_RUN_TOO_LARGE");
  EXPECT_EQ(store_->Read()->revision(), before) << "a dry run deletes nothing";
  const std::string etag = Get(tenant).etag;
  EXPECT_EQ(Send("DELETE", tenant + "?cascade=true", "", admin_, {{"If-Match", etag}}).status, 200);
  EXPECT_EQ(store_->Read()->revision(), before + 2) << "in two writes";
  EXPECT_EQ(Get(tenant).status, 404);
  store_->Read()->ForEach("organizations/demo-org/tenants/demo-tenant", "", [](const store::ResourcePtr& left) {
    ADD_FAILURE() << left->fqn;
    return false;
  });
  EXPECT_EQ(Apply(kSurroundings).status, 200);
}

class SmallRestApi : public RestApi {
 protected:
  void SetUp() override {
    bounds_ = {.of_tenant = 10, .of_organization = 40};
    RestApi::SetUp();
  }
  Answer AddGroup(const std::string& tenant, const std::string& name) {
    return Apply("apiVersion: gateway.weir.dev/v2\nkind: GatewayGroup\nmetadata: {name: " + name +
                 ", organization: demo-org, tenant: " + tenant + ", workspace: demo-ws}\n");
  }
};

// Each resource has its bindings, which count too.
TEST_F(SmallRestApi, ATenantStoresNoMoreThanItsShare) {
  ASSERT_EQ(Apply(kSurroundings).status, 200);  // A workspace and a group of the tenant.
  Answer last;
  int groups = 1;
  while ((last = AddGroup("demo-tenant", "more" + std::to_string(groups))).status == 200) ++groups;
  EXPECT_EQ(last.status, 429);
  EXPECT_EQ(last.reason(), "TOO_MANY_RESOURCES");
  EXPECT_THAT(last.text, HasSubstr("organizations/demo-org/tenants/demo-tenant holds 10"));
  EXPECT_EQ(store_->Read()->CountBelow("organizations/demo-org/tenants/demo-tenant"), 11u);  // Of the tenant: its own.
  EXPECT_EQ(AddGroup("demo-tenant", "more1").status, 200) << "what is there may be changed";
  const std::string tenants = "/v2/organizations/demo-org/tenants";
  int made = 0;
  while ((last = Post(tenants, R"({"metadata":{"name":"t)" + std::to_string(made) + R"("}})")).status == 200) ++made;
  EXPECT_GT(made, 5) << "one full tenant leaves room to others";
  EXPECT_EQ(last.reason(), "TOO_MANY_RESOURCES");
  EXPECT_THAT(last.text, HasSubstr("organizations/demo-org holds 40"));
  ASSERT_EQ(Send("DELETE", tenants + "/t0", "", admin_).status, 200);
  EXPECT_EQ(Post(tenants, R"({"metadata":{"name":"again"}})").status, 200);
}

// Tests that hold the writer while others want it.
class HeldWriter {
 public:
  explicit HeldWriter(store::Store& store)
      : thread_([this, &store] {
          (void)store.Write([this](store::Txn&) -> Status {
            begun_.release();
            go_.acquire();
            return {};
          });
        }) {
    begun_.acquire();
  }
  ~HeldWriter() { Release(); }
  void Release() {
    if (!thread_.joinable()) return;
    go_.release();
    thread_.join();
  }

 private:
  std::binary_semaphore begun_{0}, go_{0};
  std::thread thread_;
};

TEST(InWorkTest, OneHasHisShareAndAllHaveTheirs) {
  services::InWork room(10, 25);
  auto first = room.Take("a", 6);
  EXPECT_NE(first, nullptr);
  EXPECT_EQ(room.Take("a", 5), nullptr);
  const auto second = room.Take("a", 4);
  const auto other = room.Take("b", 10);
  EXPECT_NE(second, nullptr);
  EXPECT_NE(other, nullptr);
  EXPECT_EQ(room.Take("c", 6), nullptr) << "of all";
  EXPECT_NE(room.Take("c", 5), nullptr) << "and given back at once";
  first.reset();
  EXPECT_NE(room.Take("a", 6), nullptr);
  EXPECT_EQ(room.Take("a", 7), nullptr);
}

TEST_F(RestApi, DocumentsInWorkAreBoundedByPrincipal) {
  const auto apply = [&](const std::string& documents) {
    auto client = http::Client::Create(
        {.port = server_->port(), .ca_pem = ca_->anchor_pem(), .spiffe_id = "", .server_name = ""});
    document::Node body = document::Node::Map();
    body.Add("documents", document::Node::String(documents));
    const auto answer = client->Do(
        {"POST", "/v2/documents:apply", {{"Authorization", "Bearer " + admin_}}, document::WriteJson(body), ""});
    EXPECT_TRUE(answer.ok()) << answer.error().ToString();
    return answer.ok() ? *answer : http::Response();
  };
  const std::string large = kSurroundings + ("#" + std::string(900'000, 'x')) + "\n";
  {
    HeldWriter writer(*store_);
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([&] {  // What is asked below may have the room when it comes.
        EXPECT_TRUE(Eventually([&] { return apply(large).status == 200; }));
      });
    }
    // Without a document it never comes to the writer: refused as empty while there is room, then for want of it.
    http::Response refused;
    EXPECT_TRUE(Eventually([&] { return (refused = apply("#" + std::string(500'000, 'x'))).status == 429; }));
    EXPECT_THAT(refused.body, HasSubstr("DOCUMENTS_IN_WORK"));
    EXPECT_EQ(refused.Header("retry-after"), "1");
    writer.Release();
    for (auto& thread : threads) thread.join();
  }
  EXPECT_EQ(apply(large).status, 200) << "places are given back";
}

TEST_F(RestApi, WhoHasLeftIsNotWrittenFor) {
  const std::string path = "/v2/organizations/demo-org/tenants";
  ASSERT_EQ(Get(path).status, 200);
  {
    HeldWriter writer(*store_);
    {
      auto lost = http::Client::Create({.port = server_->port(),
                                        .ca_pem = ca_->anchor_pem(),
                                        .spiffe_id = "",
                                        .server_name = "",
                                        .request_timeout = std::chrono::milliseconds(300)});
      const auto answer =
          lost->Do({"POST", path, {{"Authorization", "Bearer " + admin_}}, R"({"metadata":{"name":"left"}})", ""});
      EXPECT_FALSE(answer.ok());
    }
    EXPECT_TRUE(Eventually([&] { return server_->connections() == 1; })) << "it is noticed while its call waits";
    writer.Release();
  }
  EXPECT_EQ(Post(path, R"({"metadata":{"name":"stayed"}})").status, 200);
  server_->Stop();  // Every call has ended.
  EXPECT_EQ(store_->Read()->Get("organizations/demo-org/tenants/left"), nullptr);
  EXPECT_NE(store_->Read()->Get("organizations/demo-org/tenants/stayed"), nullptr);
}

}  // namespace
}  // namespace weir::edge
