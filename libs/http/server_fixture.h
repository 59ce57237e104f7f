#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <list>
#include <thread>

#include "libs/base/mutex.h"
#include "libs/http/client.h"
#include "libs/http/server.h"
#include "libs/identity/certificates.h"
#include "libs/identity/peer.h"
#include "tests/support/real_time.h"

// For tests only.
namespace weir::http {

class HttpServer : public ::testing::Test {
 protected:
  void SetUp() override {
    options_.clock = &clock_;
    auto root = identity::NewServerAnchor();
    ASSERT_TRUE(root.ok());
    root_pem_ = root->certificate_pem;
    auto key = identity::NewKey();
    ASSERT_TRUE(key.ok());
    auto csr = identity::MakeCsr(*key);
    ASSERT_TRUE(csr.ok());
    auto leaf = identity::SignLeaf(*root, {.csr_pem = *csr,
                                           .spiffe_id = identity::ServerPeer(root->certificate_pem)->spiffe_id,
                                           .dns_names = {"localhost"},
                                           .ip_addresses = {"127.0.0.1"},
                                           .lifetime = std::chrono::hours(1)});
    ASSERT_TRUE(leaf.ok()) << leaf.error().ToString();
    options_.certificate_chain_pem = *leaf;
    options_.private_key_pem = *key;
  }

  void Start(Handler handler) {
    auto server = Server::Start(options_, std::move(handler));
    ASSERT_TRUE(server.ok()) << server.error().ToString();
    server_ = std::move(server).value();
  }

  ClientOptions Options(const std::string& ca_pem) {
    ClientOptions options;
    options.port = server_->port();
    options.ca_pem = ca_pem;
    return options;
  }
  Client NewClient() {
    auto client = Client::Create(Options(root_pem_));
    EXPECT_TRUE(client.ok());
    return std::move(client).value();
  }

  std::string root_pem_;
  ManualClock clock_;
  ServerOptions options_;
  std::unique_ptr<Server> server_;
};

// A TLS connection that says one thing and hears nothing.
class Deaf {
 public:
  Deaf(uint16_t port, const std::string& bytes) : context_(SSL_CTX_new(TLS_client_method())) {
    bio_ = BIO_new_ssl_connect(context_);
    BIO_set_conn_hostname(bio_, ("127.0.0.1:" + std::to_string(port)).c_str());
    EXPECT_EQ(BIO_do_connect(bio_), 1);
    EXPECT_EQ(BIO_write(bio_, bytes.data(), static_cast<int>(bytes.size())), static_cast<int>(bytes.size()));
  }
  ~Deaf() {
    BIO_free_all(bio_);
    SSL_CTX_free(context_);
  }
  Deaf(const Deaf&) = delete;
  Deaf& operator=(const Deaf&) = delete;

 private:
  SSL_CTX* context_;
  BIO* bio_;
};

}  // namespace weir::http
