// What a setting says somewhere, and who said it: the same that compile makes of it.
#include <random>

#include "api/weir/mesh/v1/intent.pb.h"
#include "api/weir/v2/effective.pb.h"
#include "libs/resource/inheritance.h"
#include "mgmt-server/compile/compile.h"
#include "mgmt-server/http/rest_fixture.h"

namespace weir::edge {
namespace {

const std::string kOrg = "organizations/demo-org";
const std::string kTenant = kOrg + "/tenants/demo-tenant";
const std::string kWorkspace = kTenant + "/workspaces/demo-ws";
const std::string kGateway = kWorkspace + "/gatewaygroups/demo-gw-group/tier1gateways/service1-tier1";

std::string SettingDocument(const std::string& owner, const std::string& spec) {
  const bool workspace = owner == kWorkspace, organization = owner == kOrg;
  return fmt::format(
      "---\napiVersion: api.weir.dev/v2\nkind: {}\nmetadata: {{name: main, organization: demo-org{}{}}}\nspec: {}\n",
      organization ? "OrganizationSetting" : (workspace ? "WorkspaceSetting" : "TenantSetting"),
      organization ? "" : ", tenant: demo-tenant", workspace ? ", workspace: demo-ws" : "", spec);
}

class Effective : public RestApi {
 protected:
  void SetUp() override {
    RestApi::SetUp();
    const Answer applied = Apply(std::string(kFounding) + kSurroundings);
    ASSERT_EQ(applied.status, 200) << applied.text;
  }
  void Set(const std::string& owner, const std::string& spec) {
    const Answer applied = Apply(SettingDocument(owner, spec), "", true);
    ASSERT_EQ(applied.status, 200) << applied.text;
  }
  v2::EffectiveSettings Of(const std::string& fqn, const std::string& token = "") {
    const Answer answer = Send("GET", "/v2/" + fqn + ":effective", "", token.empty() ? admin_ : token);
    EXPECT_EQ(answer.status, 200) << answer.text;
    v2::EffectiveSettings settings;
    EXPECT_TRUE(document::ReadMessage(answer.text, settings, {}, document::Syntax::kJson).ok()) << answer.text;
    return settings;
  }
  // What cluster1, where the gateway runs, is told.
  compile::ClusterIntent Compiled() {
    compile::World world = push::WorldFeed(Clock::Real()).Load(*store_->Read(), "ROOT");
    agent::v1::Workload workload;
    workload.set_name("gw");
    workload.set_namespace_("t1");
    (*workload.mutable_labels())["app"] = "gateway-t1";
    (*workload.mutable_labels())["istio"] = "ingressgateway";
    workload.add_addresses("127.0.1.10");
    world.PutWorkload(kOrg + "/clusters/cluster1", workload);
    world.SetConnected(kOrg + "/clusters/cluster1", true, {});
    return compile::Compile(world, kOrg + "/clusters/cluster1");
  }
  static const v2::EffectiveField& Find(const v2::EffectiveSettings& settings, const std::string& name) {
    static const v2::EffectiveField kNone;
    for (const auto& field : settings.fields()) {
      if (field.field() == name) return field;
    }
    ADD_FAILURE() << "no field " << name;
    return kNone;
  }
};

TEST_F(Effective, TellsTheNearestAndWhatItOverrode) {
  const v2::EffectiveField nobody = Find(Of(kWorkspace), "failoverSettings");
  EXPECT_FALSE(nobody.has_set_by());
  EXPECT_EQ(nobody.default_text(), "PROPORTIONAL");
  Set(kOrg, "{failoverSettings: {mode: ORDERED}, expiredIdentityGrace: 60s}");
  Set(kTenant, "{failoverSettings: {panic: true}}");
  const v2::EffectiveSettings told = Of(kWorkspace);
  EXPECT_EQ(told.revision(), store_->Read()->revision());
  const v2::EffectiveField failover = Find(told, "failoverSettings");
  EXPECT_EQ(failover.rule(), v2::NEAREST_WINS);
  EXPECT_EQ(failover.set_by().fqn(), kTenant + "/settings/main");
  const auto stored = store_->Read()->Get(kTenant + "/settings/main");
  EXPECT_EQ(failover.set_by().uid(), stored->uid);
  EXPECT_EQ(failover.set_by().revision(), stored->revision);
  EXPECT_TRUE(failover.value().failover_settings().panic());
  EXPECT_EQ(failover.value().failover_settings().mode(), v2::FailoverSettings::PROPORTIONAL) << "nothing is mixed";
  ASSERT_EQ(failover.overridden_size(), 1);
  EXPECT_EQ(failover.overridden(0).fqn(), kOrg + "/settings/main");
  EXPECT_EQ(failover.overridden(0).value().failover_settings().mode(), v2::FailoverSettings::ORDERED);
  EXPECT_EQ(Find(told, "expiredIdentityGrace").value().expired_identity_grace().seconds(), 60);
  EXPECT_EQ(Find(Of(kOrg), "failoverSettings").set_by().fqn(), kOrg + "/settings/main");
  const v2::EffectiveField of_server = Find(Of(kGateway), "failoverSettings");
  EXPECT_EQ(of_server.server(), "service1");
  EXPECT_EQ(of_server.set_by().fqn(), kTenant + "/settings/main");
}

TEST_F(Effective, SaysOnlyThatThereIsOneWhereTheCallerMayNotRead) {
  Set(kOrg, "{failoverSettings: {mode: ORDERED, failoverPriority: [secret-label]}}");
  const std::string ann = NewUser("ann");
  EXPECT_EQ(Send("GET", "/v2/" + kWorkspace + ":effective", "", ann).reason(), "RESOURCE_MISSING");
  ASSERT_EQ(Post("/v2/" + kTenant + "/accessbindings:grant",
                 R"({"role":"reader","subject":{"user":"organizations/demo-org/users/ann"}})")
                .status,
            200);
  const Answer answer = Send("GET", "/v2/" + kWorkspace + ":effective", "", ann);
  ASSERT_EQ(answer.status, 200) << answer.text;
  EXPECT_THAT(answer.text, HasSubstr(R"("setBy":{"hidden":true})"));
  EXPECT_THAT(answer.text, Not(HasSubstr("secret-label")));
  EXPECT_THAT(answer.text, Not(HasSubstr("settings/main")));
  EXPECT_THAT(answer.text, Not(HasSubstr("ORDERED")));
  Set(kTenant, "{failoverSettings: {}}");
  const v2::EffectiveField told = Find(Of(kWorkspace, ann), "failoverSettings");
  EXPECT_EQ(told.set_by().fqn(), kTenant + "/settings/main");
  EXPECT_TRUE(told.overridden(0).hidden());
  EXPECT_EQ(Send("GET", "/v2/" + kOrg + "/tenants/none:effective", "", ann).reason(), "RESOURCE_MISSING");
}

TEST_F(Effective, IsWhatCompileUsed) {
  std::mt19937 random(5);
  const auto pick = [&](size_t n) { return random() % n; };
  ASSERT_EQ(
      Apply("apiVersion: api.weir.dev/v2\nkind: Cluster\nmetadata: {name: cluster1, organization: demo-org}\nspec: "
            "{locality: {region: eu}, tier1Cluster: true}\n",
            "", true)
          .status,
      200);
  const char* specs[] = {"{mode: ORDERED}", "{panic: true}", "{mode: ORDERED, panic: true}", "{}"};
  size_t set = 0;
  for (int round = 0; round < 24; ++round) {
    const std::vector<std::string> owners = {kOrg, kTenant, kWorkspace, kGateway};
    const std::string& owner = owners[pick(owners.size())];
    const bool none = pick(3) == 0;
    const std::string spec = none ? "" : fmt::format("failoverSettings: {}", specs[pick(4)]);
    if (owner == kGateway) {
      std::string gateway = kFounding;
      if (!none) gateway.replace(gateway.find("    tls: {}"), 11, "    tls: {}\n    " + spec);
      ASSERT_EQ(Apply(gateway, "", true).status, 200);
    } else {
      Set(owner, "{" + spec + "}");
    }
    const v2::EffectiveField told = Find(Of(kGateway), "failoverSettings");
    set += told.has_set_by();
    size_t sets = 0;
    for (const auto& [key, resource] : Compiled()) {
      if (key.type != "DestinationSet") continue;
      mesh::v1::DestinationSet made;
      ASSERT_TRUE(made.ParseFromString(resource.bytes));
      const v2::FailoverSettings& said = told.value().failover_settings();
      EXPECT_EQ(made.mode() == mesh::v1::DestinationSet::ORDERED, said.mode() == v2::FailoverSettings::ORDERED)
          << round;
      EXPECT_EQ(made.panic(), said.panic()) << round;
      ++sets;
    }
    EXPECT_EQ(sets, 1u);
  }
  EXPECT_GT(set, 12u);
}

TEST(Inheritance, EveryInheritedFieldCanBeTold) {
  ASSERT_FALSE(resource::InheritedFields().empty());
  for (const resource::InheritedField& field : resource::InheritedFields()) {
    EXPECT_NE(v2::EffectiveValue::descriptor()->FindFieldByName(field.name), nullptr) << field.name;
    EXPECT_NE(field.rule, v2::INHERITANCE_UNSPECIFIED) << field.name;
    EXPECT_FALSE(field.default_text.empty()) << field.name;
  }
}

}  // namespace
}  // namespace weir::edge
