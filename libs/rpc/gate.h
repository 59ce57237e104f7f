#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "libs/base/clock.h"
#include "libs/base/result.h"

namespace grpc {
class ServerBuilder;
class ServerCredentials;
}  // namespace grpc

namespace weir::rpc {

struct GateBounds {
  size_t connections = 4096;  // In all; one whose peer has spoken costs two descriptors while it lives.
  size_t per_source = 256;    // SourceOf.
  size_t divisor = 4;         // The connections take at most this part of the process's descriptors.
  Duration silence = std::chrono::seconds(10);  // From accept to the first byte.
};

// The listening socket of a gRPC server, which itself accepts whoever comes and counts nobody. Here a connection has to
// have a place (Admission): where there is none, the one that has been longest without a call goes. gRPC gets a
// connection with its first byte, so that silence costs no more than a descriptor; TLS and all else stay gRPC's.
// A thread of its own.
class Gate {
 public:
  // Listens at "address:port" ("[::]:0", "localhost:0"; 0 = any port) and takes the place of AddListeningPort.
  // FAILED_PRECONDITION ADDRESS_IN_USE, UNAVAILABLE LISTEN_FAILED. Once per builder, whose interceptors it sets; before
  // it builds.
  static Result<std::unique_ptr<Gate>> Open(const std::string& listen,
                                            const std::shared_ptr<grpc::ServerCredentials>& credentials,
                                            grpc::ServerBuilder& builder, const GateBounds& bounds = {},
                                            const Clock& clock = Clock::Real());
  ~Gate();       // Stop.
  void Start();  // When the server runs.
  void Stop();   // Nobody is let in any more; before the server is shut down.
  int port() const;
  size_t connections() const;

 private:
  struct State;
  explicit Gate(std::shared_ptr<State> state);
  const std::shared_ptr<State> state_;  // Calls that still run know it, too.
};

}  // namespace weir::rpc
