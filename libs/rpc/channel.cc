#include "libs/rpc/channel.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "libs/identity/certificates.h"

namespace weir::rpc {
namespace {

int Milliseconds(Duration duration) {
  return static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

template <typename T, void (*Free)(T*)>
struct Freer {
  void operator()(T* object) const { Free(object); }
};
struct Socket {
  int fd = -1;
  ~Socket() {
    if (fd >= 0) close(fd);
  }
};

Error Unreachable(const std::string& target, const char* why) {
  return Unavailable("SERVER_UNREACHABLE", "cannot reach {}: {}", target, why);
}

// Connects with both directions bounded by `timeout`.
Status Connect(const std::string& target, Duration timeout, Socket& out) {
  const size_t colon = target.rfind(':');
  if (colon == std::string::npos) return InvalidArgument("TARGET_MALFORMED", "{} is not host:port", target);
  std::string host = target.substr(0, colon);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int code = getaddrinfo(host.c_str(), target.substr(colon + 1).c_str(), &hints, &found); code != 0) {
    return Unreachable(target, gai_strerror(code));
  }
  const std::unique_ptr<addrinfo, Freer<addrinfo, freeaddrinfo>> addresses(found);
  timeval limit{};
  limit.tv_sec = Milliseconds(timeout) / 1000;
  limit.tv_usec = Milliseconds(timeout) % 1000 * 1000;
  int last = 0;
  for (addrinfo* one = found; one != nullptr; one = one->ai_next) {
    Socket socket{::socket(one->ai_family, one->ai_socktype | SOCK_CLOEXEC, one->ai_protocol)};
    if (socket.fd < 0) continue;
    setsockopt(socket.fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));  // Bounds connect() too.
    setsockopt(socket.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (connect(socket.fd, one->ai_addr, one->ai_addrlen) == 0) {
      std::swap(out.fd, socket.fd);
      return {};
    }
    last = errno;
  }
  return Unreachable(target, std::strerror(last));
}

// Carries the handshake's bytes by hand: OpenSSL's socket BIO would raise SIGPIPE at a lost peer.
bool Handshake(SSL* ssl, int fd) {
  BIO* in = SSL_get_rbio(ssl);
  BIO* out = SSL_get_wbio(ssl);
  char buffer[16384];
  for (int turn = 0; turn < 64; ++turn) {
    const int done = SSL_do_handshake(ssl);
    for (int size; (size = BIO_read(out, buffer, sizeof(buffer))) > 0;) {
      if (send(fd, buffer, static_cast<size_t>(size), MSG_NOSIGNAL) != size) return false;
    }
    if (done == 1) return true;
    if (SSL_get_error(ssl, done) != SSL_ERROR_WANT_READ) return false;
    const ssize_t got = recv(fd, buffer, sizeof(buffer), 0);
    if (got <= 0) return false;
    BIO_write(in, buffer, static_cast<int>(got));
  }
  return false;
}

// Runs after each handshake, before the connection carries anything.
class PeerVerifier final : public grpc::experimental::ExternalCertificateVerifier {
 public:
  explicit PeerVerifier(identity::PeerRule rule) : rule_(std::move(rule)) {}

  bool Verify(grpc::experimental::TlsCustomVerificationCheckRequest* request, std::function<void(grpc::Status)>,
              grpc::Status* answer) override {
    const grpc::string_ref chain = request->peer_cert_full_chain();
    const auto peer = identity::VerifyPeer({chain.data(), chain.size()}, rule_);
    *answer = peer.ok() ? grpc::Status::OK
                        : grpc::Status(grpc::StatusCode::UNAUTHENTICATED,
                                       fmt::format("{}: {}", peer.error().reason, peer.error().message));
    return true;  // Decided here and now.
  }
  void Cancel(grpc::experimental::TlsCustomVerificationCheckRequest*) override {}

 private:
  const identity::PeerRule rule_;
};

std::shared_ptr<grpc::ChannelCredentials> Credentials(const ChannelOptions& options) {
  namespace tls = grpc::experimental;
  std::vector<tls::IdentityKeyCertPair> own;
  if (!options.key_pem.empty()) own.push_back({options.key_pem, options.chain_pem});
  tls::TlsChannelCredentialsOptions settings;
  settings.set_certificate_provider(
      std::make_shared<tls::StaticDataCertificateProvider>(options.peer.anchors_pem, own));
  settings.watch_root_certs();
  if (!own.empty()) settings.watch_identity_key_cert_pairs();
  settings.set_verify_server_certs(true);
  settings.set_certificate_verifier(tls::ExternalCertificateVerifier::Create<PeerVerifier>(options.peer));
  settings.set_check_call_host(false);  // That would be gRPC's match of names again, for each call.
  auto credentials = tls::TlsCredentials(settings);
  if (credentials == nullptr || options.bearer_token.empty()) return credentials;
  return grpc::CompositeChannelCredentials(credentials, grpc::AccessTokenCredentials(options.bearer_token));
}

}  // namespace

Result<std::shared_ptr<grpc::Channel>> MakeChannel(const ChannelOptions& options) {
  if (options.target.empty()) return InvalidArgument("CHANNEL_OPTIONS", "a channel needs a target");
  if (const Status rule = identity::CheckPeerRule(options.peer); !rule.ok()) {
    return InvalidArgument("CHANNEL_OPTIONS", "a channel needs to know its peer: {}", rule.error().message);
  }
  if (options.chain_pem.empty() != options.key_pem.empty()) {
    return InvalidArgument("CHANNEL_OPTIONS", "a client certificate needs its key, and the key its certificate");
  }
  if (!options.key_pem.empty()) WEIR_TRY(identity::CheckKeyMatches(options.chain_pem, options.key_pem));
  const auto credentials = Credentials(options);
  if (credentials == nullptr) return InvalidArgument("CHANNEL_OPTIONS", "gRPC refused the certificate or the token");

  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(64 << 20);
  arguments.SetMaxSendMessageSize(64 << 20);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(options.keepalive));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  // Despite its name gRPC's bound of one connection attempt, TLS and SETTINGS included; a busy peer needs its time.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5'000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, Milliseconds(options.max_backoff));
  return grpc::CreateCustomChannel(options.target, credentials, arguments);
}

Result<std::string> FetchAnchor(const std::string& target, const std::string& anchor_sha256, Duration timeout) {
  Socket socket;
  WEIR_TRY(Connect(target, timeout, socket));
  const std::unique_ptr<SSL_CTX, Freer<SSL_CTX, SSL_CTX_free>> context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);  // VerifyPeer decides below.
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  const std::unique_ptr<SSL, Freer<SSL, SSL_free>> ssl(SSL_new(context.get()));
  SSL_set_bio(ssl.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  SSL_set_connect_state(ssl.get());
  constexpr unsigned char kAlpn[] = {2, 'h', '2'};
  SSL_set_alpn_protos(ssl.get(), kAlpn, sizeof(kAlpn));
  if (!Handshake(ssl.get(), socket.fd)) {
    ERR_clear_error();
    return Unreachable(target, "the TLS handshake failed or took too long");
  }
  const std::string chain = identity::PresentedChain(ssl.get());
  WEIR_ASSIGN(const auto presented, identity::SplitBundle(chain));
  for (const std::string& anchor : presented) {
    WEIR_ASSIGN(const std::string hash, identity::CertificateSha256(anchor));
    if (hash != anchor_sha256) continue;
    WEIR_ASSIGN(const identity::PeerRule server, identity::ServerPeer(anchor));
    WEIR_TRY(identity::VerifyPeer(chain, server));
    return anchor;
  }
  return Unauthenticated("ANCHOR_MISMATCH",
                         "{} does not show the server anchor that the join token names; it is another server, or "
                         "somebody stands between",
                         target);
}

}  // namespace weir::rpc
