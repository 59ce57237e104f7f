#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/mutex.h"
#include "mgmt-server/store/sqlite/database.h"
#include "mgmt-server/store/store.h"

namespace weir::store {

// What was, from the disk, over connections of its own: whoever reads far back keeps nobody waiting. Each answer is of
// one moment, so that retention, which goes on meanwhile, takes nothing out of its middle.
// Thread-safe. The methods are those of Store.
class PastReader {
 public:
  // Long reads at once; who comes then waits for the first that ends. More than services::Past lets in.
  static constexpr size_t kConnections = 20;

  // `reading`: of each long read, once it has its connection. Tests only.
  Status Open(const std::string& path, const std::string& vfs, std::function<void()> reading = {});

  // `now`: any state at or after that revision.
  Result<ViewPtr> ReadAt(const View& now, const Policy& policy, int64_t revision, bool with_graph) const;
  // Bodies and owners of fields are left out: a version may hold a mebibyte, and a page has a thousand.
  Result<std::vector<ResourcePtr>> History(std::string_view fqn, int64_t below, size_t limit) const;
  Result<std::vector<Change>> Changes(const ChangesQuery& query) const;
  Result<Revision> GetRevision(int64_t number) const;
  Result<int64_t> RevisionAt(WallTime time) const;
  Result<int64_t> FloorOf(int64_t changes) const;
  Result<int64_t> AuditUntil(WallTime time) const;
  Result<int64_t> LastOtherHolder(std::string_view fqn, std::string_view uid) const;
  Result<std::vector<AuditRow>> AuditBefore(int64_t before, size_t limit) const;
  Result<std::vector<AuditRow>> AuditAfter(int64_t after, size_t limit) const;

 private:
  class Lease;
  // `read(database, floor)`: of few rows of one name, one after the other; or of any number, beside all others.
  template <typename Fn>
  auto Briefly(Fn read) const;
  template <typename Fn>
  auto AtLength(Fn read) const;
  Result<Database> Take() const;
  void GiveBack(Database database) const;

  std::string path_, vfs_;  // Of Open, and so is `reading_`.
  std::function<void()> reading_;
  mutable Mutex brief_mutex_;
  mutable Database brief_ WEIR_GUARDED_BY(brief_mutex_);
  mutable Mutex mutex_;
  mutable CondVar given_back_;
  mutable size_t taken_ WEIR_GUARDED_BY(mutex_) = 0;
  mutable std::vector<Database> idle_ WEIR_GUARDED_BY(mutex_);  // As many as are kept open.
};

}  // namespace weir::store
