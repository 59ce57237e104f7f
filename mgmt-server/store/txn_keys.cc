#include <chrono>
#include <utility>
#include <vector>

#include "mgmt-server/store/txn.h"
#include "mgmt-server/store/view.h"

namespace weir::store {

Status Txn::PutKey(KeptKey key, std::string_view answer) {
  changed_ = true;
  key.bytes = answer.size();
  WEIR_TRY(rows_.PutKey(key, answer));
  view_.SetKey(std::move(key));
  return {};
}

Result<int64_t> Txn::DropKeys(WallTime before, int64_t most) {
  std::vector<std::pair<std::string, std::string>> old;
  view_.ForEachKey([&](const KeptKey& key) {
    if (key.created < before && static_cast<int64_t>(old.size()) < most) old.emplace_back(key.principal_uid, key.key);
  });
  return Drop(old);
}

Status Txn::DropKeysOf(const std::string& principal_uid) {
  std::vector<std::pair<std::string, std::string>> own;
  view_.ForEachKey([&](const KeptKey& key) {
    if (key.principal_uid == principal_uid) own.emplace_back(key.principal_uid, key.key);
  });
  WEIR_TRY(Drop(own));
  return {};
}

Result<int64_t> Txn::Drop(const std::vector<std::pair<std::string, std::string>>& keys) {
  for (const auto& [uid, key] : keys) {
    changed_ = true;
    WEIR_TRY(rows_.DeleteKey(uid, key));
    view_.EraseKey(View::KeyName(uid, key));
  }
  return static_cast<int64_t>(keys.size());
}

Status Txn::PutUsedAssertion(UsedAssertion assertion) {
  if (view_.used_assertions_.Contains(assertion.id)) {
    return Unauthenticated("ASSERTION_USED", "the assertion was used already; sign a new one with another jti");
  }
  changed_ = true;
  std::vector<std::string> over;
  view_.ForEachUsedAssertion([&](const auto& used) { used.expires <= now_ ? over.push_back(used.id) : void(); });
  for (const std::string& id : over) {
    WEIR_TRY(rows_.DeleteUsedAssertion(id));
    view_.used_assertions_.Erase(id);
  }
  assertion.expires = std::chrono::floor<std::chrono::microseconds>(assertion.expires);
  WEIR_TRY(rows_.PutUsedAssertion(assertion));
  view_.used_assertions_.Set(assertion.id, assertion);
  return {};
}

}  // namespace weir::store
