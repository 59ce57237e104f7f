#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace weir::edge {

// A path as OpenAPI has it: one {parameter} per segment that is a name.
struct OpenPath {
  std::string text;                     // "/v2/organizations/{organization}/clusters/{cluster}:drain"
  std::vector<std::string> parameters;  // In order: {"organization", "cluster"}.
  std::string suffix;                   // Of a template with `**`, which kind's it is: "Cluster"; else "".
};

// What a path template of google.api.http stands for: {fqn=organizations/*/tenants/*} is
// organizations/{organization}/tenants/{tenant}; `**`, which OpenAPI does not know, becomes a path for each kind.
std::vector<OpenPath> OpenPaths(std::string_view path_template);

// The fields of the request that the path gives.
std::vector<std::string> BoundFields(std::string_view path_template);

}  // namespace weir::edge
