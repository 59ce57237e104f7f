// A write does the same work in a large store as in a small one: counted, not timed.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>

#include "api/weir/v2/tenant.pb.h"
#include "libs/base/ids.h"
#include "libs/base/sha256.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/services/writes.h"
#include "mgmt-server/store/sqlite/sqlite_store.h"
#include "tests/conformance/counted_heap.h"

namespace {

thread_local size_t statements = 0;

int CountStatement(unsigned, void*, void*, void*) {
  ++statements;
  return 0;
}
int OnOpen(sqlite3* db, const char**, const void*) {
  return sqlite3_trace_v2(db, SQLITE_TRACE_STMT, CountStatement, nullptr);
}

}  // namespace

namespace weir {
namespace {

namespace fs = std::filesystem;
using store::Txn;

constexpr const char* kOrg = "organizations/o";
constexpr int kMeasured = 40;

struct Cost {
  double statements, pages, allocations, bytes;
  size_t largest;
};

// The real way of a creation through authorization, store and audit; only the REST door is missing.
class WriteCost : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(sqlite3_auto_extension(reinterpret_cast<void (*)()>(OnOpen)), SQLITE_OK);
    fs::create_directories(folder_);
    // No checkpoint: the log grows by the pages that the commits write.
    auto opened =
        store::OpenSqlite({.path = folder_ / "weir.db", .checkpoint_pages = 10'000'000}, authz::TenancyPolicy());
    ASSERT_TRUE(opened.ok());
    store_ = std::move(opened).value();
    writes_ = std::make_unique<services::Writes>(*store_);
    const Status made = store_->Write([&](Txn& txn) -> Status {
      WEIR_ASSIGN(const store::ResourcePtr organization, txn.Put({"Organization", kOrg, "", {}, ""}));
      WEIR_TRY(authz::OnCreate(txn, *organization, {}));
      WEIR_ASSIGN(const store::ResourcePtr user, txn.Put({"User", "organizations/o/users/u", "", {}, ""}));
      WEIR_TRY(authz::OnCreate(txn, *user, {}));
      call_.principal = {user->fqn, user->uid};
      return authz::GrantInstallation(txn, kOrg, user->uid);
    });
    ASSERT_TRUE(made.ok()) << made.error().ToString();
  }
  void TearDown() override {
    store_.reset();
    (void)sqlite3_cancel_auto_extension(reinterpret_cast<void (*)()>(OnOpen));
    fs::remove_all(folder_);
  }

  // Names without an order, all by one user, who so becomes the administrator of each.
  Status CreateNext(Txn& txn) {
    const std::string name = "t" + ToHex(Sha256(std::to_string(created_++))).substr(0, 20);
    WEIR_ASSIGN(const resource::Fqn fqn, resource::ParseFqn(std::string(kOrg) + "/tenants/" + name));
    services::Draft draft = services::MakeDraft(fqn, std::make_unique<v2::Tenant>());
    std::vector<services::Issue> issues;
    WEIR_TRY(writes_->Create(txn, call_, draft, services::OwnedBy(*draft.message, "test"), issues));
    return {};
  }
  void FillTo(int count) {
    while (created_ < count) {
      const Status filled = store_->Write([&](Txn& txn) -> Status {
        for (int i = 0; i < 500 && created_ < count; ++i) WEIR_TRY(CreateNext(txn));
        return {};
      });
      ASSERT_TRUE(filled.ok()) << filled.error().ToString();
    }
  }
  Cost Measure() {
    const auto log_bytes = [&] { return fs::file_size(folder_ / "weir.db-wal"); };
    const auto before = log_bytes();
    statements = 0;
    heap = {};
    for (int i = 0; i < kMeasured; ++i) {
      heap.counts = true;
      const Status written = store_->Write([&](Txn& txn) { return CreateNext(txn); });
      heap.counts = false;
      EXPECT_TRUE(written.ok());
    }
    const double pages = static_cast<double>(log_bytes() - before) / (4096 + 24);
    return {static_cast<double>(statements) / kMeasured, pages / kMeasured, static_cast<double>(heap.calls) / kMeasured,
            static_cast<double>(heap.bytes) / kMeasured, heap.largest};
  }

  const fs::path folder_ = fs::temp_directory_path() / ("weir-cost-" + RandomHex(6));
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<services::Writes> writes_;
  services::CallContext call_;
  int created_ = 0;
};

TEST_F(WriteCost, ACreationDoesTheSameWorkBesideTenThousandAsBesideAHundred) {
  FillTo(100);
  const Cost small = Measure();
  FillTo(10'000);
  const Cost large = Measure();
  for (const auto& [name, cost] : {std::pair("100", small), std::pair("10,000", large)}) {
    std::printf("%6s tenants: %.1f statements, %.1f pages, %.0f allocations, %.0f bytes, largest %zu\n", name,
                cost.statements, cost.pages, cost.allocations, cost.bytes, cost.largest);
  }
  // BEGIN, two versions, audit, revision, COMMIT.
  EXPECT_EQ(small.statements, 6);
  EXPECT_EQ(large.statements, small.statements);
  // A leaf of each table and index that is written: the depth of a tree is read, not written.
  EXPECT_LE(small.pages, 7);
  EXPECT_LE(large.pages, small.pages + 2);
  // Paths in balanced trees: twice the logarithm at most.
  EXPECT_LE(large.allocations, 2 * small.allocations);
  EXPECT_LE(large.bytes, 2 * small.bytes);
  // Nothing that holds one item for each of a user's ten thousand roles is copied.
  EXPECT_LE(large.largest, 4096u);
}

}  // namespace
}  // namespace weir
