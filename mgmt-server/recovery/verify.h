#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "libs/base/clock.h"
#include "libs/base/result.h"

namespace weir::recovery {

// What a store holds, and what is wrong with it; nothing = a server starts on it and serves all of it.
struct Verdict {
  std::string lineage;
  int64_t revision = 0;
  int64_t oldest_state = 0;
  size_t resources = 0;
  int64_t versions = 0;
  int64_t audit_records = 0;
  std::string audit_head;             // Hex; "" = there is no record.
  std::vector<std::string> findings;  // At most kMostFindings, then how many more.
};
inline constexpr size_t kMostFindings = 20;

// Reads all of `path`: pages, schema, lineage, every version of every resource, the permission graph, the chain of the
// audit, facts, and the keys of the certificate authority. Changes nothing, and may be asked of a running server's
// store. The error: it cannot be read that far (NOT_FOUND STORE_MISSING, DATA_LOSS STORE_DAMAGED, FAILED_PRECONDITION
// STORE_TOO_NEW).
Result<Verdict> Verify(const std::string& path, const Clock& clock);

}  // namespace weir::recovery
