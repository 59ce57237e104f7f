#include "libs/codec/local_answer.h"

#include <algorithm>

namespace weir::codec {
namespace {

constexpr uint32_t kMostGateways = 16;  // Of ours that a request may have passed: more are a circle.

}  // namespace

std::optional<LocalAnswer> AnswerBeforeRouting(const RequestHead& head, bool tls) {
  if (head.via_weir > kMostGateways) return LocalAnswer{508, "request_runs_in_a_circle"};
  if (head.https_target && !tls) return LocalAnswer{421, "https_over_plain_connection"};  // RFC 9110 section 7.4.
  if (head.websocket) return LocalAnswer{501, "websocket_not_served"};
  // It ends here (RFC 9110 section 7.6.2), and nobody's headers are shown.
  if (head.max_forwards == 0 && head.method == "TRACE") return LocalAnswer{405, "trace_not_served"};
  // OPTIONS of the server itself (RFC 9110 section 9.3.7): a ping.
  if (head.max_forwards == 0 || head.target == "*") return LocalAnswer{200, {}};
  return std::nullopt;
}

std::string LocationOf(const RedirectTo& to, std::string_view host, std::string_view target, bool tls) {
  std::string location(!to.scheme.empty() ? to.scheme : tls ? "https" : "http");
  location += "://";
  location += to.authority.empty() ? host : to.authority;
  if (to.path.empty()) {
    location += target;
  } else {
    location += to.path;
    if (to.path.find('?') == std::string_view::npos)
      location += target.substr(std::min(target.find('?'), target.size()));
  }
  return location;
}

}  // namespace weir::codec
