#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "libs/base/file.h"
#include "tests/support/fleet.h"
#include "tests/support/http_client.h"
#include "tests/support/load.h"
#include "tests/support/process.h"
#include "tests/support/timeline.h"

namespace weir::test {
namespace {

std::string TempFolder() {
  std::string path = testing::TempDir() + "/weir-support-XXXXXX";
  EXPECT_NE(mkdtemp(path.data()), nullptr);
  return path;
}
Command Shell(const std::string& script, const std::string& log = "") {
  return {"shell", {"/bin/sh", "-c", script}, {}, log, ""};
}
std::unique_ptr<Process> Start(Command command) {
  auto process = Process::Start(std::move(command));
  EXPECT_TRUE(process.ok()) << process.error().ToString();
  return std::move(process).value();
}
char StateOf(pid_t pid) {
  const auto stat = ReadFile("/proc/" + std::to_string(pid) + "/stat");
  return stat.ok() ? (*stat)[stat->rfind(')') + 2] : 'X';
}

TEST(Process, KeepsALogAndTellsTheExitCode) {
  const std::string log = TempFolder() + "/log";
  auto process = Start(Shell("echo out; echo err >&2; exit 3", log));
  EXPECT_EQ(process->WaitExit(Milliseconds(5000)), 3);
  EXPECT_EQ(process->Log(), "out\nerr\n");
  EXPECT_EQ(process->LogTail(1), "err\n");
  EXPECT_FALSE(process->Running());
}

TEST(Process, CanBeFrozenThawedAndKilled) {
  auto process = Start(Shell("while :; do sleep 0.01; done"));
  process->Freeze();
  EXPECT_TRUE(WaitUntil("stopped", Milliseconds(5000), nullptr, [&] { return StateOf(process->pid()) == 'T'; }).ok());
  process->Thaw();
  EXPECT_TRUE(WaitUntil("running", Milliseconds(5000), nullptr, [&] { return StateOf(process->pid()) != 'T'; }).ok());
  process->Kill();
  EXPECT_EQ(process->WaitExit(Milliseconds(0)), 128 + SIGKILL);
}

TEST(Process, EndsAFrozenProcessThatTakesItsSignal) {
  auto process = Start(Shell("sleep 100"));
  process->Freeze();
  const auto code = process->Terminate(Milliseconds(5000));
  ASSERT_TRUE(code.ok());
  EXPECT_EQ(*code, 128 + SIGTERM);
}

TEST(Process, KillsWhoDoesNotEnd) {
  const std::string log = TempFolder() + "/log";
  auto process = Start(Shell("trap '' TERM; echo armed; while :; do sleep 0.01; done", log));
  ASSERT_TRUE(WaitForLog(process.get(), "armed", Milliseconds(5000)).ok());
  EXPECT_EQ(process->Terminate(Milliseconds(100)).error().reason, "DID_NOT_END");
  EXPECT_FALSE(process->Running());
}

TEST(Process, SurvivesTheThreadThatStartedIt) {
  std::unique_ptr<Process> process;
  std::thread([&] { process = Start(Shell("sleep 100")); }).join();
  EXPECT_FALSE(process->WaitExit(Milliseconds(50)).has_value());
}

TEST(Process, SaysThatAProgramIsMissing) {
  EXPECT_EQ(Process::Start({"x", {"/no/such/program"}, {}, "", ""}).error().reason, "PROGRAM_MISSING");
}

TEST(WaitUntil, FailsAtOnceWhenTheProcessEndsAndShowsItsLog) {
  const std::string log = TempFolder() + "/log";
  auto process = Start(Shell("echo it broke; exit 1", log));
  const Status status = WaitUntil("never", Milliseconds(60'000), process.get(), [] { return false; });
  EXPECT_EQ(status.error().reason, "PROCESS_ENDED");
  EXPECT_NE(status.error().message.find("it broke"), std::string::npos);
}

TEST(RunCommand, PassesInputAndCollectsOutput) {
  const auto finished = RunCommand(Shell("read x; echo got $x; echo bad >&2; exit 4"), Milliseconds(5000), "word\n");
  ASSERT_TRUE(finished.ok());
  EXPECT_EQ(finished->out, "got word\n");
  EXPECT_EQ(finished->err, "bad\n");
  EXPECT_EQ(finished->exit_code, 4);
  EXPECT_EQ(RunCommand(Shell("sleep 100"), Milliseconds(50)).error().reason, "TIMEOUT");
}

// Answers every connection's requests from a script of raw answers.
class RawServer {
 public:
  explicit RawServer(std::vector<std::string> answers) : answers_(std::move(answers)) {
    fd_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen(fd_, 16), 0);
    socklen_t length = sizeof address;
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Serve(); });
  }
  ~RawServer() {
    shutdown(fd_, SHUT_RDWR);
    thread_.join();
    close(fd_);
  }
  uint16_t port() const { return port_; }

 private:
  void Serve() {
    size_t next = 0;
    for (int client; (client = accept(fd_, nullptr, nullptr)) >= 0; close(client)) {
      char buffer[4096];
      while (next < answers_.size() && recv(client, buffer, sizeof buffer, 0) > 0) {
        const std::string& answer = answers_[next++];
        (void)!send(client, answer.data(), answer.size(), MSG_NOSIGNAL);
        if (answer.find("close") != std::string::npos) break;
      }
    }
  }
  std::vector<std::string> answers_;
  int fd_;
  uint16_t port_;
  std::thread thread_;
};

TEST(HttpClient, ReadsLengthsChunksAndUntilClose) {
  RawServer server({"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Served-By: a\r\n\r\none",
                    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nTransfer-Encoding: "
                    "chunked\r\n\r\n2\r\ntw\r\n1\r\no\r\n0\r\n\r\n",
                    "HTTP/1.1 503 No\r\nConnection: close\r\n\r\nthree"});
  HttpClient client("127.0.0.1", server.port());
  auto answer = client.Get("h", "/");
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->body, "one");
  EXPECT_EQ(answer->headers["x-served-by"], "a");
  answer = client.Get("h", "/");
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->status, 201);
  EXPECT_EQ(answer->body, "two");
  answer = client.Get("h", "/");
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->status, 503);
  EXPECT_EQ(answer->body, "three");
}

TEST(HttpClient, SaysThatNobodyListens) {
  EXPECT_EQ(HttpClient("127.0.0.1", 1).Get("h", "/").error().reason, "CONNECT_FAILED");
}

TEST(RunLoad, CountsBackendsAndFailures) {
  std::vector<std::string> answers;
  for (int i = 0; i < 10; ++i) {
    answers.push_back(i % 5 == 0 ? "HTTP/1.1 503 No\r\nContent-Length: 0\r\nX-Weir-Reason: none\r\n\r\n"
                                 : "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Served-By: b\r\n\r\n");
  }
  RawServer server(answers);
  LoadOptions options;
  options.targets = {{"127.0.0.1", server.port()}};
  options.connections = 1;
  options.requests = 10;
  const LoadReport report = RunLoad(options);
  EXPECT_EQ(report.requests, 10u);
  EXPECT_EQ(report.failed, 2u);
  EXPECT_EQ(report.by_backend.at("b"), 8u);
  EXPECT_NE(report.first_error.find("none"), std::string::npos);
}

TEST(Timeline, FindsWhenTheSharesWereReached) {
  Timeline timeline;
  // Ten answers a second for eight seconds that are over: first all from b, from -4 s on three of four from a.
  for (int i = 0; i < 80; ++i) {
    const double end = -8.0 + i * 0.1;
    timeline.Add({end - 0.01, end, 200, end > -4.01 && i % 4 != 0 ? "a" : "b", "", ""});
  }
  timeline.Add({-6, -5.5, 503, "", "status 503", ""});
  const auto reached = timeline.SharesReached({{"a", 0.75}, {"b", 0.25}}, -8, 0.02, 2, 15);
  ASSERT_TRUE(reached.has_value());
  EXPECT_NEAR(*reached, -2, 0.2);
  EXPECT_FALSE(timeline.SharesReached({{"a", 1}}, -8, 0.02, 2, 15).has_value());
  EXPECT_FALSE(timeline.SharesReached({{"a", 0.75}}, -8, 0.02, 2, 1000).has_value());
  EXPECT_EQ(timeline.LastFailure(-8), -5.5);
  EXPECT_FALSE(timeline.LastFailure(-5).has_value());
  const Span span = timeline.Between(-8, -4.05);
  EXPECT_EQ(span.failed, 1u);
  EXPECT_EQ(span.by_backend.at("b"), span.requests - 1);
  EXPECT_NEAR(span.slowest, 0.5, 1e-9);
  EXPECT_EQ(span.errors.at("status 503"), 1u);
}

TEST(Fleet, NamesEveryAddressThatIsTaken) {
  RawServer taken({});
  FleetOptions options;
  options.folder = TempFolder();
  options.bin_dir = "bin";
  options.rest_port = taken.port();
  options.grpc_port = options.agent_port = 0;
  const Status status = Fleet(options).CheckPorts();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().reason, "PORT_IN_USE");
  EXPECT_NE(status.error().message.find(std::to_string(taken.port())), std::string::npos);
}

}  // namespace
}  // namespace weir::test
