#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "libs/base/result.h"
#include "libs/identity/certificates.h"
#include "libs/identity/peer.h"

namespace weir::ca {

// Where the authority keeps its secrets ("anchor", "root", "server"; while the mesh root is being replaced "root.next"
// and "root.old", "" = none). Several replicas share one store.
struct Blobs {
  std::function<Result<std::optional<std::string>>(const std::string& name)> load;
  std::function<Status(const std::string& name, const std::string& content)> save;
};
// Files <folder>/<name>.pem, 0600.
Blobs FileBlobs(std::string folder);

// How far the replacement of the mesh root has come.
enum class RootPhase {
  kOne,         // There is one root.
  kIntroduced,  // The next one is trusted beside it and signs nothing yet.
  kRetiring,    // The next one signs; the one before is still trusted, its key is gone.
};

// The server anchor with the server's own TLS certificate below it, and the mesh root with the intermediates of
// clusters. Neither signs for the other, so no cluster can speak for the server. Thread-safe.
class ServerCa {
 public:
  struct Options {
    std::string organization_domain;  // In the mesh root's name only.
    std::vector<std::string> names;   // DNS names and IP literals of the server's certificate; localhost is added.
    Duration server_lifetime = std::chrono::hours(24 * 90);
    Duration intermediate_lifetime = std::chrono::hours(24 * 30);
  };
  // Loads both, or makes them at the first start; what is stored is never replaced. A state of a server that had only
  // one root keeps it as its mesh root and gets an anchor: made_anchor_for_old_state(). DATA_LOSS CA_ANCHOR_CORRUPT,
  // CA_ROOT_CORRUPT: what is stored is damaged; CA_ANCHOR_MISSING, CA_ROOT_MISSING: the other one stands alone.
  static Result<std::unique_ptr<ServerCa>> Open(Blobs blobs, Options options, const Clock& clock = Clock::Real());

  // What users and agents trust to be weir-server.
  const std::string& anchor_pem() const { return anchor_.certificate_pem; }
  const std::string& anchor_sha256() const { return anchor_sha256_; }
  // What clusters' workloads and agents are verified against: one root or two, the one that signs first.
  std::string mesh_roots_pem() const;

  // Replaces the mesh root in three steps; between them everybody learns what is trusted. A step that was cut by a
  // crash is found done or not begun. FAILED_PRECONDITION ROOT_PHASE: it is not this step's turn.
  RootPhase root_phase() const;
  Status IntroduceRoot();  // kOne -> kIntroduced
  Status UseNextRoot();    // kIntroduced -> kRetiring
  Status DropOldRoot();    // kRetiring -> kOne; kIntroduced -> kOne too: the next one is given up.
  // Nobody trusts this server yet: agents have to join anew by token, users need the anchor.
  bool made_anchor_for_old_state() const { return made_anchor_for_old_state_; }

  // Certificate for REST, gRPC and agents: its SPIFFE id (identity::ServerPeer) for our clients, names for curl and
  // browsers. The chain ends with the anchor itself, because an agent that joins knows only its hash
  // (rpc::FetchAnchor).
  struct ServerCertificate {
    std::string chain_pem;
    std::string key_pem;
    WallTime not_after;
  };
  ServerCertificate server_certificate() const;
  // True when a new one was made (half of the lifetime is over, or the names changed); call it at least daily.
  Result<bool> RenewServerCertificateIfDue();

  // `cluster` is what the intermediate says of itself. INVALID_ARGUMENT CSR_MALFORMED; the CSR's names are ignored.
  Result<std::string> SignIntermediate(std::string_view csr_pem, std::string_view trust_domain,
                                       const identity::ClusterGeneration& cluster) const;

 private:
  ServerCa(Blobs blobs, Options options, const Clock& clock);
  Status OpenAuthorities() WEIR_REQUIRES(mutex_);
  Status OpenReplacement() WEIR_REQUIRES(mutex_);
  RootPhase PhaseLocked() const WEIR_REQUIRES(mutex_);
  Status MakeServerCertificate() WEIR_REQUIRES(mutex_);

  Blobs blobs_;
  const Options options_;
  const Clock& clock_;
  identity::Authority anchor_;
  std::string anchor_sha256_;
  identity::PeerRule self_;  // What every client demands of the certificate.
  bool made_anchor_for_old_state_ = false;
  mutable Mutex mutex_;
  identity::Authority root_ WEIR_GUARDED_BY(mutex_);
  identity::Authority next_ WEIR_GUARDED_BY(mutex_);  // Empty unless kIntroduced.
  std::string old_pem_ WEIR_GUARDED_BY(mutex_);       // Empty unless kRetiring.
  ServerCertificate server_ WEIR_GUARDED_BY(mutex_);
};

}  // namespace weir::ca
