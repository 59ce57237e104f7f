#include <atomic>
#include <functional>
#include <future>
#include <semaphore>
#include <vector>

#include "mgmt-server/store/sqlite/past.h"
#include "mgmt-server/store/temp_store.h"

namespace weir::store {
namespace {

constexpr auto kPatience = std::chrono::seconds(30);

// Long reads that are in their middle until they are let go on.
class PastReaderTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* body : {"1", "2", "3"}) {
      ASSERT_TRUE(store_->Write([&](Txn& txn) { return txn.Put({"Thing", "a", body, {}, {}}); }).ok());
    }
    ASSERT_TRUE(reader_
                    .Open(store_.folder() + "/weir.db", "",
                          [this] {
                            if (!held_) return;
                            begun_.release();
                            go_on_.acquire();
                          })
                    .ok());
  }
  void BeginLong() {
    held_ = true;
    long_.push_back(std::async(std::launch::async,
                               [this] { return reader_.ReadAt(*store_->Read(), NoPolicy::Get(), 1, false).ok(); }));
    EXPECT_TRUE(begun_.try_acquire_for(kPatience));
    held_ = false;
  }
  void EndAll() {
    go_on_.release(static_cast<std::ptrdiff_t>(long_.size()));
    for (auto& each : long_) EXPECT_TRUE(each.get());
    long_.clear();
  }
  // Whether it ends while they are held.
  bool Ends(const std::function<bool()>& read) {
    asked_.push_back(std::async(std::launch::async, read));
    return asked_.back().wait_for(kPatience) == std::future_status::ready && asked_.back().get();
  }

  TempStore store_;
  PastReader reader_;
  std::atomic<bool> held_ = false;
  std::counting_semaphore<> begun_{0}, go_on_{0};
  std::vector<std::future<bool>> long_, asked_;
};

TEST_F(PastReaderTest, ALongReadKeepsNobodyWaiting) {
  BeginLong();
  EXPECT_TRUE(Ends([this] { return reader_.GetRevision(2).ok(); }));
  EXPECT_TRUE(Ends([this] { return reader_.LastOtherHolder("a", "x").ok(); }));
  EXPECT_TRUE(Ends([this] { return reader_.History("a", INT64_MAX >> 20, 10)->size() == 3; }));
  EXPECT_TRUE(Ends([this] { return reader_.Changes({})->size() == 3; }));
  EXPECT_TRUE(Ends([this] { return reader_.AuditBefore(INT64_MAX, 10).ok() && reader_.AuditAfter(0, 10).ok(); }));
  EXPECT_TRUE(Ends([this] { return reader_.ReadAt(*store_->Read(), NoPolicy::Get(), 2, false).ok(); }));
  EndAll();
}

TEST_F(PastReaderTest, SoManyReadAtOnceAndTheNextWaitsForOneOfThem) {
  for (size_t i = 0; i < PastReader::kConnections; ++i) BeginLong();
  EXPECT_TRUE(Ends([this] { return reader_.GetRevision(2).ok(); })) << "what is brief has a way of its own";
  auto next = std::async(std::launch::async, [this] { return reader_.History("a", INT64_MAX >> 20, 10).ok(); });
  go_on_.release();
  EXPECT_EQ(next.wait_for(kPatience), std::future_status::ready);
  EXPECT_TRUE(next.get());
  go_on_.release(static_cast<std::ptrdiff_t>(long_.size()) - 1);
  for (auto& each : long_) EXPECT_TRUE(each.get());
}

}  // namespace
}  // namespace weir::store
