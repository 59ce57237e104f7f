#include "libs/rpc/server.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/auth_metadata_processor.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "libs/base/admission.h"
#include "libs/base/file.h"
#include "libs/base/ids.h"
#include "libs/base/mutex.h"
#include "libs/identity/certificates.h"
#include "libs/identity/token.h"

namespace weir::rpc {
namespace {

// `verify`: gRPC judges the certificate; else a verifier of ours does.
grpc_ssl_client_certificate_request_type RequestType(ClientCertificate wish, bool verify) {
  switch (wish) {
    case ClientCertificate::kNone:
      return GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE;
    case ClientCertificate::kOptional:
      return verify ? GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY
                    : GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_BUT_DONT_VERIFY;
    case ClientCertificate::kRequired:
      return verify ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                    : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_BUT_DONT_VERIFY;
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

// All of a chain but its leaf.
std::vector<std::string> Issuers(const std::string& chain_pem) {
  auto chain = identity::SplitBundle(chain_pem);
  if (!chain.ok() || chain->empty()) return {};
  chain->erase(chain->begin());
  return std::move(chain).value();
}

}  // namespace

// Judges clients in gRPC's place, which refuses too and says to nobody whom.
class ClientVerifier {
 public:
  explicit ClientVerifier(OnRefusedClient on_refused) : on_refused_(std::move(on_refused)) {}

  void SetRoots(std::string roots_pem) {
    MutexLock lock(mutex_);
    roots_pem_ = std::move(roots_pem);
  }

  grpc::Status Judge(const std::string& chain_pem) const {
    std::string roots;
    {
      MutexLock lock(mutex_);
      roots = roots_pem_;
    }
    const auto verified = identity::VerifyChain(chain_pem, roots);
    if (verified.ok()) return grpc::Status::OK;
    if (on_refused_) on_refused_(chain_pem, verified.error());
    return {grpc::StatusCode::UNAUTHENTICATED, verified.error().message};
  }

 private:
  const OnRefusedClient on_refused_;
  mutable Mutex mutex_;
  std::string roots_pem_ WEIR_GUARDED_BY(mutex_);
};

namespace {

// Runs after each handshake, before a call is taken.
class AfterHandshake final : public grpc::experimental::ExternalCertificateVerifier {
 public:
  explicit AfterHandshake(std::shared_ptr<ClientVerifier> clients) : clients_(std::move(clients)) {}

  bool Verify(grpc::experimental::TlsCustomVerificationCheckRequest* request, std::function<void(grpc::Status)>,
              grpc::Status* answer) override {
    *answer = grpc::Status::OK;
    const grpc::string_ref leaf = request->peer_cert(), rest = request->peer_cert_full_chain();
    // Who shows none is refused by gRPC where one is required. OpenSSL leaves the leaf out of a client's chain,
    // BoringSSL does not; twice does no harm.
    if (!leaf.empty())
      *answer = clients_->Judge(std::string(leaf.data(), leaf.size()) + std::string(rest.data(), rest.size()));
    return true;  // Decided here and now.
  }
  void Cancel(grpc::experimental::TlsCustomVerificationCheckRequest*) override {}

 private:
  const std::shared_ptr<ClientVerifier> clients_;
};

}  // namespace

Result<std::unique_ptr<RotatingServerTls>> RotatingServerTls::Open(std::string folder, const ServerTls& first,
                                                                   const Clock& clock, OnRefusedClient on_refused) {
  WEIR_TRY(MakeFolders(folder, 0700));
  std::unique_ptr<RotatingServerTls> tls(new RotatingServerTls(std::move(folder)));
  const bool with_roots = first.client_certificate != ClientCertificate::kNone;
  if (with_roots) tls->clients_ = std::make_shared<ClientVerifier>(std::move(on_refused));
  const Status replaced = tls->Replace(first);
  if (!replaced.ok() && (replaced.error().reason != "FILE_WRITE" || !tls->StandsFor(first, clock)))
    return replaced.error();
  const std::string base = tls->folder_ + "/current/";
  using Watcher = grpc::experimental::FileWatcherCertificateProvider;
  const auto provider = with_roots
                            ? std::make_shared<Watcher>(base + "key.pem", base + "chain.pem", base + "roots.pem", 1)
                            : std::make_shared<Watcher>(base + "key.pem", base + "chain.pem", 1);
  grpc::experimental::TlsServerCredentialsOptions options(provider);
  options.watch_identity_key_cert_pairs();
  if (with_roots) {
    options.watch_root_certs();  // Their names are told to clients.
    options.set_certificate_verifier(
        grpc::experimental::ExternalCertificateVerifier::Create<AfterHandshake>(tls->clients_));
  }
  options.set_cert_request_type(RequestType(first.client_certificate, false));
  tls->credentials_ = grpc::experimental::TlsServerCredentials(options);
  if (tls->credentials_ == nullptr) return Internal("SERVER_TLS", "gRPC refused the server's TLS settings");
  return tls;
}

Status RotatingServerTls::Write(const ServerTls& tls, const std::string& version) const {
  const std::string base = folder_ + "/" + version + "/";
  WEIR_TRY(identity::WriteSecretFile(base + "key.pem", tls.key_pem));
  WEIR_TRY(identity::WriteSecretFile(base + "chain.pem", tls.chain_pem));
  return tls.client_roots_pem.empty() ? Status() : identity::WriteSecretFile(base + "roots.pem", tls.client_roots_pem);
}

bool RotatingServerTls::StandsFor(const ServerTls& wanted, const Clock& clock) const {
  const std::string base = folder_ + "/current/";
  const auto key = identity::ReadSecretFile(base + "key.pem"), chain = identity::ReadSecretFile(base + "chain.pem");
  if (!key.ok() || !chain.ok() || !identity::CheckKeyMatches(*chain, *key).ok()) return false;
  if (!wanted.client_roots_pem.empty()) {
    const auto roots = identity::ReadSecretFile(base + "roots.pem");
    if (!roots.ok() || *roots != wanted.client_roots_pem) return false;
  }
  if (Issuers(*chain) != Issuers(wanted.chain_pem)) return false;
  const auto stands = identity::ReadCertificate(*chain), asked = identity::ReadCertificate(wanted.chain_pem);
  return stands.ok() && asked.ok() && stands->spiffe_id == asked->spiffe_id && stands->dns_names == asked->dns_names &&
         stands->not_after > clock.Wall();
}

// Key and chain change together: they stand in a folder of their own, and one rename of a link replaces both.
Status RotatingServerTls::Replace(const ServerTls& next) {
  WEIR_TRY(Check(next));
  if (clients_ != nullptr) clients_->SetRoots(next.client_roots_pem);
  const std::string current = folder_ + "/current";
  if (struct stat facts{}; lstat(current.c_str(), &facts) == 0 && !S_ISLNK(facts.st_mode)) {
    return FailedPrecondition("TLS_FOLDER_COPIED",
                              "{} is no symbolic link: this state folder was copied with its links resolved. Remove {} "
                              "and start again: it holds only a copy of a certificate that is stored elsewhere",
                              current, folder_);
  }
  const std::string version = "v" + RandomHex(8);
  if (const Status written = Write(next, version); !written.ok()) {
    std::error_code ignored;
    std::filesystem::remove_all(folder_ + "/" + version, ignored);
    return written;
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
  grpc::SslServerCredentialsOptions options(RequestType(tls.client_certificate, true));
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

class CallAdmission : public grpc::AuthMetadataProcessor {
 public:
  explicit CallAdmission(std::function<Status(const CallHead&)> admit) : admit_(std::move(admit)) {}
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
  credentials.SetAuthMetadataProcessor(std::make_shared<CallAdmission>(std::move(admit)));
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

std::string PeerSource(std::string_view peer) { return SourceOf(PeerAddress(peer)); }

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
