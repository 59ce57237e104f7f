#pragma once

#include <string>
#include <string_view>

#include "api/weir/v2/error.pb.h"
#include "libs/base/result.h"

namespace weir::edge {

inline constexpr std::string_view kProblemJson = "application/problem+json";  // RFC 9457.

// "tag:weir.dev,2026:error/GATEWAY_HOST_TAKEN" (RFC 4151): the same on every server, and nothing to fetch.
std::string ProblemType(std::string_view reason);

// The body of an answer that failed: our own members and those of RFC 9457.
v2::ErrorBody Problem(int status, const Error& error, const std::string& request_id);

}  // namespace weir::edge
