#include "libs/document/document.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "api/weir/agent/v1/discovery.pb.h"
#include "api/weir/bootstrap/v1/bootstrap.pb.h"
#include "api/weir/v2/gateway.pb.h"
#include "api/weir/v2/gateway_group.pb.h"
#include "api/weir/v2/tier1_gateway.pb.h"
#include "tests/support/real_time.h"

namespace weir::document {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kTier1 = R"(apiVersion: gateway.tsb.tetrate.io/v2
kind: Tier1Gateway
metadata:
  name: service1-tier1
  organization: demo-org
spec:
  workloadSelector:
    namespace: t1
    labels:
      app: gateway-t1
  externalServers:
  - name: service1
    hostname: servicea.example.com
    port: 80
    tls: {}
    clusters:
    - name: cluster1
      weight: 75
    - name: cluster2
      weight: 25
)";

std::string Why(const Result<std::vector<Node>>& result) {
  return result.ok()                         ? "ok"
         : result.error().violations.empty() ? result.error().ToString()
                                             : result.error().violations[0].description;
}

TEST(Parse, KeepsOrderAndPositions) {
  auto documents = Parse("a: 1\nb:\n- x\n- \"2\"\n---\n---\nc: true\n");
  ASSERT_TRUE(documents.ok()) << documents.error().ToString();
  ASSERT_EQ(documents->size(), 2u);
  const Node& first = (*documents)[0];
  EXPECT_EQ(first.members[0].key, "a");
  EXPECT_EQ(first.Find("a")->type, Node::Type::kNumber);
  const Node& list = *first.Find("b");
  ASSERT_EQ(list.items.size(), 2u);
  EXPECT_EQ(list.items[1].type, Node::Type::kString);
  EXPECT_EQ(list.items[1].line, 4);
  EXPECT_EQ(list.items[1].column, 3);
  EXPECT_EQ((*documents)[1].Find("c")->text, "true");
}

TEST(Parse, ResolvesPlainScalarsByTheCoreSchema) {
  auto node = ParseOne("{a: 1.5e3, b: on, c: 0x1F, d: ~, e: '1', f: False, g: 1.2.3, h: 10.0.0.1}");
  ASSERT_TRUE(node.ok());
  EXPECT_EQ(node->Find("a")->type, Node::Type::kNumber);
  EXPECT_EQ(node->Find("b")->type, Node::Type::kString);
  EXPECT_EQ(node->Find("c")->type, Node::Type::kNumber);
  EXPECT_EQ(node->Find("d")->type, Node::Type::kNull);
  EXPECT_EQ(node->Find("e")->type, Node::Type::kString);
  EXPECT_EQ(node->Find("f")->text, "false");
  EXPECT_EQ(node->Find("g")->type, Node::Type::kString);
  EXPECT_EQ(node->Find("h")->type, Node::Type::kString);
}

TEST(Parse, RefusesEveryDuplicateKey) {
  auto documents = Parse("a: 1\na: 2\nb: {c: 1, c: 2}\n");
  ASSERT_FALSE(documents.ok());
  EXPECT_EQ(documents.error().reason, "BAD_DOCUMENT");
  ASSERT_EQ(documents.error().violations.size(), 2u);
  EXPECT_EQ(documents.error().violations[0].line, 2);
  EXPECT_EQ(documents.error().violations[1].line, 3);
  EXPECT_EQ(documents.error().violations[1].column, 11);
}

TEST(Parse, RefusesTagsMergeKeysAndStructuredKeys) {
  EXPECT_THAT(Why(Parse("a: !!str 1")), HasSubstr("tags"));
  EXPECT_THAT(Why(Parse("a: !custom {b: 1}")), HasSubstr("tags"));
  EXPECT_THAT(Why(Parse("base: &b {x: 1}\nc:\n  <<: *b\n")), HasSubstr("merge"));
  EXPECT_THAT(Why(Parse("? [a, b]\n: 1\n")), HasSubstr("key"));
}

TEST(Parse, NamesThePlaceOfASyntaxError) {
  auto documents = Parse("a: 1\nb: [1, 2\nc: }\n");
  ASSERT_FALSE(documents.ok());
  ASSERT_FALSE(documents.error().violations.empty());
  EXPECT_GE(documents.error().violations[0].line, 2);
}

TEST(Parse, CopiesAliasesWithinTheirBudget) {
  auto node = ParseOne("a: &x [1, 2]\nb: *x\n");
  ASSERT_TRUE(node.ok()) << node.error().ToString();
  EXPECT_EQ(node->Find("b")->items.size(), 2u);

  std::string laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n";
  for (int i = 1; i < 9; ++i) {
    laughs += fmt::format("a{0}: &a{0} [*a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}]\n", i, i - 1);
  }
  auto bomb = Parse(laughs);
  ASSERT_FALSE(bomb.ok());
  EXPECT_EQ(bomb.error().code, Code::kResourceExhausted);
  EXPECT_FALSE(Parse("a: &x [*x]").ok());
  EXPECT_FALSE(Parse("a: *nobody").ok());
}

TEST(Parse, HoldsItsLimits) {
  const std::string deep64 = std::string(64, '[') + std::string(64, ']');
  EXPECT_TRUE(Parse(deep64).ok());
  EXPECT_TRUE(Parse("a: " + deep64.substr(1, 126)).ok());
  EXPECT_EQ(Parse("[" + deep64 + "]").error().reason, "DOCUMENT_TOO_LARGE");
  EXPECT_EQ(Parse("a: " + deep64).error().reason, "DOCUMENT_TOO_LARGE");
  EXPECT_EQ(Parse(std::string((1u << 20) + 1, 'a')).error().reason, "DOCUMENT_TOO_LARGE");
  EXPECT_TRUE(Parse(std::string(1u << 20, 'a')).ok());
}

TEST(Parse, EndsSoonOnHostileText) {
  const Stopwatch watch;
  for (std::string_view piece :
       {"[",     "{",    "- ", "? ", "&a ",  "*a ", "a: ", "\"",     "|\n ", "[a: ", "--- ",     "!x ",
        "{a: [", "&a [", "#",  "%",  "\n\n", "a\n", "'",   "- - ? ", ",",    "}",    "a: {b: \n"}) {
    std::string text;
    while (text.size() < (64u << 10)) text += piece;
    (void)Parse(text);
    (void)Parse("x: " + text);
    (void)Parse(text, {}, Syntax::kJson);
  }
  EXPECT_LT(watch.Elapsed(), std::chrono::seconds(30));
}

TEST(Parse, RefusesWhatIsNotUtf8AndControlCharacters) {
  EXPECT_THAT(Why(Parse("a: \xff")), HasSubstr("UTF-8"));
  EXPECT_THAT(Why(Parse("a: \xc0\x80")), HasSubstr("UTF-8"));
  EXPECT_THAT(Why(Parse(std::string_view("a: b\0c", 6))), HasSubstr("control"));
  EXPECT_TRUE(Parse("a: größe 🙂").ok());
}

TEST(Json, IsStrictWhenAsked) {
  for (std::string_view good : {R"({"a": [1, -2.5e3, true, null, "\ud83d\ude00\n"]})", "1", "\"x\"", "[]"}) {
    EXPECT_TRUE(Parse(good, {}, Syntax::kJson).ok()) << good;
  }
  for (std::string_view bad : {"{a: 1}", "{\"a\": 1,}", "[1,]", "01", "+1", ".5", "1.", "'a'", "\"\\x\"", "\"\\ud800\"",
                               "{\"a\":1} {}", "", "tru", "{\"a\":1,\"a\":2}", "// c\n1", "NaN", "[1 2]"}) {
    EXPECT_FALSE(Parse(bad, {}, Syntax::kJson).ok()) << bad;
  }
  auto node = ParseOne(R"({"a": "\ud83d\ude00"})", {}, Syntax::kJson);
  EXPECT_EQ(node->Find("a")->text, "😀");
}

TEST(ToMessage, ReadsADocument) {
  auto node = ParseOne(kTier1);
  ASSERT_TRUE(node.ok());
  v2::Tier1Gateway gateway;
  std::vector<FieldViolation> violations;
  ReadOptions options;
  options.ignore = {"apiVersion", "kind"};
  EXPECT_TRUE(ToMessage(*node, gateway, violations, options));
  EXPECT_EQ(gateway.metadata().name(), "service1-tier1");
  EXPECT_EQ(gateway.spec().workload_selector().labels().at("app"), "gateway-t1");
  const auto& server = gateway.spec().external_servers(0);
  EXPECT_EQ(server.port(), 80u);
  EXPECT_TRUE(server.has_tls());
  EXPECT_EQ(server.clusters(1).weight(), 25u);
}

TEST(ToMessage, CollectsEveryViolationWithItsPlace) {
  auto node = ParseOne(
      "metadata: {name: 7, nmae: x}\nspec:\n  externalServers:\n  - port: 4294967296\n    hostname: true\n"
      "    clusters: {name: c}\n  - port: -1\n  - tls: {mode: MAYBE}\n  external_servers: []\n");
  ASSERT_TRUE(node.ok());
  v2::Tier1Gateway gateway;
  std::vector<FieldViolation> violations;
  EXPECT_FALSE(ToMessage(*node, gateway, violations));
  std::vector<std::string> fields;
  for (const auto& v : violations) fields.push_back(fmt::format("{}@{}:{}", v.field, v.line, v.column));
  EXPECT_THAT(fields,
              ::testing::ElementsAre("metadata.name@1:18", "metadata.nmae@1:21", "spec.externalServers[0].port@4:11",
                                     "spec.externalServers[0].hostname@5:15", "spec.externalServers[0].clusters@6:15",
                                     "spec.externalServers[1].port@7:11", "spec.externalServers[2].tls.mode@8:17",
                                     "spec.external_servers@9:3"));
  EXPECT_THAT(violations[0].description, HasSubstr("quotes"));
  EXPECT_THAT(violations[1].description, HasSubstr("did you mean name"));
}

TEST(ToMessage, ReadsDurationsEnumsMapsAndOneofs) {
  v2::Gateway gateway;
  ASSERT_TRUE(ReadMessage(R"(
spec:
  http:
  - routing:
      rules:
      - timeout: 1.5s
        match: [{uri: {prefix: /a}}]
      - timeout: 250ms
)",
                          gateway)
                  .ok());
  const auto& rules = gateway.spec().http(0).routing().rules();
  EXPECT_EQ(rules[0].timeout().seconds(), 1);
  EXPECT_EQ(rules[0].timeout().nanos(), 500'000'000);
  EXPECT_EQ(rules[1].timeout().nanos(), 250'000'000);
  EXPECT_EQ(rules[0].match(0).uri().prefix(), "/a");
  auto clash = ReadMessage("spec: {http: [{routing: {rules: [{match: [{uri: {prefix: a, exact: b}}]}]}}]}", gateway);
  ASSERT_FALSE(clash.ok());
  EXPECT_THAT(clash.error().violations[0].description, HasSubstr("not together with prefix"));
  v2::GatewayGroup group;
  EXPECT_TRUE(ReadMessage("spec: {configMode: DIRECT}", group).ok());
  EXPECT_EQ(group.spec().config_mode(), v2::DIRECT);
  agent::v1::Discovery discovery;
  ASSERT_TRUE(ReadMessage("workloads: [{name: a, ports: {80: 18080}, addresses: [127.0.0.1]}]", discovery).ok());
  EXPECT_EQ(discovery.workloads(0).ports().at(80), 18080u);
  EXPECT_FALSE(ReadMessage("workloads: [{name: a, ports: {x: 18080}}]", discovery).ok());
  bootstrap::v1::Agent agent;
  EXPECT_TRUE(ReadMessage("leafLifetime: 24h", agent).ok());
  EXPECT_EQ(agent.leaf_lifetime().seconds(), 86400);
}

TEST(ToMessage, AsksForTheTextOfForeignFields) {
  v2::Tier1Gateway gateway;
  ReadOptions options;
  options.unknown_field = [](const auto&, std::string_view field) {
    return field == "passthroughServers" ? std::string("is not served yet") : "";
  };
  auto status = ReadMessage("spec: {passthroughServers: []}", gateway, options);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().violations[0].description, "is not served yet");
}

TEST(Locate, FindsThePlaceOfAPath) {
  auto node = ParseOne(kTier1);
  std::vector<FieldViolation> violations = {{"spec.externalServers[0].clusters[1].weight", "", 0, 0},
                                            {"spec.externalServers[0].timeout", "", 0, 0},
                                            {"spec.workloadSelector.labels.app", "", 0, 0},
                                            {"nothing", "", 0, 0}};
  Locate(*node, violations);
  EXPECT_EQ(violations[0].line, 20);
  EXPECT_EQ(violations[1].line, 12);
  EXPECT_EQ(violations[2].line, 10);
  EXPECT_EQ(violations[3].line, 1);
}

TEST(Write, ReadsBackTheSame) {
  Node map = Node::Map();
  for (std::string_view text : {"",      "true",        "12",    "a: b",       "#x",   "- a", "on", "x #y",   "{",
                                "größe", "line\nbreak", "\"q\"", "2026-11-21", "1:20", "~",   "*",  "trail ", ":",
                                "a:",    "\\",          "\t",    "null",       "0x1",  "=",   "."}) {
    map.Add(std::string("k") + std::string(text), Node::String(std::string(text)));
  }
  Node list = Node::Sequence();
  list.items.push_back(Node::Sequence());
  list.items.push_back(Node::Map());
  Node inner = Node::Sequence();
  inner.items.push_back(Node::Bool(true));
  Node pair = Node::Map();
  pair.Add("x", Node::Number("1.5"));
  pair.Add("y", Node{});
  inner.items.push_back(pair);
  list.items.push_back(inner);
  map.Add("list", list);
  const std::string json = WriteJson(map);
  const std::string yaml = WriteYaml(map);
  auto from_yaml = ParseOne(yaml);
  ASSERT_TRUE(from_yaml.ok()) << from_yaml.error().ToString() << yaml;
  EXPECT_EQ(WriteJson(*from_yaml), json) << yaml;
  auto from_json = ParseOne(json, {}, Syntax::kJson);
  ASSERT_TRUE(from_json.ok());
  EXPECT_EQ(WriteJson(*from_json), json);
  EXPECT_EQ(WriteJson(*ParseOne(WriteJson(map, true), {}, Syntax::kJson)), json);
}

TEST(Write, WritesMessagesAsPeopleDo) {
  v2::Tier1Gateway gateway;
  ReadOptions options;
  options.ignore = {"apiVersion", "kind"};
  ASSERT_TRUE(ReadMessage(kTier1, gateway, options).ok());
  const std::string body = std::string(kTier1.substr(kTier1.find("metadata:")));
  EXPECT_EQ(ToYaml(gateway), body);
}

}  // namespace
}  // namespace weir::document
