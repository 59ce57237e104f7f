#pragma once

#include <string>
#include <thread>

#include "libs/base/mutex.h"
#include "libs/base/result.h"
#include "mgmt-server/store/sqlite/database.h"

namespace weir::store {

// Copies the write-ahead log into the database file on a thread and a connection of its own, so that no caller of a
// write waits for it.
class Checkpointer {
 public:
  ~Checkpointer();  // Stop.

  // Watches the commits of `writer`; copies once the log has `pages` pages (4 KiB).
  Status Start(Database& writer, const std::string& path, const std::string& vfs, int pages);
  void Stop();

 private:
  static constexpr int kWriterHelps = 8;  // At so many times `pages` a writer copies before it is answered.

  void Run();

  Database database_;
  int pages_ = 0;
  Mutex copying_;
  Mutex mutex_;
  CondVar wake_;
  bool due_ WEIR_GUARDED_BY(mutex_) = false;
  bool stopped_ WEIR_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace weir::store
