#include <gmock/gmock.h>
#include <grpcpp/support/client_interceptor.h>
#include <gtest/gtest.h>

#include <utility>

#include "cli/server_fixture.h"
#include "libs/base/mutex.h"

namespace weir::cli {
namespace {

using ::testing::ElementsAre;

// Loses the answer on its way, when that is asked for.
class Losing : public grpc::experimental::Interceptor {
 public:
  explicit Losing(bool loses) : loses_(loses) {}
  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    using Hook = grpc::experimental::InterceptionHookPoints;
    if (loses_ && methods->QueryInterceptionHookPoint(Hook::POST_RECV_STATUS)) {
      *methods->GetRecvStatus() = grpc::Status(grpc::StatusCode::UNAVAILABLE, "the connection broke");
    }
    methods->Proceed();
  }

 private:
  const bool loses_;
};
// Which calls this process makes, before they leave.
class Calls : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  Calls() { grpc::experimental::RegisterGlobalClientInterceptorFactory(this); }
  grpc::experimental::Interceptor* CreateClientInterceptor(grpc::experimental::ClientRpcInfo* info) override {
    MutexLock lock(mutex_);
    made_.emplace_back(info->method());
    return new Losing(lose_ > 0 && lose_-- > 0);
  }
  void LoseAnswers(int count) {
    MutexLock lock(mutex_);
    lose_ = count;
  }
  std::vector<std::string> Take() {
    MutexLock lock(mutex_);
    return std::exchange(made_, {});
  }

 private:
  Mutex mutex_;
  std::vector<std::string> made_ WEIR_GUARDED_BY(mutex_);
  int lose_ WEIR_GUARDED_BY(mutex_) = 0;
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

TEST_F(CommandLine, AWriteWhoseAnswerIsLostIsDoneOnceAndAnswered) {
  const std::string tenant = "apiVersion: api.weir.dev/v2\nkind: Tenant\nmetadata: {name: twice, organization: acme}\n";
  calls.Take();
  calls.LoseAnswers(2);
  ASSERT_EQ(Apply(tenant), kExitOk) << error_;
  EXPECT_EQ(output_, "organizations/acme/tenants/twice created\n") << "the first answer, not that of a repetition";
  EXPECT_THAT(calls.Take(),
              ElementsAre("/weir.v2.Documents/Apply", "/weir.v2.Documents/Apply", "/weir.v2.Documents/Apply"));
  calls.LoseAnswers(1);
  EXPECT_EQ(Run({"delete", "tenant", "twice"}), kExitOk) << error_ << ": not that there is none";
  calls.LoseAnswers(3);
  EXPECT_EQ(Apply(tenant), kExitUnreachable);
  ASSERT_EQ(Run({"get", "tenant", "twice", "-o", "name"}), kExitOk) << "it was done";
}

}  // namespace
}  // namespace weir::cli
