#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libs/base/result.h"

namespace google::api {
class HttpRule;
}
namespace google::protobuf {
class MethodDescriptor;
class ServiceDescriptor;
}  // namespace google::protobuf

namespace weir::edge {

// A path template of google.api.http: segments of literals, `*` (one), `**` (any number), `{field=…}` over some of
// them, and a verb after ':'.
class PathTemplate {
 public:
  // INVALID_ARGUMENT BAD_TEMPLATE.
  static Result<PathTemplate> Parse(std::string_view text);

  using Bindings = std::vector<std::pair<std::string, std::string>>;  // Field -> value.
  // `segments` decoded, without the verb.
  bool Match(const std::vector<std::string>& segments, std::string_view verb, Bindings* bindings) const;

  // More literal templates come first where several match: a tenant called "status" is still a tenant.
  bool MoreSpecificThan(const PathTemplate& other) const;

 private:
  struct Capture {
    std::string field;
    size_t begin = 0;  // Segments of the template.
    size_t end = 0;
  };
  bool MatchFrom(size_t at, const std::vector<std::string>& segments, size_t segment,
                 std::vector<size_t>& starts) const;

  std::vector<std::string> segments_;
  std::vector<Capture> captures_;
  std::string verb_;
  size_t literals_ = 0;
  bool deep_ = false;  // Contains `**`.
};

struct Route {
  std::string http_method;  // "GET"
  PathTemplate path;
  std::string body;  // Field of the request; "*" = the request itself; "" = none.
  const google::protobuf::MethodDescriptor* method = nullptr;
};

struct RouteMatch {
  const Route* route = nullptr;
  PathTemplate::Bindings bindings;
};

// All routes that the annotations of these services declare.
class RouteTable {
 public:
  explicit RouteTable(const std::vector<const google::protobuf::ServiceDescriptor*>& services);

  // NOT_FOUND NO_ROUTE; UNIMPLEMENTED METHOD_NOT_ALLOWED with `allowed` filled in; INVALID_ARGUMENT BAD_PATH.
  Result<RouteMatch> Find(std::string_view http_method, std::string_view path, std::vector<std::string>* allowed) const;

 private:
  std::vector<Route> routes_;  // Most specific first.
};

// The services that this server offers, from the generated descriptors.
std::vector<const google::protobuf::ServiceDescriptor*> PublicServices();

// "GET" and its template; both "" for a rule of another kind.
std::pair<std::string, std::string> MethodAndPath(const google::api::HttpRule& rule);

// %41 -> A. False for a broken escape.
bool PercentDecode(std::string_view text, bool plus_is_space, std::string* out);

}  // namespace weir::edge
