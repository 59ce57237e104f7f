#pragma once

#include <memory>
#include <string>

#include "libs/base/clock.h"
#include "libs/base/result.h"
#include "libs/gateway/configurator.h"
#include "libs/gateway/settings.h"

namespace weir::gateway {

// A running gateway: identity from the agent (kept across restarts), configuration by ADS (last-good across restarts),
// the engine, the admin door. It serves from last-good before the agent is reachable and goes on when it is lost.
class Gateway {
 public:
  // Starts serving what it can. FAILED_PRECONDITION for a state_dir, a door or an engine that cannot be had; an
  // agent that is not there is no error. With Settings::take_over and a gateway that runs: returns after that one has
  // stopped accepting; an Error (UNAVAILABLE TAKE_OVER_NOT_READY too) leaves it as it was. `role` outlives
  // the Gateway.
  static Result<std::unique_ptr<Gateway>> Start(Settings settings, Role& role, const Clock& clock = Clock::Real());
  ~Gateway();  // Stops at once.

  // OK = everything that is wanted is served, or handed over: an identity, every kind of resource answered (or
  // last-good restored), no routes awaited, every port open. UNAVAILABLE NOT_READY or DRAINING else.
  Status Ready() const;
  // Finishes what is in flight, for at most Settings::drain; blocks. Later calls return at once.
  void Drain();
  // A door's POST /drain asked for it, or a successor has taken over.
  bool DrainAsked() const;
  bool HandedOver() const;

  proxy::Engine& engine();
  // "unix:/path" or "host:port", resolved.
  std::string admin_address() const;

 private:
  class State;
  explicit Gateway(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// main() of every gateway program: bootstrap, signals (SIGTERM and SIGINT drain; a second one ends at once), exit code.
int Main(Role& role, int argc, const char* const* argv);

}  // namespace weir::gateway
