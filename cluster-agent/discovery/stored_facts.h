#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.h"
#include "libs/translate/facts.h"

namespace weir::agent {

// The last good reading of a source of facts, kept in two generations (docs/formats/last-good.md), so that an agent
// that starts beside a broken source says what it said before.
struct StoredFacts {
  translate::Facts facts;
  bool sealed = false;               // The source ended with its end mark (see ReadDiscovery).
  int generation = 1;                // 1 newest, 2 older.
  std::vector<std::string> refused;  // Why the newer one was passed over.
};

// `owner`: the cluster's trust domain; nobody starts with somebody else's facts (LAST_GOOD_OWNER).
Status SaveFacts(const std::string& path, const translate::Facts& facts, bool sealed, std::string_view owner);
// NOT_FOUND LAST_GOOD_MISSING when there are none yet, else why the newest was refused.
Result<StoredFacts> LoadFacts(const std::string& path, std::string_view owner);

}  // namespace weir::agent
