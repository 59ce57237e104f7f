#include "libs/bootstrap/load.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "api/weir/bootstrap/v1/bootstrap.pb.h"
#include "libs/base/file.h"
#include "libs/base/ids.h"

namespace weir::bootstrap {
namespace {

const Program kServer{"weir-server", "Serves.", "0.1.0", "WEIR_TEST_SERVER_"};

struct Environment {
  Environment(const char* name, const char* value) : name(name) { setenv(name, value, 1); }
  ~Environment() { unsetenv(name); }
  const char* name;
};

std::string FileWith(const std::string& text) {
  const std::string path = testing::TempDir() + "weir-bootstrap-" + RandomHex(6) + ".yaml";
  EXPECT_TRUE(WriteFileAtomic(path, text).ok());
  return path;
}

TEST(Load, FlagOverEnvironmentOverFileOverDefault) {
  v1::Server server;
  server.set_state_dir("default");
  server.set_address("default");
  server.set_organization("default");
  server.set_domain("default");
  const Environment a("WEIR_TEST_SERVER_ORGANIZATION", "env"), b("WEIR_TEST_SERVER_DOMAIN", "env");
  const std::string file = FileWith("address: file\norganization: file\ndomain: file\nlog: {level: warn}\n");
  ASSERT_TRUE(Fill(kServer, {"--config", file, "--domain=flag", "--rest-port", "0"}, server).ok());
  EXPECT_EQ(server.state_dir(), "default");
  EXPECT_EQ(server.address(), "file");
  EXPECT_EQ(server.organization(), "env");
  EXPECT_EQ(server.domain(), "flag");
  EXPECT_EQ(server.log().level(), "warn");
  EXPECT_TRUE(server.has_rest_port());
}

TEST(Load, ReadsNestedListsAndDurations) {
  v1::Server server;
  ASSERT_TRUE(
      Fill(kServer, {"--log.level", "debug", "--names", "a,b", "--names=c", "--intermediate-lifetime", "1.5h"}, server)
          .ok());
  EXPECT_EQ(server.log().level(), "debug");
  EXPECT_EQ(server.names_size(), 3);
  EXPECT_EQ(server.intermediate_lifetime().seconds(), 5400);
}

TEST(Load, NamesEveryWrongFieldAtOnce) {
  v1::Server server;
  const std::string file = FileWith("adress: 127.0.0.1\n");
  const Status status = Fill(kServer,
                             {"--config", file, "--rest-port", "x", "--nonsense", "1", "--domain", "stray", "word",
                              "--intermediate-lifetime", "soon"},
                             server);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().reason, "BOOTSTRAP_INVALID");
  std::string all;
  for (const auto& violation : status.error().violations) all += violation.field + ";";
  for (const char* field : {"--nonsense", "--rest-port", "adress", "--intermediate-lifetime", "word"}) {
    EXPECT_NE(all.find(field), std::string::npos) << field << " in " << all;
  }
}

TEST(Load, AMissingFileIsNamed) {
  v1::Server server;
  const Status status = Fill(kServer, {"--config", "/nowhere/weir.yaml"}, server);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().violations.front().field, "/nowhere/weir.yaml");
}

TEST(Load, AnswersHelpVersionAndCheckWithoutRunning) {
  for (const char* flag : {"--help", "--version", "--check", "--print-bootstrap"}) {
    v1::Server server;
    const char* argv[] = {"weir-server", flag};
    const Outcome outcome = Load(kServer, 2, argv, server);
    EXPECT_FALSE(outcome.run);
    EXPECT_EQ(outcome.exit_code, 0);
  }
  Program with_verbs = kServer;
  with_verbs.verbs = "weir-server backup\n";
  v1::Server helped;
  const char* help[] = {"weir-server", "--help"};
  testing::internal::CaptureStdout();
  EXPECT_EQ(Load(with_verbs, 2, help, helped).exit_code, 0);
  EXPECT_NE(testing::internal::GetCapturedStdout().find("weir-server backup\n"), std::string::npos);
  v1::Server server;
  const char* argv[] = {"weir-server", "--check"};
  const auto refuse = [](const google::protobuf::Message&) -> Status { return InvalidArgument("NO", "no"); };
  EXPECT_EQ(Load(kServer, 2, argv, server, refuse).exit_code, 2);
  const char* plain[] = {"weir-server"};
  EXPECT_TRUE(Load(kServer, 1, plain, server).run);
}

TEST(Load, PrintsDefaultsToo) {
  Program program = kServer;
  program.defaults = [](google::protobuf::Message& message) {
    static_cast<v1::Server&>(message).set_domain("by-default");
  };
  v1::Server server;
  const char* argv[] = {"weir-server", "--print-bootstrap"};
  testing::internal::CaptureStdout();
  EXPECT_FALSE(Load(program, 2, argv, server).run);
  EXPECT_NE(testing::internal::GetCapturedStdout().find("by-default"), std::string::npos);
}

TEST(Load, ABoolTakesTheValueThatHelpShows) {
  const std::vector<std::pair<std::vector<std::string>, bool>> cases = {{{"--take-over"}, true},
                                                                        {{"--take-over", "true"}, true},
                                                                        {{"--take-over", "false"}, false},
                                                                        {{"--take-over=false"}, false},
                                                                        {{"--take-over", "--workers", "2"}, true}};
  for (const auto& [arguments, wanted] : cases) {
    v1::Gateway gateway;
    ASSERT_TRUE(Fill(kServer, arguments, gateway).ok()) << arguments.back();
    EXPECT_EQ(gateway.take_over(), wanted) << arguments.back();
  }
  v1::Gateway gateway;
  EXPECT_FALSE(Fill(kServer, {"--take-over", "yes"}, gateway).ok());
}

}  // namespace
}  // namespace weir::bootstrap
