#pragma once

#include <string>
#include <string_view>

#include "libs/ngac/graph.h"

namespace weir::ngac {

// The decision rule read word by word from the standard, by plain search over all associations. Slow; the judge of
// Graph::Decide in property tests and in shadow comparisons.
bool DecideBySearch(const Graph& graph, std::string_view user, std::string_view right, std::string_view node);

// Every node with its type, containers, members and rights, a line each, by names: graphs that say the same have the
// same text, however they came about.
std::string Describe(const Graph& graph);

}  // namespace weir::ngac
