#include "mgmt-server/services/kept_answers.h"

#include <future>

#include "mgmt-server/http/rest_fixture.h"
#include "tests/support/real_time.h"

namespace weir::edge {
namespace {

const std::string kTenants = "/v2/organizations/demo-org/tenants";

class KeptAnswers : public RestApi {
 protected:
  Answer Keyed(const std::string& method, const std::string& target, const std::string& body, const std::string& key,
               const std::string& token = "") {
    return Send(method, target, body, token.empty() ? admin_ : token, {{"Idempotency-Key", key}});
  }
  // An answer that somebody has kept, under one key.
  void Put(const std::string& principal, size_t bytes) {
    const auto stored = store_->Write([&](store::Txn& txn) {
      return txn.PutKey(
          {.principal_uid = principal, .key = "large", .request_hash = "h", .created = txn.now(), .bytes = 0},
          std::string(bytes, 'x'));
    });
    ASSERT_TRUE(stored.ok()) << stored.error().ToString();
  }
  static std::string Tenant(const std::string& name, const std::string& text = "") {
    return R"({"metadata":{"name":")" + name + R"(","displayName":")" + text + R"("}})";
  }
};

TEST_F(KeptAnswers, AWriteIsDoneOnceAndAnsweredAgain) {
  const Answer first = Keyed("POST", kTenants, Tenant("a"), "one");
  ASSERT_EQ(first.status, 200) << first.text;
  const int64_t revision = store_->Read()->revision();
  const int64_t records = store_->Read()->audit_count();
  // Somebody else changed it meanwhile: the answer is the first one all the same.
  const Answer again = Keyed("POST", kTenants, Tenant("a"), "one");
  EXPECT_EQ(again.text, first.text);
  EXPECT_EQ(again.etag, first.etag);
  EXPECT_EQ(store_->Read()->revision(), revision);
  EXPECT_EQ(store_->Read()->audit_count(), records);
  EXPECT_EQ(Keyed("POST", kTenants, Tenant("a"), "two").reason(), "RESOURCE_EXISTS");
  const std::string update =
      R"({"metadata":{"displayName":"A","resourceVersion":")" + first.Text({"metadata", "resourceVersion"}) + R"("}})";
  const Answer updated = Keyed("PUT", kTenants + "/a", update, "three");
  ASSERT_EQ(updated.status, 200) << updated.text;
  EXPECT_EQ(Keyed("PUT", kTenants + "/a", update, "three").text, updated.text) << "not ETAG_MISMATCH";
  EXPECT_EQ(Keyed("DELETE", kTenants + "/a", "", "four").status, 200);
  EXPECT_EQ(Keyed("DELETE", kTenants + "/a", "", "four").status, 200) << "not RESOURCE_MISSING";
  EXPECT_EQ(Keyed("DELETE", kTenants + "/a", "", "five").status, 404);
}

TEST_F(KeptAnswers, OfDocumentsAndBindingsToo) {
  document::Node body = document::Node::Map();
  body.Add("documents", document::Node::String(kSurroundings));
  const Answer first = Keyed("POST", "/v2/documents:apply", document::WriteJson(body), "apply");
  ASSERT_EQ(first.status, 200) << first.text;
  EXPECT_THAT(first.text, HasSubstr("CREATED"));
  EXPECT_EQ(Keyed("POST", "/v2/documents:apply", document::WriteJson(body), "apply").text, first.text);
  EXPECT_THAT(Keyed("POST", "/v2/documents:apply", document::WriteJson(body), "other").text, HasSubstr("UNCHANGED"));
  NewUser("ann");
  const std::string grant = R"({"role":"reader","subject":{"user":"organizations/demo-org/users/ann"}})";
  const std::string bindings = "/v2/organizations/demo-org/accessbindings:";
  const Answer granted = Keyed("POST", bindings + "grant", grant, "grant");
  ASSERT_EQ(granted.status, 200) << granted.text;
  EXPECT_EQ(Post(bindings + "revoke", grant).status, 200);
  EXPECT_EQ(Keyed("POST", bindings + "grant", grant, "grant").text, granted.text) << "and it is not given again";
  EXPECT_EQ(Post(bindings + "revoke", grant).text, Post(bindings + "revoke", grant).text);
}

TEST_F(KeptAnswers, AKeyIsForOneRequestOfOneCaller) {
  ASSERT_EQ(Keyed("POST", kTenants, Tenant("a"), "one").status, 200);
  EXPECT_EQ(Keyed("POST", kTenants, Tenant("a", "other"), "one").reason(), "IDEMPOTENCY_KEY_REUSED");
  EXPECT_EQ(Keyed("DELETE", kTenants + "/a", "", "one").reason(), "IDEMPOTENCY_KEY_REUSED");
  // Of somebody else it is another key; what he may not see he is not answered.
  EXPECT_EQ(Keyed("POST", kTenants, Tenant("a"), "one", NewUser("ann")).reason(), "PARENT_MISSING");
  EXPECT_EQ(Keyed("POST", kTenants, Tenant("b"), "two words").reason(), "BAD_IDEMPOTENCY_KEY");
  EXPECT_EQ(Keyed("POST", kTenants, Tenant("b"), std::string(256, 'k')).reason(), "BAD_IDEMPOTENCY_KEY");
  EXPECT_EQ(Keyed("GET", kTenants, "", "one").reason(), "IDEMPOTENCY_KEY_NOT_TAKEN");
  EXPECT_EQ(Keyed("POST", "/v2/logout", "", "one").reason(), "IDEMPOTENCY_KEY_NOT_TAKEN");
}

TEST_F(KeptAnswers, WhatWasRefusedOrTriedIsNotKept) {
  EXPECT_EQ(Keyed("POST", kTenants + "/a/workspaces", R"({"metadata":{"name":"w"}})", "w").status, 404);
  ASSERT_EQ(Keyed("POST", kTenants, Tenant("a"), "try", "").status, 200);
  const size_t keys = store_->Read()->key_count();
  EXPECT_EQ(Keyed("POST", kTenants + "?dryRun=true", Tenant("b"), "dry").status, 200);
  EXPECT_EQ(store_->Read()->key_count(), keys);
  EXPECT_EQ(Keyed("POST", kTenants + "?dryRun=true", Tenant("b"), "try").status, 200) << "it uses no key";
  const Answer now = Keyed("POST", kTenants + "/a/workspaces",
                           R"({"metadata":{"name":"w"},"spec":{"namespaceSelector":{"names":["*/w"]}}})", "w");
  EXPECT_EQ(now.status, 200) << now.text << ": its fault is mended, and the key was not used up";
}

TEST_F(KeptAnswers, OfTwoAtOnceOneIsDoneAndTheOtherIsTold) {
  std::promise<void> entered, go;
  auto hold = std::async(std::launch::async, [&] {
    return store_->Write([&](store::Txn&) -> Status {
      entered.set_value();
      go.get_future().wait();
      return {};
    });
  });
  entered.get_future().wait();
  Mutex mutex;
  std::vector<int> answers;  // In the order in which they came.
  const auto ask = [&] {
    auto client = http::Client::Create(
        {.port = server_->port(), .ca_pem = ca_->anchor_pem(), .spiffe_id = "", .server_name = ""});
    const auto answer = client->Do(
        {"POST", kTenants, {{"Authorization", "Bearer " + admin_}, {"Idempotency-Key", "k"}}, Tenant("a"), ""});
    MutexLock lock(mutex);
    answers.push_back(answer->status);
  };
  auto one = std::async(std::launch::async, ask), other = std::async(std::launch::async, ask);
  const auto answered = [&] {
    MutexLock lock(mutex);
    return answers;
  };
  EXPECT_TRUE(Eventually([&] { return answered() == std::vector<int>{409}; })) << "while the first waits for its turn";
  go.set_value();
  one.get();
  other.get();
  EXPECT_TRUE(hold.get().ok());
  EXPECT_EQ(answered(), (std::vector<int>{409, 200}));
}

TEST_F(KeptAnswers, OutliveARestartForADay) {
  const auto uid = authn_->Authenticate(admin_)->uid;
  ASSERT_EQ(Keyed("POST", kTenants, Tenant("a"), "one").status, 200);
  const auto put = [&](const std::string& key, std::chrono::hours ago) {
    return store_->Write([&](store::Txn& txn) -> Status {
      return txn.PutKey({.principal_uid = uid, .key = key, .request_hash = "h", .created = txn.now() - ago, .bytes = 0},
                        "x");
    });
  };
  ASSERT_TRUE(put("old", std::chrono::hours(25)).ok());
  EXPECT_EQ(Keyed("POST", kTenants, Tenant("b"), "old").status, 200) << "as if it had never been used";
  ASSERT_TRUE(put("older", std::chrono::hours(26)).ok());
  const std::string copy = folder_ + "/copy.db";
  ASSERT_TRUE(store::BackupSqlite(folder_ + "/weir.db", copy).ok());
  store::SqliteOptions options;
  options.path = copy;
  const auto reopened = store::OpenSqlite(options, authz::TenancyPolicy());
  ASSERT_TRUE(reopened.ok()) << reopened.error().ToString();
  store::Store& store = **reopened;
  ASSERT_NE(store.Read()->FindKey(uid, "one"), nullptr);
  EXPECT_GT(store.KeptAnswer(uid, "one")->size(), 10u);
  const auto dropped = store.Write([](store::Txn& txn) { return txn.DropKeys(txn.now() - store::kKeyLifetime, 100); });
  EXPECT_EQ(*dropped, 1);
  EXPECT_EQ(store.Read()->FindKey(uid, "older"), nullptr);
  EXPECT_EQ(store.KeptAnswer(uid, "older").error().reason, "KEY_UNKNOWN");
  EXPECT_NE(store.Read()->FindKey(uid, "old"), nullptr) << "it was used anew";
}

TEST_F(KeptAnswers, SoManyBytesOfOneCallerAndOfAll) {
  const auto uid = authn_->Authenticate(admin_)->uid;
  Put(uid, services::kKeyBytesOfOne - 100);
  EXPECT_EQ(store_->Read()->KeyBytesOf(uid), services::kKeyBytesOfOne - 100);
  EXPECT_EQ(Keyed("POST", kTenants, Tenant("a"), "k").reason(), "TOO_MANY_IDEMPOTENCY_KEYS");
  EXPECT_EQ(Get(kTenants + "/a").status, 404) << "nothing was stored";
  Put(uid, 10);  // In its place.
  EXPECT_EQ(store_->Read()->KeyBytesOf(uid), 10u);
  EXPECT_EQ(Keyed("POST", kTenants, Tenant("a"), "k").status, 200);
  const size_t own = store_->Read()->KeyBytesOf(uid);
  EXPECT_GT(own, 10u);
  EXPECT_LT(own, 10'000u);
  // However much the others have, some of his is kept.
  for (int i = 0; i < 9; ++i) Put("other-" + std::to_string(i), services::kKeyBytesOfOne - 100);
  EXPECT_GT(store_->Read()->key_bytes(), services::kKeyBytesOfAll);
  EXPECT_EQ(Keyed("POST", kTenants, Tenant("b"), "l").status, 200);
  Put(uid, services::kKeyBytesAlways);
  EXPECT_EQ(Keyed("POST", kTenants, Tenant("c"), "m").reason(), "TOO_MANY_IDEMPOTENCY_KEYS");
}

TEST_F(KeptAnswers, WhatIsDroppedCountsNoMoreAndAStartCountsWhatIsThere) {
  Put("one", 1000);
  Put("other", 5000);
  const std::string copy = folder_ + "/copy.db";
  ASSERT_TRUE(store::BackupSqlite(folder_ + "/weir.db", copy).ok());
  store::SqliteOptions options;
  options.path = copy;
  const auto reopened = store::OpenSqlite(options, authz::TenancyPolicy());
  ASSERT_TRUE(reopened.ok()) << reopened.error().ToString();
  EXPECT_EQ((*reopened)->Read()->key_bytes(), 6000u);
  EXPECT_EQ((*reopened)->Read()->KeyBytesOf("one"), 1000u);
  ASSERT_TRUE(store_->Write([](store::Txn& txn) { return txn.DropKeysOf("one"); }).ok());
  EXPECT_EQ(store_->Read()->KeyBytesOf("one"), 0u);
  EXPECT_EQ(store_->Read()->key_bytes(), 5000u);
  ASSERT_TRUE(store_->Write([](store::Txn& txn) { return txn.DropKeys(txn.now() + std::chrono::hours(1), 10); }).ok());
  EXPECT_EQ(store_->Read()->key_bytes(), 0u);
}

TEST_F(KeptAnswers, SoManyOfOneCaller) {
  const auto uid = authn_->Authenticate(admin_)->uid;
  ASSERT_TRUE(store_
                  ->Write([&](store::Txn& txn) -> Status {
                    for (size_t i = 0; i < services::kKeysOfOne; ++i) {
                      WEIR_TRY(txn.PutKey({.principal_uid = uid,
                                           .key = std::to_string(i),
                                           .request_hash = "h",
                                           .created = txn.now(),
                                           .bytes = 0},
                                          ""));
                    }
                    return {};
                  })
                  .ok());
  EXPECT_EQ(Keyed("POST", kTenants, Tenant("a"), "k").reason(), "TOO_MANY_IDEMPOTENCY_KEYS");
  EXPECT_EQ(Get(kTenants + "/a").status, 404) << "nothing was stored";
  EXPECT_EQ(Post(kTenants, Tenant("a")).status, 200);
}

}  // namespace
}  // namespace weir::edge
