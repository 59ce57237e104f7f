#include <algorithm>

#include "libs/dialect/dialect.h"
#include "libs/proxy/digest.h"
#include "libs/proxy/digest_streams.h"
#include "libs/proxy/health_board.h"
#include "libs/proxy/session.h"
#include "libs/proxy/worker.h"

// GET dialect::kHealthPath from inside the mesh: can what stands behind this chain serve? And the digest of all of
// them.

namespace weir::proxy {

bool Session::AsksForHealth(std::string_view target) const {
  constexpr std::string_view kPath = dialect::kHealthPath;
  return exchange_.trusted && target.starts_with(kPath) &&
         (target.size() == kPath.size() || target[kPath.size()] == '?');
}

void Session::AnswerHealth(const codec::RequestHead& head) {
  exchange_.log.reset();  // Each second, from many: neither logged nor counted as traffic.
  exchange_.counters = worker_.HealthCounters();
  if (head.method != "GET" && head.method != "HEAD")
    return Reply(405, "method_not_allowed", {}, "allow: GET, HEAD\r\n");
  if (worker_.draining()) return Reply(503, Word(traffic::Reason::kDraining));
  if (chain_->health_digest) return BeginDigest(head);
  traffic::Reason reason = traffic::Reason::kNone;
  size_t can = 0;
  const auto sets = place_.host != nullptr ? std::optional(HealthBoard::SetsOf(*chain_->routes, place_.host_index))
                                           : HealthBoard::SetsOf(*chain_);
  if (!sets) return Reply(503, Word(traffic::Reason::kNoSuchHost));
  for (const std::string& set : *sets) can += worker_.CanServe(set, &reason);
  // One dead path must not take the host: requests to it are told that they reached nobody, and go elsewhere.
  if (can > 0 || sets->empty()) return Reply(200, {}, can == sets->size() ? "ok\n" : "partial\n");
  Reply(503, Word(reason));
}

void Session::BeginDigest(const codec::RequestHead& head) {
  if (head.method != "GET" || exchange_.http_1_0 || !exchange_.request.done) return Reply(400, "not_a_digest_request");
  exchange_.status = 200;
  exchange_.response_started = true;
  close_after_ = true;
  if (!transport_.Send("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n")) {
    return Abort(499, "caller_gone");
  }
  digest_ = true;
  if (!worker_.digests().Add(*this)) EndDigest();
}

void Session::SendDigest(std::string_view text) {
  moved_ms_ = worker_.loop().now_ms();
  std::string& out = worker_.loop().scratch();
  out.clear();
  AppendChunk(text, out);
  if (transport_.unsent() > DigestStreams::kUnsentBytes || !transport_.Send(out)) Abort(499, "caller_gone");
}

void Session::EndDigest() {
  LeaveDigest();
  if (!transport_.Send("0\r\n\r\n")) return Abort(499, "caller_gone");
  Finish(false);
}

void Session::EndDigestIfInadmissible() {
  if (!FindChain() || !chain_->health_digest) Abort(499, "not_allowed_any_more");
}

void Session::LeaveDigest() {
  if (std::exchange(digest_, false)) worker_.digests().Remove(*this);
}

// ---- DigestStreams

bool DigestStreams::Add(Session& session) {
  if (sessions_.size() >= kMost || all_ == nullptr) return false;
  if (sessions_.empty()) worker_.loop().SetTimer(*this, DigestTimes::kBeatMs);
  sessions_.push_back(&session);
  session.SendDigest(*all_);
  return true;
}

void DigestStreams::Remove(Session& session) { std::erase(sessions_, &session); }

void DigestStreams::Take(const HealthUpdate& update) {
  if (update.digest == nullptr) return;
  all_ = update.digest;
  version_ = update.digest_version;
  if (!update.digest_changes.empty()) SendAll(update.digest_changes);
}

void DigestStreams::SendAll(const std::string& text) {
  const std::vector<Session*> sessions = sessions_;  // One that ends leaves; it is freed at the end of the turn.
  for (Session* session : sessions) session->SendDigest(text);
}

void DigestStreams::OnTimer() {
  if (sessions_.empty()) return;
  worker_.loop().SetTimer(*this, DigestTimes::kBeatMs);
  SendAll(fmt::format("beat {}\n", version_));
}

void DigestStreams::EndInadmissible() {
  const std::vector<Session*> sessions = sessions_;
  for (Session* session : sessions) session->EndDigestIfInadmissible();
}

void DigestStreams::Drain() {
  SendAll("draining\n");
  const std::vector<Session*> sessions = sessions_;
  for (Session* session : sessions) session->EndDigest();
}

}  // namespace weir::proxy
