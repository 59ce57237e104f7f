#include <algorithm>

#include "libs/codec/local_answer.h"
#include "libs/obs/log.h"
#include "libs/proxy/message.h"
#include "libs/proxy/session.h"
#include "libs/proxy/worker.h"

// What the gateway answers by itself, and how a connection ends after its last answer.

namespace weir::proxy {
namespace {

constexpr size_t kLoggedLine = 128;

uint64_t Ms(std::chrono::milliseconds time) { return static_cast<uint64_t>(time.count()); }

}  // namespace

// What is answered before any route is looked for. True: it was.
bool Session::AnsweredBeforeRouting(const codec::RequestHead& head) {
  const auto answer = codec::AnswerBeforeRouting(head, transport_.tls() != nullptr);
  if (!answer) return false;
  Reply(answer->status, answer->reason);
  return true;
}

void Session::Answer(const codec::RequestHead& head, const RouteAction& action, std::string_view target) {
  if (action.direct_response) {
    return Reply(static_cast<int>(action.direct_response->status), {}, action.direct_response->body);
  }
  const Redirect& redirect = *action.redirect;
  const std::string location = "location: " +
                               codec::LocationOf({redirect.scheme, redirect.authority, redirect.path}, head.host,
                                                 target, transport_.tls() != nullptr) +
                               "\r\n";
  Reply(static_cast<int>(redirect.status), {}, {}, location);
}

// What the endpoint has said cannot be understood. Its application has run, so nobody else is asked.
void Session::BadAnswer(std::string_view why) {
  ++worker_.stats.upstream_failures;
  if (exchange_.log != nullptr) exchange_.log->detail = why;
  if (worker_.MayLog()) {
    obs::Log(obs::Level::kWarn, "an endpoint's answer cannot be understood",
             {{"cluster", exchange_.destination->source()->name},
              {"endpoint", exchange_.choice.pool->address.ToString()},
              {"error", std::string(why)}});
  }
  Abort(502, kBadAnswer);
}

void Session::Reply(int status, std::string_view reason, std::string_view body, std::string_view extra) {
  exchange_.status = status;
  if (exchange_.log != nullptr) exchange_.log->reason = reason;
  if (!exchange_.request.done || worker_.draining()) close_after_ = true;
  std::string& out = worker_.loop().scratch();
  WriteReply(status, reason, body, extra,
             {.head_only = exchange_.to_head, .close = close_after_, .date = worker_.Date()}, out);
  exchange_.response_started = true;
  if (exchange_.log != nullptr) exchange_.log->bytes_out = out.size();
  if (!transport_.Send(out)) return Abort(499, "caller_gone");
  Finish(false);
}

// Something that cannot be understood: answered, then closed, because nobody knows where the next request begins.
void Session::Refuse(int status, std::string_view reason) {
  if (state_ != State::kExchange) {
    exchange_ = {};
    state_ = State::kExchange;
    BeginLog();
  }
  exchange_.request.done = false;
  close_after_ = true;
  lingered_ = 0;
  pending_.clear();
  pending_at_ = 0;
  Reply(status, reason);
}

void Session::RefuseHead(const codec::RequestHead& head, const char* data, size_t size) {
  ++worker_.stats.bad_requests;
  worker_.stats.underscores_refused += head.error == codec::kUnderscoreInName;
  exchange_ = {};
  state_ = State::kExchange;
  BeginLog();
  if (exchange_.log != nullptr) {
    LogEntry& entry = *exchange_.log;
    entry.method = head.method;
    entry.target = head.target;
    const std::string_view line(data, std::min(size, kLoggedLine));
    entry.first_line = line.substr(0, line.find_first_of("\r\n"));
  }
  Refuse(head.error_status, head.error);
}

// Ends the exchange because of `reason`, with an answer if none has begun.
void Session::Abort(int status, std::string_view reason) {
  if (status == 504 || status == 499) RecordIfSilent();
  DropUpstream(false);
  if (status == 499 || exchange_.response_started) {
    if (!exchange_.response_started) exchange_.status = status;
    if (exchange_.log != nullptr) exchange_.log->reason = reason;
    CountAndLog();
    return Close();
  }
  Refuse(status, reason);
}

void Session::CloseOrLinger() {
  state_ = State::kLingering;
  // Closing with unread bytes would reset the connection and could take the answer with it.
  if (!unread_ && !transport_.readable() && transport_.tls() == nullptr) return Close();
  transport_.ShutdownWrite();
  if (!unread_ && !transport_.readable() && transport_.unsent() == 0) return Close();
  moved_ms_ = worker_.loop().now_ms();
  const Limits& limits = worker_.limits();
  deadline_ms_ = moved_ms_ + Ms(limits.linger_total);
  worker_.loop().SetTimer(*this, std::min(Ms(limits.linger), Ms(limits.linger_total)));
  worker_.loop().Defer(*this);
}

}  // namespace weir::proxy
