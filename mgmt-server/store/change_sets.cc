#include <chrono>

#include "mgmt-server/store/txn.h"

namespace weir::store {

Status Txn::PutChangeSet(ChangeSetRow row) {
  row.created = std::chrono::floor<std::chrono::microseconds>(row.created);
  changed_ = true;
  WEIR_TRY(rows_.PutChangeSet(row));
  auto stored = std::make_shared<const ChangeSetRow>(std::move(row));
  view_.change_sets_.Set(stored->fqn, stored);
  return {};
}

Status Txn::DeleteChangeSet(std::string_view fqn) {
  if (!view_.change_sets_.Contains(fqn)) return {};
  changed_ = true;
  WEIR_TRY(rows_.DeleteChangeSet(fqn));
  view_.change_sets_.Erase(fqn);
  return {};
}

}  // namespace weir::store
