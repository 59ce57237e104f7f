#include "mgmt-server/install/install.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "api/weir/bootstrap/v1/bootstrap.pb.h"
#include "libs/base/file.h"
#include "libs/base/ids.h"
#include "libs/bootstrap/load.h"
#include "mgmt-server/server.h"

namespace weir::install {
namespace {

using ::testing::HasSubstr;

// A machine in a folder, whose systemctl writes down what it is asked and fails when told to.
class InstallTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "weir-install-" + RandomHex(6);
    std::filesystem::create_directories(folder_ + "/state");
    places_ = {.settings = folder_ + "/etc/server.yaml",
               .unit = folder_ + "/unit",
               .systemd = folder_,
               .systemctl = folder_ + "/systemctl",
               .state_dir = folder_ + "/state",
               .packages_dir = folder_ + "/packages",
               .root_only = false};
    ASSERT_TRUE(WriteFileAtomic(places_.unit, "[Unit]\n").ok());
    ASSERT_TRUE(WriteFileAtomic(places_.state_dir + "/admin-password", "x\n").ok());
    Systemctl(0);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void Systemctl(int code) {
    ASSERT_TRUE(WriteFileAtomic(places_.systemctl,
                                fmt::format("#!/bin/sh\necho \"$*\" >> {}/asked\nexit {}\n", folder_, code), 0755)
                    .ok());
  }
  Result<std::string> Run(const std::vector<std::string>& arguments) {
    return Install(arguments, server::Check, places_);
  }
  std::string Asked() { return ReadFile(folder_ + "/asked").ok() ? *ReadFile(folder_ + "/asked") : ""; }

  std::string folder_;
  Places places_;
};

TEST_F(InstallTest, WritesSettingsStartsTheUnitAndNamesThePassword) {
  ASSERT_TRUE(MakeFolders(folder_ + "/debs").ok());
  ASSERT_TRUE(WriteFileAtomic(folder_ + "/debs/weir-agent_1_amd64.deb", "deb").ok());
  ASSERT_TRUE(WriteFileAtomic(folder_ + "/debs/README", "no package").ok());
  const auto said = Run({"--organization", "acme", "--packages", folder_ + "/debs", "--names=weir.example.com"});
  ASSERT_TRUE(said.ok()) << said.error().ToString();
  EXPECT_THAT(*said, HasSubstr(places_.state_dir + "/admin-password"));
  EXPECT_EQ(Asked(), "enable --now weir-server.service\n");
  bootstrap::v1::Server read;
  ASSERT_TRUE(bootstrap::Fill({"t", "", "", "WEIR_NONE_"}, {"--config", places_.settings}, read).ok());
  EXPECT_EQ(read.organization(), "acme");
  EXPECT_EQ(read.address(), "0.0.0.0");
  EXPECT_EQ(read.packages_dir(), places_.packages_dir);
  ASSERT_EQ(read.names_size(), 1);
  EXPECT_TRUE(std::filesystem::exists(places_.packages_dir + "/weir-agent_1_amd64.deb"));
  EXPECT_FALSE(std::filesystem::exists(places_.packages_dir + "/README"));
  // The same again is no change; anything else is refused and touches nothing.
  EXPECT_TRUE(Run({"--organization", "acme", "--names=weir.example.com"}).ok());
  const std::string before = *ReadFile(places_.settings);
  EXPECT_EQ(Run({"--organization", "other"}).error().reason, "INSTALLED");
  EXPECT_EQ(*ReadFile(places_.settings), before);
}

TEST_F(InstallTest, LeavesNothingOfOneThatFails) {
  Systemctl(1);
  const std::string debs = folder_ + "/debs";
  ASSERT_TRUE(MakeFolders(debs).ok());
  ASSERT_TRUE(WriteFileAtomic(debs + "/weir-agent_1_amd64.deb", "deb").ok());
  EXPECT_EQ(Run({"--organization", "acme", "--packages", debs}).error().reason, "UNIT_FAILED");
  EXPECT_FALSE(std::filesystem::exists(places_.settings));
  EXPECT_FALSE(std::filesystem::exists(places_.packages_dir));
  // What somebody else put there stays.
  ASSERT_TRUE(MakeFolders(places_.packages_dir).ok());
  ASSERT_TRUE(WriteFileAtomic(places_.packages_dir + "/weir-cli_1_amd64.deb", "deb").ok());
  EXPECT_EQ(Run({"--packages", debs}).error().reason, "UNIT_FAILED");
  EXPECT_FALSE(std::filesystem::exists(places_.packages_dir + "/weir-agent_1_amd64.deb"));
  EXPECT_TRUE(std::filesystem::exists(places_.packages_dir + "/weir-cli_1_amd64.deb"));
  // A copy of which a part fails leaves no half of it.
  ASSERT_TRUE(MakeFolders(debs + "/weir-zzz_1_amd64.deb").ok());
  EXPECT_FALSE(Run({"--packages", debs}).ok());
  EXPECT_FALSE(std::filesystem::exists(places_.packages_dir + "/weir-agent_1_amd64.deb"));
  EXPECT_THAT(Asked(), HasSubstr("disable --now weir-server.service"));
}

TEST_F(InstallTest, RefusesWhatCannotBeByName) {
  for (const auto& [arguments, field] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"--organization", "Not A Label"}, "organization"},
           {{"--state-dir", "/elsewhere"}, "--state-dir"},
           {{"--nonsense", "x"}, "--nonsense"}}) {
    const auto refused = Run(arguments);
    ASSERT_FALSE(refused.ok()) << field;
    EXPECT_EQ(refused.error().reason, "BOOTSTRAP_INVALID");
    EXPECT_EQ(refused.error().violations.front().field, field);
  }
  EXPECT_EQ(Run({"--packages", folder_ + "/nowhere"}).error().reason, "USAGE");
  EXPECT_EQ(Run({"--packages"}).error().reason, "USAGE");
  EXPECT_FALSE(std::filesystem::exists(places_.settings));
  EXPECT_EQ(Asked(), "");
  std::filesystem::remove(places_.unit);
  EXPECT_EQ(Run({}).error().reason, "NO_UNIT");
  places_.unit = folder_;
  places_.systemd = folder_ + "/none";
  EXPECT_EQ(Run({}).error().reason, "NO_SYSTEMD");
}

}  // namespace
}  // namespace weir::install
