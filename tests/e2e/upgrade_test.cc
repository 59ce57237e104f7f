#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "libs/base/mutex.h"
#include "tests/e2e/scene.h"
#include "tests/support/http_client.h"

// A gateway is replaced by its successor while callers keep asking.
namespace weir::e2e {
namespace {

using test::Milliseconds;
using test::Process;

constexpr uint16_t kProbePort = 15021;

// Requests that nobody repeats for us, on kept and on fresh connections, and the probes of one gateway.
class Callers {
 public:
  Callers(const std::string& tier1, const std::string& probed) {
    for (int i = 0; i < 6; ++i) {
      threads_.emplace_back([this, tier1, kept = i < 3] {
        test::HttpClient client(tier1, kPort);
        while (!stop_) {
          const auto answer = client.Do("POST", kHost, "/", "body");
          Count(answer.ok() && answer->status == 200,
                answer.ok()
                    ? fmt::format("{} {}", answer->status,
                                  answer->headers.contains("x-weir-reason") ? answer->headers.at("x-weir-reason") : "")
                    : answer.error().ToString());
          ++answers;
          if (!kept) client.Close();
        }
      });
    }
    for (const uint16_t port : {kProbePort, kAdminPort}) {
      threads_.emplace_back([this, probed, port] {
        test::HttpClient client(probed, port);
        while (!stop_) {
          const auto answer = client.Get("127.0.0.1", "/ready");
          Count(answer.ok() && answer->status == 200,
                answer.ok() ? fmt::format("probe {}: {} {}", port, answer->status, answer->body)
                            : answer.error().ToString());
          std::this_thread::sleep_for(Milliseconds(2));
        }
      });
    }
  }
  ~Callers() { Stop(); }
  void Stop() {
    stop_ = true;
    for (auto& thread : threads_) thread.join();
    threads_.clear();
  }
  // Waits for more answers, all of them good.
  void WaitForMore(uint64_t more) {
    const uint64_t until = answers + more;
    const Status reached =
        test::WaitUntil("answers", Milliseconds(30'000), nullptr, [&] { return answers >= until || failed > 0; });
    EXPECT_TRUE(reached.ok()) << reached.error().message;
  }
  std::string FirstFailure() {
    const MutexLock lock(mutex_);
    return first_;
  }
  std::atomic<uint64_t> answers{0}, failed{0};

 private:
  void Count(bool good, const std::string& what) {
    if (good) return;
    ++failed;
    const MutexLock lock(mutex_);
    if (first_.empty()) first_ = what;
  }
  Mutex mutex_;
  std::string first_ WEIR_GUARDED_BY(mutex_);
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

class Upgrade : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    scene_ = new Scene({.net = 77, .tier1s = 1, .clusters = 1});
    const Status up = scene_->BringUp();
    ASSERT_TRUE(up.ok()) << up.error().message;
  }
  static void TearDownTestSuite() {
    running_.clear();
    delete scene_;
    scene_ = nullptr;
  }
  void SetUp() override { ASSERT_FALSE(testing::Test::HasFatalFailure()); }

  // Who serves a workload now.
  static Process* Of(const std::string& gateway) {
    const auto found = running_.find(gateway);
    return found != running_.end() ? found->second.get() : scene_->fleet().Find(gateway);
  }
  // The same program again, with more arguments.
  static std::unique_ptr<Process> Again(const std::string& gateway, std::vector<std::string> more,
                                        std::vector<std::string> env = {}) {
    test::Command command = scene_->fleet().Find(gateway)->command();
    command.name += " again";
    command.log_file = fmt::format("{}.{}", command.log_file, ++generation_);
    for (std::string& argument : more) {  // A flag that it has already gets the new value.
      const auto known = std::find(command.argv.begin(), command.argv.end(), argument);
      if (argument.starts_with("--") && known != command.argv.end()) command.argv.erase(known, known + 2);
      command.argv.push_back(std::move(argument));
    }
    for (std::string& variable : env) command.env.push_back(std::move(variable));
    auto started = Process::Start(command);
    EXPECT_TRUE(started.ok());
    return std::move(*started);
  }
  static void Replace(const std::string& gateway, std::vector<std::string> more, Callers& callers) {
    callers.WaitForMore(100);
    more.push_back("--take-over");
    auto next = Again(gateway, std::move(more));
    const Status took = test::WaitForLog(next.get(), "took over", Milliseconds(60'000));
    ASSERT_TRUE(took.ok()) << took.error().message;
    const auto exit = Of(gateway)->WaitExit(Milliseconds(40'000));
    EXPECT_EQ(exit, std::optional<int>(0)) << Of(gateway)->LogTail();
    running_[gateway] = std::move(next);
    callers.WaitForMore(100);
  }
  static void ExpectNoFailure(Callers& callers) {
    callers.Stop();
    EXPECT_EQ(callers.failed, 0u) << "of " << callers.answers << ": " << callers.FirstFailure();
  }

  static Scene* scene_;
  static std::map<std::string, std::unique_ptr<Process>> running_;
  static int generation_;
};
Scene* Upgrade::scene_ = nullptr;
std::map<std::string, std::unique_ptr<Process>> Upgrade::running_;
int Upgrade::generation_ = 0;

constexpr char kT1[] = "gateway/edge/t1/t1-1", kT2[] = "gateway/c1/shop/t2", kPod[] = "gateway/c1/shop/pod-1";

TEST_F(Upgrade, ATier1IsReplacedWithoutAFailedRequestWhateverTheWorkers) {
  Callers callers(scene_->Tier1(1), scene_->Tier1(1));
  Replace(kT1, {"--workers", "3"}, callers);
  Replace(kT1, {"--workers", "1"}, callers);
  ExpectNoFailure(callers);
}

TEST_F(Upgrade, ATier2IsReplacedWithoutAFailedRequest) {
  Callers callers(scene_->Tier1(1), scene_->Tier2(1));
  Replace(kT2, {}, callers);
  ExpectNoFailure(callers);
}

TEST_F(Upgrade, APodProxyIsReplacedWithoutAFailedRequest) {
  Callers callers(scene_->Tier1(1), scene_->Pod(1, 1));
  Replace(kPod, {}, callers);
  ExpectNoFailure(callers);
}

TEST_F(Upgrade, ASuccessorThatCannotStartLeavesTheRunningOneServing) {
  Callers callers(scene_->Tier1(1), scene_->Tier1(1));
  callers.WaitForMore(50);
  const auto broken = Again(kT1, {"--take-over", "--access-log", "/nowhere/access.log"});
  EXPECT_EQ(broken->WaitExit(Milliseconds(30'000)), std::optional<int>(1));
  EXPECT_THAT(broken->Log(), testing::HasSubstr("ACCESS_LOG"));
  // With its agent silent the next one waits a while before it takes over: time to kill it.
  scene_->fleet().Find("agent/edge")->Freeze();
  const auto killed = Again(kT1, {"--take-over"});
  const Status asked = test::WaitForLog(killed.get(), "taking over", Milliseconds(30'000));
  EXPECT_TRUE(asked.ok()) << asked.error().message;
  killed->Kill();
  scene_->fleet().Find("agent/edge")->Thaw();
  callers.WaitForMore(50);
  EXPECT_TRUE(Of(kT1)->Running());
  Replace(kT1, {}, callers);
  ExpectNoFailure(callers);
}

TEST_F(Upgrade, WithoutTakeOverASecondGatewayRefusesToStart) {
  const auto second = Again(kT2, {});
  EXPECT_EQ(second->WaitExit(Milliseconds(30'000)), std::optional<int>(1));
  EXPECT_THAT(second->Log(), testing::HasSubstr("STATE_IN_USE"));
  EXPECT_TRUE(Of(kT2)->Running());
}

TEST_F(Upgrade, TheServiceManagerLearnsWhoTheServiceIs) {
  const std::string path = scene_->fleet().options().folder + "/notify";
  const int manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ASSERT_LT(path.size(), sizeof address.sun_path);
  path.copy(address.sun_path, path.size());
  ASSERT_EQ(bind(manager, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  const timeval patience{30, 0};
  setsockopt(manager, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  auto next = Again(kPod, {"--take-over"}, {"NOTIFY_SOCKET=" + path});
  char said[256] = {};
  EXPECT_GT(recv(manager, said, sizeof said - 1, 0), 0);
  close(manager);
  EXPECT_EQ(std::string(said), fmt::format("READY=1\nMAINPID={}\n", next->pid()));
  EXPECT_EQ(Of(kPod)->WaitExit(Milliseconds(40'000)), std::optional<int>(0));
  running_[kPod] = std::move(next);
}

}  // namespace
}  // namespace weir::e2e
