#pragma once

#include <map>
#include <set>
#include <string>

#include "api/weir/v2/access_bindings.pb.h"
#include "libs/base/result.h"
#include "mgmt-server/store/records.h"
#include "mgmt-server/store/txn.h"

namespace weir::authz {

// Role name -> FQNs of its subjects; one form for what is stored, wanted and compared.
using Bindings = std::map<std::string, std::set<std::string>>;

// INVALID_ARGUMENT UNKNOWN_ROLE, UNKNOWN_SUBJECT (names nobody), TOO_MANY_SUBJECTS.
Result<Bindings> ToBindings(const v2::AccessBindings& message);
// Of a stored AccessBindings; none when null. DATA_LOSS STORE_DAMAGED.
Result<Bindings> ParseBindings(const store::StoredResource* stored);

// Takes a user or team out of the binding of this node.
Status LeaveRole(store::Txn& txn, const std::string& binding_node, const store::StoredResource& subject);

}  // namespace weir::authz
