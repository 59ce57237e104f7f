#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "api/weir/v2/access_bindings.pb.h"
#include "api/weir/v2/metadata.pb.h"
#include "api/weir/v2/tier1_gateway.pb.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/difference.h"
#include "cli/hints.h"
#include "cli/objects.h"
#include "cli/sources.h"
#include "libs/base/file.h"
#include "libs/base/ids.h"

namespace weir::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / ("weir-cli-test-" + RandomHex(8))) {
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string Write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(path_ + "/" + name).parent_path());
    EXPECT_TRUE(WriteFileAtomic(path_ + "/" + name, text).ok());
    return path_ + "/" + name;
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(Flags, AreTakenApart) {
  const FlagSpec spec = {{"file", "org"}, {"wait", "force"}, {{'f', "file"}}};
  auto flags = ParseFlags({"a", "-f", "x", "--file=y", "-fz", "--wait=5", "--force", "-", "--", "--org"}, spec);
  ASSERT_TRUE(flags.ok());
  EXPECT_THAT(flags->words, ElementsAre("a", "-", "--org"));
  EXPECT_THAT(flags->All("file"), ElementsAre("x", "y", "z"));
  EXPECT_EQ(flags->Get("wait"), "5");
  EXPECT_TRUE(flags->Has("force"));
  EXPECT_FALSE(ParseFlags({"--nope"}, spec).ok());
  EXPECT_FALSE(ParseFlags({"-x"}, spec).ok());
  EXPECT_FALSE(ParseFlags({"--org"}, spec).ok());
  EXPECT_FALSE(ParseFlags({"--org="}, spec).ok());
  EXPECT_FALSE(ParseFlags({"--org", ""}, spec).ok());
  EXPECT_FALSE(ParseFlags({"--force=perhaps"}, spec).ok());
  EXPECT_FALSE(ParseFlags({"--wait="}, spec).ok());
  EXPECT_THAT(ParseFlags({"--wait", "30"}, spec).error().message, HasSubstr("--wait=30"));
  EXPECT_TRUE(ParseFlags({"--wait", "name"}, spec).ok());
  EXPECT_FALSE(ParseNumber("wait", "5x", 1, 300).ok());
  EXPECT_FALSE(ParseNumber("wait", "301", 1, 300).ok());
  EXPECT_EQ(*ParseNumber("wait", "300", 1, 300), 300);
}

TEST(Flags, TellHowLongSomethingLasts) {
  const auto seconds = [](const char* text) {
    const auto parsed = ParseDuration("for", text, 365 * 86400);
    return parsed.ok() ? *parsed : -1;
  };
  EXPECT_EQ(seconds("90s"), 90);
  EXPECT_EQ(seconds("1h30m"), 5400);
  EXPECT_EQ(seconds("7d"), 604800);
  EXPECT_EQ(seconds("365d"), 31536000);
  for (const char* wrong : {"", "0s", "2", "h", "2h3h", "30m2h", "-1h", "365d1s", "99999999999999999999h", "1 h"}) {
    EXPECT_EQ(seconds(wrong), -1) << wrong;
  }
}

TEST(Sources, KnowWhichLineCameFromWhere) {
  Folder folder;
  folder.Write("d/b.yml", "b: 1\nb2: 2");
  folder.Write("d/a.yaml", "a: 1\n");
  folder.Write("d/deep/c.json", "{}\n");
  folder.Write("d/notes.txt", "no");
  const std::string single = folder.Write("z.yaml", "z: 1\n");
  auto sources = ReadSources({folder.path() + "/d", single});
  ASSERT_TRUE(sources.ok()) << sources.error().ToString();
  EXPECT_EQ(sources->text, "a: 1\n---\nb: 1\nb2: 2\n---\n{}\n---\nz: 1\n");
  EXPECT_EQ(sources->PlaceOf(1, 2), folder.path() + "/d/a.yaml:1:2: ");
  EXPECT_EQ(sources->PlaceOf(4, 1), folder.path() + "/d/b.yml:2:1: ");
  EXPECT_EQ(sources->PlaceOf(8, 3), folder.path() + "/z.yaml:1:3: ");
  EXPECT_EQ(sources->PlaceOf(0, 0), "");
  EXPECT_EQ(ReadSources({folder.path() + "/none.yaml"}).error().reason, "USAGE");
  const std::string empty = folder.Write("e.yaml", "---\n\n");
  EXPECT_EQ(ReadSources({empty}).error().reason, "USAGE");
}

TEST(Sources, MustBeTextBeforeTheyAreSent) {
  Folder folder;
  for (const auto& [bytes, place] : {std::pair<std::string, const char*>{"a: b\nspec: {x: \"\xff\"}\n", ":2:12: "},
                                     {std::string("\xff\xfe"
                                                  "a\0",
                                                  4),
                                      ":1:1: "},
                                     {std::string("a: \0", 4), ":1:4: "}}) {
    const std::string file = folder.Write("a.yaml", bytes);
    const auto sources = ReadSources({file});
    ASSERT_FALSE(sources.ok());
    EXPECT_EQ(sources.error().reason, "BAD_DOCUMENT");
    EXPECT_TRUE(sources.error().message.starts_with(file + place)) << sources.error().message;
  }
}

TEST(Document, IsTheNativeFormWithTheVersionThatWasRead) {
  v2::Tier1Gateway gateway;
  gateway.mutable_metadata()->set_name("a");
  gateway.mutable_metadata()->set_organization("o");
  gateway.mutable_metadata()->set_uid("u");
  gateway.mutable_metadata()->set_resource_version("7");
  gateway.mutable_metadata()->set_revision(7);
  gateway.mutable_metadata()->set_fqn("organizations/o");
  gateway.mutable_spec()->mutable_workload_selector()->set_namespace_("t1");
  EXPECT_EQ(document::WriteYaml(DocumentOf(gateway)),
            "apiVersion: gateway.weir.dev/v2\nkind: Tier1Gateway\nmetadata:\n  name: a\n  organization: o\n  "
            "resourceVersion: \"7\"\nspec:\n"
            "  workloadSelector:\n    namespace: t1\n");
  v2::AccessBindings bindings;
  bindings.mutable_metadata()->set_fqn("organizations/o");
  EXPECT_THAT(document::WriteYaml(DocumentOf(bindings)), HasSubstr("fqn: organizations/o\n"));
}

TEST(Session, FlagsGoOverEnvironmentOverWhatIsStored) {
  Folder folder;
  setenv("WEIR_HOME", folder.path().c_str(), 1);
  for (const char* name : {"WEIR_SERVER", "WEIR_CA_FILE", "WEIR_ORG", "WEIR_TOKEN"}) unsetenv(name);
  EXPECT_EQ(LoadSession({}).error().reason, "USAGE");  // No root to trust yet.
  Session stored;
  stored.server = "h:1";
  stored.anchor_pem = "PEM";
  stored.organization = "acme";
  stored.token = "secret";
  auto path = StoreSession(stored);
  ASSERT_TRUE(path.ok());
  struct stat info{};
  ASSERT_EQ(stat(path->c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(LoadSession({})->token, "secret");
  EXPECT_EQ(LoadSession({})->organization, "acme");
  setenv("WEIR_SERVER", "https://other:2/", 1);
  EXPECT_EQ(LoadSession({})->server, "other:2");
  for (const auto& [given, meant] : {std::pair("other", "other:9443"), std::pair("https://other/", "other:9443"),
                                     std::pair("[::1]", "[::1]:9443"), std::pair("[::1]:1", "[::1]:1")}) {
    setenv("WEIR_SERVER", given, 1);
    EXPECT_EQ(LoadSession({})->server, meant);
  }
  EXPECT_EQ(LoadSession({})->token, "");  // A token goes only to the server that gave it.
  Flags flags;
  flags.values["server"] = {"h:1"};
  flags.values["org"] = {"o2"};
  EXPECT_EQ(LoadSession(flags)->token, "secret");
  EXPECT_EQ(LoadSession(flags)->organization, "o2");
  unsetenv("WEIR_SERVER");
  unsetenv("WEIR_HOME");
}

TEST(Main, ExitsWithCodesThatScriptsCanTrust) {
  Folder folder;
  setenv("WEIR_HOME", folder.path().c_str(), 1);
  EXPECT_EQ(Main({}), kExitUsage);
  EXPECT_EQ(Main({"help"}), kExitOk);
  EXPECT_EQ(Main({"version"}), kExitOk);
  EXPECT_EQ(Main({"version", "--help"}), kExitOk);
  EXPECT_EQ(Main({"version", "--bogus"}), kExitUsage);
  EXPECT_EQ(Main({"nonsense"}), kExitUsage);
  EXPECT_EQ(Main({"apply"}), kExitUsage);
  EXPECT_EQ(Main({"apply", "--help"}), kExitOk);
  EXPECT_EQ(Main({"cluster", "token", "--help"}), kExitOk);
  EXPECT_EQ(Main({"get", "pods"}), kExitUsage);
  EXPECT_EQ(Main({"get", "clusters", "-o", "xml"}), kExitUsage);
  for (const char* group : {"cluster", "user", "explain"}) {
    testing::internal::CaptureStderr();
    EXPECT_EQ(Main({group}), kExitUsage);
    EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("Usage: weir " + std::string(group) + " COMMAND"));
  }
  for (const Command& command : Commands())
    EXPECT_THAT(std::string(command.help), HasSubstr("Usage: weir ")) << command.name;
  unsetenv("WEIR_HOME");
}

TEST(Main, FailsWhenItsOutputCannotBeWritten) {
  std::ofstream full("/dev/full");
  auto* before = std::cout.rdbuf(full.rdbuf());
  const int code = Main({"help"});
  std::cout.rdbuf(before);
  std::cout.clear();
  EXPECT_EQ(code, kExitRefused);
}

TEST(Describe, NamesFieldAndPlace) {
  Error error = InvalidArgument("INVALID_RESOURCE", "two fields are wrong");
  error.violations = {{"spec.a", "bad", 3, 5}, {"", "odd", 0, 0}};
  EXPECT_EQ(Describe(error), "two fields are wrong (INVALID_RESOURCE)\n  3:5: spec.a: bad\n  odd");
  EXPECT_EQ(Table({{"A", "B"}, {"long", ""}}), "A      B\nlong\n");
}

TEST(Describe, ShowsNothingThatATerminalWouldObey) {
  Error error = InvalidArgument("R", "{}", "red \x1b[31m");
  error.violations = {{"f\r", "line\nbreak", 0, 0}};
  EXPECT_EQ(Describe(error), "red \\x1b[31m (R)\n  f\\x0d: line\\x0abreak");
  EXPECT_EQ(Table({{"A\tB"}, {"\x1b]0;title\x07"}, {"\xc2\x9b"}}), "A\\x09B\n\\x1b]0;title\\x07\n\\xc2\\x9b\n");
}

TEST(Differences, NameEachPlaceWithBothValues) {
  const auto parse = [](const char* text) { return *document::ParseOne(text); };
  const auto lines =
      Differences(parse("{spec: {a: 1, list: [{w: 40}, {w: 60}], same: x}, metadata: {labels: {a.b: c}}}"),
                  parse("{spec: {a: 1, list: [{w: 25}], same: x, new: \"\\e[0m\"}, metadata: {labels: {}}}"), 20);
  EXPECT_THAT(lines, testing::ElementsAre("metadata.labels.a.b: stored \"c\", yours nothing",
                                          "spec.list[0].w: stored 40, yours 25",
                                          "spec.list[1]: stored {\"w\":60}, yours nothing",
                                          "spec.new: stored nothing, yours \"\\u001b[0m\""));
  EXPECT_EQ(Differences(parse("[1,2,3]"), parse("[4,5,6]"), 2).size(), 2u);
}

TEST(Hints, SayWhichPortItWas) {
  Error rest = Unavailable("RPC_UNAVAILABLE", "last error: Cannot check peer: missing selected ALPN property.");
  EXPECT_THAT(WithHint(rest).message, HasSubstr("REST port (8443)"));
  Error agents = Unauthenticated("CERTIFICATE_MISSING", "agents show ...");
  EXPECT_THAT(WithHint(agents).message, HasSubstr("port for agents (9444)"));
  EXPECT_EQ(ExitOf(WithHint(agents)), kExitUnreachable);
  EXPECT_FALSE(WithHint(Unknown("RPC_UNKNOWN", "{}", "")).message.empty());
  EXPECT_EQ(WithHint(NotFound("NOT_FOUND", "gone")).message, "gone");
}

}  // namespace
}  // namespace weir::cli
