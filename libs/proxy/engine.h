#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "libs/base/clock.h"
#include "libs/base/result.h"
#include "libs/identity/generation.h"
#include "libs/net/socket.h"
#include "libs/proxy/report.h"
#include "libs/proxy/snapshot.h"

namespace weir::proxy {

// Times and bounds of one engine. The defaults fit an edge.
struct Limits {
  std::chrono::milliseconds request_head{10'000};  // From the first byte of a head (or accept, for TLS) to its end.
  std::chrono::milliseconds idle{75'000};          // Between requests of a kept connection.
  // While the caller is waited for within a request (the rest of its body, or that it reads the answer): no byte moved.
  // While the endpoint is waited for it is the time of a route that says none (RouteAction::idle).
  std::chrono::milliseconds stalled_body{60'000};
  std::chrono::milliseconds upstream_idle{60'000};
  // After an early answer the caller is read on, so that the answer arrives: as long as bytes keep coming, within
  // bounds.
  std::chrono::milliseconds linger{5'000};         // Without a byte.
  std::chrono::milliseconds linger_total{30'000};  // In all.
  uint64_t linger_bytes = 32 << 20;
  size_t connections_per_worker = 20'000;    // Beyond it new ones are closed at once.
  size_t idle_upstreams_per_endpoint = 256;  // Per worker.
  size_t unsent_bytes = 128 * 1024;          // Watermark per direction; beyond it the other side is not read.
};

struct Options {
  unsigned workers = 1;                     // Threads, 1 to 64.
  std::string source_address;               // Local IP for connections to upstreams; empty = kernel's choice.
  std::string access_log;                   // Path of a JSON-lines file (appended); empty = off, "-" = standard output.
  std::chrono::milliseconds drain{30'000};  // Most that Drain waits for requests in flight.
  // While draining a kept connection is closed after its next answer, or when it was quiet for so long.
  std::chrono::milliseconds drain_idle{3'000};
  bool hold = false;  // Nobody is accepted before Open.
  Limits limits;
  const Clock* clock = &Clock::Real();  // What all times of the engine go by; it outlives the engine.
};

// PEM texts. The key stays in memory and never in a log.
struct Identity {
  std::string certificate_chain;  // Leaf first.
  std::string private_key;
  std::string roots;  // What peers must chain to.
  // Memberships that count; null = not looked at.
  std::shared_ptr<const identity::ValidGenerations> generations = nullptr;
};

// A listening socket on its way from an engine to its successor.
struct ListeningSocket {
  std::string key;  // "address:port" as configured.
  net::Fd fd;
};

// A listener that is not open, because its address cannot be had.
struct UnboundListener {
  std::string resource;  // Listener::resource.
  std::string address;   // "address:port".
  Error error;           // FAILED_PRECONDITION ADDRESS_IN_USE names the address a foreign process holds; BAD_ADDRESS.
};

// What an operator asks first. Sums over the workers.
struct Stats {
  uint64_t connections_accepted = 0;
  uint64_t connections_open = 0;
  uint64_t requests = 0;  // Answered, local answers included.
  uint64_t requests_in_flight = 0;
  uint64_t bad_requests = 0;          // Refused heads or bodies.
  uint64_t underscores_refused = 0;   // Of these: for a '_' in the name of a header.
  uint64_t upstream_connections = 0;  // Opened.
  uint64_t upstream_connect_failures = 0;
  uint64_t upstream_failures = 0;  // Connections lost before the response was complete.
  uint64_t retries = 0;
  uint64_t tls_failures = 0;      // Handshakes that did not end well, either side.
  uint64_t identity_refused = 0;  // Peers that verified but are not who is allowed there.
};

// The proxy: one thread per core, each with its own event loop, listeners, connection pools and balancer state;
// across threads only posted messages and the swap of an immutable snapshot. All methods are thread-safe except
// Start and Stop, which the owner calls once each. No callback runs under a lock.
class Engine {
 public:
  using Done = std::function<void(Status)>;

  Engine();
  ~Engine();  // Stops.
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // INVALID_ARGUMENT for options out of range, INTERNAL when threads or files cannot be had. `inherited`: sockets of a
  // predecessor, used for the listeners of the same address whatever the number of workers on either side.
  Status Start(Options options, std::vector<ListeningSocket> inherited = {});
  // With Options::hold: opens the listeners of what was applied, from now on callers are accepted. Those that cannot be
  // opened are left to OpenMissing. FAILED_PRECONDITION NOT_CONFIGURED: nothing was applied yet. Inherited sockets that
  // no listener wants are closed.
  Status Open();

  // Serves `snapshot` from now on. `done` runs once (on a worker's thread, or on the caller's when refused): OK after
  // every worker serves it; else nothing changed: INVALID_ARGUMENT what cannot be served. A listener whose address
  // cannot be had fails alone (Unbound): as long as it does, what was served under its resource's name is served on. A
  // request keeps the route it began with. Connections survive; shares restart counting only where weights or the set
  // that can serve changed.
  void Apply(std::shared_ptr<const Snapshot> snapshot, Done done);
  // Listeners that are wanted and not open; sorted by address.
  std::vector<UnboundListener> Unbound() const;
  // Tries to open them once more; `done` as of Apply, at once when there are none.
  void OpenMissing(Done done);

  // New handshakes use it from now on. Connections stay, but for those of peers whose membership has ended: they are
  // closed at once, whatever is under way on them, because nothing that such a peer says may be believed. Until the
  // first call TLS listeners refuse handshakes. INVALID_ARGUMENT when certificate, key or roots cannot be read or do
  // not fit together.
  Status SetIdentity(const Identity& identity);

  // Copies of all listening sockets, for a successor. UNAVAILABLE when a worker does not answer.
  Result<std::vector<ListeningSocket>> ExportSockets();

  // Stops accepting, answers with "Connection: close", finishes what is in flight, closes. Returns at once; `done`
  // runs when the last connection is closed or Options::drain is over.
  // Handed over: the exported sockets are left to the successor with all that is queued on them. `accepting_ended`
  // runs when no worker accepts any more.
  void Drain(std::function<void()> done = nullptr);
  void DrainHandedOver(std::function<void()> accepting_ended);

  // Ends all threads; connections still open are closed. Idempotent.
  void Stop();

  // The port a listener is bound to; 0 when it is not served.
  uint16_t Port(const std::string& listener) const;

  Stats GetStats() const;
  // Shares of every destination set with more than one locality or a weight; sorted by set and cluster.
  std::vector<ShareReport> Shares() const;
  // Who can serve, why not, from which evidence; sorted by set.
  std::vector<SetHealthReport> Health() const;
  // What changed of the health since the call before, or with `whole` all of it; costs the loop of worker 0 what
  // changed, and never much at once. One caller.
  HealthChanges TakeHealthChanges(bool whole);
  // Appends Prometheus text: weir_traffic_requests_total{host,cluster,code}, connections, failures.
  void RenderMetrics(std::string& out) const;

 private:
  class Core;
  std::unique_ptr<Core> core_;
};

}  // namespace weir::proxy
