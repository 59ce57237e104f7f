#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "libs/base/clock.h"
#include "libs/base/result.h"
#include "libs/identity/certificates.h"

namespace weir::ca {

// Where the authority keeps its two secrets ("root", "server"). Several replicas share one store.
struct Blobs {
  std::function<Result<std::optional<std::string>>(const std::string& name)> load;
  std::function<Status(const std::string& name, const std::string& content)> save;
};
// Files <folder>/<name>.pem, 0600.
Blobs FileBlobs(std::string folder);

// The server's root, its own TLS certificate, and the intermediates of clusters. Thread-safe.
class ServerCa {
 public:
  struct Options {
    std::string organization_domain;  // In the root's name only.
    std::vector<std::string> names;   // DNS names and IP literals of the server's certificate; localhost is added.
    Duration server_lifetime = std::chrono::hours(24 * 90);
    Duration intermediate_lifetime = std::chrono::hours(24 * 30);
  };
  // Loads the root or makes it at the first start. DATA_LOSS CA_ROOT_CORRUPT: what is stored is damaged.
  static Result<std::unique_ptr<ServerCa>> Open(Blobs blobs, Options options, const Clock& clock = Clock::Real());

  const std::string& root_pem() const { return root_.certificate_pem; }
  const std::string& root_sha256() const { return root_sha256_; }

  // Certificate for REST, gRPC and agents. The chain ends with the root itself, because an agent that joins knows
  // only the root's hash (rpc::FetchRoot).
  struct ServerCertificate {
    std::string chain_pem;
    std::string key_pem;
    WallTime not_after;
  };
  ServerCertificate server_certificate() const;
  // True when a new one was made (half of the lifetime is over, or the names changed); call it at least daily.
  Result<bool> RenewServerCertificateIfDue();

  // INVALID_ARGUMENT CSR_MALFORMED; the CSR's names are ignored.
  Result<std::string> SignIntermediate(std::string_view csr_pem, std::string_view trust_domain) const;

 private:
  ServerCa(Blobs blobs, Options options, const Clock& clock);
  Status MakeServerCertificate();

  Blobs blobs_;
  const Options options_;
  const Clock& clock_;
  identity::Authority root_;
  std::string root_sha256_;
  mutable std::mutex mutex_;
  ServerCertificate server_;
};

}  // namespace weir::ca
