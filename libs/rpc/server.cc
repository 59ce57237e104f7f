#include "libs/rpc/server.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/auth_metadata_processor.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "libs/base/file.h"
#include "libs/base/ids.h"
#include "libs/identity/certificates.h"
#include "libs/identity/token.h"

namespace weir::rpc {
namespace {

grpc_ssl_client_certificate_request_type RequestType(ClientCertificate wish) {
  switch (wish) {
    case ClientCertificate::kNone:
      return GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE;
    case ClientCertificate::kOptional:
      return GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY;
    case ClientCertificate::kRequired:
      return GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
  }
  return GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
}

Status Check(const ServerTls& tls) {
  WEIR_TRY(identity::CheckKeyMatches(tls.chain_pem, tls.key_pem));
  if (tls.client_certificate != ClientCertificate::kNone && tls.client_roots_pem.empty()) {
    return InvalidArgument("CLIENT_ROOTS_MISSING", "client certificates need roots to verify them against");
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<RotatingServerTls>> RotatingServerTls::Open(std::string folder, const ServerTls& first) {
  WEIR_TRY(MakeFolders(folder, 0700));
  std::unique_ptr<RotatingServerTls> tls(new RotatingServerTls(std::move(folder)));
  WEIR_TRY(tls->Replace(first));
  const std::string base = tls->folder_ + "/current/";
  const bool with_roots = first.client_certificate != ClientCertificate::kNone;
  using Watcher = grpc::experimental::FileWatcherCertificateProvider;
  const auto provider = with_roots
                            ? std::make_shared<Watcher>(base + "key.pem", base + "chain.pem", base + "roots.pem", 1)
                            : std::make_shared<Watcher>(base + "key.pem", base + "chain.pem", 1);
  grpc::experimental::TlsServerCredentialsOptions options(provider);
  options.watch_identity_key_cert_pairs();
  if (with_roots) options.watch_root_certs();
  options.set_cert_request_type(RequestType(first.client_certificate));
  tls->credentials_ = grpc::experimental::TlsServerCredentials(options);
  if (tls->credentials_ == nullptr) return Internal("SERVER_TLS", "gRPC refused the server's TLS settings");
  return tls;
}

// Key and chain change together: they stand in a folder of their own, and one rename of a link replaces both.
Status RotatingServerTls::Replace(const ServerTls& next) {
  WEIR_TRY(Check(next));
  const std::string current = folder_ + "/current";
  if (struct stat facts{}; lstat(current.c_str(), &facts) == 0 && !S_ISLNK(facts.st_mode)) {
    return FailedPrecondition("TLS_FOLDER_COPIED",
                              "{} is no symbolic link: this state folder was copied with its links resolved. Remove {} "
                              "and start again: it holds only a copy of a certificate that is stored elsewhere",
                              current, folder_);
  }
  const std::string version = "v" + RandomHex(8);
  const std::string base = folder_ + "/" + version + "/";
  WEIR_TRY(identity::WriteSecretFile(base + "key.pem", next.key_pem));
  WEIR_TRY(identity::WriteSecretFile(base + "chain.pem", next.chain_pem));
  if (!next.client_roots_pem.empty()) {
    WEIR_TRY(identity::WriteSecretFile(base + "roots.pem", next.client_roots_pem));
  }
  char old[4096];
  const ssize_t old_size = readlink(current.c_str(), old, sizeof(old) - 1);
  const std::string fresh = folder_ + "/next";
  unlink(fresh.c_str());
  if (symlink(version.c_str(), fresh.c_str()) != 0 || rename(fresh.c_str(), current.c_str()) != 0) {
    return Internal("SERVER_TLS", "could not replace {}: {}", current, std::strerror(errno));
  }
  if (old_size > 0) {
    const std::string gone = folder_ + "/" + std::string(old, static_cast<size_t>(old_size));
    for (const char* name : {"/key.pem", "/chain.pem", "/roots.pem"}) unlink((gone + name).c_str());
    rmdir(gone.c_str());
  }
  return {};
}

Result<std::shared_ptr<grpc::ServerCredentials>> FixedServerTls(const ServerTls& tls) {
  WEIR_TRY(Check(tls));
  grpc::SslServerCredentialsOptions options(RequestType(tls.client_certificate));
  options.pem_root_certs = tls.client_roots_pem;
  options.pem_key_cert_pairs.push_back({tls.key_pem, tls.chain_pem});
  auto credentials = grpc::SslServerCredentials(options);
  if (credentials == nullptr) return Internal("SERVER_TLS", "gRPC refused the server's TLS settings");
  return credentials;
}

std::string_view BearerToken(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  if (authorization.size() <= kScheme.size()) return {};
  for (size_t i = 0; i < kScheme.size(); ++i) {
    const char c = authorization[i];
    if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c) != kScheme[i]) return {};
  }
  return authorization.substr(kScheme.size());
}

namespace {

class Admission : public grpc::AuthMetadataProcessor {
 public:
  explicit Admission(std::function<Status(const CallHead&)> admit) : admit_(std::move(admit)) {}
  bool IsBlocking() const override { return false; }
  grpc::Status Process(const InputMetadata& metadata, grpc::AuthContext* peer, OutputMetadata* /*consumed*/,
                       OutputMetadata* /*response*/) override {
    const auto value = [&](const char* key) {
      const auto found = metadata.find(key);
      return found == metadata.end() ? std::string_view()
                                     : std::string_view(found->second.data(), found->second.size());
    };
    if (metadata.count("authorization") > 1) {  // Two readers could believe two of them.
      return {grpc::StatusCode::INVALID_ARGUMENT, "BAD_METADATA: authorization is given more than once"};
    }
    CallHead head;
    head.path = value(":path");
    head.token = BearerToken(value("authorization"));
    head.certificate = peer != nullptr && peer->IsPeerAuthenticated();
    const Status admitted = admit_(head);
    if (admitted.ok()) return grpc::Status::OK;
    // Details do not get through here, so the reason travels in the message.
    const Error& error = admitted.error();
    return {static_cast<grpc::StatusCode>(error.code), fmt::format("{}: {}", error.reason, error.message)};
  }

 private:
  const std::function<Status(const CallHead&)> admit_;
};

}  // namespace

void AdmitCalls(grpc::ServerCredentials& credentials, std::function<Status(const CallHead&)> admit) {
  credentials.SetAuthMetadataProcessor(std::make_shared<Admission>(std::move(admit)));
}

void ApplyDefaults(grpc::ServerBuilder& builder, const ServerBounds& bounds) {
  builder.SetMaxReceiveMessageSize(bounds.max_message);
  builder.SetMaxSendMessageSize(64 << 20);
  grpc::ResourceQuota quota;
  quota.Resize(bounds.memory);
  builder.SetResourceQuota(quota);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, bounds.handshake_seconds * 1000);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, bounds.idle_seconds * 1000);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, bounds.streams);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
}

std::string PeerSpiffeId(const grpc::ServerContextBase& context) {
  const auto auth = context.auth_context();
  if (auth == nullptr || !auth->IsPeerAuthenticated()) return "";
  const auto ids = auth->FindPropertyValues("peer_spiffe_id");  // Set by gRPC only for exactly one valid URI SAN.
  return ids.size() == 1 ? std::string(ids[0].data(), ids[0].size()) : "";
}

std::string PeerChain(const grpc::ServerContextBase& context) {
  const auto auth = context.auth_context();
  if (auth == nullptr || !auth->IsPeerAuthenticated()) return "";
  std::string pem;
  // On the server's side OpenSSL leaves the leaf out of the chain, BoringSSL does not; twice does no harm.
  for (const char* name : {GRPC_X509_PEM_CERT_PROPERTY_NAME, GRPC_X509_PEM_CERT_CHAIN_PROPERTY_NAME}) {
    for (const auto& value : auth->FindPropertyValues(name)) pem.append(value.data(), value.size());
  }
  return pem;
}

std::string Metadata(const grpc::ServerContextBase& context, const std::string& key) {
  const auto& all = context.client_metadata();
  const auto found = all.find(key);
  return found == all.end() ? "" : std::string(found->second.data(), found->second.size());
}

std::string PeerAddress(std::string_view peer) {
  if (!peer.starts_with("ipv4:") && !peer.starts_with("ipv6:")) return std::string(peer);
  std::string text;
  for (size_t i = 5; i < peer.size(); ++i) {  // "[::1]" comes percent-encoded.
    if (peer.compare(i, 3, "%5B") == 0 || peer.compare(i, 3, "%5D") == 0) {
      text.push_back(peer[i + 2] == 'B' ? '[' : ']');
      i += 2;
    } else {
      text.push_back(peer[i]);
    }
  }
  const size_t colon = text.rfind(':');
  if (colon != std::string::npos) text.resize(colon);
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  return text;
}

std::string BearerToken(const grpc::ServerContextBase& context) {
  return std::string(BearerToken(std::string_view(Metadata(context, "authorization"))));
}

std::string RequestId(const grpc::ServerContextBase& context) {
  std::string given = Metadata(context, "x-request-id");
  const bool fit = !given.empty() && given.size() <= 128 && std::all_of(given.begin(), given.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  });
  return fit ? given : NewUid();
}

}  // namespace weir::rpc
