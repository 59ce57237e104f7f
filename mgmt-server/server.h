#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "libs/base/clock.h"
#include "libs/base/result.h"

namespace weir::bootstrap::v1 {
class Server;
}

namespace weir::server {

// The bootstrap message with every default filled in. INVALID_ARGUMENT BOOTSTRAP_INVALID with all violations.
void FillDefaults(bootstrap::v1::Server& bootstrap);
Status Check(const bootstrap::v1::Server& bootstrap);

// weir-server, whole: everything between the bootstrap and the three ports. Also what tests and benches start in their
// own process.
class Server {
 public:
  // Locks the state folder (FAILED_PRECONDITION STATE_IN_USE), opens the store, creates what a first start needs, and
  // listens. `wait_grace`: see services::Backends::grace. UNAVAILABLE PORT_IN_USE names the flag that chooses another
  // port.
  static Result<std::unique_ptr<Server>> Start(const bootstrap::v1::Server& bootstrap,
                                               const Clock& clock = Clock::Real(),
                                               Duration wait_grace = std::chrono::seconds(3));
  ~Server();  // Stop().

  // Stops accepting, finishes what runs (at most `grace`), closes the store. Idempotent.
  void Stop(Duration grace = std::chrono::seconds(5));

  struct Info {
    std::string address;
    uint16_t rest_port = 0;
    uint16_t grpc_port = 0;
    uint16_t agent_port = 0;
    std::string anchor_path;  // <state_dir>/server-anchor.pem: what users trust (--ca-file, WEIR_CA_FILE).
    std::string anchor_pem;
    std::string mesh_root_pem;  // Also <state_dir>/mesh-root.pem: what workloads of the mesh are verified against.
    std::string organization;
    bool first_start = false;   // The administrator was created now.
    std::string administrator;  // FQN; of a first start only.
    std::string password_path;  // Of a first start only.
    std::string admin;          // Address of the admin door; "" = off.
  };
  const Info& info() const;

  struct State;

 private:
  explicit Server(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace weir::server
