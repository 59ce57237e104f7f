#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "api/weir/v2/access_bindings.pb.h"
#include "api/weir/v2/cluster.pb.h"
#include "api/weir/v2/gateway.pb.h"
#include "api/weir/v2/gateway_group.pb.h"
#include "api/weir/v2/organization.pb.h"
#include "api/weir/v2/organization_setting.pb.h"
#include "api/weir/v2/tier1_gateway.pb.h"
#include "api/weir/v2/workspace.pb.h"
#include "libs/resource/conflicts.h"
#include "libs/resource/kinds.h"
#include "libs/resource/validate.h"

namespace weir::resource {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

template <typename T>
T From(const std::string& text) {
  T message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}
std::vector<std::string> FieldsOf(const std::vector<FieldViolation>& violations) {
  std::vector<std::string> fields;
  for (const auto& violation : violations) fields.push_back(violation.field);
  return fields;
}
std::vector<std::string> Wrong(const google::protobuf::Message& resource) {
  std::vector<FieldViolation> violations;
  Validate(resource, violations);
  return FieldsOf(violations);
}

template <typename T>
GatewayForm Form(const T& gateway) {
  return FormOf(std::make_shared<const T>(gateway));
}

constexpr char kTier1[] = R"(metadata { name: "a" } spec {
  workload_selector { namespace: "t1" labels { key: "app" value: "gw" } }
  external_servers { name: "s" hostname: "a.example.com" port: 80 tls {}
    clusters { name: "c1" weight: 75 } clusters { name: "c2" weight: 25 } } })";
std::string Gateway(const std::string& rules) {
  return R"(metadata { name: "g" } spec { workload_selector { namespace: "t" labels { key: "app" value: "gw" } }
            http { name: "s" hostname: "a.example.com" port: 80 routing { )" +
         rules + " } } }";
}

TEST(Kinds, AreFoundByBothDialects) {
  for (const KindInfo& info : Kinds()) {
    EXPECT_EQ(&Info(info.kind), &info);
    EXPECT_EQ(*ResolveDocument(info.ApiVersion(), info.name), &info);
    if (!info.tsb_group.empty()) {
      EXPECT_EQ(*ResolveDocument(std::string(info.tsb_group) + "/v2", info.tsb_kind), &info);
    }
    EXPECT_EQ(KindOf(*NewMessage(info.kind)), &info);
  }
  EXPECT_EQ(ResolveDocument("gateway.tsb.tetrate.io/v2", "Group").value()->kind, Kind::kGatewayGroup);
  EXPECT_EQ(ResolveDocument("gateway.weir.dev/v2", "Group").error().reason, "UNKNOWN_KIND");
  EXPECT_EQ(ResolveDocument("api.tsb.tetrate.io/v2", "Invariant").error().reason, "UNKNOWN_KIND") << "nobody has it";
  EXPECT_EQ(ResolveDocument("v1", "Pod").error().reason, "UNKNOWN_API_VERSION");
  EXPECT_EQ(FindLoosely("GatewayGroups")->kind, Kind::kGatewayGroup);
  EXPECT_EQ(FindLoosely("tier1gateway")->kind, Kind::kTier1Gateway);
  EXPECT_EQ(FindLoosely("OrganizationSettings")->kind, Kind::kOrganizationSetting);
  EXPECT_EQ(FindLoosely("settings")->kind, Kind::kOrganizationSetting);
  EXPECT_EQ(FindLoosely("pods"), nullptr);
}

TEST(Kinds, NameWhatIsNotServed) {
  EXPECT_THAT(NotServedText(*v2::Tier1GatewaySpec::descriptor(), "passthroughServers"), HasSubstr("not served yet"));
  EXPECT_EQ(NotServedText(*v2::Tier1GatewaySpec::descriptor(), "nonsense"), "");
}

TEST(Fqn, ParsesWhatItBuilds) {
  const std::string group = "organizations/o/tenants/t/workspaces/w/gatewaygroups/g";
  auto fqn = ParseFqn(group + "/tier1gateways/n");
  ASSERT_TRUE(fqn.ok());
  EXPECT_EQ(fqn->kind, Kind::kTier1Gateway);
  EXPECT_EQ(fqn->parent, group);
  EXPECT_EQ(fqn->name, "n");
  EXPECT_EQ(fqn->organization(), "o");
  EXPECT_EQ(ChildFqn(group, Kind::kTier1Gateway, "n"), fqn->text);
  EXPECT_EQ(ParentFqn("organizations/o"), "");
  EXPECT_EQ(ParseFqn("organizations/o")->organization(), "o");
  auto bindings = ParseFqn(group + "/accessbindings");
  ASSERT_TRUE(bindings.ok());
  EXPECT_EQ(bindings->kind, Kind::kAccessBindings);
  EXPECT_EQ(bindings->parent, group);
  EXPECT_EQ(ParseFqn("organizations/o/tenants/accessbindings")->kind, Kind::kTenant);
  for (std::string_view bad :
       {"", "organizations", "organizations/", "organizations/O", "tenants/t", "/organizations/o", "organizations/o/",
        "organizations/o/workspaces/w", "organizations/o/tenants/t/clusters/c",
        "organizations/o/accessbindings/accessbindings"}) {
    EXPECT_FALSE(ParseFqn(bad).ok()) << bad;
  }
  EXPECT_TRUE(IsAtOrBelow("organizations/o/tenants/t", "organizations/o"));
  EXPECT_FALSE(IsAtOrBelow("organizations/oo", "organizations/o"));
}

TEST(Fqn, IsCutBehindItsFirstNames) {
  const std::string group = "organizations/o/tenants/t/workspaces/w/gatewaygroups/g";
  EXPECT_EQ(OrganizationFqn(group), "organizations/o");
  EXPECT_EQ(OrganizationFqn("organizations/o"), "organizations/o");
  EXPECT_EQ(FirstNames(group, 2), "organizations/o/tenants/t");
  EXPECT_EQ(FirstNames(group, 4), group);
  for (const char* less : {"organizations/o", "organizations/o/tenants", "organizations", ""})
    EXPECT_EQ(FirstNames(less, 2), less);
  EXPECT_EQ(ClusterFqn("organizations/o", "c"), "organizations/o/clusters/c");
}

TEST(Fqn, GoesToMetadataAndBack) {
  for (std::string_view text :
       {"organizations/o", "organizations/o/users/u", "organizations/o/settings/s",
        "organizations/o/tenants/t/workspaces/w", "organizations/o/tenants/t/workspaces/w/gatewaygroups/g/gateways/n",
        "organizations/o/tenants/t/accessbindings", "organizations/o/users/u/accessbindings"}) {
    auto fqn = ParseFqn(text);
    ASSERT_TRUE(fqn.ok()) << text;
    v2::Metadata metadata;
    SetNames(*fqn, metadata);
    std::vector<FieldViolation> violations;
    EXPECT_EQ(FqnOf(fqn->kind, metadata, violations), text);
    EXPECT_THAT(FieldsOf(violations), IsEmpty());
  }
}

TEST(Fqn, NamesEveryMissingAndSuperfluousAncestor) {
  std::vector<FieldViolation> violations;
  auto metadata = From<v2::Metadata>("name: 'X' tenant: 't' group: 'g'");
  EXPECT_EQ(FqnOf(Kind::kWorkspace, metadata, violations), std::nullopt);
  EXPECT_THAT(FieldsOf(violations), ElementsAre("metadata.organization", "metadata.group", "metadata.name"));
}

TEST(Validate, AcceptsAGoodTier1Gateway) { EXPECT_THAT(Wrong(From<v2::Tier1Gateway>(kTier1)), IsEmpty()); }

TEST(Validate, CollectsEveryViolation) {
  auto gateway = From<v2::Tier1Gateway>(R"(metadata { name: "A" labels { key: "-" value: "ok" } } spec {
    workload_selector { namespace: "" }
    external_servers { name: "s" hostname: "UPPER.example" port: 70000 tls { mode: SIMPLE } clusters { name: "c" } }
    external_servers { name: "s" hostname: "*.ok.example" port: 80 clusters { name: "c" weight: 1 } clusters { name: "c" } }
    external_servers { name: "z" hostname: "*.ok.example" port: 80
                       clusters { name: "c" weight: 0 } clusters { name: "d" weight: 0 } }
    external_servers { name: "y" hostname: "x.example" port: 15443
                       clusters { name: "c" weight: 4294967295 } clusters { name: "d" weight: 1 } } })");
  EXPECT_THAT(Wrong(gateway), ElementsAre("metadata.name", "metadata.labels.-", "spec.workloadSelector.namespace",
                                          "spec.workloadSelector.labels", "spec.externalServers[0].hostname",
                                          "spec.externalServers[0].port", "spec.externalServers[0].tls.mode",
                                          "spec.externalServers[1].name", "spec.externalServers[1].clusters[1].name",
                                          "spec.externalServers[1].clusters[1].weight",
                                          "spec.externalServers[2].hostname", "spec.externalServers[2].clusters",
                                          "spec.externalServers[3].port", "spec.externalServers[3].clusters"));
}

TEST(Validate, RefusesWhatATerminalWouldObeyInEveryText) {
  const auto good = From<v2::Gateway>(Gateway("rules { direct_response { status: 200 body: 'a\\nb' } }"));
  EXPECT_THAT(Wrong(good), IsEmpty());
  for (const char* bad : {"\x1b[31m", "\r", "\x7f", "\xc2\x9b", "\xe2\x80\xae", "\xe2\x80\xa8"}) {
    auto gateway = good;
    v2::Metadata& metadata = *gateway.mutable_metadata();
    metadata.set_display_name(std::string("a") + bad);
    metadata.set_description(std::string("a\n\tb") + bad);
    (*metadata.mutable_annotations())["team"] = std::string("a\nb") + bad;
    gateway.mutable_spec()->mutable_http(0)->mutable_routing()->mutable_rules(0)->mutable_direct_response()->set_body(
        bad);
    EXPECT_THAT(Wrong(gateway), ElementsAre("metadata.displayName", "metadata.description", "metadata.annotations.team",
                                            "spec.http[0].routing.rules[0].directResponse.body"))
        << bad;
  }
  auto lines = good;
  lines.mutable_metadata()->set_display_name("two\nlines");
  lines.mutable_metadata()->set_description("two\nlines");
  EXPECT_THAT(Wrong(lines), ElementsAre("metadata.displayName"));
}

TEST(Fqn, TellsBindingsByTheirPlaceNotByTheWord) {
  EXPECT_TRUE(IsAccessBindings("organizations/accessbindings/accessbindings"));
  EXPECT_FALSE(IsAccessBindings("organizations/accessbindings"));
  EXPECT_FALSE(IsAccessBindings("organizations/o/users/accessbindings"));
  EXPECT_TRUE(IsAccessBindings("organizations/o/users/accessbindings/accessbindings"));
  EXPECT_EQ(ParentFqn("organizations/o/users/accessbindings"), "organizations/o");
  EXPECT_EQ(LastName("organizations/o/users/accessbindings"), "accessbindings");
  for (const KindInfo& kind : Kinds()) {
    const std::string word(kind.collection);
    for (const std::string& text :
         {"organizations/" + word, "organizations/o/tenants/" + word, "organizations/" + word + "/clusters/" + word}) {
      ASSERT_TRUE(ParseFqn(text).ok()) << text;
      EXPECT_EQ(ParseFqn(text)->name, word);
      EXPECT_EQ(ParseFqn(AccessBindingsFqn(text))->parent, text);
    }
  }
}

TEST(Fqn, PatternsNameAnyOfALevel) {
  const auto all = ParseFqnPattern(Kind::kWorkspace, "organizations/o/tenants/-/workspaces/w");
  ASSERT_TRUE(all.ok());
  EXPECT_EQ(all->prefix, "organizations/o");
  EXPECT_TRUE(all->Matches("organizations/o/tenants/t/workspaces/w"));
  EXPECT_FALSE(all->Matches("organizations/o/tenants/t/workspaces/v"));
  EXPECT_FALSE(all->Matches("organizations/o/tenants/t/workspaces/w/gatewaygroups/g"));
  EXPECT_FALSE(all->Matches("organizations/o/tenants/t"));
  EXPECT_FALSE(all->Matches("organizations/p/tenants/t/workspaces/w"));
  EXPECT_EQ(ParseFqnPattern(Kind::kTenant, "organizations/-/tenants/-")->prefix, "");
  const auto one = ParseFqnPattern(Kind::kTenant, "organizations/o/tenants/t");
  EXPECT_EQ(one->prefix, "organizations/o/tenants/t");
  EXPECT_TRUE(one->Matches(one->prefix));
  for (const char* bad : {"", "-", "organizations", "-/o", "organizations/o/-/t", "organizations/o/tenants/--",
                          "organizations/o", "organizations/o/tenants/-/", "organizations//tenants/t"}) {
    EXPECT_EQ(ParseFqnPattern(Kind::kTenant, bad).error().reason, "BAD_FQN") << bad;
  }
  EXPECT_FALSE(ParseFqnPattern(Kind::kTenant, std::string(100'000, '/')).ok());
}

TEST(Validate, SaysWhenOnlyUnservedFeaturesAreInTheWay) {
  auto gateway = From<v2::Tier1Gateway>(kTier1);
  gateway.mutable_spec()->mutable_external_servers(0)->mutable_tls()->set_mode(v2::ServerTls::SIMPLE);
  std::vector<FieldViolation> violations;
  Validate(gateway, violations);
  EXPECT_EQ(ToStatus("x", violations).error().reason, "NOT_SERVED_YET");
  violations.push_back({"a", "b", 0, 0});
  EXPECT_EQ(ToStatus("x", violations).error().reason, "INVALID_RESOURCE");
  EXPECT_TRUE(ToStatus("x", {}).ok());
}

TEST(Validate, TakesTimesFromAMillisecondToADayAndNone) {
  const auto wrong = [](const std::string& time) {
    const auto gateway = From<v2::Gateway>(
        Gateway("rules { redirect { uri: '/' } timeout { " + time + " } idle_timeout { " + time + " } }"));
    std::string text = kTier1;
    text.insert(text.find("tls {}"), "timeout { " + time + " } idle_timeout { " + time + " } ");
    const auto tier1 = From<v2::Tier1Gateway>(text);
    EXPECT_EQ(Wrong(gateway).size(), Wrong(tier1).size()) << time;
    return Wrong(tier1);
  };
  for (const char* good : {"", "seconds: 0", "nanos: 1000000", "seconds: 60", "seconds: 86400"}) {
    EXPECT_THAT(wrong(good), IsEmpty()) << good;
  }
  for (const char* bad : {"nanos: 999999", "seconds: -1", "nanos: -1", "seconds: 86401", "seconds: 86400 nanos: 1",
                          "seconds: 9223372036854775807", "seconds: 1 nanos: 1000000000"}) {
    EXPECT_THAT(wrong(bad), ElementsAre("spec.externalServers[0].timeout", "spec.externalServers[0].idleTimeout"))
        << bad;
  }
}

TEST(Validate, ChecksGatewayRules) {
  const std::string service = "service_destination { host: 'ns/web.ns.svc.cluster.local' port: 8080 }";
  EXPECT_THAT(Wrong(From<v2::Gateway>(Gateway("rules { route { " + service + " } }"))), IsEmpty());
  EXPECT_THAT(Wrong(From<v2::Gateway>(Gateway(""))), ElementsAre("spec.http[0].routing.rules"));
  EXPECT_THAT(Wrong(From<v2::Gateway>(
                  Gateway("rules { } rules { route {} } rules { route { " + service + "} redirect { uri: '/' } }"))),
              ElementsAre("spec.http[0].routing.rules[0]", "spec.http[0].routing.rules[1].route",
                          "spec.http[0].routing.rules[2]"));
  EXPECT_THAT(
      Wrong(From<v2::Gateway>(Gateway("rules { route { " + service +
                                      " } } rules { route { cluster_destination { clusters { name: 'c' } } } }"))),
      ElementsAre("spec.http[0].routing.rules[1].route.clusterDestination"));
  EXPECT_THAT(
      Wrong(From<v2::Gateway>(Gateway("rules { match { uri { prefix: 'x' } } match {} timeout { seconds: 86401 } "
                                      "redirect { authority: 'a b' redirect_code: 300 } }"))),
      ElementsAre("spec.http[0].routing.rules[0].match[0].uri.prefix", "spec.http[0].routing.rules[0].match[1].uri",
                  "spec.http[0].routing.rules[0].redirect.authority",
                  "spec.http[0].routing.rules[0].redirect.redirectCode", "spec.http[0].routing.rules[0].timeout"));
  EXPECT_THAT(Wrong(From<v2::Gateway>(Gateway("rules { redirect { authority: 'x\\r\\nset-cookie:a' } }"))),
              ElementsAre("spec.http[0].routing.rules[0].redirect.authority"));
  EXPECT_THAT(Wrong(From<v2::Gateway>(Gateway("rules { direct_response { status: 99 } }"))),
              ElementsAre("spec.http[0].routing.rules[0].directResponse.status"));
}

TEST(Validate, LetsOnePortOfAHostGoToServices) {
  const std::string two = "http { name: 'b' hostname: 'x.test' port: 81 routing { rules { ";
  const std::string service = "route { service_destination { host: 'ns/web.ns.svc.cluster.local' port: 8080 } }";
  const auto gateway = [&](const std::string& rule) {
    return From<v2::Gateway>(
        "metadata { name: 'g' } spec { workload_selector { namespace: 'n' labels { key: 'app' value: 'g' } } "
        "http { name: 'a' hostname: 'x.test' port: 80 routing { rules { " +
        service + " } } } " + two + rule + " } } } }");
  };
  EXPECT_THAT(Wrong(gateway(service)), ElementsAre("spec.http[1].hostname"));
  EXPECT_THAT(Wrong(gateway("redirect { uri: '/' }")), IsEmpty());
  // The same over two objects.
  v2::Workspace workspace;
  workspace.mutable_spec()->mutable_namespace_selector()->add_names("*/*");
  v2::GatewayGroup group;
  auto mine = gateway(service);
  mine.mutable_spec()->mutable_http()->DeleteSubrange(1, 1);
  auto theirs = gateway(service);
  theirs.mutable_spec()->mutable_http()->DeleteSubrange(0, 1);
  const auto conflicts = HostConflicts({"a", Form(mine), &workspace, &group}, {"b", Form(theirs), &workspace, &group});
  ASSERT_EQ(conflicts.size(), 1u);
  EXPECT_EQ(conflicts[0].port, 80u);
  EXPECT_EQ(conflicts[0].other_port, 81u);
  auto* rule = theirs.mutable_spec()->mutable_http(0)->mutable_routing()->mutable_rules(0);
  rule->clear_route();
  rule->mutable_redirect()->set_uri("/");
  EXPECT_THAT(HostConflicts({"a", Form(mine), &workspace, &group}, {"b", Form(theirs), &workspace, &group}), IsEmpty());
}

TEST(Validate, ChecksTheTenantOfAServer) {
  auto tier1 = From<v2::Tier1Gateway>(kTier1);
  tier1.mutable_spec()->mutable_external_servers(0)->set_tenant("shop");
  EXPECT_THAT(Wrong(tier1), IsEmpty());
  tier1.mutable_spec()->mutable_external_servers(0)->set_tenant("Shop/x");
  EXPECT_THAT(Wrong(tier1), ElementsAre("spec.externalServers[0].tenant"));
  auto gateway = From<v2::Gateway>(
      Gateway("rules { route { service_destination { host: 'ns/web.ns.svc.cluster.local' port: 8080 } } }"));
  gateway.mutable_spec()->mutable_http(0)->set_tenant("shop");
  EXPECT_THAT(Wrong(gateway), ElementsAre("spec.http[0].tenant"));
}

TEST(Validate, ChecksTheOtherKinds) {
  EXPECT_THAT(Wrong(From<v2::Workspace>("metadata { name: 'w' } spec {}")),
              ElementsAre("spec.namespaceSelector.names"));
  EXPECT_THAT(Wrong(From<v2::Workspace>("metadata { name: 'w' } spec { namespace_selector { names: 'a' names: '*/*' "
                                        "names: 'c/n' names: 'c/n' } }")),
              ElementsAre("spec.namespaceSelector.names[0]", "spec.namespaceSelector.names[3]"));
  EXPECT_THAT(Wrong(From<v2::Organization>("metadata { name: 'o' } spec { domain: 'No' }")),
              ElementsAre("spec.domain"));
  EXPECT_THAT(Wrong(From<v2::Cluster>("metadata { name: 'c' } spec { locality { zone: 'z' } }")),
              ElementsAre("spec.locality.region"));
  EXPECT_THAT(
      Wrong(From<v2::AccessBindings>("allow { role: 'King' } allow { role: 'reader' subjects { user: 'bob' } }")),
      ElementsAre("allow[0].role", "allow[0].subjects", "allow[1].subjects[0].user"));
}

TEST(Validate, ChecksFailoverSettings) {
  EXPECT_THAT(Wrong(From<v2::OrganizationSetting>("metadata { name: 's' } spec {}")), IsEmpty());
  EXPECT_THAT(Wrong(From<v2::OrganizationSetting>(R"(metadata { name: "s" } spec { failover_settings { mode: ORDERED
    regional_failover { from: "eu" to: "us" } regional_failover { from: "us" to: "eu" }
    failover_priority: "topology.example.com/tier" failover_priority: "vendor=a" failover_priority: "rack=" } })")),
              IsEmpty());
  auto setting = From<v2::OrganizationSetting>(R"(metadata { name: "s" } spec { failover_settings {
    regional_failover { from: "eu" to: "us" } regional_failover { from: "eu" to: "us" }
    regional_failover { from: "eu" to: "eu" } regional_failover { to: "a b" }
    failover_priority: "-x" failover_priority: "a=b c" failover_priority: "k" failover_priority: "k=v" } })");
  const std::string at = "spec.failoverSettings.";
  EXPECT_THAT(Wrong(setting),
              ElementsAre(at + "regionalFailover[1]", at + "regionalFailover[2]", at + "regionalFailover[3].from",
                          at + "regionalFailover[3].to", at + "failoverPriority[0]", at + "failoverPriority[1]",
                          at + "failoverPriority[3]"));
  auto* settings = setting.mutable_spec()->mutable_failover_settings();
  settings->Clear();
  for (int i = 0; i < 65; ++i) {
    auto* pair = settings->add_regional_failover();
    pair->set_from(fmt::format("r{}", i));
    pair->set_to("x");
  }
  for (int i = 0; i < 17; ++i) settings->add_failover_priority(fmt::format("k{}", i));
  settings->set_mode(static_cast<v2::FailoverSettings::Mode>(7));
  EXPECT_THAT(Wrong(setting), ElementsAre(at + "mode", at + "regionalFailover", at + "failoverPriority"));

  auto tier1 = From<v2::Tier1Gateway>(kTier1);
  tier1.mutable_spec()->mutable_external_servers(0)->mutable_failover_settings()->add_failover_priority("");
  EXPECT_THAT(Wrong(tier1), ElementsAre("spec.externalServers[0].failoverSettings.failoverPriority[0]"));
  auto gateway =
      From<v2::Gateway>(Gateway("rules { idempotent: true route { cluster_destination { clusters { name: 'c' } } } }"));
  gateway.mutable_spec()->mutable_http(0)->mutable_failover_settings()->set_mode(v2::FailoverSettings::ORDERED);
  EXPECT_THAT(Wrong(gateway), IsEmpty());
  gateway = From<v2::Gateway>(Gateway("rules { direct_response { status: 200 } }"));
  gateway.mutable_spec()->mutable_http(0)->mutable_failover_settings();
  EXPECT_THAT(Wrong(gateway), ElementsAre("spec.http[0].failoverSettings"));
}

TEST(Update, KeepsTheDomain) {
  auto before = From<v2::Organization>("metadata { name: 'o' }");
  auto after = before;
  Default(before);
  EXPECT_EQ(before.spec().domain(), "o.weir.internal");
  after.mutable_spec()->set_domain("other.example");
  std::vector<FieldViolation> violations;
  CheckUpdate(before, after, violations);
  EXPECT_THAT(FieldsOf(violations), ElementsAre("spec.domain"));
}

TEST(Diff, NamesWhatAPersonChanged) {
  auto before = From<v2::Tier1Gateway>(kTier1);
  auto after = before;
  after.mutable_metadata()->set_uid("x");
  after.mutable_metadata()->set_resource_version("7");
  after.mutable_metadata()->set_organization("o");
  EXPECT_TRUE(Equal(before, after));
  EXPECT_THAT(Diff(before, after), IsEmpty());
  (*after.mutable_metadata()->mutable_labels())["team"] = "a";
  after.mutable_spec()->mutable_external_servers(0)->mutable_clusters(0)->set_weight(50);
  EXPECT_FALSE(Equal(before, after));
  EXPECT_THAT(Diff(before, after), ElementsAre("metadata.labels.team", "spec.externalServers"));
  EXPECT_THAT(OwnedFields(after), ElementsAre("metadata.labels.team", "spec.externalServers",
                                              "spec.workloadSelector.labels.app", "spec.workloadSelector.namespace"));
  auto no_tls = before;
  no_tls.mutable_spec()->mutable_external_servers(0)->clear_tls();
  EXPECT_FALSE(Equal(before, no_tls));
}

}  // namespace
}  // namespace weir::resource
