#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <set>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "libs/base/file.h"
#include "libs/resource/kinds.h"
#include "mgmt-server/http/routes.h"

// What the API can, the command line can; and what both say of themselves.
namespace weir::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::filesystem::path Source() { return std::filesystem::path(__FILE__).parent_path().parent_path(); }

// Product sources of the command line.
std::string Sources() {
  std::string all;
  for (const auto& entry : std::filesystem::directory_iterator(Source() / "cli")) {
    const std::string name = entry.path().filename();
    if (!name.ends_with(".cc") || name.ends_with("_test.cc")) continue;
    const auto text = ReadFile(entry.path());
    EXPECT_TRUE(text.ok()) << name;
    if (text.ok()) all += *text;
  }
  return all;
}

// Services that every kind has (create, get, list, update, delete): get, list and delete are called for any kind alike.
bool IsOfAKind(const google::protobuf::ServiceDescriptor& service) {
  return service.file()->name().ends_with("_service.proto");
}

// What no verb calls, and why it need not.
const std::map<std::string, std::string>& Exceptions() {
  static const std::map<std::string, std::string> kExceptions = {
      {"AccessBindingsService/UpdateAccessBindings", "weir apply stores bindings as documents"},
  };
  return kExceptions;
}

std::set<std::string> Uncalled() {
  const std::string sources = Sources();
  std::set<std::string> uncalled;
  for (const auto* service : edge::PublicServices()) {
    for (int i = 0; i < service->method_count(); ++i) {
      const std::string method = service->name() + "/" + service->method(i)->name();
      // Documents are how the command line writes: apply, create and edit are create and update of every kind.
      if (IsOfAKind(*service) && sources.find("v2::KindService(kind.name)") != std::string::npos) continue;
      if (sources.find("\"" + method + "\"") == std::string::npos) uncalled.insert(method);
    }
  }
  return uncalled;
}

TEST(CommandLineCoverage, EveryMethodOfTheApiHasAVerb) {
  std::set<std::string> uncalled = Uncalled();
  EXPECT_GT(edge::PublicServices().size(), 10u);
  for (const auto& [method, why] : Exceptions()) {
    EXPECT_EQ(uncalled.erase(method), 1u) << method << " is called, or is no method: it needs no exception";
    EXPECT_FALSE(why.empty());
  }
  EXPECT_THAT(uncalled, IsEmpty()) << "no verb of weir calls these";
}

TEST(CommandLineCoverage, EveryKindHasAShortName) {
  std::set<std::string> names;
  for (const resource::KindInfo& kind : resource::Kinds()) {
    ASSERT_FALSE(kind.short_names.empty()) << kind.name;
    for (const std::string& name : kind.short_names) {
      EXPECT_TRUE(names.insert(name).second) << name << " is of two kinds";
      ASSERT_NE(resource::FindLoosely(name), nullptr) << name;
      EXPECT_EQ(resource::FindLoosely(name)->name, kind.name);
    }
  }
}

TEST(Help, OfEveryVerbHasUsageAndAnExample) {
  for (const Command& command : Commands()) {
    const std::string help(command.help);
    EXPECT_THAT(help, testing::StartsWith("Usage: weir " + std::string(command.name))) << command.name;
    const std::string after = help.substr(help.find("\n\n"));
    bool example = false;  // An indented line with the command in it.
    for (size_t at = after.find("\n  "); at != std::string::npos; at = after.find("\n  ", at + 1)) {
      const std::string line = after.substr(at + 1, after.find('\n', at + 1) - at - 1);
      example |= line.find("weir " + std::string(command.name)) != std::string::npos;
    }
    EXPECT_TRUE(example) << command.name << " has no example";
    EXPECT_TRUE(help.ends_with("\n")) << command.name;
  }
}

TEST(Help, OfEveryGroupHasItsVerbsAndExamples) {
  std::set<std::string> groups;
  for (const Command& command : Commands()) {
    const size_t blank = command.name.find(' ');
    if (blank != std::string_view::npos) groups.emplace(command.name.substr(0, blank));
  }
  EXPECT_GE(groups.size(), 4u);
  for (const std::string& group : groups) {
    const std::string text = GroupHelp(group);
    EXPECT_THAT(text, HasSubstr("Usage: weir " + group + " "));
    EXPECT_THAT(text, HasSubstr("Examples:\n")) << group;
    for (const Command& command : Commands()) {
      if (!command.name.starts_with(group + " ")) continue;
      EXPECT_THAT(text, HasSubstr(std::string(command.summary)));
    }
  }
  EXPECT_EQ(GroupHelp("no-such-group"), "");
}

TEST(ExitCodes, StandInThePageAsTheyAre) {
  const auto page = ReadFile(Source() / "docs/operating/cli.md");
  ASSERT_TRUE(page.ok());
  int number = 0;
  for (const ExitCode& one : ExitCodes()) {
    EXPECT_EQ(static_cast<int>(one.code), number++) << "a hole in the table";
    EXPECT_THAT(*page, HasSubstr(fmt::format("\n| {} | {} |\n", static_cast<int>(one.code), one.meaning)));
  }
  EXPECT_EQ(page->find(fmt::format("\n| {} |", number)), std::string::npos) << "the page has one more";
}

}  // namespace
}  // namespace weir::cli
