#include <gtest/gtest.h>

#include <filesystem>

#include "libs/base/ids.h"
#include "libs/base/sha256.h"
#include "mgmt-server/store/sqlite/sqlite_store.h"
#include "mgmt-server/store/temp_store.h"

namespace weir::store {
namespace {

std::unique_ptr<Store> OpenIn(const std::filesystem::path& folder, const Clock& clock) {
  SqliteOptions options;
  options.path = folder / "weir.db";
  options.clock = &clock;
  auto opened = OpenSqlite(std::move(options), NoPolicy::Get());
  EXPECT_TRUE(opened.ok());
  return std::move(opened).value();
}

// A token that was used stays used, whatever happens to the server.
TEST(JoinTokens, ServeOnceOverRestarts) {
  ManualClock clock;
  const auto folder = std::filesystem::temp_directory_path() / ("weir-" + RandomHex(6));
  std::filesystem::create_directories(folder);
  const std::string hash = Sha256("token"), other = Sha256("other");
  const auto use = [](Store& store, const std::string& token) {
    const auto used = store.Write([&](Txn& txn) { return txn.UseJoinToken(token); });
    return used.ok() ? "" : used.error().reason;
  };
  {
    const auto store = OpenIn(folder, clock);
    ASSERT_TRUE(store
                    ->Write([&](Txn& txn) -> Status {
                      const auto soon = txn.now() + std::chrono::minutes(15);
                      WEIR_TRY(txn.PutJoinToken({hash, "c1", txn.now(), soon, false}));
                      return txn.PutJoinToken({other, "c1", txn.now(), soon, false});
                    })
                    .ok());
    EXPECT_EQ(use(*store, hash), "");
  }
  const auto store = OpenIn(folder, clock);
  EXPECT_EQ(use(*store, hash), "JOIN_TOKEN_USED");
  clock.Advance(std::chrono::minutes(15));  // Its end is not part of its life.
  EXPECT_EQ(use(*store, other), "JOIN_TOKEN_EXPIRED");
  std::filesystem::remove_all(folder);
}

// A report that comes late makes nobody older than he is.
TEST(LastSeen, NeverGoesBack) {
  ManualClock clock;
  const auto folder = std::filesystem::temp_directory_path() / ("weir-" + RandomHex(6));
  std::filesystem::create_directories(folder);
  {
    const auto store = OpenIn(folder, clock);
    const WallTime now = std::chrono::floor<std::chrono::microseconds>(clock.Wall());
    ASSERT_TRUE(store->Write([&](Txn& txn) -> Status { return txn.SetConnection("c1", true, "1", now); }).ok());
    const auto seen = [&](WallTime at) {
      EXPECT_TRUE(store->Write([&](Txn& txn) -> Status { return txn.SetLastSeen("c1", at); }).ok());
      return store->Read()->Facts("c1")->last_seen;
    };
    EXPECT_EQ(seen(now + std::chrono::seconds(5)), now + std::chrono::seconds(5));
    EXPECT_EQ(seen(now), now + std::chrono::seconds(5));
    ASSERT_TRUE(store->Write([&](Txn& txn) -> Status { return txn.SetLastSeen("nobody", now); }).ok());
    EXPECT_EQ(store->Read()->Facts("nobody"), nullptr);
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace weir::store
