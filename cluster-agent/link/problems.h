#pragma once

#include <string>
#include <string_view>

namespace weir::agent::v1 {
class Problems;
}

namespace weir::agent {

// Adds one within the bounds of weir.agent.v1.Problems; what is more is left out.
void AddProblem(std::string_view source, std::string_view text, v1::Problems* out);

}  // namespace weir::agent
