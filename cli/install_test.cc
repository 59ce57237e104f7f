#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "api/weir/v2/packages.pb.h"
#include "cli/scripts.h"
#include "cli/server_fixture.h"
#include "libs/base/sha256.h"

namespace weir::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// What `sh` prints for a script; nothing of it came from outside but its text.
std::string Shell(const std::string& folder, const std::string& script) {
  EXPECT_TRUE(WriteFileAtomic(folder + "/script", script).ok());
  EXPECT_EQ(std::system(fmt::format("sh {0}/script > {0}/printed", folder).c_str()), 0);
  return *ReadFile(folder + "/printed");
}

TEST(Script, QuotesWhateverStandsInIt) {
  const std::string folder = testing::TempDir();
  for (const std::string text : {"plain", "it's $(date) `date` \\ \"x\" *", "'", "a\nb"}) {
    EXPECT_EQ(Shell(folder, "printf %s " + ShellQuoted(text)), text);
  }
}

class InstallCommand : public CommandLine {
 protected:
  void SetUp() override {
    CommandLine::SetUp();
    ASSERT_TRUE(MakeFolders(folder_ + "/packages").ok());
    Put("weir-agent_0.1.0_amd64.deb", agent_);
    Put("weir-gateway_0.1.0_amd64.deb", "gateway");
    Put("weir-server_0.1.0_amd64.deb", "not for machines that join");
    Put("README", "no package");
  }
  void Put(const std::string& file, const std::string& bytes) {
    ASSERT_TRUE(WriteFileAtomic(folder_ + "/packages/" + file, bytes).ok());
  }
  // What a function of the printed script prints.
  std::string Call(const std::string& function) {
    const size_t main = output_.rfind("\nmain ");
    return Shell(folder_, output_.substr(0, main) + "\n" + function + "\n");
  }
  Status Fetch(const std::string& token, const std::string& file, int64_t offset, v2::FetchPackageResponse& piece) {
    auto client = Client::Connect(*LoadSession({}));
    v2::FetchPackageRequest request;
    request.set_join_token(token);
    request.set_file(file);
    request.set_offset(offset);
    return client->Call("Packages/FetchPackage", request, piece);
  }

  const std::string agent_ = std::string(2'500'000, 'a') + "end";
};

TEST_F(InstallCommand, MakesAScriptThatKnowsServerPackagesAndToken) {
  ASSERT_EQ(Run({"cluster", "install", "--vm", "edge", "--address", "weir.example.com"}), kExitOk) << error_;
  EXPECT_EQ(Call("printf %s \"$CLUSTER $HOST $REST_PORT $AGENT_PORT $BUNDLE\""),
            "organizations/acme/clusters/edge weir.example.com 8443 9444 ");
  EXPECT_EQ(Call("printf %s \"$PACKAGES\""), fmt::format("amd64 weir-agent 0.1.0 weir-agent_0.1.0_amd64.deb {} {}\n"
                                                         "amd64 weir-gateway 0.1.0 weir-gateway_0.1.0_amd64.deb 7 {}",
                                                         agent_.size(), Sha256Hex(agent_), Sha256Hex("gateway")));
  EXPECT_THAT(Call("discovery=D; settings T"), testing::EndsWith("server: \"weir.example.com:9444\"\ndiscoveryFile: D\n"
                                                                 "joinTokenFile: T\n"));
  EXPECT_THAT(Call("LISTEN=127.0.0.1:1; settings"), testing::EndsWith("\nlisten: \"127.0.0.1:1\"\n"));
  EXPECT_EQ(Call("anchor"), server_->info().anchor_pem);
  const std::string token = Call("join_token");
  EXPECT_THAT(token, testing::StartsWith("weir-join-1."));
  // It is good for the packages, as often as they are asked for, and still for a join.
  v2::FetchPackageResponse piece;
  std::string bytes;
  do {
    ASSERT_TRUE(Fetch(token, "weir-agent_0.1.0_amd64.deb", static_cast<int64_t>(bytes.size()), piece).ok());
    EXPECT_LE(piece.content().size(), 1u << 20);
    bytes += piece.content();
  } while (!piece.content().empty());
  EXPECT_EQ(bytes, agent_);
  auto agent = fleet::SmallAgent::Join(Address(server_->info().agent_port), server_->info().anchor_pem,
                                       token.substr(0, token.find('\n')));
  ASSERT_TRUE(agent.ok()) << agent.error().ToString();
  EXPECT_EQ(Fetch(token, "weir-agent_0.1.0_amd64.deb", 0, piece).error().reason, "JOIN_TOKEN_USED");
}

TEST_F(InstallCommand, GivesPackagesToNobodyElse) {
  v2::FetchPackageResponse piece;
  EXPECT_EQ(Fetch("", "weir-agent_0.1.0_amd64.deb", 0, piece).error().reason, "JOIN_TOKEN_UNKNOWN");
  EXPECT_EQ(Fetch("weir-join-1.AAAA", "weir-agent_0.1.0_amd64.deb", 0, piece).error().reason, "JOIN_TOKEN_UNKNOWN");
  ASSERT_EQ(Run({"cluster", "token", "edge"}), kExitOk);
  const std::string token = output_;
  for (const char* file : {"README", "../state/weir.db", "weir-agent_0.1.0_arm64.deb", "", "/etc/passwd"}) {
    EXPECT_EQ(Fetch(token, file, 0, piece).error().reason, "PACKAGE_UNKNOWN") << file;
  }
  std::filesystem::create_symlink("/etc/passwd", folder_ + "/packages/weir-agent_9_amd64.deb");
  EXPECT_EQ(Fetch(token, "weir-agent_9_amd64.deb", 0, piece).error().reason, "PACKAGE_UNKNOWN");
  EXPECT_EQ(Fetch(token, "weir-agent_0.1.0_amd64.deb", -1, piece).error().reason, "INVALID_REQUEST");
  EXPECT_EQ(Fetch(token, "weir-agent_0.1.0_amd64.deb", 1 << 30, piece).error().reason, "INVALID_REQUEST");
}

TEST_F(InstallCommand, CarriesThePackagesWhenAsked) {
  ASSERT_EQ(Run({"cluster", "install", "--vm", "edge", "--bundle"}), kExitOk) << error_;
  EXPECT_EQ(Call("bundled weir-agent_0.1.0_amd64.deb"), agent_);
  ASSERT_TRUE(MakeFolders(folder_ + "/mine").ok());
  ASSERT_TRUE(WriteFileAtomic(folder_ + "/mine/weir-agent_2~rc1_arm64.deb", "mine").ok());
  ASSERT_TRUE(WriteFileAtomic(folder_ + "/mine/weir-gateway_2~rc1_arm64.deb", "mine too").ok());
  ASSERT_EQ(Run({"cluster", "install", "--vm", "edge", "--packages", folder_ + "/mine"}), kExitOk) << error_;
  EXPECT_EQ(Call("bundled weir-gateway_2~rc1_arm64.deb"), "mine too");
  EXPECT_THAT(Call("printf %s \"$PACKAGES\""),
              testing::StartsWith("arm64 weir-agent 2~rc1 weir-agent_2~rc1_arm64.deb 4 "));
}

TEST_F(InstallCommand, MakesTheClusterThatIsMissingAndChangesNoneThatIsThere) {
  ASSERT_EQ(Run({"cluster", "install", "--vm", "new", "--tier1", "--region", "eu"}), kExitOk) << error_;
  EXPECT_THAT(error_, HasSubstr("organizations/acme/clusters/new is made"));
  ASSERT_EQ(Run({"get", "cluster", "new", "-o", "yaml"}), kExitOk);
  EXPECT_THAT(output_, testing::AllOf(HasSubstr("tier1Cluster: true"), HasSubstr("region: eu")));
  EXPECT_EQ(Run({"cluster", "install", "--vm", "c1", "--tier1"}), kExitUsage);
  ASSERT_EQ(Run({"cluster", "install", "--vm", "c1"}), kExitOk);
  ASSERT_EQ(Run({"get", "cluster", "c1", "-o", "yaml"}), kExitOk);
  EXPECT_THAT(output_, Not(HasSubstr("tier1Cluster: true")));
}

TEST_F(InstallCommand, RefusesWhatItCannotDo) {
  EXPECT_EQ(Run({"cluster", "install", "edge"}), kExitUsage);
  EXPECT_THAT(error_, HasSubstr("--vm"));
  EXPECT_EQ(Run({"cluster", "install", "--vm", "edge", "--address", "x; rm -rf /"}), kExitUsage);
  EXPECT_EQ(Run({"cluster", "install", "--vm", "edge", "--listen", "15012"}), kExitUsage);
  EXPECT_EQ(output_, "");
  Put("weir-agent_0.2.0_amd64.deb", "newer");
  EXPECT_EQ(Run({"cluster", "install", "--vm", "edge"}), kExitUsage);
  EXPECT_THAT(error_, HasSubstr("--version"));
  Put("weir-gateway_0.2.0_amd64.deb", "newer");
  ASSERT_EQ(Run({"cluster", "install", "--vm", "edge", "--version", "0.2.0"}), kExitOk) << error_;
  EXPECT_THAT(Call("printf %s \"$PACKAGES\""), Not(HasSubstr("0.1.0")));
  std::filesystem::remove_all(folder_ + "/packages");
  EXPECT_EQ(Run({"cluster", "install", "--vm", "edge"}), kExitRefused);
  EXPECT_THAT(error_, HasSubstr("PACKAGES_OFF"));
}

TEST_F(InstallCommand, UninstallRevokesAndKnowsWhoseMachineItIs) {
  StartAgent();
  ASSERT_EQ(Run({"cluster", "uninstall", "--vm", "edge"}), kExitOk) << error_;
  EXPECT_EQ(Call("printf %s \"$CLUSTER\""), "organizations/acme/clusters/edge");
  EXPECT_THAT(error_, HasSubstr("its memberships have ended"));
  ASSERT_EQ(Run({"get", "cluster", "edge", "-o", "jsonpath={.state.generation}"}), kExitOk);
  EXPECT_EQ(output_.substr(0, 1), "2");
}

}  // namespace
}  // namespace weir::cli
