#include "libs/http/server_fixture.h"

namespace weir::http {
namespace {

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
  threads.reserve(16);
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
  Start(Echo);
  Client client = NewClient();
  ASSERT_TRUE(client.Do({}).ok());
  clock_.Advance(options_.idle_timeout - std::chrono::seconds(1));
  EXPECT_TRUE(client.Do({}).ok());
  EXPECT_EQ(server_->connections(), 1u);
  ASSERT_TRUE(Eventually([&] {  // When the time of silence began is known to the server alone.
    clock_.Advance(std::chrono::seconds(10));
    return server_->connections() == 0;
  }));
  auto lost = client.Do({.method = "POST", .target = "/", .headers = {}, .body = "", .peer = ""});
  ASSERT_FALSE(lost.ok());
  EXPECT_EQ(lost.error().reason, "CONNECTION_LOST");
  EXPECT_TRUE(client.Do({}).ok());
}

// A TCP connection that says nothing.
class Silent {
 public:
  explicit Silent(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(port);
    EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  }
  ~Silent() { close(fd_); }
  Silent(const Silent&) = delete;
  Silent& operator=(const Silent&) = delete;
  // True once the server has closed it.
  bool Closed(int milliseconds) const {
    pollfd polled{fd_, POLLIN, 0};
    char byte;
    return poll(&polled, 1, milliseconds) > 0 && recv(fd_, &byte, 1, MSG_DONTWAIT) <= 0;
  }

 private:
  int fd_;
};

TEST_F(HttpServer, SilentConnectionsCostNobodyElseAPlace) {
  options_.source_limit = 4;
  Start(Echo);
  Client first = NewClient();
  ASSERT_TRUE(first.Do({}).ok());
  std::list<Silent> silent;
  for (int i = 0; i < 20; ++i) silent.emplace_back(server_->port());
  Client client = NewClient();
  EXPECT_TRUE(client.Do({}).ok());
  const auto closed = [&] {
    return std::count_if(silent.begin(), silent.end(), [](const Silent& each) { return each.Closed(0); });
  };
  EXPECT_TRUE(Eventually([&] { return closed() >= 17; })) << "four places, one of them the client's: " << closed();
  EXPECT_TRUE(first.Do({}).ok()) << "it dials again";
}

TEST_F(HttpServer, ClosesWhoDoesNotSpeakInTime) {
  Start(Echo);
  const Silent silent(server_->port());
  ASSERT_TRUE(Eventually([&] { return server_->connections() == 1; }));
  EXPECT_TRUE(Eventually([&] {  // When its time began is known to the server alone.
    clock_.Advance(std::chrono::seconds(1));
    return silent.Closed(0);
  }));
}

// All other times are long: whoever is closed soon is closed by this one.
TEST_F(HttpServer, ABodyThatDoesNotComeAndAnAnswerThatIsNotReadHaveTheirTime) {
  options_.handshake_timeout = options_.head_timeout = options_.idle_timeout = std::chrono::hours(10);
  std::atomic<int> asked{0};
  Start([&](Request&&) {
    ++asked;
    return Response{200, {}, std::string(64 << 20, 'x')};
  });
  for (const bool answered : {false, true}) {
    const Deaf deaf(server_->port(), answered ? "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
                                              : "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nhalf");
    ASSERT_TRUE(Eventually([&] { return server_->connections() == 1 && asked == (answered ? 1 : 0); }));
    Duration passed{0};
    EXPECT_TRUE(Eventually([&] {
      passed += std::chrono::seconds(1);
      clock_.Advance(std::chrono::seconds(1));
      return server_->connections() == 0;
    })) << answered;
    EXPECT_GE(passed, options_.request_timeout);
  }
}

TEST_F(HttpServer, AsksTheJudgeOncePerLineAndObeysIt) {
  std::atomic<int> asked{0};
  options_.screen = [&](std::string_view bytes, const std::string&) {
    ++asked;
    Screening screening;
    const size_t end = bytes.find("\r\n\r\n");
    if (bytes.starts_with("POST /refused")) screening.refusal = Response{418, {}, "no"};
    if (end == std::string_view::npos) return screening;
    screening.head = end + 4;
    screening.target = "/judged";
    screening.body_limit = 3;
    return screening;
  };
  Start(Echo);
  Client client = NewClient();
  auto answer = client.Do({.method = "POST", .target = "/a", .headers = {}, .body = "abc", .peer = ""});
  ASSERT_TRUE(answer.ok()) << answer.error().ToString();
  EXPECT_EQ(answer->Header("x-target"), "/judged");
  EXPECT_EQ(answer->body, "abc");
  EXPECT_FALSE(answer->Header("date").empty());
  EXPECT_LE(asked, 20);
  answer = client.Do({.method = "POST", .target = "/a", .headers = {}, .body = "abcd", .peer = ""});
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->status, 413);
  answer = client.Do({.method = "POST", .target = "/refused", .headers = {}, .body = "x", .peer = ""});
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->status, 418);
}

TEST_F(HttpServer, AnAnswerThatComesLaterHoldsNoThread) {
  options_.handler_threads = 1;
  Mutex mutex;
  std::vector<std::function<void(Response)>> waiting;
  std::shared_ptr<const std::atomic<bool>> gone;
  Start([&](Request&& request) {
    Response response;
    if (request.target == "/now") return response;
    MutexLock lock(mutex);
    gone = request.gone;
    response.later = [&](std::function<void(Response)> respond) {
      MutexLock inner(mutex);
      waiting.push_back(std::move(respond));
    };
    return response;
  });
  std::vector<std::thread> threads;
  threads.reserve(5);
  std::atomic<int> late{0};
  for (int i = 0; i < 5; ++i) {
    threads.emplace_back([&] {
      Client client = NewClient();
      auto answer = client.Do({.target = "/later", .headers = {}, .body = "", .peer = ""});
      if (answer.ok() && answer->body == "late") ++late;
    });
  }
  const auto count = [&] {
    MutexLock lock(mutex);
    return waiting.size();
  };
  while (count() < 5) std::this_thread::yield();
  Client client = NewClient();
  EXPECT_TRUE(client.Do({.target = "/now", .headers = {}, .body = "", .peer = ""}).ok());
  EXPECT_FALSE(*gone);
  for (auto& respond : waiting) respond({200, {}, "late"});
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(late, 5);
  while (!*gone) std::this_thread::yield();  // The clients have closed.
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
