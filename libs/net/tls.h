#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.h"
#include "libs/identity/generation.h"

// OpenSSL stays behind these names.
struct ssl_st;
struct ssl_ctx_st;

namespace weir::net {

// Whom one end of a TLS connection accepts as the other end.
struct TlsPeerRule {
  bool require_certificate = false;
  std::vector<std::string> exact;     // URI SANs.
  std::vector<std::string> prefixes;  // Of the URI SAN. Both lists empty = any certificate that verifies.

  // "" = the peer showed no certificate (or one without exactly one clean URI SAN). An exact one matches byte for byte.
  bool Accepts(std::string_view uri) const;
};

// Chooses the rule for the name a client asks for ("" = none). nullptr = no such name here: unrecognized_name.
class TlsNames {
 public:
  virtual ~TlsNames() = default;
  virtual std::shared_ptr<const TlsPeerRule> RuleFor(std::string_view sni) = 0;
};

class TlsSession;

// One certificate with its key and what it trusts. Immutable, shared by the threads; connections keep what they use.
// TLS 1.2 and 1.3, X25519 first, ALPN http/1.1, one stateless ticket (never across rules, roots or generations), no
// renegotiation, no early data.
class TlsIdentity {
 public:
  // `generations`: what peers' chains must come from (null = not looked at). INVALID_ARGUMENT CERTIFICATE_MALFORMED,
  // KEY_MISMATCH, ROOTS_MALFORMED.
  static Result<std::shared_ptr<const TlsIdentity>> New(
      const std::string& chain_pem, const std::string& key_pem, const std::string& roots_pem,
      std::shared_ptr<const identity::ValidGenerations> generations = nullptr);
  ~TlsIdentity();

  // Whether the peer of a session that stands, perhaps from the time of an earlier identity, would still be let in.
  bool StillAdmits(const TlsSession& session) const;

 private:
  friend class TlsSession;
  TlsIdentity() = default;
  ssl_ctx_st* server_ = nullptr;
  ssl_ctx_st* client_ = nullptr;
  std::string trust_digest_;  // Of roots and generations.
  std::shared_ptr<const identity::ValidGenerations> generations_;
};

class Transport;

// One TLS connection on top of a transport's socket, over a BIO of our own.
class TlsSession {
 public:
  enum class Step { kDone, kAgain, kFailed };

  // Takes the server's side. `names` must outlive the handshake.
  static std::unique_ptr<TlsSession> Accept(const TlsIdentity& identity, Transport& transport, TlsNames& names);
  // Takes the client's side: asks for `sni`, demands `rule` of the server.
  static std::unique_ptr<TlsSession> Connect(const TlsIdentity& identity, Transport& transport, const std::string& sni,
                                             std::shared_ptr<const TlsPeerRule> rule);
  ~TlsSession();

  Step Handshake();
  // > 0 bytes; 0 would block; -1 the peer said goodbye; -2 broken.
  ssize_t Read(char* buffer, size_t size);
  bool Write(const char* data, size_t size);  // All of it, into the loop's cipher buffer. False = broken.
  void SendCloseNotify();                     // Sends close_notify.
  bool HasPending() const { return more_; }   // Read filled its buffer: there may be more without a new event.

  const std::string& sni() const { return sni_; }
  const std::string& peer_uri() const { return peer_uri_; }  // After the handshake; "" = none.
  // What the peer's chain comes from; unset = it showed none, or one right below a root.
  const std::optional<identity::ClusterGeneration>& peer_cluster() const { return peer_cluster_; }
  bool identity_refused() const { return identity_refused_; }
  const std::string& failure() const { return failure_; }  // Why Handshake failed, for the log.

 private:
  friend struct TlsCallbacks;
  TlsSession(ssl_ctx_st* context, Transport& transport);

  ssl_st* ssl_ = nullptr;
  TlsNames* names_ = nullptr;
  std::shared_ptr<const TlsPeerRule> rule_;
  // Copies: the identity may be replaced while the handshake is under way.
  std::string trust_digest_;
  std::shared_ptr<const identity::ValidGenerations> generations_;
  std::string sni_;
  std::string peer_uri_;
  std::optional<identity::ClusterGeneration> peer_cluster_;
  std::string failure_;
  bool identity_refused_ = false;
  bool more_ = false;
};

}  // namespace weir::net
