#pragma once

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libs/proxy/engine_test_peers.h"

namespace weir::proxy {

// A next tier that speaks TLS byte by byte as the test likes. Accepts one connection.
class TlsPeer {
 public:
  explicit TlsPeer(const Identity& identity) : context_(SSL_CTX_new(TLS_server_method()), SSL_CTX_free) {
    BIO* chain = BIO_new_mem_buf(identity.certificate_chain.data(), -1);
    X509* leaf = PEM_read_bio_X509(chain, nullptr, nullptr, nullptr);
    BIO* key_bio = BIO_new_mem_buf(identity.private_key.data(), -1);
    EVP_PKEY* key = PEM_read_bio_PrivateKey(key_bio, nullptr, nullptr, nullptr);
    EXPECT_EQ(SSL_CTX_use_certificate(context_.get(), leaf), 1);
    EXPECT_EQ(SSL_CTX_use_PrivateKey(context_.get(), key), 1);
    X509_free(leaf);
    EVP_PKEY_free(key);
    BIO_free(chain);
    BIO_free(key_bio);
  }
  bool Accept(Conn& conn) {
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_fd(ssl_.get(), conn.fd());
    return SSL_accept(ssl_.get()) == 1;
  }
  std::string TakeHead() {
    std::string head;
    char buffer[4096];
    while (head.find("\r\n\r\n") == std::string::npos) {
      const int got = SSL_read(ssl_.get(), buffer, sizeof buffer);
      if (got <= 0) return "";
      head.append(buffer, static_cast<size_t>(got));
    }
    return head;
  }
  void SendCloseNotify() { SSL_shutdown(ssl_.get()); }
  void Send(std::string_view bytes) { SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())); }
  // True when the other end closes within `limit`.
  bool Closed(const Conn& conn, std::chrono::milliseconds limit) {
    pollfd wait{conn.fd(), POLLIN, 0};
    char byte;
    return poll(&wait, 1, static_cast<int>(limit.count())) == 1 && SSL_read(ssl_.get(), &byte, 1) <= 0;
  }

 private:
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_;
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl_{nullptr, SSL_free};
};

class PeerTest : public TlsTest {
 protected:
  // T1 in front of one endpoint that speaks as `serve` does.
  void Start(const std::function<void(TlsPeer&, Conn&)>& serve, std::vector<Locality> others = {}) {
    root_ = *identity::NewRoot("test root");
    const Identity identity = IdentityOf(root_, kT2);
    peer = std::make_unique<Backend>([identity, serve](Conn& conn) {
      TlsPeer tls(identity);
      if (tls.Accept(conn)) serve(tls, conn);
    });
    others.insert(others.begin(), At("peer", 1, {peer->port}, kT2));
    Config first(std::move(others));
    first.destination->tls = UpstreamTls{"a.example", {}};
    ASSERT_TRUE(t1.Start({}).ok());
    ASSERT_TRUE(t1.SetIdentity(IdentityOf(root_, kT1)).ok());
    ASSERT_TRUE(ApplyAndWait(t1, first.Build()).ok());
  }
  std::unique_ptr<Backend> peer;
};

}  // namespace weir::proxy
