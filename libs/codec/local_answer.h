#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "libs/codec/http1.h"

namespace weir::codec {

// What a gateway answers by itself, apart from its rules: asked by the gateway for each request, and by the server when
// somebody asks what a request would meet.

struct LocalAnswer {
  int status = 0;
  std::string_view reason;  // For x-weir-reason; "" = none.
};
// What is answered before any route is looked for; nullopt = nothing. `tls`: the connection is encrypted.
std::optional<LocalAnswer> AnswerBeforeRouting(const RequestHead& head, bool tls);

// Parts of a redirect; "" = as requested.
struct RedirectTo {
  std::string_view scheme;
  std::string_view authority;
  std::string_view path;  // Without a query of its own it takes that of the request along.
};
// The value of Location. `target`: canonical, with its query.
std::string LocationOf(const RedirectTo& to, std::string_view host, std::string_view target, bool tls);

}  // namespace weir::codec
