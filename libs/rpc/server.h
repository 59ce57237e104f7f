#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "libs/base/clock.h"
#include "libs/base/result.h"

namespace grpc {
class ServerBuilder;
class ServerContextBase;
class ServerCredentials;
}  // namespace grpc

namespace weir::rpc {

enum class ClientCertificate {
  kNone,      // Not asked for.
  kOptional,  // Verified when presented; the handler asks PeerSpiffeId (port 9444: Join has none yet).
  kRequired,
};

struct ServerTls {
  std::string chain_pem;  // Leaf first.
  std::string key_pem;
  std::string client_roots_pem;  // Needed unless kNone.
  ClientCertificate client_certificate = ClientCertificate::kNone;
};

class ClientVerifier;

// Hears whose certificate was refused: what was presented, of which nothing is certain, and why. On gRPC's threads.
using OnRefusedClient = std::function<void(const std::string& chain_pem, const Error& why)>;

// Server credentials whose certificate can change while the server runs: the files of `folder` (0600, made) are
// watched by gRPC each second; connections that stand keep theirs. Clients' certificates are judged by
// identity::VerifyChain alone. Outlives the server built with it.
class RotatingServerTls {
 public:
  // INVALID_ARGUMENT when key and certificate do not match. FAILED_PRECONDITION TLS_FOLDER_COPIED: `folder` was copied
  // with its links resolved; the message says what to do. On a disk that takes nothing, what an earlier start left in
  // `folder` is served if it has the same names, issuers and roots and lives.
  static Result<std::unique_ptr<RotatingServerTls>> Open(std::string folder, const ServerTls& first, const Clock& clock,
                                                         OnRefusedClient on_refused = nullptr);
  Status Replace(const ServerTls& next);  // `client_certificate` must stay the same.
  std::shared_ptr<grpc::ServerCredentials> credentials() const { return credentials_; }

 private:
  explicit RotatingServerTls(std::string folder) : folder_(std::move(folder)) {}
  Status Write(const ServerTls& tls, const std::string& version) const;
  bool StandsFor(const ServerTls& wanted, const Clock& clock) const;
  std::string folder_;
  std::shared_ptr<ClientVerifier> clients_;  // Null: nobody is asked for a certificate.
  std::shared_ptr<grpc::ServerCredentials> credentials_;
};

// Credentials that never change (tests, short runs).
Result<std::shared_ptr<grpc::ServerCredentials>> FixedServerTls(const ServerTls& tls);

// What is known of a call when its headers are here and no message of it has been read.
struct CallHead {
  std::string_view path;     // "/weir.v2.Tenants/GetTenant"
  std::string_view token;    // Bearer token; "" = none.
  bool certificate = false;  // The peer presented one that verified.
};
// Refuses calls by their headers, so that nobody's message is buffered before it is known who sends it. Runs on gRPC's
// threads: in memory, fast. The caller sees code and "REASON: message" (FromGrpc takes it apart). Once per server,
// before it is built.
void AdmitCalls(grpc::ServerCredentials& credentials, std::function<Status(const CallHead&)> admit);

// What all connections of one server may cost together, whoever they come from.
struct ServerBounds {
  int max_message = 64 << 20;  // Bytes of one received message.
  size_t memory = 512 << 20;   // Of all buffers together; above, calls and connections are shed.
  int handshake_seconds = 10;  // From accept to the end of the TLS handshake.
  int idle_seconds = 300;      // A connection without calls is closed.
  int streams = 1000;          // At once on one connection.
};
// Keepalive (ping each 10 s, dead after 5 s without an answer; clients may ping each 5 s, also without calls), no
// SO_REUSEPORT (a port in use is an error, not a share), and the bounds.
void ApplyDefaults(grpc::ServerBuilder& builder, const ServerBounds& bounds = {});

// The verified URI SAN of the peer's certificate; "" = it presented none.
std::string PeerSpiffeId(const grpc::ServerContextBase& context);
// What the peer presented, PEM: its leaf, then what it sent along, in any order and perhaps more than its chain; verify
// before believing (identity::VerifyChain). "" = it presented none.
std::string PeerChain(const grpc::ServerContextBase& context);
// The peer's address without port: "192.0.2.1", "::1"; as gRPC says it when it is no TCP peer.
std::string PeerAddress(std::string_view peer);
// Whom that address stands for, by SourceOf.
std::string PeerSource(std::string_view peer);
// From "authorization: Bearer <token>", the scheme in any case (RFC 9110, 11.1); "" = none.
std::string BearerToken(const grpc::ServerContextBase& context);
std::string_view BearerToken(std::string_view authorization);
// Metadata value; "" = none.
std::string Metadata(const grpc::ServerContextBase& context, const std::string& key);
// x-request-id of the caller if it is 1 to 128 characters of [A-Za-z0-9._-], else a new one.
std::string RequestId(const grpc::ServerContextBase& context);

}  // namespace weir::rpc
