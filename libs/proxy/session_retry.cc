#include <algorithm>

#include "libs/proxy/message.h"
#include "libs/proxy/session.h"
#include "libs/proxy/worker.h"

// What happens to an exchange whose upstream fails: the one move to another cluster, or the answer that says why not.

namespace weir::proxy {
namespace {

constexpr size_t kReplayBody = 64 * 1024;  // Bound of body bytes kept for a repetition after they were sent.
constexpr std::string_view kRetryAfter = "retry-after: 1\r\n";

// The next tier's word that the request reached nobody behind it, so that repeating it is safe whatever it does.
bool NothingWasSent(std::string_view reason) {
  return reason == "no_cluster_can_serve" || reason == "connect_failed" || reason == "no_such_cluster";
}

}  // namespace

// Its word is believed: it had to prove that it is one of us.
bool Session::FromMesh() const {
  const Pool* pool = exchange_.choice.pool.get();
  return pool != nullptr && pool->rule != nullptr && !(pool->rule->exact.empty() && pool->rule->prefixes.empty());
}

// Body bytes that were just sent. What may be repeated is kept within a bound.
void Session::KeepForReplay(const iovec* parts, int count) {
  if (exchange_.body_gone) return;
  size_t size = held_.size();
  for (int i = 0; i < count; ++i) size += parts[i].iov_len;
  if (!exchange_.safe || size > kReplayBody) {
    exchange_.body_gone = true;
    std::string().swap(held_);
    return;
  }
  for (int i = 0; i < count; ++i) held_.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
}

// Sends the request, whose head is `head`, to another cluster: once, and not when part of its body is gone. True: done,
// or the caller has been answered; false: nothing has changed. `reusable`: see DropUpstream.
bool Session::Move(Why why, std::string& head, bool reusable) {
  if (exchange_.moved || exchange_.body_gone) return false;
  ClusterState& cluster = *exchange_.cluster;
  exchange_.choice.locality = cluster.LocalityOf(exchange_.choice.pool.get());
  Choice instead = cluster.PickInstead(exchange_.choice);
  if (instead.pool == nullptr) return false;
  // Nobody but the same cluster is left: another endpoint of it, and then one that nothing speaks against.
  if (instead.locality == exchange_.choice.locality && why != Why::kConnectionFailed && instead.pool->out) return false;
  if (why == Why::kAnswered && !cluster.budget.Retry(worker_.loop().now_ms())) return false;
  std::string request = std::move(head);
  DropUpstream(reusable);
  exchange_.moved = true;
  exchange_.choice = std::move(instead);
  ++worker_.stats.retries;
  if (exchange_.log != nullptr) exchange_.log->retried = true;
  Engage(std::move(request));
  return true;
}

void Session::OnNoConnection() {
  exchange_.cluster->Failed(worker_, exchange_.choice, Failure::kConnect);
  if (!Move(Why::kConnectionFailed, exchange_.head)) Reply(503, "connect_failed", {}, kRetryAfter);
}

void Session::LeaveQueue(const Pool& pool) {
  if (is_linked() && exchange_.choice.pool.get() == &pool) Move(Why::kConnectionFailed, exchange_.head);
}

void Session::OnUpstreamLost(std::string_view why) {
  if (state_ != State::kExchange || exchange_.upstream == nullptr) {
    exchange_.upstream = nullptr;
    return;
  }
  if (exchange_.response_started && why == "upstream_closed" && exchange_.response.kind == codec::BodyKind::kToClose) {
    return EndWithUpstream();
  }
  exchange_.cluster->Failed(worker_, exchange_.choice, Failure::kLost);
  if (exchange_.response_started) {
    exchange_.upstream = nullptr;
    ++worker_.stats.upstream_failures;
    if (exchange_.log != nullptr) exchange_.log->reason = why;
    Account();
    return Close();  // The caller sees a truncated answer as truncated.
  }
  ++worker_.stats.upstream_failures;
  if (exchange_.safe && Move(Why::kConnectionFailed, exchange_.upstream->head)) return;
  exchange_.upstream = nullptr;
  Reply(502, why);  // It may have been executed: no Retry-After, at which callers would repeat it by themselves.
}

void Session::OnEndpointDead(const Pool& pool) {
  if (state_ != State::kExchange || exchange_.choice.pool.get() != &pool || exchange_.response_started) return;
  const bool unsent = exchange_.upstream == nullptr;
  ++worker_.stats.upstream_failures;
  if ((unsent || exchange_.safe) && Move(Why::kJudgedDead, RequestHead())) return;
  DropUpstream(false);
  if (unsent) return Reply(503, "no_cluster_can_serve", {}, kRetryAfter);
  Reply(502, "cluster_down");
}

// Looks at the status before anything of the answer goes on: when the next tier says for itself that it could not
// serve, the request goes elsewhere if that is allowed. `whole`: nothing of the answer is still on its way. False: the
// answer is the caller's.
bool Session::Refused(const codec::ResponseHead& head, bool whole) {
  if (head.status < 502 || head.status > 504) {
    ClusterState::Succeeded(exchange_.choice, worker_.loop().now_ms());
    return false;
  }
  const std::string_view reason = FromMesh() ? ReasonOf(head) : std::string_view();
  if (head.status == 503 && reason.empty()) return false;
  exchange_.cluster->Failed(worker_, exchange_.choice, NothingWasSent(reason) ? Failure::kNobody : Failure::kGateway);
  const bool unsent = NothingWasSent(reason);
  if (reason.empty() || reason == kBadAnswer || !(exchange_.safe || unsent)) return false;
  // It reached nobody: as good as no connection, and nothing that an outage could multiply.
  return Move(unsent ? Why::kConnectionFailed : Why::kAnswered, exchange_.upstream->head,
              whole && !head.close && exchange_.request.done);
}

}  // namespace weir::proxy
