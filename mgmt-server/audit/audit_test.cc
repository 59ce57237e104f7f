#include "mgmt-server/audit/audit.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>

#include "libs/base/ids.h"
#include "mgmt-server/store/sqlite/sqlite_store.h"
#include "mgmt-server/store/temp_store.h"

namespace weir::audit {
namespace {

class AuditTest : public testing::Test {
 protected:
  AuditTest() : folder_(std::filesystem::temp_directory_path() / ("weir-audit-" + RandomHex(6))) {
    std::filesystem::create_directories(folder_);
    Open();
  }
  ~AuditTest() override {
    store_.reset();
    std::filesystem::remove_all(folder_);
  }
  void Open() {
    store::SqliteOptions options;
    options.path = folder_ / "weir.db";
    auto opened = store::OpenSqlite(options, store::NoPolicy::Get());
    ASSERT_TRUE(opened.ok());
    store_ = std::move(opened).value();
  }
  void Write(const std::string& name) {
    ASSERT_TRUE(store_
                    ->Write([&](store::Txn& txn) -> Status {
                      WEIR_ASSIGN(const store::ResourcePtr put, txn.Put({"Tenant", name, "x", {}, {}}));
                      return Append(txn, {"organizations/o/users/ann", "uid-1", "create", name, put->uid, "", put->etag,
                                          "tenancy: ann > rbac/admin", "127.0.0.1", "req-1"});
                    })
                    .ok());
  }
  // What an intruder with the file can do.
  void Tamper(const std::string& sql) {
    store_.reset();
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open((folder_ / "weir.db").c_str(), &db), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
    sqlite3_close(db);
    Open();
  }

  std::filesystem::path folder_;
  std::unique_ptr<store::Store> store_;
};

TEST_F(AuditTest, RecordsWhoDidWhatInTheSameCommit) {
  Write("a");
  Write("b");
  const auto failed = store_->Write([](store::Txn& txn) -> Status {
    WEIR_TRY(Append(txn, {}));
    return Internal("NO", "no");
  });
  EXPECT_FALSE(failed.ok());
  const auto rows = store_->Audit({});
  ASSERT_EQ(rows->size(), 2u);
  EXPECT_EQ((*rows)[1].fqn, "b");
  EXPECT_EQ((*rows)[1].revision, 2);
  EXPECT_EQ((*rows)[1].after_etag, store_->Read()->Get("b")->etag);
  EXPECT_EQ((*rows)[1].path, "tenancy: ann > rbac/admin");
  EXPECT_EQ(store_->Audit({1, 10})->size(), 1u);
  const auto verified = Verify(*store_);
  ASSERT_TRUE(verified.ok());
  EXPECT_EQ(verified->records, 2);
}

TEST_F(AuditTest, FindsAnEditedARemovedAndAnInsertedRecord) {
  for (const char* name : {"a", "b", "c", "d"}) Write(name);
  const auto before = Verify(*store_);
  ASSERT_TRUE(before.ok());
  Tamper("UPDATE audit SET principal = 'organizations/o/users/eve' WHERE sequence = 2");
  EXPECT_EQ(Verify(*store_).error().reason, "AUDIT_CHAIN_BROKEN");
  EXPECT_NE(Verify(*store_).error().message.find("record 2"), std::string::npos);
  Tamper("UPDATE audit SET principal = 'organizations/o/users/ann' WHERE sequence = 2");
  EXPECT_TRUE(Verify(*store_).ok());
  Tamper("DELETE FROM audit WHERE sequence = 4");
  EXPECT_TRUE(Verify(*store_).ok()) << "a cut tail alone leaves a whole chain";
  EXPECT_EQ(Verify(*store_, 4, before->head).error().reason, "AUDIT_CHAIN_BROKEN") << "so an anchor finds it";
  Tamper("DELETE FROM audit WHERE sequence = 2; UPDATE audit SET sequence = 2 WHERE sequence = 3");
  EXPECT_FALSE(Verify(*store_).ok());
}

TEST_F(AuditTest, GoesOnAfterARestart) {
  Write("a");
  store_.reset();
  Open();
  Write("b");
  EXPECT_EQ(Verify(*store_)->records, 2);
}

}  // namespace
}  // namespace weir::audit
