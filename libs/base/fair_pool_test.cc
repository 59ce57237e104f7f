#include "libs/base/fair_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <semaphore>

namespace weir {
namespace {

TEST(FairPoolTest, RunsWhatIsQueuedBeforeItStopsAndNothingAfter) {
  std::atomic<int> ran{0};
  FairPool pool(3, 400);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(pool.Post(i % 2 == 0 ? "a" : "b", [&] { ++ran; })) << i;
  pool.Stop();
  EXPECT_EQ(ran, 100);
  EXPECT_FALSE(pool.Post("a", [] {}));
  pool.Stop();
}

// Tasks that begin and end when the test says so.
class HeldTasks : public testing::Test {
 protected:
  bool Post(FairPool& pool, const std::string& owner, std::counting_semaphore<>* go = nullptr) {
    return pool.Post(owner, [this, owner, go] {
      {
        MutexLock lock(mutex_);
        order_ += owner;
      }
      begun_.release();
      (go == nullptr ? go_ : *go).acquire();
    });
  }
  std::string Order() {
    MutexLock lock(mutex_);
    return order_;
  }

  std::counting_semaphore<> begun_{0}, go_{0};
  Mutex mutex_;
  std::string order_ WEIR_GUARDED_BY(mutex_);  // Owners in the order in which their tasks began.
};

TEST_F(HeldTasks, WhatIsMoreThanThreadsAndQueueHoldIsRefused) {
  FairPool pool(2, 3);
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(Post(pool, "a"));
    begun_.acquire();  // Each has a thread.
  }
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Post(pool, "a"));
  EXPECT_FALSE(Post(pool, "a"));
  EXPECT_FALSE(Post(pool, "b"));
  go_.release(5);
  pool.Stop();
  EXPECT_EQ(Order(), "aaaaa");
}

// 16 threads and 16 places: three quarters of both for the first, of the rest for the second, and so on.
TEST_F(HeldTasks, OneOwnerMayHaveThreeQuartersOfWhatOthersLeave) {
  FairPool pool(16, 16);
  const std::map<std::string, int> share = {{"a", 12}, {"b", 3}, {"c", 1}};
  for (const auto& [owner, threads] : share) {
    for (int i = 0; i < threads; ++i) {
      EXPECT_TRUE(Post(pool, owner));
      begun_.acquire();
    }
    int waiting = 0;
    while (waiting < 16 && Post(pool, owner)) ++waiting;
    EXPECT_EQ(waiting, threads) << owner << ": its share of the queue";
    EXPECT_FALSE(begun_.try_acquire()) << owner << " has more than its share of threads";
  }
  EXPECT_EQ(Order(), "aaaaaaaaaaaabbbc");
  go_.release(32);
  pool.Stop();
  EXPECT_EQ(Order().size(), 32u) << "what was taken is done";
}

// One thread: whoever waits is served in turn, however many another one has waiting.
TEST_F(HeldTasks, OwnersAreServedInTurn) {
  FairPool pool(1, 100);
  ASSERT_TRUE(Post(pool, "a"));
  begun_.acquire();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Post(pool, "a"));
  for (const char* owner : {"b", "b", "c"}) ASSERT_TRUE(Post(pool, owner));
  go_.release(9);
  pool.Stop();
  EXPECT_EQ(Order(), "aabcabaaa");
}

// What keeps an owner from a thread may end with another owner's task: nobody is forgotten.
TEST_F(HeldTasks, AThreadThatAnotherLeavesIsGivenOn) {
  std::counting_semaphore<> go_b(0);
  FairPool pool(8, 100);
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(Post(pool, "b", &go_b));
    begun_.acquire();
  }
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(Post(pool, "a"));
    begun_.acquire();
  }
  ASSERT_TRUE(Post(pool, "a"));  // Above its share: b leaves four.
  EXPECT_FALSE(begun_.try_acquire());
  go_b.release();
  begun_.acquire();
  EXPECT_EQ(Order(), "bbbbaaaa");
  go_b.release(3);
  go_.release(4);
}

TEST(FairPoolTest, AThreadKnowsWhoseWorkItDoes) {
  EXPECT_EQ(FairPool::OwnerOfThisThread(), "");
  std::string first, second;
  {
    FairPool pool(1, 2);
    ASSERT_TRUE(pool.Post("a", [&] { first = FairPool::OwnerOfThisThread(); }));
    ASSERT_TRUE(pool.Post("b", [&] { second = FairPool::OwnerOfThisThread(); }));
  }
  EXPECT_EQ(first, "a");
  EXPECT_EQ(second, "b");
}

// One caller after the other is served by threads that are warm, not by each in turn. A thread that has answered may
// need a moment until it is idle, so it need not be the same one always.
TEST(FairPoolTest, TheLastThatWorkedWorksNext) {
  constexpr int kThreads = 16, kTasks = 4000;
  std::counting_semaphore<> begun(0), go(0), done(0);
  FairPool pool(kThreads, 100);
  for (int i = 0; i < kThreads; ++i) {  // All are started.
    EXPECT_TRUE(pool.Post(std::to_string(i), [&] {
      begun.release();
      go.acquire();
      done.release();
    }));
    begun.acquire();
  }
  go.release(kThreads);
  for (int i = 0; i < kThreads; ++i) done.acquire();
  std::map<std::thread::id, int> by_thread;
  for (int i = 0; i < kTasks; ++i) {
    EXPECT_TRUE(pool.Post("one", [&] {
      ++by_thread[std::this_thread::get_id()];
      done.release();
    }));
    done.acquire();
  }
  std::vector<int> counts;
  for (const auto& [thread, count] : by_thread) counts.push_back(count);
  std::sort(counts.rbegin(), counts.rend());
  int most = 0;
  for (size_t i = 0; i < counts.size() && i < 3; ++i) most += counts[i];
  EXPECT_GT(most, kTasks / 2);  // In turn these three would have 3 / 16.
}

// Every task runs once, whoever posts, and Stop waits for all.
TEST(FairPoolTest, LosesAndRepeatsNothingUnderManyPosters) {
  constexpr int kPosters = 8, kEach = 2000;
  std::vector<std::atomic<int>> ran(kPosters * kEach);
  std::atomic<int> refused{0};
  {
    FairPool pool(5, 64);
    std::vector<std::thread> posters;
    for (int p = 0; p < kPosters; ++p) {
      posters.emplace_back([&, p] {
        for (int i = 0; i < kEach; ++i) {
          if (!pool.Post(std::to_string((p + i) % 3), [&ran, at = p * kEach + i] { ++ran[at]; })) {
            ran[p * kEach + i] = 1;
            ++refused;
          }
        }
      });
    }
    for (auto& poster : posters) poster.join();
  }
  EXPECT_TRUE(std::all_of(ran.begin(), ran.end(), [](const auto& count) { return count == 1; }));
  EXPECT_LT(refused, kPosters * kEach);
}

}  // namespace
}  // namespace weir
