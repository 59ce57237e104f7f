#include "libs/resource/references.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "api/weir/v2/access_bindings.pb.h"
#include "api/weir/v2/gateway.pb.h"
#include "api/weir/v2/gateway_group.pb.h"
#include "api/weir/v2/tier1_gateway.pb.h"
#include "api/weir/v2/workspace.pb.h"
#include "libs/resource/conflicts.h"
#include "libs/resource/kinds.h"

namespace weir::resource {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

template <typename T>
T From(const std::string& text) {
  T message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

// Fields with a text that name nothing outside of their own resource.
const std::set<std::string, std::less<>> kPlain = {
    "weir.v2.ClusterDestination.labels",
    "weir.v2.ClusterDestination.network",
    "weir.v2.AccessBinding.role",
    "weir.v2.ClusterSpec.network",
    "weir.v2.FailoverSettings.failover_priority",
    "weir.v2.HttpDirectResponse.body",
    "weir.v2.HttpRedirect.authority",
    "weir.v2.HttpRedirect.uri",
    "weir.v2.HttpServer.hostname",
    "weir.v2.HttpServer.name",
    "weir.v2.IngressHttpServer.hostname",
    "weir.v2.IngressHttpServer.name",
    "weir.v2.MinClusters.host",  // Of whoever serves it.
    "weir.v2.OnlyRegions.host",
    "weir.v2.OnlyRegions.regions",
    "weir.v2.Jwk.alg",
    "weir.v2.Jwk.crv",
    "weir.v2.Jwk.e",
    "weir.v2.Jwk.kid",
    "weir.v2.Jwk.kty",
    "weir.v2.Jwk.n",
    "weir.v2.Jwk.use",
    "weir.v2.Jwk.x",
    "weir.v2.Jwk.y",
    "weir.v2.Locality.region",
    "weir.v2.Locality.zone",
    "weir.v2.OrganizationSettingSpec.tenant_quotas",  // Of whoever is called so.
    "weir.v2.OrganizationSpec.domain",
    "weir.v2.RegionalFailover.from",
    "weir.v2.RegionalFailover.to",
    "weir.v2.RoleRule.kinds",
    "weir.v2.RoleRule.permissions",
    "weir.v2.RoleRule.rights",
    "weir.v2.RoleType.api_group",
    "weir.v2.RoleType.kinds",
    "weir.v2.ServiceAccountKey.id",
    "weir.v2.StringMatch.exact",
    "weir.v2.StringMatch.prefix",
    "weir.v2.Tier1ExternalServer.hostname",
    "weir.v2.Tier1ExternalServer.name",
    "weir.v2.UserSpec.email",
    "weir.v2.WorkloadSelector.labels",
};

void Collect(const Descriptor& message, std::set<std::string>& texts, std::set<const Descriptor*>& seen) {
  if (!seen.insert(&message).second) return;
  for (int i = 0; i < message.field_count(); ++i) {
    const FieldDescriptor& field = *message.field(i);
    const bool text = field.cpp_type() == FieldDescriptor::CPPTYPE_STRING;
    if (text || field.is_map()) texts.insert(field.full_name());
    if (!field.is_map() && field.message_type() != nullptr) Collect(*field.message_type(), texts, seen);
  }
}

// A field that points somewhere needs a rule who decides that it may.
TEST(References, EveryTextFieldIsEitherAReferenceOrKnownToPointNowhere) {
  std::set<std::string> texts;
  std::set<const Descriptor*> seen;
  for (const KindInfo& kind : Kinds()) {
    for (int i = 0; i < kind.descriptor().field_count(); ++i) {
      const FieldDescriptor& field = *kind.descriptor().field(i);
      // What only the server says is no reference; parents in metadata are the resource's own name.
      if (field.name() == "metadata" || field.name() == "state" || field.message_type() == nullptr) continue;
      Collect(*field.message_type(), texts, seen);
    }
  }
  for (const ReferenceField& reference : ReferenceFields()) {
    EXPECT_EQ(texts.erase(std::string(reference.field)), 1u) << reference.field << " is no field of any kind";
  }
  for (const std::string& text : texts) EXPECT_TRUE(kPlain.contains(text)) << text << " is in neither list";
}

std::vector<std::string> FieldsAndNames(const google::protobuf::Message& message) {
  std::vector<std::string> told;
  for (const Reference& reference : ReferencesOf(message)) {
    told.push_back(fmt::format("{} {}", reference.field, reference.name));
  }
  return told;
}

TEST(References, AreFoundInEveryKindWithTheirFields) {
  EXPECT_THAT(
      FieldsAndNames(From<v2::Gateway>("spec { workload_selector { namespace: 'n' } "
                                       "http { tenant: 'u' routing { rules { redirect { uri: '/' } } "
                                       "rules { route { service_destination { host: 's/h.x' } } } "
                                       "rules { route { cluster_destination { clusters { name: 'c' } } } } } } }")),
      ElementsAre("spec.workloadSelector.namespace n", "spec.http[0].routing.rules[1].route.serviceDestination.host s",
                  "spec.http[0].routing.rules[2].route.clusterDestination.clusters[0].name c",
                  "spec.http[0].tenant u"));
  EXPECT_THAT(FieldsAndNames(From<v2::Tier1Gateway>("spec { workload_selector { namespace: 'n' } external_servers { "
                                                    "clusters { name: 'a' } clusters { name: 'b' } tenant: 'u' } }")),
              ElementsAre("spec.workloadSelector.namespace n", "spec.externalServers[0].clusters[0].name a",
                          "spec.externalServers[0].clusters[1].name b", "spec.externalServers[0].tenant u"));
  EXPECT_THAT(FieldsAndNames(From<v2::Workspace>("spec { namespace_selector { names: 'c/n' } }")),
              ElementsAre("spec.namespaceSelector.names[0] c/n"));
  EXPECT_THAT(FieldsAndNames(From<v2::GatewayGroup>("spec { namespace_selector { names: 'c/n' } }")),
              ElementsAre("spec.namespaceSelector.names[0] c/n"));
  EXPECT_THAT(FieldsAndNames(From<v2::AccessBindings>("allow { subjects { user: 'a' } subjects { user: 'b' } }")),
              ElementsAre("allow[0].subjects[0].user a", "allow[0].subjects[1].user b"));
}

std::string Reasons(const std::string& workspace, const std::string& group, const std::string& workloads,
                    const std::string& service) {
  const auto gateway = From<v2::Gateway>(
      fmt::format("spec {{ workload_selector {{ namespace: '{}' }} http {{ routing {{ rules {{ route {{ "
                  "service_destination {{ host: '{}/h.x' port: 1 }} }} }} }} }} }}",
                  workloads, service));
  std::string reasons;
  for (const ScopeViolation& violation :
       CheckScope(gateway, From<v2::Workspace>("spec { namespace_selector { " + workspace + " } }"),
                  From<v2::GatewayGroup>("spec { namespace_selector { " + group + " } }"))) {
    reasons += violation.reason + " " + violation.violation.field + ";";
  }
  return reasons;
}

TEST(Scope, OfAGatewayIsWhatItsWorkspaceOwnsInEveryClusterWhereItMayCount) {
  const std::string kService = "SERVICE_OUTSIDE_WORKSPACE spec.http[0].routing.rules[0].route.serviceDestination.host;";
  const std::string kWorkloads = "WORKLOADS_OUTSIDE_WORKSPACE spec.workloadSelector.namespace;";
  struct {
    const char *workspace, *group, *workloads, *service;
    std::string reasons;
  } cases[] = {
      {"names: 'c1/n'", "", "n", "n", ""},
      {"names: 'c1/n'", "", "n", "other", kService},
      {"names: 'c1/*'", "", "n", "other", ""},
      {"names: '*/*'", "", "n", "other", ""},
      {"names: 'c1/n' names: 'c2/n' names: 'c1/s'", "", "n", "s", kService},  // In c2 it would be somebody else's.
      {"names: 'c1/n' names: 'c2/n' names: 'c1/s'", "names: 'c1/n'", "n", "s", ""},  // The group stays out of c2.
      {"names: '*/n' names: 'c1/s' names: 'c2/s'", "", "n", "s", kService},          // There may be a c3.
      {"names: '*/n' names: '*/s'", "", "n", "s", ""},
      {"names: '*/n' names: 'c1/s'", "names: 'c1/n'", "n", "s", ""},
      {"names: 'c1/n'", "", "m", "n", kWorkloads},
      {"names: 'c1/n' names: 'c1/m'", "names: 'c1/m'", "n", "n", kWorkloads},  // Not the group's.
      {"names: 'c1/nn'", "", "n", "nn", kWorkloads},
  };
  for (const auto& one : cases) {
    EXPECT_EQ(Reasons(one.workspace, one.group, one.workloads, one.service), one.reasons)
        << one.workspace << " | " << one.group << " | " << one.workloads << " | " << one.service;
  }
  const auto privileged = From<v2::Workspace>("spec { namespace_selector { names: 'c1/n' } privileged: true }");
  const auto gateway = From<v2::Gateway>(
      "spec { workload_selector { namespace: 'n' } http { routing { rules { route { service_destination { host: 'o/h' "
      "} } } } } }");
  EXPECT_THAT(CheckScope(gateway, privileged, {}), IsEmpty());
}

// Whatever two workspaces claim: either it is refused, or no namespace of any cluster is matched by both.
TEST(Scope, ANamespaceBelongsToOneWorkspace) {
  std::minstd_rand random(7);
  const auto any = [&](std::initializer_list<const char*> of) { return *(of.begin() + random() % of.size()); };
  int refused = 0;
  for (int turn = 0; turn < 5'000; ++turn) {
    v2::NamespaceSelector a, b;
    for (v2::NamespaceSelector* selector : {&a, &b}) {
      for (size_t i = 0; i <= random() % 3; ++i) {
        selector->add_names(std::string(any({"*", "c1", "c2", "c3"})) + "/" + any({"*", "m", "n", "o"}));
      }
    }
    std::string shared;
    for (const char* cluster : {"c1", "c2", "c3", "later"}) {
      for (const char* name_space : {"m", "n", "o", "later"}) {
        if (Matches(a, cluster, name_space) && Matches(b, cluster, name_space)) shared = name_space;
      }
    }
    ASSERT_EQ(NamespaceOverlap(a, b).has_value(), !shared.empty()) << a.DebugString() << b.DebugString();
    ASSERT_EQ(NamespaceOverlap(b, a).has_value(), !shared.empty());
    refused += shared.empty() ? 0 : 1;
  }
  EXPECT_GT(refused, 500);
  EXPECT_LT(refused, 4'500);
}

}  // namespace
}  // namespace weir::resource
