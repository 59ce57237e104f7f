#include "mgmt-server/status/asked_request.h"

#include <array>
#include <charconv>
#include <memory>

#include "libs/codec/local_answer.h"
#include "libs/dialect/dialect.h"
#include "libs/traffic/route_table.h"

namespace weir::status {
namespace {

std::string HeadOf(const v2::ExplainRouteRequest& request) {
  std::string head = request.method().empty() ? "GET" : request.method();
  head += " " + (request.path().empty() ? "/" : request.path()) + " HTTP/1.1\r\nhost: " + request.host() + "\r\n";
  for (const std::string& line : request.headers()) head += line + "\r\n";
  return head + "\r\n";
}

std::string FoldedHost(std::string_view authority) {
  std::array<char, traffic::kMaxHost> folded;
  return std::string(traffic::FoldedHost(authority, folded));
}

}  // namespace

// In the order in which a gateway looks (libs/proxy/session.cc); a caller from outside on a plain connection, which is
// what every public port serves.
AskedRequest ReadAsked(const v2::ExplainRouteRequest& request) {
  AskedRequest asked;
  asked.parent = request.parent();
  asked.from = request.from();
  asked.authority = request.host();
  asked.host = FoldedHost(request.host());
  asked.target = request.path().empty() ? "/" : request.path();
  const std::string_view without = traffic::WithoutPort(request.host());
  const std::string_view port = std::string_view(request.host()).substr(request.host().rfind(':') + 1);
  if (request.host().find(':', without.size()) != std::string::npos &&
      std::from_chars(port.data(), port.data() + port.size(), asked.port).ec != std::errc()) {
    asked.port = 0;
  }

  const std::string bytes = HeadOf(request);
  const auto head = std::make_unique<codec::RequestHead>();
  if (codec::ParseRequest(bytes.data(), bytes.size(), *head) != codec::Parse::kComplete) {
    asked.refusal = AskedRequest::Refusal{head->error.empty() ? 400 : head->error_status, std::string(head->error)};
    return asked;
  }
  asked.safe = head->SafeToRepeat();
  std::string canonical(head->target);
  const codec::PathResult path = codec::CanonicalTarget(head->target, canonical);
  asked.target = path == codec::PathResult::kRewritten ? canonical : std::string(head->target);
  if (path == codec::PathResult::kRefused) {
    asked.refusal = AskedRequest::Refusal{400, "bad_path"};
  } else if (const auto answer = codec::AnswerBeforeRouting(*head, false)) {
    asked.refusal = AskedRequest::Refusal{answer->status, std::string(answer->reason)};
  } else if (dialect::IsOwnPath(asked.target)) {
    asked.refusal = AskedRequest::Refusal{404, "no_such_route"};
  }
  return asked;
}

}  // namespace weir::status
