#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/commands.h"
#include "libs/resource/status_reason.h"

namespace weir::cli {
namespace {

using ::testing::HasSubstr;

// That the server says nothing else is looked after by tests/layering/layering.py.
TEST(StatusHelp, ExplainsEveryReasonThatTheServerCanSay) {
  const std::string help(StatusCommand().help);
  for (const auto& row : resource::StatusReasons()) {
    EXPECT_THAT(help, HasSubstr("\n  " + std::string(row.word) + " "));
    EXPECT_THAT(help, HasSubstr(std::string(row.meaning) + "\n"));
  }
  for (size_t at = 0, end; (end = help.find('\n', at)) != std::string::npos; at = end + 1) {
    EXPECT_LE(end - at, 120u) << help.substr(at, end - at);
  }
}

}  // namespace
}  // namespace weir::cli
