#include "libs/resource/filter.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <random>

#include "api/weir/v2/cluster.pb.h"
#include "api/weir/v2/tier1_gateway.pb.h"

namespace weir::resource {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

v2::Cluster Cluster(const std::string& text) {
  v2::Cluster cluster;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &cluster)) << text;
  return cluster;
}

v2::Cluster East() {
  return Cluster(R"(metadata { name: "east-1" labels { key: "team" value: "a" }
                      labels { key: "example.com/tier" value: "gold" } revision: 7
                      create_time { seconds: 1767225600 } }
                    spec { locality { region: "eu" zone: "eu-1" } admin_state: DRAINING tier1_cluster: true }
                    state { workloads: 12 })");
}

bool Takes(const std::string& filter, const google::protobuf::Message& message) {
  auto parsed = Filter::Parse(*message.GetDescriptor(), filter);
  EXPECT_TRUE(parsed.ok()) << filter << ": " << parsed.error().ToString();
  return parsed.ok() && parsed->Matches(message);
}

TEST(Filter, ComparesEachTypeOfField) {
  for (const char* yes : {"metadata.name = east-1",
                          "metadata.name=\"east-1\"",
                          "metadata.name = 'east-1'",
                          "metadata.name = east*",
                          "metadata.name = *-1",
                          "metadata.name = *ast*",
                          "metadata.name != west",
                          "metadata.name > east",
                          "metadata.name:ast",
                          "metadata.labels.team = a",
                          "metadata.labels:team",
                          "metadata.labels.team:*",
                          "metadata.labels.\"example.com/tier\" = gold",
                          "metadata.labels.none = \"\"",
                          "metadata.labels.none != x",
                          "metadata.revision = 7",
                          "metadata.revision >= 7",
                          "metadata.revision < 7.5",
                          "state.workloads > 11",
                          "spec.adminState = DRAINING",
                          "spec.adminState != ACTIVE",
                          "spec.tier1Cluster = true",
                          "spec.tier1_cluster = true",
                          "metadata.createTime >= \"2026-01-01T00:00:00Z\"",
                          "metadata.createTime < 2026-01-01T00:00:01Z",
                          "metadata.updateTime < 1970-01-01T00:00:00Z",
                          "spec.locality:*",
                          "spec.network = \"\"",
                          "NOT spec.network:*",
                          "state.lastSeen < 2000-01-01T00:00:00Z"}) {
    EXPECT_TRUE(Takes(yes, East())) << yes;
  }
  for (const char* no :
       {"metadata.name = east", "metadata.name = west*", "metadata.labels.team = b", "metadata.labels:missing",
        "metadata.labels.missing:*", "metadata.revision > 7", "spec.adminState = ACTIVE", "spec.tier1Cluster = false",
        "metadata.createTime < \"2026-01-01T00:00:00Z\"", "metadata.displayName:*", "metadata.name:west"}) {
    EXPECT_FALSE(Takes(no, East())) << no;
  }
}

TEST(Filter, BindsOrBeforeAnd) {
  const auto east = East();
  EXPECT_TRUE(Takes("metadata.name = x OR metadata.name = east-1 AND spec.locality.region = eu", east));
  EXPECT_FALSE(Takes("metadata.name = x OR metadata.name = east-1 AND spec.locality.region = us", east));
  EXPECT_TRUE(Takes("metadata.name = east-1 OR metadata.name = x AND spec.locality.region = eu", east));
  EXPECT_FALSE(Takes("metadata.name = east-1 OR metadata.name = x AND spec.locality.region = us", east));
  EXPECT_TRUE(Takes("metadata.name = east-1 OR (metadata.name = x AND spec.locality.region = us)", east));
  EXPECT_TRUE(Takes("metadata.name = east-1 spec.locality.region = eu", east)) << "nothing between is AND";
  EXPECT_FALSE(Takes("-metadata.name = east-1", east));
  EXPECT_TRUE(Takes("NOT (metadata.name = x OR spec.locality.region = us)", east));
}

TEST(Filter, AsksListsForAnElement) {
  v2::Tier1Gateway gateway;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
      R"(spec { external_servers { hostname: "a.test" clusters { name: "c1" } }
                external_servers { hostname: "b.test" clusters { name: "c2" weight: 3 } } })",
      &gateway));
  EXPECT_TRUE(Takes("spec.externalServers.hostname:b.test", gateway));
  EXPECT_FALSE(Takes("spec.externalServers.hostname:test", gateway)) << "an element as a whole";
  EXPECT_TRUE(Takes("spec.externalServers.clusters.name:c1", gateway));
  EXPECT_TRUE(Takes("spec.externalServers.clusters.weight:3", gateway));
  EXPECT_FALSE(Takes("spec.externalServers.clusters.name:c3", gateway));
}

std::string Refusal(const std::string& filter, const google::protobuf::Descriptor& of = *v2::Cluster::descriptor()) {
  auto parsed = Filter::Parse(of, filter);
  if (parsed.ok()) return "taken";
  EXPECT_EQ(parsed.error().reason, "BAD_FILTER");
  EXPECT_EQ(parsed.error().violations.front().field, "filter");
  return parsed.error().violations.front().description;
}

TEST(Filter, SaysWhatIsWrongAndWhere) {
  const std::pair<std::string, const char*> wrong[] = {
      {"", "wants a field"},
      {"east", "no field"},
      {"metadata.nme = x", "\"metadata.nme\", which is no field of a Cluster"},
      {"metadata.name", "wants a comparison"},
      {"metadata.name = ", "wants a value"},
      {"metadata.name = \"x", "quote without its end"},
      {"(metadata.name = x", "without its )"},
      {"metadata.name = x)", "more here"},
      {"metadata.revision = x", "no value of it"},
      {"spec.adminState = SLEEPING", "no value of it"},
      {"spec.adminState < ACTIVE", "cannot order"},
      {"spec.tier1Cluster > false", "cannot order"},
      {"spec.locality = eu", "whether \"spec.locality\" is set"},
      {"metadata.createTime > yesterday", "no value of it"},
      {"metadata.labels = x", "compares the list"},
      {"metadata.name ~ x", "wants a comparison"},
      {std::string(20, '(') + "metadata.name = x" + std::string(20, ')'), "more than 16 levels"},
      {"metadata.name = " + std::string(5000, 'x'), "longer than 4096"},
  };
  for (const auto& [filter, says] : wrong) EXPECT_THAT(Refusal(filter), HasSubstr(says)) << filter;
  std::string many = "metadata.name = x";
  for (int i = 0; i < 64; ++i) many += " OR metadata.name = x";
  EXPECT_THAT(Refusal(many), HasSubstr("more than 64"));
  EXPECT_THAT(Refusal("metadata.nme = x"), HasSubstr("at character 13"));
  EXPECT_THAT(Refusal("spec.externalServers.hostname = x", *v2::Tier1Gateway::descriptor()),
              HasSubstr("write spec.externalServers.hostname:x"));
}

// Any bytes are an answer or a refusal.
TEST(Filter, TakesAnyBytes) {
  std::mt19937 random(7);
  const std::string alphabet = "metadata.nlbs=!<>:\"'()*- \\ANDORT0\x80";
  for (int i = 0; i < 20'000; ++i) {
    std::string text = i % 2 == 0 ? "metadata.name = x " : "";
    for (size_t n = random() % 30; n > 0; --n) text += alphabet[random() % alphabet.size()];
    auto parsed = Filter::Parse(*v2::Cluster::descriptor(), text);
    if (parsed.ok()) parsed->Matches(East());
  }
}

std::vector<std::string> Ordered(const std::string& by, std::vector<v2::Cluster> clusters) {
  auto order = Order::Parse(*v2::Cluster::descriptor(), by);
  EXPECT_TRUE(order.ok()) << by;
  std::sort(clusters.begin(), clusters.end(), [&](const auto& a, const auto& b) {
    return order->KeyOf(a, a.metadata().name()) < order->KeyOf(b, b.metadata().name());
  });
  std::vector<std::string> names;
  names.reserve(clusters.size());
  for (const auto& cluster : clusters) names.push_back(cluster.metadata().name());
  return names;
}

TEST(Order, SortsEachTypeBothWaysAndThenByName) {
  const std::vector<v2::Cluster> clusters = {
      Cluster("metadata { name: 'b' revision: 10 create_time { seconds: 5 } } spec { network: 'ab' }"),
      Cluster(
          "metadata { name: 'a' revision: 9 create_time { seconds: 6 } } spec { network: 'a' tier1_cluster: true }"),
      Cluster("metadata { name: 'c' revision: -2 } spec { network: 'a' }")};
  EXPECT_THAT(Ordered("", clusters), ElementsAre("a", "b", "c"));
  EXPECT_THAT(Ordered("metadata.revision", clusters), ElementsAre("c", "a", "b"));
  EXPECT_THAT(Ordered("metadata.revision desc", clusters), ElementsAre("b", "a", "c"));
  EXPECT_THAT(Ordered("metadata.createTime", clusters), ElementsAre("c", "b", "a")) << "not set comes first";
  EXPECT_THAT(Ordered("spec.network", clusters), ElementsAre("a", "c", "b"));
  EXPECT_THAT(Ordered("spec.network desc", clusters), ElementsAre("b", "a", "c"));
  EXPECT_THAT(Ordered("spec.network, metadata.name desc", clusters), ElementsAre("c", "a", "b"));
  EXPECT_THAT(Ordered("spec.tier1Cluster desc", clusters), ElementsAre("a", "b", "c"));
  for (const char* bad : {"metadata", "metadata.nme", "metadata.labels", "a,b", "metadata.name,",
                          "metadata.name, metadata.uid, metadata.fqn, spec.network, metadata.revision"}) {
    const auto order = Order::Parse(*v2::Cluster::descriptor(), bad);
    ASSERT_FALSE(order.ok()) << bad;
    EXPECT_EQ(order.error().reason, "BAD_ORDER");
    EXPECT_EQ(order.error().violations.front().field, "orderBy");
  }
}

}  // namespace
}  // namespace weir::resource
