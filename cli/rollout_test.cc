#include "cli/rollout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/commands.h"

namespace weir::cli {
namespace {

using ::testing::HasSubstr;

Result<v2::ChangeSet> WavesOf(const std::vector<std::string>& arguments) {
  WEIR_ASSIGN(const Flags flags, ParseFlags(arguments, ChangesetCreateCommand().flags));
  v2::ChangeSet set;
  WEIR_TRY(SetWaves(flags, set));
  return set;
}

TEST(Waves, AreNamesOrRegionAndLabelsWithOneGate) {
  const auto set =
      WavesOf({"--wave", "c1,c2", "--wave", "region=eu,label=ring=1", "--wave=label=ring=2", "--min-success", "99.5",
               "--min-requests=20", "--bake", "5m", "--ready-timeout", "90s", "--without-traffic"});
  ASSERT_TRUE(set.ok()) << set.error().ToString();
  ASSERT_EQ(set->waves_size(), 3);
  EXPECT_THAT(set->waves(0).clusters(), ::testing::ElementsAre("c1", "c2"));
  EXPECT_EQ(set->waves(1).region(), "eu");
  EXPECT_EQ(set->waves(1).labels().at("ring"), "1");
  EXPECT_EQ(set->waves(2).labels().at("ring"), "2");
  for (const v2::RolloutWave& wave : set->waves()) {
    EXPECT_EQ(wave.gate().min_success_rate(), 99.5);
    EXPECT_EQ(wave.gate().min_requests(), 20);
    EXPECT_EQ(wave.gate().bake_time().seconds(), 300);
    EXPECT_EQ(wave.gate().ready_timeout().seconds(), 90);
    EXPECT_TRUE(wave.gate().without_traffic());
  }
  EXPECT_EQ(WavesOf({})->waves_size(), 0);
}

TEST(Waves, SayWhatIsWrong) {
  for (const auto& [arguments, text] : std::vector<std::pair<std::vector<std::string>, const char*>>{
           {{"--wave", ""}, "--wave needs a value"},
           {{"--wave", "c1,,c2"}, "--wave wants names"},
           {{"--wave", "zone=a"}, "--wave wants names"},
           {{"--wave", "label=ring"}, "label=KEY=VALUE"},
           {{"--wave", "c1", "--min-success", "much"}, "--min-success wants percent"},
           {{"--wave", "c1", "--bake", "25h"}, "bake"},
           {{"--wave", "c1", "--min-requests", "0"}, "min-requests"},
           {{"--bake", "5m"}, "name them with --wave"}}) {
    const auto set = WavesOf(arguments);
    ASSERT_FALSE(set.ok()) << text;
    EXPECT_EQ(set.error().reason, "USAGE");
    EXPECT_THAT(set.error().message, HasSubstr(text));
  }
}

}  // namespace
}  // namespace weir::cli
