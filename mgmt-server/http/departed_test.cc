#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/text_format.h>

#include "mgmt-server/http/rest_fixture.h"

// Nothing is written for a caller who has left while its write waited for its turn.
namespace weir::edge {
namespace {

class Departed : public RestApi {
 protected:
  std::string Call(const std::string& name, const std::string& text, bool gone) {
    const auto* method = google::protobuf::DescriptorPool::generated_pool()->FindMethodByName("weir.v2." + name);
    if (method == nullptr) return "NO_SUCH_METHOD";
    const auto* prototype = google::protobuf::MessageFactory::generated_factory()->GetPrototype(method->input_type());
    const std::unique_ptr<google::protobuf::Message> request(prototype->New());
    if (!google::protobuf::TextFormat::ParseFromString(text, request.get())) return "NO_SUCH_FIELD";
    services::CallContext call;
    call.principal = authn_->Authenticate(admin_).value();
    call.token = admin_;
    call.if_match = {"*"};
    call.gone = std::make_shared<std::atomic<bool>>(gone);
    const auto answer = methods_->CallAs(*method, call, *request);
    return answer.ok() ? "" : answer.error().reason;
  }
  size_t Written() { return store_->Audit({.after = 0, .limit = 10'000}).value().size(); }
};

// In an order in which each of them succeeds for whoever stays.
TEST_F(Departed, WritesNothing) {
  const std::pair<const char*, const char*> calls[] = {
      {"Tenants.CreateTenant", "parent: 'organizations/demo-org' tenant { metadata { name: 't' } spec {} }"},
      {"Tenants.UpdateTenant", R"(fqn: 'organizations/demo-org/tenants/t' tenant { metadata { display_name: 'T' } })"},
      {"Documents.Apply",
       R"(documents: "apiVersion: api.weir.dev/v2\nkind: Cluster\nmetadata: {name: c, organization: demo-org}\n")"},
      {"ClusterOperations.DrainCluster", "fqn: 'organizations/demo-org/clusters/c'"},
      {"ClusterOperations.ActivateCluster", "fqn: 'organizations/demo-org/clusters/c'"},
      {"JoinTokens.CreateJoinToken", "fqn: 'organizations/demo-org/clusters/c'"},
      {"ClusterOperations.RevokeCluster", "fqn: 'organizations/demo-org/clusters/c'"},
      {"Users.CreateUser", "parent: 'organizations/demo-org' user { metadata { name: 'u' } spec {} }"},
      {"Passwords.SetPassword", "fqn: 'organizations/demo-org/users/u' password: 'a-long-password'"},
      {"AccessBindingsService.GrantAccess",
       "fqn: 'organizations/demo-org/tenants/t/accessbindings' role: 'rbac/reader' subject { user: "
       "'organizations/demo-org/users/u' "
       "}"},
      {"AccessBindingsService.RevokeAccess",
       "fqn: 'organizations/demo-org/tenants/t/accessbindings' role: 'rbac/reader' subject { user: "
       "'organizations/demo-org/users/u' "
       "}"},
      {"ServerState.AdoptState", "confirm: true"},
      {"Tenants.DeleteTenant", "fqn: 'organizations/demo-org/tenants/t'"},
  };
  fleet_.held.emplace_back().set_cluster("organizations/demo-org/clusters/c");
  for (const auto& [method, request] : calls) {
    const size_t before = Written();
    EXPECT_EQ(Call(method, request, true), "CALLER_GONE") << method;
    EXPECT_EQ(Written(), before) << method;
    EXPECT_EQ(Call(method, request, false), "") << method;
    EXPECT_GT(Written(), before) << method;
  }
}

}  // namespace
}  // namespace weir::edge
