#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "api/weir/v2/traffic.pb.h"

namespace weir::status {

// A request that somebody asks about, as a gateway reads it.
struct AskedRequest {
  std::string parent;
  std::string from;       // Name of a cluster, FQN of a gateway object, "" = everywhere.
  std::string authority;  // As in the Host header.
  std::string host;       // The same without port, lower case.
  uint32_t port = 0;      // 0 = any.
  std::string target;     // Canonical, with its query; as it was written when it is refused.
  bool safe = false;      // To repeat, by its method or headers.
  // What a gateway answers before it looks for a rule, and why.
  struct Refusal {
    int status = 0;
    std::string reason;
  };
  std::optional<Refusal> refusal;
};
// Of one that can be said as the head of a request: no blanks in its first line, no control characters.
AskedRequest ReadAsked(const v2::ExplainRouteRequest& request);

}  // namespace weir::status
