#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.h"
#include "libs/ngac/graph.h"
#include "mgmt-server/store/records.h"

namespace weir::store {

class View;

// Says which permission graph follows from what is stored. The graph is a function of the present resources and of the
// installation's roles, and of nothing else: it is not stored, but made at every start, and brought along by every
// change inside the transaction that makes it.
class Policy {
 public:
  virtual ~Policy() = default;

  // Names of the graph's rights; see ngac::Graph.
  virtual std::vector<std::string> Rights() const = 0;

  // The graph of all that `view` holds, into an empty one. DATA_LOSS STORE_DAMAGED when what is stored contradicts
  // itself.
  virtual Status Derive(const View& view, ngac::Graph& graph) const = 0;

  // Brings `graph`, which is that of `view`, to what it is after this change of one resource: `before` is null for a
  // new one, `after` for one that goes. `view` stands before the change. An error refuses the change.
  virtual Status ApplyChange(const View& view, const StoredResource* before, const StoredResource* after,
                             ngac::Graph& graph) const = 0;

  // The same after the installation's role was given to a user, or taken.
  virtual Status ApplyRoleChange(std::string_view role, std::string_view user_uid, bool given,
                                 ngac::Graph& graph) const = 0;
};

}  // namespace weir::store
