#include "libs/base/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

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
