#include <gmock/gmock.h>
#include <grpcpp/support/client_interceptor.h>
#include <gtest/gtest.h>

#include <utility>

#include "cli/server_fixture.h"
#include "libs/base/mutex.h"

namespace weir::cli {
namespace {

using ::testing::ElementsAre;

class Nothing : public grpc::experimental::Interceptor {
  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override { methods->Proceed(); }
};
// Which calls this process makes, before they leave.
class Calls : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  Calls() { grpc::experimental::RegisterGlobalClientInterceptorFactory(this); }
  grpc::experimental::Interceptor* CreateClientInterceptor(grpc::experimental::ClientRpcInfo* info) override {
    MutexLock lock(mutex_);
    made_.emplace_back(info->method());
    return new Nothing;
  }
  std::vector<std::string> Take() {
    MutexLock lock(mutex_);
    return std::exchange(made_, {});
  }

 private:
  Mutex mutex_;
  std::vector<std::string> made_ WEIR_GUARDED_BY(mutex_);
};
Calls& calls = *new Calls;  // Known to gRPC before the first call, and to its end.

// One gateway in each of many workspaces.
class ManyWorkspaces : public CommandLine {
 protected:
  ManyWorkspaces() {
    documents_ = "apiVersion: api.weir.dev/v2\nkind: Tenant\nmetadata: {name: t, organization: acme}\n";
    for (int i = 0; i < 60; ++i) {
      documents_ += fmt::format(R"(---
apiVersion: api.weir.dev/v2
kind: Workspace
metadata: {{name: w{0}, organization: acme, tenant: t}}
spec: {{namespaceSelector: {{names: ["*/n{0}"]}}}}
---
apiVersion: gateway.weir.dev/v2
kind: GatewayGroup
metadata: {{name: g{0}, organization: acme, tenant: t, workspace: w{0}}}
---
apiVersion: gateway.weir.dev/v2
kind: Gateway
metadata: {{name: shop{0}, organization: acme, tenant: t, workspace: w{0}, group: g{0}}}
spec:
  workloadSelector: {{namespace: n{0}, labels: {{app: t2}}}}
  http:
  - name: s
    hostname: h{0}.example.com
    port: 80
    routing: {{rules: [{{route: {{serviceDestination: {{host: n{0}/web.n{0}.svc.cluster.local, port: 80}}}}}}]}}
)",
                                i);
    }
  }
};

TEST_F(ManyWorkspaces, AGatewayIsFoundByItsNameInOneCall) {
  calls.Take();
  ASSERT_EQ(Run({"status", "gateway", "shop41"}), kExitOk) << error_;
  EXPECT_THAT(output_, testing::HasSubstr("workspaces/w41/"));
  EXPECT_THAT(calls.Take(), ElementsAre("/weir.v2.Gateways/ListGateways", "/weir.v2.Statuses/GetStatus"));
  ASSERT_EQ(Run({"get", "gateway", "shop41"}), kExitOk) << error_;
  EXPECT_THAT(calls.Take(), ElementsAre("/weir.v2.Gateways/ListGateways", "/weir.v2.Gateways/GetGateway"));
  ASSERT_EQ(Run({"get", "gateways"}), kExitOk) << error_;
  EXPECT_THAT(calls.Take(), ElementsAre("/weir.v2.Gateways/ListGateways"));
  ASSERT_EQ(Run({"status"}), kExitOk) << error_;
  EXPECT_THAT(calls.Take(), ElementsAre("/weir.v2.Statuses/ListStatuses"));
}

}  // namespace
}  // namespace weir::cli
