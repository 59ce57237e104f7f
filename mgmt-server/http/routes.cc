#include "mgmt-server/http/routes.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>

#include "api/weir/v2/access_bindings.pb.h"
#include "api/weir/v2/change_set.pb.h"
#include "api/weir/v2/cluster.pb.h"
#include "api/weir/v2/documents.pb.h"
#include "api/weir/v2/effective.pb.h"
#include "api/weir/v2/history.pb.h"
#include "api/weir/v2/kind_services.h"
#include "api/weir/v2/packages.pb.h"
#include "api/weir/v2/plan.pb.h"
#include "api/weir/v2/quota.pb.h"
#include "api/weir/v2/search.pb.h"
#include "api/weir/v2/server_state.pb.h"
#include "api/weir/v2/service.pb.h"
#include "api/weir/v2/session.pb.h"
#include "api/weir/v2/status.pb.h"
#include "api/weir/v2/traffic.pb.h"
#include "api/weir/v2/user.pb.h"
#include "api/weir/v2/watch.pb.h"
#include "google/api/annotations.pb.h"
#include "libs/base/text.h"
#include "libs/resource/kinds.h"

namespace weir::edge {
namespace {

constexpr size_t kMaxSegments = 32;  // The deepest resource has 10; a bound for `**`.

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::pair<std::string, std::string> MethodAndPath(const google::api::HttpRule& rule) {
  switch (rule.pattern_case()) {
    case google::api::HttpRule::kGet:
      return {"GET", rule.get()};
    case google::api::HttpRule::kPut:
      return {"PUT", rule.put()};
    case google::api::HttpRule::kPost:
      return {"POST", rule.post()};
    case google::api::HttpRule::kDelete:
      return {"DELETE", rule.delete_()};
    case google::api::HttpRule::kPatch:
      return {"PATCH", rule.patch()};
    default:
      return {};
  }
}

bool PercentDecode(std::string_view text, bool plus_is_space, std::string* out) {
  out->clear();
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      if (i + 2 >= text.size()) return false;
      const int high = HexDigit(text[i + 1]);
      const int low = HexDigit(text[i + 2]);
      if (high < 0 || low < 0) return false;
      out->push_back(static_cast<char>(high * 16 + low));
      i += 2;
    } else {
      out->push_back(plus_is_space && text[i] == '+' ? ' ' : text[i]);
    }
  }
  return true;
}

Result<PathTemplate> PathTemplate::Parse(std::string_view text) {
  const Error bad = InvalidArgument("BAD_TEMPLATE", "not a path template: {}", text);
  if (text.empty() || text.front() != '/') return bad;
  PathTemplate result;
  size_t at = 1;
  bool open = false;
  Capture capture;
  std::string segment;
  const auto finish_segment = [&] {
    if (segment == "**") result.deep_ = true;
    if (segment != "*" && segment != "**") ++result.literals_;
    result.segments_.push_back(std::exchange(segment, {}));
  };
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '{') {
      const size_t end = text.find_first_of("=}", at);
      if (open || end == std::string_view::npos || !segment.empty()) return bad;
      open = true;
      capture = {std::string(text.substr(at + 1, end - at - 1)), result.segments_.size(), 0};
      at = end;
      if (text[end] == '}') {
        segment = "*";
        --at;
      }
    } else if (c == '}') {
      if (!open || segment.empty()) return bad;
      open = false;
      capture.end = result.segments_.size() + 1;
      result.captures_.push_back(capture);
    } else if (c == '/') {
      if (segment.empty()) return bad;
      finish_segment();
    } else if (c == ':' && !open) {
      result.verb_ = std::string(text.substr(at + 1));
      break;
    } else {
      segment.push_back(c);
    }
  }
  if (open || segment.empty()) return bad;
  finish_segment();
  return result;
}

bool PathTemplate::MatchFrom(size_t at, const std::vector<std::string>& segments, size_t segment,
                             std::vector<size_t>& starts) const {
  if (at == segments_.size()) {
    starts[at] = segment;
    return segment == segments.size();
  }
  starts[at] = segment;
  if (segments_[at] == "**") {
    for (size_t end = segments.size() + 1; end-- > segment;) {
      if (MatchFrom(at + 1, segments, end, starts)) {
        starts[at] = segment;
        return true;
      }
    }
    return false;
  }
  if (segment >= segments.size()) return false;
  if (segments_[at] != "*" && segments_[at] != segments[segment]) return false;
  return MatchFrom(at + 1, segments, segment + 1, starts);
}

bool PathTemplate::Match(const std::vector<std::string>& segments, std::string_view verb, Bindings* bindings) const {
  if (verb != verb_) return false;
  if (deep_ ? segments.size() + 1 < segments_.size() : segments.size() != segments_.size()) return false;
  std::vector<size_t> starts;  // Of a deep one; else every segment stands for one.
  if (deep_) {
    starts.resize(segments_.size() + 1);
    if (!MatchFrom(0, segments, 0, starts)) return false;
  } else {
    const auto fits = [](const std::string& wanted, const std::string& given) {
      return wanted == "*" || wanted == given;
    };
    if (!std::equal(segments_.begin(), segments_.end(), segments.begin(), fits)) return false;
  }
  const auto start = [&](size_t at) { return deep_ ? starts[at] : at; };
  for (const Capture& capture : captures_) {
    std::string value;
    for (size_t i = start(capture.begin); i < start(capture.end); ++i) {
      if (!value.empty()) value += '/';
      value += segments[i];
    }
    bindings->emplace_back(capture.field, std::move(value));
  }
  return true;
}

bool PathTemplate::MoreSpecificThan(const PathTemplate& other) const {
  if (deep_ != other.deep_) return !deep_;
  return literals_ > other.literals_;
}

RouteTable::RouteTable(const std::vector<const google::protobuf::ServiceDescriptor*>& services) {
  for (const auto* service : services) {
    for (int i = 0; i < service->method_count(); ++i) {
      const auto* method = service->method(i);
      if (!method->options().HasExtension(google::api::http)) continue;
      const google::api::HttpRule& rule = method->options().GetExtension(google::api::http);
      auto [http_method, path] = MethodAndPath(rule);
      auto parsed = PathTemplate::Parse(path);
      if (!parsed.ok()) continue;  // A test sees that every method has a route.
      routes_.push_back({std::move(http_method), std::move(parsed).value(), rule.body(), method});
    }
  }
  std::stable_sort(routes_.begin(), routes_.end(),
                   [](const Route& a, const Route& b) { return a.path.MoreSpecificThan(b.path); });
}

Result<RouteMatch> RouteTable::Find(std::string_view http_method, std::string_view path,
                                    std::vector<std::string>* allowed) const {
  if (path.empty() || path.front() != '/') return InvalidArgument("BAD_PATH", "the path must begin with /");
  std::vector<std::string> segments;
  std::string verb;
  for (std::string_view part : Split(path.substr(1), '/')) {
    std::string& segment = segments.emplace_back();
    if (!PercentDecode(part, false, &segment) || segment.find('/') != std::string::npos || !IsUtf8(segment)) {
      return InvalidArgument("BAD_PATH", "the path has a broken % escape or is not UTF-8");
    }
    if (segments.size() > kMaxSegments) return NotFound("NO_ROUTE", "no such path");
  }
  const size_t colon = segments.back().rfind(':');
  if (colon != std::string::npos) {
    verb = segments.back().substr(colon + 1);
    segments.back().resize(colon);
  }
  RouteMatch match;
  for (const Route& route : routes_) {
    match.bindings.clear();
    if (!route.path.Match(segments, verb, &match.bindings)) continue;
    if (route.http_method == http_method) {
      match.route = &route;
      return match;
    }
    if (std::find(allowed->begin(), allowed->end(), route.http_method) == allowed->end()) {
      allowed->push_back(route.http_method);
    }
  }
  if (allowed->empty()) return NotFound("NO_ROUTE", "no such path");
  return Unimplemented("METHOD_NOT_ALLOWED", "{} is not possible here", http_method);
}

std::vector<const google::protobuf::ServiceDescriptor*> PublicServices() {
  std::vector<const google::protobuf::ServiceDescriptor*> services;
  for (const resource::KindInfo& kind : resource::Kinds()) {
    if (const auto* service = v2::KindService(kind.name)) services.push_back(service);
  }
  const google::protobuf::FileDescriptor* files[] = {
      v2::Cluster::descriptor()->file(),           v2::User::descriptor()->file(),
      v2::LoginRequest::descriptor()->file(),      v2::AccessBindings::descriptor()->file(),
      v2::ResourceStatus::descriptor()->file(),    v2::ApplyDocumentsRequest::descriptor()->file(),
      v2::PlanRequest::descriptor()->file(),       v2::TrafficReport::descriptor()->file(),
      v2::AdoptStateRequest::descriptor()->file(), v2::Revision::descriptor()->file(),
      v2::SearchRequest::descriptor()->file(),     v2::Package::descriptor()->file(),
      v2::EffectiveSettings::descriptor()->file(), v2::WatchRequest::descriptor()->file(),
      v2::GetQuotaRequest::descriptor()->file(),   v2::Service::descriptor()->file(),
      v2::ChangeSet::descriptor()->file()};
  for (const auto* file : files) {
    for (int i = 0; i < file->service_count(); ++i) services.push_back(file->service(i));
  }
  return services;
}

}  // namespace weir::edge
