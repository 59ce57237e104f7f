#include "tests/e2e/mesh_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <memory>

#include "libs/base/file.h"
#include "libs/base/last_good_file.h"
#include "libs/identity/certificates.h"

namespace weir::e2e {
namespace {

template <auto Free>
struct Freer {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};

struct Kept {
  std::string key_pem, chain_pem;
};

// Between the two renames of a writer there is only the older generation, as for a gateway that starts then.
Result<Kept> ReadKept(const std::string& state_dir) {
  WEIR_ASSIGN(const LastGoodBody read, ReadLastGoodFile(state_dir + "/identity", {"weir-identity", 1, true, 1u << 20}));
  const size_t begin = read.body.find("-----BEGIN CERTIFICATE-----");
  if (begin == std::string::npos) return DataLoss("IDENTITY_CORRUPT", "no certificate");
  return Kept{read.body.substr(0, begin), read.body.substr(begin)};
}

Result<MeshPeer> PeerOf(const std::string& chain_pem) {
  WEIR_ASSIGN(const auto blocks, identity::SplitBundle(chain_pem));
  if (blocks.size() < 2) return Internal("CHAIN_SHORT", "{} certificates", blocks.size());
  WEIR_ASSIGN(const auto leaf, identity::ReadCertificate(blocks[0]));
  WEIR_ASSIGN(const auto intermediate, identity::ReadCertificate(blocks[1]));
  return MeshPeer{leaf.spiffe_id, leaf.serial, intermediate.serial};
}

Error Failed(const char* what) {
  std::string reason = what;
  while (const unsigned long code = ERR_get_error()) {
    const char* text = ERR_reason_error_string(code);
    reason += std::string(": ") + (text == nullptr ? "?" : text);
  }
  return Unavailable("MESH_HANDSHAKE", "{}", reason);
}

std::string ChainPem(SSL* ssl) {
  const std::unique_ptr<BIO, Freer<BIO_free_all>> bio(BIO_new(BIO_s_mem()));
  STACK_OF(X509)* chain = SSL_get_peer_cert_chain(ssl);
  for (int i = 0; i < sk_X509_num(chain); ++i) PEM_write_bio_X509(bio.get(), sk_X509_value(chain, i));
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<size_t>(size)};
}

Status Use(SSL_CTX* context, const Kept& own, const std::string& roots_pem) {
  const auto memory = [](const std::string& pem) {
    return std::unique_ptr<BIO, Freer<BIO_free_all>>(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  };
  const auto chain = memory(own.chain_pem), key = memory(own.key_pem), roots = memory(roots_pem);
  bool first = true;
  while (X509* one = PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr)) {
    if (first)
      SSL_CTX_use_certificate(context, one);
    else
      SSL_CTX_add1_chain_cert(context, one);
    first = false;
    X509_free(one);
  }
  const std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>> pkey(
      PEM_read_bio_PrivateKey(key.get(), nullptr, nullptr, nullptr));
  if (SSL_CTX_use_PrivateKey(context, pkey.get()) != 1) return Failed("key");
  while (X509* root = PEM_read_bio_X509(roots.get(), nullptr, nullptr, nullptr)) {
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context), root);
    X509_free(root);
  }
  ERR_clear_error();
  return {};
}

}  // namespace

Result<MeshPeer> KeptIdentity(const std::string& state_dir) {
  WEIR_ASSIGN(const Kept kept, ReadKept(state_dir));
  return PeerOf(kept.chain_pem);
}

Result<MeshPeer> MeshHandshake(const std::string& address, const std::string& sni, const std::string& state_dir,
                               const std::string& roots_pem, const std::string& host) {
  WEIR_ASSIGN(const Kept own, ReadKept(state_dir));
  const std::unique_ptr<SSL_CTX, Freer<SSL_CTX_free>> context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  WEIR_TRY(Use(context.get(), own, roots_pem));
  struct Socket {
    int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ~Socket() { ::close(fd); }
  } socket;
  const timeval limit{10, 0};
  setsockopt(socket.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(socket.fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(15443);
  inet_pton(AF_INET, address.c_str(), &to.sin_addr);
  if (::connect(socket.fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) return Failed("connect");
  const std::unique_ptr<SSL, Freer<SSL_free>> ssl(SSL_new(context.get()));
  SSL_set_fd(ssl.get(), socket.fd);
  SSL_set_tlsext_host_name(ssl.get(), sni.c_str());
  if (SSL_connect(ssl.get()) != 1) return Failed("handshake");
  WEIR_ASSIGN(MeshPeer peer, PeerOf(ChainPem(ssl.get())));
  // In TLS 1.3 the server judges our certificate after our side is done: only an answer proves that it did.
  const std::string request = fmt::format("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", host);
  if (SSL_write(ssl.get(), request.data(), static_cast<int>(request.size())) <= 0) return Failed("write");
  char answer[4096];
  const int got = SSL_read(ssl.get(), answer, sizeof answer);
  if (got <= 0) return Failed("refused");
  if (!std::string_view(answer, static_cast<size_t>(got)).starts_with("HTTP/1.1 200")) {
    return Unavailable("MESH_ANSWER", "{}", std::string_view(answer, static_cast<size_t>(std::min(got, 200))));
  }
  return peer;
}

}  // namespace weir::e2e
