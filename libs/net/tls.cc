#include "libs/net/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include "libs/base/sha256.h"
#include "libs/identity/certificates.h"
#include "libs/net/transport.h"

namespace weir::net {
namespace {

constexpr unsigned char kAlpn[] = "\x08http/1.1";
constexpr size_t kAlpnSize = sizeof kAlpn - 1;

template <auto Free>
struct Freer {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using BioPtr = std::unique_ptr<BIO, Freer<BIO_free_all>>;
using CertPtr = std::unique_ptr<X509, Freer<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using ContextPtr = std::unique_ptr<SSL_CTX, Freer<SSL_CTX_free>>;

std::string Reason() {
  std::string text;
  while (const unsigned long code = ERR_get_error()) {
    const char* reason = ERR_reason_error_string(code);
    if (!text.empty()) text += "; ";
    text += reason != nullptr ? reason : fmt::format("error {:x}", code);
  }
  return text;
}

// The one URI SAN; "" when there is none, several, one with bytes that no URI has (an embedded NUL ends nothing), or a
// SPIFFE id in a certificate that may sign others, which is nobody's (identity::IsLeaf).
std::string UriOf(X509* certificate) {
  std::string uri;
  int count = 0;
  auto* names = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  if (names == nullptr) return uri;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type != GEN_URI || ++count > 1) continue;
    uri.assign(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.uniformResourceIdentifier)),
               static_cast<size_t>(ASN1_STRING_length(name->d.uniformResourceIdentifier)));
  }
  GENERAL_NAMES_free(names);
  const bool clean = std::all_of(uri.begin(), uri.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  return count == 1 && clean && (!uri.starts_with("spiffe://") || identity::IsLeaf(certificate)) ? uri : std::string();
}

Transport* TransportOf(BIO* bio) { return static_cast<Transport*>(BIO_get_data(bio)); }

int BioRead(BIO* bio, char* buffer, int size) {
  BIO_clear_retry_flags(bio);
  const ssize_t got = TransportOf(bio)->RawRead(buffer, static_cast<size_t>(size));
  if (got > 0) return static_cast<int>(got);
  if (got == Transport::kAgain) BIO_set_retry_read(bio);
  return got == Transport::kEof ? 0 : -1;
}

int BioWrite(BIO* bio, const char* data, int size) {
  BIO_clear_retry_flags(bio);
  TransportOf(bio)->loop().cipher().append(data, static_cast<size_t>(size));
  return size;
}

long BioControl(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

BIO_METHOD* TransportBio() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "weir transport");
    BIO_meth_set_read(made, BioRead);
    BIO_meth_set_write(made, BioWrite);
    BIO_meth_set_ctrl(made, BioControl);
    return made;
  }();
  return method;
}

int SessionIndex() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

std::string SniOf(SSL* ssl) {
  const unsigned char* data = nullptr;
  size_t size = 0;
  // server_name: u16 list length, u8 type (0 = host name), u16 length, bytes (RFC 6066 section 3).
  if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &data, &size) != 1 || size < 5 || data[2] != 0) return "";
  const size_t length = static_cast<size_t>(data[3]) << 8 | data[4];
  if (length + 5 > size || length > 255) return "";
  std::string name(reinterpret_cast<const char*>(data + 5), length);
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c <= 0x20 || c >= 0x7f) return "";
  }
  return name;
}

}  // namespace

bool TlsPeerRule::Accepts(std::string_view uri) const {
  const bool anybody = exact.empty() && prefixes.empty();
  if (uri.empty()) return anybody && !require_certificate;
  if (anybody) return true;
  if (std::find(exact.begin(), exact.end(), uri) != exact.end()) return true;
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const std::string& prefix) { return uri.starts_with(prefix); });
}

namespace {

std::string Ended(std::string_view uri) { return fmt::format("the membership that \"{}\" comes from has ended", uri); }

}  // namespace

struct TlsCallbacks {
  static TlsSession* Of(SSL* ssl) { return static_cast<TlsSession*>(SSL_get_ex_data(ssl, SessionIndex())); }

  // Runs before tickets are looked at: the session id context ties a ticket to the rule it was earned under, so that
  // it opens no other door (reference: nginx CVE-2025-23419).
  static int ClientHello(SSL* ssl, int* alert, void*) {
    TlsSession* session = Of(ssl);
    session->sni_ = SniOf(ssl);
    session->rule_ = session->names_->RuleFor(session->sni_);
    if (session->rule_ == nullptr) {
      session->failure_ = fmt::format("no such server name \"{}\"", session->sni_);
      *alert = SSL_AD_UNRECOGNIZED_NAME;
      return SSL_CLIENT_HELLO_ERROR;
    }
    const TlsPeerRule& rule = *session->rule_;
    std::string bound = fmt::format("{}\n{}\n{}\n", session->sni_, rule.require_certificate, session->trust_digest_);
    for (const auto& uri : rule.exact) bound += "=" + uri + "\n";
    for (const auto& uri : rule.prefixes) bound += "^" + uri + "\n";
    const std::string digest = Sha256(bound);
    SSL_set_session_id_context(ssl, reinterpret_cast<const unsigned char*>(digest.data()),
                               static_cast<unsigned>(digest.size()));
    if (rule.require_certificate) SSL_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, Verify);
    return SSL_CLIENT_HELLO_SUCCESS;
  }

  // At the leaf the chain has been verified, name constraints included; now the name must be the one we want here.
  static int Verify(int ok, X509_STORE_CTX* store) {
    if (X509_STORE_CTX_get_error_depth(store) != 0) return ok;
    auto* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
    TlsSession* session = Of(ssl);
    if (ok != 1) {  // Forgiven: OpenSSL goes on, and asks again when nothing else is wrong.
      session->peer_expired_ = X509_STORE_CTX_get_error(store) == X509_V_ERR_CERT_HAS_EXPIRED &&
                               session->generations_ != nullptr &&
                               session->generations_->Forgives(X509_STORE_CTX_get_current_cert(store));
      if (session->peer_expired_) X509_STORE_CTX_set_error(store, X509_V_OK);
      return session->peer_expired_;
    }
    const std::string uri = UriOf(X509_STORE_CTX_get_current_cert(store));
    session->peer_cluster_ = identity::GenerationOfVerified(X509_STORE_CTX_get0_chain(store));
    const bool ended = session->generations_ != nullptr && !session->generations_->Admits(session->peer_cluster_);
    if (!ended && session->rule_ != nullptr && session->rule_->Accepts(uri)) return 1;
    session->identity_refused_ = true;
    session->failure_ = ended ? Ended(uri) : fmt::format("identity \"{}\" is not allowed here", uri);
    X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
  }

  // A ticket carries what the chain came from, because a resumed session has none.
  static int SealTicket(SSL* ssl, void*) {
    if (SSL_session_reused(ssl) == 1) return 1;  // It has what the ticket before carried.
    const auto& cluster = Of(ssl)->peer_cluster_;
    const std::string kept = cluster ? fmt::format("{} {}", cluster->uid, cluster->generation) : std::string();
    return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), kept.data(), kept.size());
  }
  static SSL_TICKET_RETURN OpenTicket(SSL*, SSL_SESSION*, const unsigned char*, size_t, SSL_TICKET_STATUS status,
                                      void*) {
    switch (status) {
      case SSL_TICKET_SUCCESS:
        return SSL_TICKET_RETURN_USE;
      case SSL_TICKET_SUCCESS_RENEW:
        return SSL_TICKET_RETURN_USE_RENEW;
      case SSL_TICKET_EMPTY:
      case SSL_TICKET_NO_DECRYPT:
        return SSL_TICKET_RETURN_IGNORE_RENEW;
      default:
        return SSL_TICKET_RETURN_IGNORE;
    }
  }
  static std::optional<identity::ClusterGeneration> OfTicket(SSL* ssl) {
    void* data = nullptr;
    size_t size = 0;
    if (SSL_SESSION_get0_ticket_appdata(SSL_get0_session(ssl), &data, &size) != 1) return std::nullopt;
    return identity::ParseGeneration({static_cast<const char*>(data), size});
  }

  static int ChooseAlpn(SSL*, const unsigned char** out, unsigned char* size, const unsigned char* in, unsigned in_size,
                        void*) {
    unsigned char* chosen = nullptr;
    if (SSL_select_next_proto(&chosen, size, kAlpn, kAlpnSize, in, in_size) != OPENSSL_NPN_NEGOTIATED) {
      return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
  }
};

namespace {

Result<ContextPtr> NewContext(bool server, const std::string& chain_pem, const std::string& key_pem,
                              const std::string& roots_pem) {
  ERR_clear_error();
  ContextPtr context(SSL_CTX_new(server ? TLS_server_method() : TLS_client_method()));
  if (context == nullptr) return Internal("TLS", "cannot make a TLS context: {}", Reason());
  SSL_CTX* ctx = context.get();
  SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
  SSL_CTX_set1_groups_list(ctx, "X25519:P-256");
  SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20");
  SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(ctx, 1);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_verify(ctx, server ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, server ? nullptr : TlsCallbacks::Verify);

  BioPtr chain(BIO_new_mem_buf(chain_pem.data(), static_cast<int>(chain_pem.size())));
  CertPtr leaf(PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr));
  if (leaf == nullptr || SSL_CTX_use_certificate(ctx, leaf.get()) != 1) {
    return InvalidArgument("CERTIFICATE_MALFORMED", "the certificate chain cannot be read: {}", Reason());
  }
  while (X509* next = PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr)) {
    SSL_CTX_add0_chain_cert(ctx, next);
  }
  ERR_clear_error();
  BioPtr key_bio(BIO_new_mem_buf(key_pem.data(), static_cast<int>(key_pem.size())));
  KeyPtr key(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, nullptr, nullptr));
  if (key == nullptr || SSL_CTX_use_PrivateKey(ctx, key.get()) != 1 || SSL_CTX_check_private_key(ctx) != 1) {
    return InvalidArgument("KEY_MISMATCH", "the private key cannot be used: {}", Reason());
  }
  BioPtr roots(BIO_new_mem_buf(roots_pem.data(), static_cast<int>(roots_pem.size())));
  int count = 0;
  while (X509* root = PEM_read_bio_X509(roots.get(), nullptr, nullptr, nullptr)) {
    CertPtr owner(root);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), root);
    if (server) SSL_CTX_add_client_CA(ctx, root);
    ++count;
  }
  ERR_clear_error();
  if (count == 0) return InvalidArgument("ROOTS_MALFORMED", "the trusted roots hold no certificate");
  if (server) {
    SSL_CTX_set_client_hello_cb(ctx, TlsCallbacks::ClientHello, nullptr);
    SSL_CTX_set_alpn_select_cb(ctx, TlsCallbacks::ChooseAlpn, nullptr);
    SSL_CTX_set_num_tickets(ctx, 1);
    SSL_CTX_set_session_ticket_cb(ctx, TlsCallbacks::SealTicket, TlsCallbacks::OpenTicket, nullptr);
    SSL_CTX_set_max_early_data(ctx, 0);
  } else {
    SSL_CTX_set_alpn_protos(ctx, kAlpn, kAlpnSize);
  }
  return context;
}

}  // namespace

Result<std::shared_ptr<const TlsIdentity>> TlsIdentity::New(
    const std::string& chain_pem, const std::string& key_pem, const std::string& roots_pem,
    std::shared_ptr<const identity::ValidGenerations> generations) {
  WEIR_ASSIGN(ContextPtr server, NewContext(true, chain_pem, key_pem, roots_pem));
  WEIR_ASSIGN(ContextPtr client, NewContext(false, chain_pem, key_pem, roots_pem));
  std::shared_ptr<TlsIdentity> identity(new TlsIdentity());
  identity->server_ = server.release();
  identity->client_ = client.release();
  std::string trust = roots_pem;
  if (generations != nullptr) {
    for (const auto& [uid, lowest] : generations->lowest) trust += fmt::format("{} {}\n", uid, lowest);
    trust += fmt::format("{}\n", generations->expired_grace.count());
  }
  identity->trust_digest_ = Sha256(trust);
  identity->generations_ = std::move(generations);
  return std::shared_ptr<const TlsIdentity>(identity);
}

bool TlsIdentity::StillAdmits(const TlsSession& session) const {
  return generations_ == nullptr || session.peer_uri().empty() || generations_->Admits(session.peer_cluster());
}

TlsIdentity::~TlsIdentity() {
  SSL_CTX_free(server_);
  SSL_CTX_free(client_);
}

TlsSession::TlsSession(ssl_ctx_st* context, Transport& transport) : ssl_(SSL_new(context)) {
  BIO* bio = BIO_new(TransportBio());
  BIO_set_data(bio, &transport);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_, bio, bio);
  SSL_set_ex_data(ssl_, SessionIndex(), this);
}

TlsSession::~TlsSession() { SSL_free(ssl_); }

std::unique_ptr<TlsSession> TlsSession::Accept(const TlsIdentity& identity, Transport& transport, TlsNames& names) {
  std::unique_ptr<TlsSession> session(new TlsSession(identity.server_, transport));
  session->names_ = &names;
  session->trust_digest_ = identity.trust_digest_;
  session->generations_ = identity.generations_;
  SSL_set_accept_state(session->ssl_);
  return session;
}

std::unique_ptr<TlsSession> TlsSession::Connect(const TlsIdentity& identity, Transport& transport,
                                                const std::string& sni, std::shared_ptr<const TlsPeerRule> rule) {
  std::unique_ptr<TlsSession> session(new TlsSession(identity.client_, transport));
  session->generations_ = identity.generations_;
  session->rule_ = std::move(rule);
  session->sni_ = sni;
  if (!sni.empty()) SSL_set_tlsext_host_name(session->ssl_, sni.c_str());
  SSL_set_connect_state(session->ssl_);
  return session;
}

TlsSession::Step TlsSession::Handshake() {
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_);
  if (result == 1) {
    // Again here: a resumed session runs no verify callback.
    if (X509* peer = SSL_get0_peer_certificate(ssl_)) peer_uri_ = UriOf(peer);
    if (SSL_session_reused(ssl_) == 1) peer_cluster_ = TlsCallbacks::OfTicket(ssl_);
    names_ = nullptr;
    trust_digest_ = {};
    generations_ = nullptr;
    more_ = true;  // Read-ahead may have taken the first bytes of the application along with the last of the handshake.
    if (rule_ != nullptr && rule_->Accepts(peer_uri_)) return Step::kDone;
    identity_refused_ = true;
    failure_ = fmt::format("identity \"{}\" is not allowed here", peer_uri_);
    return Step::kFailed;
  }
  const int error = SSL_get_error(ssl_, result);
  if (error == SSL_ERROR_WANT_READ) return Step::kAgain;
  if (failure_.empty()) {
    const long verify = SSL_get_verify_result(ssl_);
    failure_ = verify != X509_V_OK ? std::string(X509_verify_cert_error_string(verify)) : Reason();
    if (failure_.empty()) failure_ = "closed by the peer";
  }
  ERR_clear_error();
  return Step::kFailed;
}

ssize_t TlsSession::Read(char* buffer, size_t size) {
  ERR_clear_error();
  more_ = false;
  size_t total = 0;
  while (total < size) {
    const int got = SSL_read(ssl_, buffer + total, static_cast<int>(size - total));
    if (got > 0) {
      total += static_cast<size_t>(got);
      continue;
    }
    if (total > 0) break;  // The end of the stream shows itself again at the next call.
    switch (SSL_get_error(ssl_, got)) {
      case SSL_ERROR_WANT_READ:
        return Transport::kAgain;
      case SSL_ERROR_ZERO_RETURN:
        return Transport::kEof;
      default: {
        failure_ = Reason();
        return Transport::kBroken;
      }
    }
  }
  more_ = total == size;
  return static_cast<ssize_t>(total);
}

bool TlsSession::Write(const char* data, size_t size) {
  ERR_clear_error();
  while (size > 0) {
    const int sent = SSL_write(ssl_, data, static_cast<int>(size));  // The BIO takes everything.
    if (sent <= 0) {
      ERR_clear_error();
      return false;
    }
    data += sent;
    size -= static_cast<size_t>(sent);
  }
  return true;
}

void TlsSession::SendCloseNotify() {
  ERR_clear_error();
  const bool said = (SSL_get_shutdown(ssl_) & SSL_SENT_SHUTDOWN) != 0;  // A second call would read.
  if (SSL_is_init_finished(ssl_) == 1 && !said) SSL_shutdown(ssl_);
  ERR_clear_error();
}

}  // namespace weir::net
