#include "libs/admin/door.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <future>
#include <random>
#include <set>
#include <thread>

#include "libs/base/file.h"
#include "libs/base/mutex.h"
#include "libs/obs/log.h"
#include "tests/support/real_time.h"

namespace weir::admin {
namespace {

std::unique_ptr<Door> StartDoor(Routes routes, const std::string& address = "127.0.0.1:0") {
  auto door = Door::Start({address}, std::move(routes));
  EXPECT_TRUE(door.ok()) << door.error().ToString();
  return std::move(door).value();
}

int Connect(const std::string& address) {
  if (address.starts_with("unix:")) {
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    std::strcpy(to.sun_path, address.c_str() + 5);
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    return fd;
  }
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  return fd;
}

std::string Ask(const Door& door, std::string_view bytes) {
  const int fd = Connect(door.address());
  (void)!send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  std::string answer;
  char buffer[4096];
  for (ssize_t got; (got = recv(fd, buffer, sizeof buffer, 0)) > 0;) answer.append(buffer, static_cast<size_t>(got));
  close(fd);
  return answer;
}

int StatusOf(const std::string& answer) { return answer.size() > 12 ? std::atoi(answer.c_str() + 9) : 0; }

TEST(Door, AnswersWhatWasRegistered) {
  const std::string file = testing::TempDir() + "/weir-admin-token-" + std::to_string(getpid());
  bool drained = false;
  obs::SetLevel(obs::Level::kInfo);
  bool is_ready = false;
  auto started =
      Door::Start({.address = "127.0.0.1:0", .token_file = file},
                  StandardRoutes({.ready = [&]() -> Status {
                                    return is_ready ? Status() : Status(Unavailable("WAITING", "no configuration yet"));
                                  },
                                  .metrics = [] { return std::string("weir_up 1\n"); },
                                  .config_dump = [] { return std::string("{}"); },
                                  .version = "1.2.3",
                                  .drain = [&] { drained = true; }}));
  ASSERT_TRUE(started.ok()) << started.error().ToString();
  const std::unique_ptr<Door> door = std::move(started).value();
  const std::string secret = *ReadFile(file, 100);
  const std::string token = "Host: 127.0.0.1\r\nAuthorization: Bearer " + secret.substr(0, secret.size() - 1) + "\r\n";
  EXPECT_EQ(StatusOf(Ask(*door, "GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")), 200);
  const std::string waiting = Ask(*door, "GET /ready HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
  EXPECT_EQ(StatusOf(waiting), 503);
  EXPECT_NE(waiting.find("no configuration yet"), std::string::npos);
  is_ready = true;
  EXPECT_EQ(StatusOf(Ask(*door, "GET /ready HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")), 200);
  EXPECT_NE(Ask(*door, "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").find("weir_up 1"), std::string::npos);
  EXPECT_EQ(Ask(*door, "HEAD /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").find("weir_up 1"), std::string::npos);
  EXPECT_NE(Ask(*door, "GET /version HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").find("1.2.3"), std::string::npos);
  EXPECT_EQ(StatusOf(Ask(*door, "POST /log-level?level=debug HTTP/1.1\r\n" + token + "\r\n")), 200);
  EXPECT_EQ(obs::CurrentLevel(), obs::Level::kDebug);
  EXPECT_NE(Ask(*door, "GET /log-level HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").find("debug\n"), std::string::npos);
  EXPECT_EQ(StatusOf(Ask(*door, "POST /log-level HTTP/1.1\r\n" + token + "Content-Length: 4\r\n\r\nloud")), 400);
  obs::SetLevel(obs::Level::kInfo);
  EXPECT_EQ(StatusOf(Ask(*door, "GET /drain HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")), 405);
  EXPECT_FALSE(drained);
  EXPECT_EQ(StatusOf(Ask(*door, "POST /drain HTTP/1.1\r\n" + token + "\r\n")), 202);
  EXPECT_TRUE(drained);
  EXPECT_EQ(StatusOf(Ask(*door, "GET /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")), 404);
}

TEST(Door, RefusesWhatItDoesNotUnderstand) {
  auto door = StartDoor(ProbeRoutes(nullptr));
  EXPECT_EQ(StatusOf(Ask(*door, "nonsense\r\n\r\n")), 400);
  EXPECT_EQ(StatusOf(Ask(*door, "GET /live HTTP/9\r\n\r\n")), 400);
  EXPECT_EQ(StatusOf(Ask(*door, "GET http://evil/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")), 400);
  EXPECT_EQ(
      StatusOf(Ask(*door, "GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n")),
      400);
  EXPECT_EQ(StatusOf(Ask(*door, "GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999\r\n\r\n")), 413);
  EXPECT_EQ(StatusOf(Ask(*door, "GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n")), 501);
  EXPECT_EQ(StatusOf(Ask(*door, "GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://evil\r\n\r\n")), 403);
  EXPECT_EQ(StatusOf(Ask(*door, "GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\n" + std::string(9000, 'x'))), 431);
}

TEST(Door, AnswersNobodyWhoCameByAName) {
  auto door = StartDoor({{"/secret", {{"GET", [](const Request&) { return Response{200, "secret\n"}; }}}}});
  for (const char* host : {"evil.example.com", "evil.example.com:80", "localhost", "127.0.0.1.evil.example.com",
                           "127.0.0.1:80:80", "127.0.0.1:x", "10.0.0.1", "[::2]", "[::1", "1.127.0.0", "0.0.0.0"}) {
    const std::string answer = Ask(*door, "GET /secret HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n");
    EXPECT_EQ(StatusOf(answer), 403) << host;
    EXPECT_EQ(answer.find("secret\n"), std::string::npos);
  }
  for (const char* host : {"127.0.0.1", "127.0.2.10:15000", "[::1]", "[::1]:15000"}) {
    EXPECT_EQ(StatusOf(Ask(*door, "GET /secret HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n")), 200) << host;
  }
  EXPECT_EQ(StatusOf(Ask(*door, "GET /secret HTTP/1.0\r\n\r\n")), 403);
  EXPECT_EQ(StatusOf(Ask(*door, "GET /secret HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: 127.0.0.1\r\n\r\n")), 400);
  auto probes = Door::Start({"127.0.0.1:0", true}, ProbeRoutes(nullptr));
  ASSERT_TRUE(probes.ok());
  EXPECT_EQ(StatusOf(Ask(**probes, "GET /live HTTP/1.1\r\nHost: pod.example.com\r\n\r\n")), 200);
}

TEST(Door, IsChangedOnlyByTheOwnerOfTheSocketOrTheTokenFile) {
  const std::string file = testing::TempDir() + "/weir-admin-token-" + std::to_string(getpid());
  const std::string path = testing::TempDir() + "/weir-admin-change-" + std::to_string(getpid()) + ".sock";
  int changes = 0;
  const Routes routes = {{"/drain", {{"POST", [&](const Request&) {
                                        ++changes;
                                        return Response{202, "draining\n"};
                                      }}}}};
  auto tcp = Door::Start({.address = "127.0.0.1:0", .token_file = file}, routes);
  ASSERT_TRUE(tcp.ok());
  auto closed = StartDoor(routes);
  auto owned = StartDoor(routes, "unix:" + path);
  struct stat info{};
  ASSERT_EQ(stat(file.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  std::string token = *ReadFile(file, 100);
  token.pop_back();
  const auto post = [](const Door& door, const std::string& authorization) {
    return StatusOf(Ask(door, "POST /drain HTTP/1.1\r\nHost: 127.0.0.1\r\n" + authorization + "\r\n"));
  };
  const std::string right = "Authorization: Bearer " + token + "\r\n";
  for (const std::string& wrong :
       {std::string(), std::string("Authorization: Bearer \r\n"), "Authorization: Bearer " + token.substr(1) + "\r\n",
        "Authorization: Basic " + token + "\r\n", "X-Token: " + token + "\r\n"}) {
    EXPECT_EQ(post(**tcp, wrong), 403) << wrong;
    EXPECT_EQ(post(*closed, wrong), 403) << wrong;
  }
  EXPECT_EQ(post(*closed, right), 403);
  EXPECT_EQ(changes, 0);
  EXPECT_EQ(post(**tcp, right), 202);
  EXPECT_EQ(post(*owned, ""), 202);
  EXPECT_EQ(changes, 2);
  tcp->reset();
  auto again = Door::Start({.address = "127.0.0.1:0", .token_file = file}, routes);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(post(**again, right), 403) << "each start has a token of its own";
  unlink(file.c_str());
}

TEST(Door, SurvivesRandomBytes) {
  auto door = StartDoor(ProbeRoutes(nullptr));
  std::mt19937 random(5);
  for (int i = 0; i < 300; ++i) {
    std::string bytes(random() % 200, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    Ask(*door, (i % 2 ? "GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\n" : "") + bytes + "\r\n\r\n");
  }
  EXPECT_EQ(StatusOf(Ask(*door, "GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")), 200);
}

TEST(Door, ListensOnAUnixSocketThatOnlyItsOwnerMayUse) {
  const std::string path = testing::TempDir() + "/weir-admin-" + std::to_string(getpid()) + ".sock";
  {
    auto door = StartDoor(ProbeRoutes(nullptr), "unix:" + path);
    EXPECT_EQ(StatusOf(Ask(*door, "GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")), 200);
    struct stat info{};
    ASSERT_EQ(stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u);
    EXPECT_EQ(Door::Start({"unix:" + path}, {}).error().reason, "ADDRESS_IN_USE");
  }
  EXPECT_NE(access(path.c_str(), F_OK), 0);
}

TEST(Door, SaysWhyItCannotListen) {
  auto door = StartDoor({});
  EXPECT_EQ(Door::Start({door->address()}, {}).error().reason, "ADDRESS_IN_USE");
  EXPECT_EQ(Door::Start({"0.0.0.0:0"}, {}).error().reason, "NOT_LOOPBACK");
  EXPECT_TRUE(Door::Start({"0.0.0.0:0", true}, {}).ok());
  for (const char* bad : {"", "127.0.0.1", "nowhere:80", "127.0.0.1:99999", "127.0.0.1:80x", "unix:"}) {
    EXPECT_EQ(Door::Start({bad}, {}).error().reason, "BAD_ADDRESS") << bad;
  }
}

TEST(Door, TurnsAThrowingHandlerIntoAnAnswer) {
  auto door =
      StartDoor({{"/boom", {{"GET", [](const Request&) -> Response { throw std::runtime_error("no luck"); }}}}});
  EXPECT_EQ(StatusOf(Ask(*door, "GET /boom HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")), 500);
}

// What a successor takes over has callers waiting in the backlog already: the first of them is answered like the last.
TEST(Door, AnswersTheFirstCallerOfAListeningSocketByItsRoutes) {
  for (int round = 0; round < 50; ++round) {
    const auto before = StartDoor({});
    before->HandOver();
    const int listening = dup(before->listening());
    const int waiting = Connect(before->address());
    const std::string_view request = "GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    ASSERT_EQ(send(waiting, request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
    const auto door = Door::Start({.address = before->address(), .listening = listening}, ProbeRoutes(nullptr));
    ASSERT_TRUE(door.ok()) << door.error().ToString();
    char buffer[256];
    const ssize_t got = recv(waiting, buffer, sizeof buffer, 0);
    ASSERT_GT(got, 0);
    EXPECT_EQ(StatusOf(std::string(buffer, static_cast<size_t>(got))), 200);
    close(waiting);
  }
}

// Two who say nothing hold every place until their time is over; who asks behind them waits as long, and is answered.
TEST(Door, HasSoManyPlacesAndEachForSoLong) {
  auto started = Door::Start({.address = "127.0.0.1:0", .connections = 2, .deadline = std::chrono::milliseconds(300)},
                             ProbeRoutes(nullptr));
  ASSERT_TRUE(started.ok()) << started.error().ToString();
  const std::unique_ptr<Door> door = std::move(started).value();
  const Stopwatch watch;
  const int silent[] = {Connect(door->address()), Connect(door->address())};
  EXPECT_EQ(StatusOf(Ask(*door, "GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")), 200);
  EXPECT_GE(watch.Elapsed(), std::chrono::milliseconds(300));
  for (const int fd : silent) {
    char byte;
    EXPECT_EQ(recv(fd, &byte, 1, 0), 0) << "closed without an answer";
    close(fd);
  }
}

TEST(Door, AnswersOneAfterTheOtherOnAThreadOfItsOwn) {
  std::promise<void> all_sent;
  Mutex mutex;
  std::set<std::thread::id> threads;
  const auto slow = [&, sent = all_sent.get_future().share()](const Request&) {
    sent.wait();
    MutexLock lock(mutex);
    threads.insert(std::this_thread::get_id());
    return Response{200, "done"};
  };
  const auto door = StartDoor({{"/slow", {{"GET", slow}}}});
  const std::string_view request = "GET /slow HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
  std::vector<int> callers;
  for (int i = 0; i < 8; ++i) {
    callers.push_back(Connect(door->address()));
    ASSERT_EQ(send(callers.back(), request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
  }
  all_sent.set_value();
  for (const int fd : callers) {
    char buffer[256];
    EXPECT_GT(recv(fd, buffer, sizeof buffer, 0), 0);
    close(fd);
  }
  EXPECT_EQ(threads.size(), 1u);
  EXPECT_FALSE(threads.contains(std::this_thread::get_id()));
}

}  // namespace
}  // namespace weir::admin
