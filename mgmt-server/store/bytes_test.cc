#include "mgmt-server/store/temp_store.h"

// How many bytes are stored, whoever stores them: all of it lies in memory.
namespace weir::store {
namespace {

constexpr size_t kMebibyte = 1 << 20;
const std::string kTenant = "organizations/o/tenants/t";

class BytesTest : public testing::Test {
 protected:
  static std::string Put(Txn& txn, const std::string& fqn, size_t size, char filler = 'x') {
    const auto stored = txn.Put({"Workspace", fqn, std::string(size, filler), {}, std::nullopt});
    return stored.ok() ? "" : stored.error().reason;
  }
  static std::string Of(const std::string& tenant, size_t number) {
    return tenant + "/workspaces/w" + std::to_string(number);
  }
  // Nothing of it is stored.
  void Try(const std::function<void(Txn&)>& what) {
    EXPECT_TRUE(store_
                    ->DryRun([&](Txn& txn) -> Status {
                      what(txn);
                      return {};
                    })
                    .ok());
  }

  TempStore store_;
};

TEST_F(BytesTest, OfOneObjectAreBounded) {
  Try([](Txn& txn) {
    EXPECT_EQ(Put(txn, Of(kTenant, 1), kMebibyte), "");
    EXPECT_EQ(Put(txn, Of(kTenant, 1), kMebibyte + 1), "OBJECT_TOO_LARGE");
    EXPECT_EQ(Put(txn, "organizations/o", kMebibyte + 1), "OBJECT_TOO_LARGE");
    const auto owned = txn.Put(
        {"Workspace", Of(kTenant, 2), std::string(kMebibyte - 10, 'x'), {{"spec", "weir of me"}}, std::nullopt});
    EXPECT_EQ(owned.ok() ? "" : owned.error().reason, "OBJECT_TOO_LARGE") << "who set the fields counts";
  });
}

TEST_F(BytesTest, OfATenantAreBoundedAndWhatIsThereCanBeMadeSmaller) {
  Try([](Txn& txn) {
    size_t stored = 0;
    std::string reason;
    while (stored < 400 && (reason = Put(txn, Of(kTenant, stored), kMebibyte)).empty()) ++stored;
    EXPECT_EQ(reason, "TOO_MANY_BYTES");
    EXPECT_EQ(stored, 256u);
    EXPECT_EQ(Put(txn, kTenant + "/accessbindings", kMebibyte), "TOO_MANY_BYTES") << "bindings are no way round";
    EXPECT_EQ(Put(txn, Of("organizations/o/tenants/u", 1), kMebibyte), "") << "another's room is his";
    EXPECT_EQ(Put(txn, Of(kTenant, 0), kMebibyte, 'y'), "") << "what is there may be changed";
    EXPECT_EQ(Put(txn, Of(kTenant, 0), 10'000), "");
    EXPECT_EQ(Put(txn, Of(kTenant, 0), kMebibyte - 1), "") << "there is room again";
    EXPECT_EQ(Put(txn, Of(kTenant, 999), 10'000), "TOO_MANY_BYTES");
    EXPECT_TRUE(txn.Delete(Of(kTenant, 7)).ok());
    EXPECT_EQ(Put(txn, Of(kTenant, 999), 10'000), "");
  });
}

}  // namespace
}  // namespace weir::store
