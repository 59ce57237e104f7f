#include "cli/completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/server_fixture.h"
#include "tests/support/real_time.h"

namespace weir::cli {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

std::vector<std::string> Words(const std::vector<std::string>& typed) { return Complete(typed).words; }

TEST(Complete, KnowsCommandsFlagsAndWhatTheyTakeFromTheUsage) {
  EXPECT_THAT(Words({""}), testing::IsSupersetOf({"apply", "cluster", "get", "version"}));
  EXPECT_THAT(Words({""}), Not(Contains("__complete")));
  EXPECT_THAT(Words({"cluster", "to"}), ElementsAre("token"));
  EXPECT_THAT(Words({"help", "cluster", "to"}), ElementsAre("token"));
  EXPECT_THAT(Words({"get", "t"}), testing::IsSupersetOf({"tenant", "tier1gateway", "traffic"}));
  EXPECT_THAT(Words({"apply", "--wa"}), ElementsAre("--wait"));
  EXPECT_THAT(Words({"apply", "--ser"}), ElementsAre("--server"));
  EXPECT_THAT(Words({"status", "-o", ""}), ElementsAre("json", "table"));
  EXPECT_THAT(Words({"status", "--output=j"}), ElementsAre("--output=json"));
  EXPECT_THAT(Words({"completion", ""}), ElementsAre("bash", "fish", "zsh"));
  EXPECT_THAT(Words({"completion", "bash", ""}), IsEmpty());
  EXPECT_TRUE(Complete({"apply", "-f", ""}).files);
  EXPECT_TRUE(Complete({"get", "clusters", "--ca-file", ""}).files);
  EXPECT_FALSE(Complete({"get", ""}).files);
  EXPECT_THAT(Words({"nonsense", ""}), IsEmpty());
  EXPECT_THAT(Words({}), Contains("apply"));
}

// Each word of each command leads on, whatever its usage looks like.
TEST(Complete, LeadsToEveryCommand) {
  for (const Command& command : Commands()) {
    std::vector<std::string> typed;
    for (std::string_view rest = command.name; !rest.empty();) {
      const std::string word(rest.substr(0, rest.find(' ')));
      rest.remove_prefix(std::min(rest.size(), word.size() + 1));
      typed.emplace_back();
      EXPECT_THAT(Words(typed), Contains(word)) << command.name;
      typed.back() = word;
    }
  }
}

class Names : public CommandLine {};

TEST_F(Names, ComeFromTheServer) {
  EXPECT_THAT(Words({"get", "clusters", ""}), ElementsAre("c1", "c2", "edge"));
  EXPECT_THAT(Words({"get", "clusters", "c"}), ElementsAre("c1", "c2"));
  EXPECT_THAT(Words({"get", "clusters", "c1", "e"}), ElementsAre("edge"));  // Several may be named.
  EXPECT_THAT(Words({"status", "cluster", "c1", ""}), IsEmpty());           // One only.
  EXPECT_THAT(Words({"cluster", "drain", ""}), ElementsAre("c1", "c2", "edge"));
  EXPECT_THAT(Words({"explain", "failover", "--without", "c"}), ElementsAre("c1", "c2"));
  EXPECT_THAT(Words({"get", "tier1gateways", "--tenant", ""}), ElementsAre("t"));
  EXPECT_THAT(Words({"user", "password", ""}), ElementsAre("admin"));
  EXPECT_THAT(Words({"get", "tier1gateways", "--tenant", "nobody", ""}), IsEmpty());
  EXPECT_THAT(Words({"get", "clusters", "$(x"}), IsEmpty());
  ASSERT_EQ(Run({"__complete", "get", "clusters", "c"}), kExitOk);
  EXPECT_EQ(output_, "c1\nc2\n");
  EXPECT_EQ(error_, "");
}

TEST_F(Names, AreLeftOutInTimeWhenNobodyAnswers) {
  const int silent = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);  // Accepts and says nothing.
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(bind(silent, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(silent, 8), 0);
  getsockname(silent, reinterpret_cast<sockaddr*>(&address), &size);
  const Stopwatch watch;
  EXPECT_EQ(Run({"__complete", "get", "clusters", "--server", Address(ntohs(address.sin_port)), ""}), kExitOk);
  EXPECT_LT(watch.Elapsed(), std::chrono::seconds(25));  // A call may take 30 s otherwise.
  EXPECT_EQ(output_ + error_, "");
  close(silent);
}

}  // namespace
}  // namespace weir::cli
