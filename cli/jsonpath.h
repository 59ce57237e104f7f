#pragma once

#include <string>
#include <string_view>

#include "libs/base/result.h"
#include "libs/document/document.h"

namespace weir::cli {

// kubectl's JSONPath, the part of it that people type: text with {.metadata.name}, {.items[*].metadata.fqn},
// {.spec.http[0].port}, {.metadata.labels['example.com/team']}; "\n" and "\t" in {"…"}. Several values stand apart by a
// blank; what is not there is nothing. USAGE for what is none, and for filters, ranges and functions.
Result<std::string> EvaluateJsonPath(const document::Node& root, std::string_view path);

}  // namespace weir::cli
