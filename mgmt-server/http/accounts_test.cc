// Roles that people make, and service accounts with keys, through the whole way.
#include "libs/identity/certificates.h"
#include "libs/identity/jws.h"
#include "mgmt-server/http/rest_fixture.h"

namespace weir::edge {
namespace {

const std::string kOrg = "/v2/organizations/demo-org";
const std::string kAccount = "organizations/demo-org/serviceaccounts/ci";

class Accounts : public RestApi {
 protected:
  static std::string KeyOf(const std::string& id, const std::string& pem, const std::string& more = "") {
    const identity::PublicJwk jwk = *identity::JwkOf(pem);
    return fmt::format(R"({{"id":"{}","publicKey":{{"kty":"EC","crv":"P-256","x":"{}","y":"{}"{}}}}})", id, jwk.x,
                       jwk.y, more);
  }
  Answer PutKeys(const std::string& keys, const std::string& token) {
    const Answer there = Get("/v2/" + kAccount);
    return Send("PUT", "/v2/" + kAccount,
                R"({"metadata":{"resourceVersion":")" + there.Text({"metadata", "resourceVersion"}) +
                    R"("},"spec":{"keys":[)" + keys + "]}}",
                token);
  }
  Answer SignIn(const std::string& pem, const std::string& kid) {
    const Clock& clock = Clock::Real();
    const int64_t now = std::chrono::duration_cast<std::chrono::seconds>(clock.Wall().time_since_epoch()).count();
    const std::string claims =
        fmt::format(R"({{"iss":"{0}","sub":"{0}","aud":"weir-server:{1}","iat":{2},"exp":{3},"jti":"{4}"}})", kAccount,
                    ca_->anchor_sha256(), now, now + 60, RandomHex(8));
    const auto text = identity::MakeCompact(pem, fmt::format(R"({{"alg":"ES256","kid":"{}"}})", kid), claims);
    return Send("POST", "/v2/login:assertion", R"({"assertion":")" + *text + "\"}", "");
  }
  std::string Grant(const std::string& on, const std::string& role, const std::string& subject,
                    const std::string& token = "") {
    const Answer answer =
        Send("POST", on + "/accessbindings:grant", R"({"role":")" + role + R"(","subject":{)" + subject + "}}",
             token.empty() ? admin_ : token);
    return answer.status == 200 ? "" : answer.reason();
  }
  std::string MakeRole(const std::string& name, const std::string& rules, const std::string& token = "") {
    const Answer answer =
        Send("POST", kOrg + "/roles", R"({"metadata":{"name":")" + name + R"("},"spec":{"rules":[)" + rules + "]}}",
             token.empty() ? admin_ : token);
    return answer.status == 200 ? "" : answer.reason();
  }
};

TEST_F(Accounts, SignInWithTheirKeysAndEndWithThem) {
  const std::string pem = *identity::NewKey(), next = *identity::NewKey();
  ASSERT_EQ(Post(kOrg + "/serviceaccounts", R"({"metadata":{"name":"ci"},"spec":{"keys":[)" + KeyOf("one", pem) + "]}}")
                .status,
            200);
  const Answer stored = Get("/v2/" + kAccount);
  EXPECT_THAT(stored.text, HasSubstr("createTime\":\"2"));
  const Answer login = SignIn(pem, "one");
  ASSERT_EQ(login.status, 200) << login.text;
  const std::string token = login.Text({"token"});
  EXPECT_EQ(Send("GET", "/v2/whoami", "", token).Text({"fqn"}), kAccount);
  EXPECT_EQ(Send("GET", kOrg, "", token).status, 404);
  ASSERT_EQ(Grant(kOrg, "reader", R"("serviceAccount":")" + kAccount + "\""), "");
  EXPECT_EQ(Send("GET", kOrg, "", token).status, 200);
  EXPECT_EQ(SignIn(next, "one").reason(), "BAD_ASSERTION");
  ASSERT_EQ(PutKeys(KeyOf("two", next), admin_).status, 200);
  EXPECT_EQ(Send("GET", kOrg, "", token).status, 401);
  const std::string second = SignIn(next, "two").Text({"token"});
  EXPECT_EQ(Send("GET", kOrg, "", second).status, 200);
  ASSERT_EQ(Send("DELETE", "/v2/" + kAccount, "", admin_).status, 200);
  EXPECT_EQ(Send("GET", kOrg, "", second).status, 401);
  // One of the same name has none of its roles.
  ASSERT_EQ(
      Post(kOrg + "/serviceaccounts", R"({"metadata":{"name":"ci"},"spec":{"keys":[)" + KeyOf("two", next) + "]}}")
          .status,
      200);
  EXPECT_EQ(Send("GET", kOrg, "", SignIn(next, "two").Text({"token"})).status, 404);
}

TEST_F(Accounts, WhoAddsAKeyMustHoldWhatTheAccountHas) {
  const std::string pem = *identity::NewKey(), next = *identity::NewKey();
  ASSERT_EQ(Post(kOrg + "/serviceaccounts", R"({"metadata":{"name":"ci"},"spec":{"keys":[)" + KeyOf("one", pem) + "]}}")
                .status,
            200);
  const std::string ann = NewUser("ann");
  ASSERT_EQ(Grant(kOrg, "editor", R"("user":"organizations/demo-org/users/ann")"), "");
  EXPECT_EQ(PutKeys(KeyOf("one", pem) + "," + KeyOf("two", next), ann).reason(), "RIGHT_MISSING");
  ASSERT_EQ(Grant("/v2/" + kAccount, "admin", R"("user":"organizations/demo-org/users/ann")"), "");
  EXPECT_EQ(PutKeys(KeyOf("one", pem) + "," + KeyOf("two", next), ann).status, 200);
  ASSERT_EQ(Grant(kOrg, "admin", R"("serviceAccount":")" + kAccount + "\""), "");
  EXPECT_EQ(PutKeys(KeyOf("one", pem) + "," + KeyOf("three", next), ann).reason(), "ACCOUNT_EXCEEDS_OWN");
  EXPECT_EQ(PutKeys(KeyOf("one", pem), ann).status, 200) << "to take one away is to give nothing";
  const Answer changed = PutKeys(KeyOf("one", next), admin_);
  EXPECT_EQ(changed.status, 400);
  EXPECT_THAT(changed.text, HasSubstr("spec.keys[0].publicKey"));
}

TEST_F(Accounts, KeysThatAreNoneAreRefusedByName) {
  const std::string pem = *identity::NewKey();
  const auto refused = [&](const std::string& keys) {
    return Post(kOrg + "/serviceaccounts", R"({"metadata":{"name":"x"},"spec":{"keys":[)" + keys + "]}}").text;
  };
  const std::string secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQ";
  const std::string with_private = refused(KeyOf("a", pem, R"(,"d":")" + secret + "\""));
  EXPECT_THAT(with_private, HasSubstr("spec.keys[0].publicKey.d"));
  EXPECT_THAT(with_private, Not(HasSubstr(secret)));
  const Answer document = Apply(fmt::format(
      "apiVersion: api.weir.dev/v2\nkind: ServiceAccount\nmetadata: {{name: x, organization: demo-org}}\nspec: "
      "{{keys: [{{id: a, publicKey: {{kty: EC, d: {}}}}}]}}\n",
      secret));
  EXPECT_THAT(document.text, HasSubstr("keep it to yourself"));
  EXPECT_THAT(document.text, Not(HasSubstr(secret)));
  EXPECT_THAT(refused(KeyOf("a", pem) + "," + KeyOf("a", *identity::NewKey())), HasSubstr("spec.keys[1].id"));
  EXPECT_THAT(refused(KeyOf("a", pem) + "," + KeyOf("b", pem)), HasSubstr("spec.keys[1].publicKey"));
  EXPECT_THAT(refused(R"({"id":"a","publicKey":{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"}})"),
              HasSubstr("32 bytes"));
  EXPECT_THAT(refused(R"({"id":"a","publicKey":{"kty":"RSA","n":"gAAA","e":"AQAB"}})"), HasSubstr("2048"));
  EXPECT_THAT(refused(R"({"id":"a","publicKey":{"kty":"oct"}})"), HasSubstr("kty must be"));
}

TEST_F(Accounts, RolesGiveWhatTheirRulesSay) {
  const std::string ann = NewUser("ann");
  ASSERT_EQ(MakeRole("op", R"({"kinds":["Tenant"],"rights":["read","WRITE"]})"), "");
  ASSERT_EQ(Post(kOrg + "/tenants", R"({"metadata":{"name":"t"}})").status, 200);
  ASSERT_EQ(Grant(kOrg, "op", R"("user":"organizations/demo-org/users/ann")"), "");
  EXPECT_EQ(Send("GET", kOrg + "/tenants/t", "", ann).status, 200);
  EXPECT_EQ(Send("GET", kOrg, "", ann).status, 404);
  EXPECT_EQ(Send("GET", kOrg + "/users/admin", "", ann).status, 404);
  EXPECT_EQ(Send("DELETE", kOrg + "/tenants/t", "", ann).status, 403);
  EXPECT_EQ(Send("DELETE", kOrg + "/roles/op", "", admin_).reason(), "ROLE_IN_USE");
  ASSERT_EQ(
      Post(kOrg + "/accessbindings:revoke", R"({"role":"op","subject":{"user":"organizations/demo-org/users/ann"}})")
          .status,
      200);
  EXPECT_EQ(Send("DELETE", kOrg + "/roles/op", "", admin_).status, 200);
  EXPECT_EQ(Grant(kOrg, "op", R"("user":"organizations/demo-org/users/ann")"), "UNKNOWN_ROLE");
}

// What lies below is of other kinds: neither deleted with it, nor named, nor shown as it was.
TEST_F(Accounts, ARoleOnAKindReachesNoOtherOneBelow) {
  const std::string ann = NewUser("ann");
  ASSERT_EQ(MakeRole("op", R"({"kinds":["Organization","Tenant"],"rights":["read","delete"]})"), "");
  ASSERT_EQ(Apply(kSurroundings).status, 200);
  ASSERT_EQ(Grant(kOrg, "op", R"("user":"organizations/demo-org/users/ann")"), "");
  const std::string tenant = kOrg + "/tenants/demo-tenant";
  const Answer children = Send("DELETE", tenant, "", ann);
  EXPECT_EQ(children.reason(), "HAS_CHILDREN");
  EXPECT_THAT(children.text, Not(HasSubstr("demo-ws")));
  EXPECT_THAT(children.text, Not(HasSubstr("resources")));
  const Answer cascade = Send("DELETE", tenant + "?cascade=true", "", ann);
  EXPECT_EQ(cascade.reason(), "RIGHT_MISSING");
  EXPECT_THAT(cascade.text, Not(HasSubstr("demo-ws")));
  const std::string group = tenant + "/workspaces/demo-ws/gatewaygroups/demo-gw-group";
  ASSERT_EQ(Send("DELETE", group, "", admin_).status, 200);
  const std::string before = fmt::format("?asOfRevision={}", store_->Read()->revision() - 1);
  EXPECT_EQ(Send("GET", group + before, "", admin_).status, 200);
  EXPECT_EQ(Send("GET", group + before, "", ann).status, 404);
  EXPECT_EQ(Send("GET", tenant + before, "", ann).status, 200);
}

TEST_F(Accounts, RolesAreCheckedAndGiveNoMoreThanTheirAuthorHas) {
  EXPECT_EQ(MakeRole("admin", R"({"rights":["read"]})"), "INVALID_RESOURCE");
  EXPECT_EQ(MakeRole("r", ""), "INVALID_RESOURCE");
  EXPECT_EQ(MakeRole("r", R"({"kinds":["Tenant"]})"), "INVALID_RESOURCE");
  EXPECT_EQ(MakeRole("r", R"({"kinds":["Castle"],"rights":["read"]})"), "INVALID_RESOURCE");
  EXPECT_EQ(MakeRole("r", R"({"kinds":["AccessBindings"],"rights":["read"]})"), "INVALID_RESOURCE");
  EXPECT_EQ(MakeRole("r", R"({"rights":["fly"]})"), "INVALID_RESOURCE");
  EXPECT_EQ(MakeRole("r", R"({"kinds":["Tenant"],"rights":["cluster.join"]})"), "INVALID_RESOURCE");
  const std::string ann = NewUser("ann");
  ASSERT_EQ(Grant(kOrg, "editor", R"("user":"organizations/demo-org/users/ann")"), "");
  EXPECT_EQ(MakeRole("r", R"({"rights":["set-policy"]})", ann), "ROLE_EXCEEDS_OWN");
  EXPECT_EQ(MakeRole("r", R"({"rights":["read"]})", ann), "");
  const std::string etag = Get(kOrg + "/roles/r").Text({"metadata", "resourceVersion"});
  EXPECT_EQ(
      Send("PUT", kOrg + "/roles/r",
           R"({"metadata":{"resourceVersion":")" + etag + R"("},"spec":{"rules":[{"rights":["set-policy"]}]}})", ann)
          .reason(),
      "ROLE_EXCEEDS_OWN");
}

constexpr char kOfTsb[] = R"(apiVersion: rbac.tsb.tetrate.io/v2
kind: Role
metadata:
  name: cluster-reader
spec:
  description: Read permissions on cluster resources
  displayName: ClusterReader
  rules:
  - permissions:
    - READ
    types:
    - apiGroup: api.tsb.tetrate.io/v2
      kinds:
      - Cluster
      - Organization
---
apiVersion: api.tsb.tetrate.io/v2
kind: ServiceAccount
metadata: {name: ci, organization: demo-org}
spec: {displayName: CI, description: for pipelines}
---
apiVersion: rbac.tsb.tetrate.io/v2
kind: OrganizationAccessBindings
metadata: {organization: demo-org}
spec:
  allow:
  - role: rbac/admin
    subjects:
    - user: organizations/demo-org/users/admin
  - role: rbac/cluster-reader
    subjects:
    - serviceAccount: organizations/demo-org/serviceaccounts/ci
)";

// As documents of TSB have them: no organization, types and permissions.
TEST_F(Accounts, RolesAndBindingsOfTsbAreTakenAsTheyAre) {
  const Answer applied = Apply(kOfTsb);
  ASSERT_EQ(applied.status, 200) << applied.text;
  const Answer role = Get(kOrg + "/roles/cluster-reader");
  EXPECT_THAT(role.text, HasSubstr(R"("rules":[{"kinds":["Organization","Cluster"],"rights":["read"]}])"));
  EXPECT_EQ(role.Text({"metadata", "displayName"}), "ClusterReader");
  EXPECT_THAT(Get(kOrg + "/accessbindings").text, HasSubstr("rbac/cluster-reader"));
  const Answer wrong = Apply(R"(apiVersion: rbac.tsb.tetrate.io/v2
kind: Role
metadata: {name: other}
spec: {rules: [{permissions: [READ, FLY], types: [{apiGroup: api.tsb.tetrate.io/v2, kinds: [Castle]}]}]}
)");
  EXPECT_EQ(wrong.status, 400);
  EXPECT_THAT(wrong.text, HasSubstr("spec.rules[0].types[0]"));
  EXPECT_THAT(wrong.text, HasSubstr("spec.rules[0].permissions[1]"));
}

}  // namespace
}  // namespace weir::edge
