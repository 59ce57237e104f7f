#include "libs/resource/routes.h"

#include <google/protobuf/duration.pb.h>

#include <algorithm>

#include "api/weir/v2/gateway.pb.h"
#include "libs/codec/http1.h"

namespace weir::resource {
namespace {

// All requests that `b` takes, `a` takes too.
bool Covers(const v2::StringMatch& a, const v2::StringMatch& b) {
  const std::string& path = b.has_exact() ? b.exact() : b.prefix();
  if (a.has_exact()) return b.has_exact() && a.exact() == path;
  return path.starts_with(a.prefix());
}

bool Covers(const v2::HttpRule& a, const v2::StringMatch& b) {
  return a.match().empty() ||
         std::any_of(a.match().begin(), a.match().end(), [&](const auto& match) { return Covers(match.uri(), b); });
}

v2::StringMatch Everything() {
  v2::StringMatch all;
  all.set_prefix("/");
  return all;
}

using Rules = google::protobuf::RepeatedPtrField<v2::HttpRule>;

// The first rule before `at` that leaves nothing for it together with those before; -1 = it can fire.
int TakenBy(const Rules& rules, int at) {
  const auto takes_all = [&](const v2::StringMatch& wanted) {
    for (int i = 0; i < at; ++i) {
      if (Covers(rules[i], wanted)) return i;
    }
    return -1;
  };
  if (rules[at].match().empty()) return takes_all(Everything());
  int last = -1;
  for (const auto& match : rules[at].match()) {
    const int taker = takes_all(match.uri());
    if (taker < 0) return -1;
    last = std::max(last, taker);
  }
  return last;
}

}  // namespace

std::string WhyNoRequestHas(std::string_view path, bool exact) {
  if (!path.starts_with('/') || path.size() > 4096 || path.find_first_of("?#") != std::string_view::npos) {
    return "must be a path that begins with /, without ? and #, at most 4096 bytes";
  }
  std::string canonical;
  const codec::PathResult result = codec::CanonicalTarget(path, canonical);
  if (result == codec::PathResult::kSame) return "";
  // "/." begins "/.git", too.
  if (std::string ignored;
      !exact && codec::CanonicalTarget(std::string(path) + "x", ignored) == codec::PathResult::kSame) {
    return "";
  }
  if (result == codec::PathResult::kRefused) {
    return "no request has such a path: gateways answer 400 to what is not one path for everybody (a space, %2F, %5C, "
           "an "
           "escape that is none, \"..\" above the root); write a path without that";
  }
  return fmt::format("no request has this path: gateways compare the canonical form of it; write {}", canonical);
}

bool IsWithin(const google::protobuf::Duration& time, int64_t most) {
  return time.nanos() == 0 && time.seconds() >= 0 && time.seconds() <= most;
}

bool IsAuthority(std::string_view text) {
  if (text.size() > 259) return false;
  std::string_view host = text, port;
  const size_t close = text.find(']');
  const size_t colon = text.find(':', close == std::string_view::npos ? 0 : close);
  if (colon != std::string_view::npos) {
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
    const bool digits = !port.empty() && port.size() <= 5 && port.find_first_not_of("0123456789") == port.npos;
    const int number = digits ? std::stoi(std::string(port)) : 0;
    if (number < 1 || number > 65535) return false;
  }
  if (host.starts_with('[')) {
    return host.size() > 2 && host.ends_with(']') &&
           host.substr(1, host.size() - 2).find_first_not_of("0123456789abcdefABCDEF:.") == host.npos;
  }
  return !host.empty() &&
         host.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%") ==
             std::string_view::npos;
}

std::vector<FieldViolation> ShadowedRules(const v2::Gateway& gateway) {
  std::vector<FieldViolation> warnings;
  for (int server = 0; server < gateway.spec().http_size(); ++server) {
    const Rules& rules = gateway.spec().http(server).routing().rules();
    for (int i = 1; i < rules.size(); ++i) {
      const int taker = TakenBy(rules, i);
      if (taker < 0) continue;
      warnings.push_back(
          {fmt::format("spec.http[{}].routing.rules[{}]", server, i),
           fmt::format("can never fire: the first rule that takes a request has it, and rules[{}] leaves "
                       "nothing for this one; put it before that",
                       taker),
           0, 0});
    }
  }
  return warnings;
}

}  // namespace weir::resource
