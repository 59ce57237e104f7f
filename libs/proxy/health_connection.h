#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "libs/net/transport.h"
#include "libs/proxy/plan.h"

namespace weir::proxy {

class Worker;

// One connection that health keeps to an endpoint, plain or TLS. Its owner watches the clock.
class HealthConnection : public net::Watcher, public net::Deferred {
 public:
  // A timer that rings so much later than asked: this thread stood still, not the peer.
  static constexpr uint64_t kStalledMs = 250;
  enum class End : uint8_t {
    kRefused,   // No connection: nobody listens there, or no way leads there.
    kTls,       // A connection, but the handshake broke off.
    kIdentity,  // The peer is not who it must be.
    kLost,      // It was up.
    kLocal,     // This process has no port or buffer left.
  };
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void OnUp() = 0;
    virtual void OnBytes(const char* data, size_t size) = 0;  // May close the connection.
    virtual void OnEnd(End end, std::string_view why) = 0;    // The connection is gone already.
  };
  // Freed by itself at the end of the turn in which it ends or is closed.
  struct Closer {
    void operator()(HealthConnection* connection) const { connection->Close(); }
  };
  using Ptr = std::unique_ptr<HealthConnection, Closer>;

  // Null when the kernel refuses at once; `owner` hears nothing then. `local`: it was for want of a descriptor, buffer
  // or port here, which says nothing about the peer.
  static Ptr Open(Worker& worker, const net::Address& to, const PeerWire& wire, const std::string& sni, Owner& owner,
                  bool* local);
  bool up() const { return state_ == State::kUp; }
  bool connected() const { return state_ == State::kHandshake || state_ == State::kUp; }
  bool Send(std::string_view bytes);  // False: it will end.
  // Takes in what has arrived but was not reported yet, because this thread had no time.
  void ReadWhatArrived();

  void OnEvents(uint32_t events) override;
  void OnDeferred() override { Readable(); }

 private:
  enum class State : uint8_t { kConnecting, kHandshake, kUp, kClosed };
  HealthConnection(Worker& worker, PeerWire wire, std::string sni, Owner& owner)
      : worker_(worker), wire_(std::move(wire)), sni_(std::move(sni)), owner_(&owner) {}
  void Close();
  void ContinueHandshake();
  void Readable();
  void Finish(End end, std::string_view why);

  Worker& worker_;
  PeerWire wire_;
  std::string sni_;
  Owner* owner_;
  net::Transport transport_;
  State state_ = State::kConnecting;
};

}  // namespace weir::proxy
