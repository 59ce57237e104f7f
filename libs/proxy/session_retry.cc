#include <algorithm>

#include "libs/proxy/message.h"
#include "libs/proxy/session.h"
#include "libs/proxy/worker.h"

// What happens to an exchange whose upstream fails: the one move to another cluster, or the answer that says why not.

namespace weir::proxy {
namespace {

constexpr size_t kReplayBody = 64 * 1024;  // Bound of body bytes kept for a repetition after they were sent.
constexpr std::string_view kRetryAfter = "retry-after: 1\r\n";

constexpr uint64_t kSilentMs = 1'000;  // Who has waited less has learned nothing.

// Of a request that we have serialized ourselves.
std::string_view TargetOf(std::string_view head) {
  const size_t from = std::min(head.find(' '), head.size() - 1) + 1;
  return head.substr(from, head.find(' ', from) - from);
}

}  // namespace

// Its word is believed: it had to prove that it is one of us.
bool Session::FromMesh() const {
  const Pool* pool = exchange_.choice.pool.get();
  return pool != nullptr && pool->wire.proves_identity();
}

// Body bytes that were just sent. What may be repeated is kept within a bound, and so is what the next tier may still
// say to have sent to nobody, whatever it is.
void Session::KeepForReplay(const iovec* parts, int count) {
  if (exchange_.body_gone) return;
  size_t size = held_.size();
  for (int i = 0; i < count; ++i) size += parts[i].iov_len;
  if ((!exchange_.safe && !FromMesh()) || size > kReplayBody) {
    exchange_.body_gone = true;
    std::string().swap(held_);
    return;
  }
  for (int i = 0; i < count; ++i) held_.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
}

// Sends the request, whose head is `head`, to another cluster, and not when part of its body is gone: what was sent
// once, what was not to each endpoint that lives, within the budget. True: done, or the caller has been answered;
// false: nothing has changed. `reusable`: see DropUpstream.
bool Session::RepeatElsewhere(Why why, std::string& head, bool reusable) {
  const bool again = !exchange_.tried.empty();
  if (exchange_.body_gone || (why != Why::kUnsent && exchange_.repeated)) return false;
  if (exchange_.tried.size() + 1 >= kMostTries) return false;
  DestinationState& destination = *exchange_.destination;
  const uint64_t now = worker_.loop().now_ms();
  exchange_.tried.push_back(exchange_.choice.pool);
  const size_t was = destination.LocalityOf(exchange_.choice.pool.get());
  Choice instead = destination.PickInstead({TargetOf(head), now, exchange_.tried});
  // Nobody but the same cluster is left: another endpoint of it, and then one that nothing speaks against.
  const bool hopeless =
      instead.pool == nullptr || (instead.pool->out && (again || (instead.locality == was && why != Why::kUnsent)));
  // An outage must not be multiplied: only the first move off a place that could not be reached is free.
  if (hopeless || ((again || why == Why::kAnswered) && !destination.budget.TakeRetry(now))) {
    exchange_.tried.pop_back();
    return false;
  }
  std::string request = std::move(head);
  DropUpstream(reusable);
  exchange_.repeated |= why != Why::kUnsent;
  exchange_.choice = std::move(instead);
  ++worker_.stats.retries;
  if (exchange_.log != nullptr) exchange_.log->retried = true;
  SendSerialized(std::move(request));
  return true;
}

void Session::OnNoConnection(bool local) {
  if (local) return Reply(503, Word(traffic::Reason::kLocalShortage), {}, kRetryAfter);
  exchange_.destination->RecordFailure(worker_, exchange_.choice, traffic::Failure::kConnect);
  if (!RepeatElsewhere(Why::kUnsent, exchange_.head))
    Reply(503, Word(traffic::Reason::kConnectFailed), {}, kRetryAfter);
}

void Session::LeaveQueue(const Pool& pool) {
  if (is_linked() && exchange_.choice.pool.get() == &pool) RepeatElsewhere(Why::kUnsent, exchange_.head);
}

// The exchange ends without an answer, because its time is over or its caller has left. Was its endpoint silent, to
// everybody and all the time since it has this request?
void Session::RecordIfSilent() {
  const Upstream* upstream = exchange_.upstream;
  if (exchange_.response_started || upstream == nullptr) return;
  if (!exchange_.request.done && upstream->transport.unsent() == 0) return;  // It waits for the caller.
  const uint64_t since = upstream->given_ms();
  const Pool& pool = *exchange_.choice.pool;
  if (worker_.loop().now_ms() < since + kSilentMs || pool.answered_ms >= since) return;
  exchange_.destination->RecordFailure(worker_, exchange_.choice, traffic::Failure::kSilent);
}

void Session::OnUpstreamLost(std::string_view why) {
  if (state_ != State::kExchange || exchange_.upstream == nullptr) {
    exchange_.upstream = nullptr;
    return;
  }
  if (exchange_.response_started && why == Word(traffic::Reason::kUpstreamClosed) &&
      exchange_.response.kind == codec::BodyKind::kToClose) {
    return EndWithUpstream();
  }
  // Who breaks off an answer has begun one: a gateway passes on what an application did.
  if (!exchange_.response_started)
    exchange_.destination->RecordFailure(worker_, exchange_.choice, traffic::Failure::kLost);
  if (exchange_.response_started) {
    exchange_.upstream = nullptr;
    ++worker_.stats.upstream_failures;
    if (exchange_.log != nullptr) exchange_.log->reason = why;
    CountAndLog();
    return Close();  // The caller sees a truncated answer as truncated.
  }
  ++worker_.stats.upstream_failures;
  if (exchange_.safe && RepeatElsewhere(Why::kLost, exchange_.upstream->head)) return;
  exchange_.upstream = nullptr;
  Reply(502, why);  // It may have been executed: no Retry-After, at which callers would repeat it by themselves.
}

void Session::OnEndpointDead(const Pool& pool) {
  if (state_ != State::kExchange || exchange_.choice.pool.get() != &pool || exchange_.response_started) return;
  const bool unsent = exchange_.upstream == nullptr;
  ++worker_.stats.upstream_failures;
  if ((unsent || exchange_.safe) && RepeatElsewhere(Why::kJudgedDead, RequestHead())) return;
  DropUpstream(false);
  if (unsent) return Reply(503, Word(traffic::Reason::kNoClusterCanServe), {}, kRetryAfter);
  Reply(502, Word(traffic::Reason::kClusterDown));
}

// Looks at the status before anything of the answer goes on: when the next tier says for itself that it could not
// serve, the request goes elsewhere if that is allowed. `whole`: nothing of the answer is still on its way. False: the
// answer is the caller's.
bool Session::RepeatIfRefused(const codec::ResponseHead& head, bool whole) {
  const std::string_view said = head.status >= 502 && head.status <= 504 && FromMesh() ? ReasonOf(head) : "";
  const traffic::Failure failure = FailureSaidBy(said);
  if (failure == traffic::Failure::kNone) {
    exchange_.destination->RecordAnswer(worker_, exchange_.choice);
  } else {
    exchange_.destination->RecordFailure(worker_, exchange_.choice, failure);
  }
  const bool unsent = ReachedNobody(traffic::ReasonOf(said));
  if (said.empty() || said == kBadAnswer || !(exchange_.safe || unsent)) return false;
  // It reached nobody: as good as no connection, and nothing that an outage could multiply.
  return RepeatElsewhere(unsent ? Why::kUnsent : Why::kAnswered, exchange_.upstream->head,
                         whole && !head.close && exchange_.request.done);
}

// An application's own answer is no evidence against anybody. What a gateway says failed behind it, is judged there:
// one that answers so is well itself. Only the proxy of a single pod speaks of that pod.
traffic::Failure Session::FailureSaidBy(std::string_view reason) const {
  const bool gateway = exchange_.destination->source()->digest;
  return gateway ? traffic::Failure::kNone : traffic::FailureBehind(reason);
}

}  // namespace weir::proxy
