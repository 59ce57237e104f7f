#include "mgmt-server/services/tsb_form.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libs/resource/kinds.h"

namespace weir::services {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Read {
  std::vector<std::string> documents;  // As compact JSON.
  std::vector<std::string> violations;
};
Read Of(const std::string& text) {
  auto parsed = document::Parse(text);
  EXPECT_TRUE(parsed.ok()) << parsed.error().ToString();
  std::vector<FieldViolation> violations;
  Read read;
  for (const auto& node : InOurForm(std::move(*parsed), "acme", violations)) {
    std::string json = document::WriteJson(node);
    while (!json.empty() && json.back() == '\n') json.pop_back();
    read.documents.push_back(json);
  }
  for (const auto& violation : violations) {
    read.violations.push_back(fmt::format("{}:{} {}", violation.line, violation.column, violation.field));
  }
  return read;
}

TEST(TsbForm, MovesWhatStandsElsewhereHere) {
  const Read read = Of(R"(apiVersion: api.tsb.tetrate.io/v2
kind: Tenant
metadata: {organization: o, name: t}
spec:
  displayName: Shop
  description: All of it
  etag: '"x"'
  fqn: organizations/o/tenants/t
  deletionProtectionEnabled: true
  configGenerationMetadata: {labels: {team: a}, annotations: {why: b}}
)");
  EXPECT_THAT(read.violations, IsEmpty());
  EXPECT_THAT(read.documents,
              ElementsAre(R"({"apiVersion":"api.tsb.tetrate.io/v2","kind":"Tenant","metadata":{"organization":"o",)"
                          R"("name":"t","displayName":"Shop","description":"All of it","resourceVersion":"\"x\"",)"
                          R"("fqn":"organizations/o/tenants/t","labels":{"team":"a"},"annotations":{"why":"b"},)"
                          R"("deletionProtection":true}})"));
}

TEST(TsbForm, SaysWhereADocumentContradictsItself) {
  const Read read = Of(R"(apiVersion: api.tsb.tetrate.io/v2
kind: Tenant
metadata: {organization: o, name: t, displayName: One, description: Same, labels: {team: a, tier: x}}
spec:
  displayName: Other
  description: Same
  configGenerationMetadata: {labels: {team: b, zone: c}}
)");
  EXPECT_THAT(read.violations, ElementsAre("5:3 spec.displayName", "7:39 spec.configGenerationMetadata.labels.team"));
  EXPECT_THAT(read.documents.front(), HasSubstr(R"("labels":{"team":"a","tier":"x","zone":"c"})"));
}

TEST(TsbForm, LeavesOurOwnDocumentsAlone) {
  const std::string ours =
      R"({"apiVersion":"api.weir.dev/v2","kind":"Tenant","metadata":{"name":"t"},"spec":{"displayName":"x"}})";
  EXPECT_THAT(Of(ours).documents, ElementsAre(ours));
}

TEST(TsbForm, TakesListsApart) {
  const Read read = Of(R"(apiVersion: v1
kind: List
items:
- {apiversion: api.tsb.tetrate.io/v2, kind: Tenant, metadata: {name: a}, spec: {displayName: A}}
- {apiVersion: api.weir.dev/v2, kind: Tenant, metadata: {name: b}}
)");
  EXPECT_THAT(read.documents,
              ElementsAre(R"({"apiVersion":"api.tsb.tetrate.io/v2","kind":"Tenant",)"
                          R"("metadata":{"name":"a","displayName":"A"}})",
                          R"({"apiVersion":"api.weir.dev/v2","kind":"Tenant","metadata":{"name":"b"}})"));
}

TEST(TsbForm, FindsThePlaceInAnnotations) {
  const Read read = Of(R"(apiVersion: tsb.tetrate.io/v2
kind: TenantSetting
metadata:
  name: s
  annotations: {tsb.tetrate.io/organization: o, tsb.tetrate.io/tenant: t, team: a}
)");
  EXPECT_THAT(read.violations, IsEmpty());
  EXPECT_THAT(read.documents, ElementsAre(R"({"apiVersion":"api.tsb.tetrate.io/v2","kind":"TenantSetting",)"
                                          R"("metadata":{"name":"s","annotations":{"team":"a"},"organization":"o",)"
                                          R"("tenant":"t"}})"));
  EXPECT_THAT(Of(R"(apiVersion: gateway.tsb.tetrate.io/v2
kind: IngressGateway
metadata: {name: g, annotations: {tsb.tetrate.io/gatewayGroup: gg, tsb.tetrate.io/runAs: x}}
)")
                  .violations,
              ElementsAre("3:68 metadata.annotations.tsb.tetrate.io/runAs"));
}

TEST(TsbForm, ReadsBindingsOfEveryForm) {
  EXPECT_THAT(Of(R"(apiVersion: rbac.tsb.tetrate.io/v2
kind: TenantAccessBindings
metadata: {organization: o, tenant: t}
spec: {allow: [{role: rbac/admin, subjects: [{team: organizations/o/teams/x}]}]}
)")
                  .documents,
              ElementsAre(R"({"apiVersion":"rbac.tsb.tetrate.io/v2","kind":"AccessBindings",)"
                          R"("metadata":{"organization":"o","tenant":"t"},)"
                          R"("allow":[{"role":"rbac/admin","subjects":[{"team":"organizations/o/teams/x"}]}]})"));
}

// What is always so may be said; anything else is left in place and refused by name.
TEST(TsbForm, ForgetsOnlyWhatIsAlwaysSo) {
  const std::string user = "apiVersion: api.tsb.tetrate.io/v2\nkind: User\nmetadata: {name: u}\nspec: {sourceType: ";
  EXPECT_THAT(Of(user + "MANUAL, loginName: u}").documents.front(), Not(HasSubstr("sourceType")));
  EXPECT_THAT(Of(user + "LDAP}").documents.front(), HasSubstr("LDAP"));
  EXPECT_THAT(Of(user + "MANUAL, loginName: other}").violations, ElementsAre("4:28 spec.loginName"));
}

TEST(TsbForm, KindsThatAreNotServedSayWhatToUse) {
  for (const char* kind : {"SecuritySetting", "ServiceRoute", "EgressGateway", "Application"}) {
    const auto known = resource::ResolveDocument("security.tsb.tetrate.io/v2", kind);
    ASSERT_FALSE(known.ok());
    EXPECT_THAT(known.error().violations.front().description, HasSubstr("instead: ")) << kind;
  }
}

}  // namespace
}  // namespace weir::services
