#pragma once

#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "libs/codec/http1.h"
#include "libs/net/transport.h"
#include "libs/proxy/access_log.h"
#include "libs/proxy/upstream.h"

namespace weir::proxy {

class Worker;
class ListenerSocket;
struct BodyPieces;

// Where a body stands.
struct Body {
  codec::BodyKind kind = codec::BodyKind::kNone;
  bool done = true;
  bool unchunk = false;  // Forward the data only: the receiver speaks HTTP/1.0.
  bool rechunk = false;  // Of kToClose: forward it in chunks, so that its end shows that it is whole.
  uint64_t left = 0;
  codec::ChunkReader chunks;

  void Begin(const codec::Head& head, codec::ChunkReader::Strictness strictness);
  // Only the end of the connection tells the receiver that this is all.
  bool EndsWithConnection() const { return unchunk || (kind == codec::BodyKind::kToClose && !rechunk); }
};

// One connection of a caller, and the exchange that is under way on it. It lives and dies on its worker.
class Session : public net::Watcher, public net::Deferred, public net::Timer, public Waiter {
 public:
  Session(Worker& worker, ListenerSocket& listener, const net::Address& peer);
  ~Session() override;
  Status Open(net::Fd fd);
  void Close();
  // While draining: since when nothing is under way; UINT64_MAX = something is.
  uint64_t QuietSince() const { return state_ == State::kIdle && !Waiting() ? moved_ms_ : UINT64_MAX / 2; }
  // Ends a connection on which nothing is under way. A request that arrived meanwhile is still answered; one that is on
  // its way finds a closed connection, never a reset one.
  void CloseIdle();

  bool busy() const { return state_ == State::kExchange || state_ == State::kSending; }
  bool peer_known() const { return state_ != State::kHandshake && state_ != State::kClosed; }
  const net::Transport& transport() const { return transport_; }

  void OnEvents(uint32_t events) override;
  void OnDeferred() override;
  void OnTimer() override;

  // From the upstream of the exchange.
  void OnUpstreamBytes(const char* data, size_t size);
  void OnUpstreamLost(std::string_view why);
  // From the pool whose queue the request has just left: with a connection, or because none could be had.
  void OnConnection(Upstream& upstream);
  // `local`: for want of a descriptor, buffer or port here.
  void OnNoConnection(bool local);
  // The waiting request goes where it need not wait for `pool`, if there is such a place.
  void LeaveQueue(const Pool& pool);
  // From the worker, never within one of the calls above: the endpoint was judged dead (with its cluster, or alone). An
  // exchange that waits for it moves to another cluster when it may be repeated, else its caller is told at once. May
  // close this session.
  void OnEndpointDead(const Pool& pool);
  bool full() const;  // Too much unsent: the upstream is not read.
  void OnUpstreamDrained();
  void OnUpstreamMoved();  // The upstream has taken bytes of the request.

  // The health digest that this caller keeps open (session_health.cc). May close this session.
  void SendDigest(std::string_view text);
  void EndDigest();
  void EndDigestIfInadmissible();

  size_t place = 0;  // In the worker's list.

 private:
  // Why a request is repeated elsewhere.
  enum class Why : uint8_t {
    kUnsent,      // It reached nobody that could have executed it.
    kLost,        // Sent; the connection ended without an answer.
    kJudgedDead,  // Where it waits nobody answers any more.
    kAnswered,    // Sent; the next tier says for itself that it could not serve it.
  };
  static constexpr size_t kMostTries = 8;  // Endpoints that one request is offered to.
  enum class State : uint8_t {
    kHandshake,
    kIdle,
    kHead,
    kExchange,
    kSending,    // The answer is complete, but has not left for the caller: nothing further of it is read or begun.
    kLingering,  // Answered for the last time: what still comes is read and dropped, so that the answer arrives.
    kClosed,
  };

  // What one request needs until it is answered. Copied out of the snapshot, so that the snapshot may go.
  struct Exchange {
    std::shared_ptr<DestinationState> destination;
    Choice choice;
    const traffic::VirtualHost* host = nullptr;  // Only compared and read while the plan is the same.
    Counters* counters = nullptr;
    Upstream* upstream = nullptr;
    std::string head;  // Of a request that waits for its connection.
    Body request;
    Body response;
    uint64_t deadline_ms = 0;  // 0 = none.
    uint64_t idle_ms = 0;      // Most that the endpoint may keep us waiting for a byte; 0 = no bound.
    int status = 0;
    bool response_started = false;
    bool to_head = false;
    bool http_1_0 = false;
    bool safe = false;       // May be repeated after it was sent.
    bool body_gone = false;  // Part of the request's body left us and was not kept: no replay.
    bool repeated = false;   // The one repetition of what was sent is spent.
    bool reusable = true;    // The upstream agrees to another exchange.
    bool trusted = false;
    bool panic = false;  // Nobody could serve it, and this tier is the first to send it on all the same.
    std::vector<std::shared_ptr<Pool>> tried;  // Where it has been before; empty as long as nothing fails.
    std::unique_ptr<LogEntry> log;
  };

  void ContinueHandshake();
  void SayExpired() const;
  bool FindChain();  // Finds the chain in the current plan; false = this caller has no place here any more.
  void Readable();
  bool ReadOnce();  // False when there is nothing more to do now.
  bool MayRead();
  // Who had to prove an identity to come in here is one of us.
  bool FromInside() const { return chain_->tls && chain_->tls->demands(); }
  const codec::HeadBounds& HeadBounds() const { return FromInside() ? codec::kMesh : codec::kOutside; }
  void Consume(const char* data, size_t size);
  bool AddToHead(const char* data, size_t size);
  void KeepForLater(const char* data, size_t size);
  void DropConsumed();
  bool Waiting() const { return pending_at_ < pending_.size(); }
  void Discard(size_t size);
  void OnAnswerSent();
  bool CallerHoldsUp() const;
  void OnExchangeTimer(uint64_t now);
  bool AnsweredBeforeRouting(const codec::RequestHead& head);
  void BeginExchange(const codec::RequestHead& head);
  void BeginLog();
  void SetTimes(const RouteAction& action);
  void StartExchange(const codec::RequestHead& head, const char* rest, size_t rest_size);
  bool Route(const codec::RequestHead& head, std::string_view target, const RouteAction** action);
  void Answer(const codec::RequestHead& head, const RouteAction& action, std::string_view target);
  bool AsksForHealth(std::string_view target) const;
  void AnswerHealth(const codec::RequestHead& head);
  void BeginDigest(const codec::RequestHead& head);
  void LeaveDigest();
  void BuildRequestHead(const codec::RequestHead& head, std::string_view target, std::string& out);
  void Choose(std::string_view target, const codec::RequestHead& head);
  void Dispatch(std::string_view target, const codec::RequestHead& head);
  void SendSerialized(std::string&& head);
  void QueueForConnection();
  std::string& RequestHead();
  void SendHeld();
  void RecordChoice();
  void ForwardRequestBody(const char* data, size_t size);
  void KeepForReplay(const iovec* parts, int count);
  bool RepeatElsewhere(Why why, std::string& head, bool reusable = false);
  bool RepeatIfRefused(const codec::ResponseHead& head, bool whole);
  bool FromMesh() const;
  traffic::Failure FailureSaidBy(std::string_view reason) const;
  void RecordIfSilent();
  void StartResponse(const codec::ResponseHead& head, const char* rest, size_t rest_size);
  void ForwardResponseBody(const char* data, size_t size);
  void ForwardResponse(const char* data, size_t size, BodyPieces& pieces);
  void EndOfResponse(bool clean);
  void EndWithUpstream();
  void BadAnswer(std::string_view why);
  void Finish(bool upstream_reusable);
  void Reply(int status, std::string_view reason, std::string_view body = {}, std::string_view extra = {});
  void Refuse(int status, std::string_view reason);
  void RefuseHead(const codec::RequestHead& head, const char* data, size_t size);
  void Abort(int status, std::string_view reason);
  void DropUpstream(bool reusable);
  void CountAndLog();
  void CloseOrLinger();  // Closes; lingers when the caller may still be sending.
  void SetDeadline(uint64_t in_ms);

  Worker& worker_;
  ListenerSocket& listener_;
  net::Transport transport_;
  // Bytes of a head that is not complete, or of requests that wait for their turn: from pending_at_ on.
  std::string pending_;
  size_t pending_at_ = 0;
  std::string held_;  // Body bytes that wait for the upstream's connection, or are kept for a replay.
  std::shared_ptr<const PlannedListener> planned_;
  const FilterChain* chain_ = nullptr;
  PlannedListener::Found place_;  // Of `chain_`.
  uint64_t epoch_ = 0;
  uint64_t deadline_ms_ = 0;
  uint64_t moved_ms_ = 0;  // When a byte last moved within the exchange, or the connection became idle.
  uint64_t lingered_ = 0;  // Bytes that were read only to be dropped.
  std::array<char, 46> peer_{};
  uint8_t peer_size_ = 0;
  State state_ = State::kIdle;
  bool close_after_ = false;
  bool digest_ = false;  // Its exchange is a health digest.
  bool unread_ = false;  // The caller may still be sending what nobody reads.
  Exchange exchange_;
};

}  // namespace weir::proxy
