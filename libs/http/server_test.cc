#include "libs/http/server.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "libs/http/client.h"
#include "libs/identity/certificates.h"
#include "libs/identity/peer.h"

namespace weir::http {
namespace {

class HttpServer : public ::testing::Test {
 protected:
  void SetUp() override {
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
  ServerOptions options_;
  std::unique_ptr<Server> server_;
};

Response Echo(Request&& request) {
  return {200, {{"X-Method", request.method}, {"X-Target", request.target}}, request.body};
}

TEST_F(HttpServer, AnswersManyRequestsOnOneConnection) {
  Start(Echo);
  Client client = NewClient();
  for (int i = 0; i < 20; ++i) {
    auto answer =
        client.Do({.method = "POST", .target = "/a?b=c", .headers = {}, .body = std::to_string(i), .peer = ""});
    ASSERT_TRUE(answer.ok()) << answer.error().ToString();
    EXPECT_EQ(answer->status, 200);
    EXPECT_EQ(answer->body, std::to_string(i));
    EXPECT_EQ(answer->Header("x-target"), "/a?b=c");
  }
}

TEST_F(HttpServer, RefusesABodyAboveTheLimitWithoutReadingIt) {
  options_.body_limit = 1000;
  Start(Echo);
  Client client = NewClient();
  auto answer = client.Do({.method = "POST", .target = "/", .headers = {}, .body = std::string(1001, 'x'), .peer = ""});
  ASSERT_TRUE(answer.ok()) << answer.error().ToString();
  EXPECT_EQ(answer->status, 413);
  answer = client.Do({.method = "POST", .target = "/", .headers = {}, .body = std::string(3u << 20, 'x'), .peer = ""});
  ASSERT_TRUE(answer.ok()) << answer.error().ToString();
  EXPECT_EQ(answer->status, 413);
  answer = client.Do({.method = "POST", .target = "/", .headers = {}, .body = std::string(1000, 'x'), .peer = ""});
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->status, 200);
}

TEST_F(HttpServer, RefusesAHeaderAboveTheLimit) {
  options_.header_limit = 2000;
  Start(Echo);
  Client client = NewClient();
  auto answer = client.Do({.target = "/", .headers = {{"X-Large", std::string(3000, 'x')}}, .body = "", .peer = ""});
  ASSERT_TRUE(answer.ok()) << answer.error().ToString();
  EXPECT_EQ(answer->status, 431);
}

TEST_F(HttpServer, ContinuesAClientThatAsksFirst) {
  Start(Echo);
  Client client = NewClient();
  auto answer =
      client.Do({.method = "PUT", .target = "/", .headers = {{"Expect", "100-continue"}}, .body = "abc", .peer = ""});
  ASSERT_TRUE(answer.ok()) << answer.error().ToString();
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, "abc");
}

TEST_F(HttpServer, HidesWhatAHandlerThrows) {
  Start([](Request&&) -> Response { throw std::runtime_error("secret"); });
  Client client = NewClient();
  auto answer = client.Do({});
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->status, 500);
  EXPECT_EQ(answer->body.find("secret"), std::string::npos);
}

TEST_F(HttpServer, SaysThatAPortIsInUse) {
  Start(Echo);
  options_.port = server_->port();
  auto second = Server::Start(options_, Echo);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().reason, "PORT_IN_USE");
}

TEST_F(HttpServer, LetsRequestsInFlightFinishWhenItStops) {
  std::atomic<bool> entered{false};
  std::atomic<bool> go{false};
  Start([&](Request&&) -> Response {
    entered = true;
    while (!go) std::this_thread::yield();
    return {200, {}, "done"};
  });
  Client client = NewClient();
  Client idle = NewClient();
  std::thread caller([&] {
    auto answer = client.Do({});
    ASSERT_TRUE(answer.ok()) << answer.error().ToString();
    EXPECT_EQ(answer->body, "done");
  });
  while (!entered) std::this_thread::yield();
  std::thread stopper([&] { server_->Stop(); });
  go = true;
  stopper.join();
  caller.join();
  EXPECT_FALSE(idle.Do({}).ok());
}

TEST_F(HttpServer, ServesManyClientsAtOnce) {
  options_.handler_threads = 4;
  Start(Echo);
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back([&] {
      Client client = NewClient();
      for (int n = 0; n < 10; ++n) {
        auto answer = client.Do({});
        if (answer.ok() && answer->status == 200) ++good;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(good, 160);
}

TEST_F(HttpServer, ClosesAConnectionThatSaysNothing) {
  options_.idle_timeout = std::chrono::milliseconds(1);
  Start(Echo);
  Client client = NewClient();
  ASSERT_TRUE(client.Do({}).ok());
  std::this_thread::sleep_for(std::chrono::milliseconds(1200));  // Longer than the sweep.
  auto lost = client.Do({.method = "POST", .target = "/", .headers = {}, .body = "", .peer = ""});
  ASSERT_FALSE(lost.ok());
  EXPECT_EQ(lost.error().reason, "CONNECTION_LOST");
  EXPECT_TRUE(client.Do({}).ok());
}

TEST_F(HttpServer, IsNotTrustedUnderAnotherRoot) {
  Start(Echo);
  auto other = identity::NewRoot("other");
  ASSERT_TRUE(other.ok());
  auto client = Client::Create(Options(other->certificate_pem));
  ASSERT_TRUE(client.ok());
  auto answer = client->Do({});
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().reason, "TLS_FAILED");
}

TEST_F(HttpServer, IsTrustedByItsSpiffeIdWhereOneIsDemanded) {
  Start(Echo);
  ClientOptions options = Options(root_pem_);
  options.spiffe_id = identity::ServerPeer(root_pem_)->spiffe_id;
  EXPECT_TRUE(Client::Create(options)->Do({}).ok());
  options.spiffe_id += "2";
  const auto refused = Client::Create(options)->Do({});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().reason, "TLS_FAILED");
}

}  // namespace
}  // namespace weir::http
