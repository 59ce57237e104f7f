#include "mgmt-server/store/sqlite/checkpointer.h"

#include "libs/base/mutex.h"
#include "libs/obs/log.h"

namespace weir::store {

Checkpointer::~Checkpointer() { Stop(); }

Status Checkpointer::Start(Database& writer, const std::string& path, const std::string& vfs, int pages) {
  WEIR_ASSIGN(database_, Database::Open(path, vfs, false));
  WEIR_TRY(database_.Execute("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0"));
  pages_ = pages;
  writer.OnCommit([this, &writer](int log_pages) {
    if (log_pages < pages_) return;
    // Writers that never pause keep the log from starting anew; then one of them has to.
    if (log_pages >= kWriterHelps * pages_) {
      MutexLock lock(copying_);
      (void)writer.Checkpoint();
      return;
    }
    MutexLock lock(mutex_);
    due_ = true;
    wake_.NotifyOne();
  });
  thread_ = std::thread([this] { Run(); });
  return {};
}

void Checkpointer::Stop() {
  {
    MutexLock lock(mutex_);
    stopped_ = true;
  }
  wake_.NotifyOne();
  if (thread_.joinable()) thread_.join();
}

void Checkpointer::Run() {
  MutexLock lock(mutex_);
  while (true) {
    wake_.Wait(mutex_, [this]() WEIR_REQUIRES(mutex_) { return stopped_ || due_; });
    if (stopped_) return;
    due_ = false;
    lock.Unlock();
    // What it cannot copy now, because a reader still needs it, comes with the next commit.
    const auto copied = [this] {
      MutexLock copying(copying_);
      return database_.Checkpoint();
    }();
    if (!copied.ok()) obs::Log(obs::Level::kWarn, "checkpoint failed", {{"cause", copied.error().cause}});
    lock.Lock();
  }
}

}  // namespace weir::store
