#include "libs/process/state_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "libs/base/file.h"
#include "libs/base/ids.h"
#include "libs/process/stop_signals.h"
#include "tests/support/full_disk.h"

namespace weir::process {
namespace {

using ::testing::HasSubstr;

class Folder : public testing::Test {
 protected:
  Folder() : path_(testing::TempDir() + "weir-process-" + RandomHex(4)) { EXPECT_TRUE(MakeFolders(path_).ok()); }
  ~Folder() override { std::filesystem::remove_all(path_); }
  const std::string path_;
};

TEST_F(Folder, IsUsedByOneProcessAtATime) {
  auto first = StateLock::Take(path_, "weir-agent", "stop it");
  ASSERT_TRUE(first.ok()) << first.error().ToString();
  const auto second = StateLock::Take(path_, "weir-agent", "stop it");
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().reason, "STATE_IN_USE");
  EXPECT_THAT(second.error().message, HasSubstr("another weir-agent (process " + std::to_string(getpid()) + ")"));
  EXPECT_THAT(second.error().message, HasSubstr("; stop it"));
  {
    const StateLock moved = std::move(*first);
  }
  EXPECT_TRUE(StateLock::Take(path_, "weir-agent", "stop it").ok());
}

TEST_F(Folder, IsFreeAgainHoweverTheProcessEnded) {
  const pid_t child = fork();
  if (child == 0) {
    const auto lock = StateLock::Take(path_, "weir-agent", "stop it");
    _exit(lock.ok() ? (kill(getpid(), SIGKILL), 1) : 2);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_TRUE(StateLock::Take(path_, "weir-agent", "stop it").ok());
}

TEST_F(Folder, IsTakenOnAFullDiskAndThenNamesNobody) {
  ASSERT_TRUE(WriteFileAtomic(path_ + "/lock", "99999999", 0600).ok());  // Of an earlier process.
  const test::FullDisk full;
  const auto first = StateLock::Take(path_, "weir-agent", "stop it");
  ASSERT_TRUE(first.ok()) << first.error().ToString();
  const auto second = StateLock::Take(path_, "weir-agent", "stop it");
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(second.error().message, HasSubstr("another weir-agent runs on"));
}

TEST_F(Folder, IsMadeWhenItIsNotThereForItsOwnerOnly) {
  const std::string path = path_ + "/a/b";
  ASSERT_TRUE(StateLock::Take(path, "weir-agent", "stop it").ok());
  EXPECT_EQ(std::filesystem::status(path).permissions(), std::filesystem::perms::owner_all);
}

TEST(StateLockOf, AFolderThatCannotBeMadeSaysSo) {
  EXPECT_EQ(StateLock::Take("/dev/null/at/all", "weir-agent", "stop it").error().reason, "STATE_FOLDER");
}

}  // namespace
}  // namespace weir::process
