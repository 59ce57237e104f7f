#include "libs/admin/token.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libs/base/file.h"
#include "libs/base/ids.h"
#include "tests/support/full_disk.h"

namespace weir::admin {
namespace {

Result<std::string> WriteOnAFullDisk(const std::string& path) {
  const test::FullDisk full;
  return WriteToken(path);
}

TEST(Token, IsTheOneThatStandsWhereTheDiskTakesNone) {
  const std::string path = testing::TempDir() + "weir-token-" + RandomHex(6);
  EXPECT_FALSE(WriteOnAFullDisk(path).ok());
  const std::string first = WriteToken(path).value();
  EXPECT_EQ(ReadFile(path).value(), first + "\n");
  EXPECT_NE(WriteToken(path).value(), first) << "each start has a token of its own";
  const std::string stands = ReadFile(path).value();
  EXPECT_EQ(WriteOnAFullDisk(path).value() + "\n", stands);
  EXPECT_EQ(chmod(path.c_str(), 0640), 0);
  EXPECT_FALSE(WriteOnAFullDisk(path).ok()) << "others read that one";
  for (const std::string& bad :
       {std::string(), std::string("\n"), stands.substr(1), stands + "\n", stands.substr(0, 64) + "x"}) {
    ASSERT_TRUE(WriteFileAtomic(path, bad, 0600).ok());
    EXPECT_FALSE(WriteOnAFullDisk(path).ok()) << bad;
  }
  ASSERT_TRUE(WriteFileAtomic(path + "-of-another", stands, 0600).ok());
  unlink(path.c_str());
  ASSERT_EQ(symlink((path + "-of-another").c_str(), path.c_str()), 0);
  EXPECT_FALSE(WriteOnAFullDisk(path).ok()) << "a link may point anywhere";
  unlink(path.c_str());
  unlink((path + "-of-another").c_str());
}

}  // namespace
}  // namespace weir::admin
