#include "mgmt-server/recovery/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>
#include <fstream>

#include "libs/base/file.h"
#include "libs/base/ids.h"
#include "mgmt-server/audit/audit.h"
#include "mgmt-server/authn/administrator.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/ca/ca.h"
#include "mgmt-server/recovery/reset_password.h"
#include "mgmt-server/recovery/state_folder.h"
#include "mgmt-server/store/sqlite/sqlite_store.h"

namespace weir::recovery {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// The state of a first start, as a server leaves it.
class VerifyTest : public testing::Test {
 protected:
  VerifyTest() : folder_(fs::temp_directory_path() / ("weir-verify-" + RandomHex(6))) {
    fs::create_directories(folder_);
    fs::permissions(folder_, fs::perms::owner_all);
    auto store = Open();
    authn::Options options;
    options.cost = {.memory_kib = 64, .passes = 1};
    const authn::Authn authn(*store, options);
    EXPECT_TRUE(authn::EnsureAdministrator(*store, authn,
                                           {.organization = "acme", .user = "admin", .state_dir = folder_.string()})
                    .ok());
    const ca::Blobs blobs{.load = [&](const std::string&) { return std::optional<std::string>(); },
                          .save = [&](const std::string& name, const std::string& content) -> Status {
                            return store->Write([&](store::Txn& txn) { return txn.PutCaMaterial(name, content); });
                          }};
    EXPECT_TRUE(ca::ServerCa::Open(blobs, {.organization_domain = "acme", .names = {}}).ok());
    EXPECT_TRUE(store
                    ->Write([&](store::Txn& txn) {
                      store::FactsChange facts;
                      facts.cluster_uid = "c";
                      facts.workloads["n/w"] = "";
                      return txn.ApplyFacts(facts);
                    })
                    .ok());
  }
  ~VerifyTest() override { fs::remove_all(folder_); }

  std::unique_ptr<store::Store> Open() {
    auto opened = store::OpenSqlite({.path = StorePath(folder_)}, authz::TenancyPolicy());
    EXPECT_TRUE(opened.ok()) << (opened.ok() ? "" : opened.error().ToString());
    return opened.ok() ? std::move(opened).value() : nullptr;
  }
  // A copy on which somebody was at work.
  std::string Changed(const std::string& sql) {
    std::string copy = folder_ / ("copy-" + RandomHex(4));
    EXPECT_TRUE(store::BackupSqlite(StorePath(folder_), copy).ok());
    sqlite3* db = nullptr;
    EXPECT_EQ(sqlite3_open(copy.c_str(), &db), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
    sqlite3_close(db);
    return copy;
  }
  static constexpr const char* kToSchema3 =
      "DROP TABLE overlays; DROP TABLE change_sets; DROP TABLE kept_answers; DROP TABLE used_assertions; ALTER TABLE "
      "sessions DROP COLUMN "
      "key_thumbprint; "
      "DROP TABLE revisions; DROP TABLE audit_anchor; DELETE FROM counters WHERE name LIKE 'history%'; PRAGMA "
      "user_version = 3";

  const fs::path folder_;
};

TEST_F(VerifyTest, ASoundStateIsSoundAndSaysWhatItHolds) {
  const std::string backup = Changed("SELECT 1");
  const auto verdict = Verify(backup, Clock::Real());
  ASSERT_TRUE(verdict.ok()) << verdict.error().ToString();
  EXPECT_THAT(verdict->findings, IsEmpty());
  EXPECT_EQ(verdict->lineage.size(), 32u);
  EXPECT_EQ(verdict->resources, 4u) << "organization, administrator, bindings of both";
  EXPECT_GT(verdict->revision, 0);
  EXPECT_EQ(verdict->audit_head, ToHex(Open()->Read()->audit_head()));
}

TEST_F(VerifyTest, FindsWhateverIsWrong) {
  const struct {
    const char* sql;
    const char* finding;
  } cases[] = {
      {"UPDATE audit SET principal = 'mal' WHERE sequence = 1", "audit record 1 was changed"},
      {"DELETE FROM audit WHERE sequence = 1", "audit record 1 is missing"},
      {"UPDATE audit_anchor SET sequence = 1, hash = (SELECT hash FROM audit WHERE sequence = 1)",
       "no record says why"},
      {"UPDATE versions SET body = x'ff' WHERE kind = 'Organization'", "organizations/acme cannot be read"},
      {"INSERT INTO versions SELECT id + 1, 'u', 'organizations/acme/things/t', 'Thing', etag, x'', x'', 1, 0, 0 FROM "
       "versions ORDER BY id DESC LIMIT 1",
       "is no resource"},
      {"DELETE FROM revisions WHERE revision = 1", "nobody is known to have made revision 1"},
      {"DELETE FROM ca_material", "no keys"},
      {"DELETE FROM ca_material WHERE name = 'root'", "mesh root is not"},
      {"UPDATE ca_material SET content = x'00' WHERE name = 'anchor'", "\"anchor\" cannot be used"},
      {"UPDATE facts SET body = x'ff'", "reported of n/w"},
  };
  for (const auto& c : cases) {
    const auto verdict = Verify(Changed(c.sql), Clock::Real());
    ASSERT_TRUE(verdict.ok()) << c.sql << ": " << verdict.error().ToString();
    EXPECT_THAT(verdict->findings, Contains(HasSubstr(c.finding))) << c.sql;
  }
}

TEST_F(VerifyTest, RefusesWhatNoServerWouldStartOn) {
  const struct {
    const char* sql;
    const char* reason;
  } cases[] = {
      {"DELETE FROM lineages", "STORE_DAMAGED"},
      {"DELETE FROM versions WHERE kind = 'User'", "STORE_DAMAGED"},  // Bindings name it.
      {"PRAGMA user_version = 99", "STORE_TOO_NEW"},
  };
  for (const auto& c : cases) {
    const auto verdict = Verify(Changed(c.sql), Clock::Real());
    ASSERT_FALSE(verdict.ok()) << c.sql;
    EXPECT_EQ(verdict.error().reason, c.reason) << c.sql;
  }
  EXPECT_THAT(Verify(Changed("PRAGMA user_version = 99"), Clock::Real()).error().message, HasSubstr("a newer one"));
  EXPECT_EQ(Verify(folder_ / "nowhere", Clock::Real()).error().reason, "STORE_MISSING");
  ASSERT_TRUE(WriteFileAtomic(folder_ / "text", "no store\n").ok());
  EXPECT_EQ(Verify(folder_ / "text", Clock::Real()).error().reason, "STORE_DAMAGED");
}

TEST_F(VerifyTest, ChangesNothingAlsoOfAnOlderSchemaOrARunningServer) {
  const std::string older = Changed(kToSchema3);
  const std::string before = *ReadFile(older, 64u << 20);
  const auto verdict = Verify(older, Clock::Real());
  ASSERT_TRUE(verdict.ok()) << verdict.error().ToString();
  EXPECT_THAT(verdict->findings, IsEmpty());
  EXPECT_EQ(*ReadFile(older, 64u << 20), before);
  const auto running = Open();
  const auto live = Verify(StorePath(folder_), Clock::Real());
  ASSERT_TRUE(live.ok()) << live.error().ToString();
  EXPECT_THAT(live->findings, IsEmpty());
  EXPECT_TRUE(running->Write([](store::Txn& txn) { return audit::Append(txn, {}); }).ok());
}

// What was written before authors had a table of their own has them from the audit.
TEST_F(VerifyTest, AnOlderStateGetsItsAuthorsFromTheAudit) {
  {
    const auto store = Open();
    const store::ResourcePtr admin = store->Read()->Get("organizations/acme/users/admin");
    ASSERT_TRUE(store
                    ->Write([&](store::Txn& txn) -> Status {
                      WEIR_ASSIGN(const auto put,
                                  txn.Put({"Tenant", "organizations/acme/tenants/t", "", {}, std::nullopt}));
                      audit::Record record;
                      record.principal = admin->fqn;
                      record.action = "create";
                      record.request_id = "r-1";
                      WEIR_TRY(audit::Append(txn, record));
                      return authz::OnCreate(txn, *put, {});
                    })
                    .ok());
  }
  const std::string older = Changed(kToSchema3);
  const auto opened = store::OpenSqlite({.path = older}, authz::TenancyPolicy());
  ASSERT_TRUE(opened.ok()) << opened.error().ToString();
  const store::ViewPtr view = (*opened)->Read();
  const auto revision = (*opened)->GetRevision(view->revision());
  ASSERT_TRUE(revision.ok()) << revision.error().ToString();
  EXPECT_EQ(revision->principal, "organizations/acme/users/admin");
  EXPECT_EQ(revision->request_id, "r-1");
  EXPECT_EQ(*(*opened)->MarkOf(view->revision()), view->position().mark);
  EXPECT_EQ((*opened)->GetRevision(1)->principal, "") << "the first start";
}

TEST_F(VerifyTest, APasswordIsResetOfAServerThatDoesNotRun) {
  {
    const auto position = Open()->Read()->position();
    ASSERT_TRUE(WriteHistory(folder_, {position.lineages.back(), position.revision(), {}}).ok());
  }
  EXPECT_EQ(ResetPasswordOf(folder_, "nobody", Clock::Real()).error().reason, "USER_UNKNOWN");
  {
    const auto running = Open();
    EXPECT_EQ(ResetPasswordOf(folder_, "admin", Clock::Real()).error().reason, "STORE_LOCKED");
  }
  const auto reset = ResetPasswordOf(folder_, "admin", Clock::Real());
  ASSERT_TRUE(reset.ok()) << reset.error().ToString();
  EXPECT_EQ(reset->user_fqn, "organizations/acme/users/admin");
  EXPECT_EQ(fs::status(reset->path).permissions(), fs::perms::owner_read | fs::perms::owner_write);
  std::string password = *ReadFile(reset->path);
  password.pop_back();
  const auto store = Open();
  authn::Authn authn(*store, {});
  EXPECT_TRUE(authn.LogIn("acme", "admin", password, "here").ok());
  EXPECT_EQ(store->AuditBefore(INT64_MAX, 1)->front().action, "reset-password");
  const auto checked = CheckStateFolder(folder_);
  EXPECT_TRUE(checked.ok()) << checked.error().ToString();
  EXPECT_TRUE(audit::Verify(*store).ok());
}

}  // namespace
}  // namespace weir::recovery
