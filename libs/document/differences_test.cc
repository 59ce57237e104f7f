#include "libs/document/differences.h"

#include <gmock/gmock.h>
#include <google/protobuf/any.pb.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "api/weir/v2/tier1_gateway.pb.h"

namespace weir::document {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> Lines(const google::protobuf::Message& before, const google::protobuf::Message& after) {
  std::vector<std::string> lines;
  for (const Difference& line : Compare(before, after).lines) {
    lines.push_back(line.path + ": " + line.before.value_or("-") + " -> " + line.after.value_or("-"));
  }
  return lines;
}
v2::Tier1Gateway Gateway(const std::string& text) {
  v2::Tier1Gateway gateway;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &gateway)) << text;
  return gateway;
}

TEST(Differences, NameFieldsAndEntriesByTheirNames) {
  const auto before = Gateway(
      "metadata { name: 'a' labels { key: 'x' value: '1' } } spec { external_servers { name: 's' "
      "hostname: 'a' timeout { seconds: 3 } clusters { name: 'c1' weight: 1 } clusters { name: 'c2' } } }");
  const auto after = Gateway(
      "metadata { name: 'a' labels { key: 'x' value: '2' } } spec { external_servers { name: 's' "
      "hostname: 'b' timeout { seconds: 4 } clusters { name: 'c3' } clusters { name: 'c1' weight: 0 } } }");
  EXPECT_THAT(Lines(before, after), ElementsAre("metadata.labels[x].value: \"1\" -> \"2\"",
                                                "spec.externalServers[s].hostname: \"a\" -> \"b\"",
                                                "spec.externalServers[s].clusters[c1].weight: 1 -> 0",
                                                "spec.externalServers[s].clusters[c2]: {\"name\":\"c2\"} -> -",
                                                "spec.externalServers[s].clusters[c3]: - -> {\"name\":\"c3\"}",
                                                "spec.externalServers[s].timeout: \"3s\" -> \"4s\""));
  EXPECT_TRUE(Compare(before, before).lines.empty());
}

TEST(Differences, SayWhenOnlyTheOrderIsAnother) {
  const auto before =
      Gateway("spec { external_servers { name: 's' clusters { name: 'c1' } clusters { name: 'c2' } } }");
  const auto after = Gateway("spec { external_servers { name: 's' clusters { name: 'c2' } clusters { name: 'c1' } } }");
  EXPECT_THAT(Lines(before, after), ElementsAre("spec.externalServers[s].clusters: order c1, c2 -> order c2, c1"));
}

TEST(Differences, LookIntoWhatAnAnyHolds) {
  google::protobuf::Any before, after;
  before.PackFrom(Gateway("metadata { name: 'a' }"));
  after.PackFrom(Gateway("metadata { name: 'b' }"));
  EXPECT_THAT(Lines(before, after), ElementsAre("metadata.name: \"a\" -> \"b\""));
}

TEST(Differences, AreBounded) {
  v2::Tier1Gateway before, after;
  before.mutable_spec();
  for (int i = 0; i < 100; ++i) {
    after.mutable_spec()->add_external_servers()->set_name("s" + std::to_string(i) + std::string(1000, 'x'));
  }
  const Differences differences = Compare(before, after, {.lines = 7, .value = 50});
  EXPECT_EQ(differences.lines.size(), 7u);
  EXPECT_EQ(differences.more, 93u);
  EXPECT_LE(differences.lines[0].after->size(), 53u);
}

}  // namespace
}  // namespace weir::document
