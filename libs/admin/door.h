#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "libs/base/clock.h"
#include "libs/base/result.h"

namespace weir::admin {

struct Request {
  std::string method;  // "GET", "POST"
  std::string path;    // Without query.
  std::string query;   // After "?", not decoded.
  std::string body;
};
struct Response {
  int status = 200;
  std::string body;
  std::string content_type = "text/plain; charset=utf-8";
};
using Handler = std::function<Response(const Request&)>;
// By path, then by method: `routes["/discovery"]["GET"] = ...`.
using Routes = std::map<std::string, std::map<std::string, Handler>>;

struct DoorOptions {
  // "127.0.0.1:15000", "[::1]:0" (port 0 = any free one) or "unix:/path" (created 0600, a stale one is replaced).
  std::string address;
  // The admin door answers on loopback only; probes (/ready, /live) may be asked from outside.
  bool allow_remote = false;
  // A listening socket of `address` that a predecessor handed over, owned from now on; -1 = a new one is bound.
  int listening = -1;
  // Loopback only: where the token is written (0600, a new one each time; on a disk that takes none, the one that
  // stands) that a change must carry there, as "Authorization: Bearer <token>"; "" = no change is possible on loopback.
  // A unix socket needs none: it answers its owner and root only.
  std::string token_file = {};
  size_t connections = 32;                      // At once; the rest waits in the backlog.
  Duration deadline = std::chrono::seconds(5);  // Of a request with its answer.
};

// The small HTTP/1.1 door of every program, on a thread of its own so that it answers when the workers are busy. One
// answer per connection. Bounds: connections and deadline of its options, 8 KiB of head, 64 KiB of body. What a browser
// sends for another site is refused: an Origin header, and on loopback a Host that is no loopback address (a name may
// have been turned to this machine behind the browser's back). Everybody on the machine may read on loopback; changes
// need the token.
class Door {
 public:
  // FAILED_PRECONDITION ADDRESS_IN_USE, UNAVAILABLE or what WriteFileAtomic says of the token file, INVALID_ARGUMENT
  // BAD_ADDRESS or NOT_LOOPBACK.
  // Who asks is answered by `routes` from the first connection on. The handlers run on the door's thread, one at a
  // time. A GET handler answers HEAD too. Everything else is 404 (405 with Allow).
  static Result<std::unique_ptr<Door>> Start(const DoorOptions& options, Routes routes);
  virtual ~Door() = default;  // Stops and joins.

  // Where it listens, port resolved: "127.0.0.1:40123" or "unix:/path".
  virtual const std::string& address() const = 0;
  // The listening socket, for a successor's copy; valid until the end of this door.
  virtual int listening() const = 0;
  // A successor answers there now: nobody is accepted any more, and the path of a unix socket stays.
  virtual void HandOver() = 0;
};

// What a program offers at its door; an unset one is left out: /ready /live /metrics /config_dump /version
// /log-level (GET; POST with ?level=debug|info|warn|error or the level as body) and /drain (POST).
struct StandardHandlers {
  std::function<Status()> ready;             // Ok = 200, an Error = 503 with its text.
  std::function<std::string()> metrics;      // Prometheus text.
  std::function<std::string()> config_dump;  // JSON, secrets masked.
  std::string version;
  std::function<void()> drain;  // Must return at once; the answer is 202.
};
Routes StandardRoutes(StandardHandlers handlers);
// /ready and /live only.
Routes ProbeRoutes(std::function<Status()> ready);

}  // namespace weir::admin
