#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.h"

namespace google::protobuf {
class Duration;
}
namespace weir::v2 {
class Gateway;
}

// What the rules of a gateway say of requests. Pure.
namespace weir::resource {

// Why `path` is none, or why no request can fall under a rule with this path, and what to write in its place; "" = one
// can. Gateways compare the canonical path of a request (docs/operating/http.md), so another form of one takes nothing.
std::string WhyNoRequestHas(std::string_view path, bool exact);

// Whole seconds from 0 to `most`.
bool IsWithin(const google::protobuf::Duration& time, int64_t most);
bool IsAuthority(std::string_view text);  // "host", "host:port", "[::1]:port", as in a URL; at most 259 bytes.

// Rules that can never fire, because rules before them take each request that they would.
std::vector<FieldViolation> ShadowedRules(const v2::Gateway& gateway);

}  // namespace weir::resource
