// Port 15012 over real connections.
#include "cluster-agent/serve/data_plane.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <thread>

#include "api/weir/agent/v1/agent.grpc.pb.h"
#include "api/weir/agent/v1/discovery.pb.h"
#include "api/weir/mesh/v1/intent.pb.h"
#include "envoy/service/discovery/v3/ads.grpc.pb.h"
#include "libs/base/descriptors.h"
#include "libs/base/file.h"
#include "libs/dialect/dialect.h"
#include "libs/identity/certificates.h"
#include "libs/identity/spiffe_id.h"
#include "libs/identity/token.h"
#include "libs/rpc/channel.h"
#include "libs/rpc/time.h"
#include "libs/xds/protocol/types.h"
#include "tests/support/http2_peer.h"
#include "tests/support/real_time.h"
#include "tests/support/stranger.h"

namespace weir::agent {
namespace {

using envoy::service::discovery::v3::AggregatedDiscoveryService;
using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DeltaDiscoveryResponse;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kDomain = "c1.acme.weir.internal";

class DataPlaneTest : public testing::Test {
 protected:
  DataPlaneTest() {
    char folder[] = "/tmp/weir-data-plane-XXXXXX";
    EXPECT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
    const auto root = identity::NewRoot("acme").value();
    membership_.anchor_pem = identity::NewServerAnchor().value().certificate_pem;
    membership_.cluster = "c1";
    membership_.organization = "acme";
    membership_.trust_domain = kDomain;
    membership_.root_pem = root.certificate_pem;
    membership_.workload_key = identity::NewWorkloadKey();
    membership_.intermediate.key_pem = identity::NewKey().value();
    membership_.intermediate.certificate_pem =
        identity::SignIntermediate(root, {identity::MakeCsr(membership_.intermediate.key_pem).value(),
                                          kDomain,
                                          {"uid", 1},
                                          std::chrono::hours(24 * 30)})
            .value();
    Start();
  }

  // As an agent does with the membership that it has, in the folder that it had.
  void Start(const std::vector<std::string>& more = {}) {
    plane_.reset();
    DataPlaneOptions options;
    options.listen = "127.0.0.1:0";
    options.tls_dir = folder_ + "/tls";
    options.workloads_dir = folder_ + "/workloads";
    plane_ = DataPlane::Start(std::move(options), membership_,
                              NewAgentLeaf(membership_, std::chrono::hours(24), clock_).value(), [] {})
                 .value();
    translate::Facts facts;
    std::vector<std::string> names = more;
    names.push_back("t1");
    for (const std::string& name : names) {
      auto workload = std::make_shared<v1::Workload>();
      workload->set_namespace_("edge");
      workload->set_name(name);
      workload->set_service_account(name);
      workload->add_addresses("127.0.0.1");
      facts.workloads["edge/" + name] = workload;
    }
    plane_->SetFacts(facts);
    plane_->SetIntent(translate::Intent());
  }

  std::string Path(const std::string& name) { return folder_ + "/workloads/edge/" + name; }
  std::string File(const std::string& name) { return ReadFile(Path("t1/" + name)).value(); }
  bool Opens(const std::string& token) {
    v1::SignRequest request;
    request.set_csr_pem(identity::MakeCsr(identity::NewKey().value()).value());
    v1::SignResponse response;
    grpc::ClientContext context;
    const auto status = v1::WorkloadIdentity::NewStub(Channel(token))->Sign(&context, request, &response);
    EXPECT_TRUE(status.ok() || status.error_code() == grpc::StatusCode::UNAUTHENTICATED) << status.error_message();
    return status.ok();
  }
  std::string Token() {
    std::string token = File("token");
    while (token.ends_with('\n')) token.pop_back();
    return token;
  }
  std::shared_ptr<grpc::Channel> Channel(const std::string& token) {
    rpc::ChannelOptions options;
    options.target = plane_->address();
    options.peer = identity::AgentPeer(membership_.root_pem, kDomain);
    options.bearer_token = token;
    return rpc::MakeChannel(options).value();
  }
  const Clock& clock_ = Clock::Real();  // gRPC looks at the time of certificates by itself.
  std::string folder_;
  Membership membership_;
  std::unique_ptr<DataPlane> plane_;
};

TEST_F(DataPlaneTest, TakesNoMessageOfADataPlaneAboveItsBound) {
  v1::SignRequest request;
  request.set_csr_pem(std::string(5 << 20, 'x'));
  v1::SignResponse response;
  grpc::ClientContext context;
  EXPECT_EQ(v1::WorkloadIdentity::NewStub(Channel(Token()))->Sign(&context, request, &response).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(DataPlaneTest, TellsAConnectionHowManyCallsItMayHaveAtOnce) {
  EXPECT_EQ(Http2Peer(plane_->address()).Setting(Http2Peer::kMaxConcurrentStreams), 32u);
}

TEST_F(DataPlaneTest, JudgesATokenBeforeItReadsAMessageOfIt) {
  v1::SignRequest request;
  request.set_csr_pem(std::string(5 << 20, 'x'));  // Above the bound: were it read, it would be refused for that.
  v1::SignResponse response;
  grpc::ClientContext context;
  EXPECT_EQ(v1::WorkloadIdentity::NewStub(Channel("nobody's"))->Sign(&context, request, &response).error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(DataPlaneTest, KeepsTheTokensOfItsMembership) {
  const std::string token = Token();
  EXPECT_TRUE(Opens(token));
  const auto written = std::filesystem::last_write_time(Path("t1/token"));
  Start();
  EXPECT_EQ(Token(), token);
  EXPECT_EQ(std::filesystem::last_write_time(Path("t1/token")), written) << "its owner is left as it is";
  EXPECT_TRUE(Opens(token));
}

// Whoever had a copy of the workloads' folder, or wrote something there, is nobody in the next membership: not as a
// workload of now, and not as one that is declared again later.
TEST_F(DataPlaneTest, WhatLayInTheFolderOpensNothingInAnotherMembership) {
  Start({"t2"});
  const std::string first = Token(), second = ReadFile(Path("t2/token")).value().substr(0, 64);
  EXPECT_TRUE(Opens(first));
  EXPECT_TRUE(Opens(second));
  const std::string planted(64, 'a');
  membership_.workload_key = identity::NewWorkloadKey();
  ASSERT_TRUE(identity::WriteSecretFile(Path("t1/token"), planted + "\n").ok());
  for (const std::vector<std::string>& more : {std::vector<std::string>(), std::vector<std::string>{"t2"}}) {
    Start(more);
    EXPECT_TRUE(Opens(Token()));
    EXPECT_EQ(File("authorization"), "Bearer " + Token());
    for (const std::string& old : {first, second, planted}) EXPECT_FALSE(Opens(old));
  }
}

TEST_F(DataPlaneTest, SilentStrangersKeepNobodyOut) {
  RaiseDescriptorLimit();
  std::vector<Stranger> strangers;
  for (int i = 0; i < 1100; ++i) strangers.emplace_back("127.0.0.2", plane_->port());
  EXPECT_TRUE(Eventually([&] { return strangers[75].Closed(); })) << "one source has 1024 places";
  EXPECT_FALSE(strangers[76].Closed());
  v1::SignRequest request;
  v1::SignResponse response;
  grpc::ClientContext context;
  context.set_deadline(rpc::DeadlineIn(std::chrono::seconds(20)));
  EXPECT_EQ(v1::WorkloadIdentity::NewStub(Channel(Token()))->Sign(&context, request, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT)
      << "a request without a key is heard";
}

// A stock Envoy's key is the agent's to keep only while that Envoy is there: else its renewal would be due for ever.
TEST_F(DataPlaneTest, WhatANodeOwnedGoesWithTheNode) {
  grpc::ClientContext context;
  const auto channel = Channel(Token());
  const auto stream = AggregatedDiscoveryService::NewStub(channel)->DeltaAggregatedResources(&context);
  DeltaDiscoveryRequest request;
  request.mutable_node()->set_id("n");
  request.set_type_url(std::string(xds::kSecret));
  request.add_resource_names_subscribe("identity");
  ASSERT_TRUE(stream->Write(request));
  DeltaDiscoveryResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.control_plane().identifier(), "weir-agent");
  EXPECT_EQ(plane_->Identities(), 1u);
  EXPECT_THAT(plane_->Dump(), HasSubstr("edge/t1|envoy"));
  context.TryCancel();
  stream->Finish();
  EXPECT_TRUE(Eventually([&] { return plane_->Identities() == 0; }));
  EXPECT_THAT(plane_->Dump(), Not(HasSubstr("edge/t1|envoy")));
}

// The kind of node that a second stream says it is has a configuration of its own: it says nothing of the first's.
TEST_F(DataPlaneTest, AStreamThatComesAndGoesTakesNothingFromTheOneThatStands) {
  const auto channel = Channel(Token());
  const auto stub = AggregatedDiscoveryService::NewStub(channel);
  const auto ask = [](auto& stream, bool ours) {
    DeltaDiscoveryRequest request;
    request.mutable_node()->set_id("n");
    if (ours) request.mutable_node()->add_client_features(std::string(dialect::kFeatureVhds));
    request.set_type_url(std::string(xds::kCluster));
    ASSERT_TRUE(stream->Write(request));
    DeltaDiscoveryResponse response;
    ASSERT_TRUE(stream->Read(&response));
  };
  const auto connected = [&] {
    v1::Applied applied;
    plane_->Applied(true, &applied);
    return applied.gateways_size() == 1 && applied.gateways(0).connected();
  };
  grpc::ClientContext standing, passing;
  const auto stands = stub->DeltaAggregatedResources(&standing);
  ask(stands, true);
  EXPECT_TRUE(connected());
  const auto passes = stub->DeltaAggregatedResources(&passing);
  ask(passes, false);
  EXPECT_EQ(plane_->Streams(), 2u);
  passing.TryCancel();
  passes->Finish();
  EXPECT_TRUE(Eventually([&] { return plane_->Streams() == 1; }));
  EXPECT_TRUE(Eventually([&] { return plane_->Dump().find("edge/t1|envoy") == std::string::npos; }));
  EXPECT_TRUE(connected());
  standing.TryCancel();
  stands->Finish();
  EXPECT_TRUE(Eventually([&] { return !connected(); }));
}

// An older stream of a stock Envoy stands beside the one that counts: what ours acknowledged is known as acknowledged.
TEST_F(DataPlaneTest, AStreamIsJudgedByWhatItsOwnKindOfNodeIsToRun) {
  translate::Intent intent;
  auto listener = std::make_shared<mesh::v1::Listener>();
  listener->set_name("edge/t1/80");
  listener->set_port(80);
  listener->set_tier(mesh::v1::TIER1);
  listener->mutable_selector()->set_namespace_("edge");
  intent.listeners[listener->name()] = {listener, "1"};
  const auto stub = AggregatedDiscoveryService::NewStub(Channel(Token()));
  grpc::ClientContext of_stock, of_ours;
  const auto stock = stub->DeltaAggregatedResources(&of_stock);
  DeltaDiscoveryRequest request;
  DeltaDiscoveryResponse response;
  request.mutable_node()->set_id("n");
  request.set_type_url(std::string(xds::kListener));
  ASSERT_TRUE(stock->Write(request) && stock->Read(&response));
  const auto ours = stub->DeltaAggregatedResources(&of_ours);
  request.mutable_node()->add_client_features(std::string(dialect::kFeatureVhds));
  ASSERT_TRUE(ours->Write(request) && ours->Read(&response));
  plane_->SetIntent(intent);
  const auto acknowledge = [&] {
    request.set_response_nonce(response.nonce());
    return ours->Write(request);
  };
  while (response.resources_size() == 0) ASSERT_TRUE(acknowledge() && ours->Read(&response));
  ASSERT_TRUE(acknowledge());
  request.clear_response_nonce();
  request.set_type_url(std::string(xds::kRoute));  // Without its routes a listener does not count as applied.
  request.add_resource_names_subscribe(listener->name());
  ASSERT_TRUE(ours->Write(request) && ours->Read(&response));
  request.clear_resource_names_subscribe();
  ASSERT_TRUE(acknowledge());
  EXPECT_TRUE(Eventually([&] {
    v1::Applied applied;
    plane_->Applied(true, &applied);
    return applied.gateways_size() == 1 && applied.gateways(0).intents_size() == 1 &&
           applied.gateways(0).intents(0).version() == "1";
  }));
  for (auto* context : {&of_stock, &of_ours}) context->TryCancel();
}

TEST_F(DataPlaneTest, SaysOfAMessageThatItCannotBeReadAndNothingOfAnEnd) {
  const auto channel = Channel(Token());
  const auto stub = AggregatedDiscoveryService::NewStub(channel);
  DeltaDiscoveryRequest request;
  DeltaDiscoveryResponse response;
  grpc::ClientContext bad, good;
  const auto refused = stub->DeltaAggregatedResources(&bad);
  request.set_type_url("\xff");  // No UTF-8.
  ASSERT_TRUE(refused->Write(request));
  EXPECT_FALSE(refused->Read(&response));
  const grpc::Status why = refused->Finish();
  EXPECT_EQ(why.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(why.error_message(), "the message is no envoy.service.discovery.v3.DeltaDiscoveryRequest");
  const auto ended = stub->DeltaAggregatedResources(&good);
  request.mutable_node()->set_id("n");
  request.set_type_url(std::string(xds::kCluster));
  ASSERT_TRUE(ended->Write(request) && ended->Read(&response));
  ended->WritesDone();
  EXPECT_FALSE(ended->Read(&response));
  const grpc::Status end = ended->Finish();  // CANCELLED when the server had not heard yet that its answer was sent.
  EXPECT_TRUE(end.ok() || end.error_code() == grpc::StatusCode::CANCELLED) << end.error_message();
}

TEST_F(DataPlaneTest, TheBootstrapOfAStockEnvoyHoldsNoTokenAndLimitsWhatAnEdgeMustLimit) {
  const std::string bootstrap = File("envoy.yaml");
  EXPECT_THAT(bootstrap, Not(HasSubstr(Token())));
  EXPECT_EQ(File("authorization"), "Bearer " + Token());
  for (const char* part : {"workloads/edge/t1/authorization", "fixed_heap", "global_downstream_max_connections",
                           "stop_accepting_requests", "shrink_heap"}) {
    EXPECT_THAT(bootstrap, HasSubstr(part));
  }
}

}  // namespace
}  // namespace weir::agent
