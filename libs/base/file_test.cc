#include "libs/base/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/support/full_disk.h"

namespace {
int syncs = 0;
}
extern "C" int fsync(int fd) {  // In place of the C library's, in this program.
  ++syncs;
  return static_cast<int>(syscall(SYS_fsync, fd));
}

namespace weir {
namespace {

std::string TempFolder() {
  std::string pattern = ::testing::TempDir() + "/weir-file-XXXXXX";
  return ::mkdtemp(pattern.data());
}

TEST(File, WritesWhatItThenReads) {
  const std::string path = TempFolder() + "/a";
  ASSERT_TRUE(WriteFileAtomic(path, "one", 0600).ok());
  ASSERT_TRUE(WriteFileAtomic(path, "two", 0600).ok());
  EXPECT_EQ(ReadFile(path).value(), "two");
  struct stat info{};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST(File, IsWrittenOnlyWhereItDiffers) {
  const std::string path = testing::TempDir() + "/weir-same-" + std::to_string(getpid());
  const auto stands = [&](std::string_view content, mode_t mode) {
    const test::FullDisk full;
    return WriteFileIfDifferent(path, content, mode).ok();
  };
  EXPECT_FALSE(stands("one", 0644)) << "missing";
  ASSERT_TRUE(WriteFileIfDifferent(path, "one").ok());
  const int before = syncs;
  EXPECT_TRUE(stands("one", 0644));
  EXPECT_GT(syncs, before) << "whoever wrote it may not have waited for the disk";
  for (const char* other : {"two", "on", "ones"}) EXPECT_FALSE(stands(other, 0644)) << other;
  EXPECT_FALSE(stands("one", 0600)) << "others may read what stands";
  ASSERT_TRUE(WriteFileIfDifferent(path, "two", 0600).ok());
  EXPECT_EQ(ReadFile(path).value(), "two");
  EXPECT_TRUE(stands("two", 0600));
}

TEST(File, NamesAMissingFile) {
  auto read = ReadFile("/nonexistent/file");
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().reason, "FILE_MISSING");
  EXPECT_NE(read.error().message.find("/nonexistent/file"), std::string::npos);
}

TEST(File, RefusesALargeFile) {
  const std::string path = TempFolder() + "/big";
  ASSERT_TRUE(WriteFileAtomic(path, std::string(100, 'x')).ok());
  EXPECT_EQ(ReadFile(path, 99).error().reason, "FILE_TOO_LARGE");
  EXPECT_TRUE(ReadFile(path, 100).ok());
}

}  // namespace
}  // namespace weir
