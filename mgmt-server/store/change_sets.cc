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

Status Txn::PutOverlay(OverlayRow row) {
  changed_ = true;
  WEIR_TRY(rows_.PutOverlay(row));
  auto stored = std::make_shared<const OverlayRow>(std::move(row));
  view_.overlays_.Set(stored->fqn, stored);
  return {};
}

Status Txn::DeleteOverlay(std::string_view fqn) {
  if (!view_.overlays_.Contains(fqn)) return {};
  changed_ = true;
  WEIR_TRY(rows_.DeleteOverlay(fqn));
  view_.overlays_.Erase(fqn);
  return {};
}

}  // namespace weir::store
