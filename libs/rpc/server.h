#pragma once

#include <memory>
#include <optional>
#include <string>

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

// Server credentials whose certificate can change while the server runs: the files of `folder` (0600, made) are
// watched by gRPC each second; connections that stand keep theirs. Outlives the server built with it.
class RotatingServerTls {
 public:
  // INVALID_ARGUMENT when key and certificate do not match. FAILED_PRECONDITION TLS_FOLDER_COPIED: `folder` was copied
  // with its links resolved; the message says what to do.
  static Result<std::unique_ptr<RotatingServerTls>> Open(std::string folder, const ServerTls& first);
  Status Replace(const ServerTls& next);  // `client_certificate` must stay the same.
  std::shared_ptr<grpc::ServerCredentials> credentials() const { return credentials_; }

 private:
  explicit RotatingServerTls(std::string folder) : folder_(std::move(folder)) {}
  std::string folder_;
  std::shared_ptr<grpc::ServerCredentials> credentials_;
};

// Credentials that never change (tests, short runs).
Result<std::shared_ptr<grpc::ServerCredentials>> FixedServerTls(const ServerTls& tls);

// Message limit 64 MiB, keepalive (ping each 10 s, dead after 5 s without an answer; clients may ping each 5 s,
// also without calls), at most 1000 streams per connection, no SO_REUSEPORT (a port in use is an error, not a share).
void ApplyDefaults(grpc::ServerBuilder& builder);

// The verified URI SAN of the peer's certificate; "" = it presented none.
std::string PeerSpiffeId(const grpc::ServerContextBase& context);
// From "authorization: Bearer <token>"; "" = none.
std::string BearerToken(const grpc::ServerContextBase& context);
// Metadata value; "" = none.
std::string Metadata(const grpc::ServerContextBase& context, const std::string& key);
// x-request-id of the caller if it is 1 to 128 characters of [A-Za-z0-9._-], else a new one.
std::string RequestId(const grpc::ServerContextBase& context);

}  // namespace weir::rpc
