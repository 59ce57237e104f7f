#include "libs/http/pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <semaphore>

namespace weir::http {
namespace {

TEST(PoolTest, RunsWhatIsQueuedBeforeItStopsAndNothingAfter) {
  std::atomic<int> ran{0};
  Pool pool(3, 100);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(pool.Post([&] { ++ran; }));
  pool.Stop();
  EXPECT_EQ(ran, 100);
  EXPECT_FALSE(pool.Post([] {}));
}

TEST(PoolTest, RefusesWhatIsMoreThanItsThreadsAndItsQueueHold) {
  std::counting_semaphore<> begun(0), go(0);
  Pool pool(2, 3);
  const auto task = [&] {
    begun.release();
    go.acquire();
  };
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(pool.Post(task));
    begun.acquire();  // Each has a thread.
  }
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(pool.Post(task));
  EXPECT_FALSE(pool.Post(task));
  go.release(5);
}

// One caller after the other is served by threads that are warm, not by each in turn. A thread that has answered may
// need a moment until it is idle, so it need not be the same one always.
TEST(PoolTest, TheLastThatWorkedWorksNext) {
  constexpr int kThreads = 16, kTasks = 4000;
  Pool pool(kThreads, 100);
  std::counting_semaphore<> begun(0), go(0), done(0);
  for (int i = 0; i < kThreads; ++i) {  // All are started.
    EXPECT_TRUE(pool.Post([&] {
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
    EXPECT_TRUE(pool.Post([&] {
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

}  // namespace
}  // namespace weir::http
