#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "libs/base/result.h"
#include "libs/http/http.h"
#include "libs/http/server.h"
#include "mgmt-server/http/routes.h"
#include "mgmt-server/services/call.h"

namespace weir::codec {
struct RequestHead;
}

namespace weir::edge {

// REST/JSON in front of the method table, by the google.api.http annotations. Knows no resource.
class Rest {
 public:
  // The table has all its methods by now: the OpenAPI document is made here, once.
  explicit Rest(const services::MethodTable& methods);

  // What a request head is worth, by the same strict rules as at the edge (libs/codec): form, media type, whose it is,
  // and for one with a body the token. Without a valid one only a sign-in may send a body, of at most 16 KiB.
  http::Screening Screen(std::string_view head) const;

  // Any request -> its answer; every failure as weir.v2.ErrorBody. GET /healthz answers without credentials; GET
  // /openapi.json to whoever has a token.
  http::Response Handle(http::Request&& request) const;

  // What the HTTP server itself answers to (413, 431, 400, 503).
  static http::Response RenderError(int status, const Error& error, const std::string& request_id);

 private:
  Result<services::MethodTable::Admission> Admit(const codec::RequestHead& head, std::string_view authorization) const;
  // What is no method of the API; nullopt: the routes know.
  std::optional<Result<http::Response>> Page(std::string_view path, const http::Request& request,
                                             const services::CallContext& call, http::Headers* extra) const;
  Result<http::Response> Serve(const http::Request& request, services::CallContext& call, http::Headers* extra) const;

  const services::MethodTable& methods_;
  RouteTable routes_;
  const std::string openapi_;
  const std::string openapi_etag_;
};

}  // namespace weir::edge
