#pragma once

#include <string>
#include <vector>

#include "cli/client.h"
#include "libs/document/document.h"

namespace weir::cli {

// One line for each place where two trees differ: "spec.clusters[1].weight: stored 40, yours 25"; at most `limit`.
std::vector<std::string> Differences(const document::Node& stored, const document::Node& yours, size_t limit);

// For documents that name a version which is not stored any more: what was changed meanwhile, indented lines. "" = none
// could be found.
std::string StaleDocuments(Client& client, const std::string& documents);

}  // namespace weir::cli
