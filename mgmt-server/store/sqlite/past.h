#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libs/base/mutex.h"
#include "mgmt-server/store/sqlite/database.h"
#include "mgmt-server/store/store.h"

namespace weir::store {

// What was, from the disk, over a connection of its own: who reads far back keeps nobody waiting but those who do too.
// Each answer is of one moment, so that retention, which goes on meanwhile, takes nothing out of its middle.
// Thread-safe. The methods are those of Store.
class PastReader {
 public:
  Status Open(const std::string& path, const std::string& vfs);

  // `now`: any state at or after that revision.
  Result<ViewPtr> ReadAt(const View& now, const Policy& policy, int64_t revision, bool with_graph) const;
  Result<std::vector<ResourcePtr>> History(std::string_view fqn, int64_t below, size_t limit) const;
  Result<std::vector<Change>> Changes(const ChangesQuery& query) const;
  Result<Revision> GetRevision(int64_t number) const;
  Result<int64_t> RevisionAt(WallTime time) const;
  Result<int64_t> FloorOf(int64_t changes) const;
  Result<int64_t> AuditUntil(WallTime time) const;
  Result<int64_t> LastOtherHolder(std::string_view fqn, std::string_view uid) const;
  Result<std::vector<AuditRow>> AuditBefore(int64_t before, size_t limit) const;

 private:
  template <typename Fn>
  auto AtOneMoment(Fn read) const;

  mutable Mutex mutex_;
  mutable Database database_ WEIR_GUARDED_BY(mutex_);
};

}  // namespace weir::store
