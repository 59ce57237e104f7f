#include "libs/gateway/handover.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <future>

#include "libs/base/file.h"
#include "libs/base/ids.h"

namespace weir::gateway {
namespace {
using namespace std::chrono_literals;

class HandoverTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(MakeFolders(folder_, 0700).ok()); }
  void Run(size_t sockets, HandoverTimes times = {}) {
    auto door = HandoverDoor::Start(
        folder_,
        {[sockets]() -> Result<std::vector<HandedSocket>> {
           std::vector<HandedSocket> out;
           for (size_t i = 0; i < sockets; ++i) {
             out.push_back({"listener " + std::to_string(i), net::Fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))});
           }
           return out;
         },
         [this] { ++went_; }, [this] { aborted_.set_value(); }},
        times);
    ASSERT_TRUE(door.ok()) << door.error().ToString();
    door_ = std::move(*door);
  }
  std::string Path() const { return folder_ + "/handover.sock"; }
  // Longer than an address of a unix socket may be.
  const std::string folder_ = "/tmp/weir-handover-" + RandomHex(4) + "/" + std::string(100, 'x');
  std::atomic<int> went_ = 0;
  std::promise<void> aborted_;
  std::unique_ptr<HandoverDoor> door_;
};

TEST_F(HandoverTest, HandsOverAnyNumberOfSockets) {
  Run(150);
  auto predecessor = Predecessor::Connect(folder_);
  ASSERT_TRUE(predecessor.ok()) << predecessor.error().ToString();
  EXPECT_TRUE((*predecessor)->Take("admin ").empty());
  const auto listeners = (*predecessor)->Take("listener ");
  ASSERT_EQ(listeners.size(), 150u);
  EXPECT_EQ(listeners[149].name, "149");
  int type = 0;
  socklen_t size = sizeof type;
  EXPECT_EQ(getsockopt(listeners[149].fd.get(), SOL_SOCKET, SO_TYPE, &type, &size), 0);
  EXPECT_EQ(type, SOCK_STREAM);
  EXPECT_TRUE((*predecessor)->AnnounceAccepting().ok());
  EXPECT_EQ(went_, 1);
  struct stat facts{};
  ASSERT_EQ(stat(Path().c_str(), &facts), 0);  // It is the successor's to replace.
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
  door_.reset();
  EXPECT_EQ(stat(Path().c_str(), &facts), 0);
}

TEST_F(HandoverTest, GoesOnWhenTheSuccessorGivesUp) {
  Run(1);
  ASSERT_TRUE(Predecessor::Connect(folder_).ok());
  ASSERT_EQ(aborted_.get_future().wait_for(10s), std::future_status::ready);
  EXPECT_EQ(went_, 0);
  const auto next = Predecessor::Connect(folder_);
  ASSERT_TRUE(next.ok());
  EXPECT_TRUE((*next)->AnnounceAccepting().ok());
}

TEST_F(HandoverTest, WaitsForNobodyForEver) {
  Run(1, {100ms, 200ms, 100ms});
  const auto silent = Predecessor::Connect(folder_);
  ASSERT_TRUE(silent.ok());
  ASSERT_EQ(aborted_.get_future().wait_for(10s), std::future_status::ready);
  EXPECT_FALSE((*silent)->AnnounceAccepting().ok());
  EXPECT_EQ(went_, 0);
}

// A gateway that is stopped takes connections and says nothing: who it is, and what to do.
TEST_F(HandoverTest, SaysWhichProcessDoesNotAnswer) {
  const net::Fd stopped(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const net::Fd folder(open(folder_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = "/proc/self/fd/" + std::to_string(folder.get()) + "/handover.sock";
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(bind(stopped.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(stopped.get(), 1), 0);
  const auto silent = Predecessor::Connect(folder_, {100ms, 100ms, 100ms});
  ASSERT_FALSE(silent.ok());
  EXPECT_EQ(silent.error().reason, "HANDOVER_SILENT");
  EXPECT_NE(silent.error().message.find("process " + std::to_string(getpid())), std::string::npos);
  EXPECT_NE(silent.error().message.find("start without --take-over"), std::string::npos);
}

TEST_F(HandoverTest, NobodyThereIsNoError) {
  const auto none = Predecessor::Connect(folder_);
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().reason, "NO_PREDECESSOR");
  Run(1);
  door_.reset();
  EXPECT_EQ(Predecessor::Connect(folder_).error().reason, "NO_PREDECESSOR");
}

TEST_F(HandoverTest, RefusesAnotherVersion) {
  Run(1);
  const net::Fd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const net::Fd folder(open(folder_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/handover.sock", folder.get());
  ASSERT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(send(fd.get(), "\x09h", 2, 0), 2);
  char answer[256] = {};
  ASSERT_GT(recv(fd.get(), answer, sizeof answer - 1, 0), 2);
  EXPECT_EQ(answer[1], 'x');
  EXPECT_NE(std::string(answer + 2).find("version 9"), std::string::npos) << answer + 2;
}

TEST_F(HandoverTest, TwoGatewaysDoNotShareAFolder) {
  auto first = LockFolder(folder_);
  ASSERT_TRUE(first.ok());
  const auto second = LockFolder(folder_);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().reason, "STATE_IN_USE");
  EXPECT_NE(second.error().message.find("--take-over"), std::string::npos);
  const auto copy = net::Duplicate(first->get());  // As a successor has it.
  first->Close();
  EXPECT_FALSE(LockFolder(folder_).ok());
}

}  // namespace
}  // namespace weir::gateway
