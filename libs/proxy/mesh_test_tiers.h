#pragma once

#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <csignal>
#include <memory>
#include <string>
#include <utility>

#include "libs/proxy/engine_test_peers.h"

namespace weir::proxy {

// T1 of cluster "edge" in front of T2 of cluster "c1", whose identities are what is tested.
class MeshTiersTest : public testing::Test {
 protected:
  static constexpr char kT1[] = "spiffe://edge.acme/ns/t1/sa/t1", kT2[] = "spiffe://c1.acme/ns/t2/sa/t2";

  void Run(const Identity& first_is, const Identity& second_is, uint16_t backend) {
    Config second({At("c1", 1, {backend})});
    second.tls = DownstreamTls{true, {{kT1, false}}};
    second.server_names = {"a.example"};
    ASSERT_TRUE(t2.Start({}).ok());
    ASSERT_TRUE(t2.SetIdentity(second_is).ok());
    ASSERT_TRUE(ApplyAndWait(t2, second.Build()).ok());
    Config first({At("c1", 1, {t2.Port("public")}, kT2)});
    first.destination->tls = UpstreamTls{"a.example", {}};
    ASSERT_TRUE(t1.Start({}).ok());
    ASSERT_TRUE(t1.SetIdentity(first_is).ok());
    ASSERT_TRUE(ApplyAndWait(t1, first.Build()).ok());
  }
  // The status of one request, on a connection of its own.
  std::string Ask() {
    Conn conn = Conn::To(t1.Port("public"));
    conn.Send(kGet);
    return Response(conn).first.substr(9, 3);
  }

  identity::Authority root = *identity::NewRoot("test root");
  Engine t1, t2;
};

// A client that keeps its ticket, and comes again with it.
class Resumer {
 public:
  explicit Resumer(const Identity& identity) : context_(SSL_CTX_new(TLS_client_method())) {
    signal(SIGPIPE, SIG_IGN);  // OpenSSL writes without MSG_NOSIGNAL.
    BIO* chain = BIO_new_mem_buf(identity.certificate_chain.data(), -1);
    X509* leaf = PEM_read_bio_X509(chain, nullptr, nullptr, nullptr);
    X509* issuer = PEM_read_bio_X509(chain, nullptr, nullptr, nullptr);
    BIO* key_text = BIO_new_mem_buf(identity.private_key.data(), -1);
    EVP_PKEY* key = PEM_read_bio_PrivateKey(key_text, nullptr, nullptr, nullptr);
    SSL_CTX_use_certificate(context_, leaf);
    SSL_CTX_add0_chain_cert(context_, issuer);
    SSL_CTX_use_PrivateKey(context_, key);
    SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_set_app_data(context_, this);
    SSL_CTX_sess_set_new_cb(context_, [](SSL* ssl, SSL_SESSION* session) {
      auto* self = static_cast<Resumer*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
      SSL_SESSION_free(std::exchange(self->ticket_, session));
      return 1;
    });
    EVP_PKEY_free(key);
    X509_free(leaf);
    BIO_free(chain);
    BIO_free(key_text);
  }
  ~Resumer() {
    Close();
    SSL_SESSION_free(ticket_);
    SSL_CTX_free(context_);
  }
  // Status code of one request on a new connection, which stays open; "" = no answer.
  std::string Ask(uint16_t port, int version) {
    Close();
    conn_ = std::make_unique<Conn>(Conn::To(port));
    ssl_ = SSL_new(context_);
    SSL_set_min_proto_version(ssl_, version);
    SSL_set_max_proto_version(ssl_, version);
    SSL_set_fd(ssl_, conn_->fd());
    SSL_set_tlsext_host_name(ssl_, "a.example");
    if (ticket_ != nullptr) SSL_set_session(ssl_, ticket_);
    if (SSL_connect(ssl_) != 1) return "";
    return Again();
  }
  std::string Again() {
    SSL_write(ssl_, kGet, sizeof kGet - 1);
    char buffer[4096];
    const int got = SSL_read(ssl_, buffer, sizeof buffer);
    return got < 12 ? "" : std::string(buffer + 9, 3);
  }
  bool resumed() const { return SSL_session_reused(ssl_) == 1; }
  void Close() {
    if (ssl_ != nullptr) {
      SSL_set_shutdown(ssl_, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);  // Else its ticket is thrown away with it.
      SSL_free(std::exchange(ssl_, nullptr));
    }
    conn_.reset();
  }

 private:
  SSL_CTX* context_;
  SSL_SESSION* ticket_ = nullptr;
  SSL* ssl_ = nullptr;
  std::unique_ptr<Conn> conn_;
};

}  // namespace weir::proxy
