#include "mgmt-server/server.h"

#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "api/weir/agent/v1/agent.grpc.pb.h"
#include "api/weir/bootstrap/v1/bootstrap.pb.h"
#include "api/weir/v2/documents.grpc.pb.h"
#include "api/weir/v2/session.grpc.pb.h"
#include "api/weir/v2/tenant_service.grpc.pb.h"
#include "libs/base/descriptors.h"
#include "libs/base/file.h"
#include "libs/base/ids.h"
#include "libs/http/client.h"
#include "libs/rpc/channel.h"
#include "libs/rpc/status.h"
#include "libs/rpc/time.h"
#include "tests/support/real_time.h"
#include "tests/support/stranger.h"

namespace weir::server {
namespace {

using ::testing::HasSubstr;

class WeirServer : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("weir-server-" + RandomHex(8));
    bootstrap_.set_state_dir(folder_ + "/state");
    bootstrap_.set_organization("acme");
    bootstrap_.set_rest_port(0);
    bootstrap_.set_grpc_port(0);
    bootstrap_.set_agent_port(0);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override {
    server_.reset();
    std::filesystem::remove_all(folder_);
  }

  void Start() {
    auto server = Server::Start(bootstrap_);
    ASSERT_TRUE(server.ok()) << server.error().ToString() << server.error().cause;
    server_ = std::move(server).value();
  }
  std::shared_ptr<grpc::Channel> Channel(const std::string& token = "") {
    rpc::ChannelOptions options;
    options.target = "127.0.0.1:" + std::to_string(server_->info().grpc_port);
    options.peer = identity::ServerPeer(server_->info().anchor_pem).value();
    options.bearer_token = token;
    auto channel = rpc::MakeChannel(options);
    EXPECT_TRUE(channel.ok());
    EXPECT_TRUE((*channel)->WaitForConnected(rpc::DeadlineIn(std::chrono::seconds(20))));
    return std::move(channel).value();
  }
  std::string LogIn() {
    auto password = ReadFile(bootstrap_.state_dir() + "/admin-password");
    EXPECT_TRUE(password.ok());
    v2::LoginRequest request;
    request.set_organization("acme");
    request.set_user("admin");
    request.set_password(password->substr(0, password->find('\n')));
    v2::LoginResponse response;
    grpc::ClientContext context;
    const auto status = v2::Sessions::NewStub(Channel())->Login(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.token();
  }

  std::string folder_;
  bootstrap::v1::Server bootstrap_;
  std::unique_ptr<Server> server_;
};

TEST_F(WeirServer, StartsFromNothingAndKeepsWhatItStored) {
  Start();
  EXPECT_TRUE(server_->info().first_start);
  struct stat facts{};
  ASSERT_EQ(stat(bootstrap_.state_dir().c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0700u);
  ASSERT_EQ(stat(server_->info().password_path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
  const std::string root = server_->info().anchor_pem;

  v2::CreateTenantRequest request;
  request.set_parent("organizations/acme");
  request.mutable_tenant()->mutable_metadata()->set_name("t");
  v2::Tenant tenant;
  grpc::ClientContext context;
  const auto created = v2::Tenants::NewStub(Channel(LogIn()))->CreateTenant(&context, request, &tenant);
  ASSERT_TRUE(created.ok()) << created.error_message();
  server_->Stop();
  server_.reset();

  Start();
  EXPECT_FALSE(server_->info().first_start);
  EXPECT_EQ(server_->info().anchor_pem, root);
  v2::GetTenantRequest get;
  get.set_fqn("organizations/acme/tenants/t");
  v2::Tenant read;
  grpc::ClientContext again;
  const auto got = v2::Tenants::NewStub(Channel(LogIn()))->GetTenant(&again, get, &read);
  ASSERT_TRUE(got.ok()) << got.error_message();
  EXPECT_EQ(read.metadata().uid(), tenant.metadata().uid());
}

// curl and browsers match DNS names and addresses; what they trust for that signs no cluster.
TEST_F(WeirServer, IsBelievedUnderItsAnchorByNameAndByIdAndUnderTheMeshRootNotAtAll) {
  Start();
  const auto& info = server_->info();
  EXPECT_EQ(ReadFile(bootstrap_.state_dir() + "/server-anchor.pem").value(), info.anchor_pem);
  EXPECT_EQ(ReadFile(bootstrap_.state_dir() + "/mesh-root.pem").value(), info.mesh_root_pem);
  const auto reaches = [&](const std::string& ca_pem, const std::string& name, const std::string& id) {
    http::ClientOptions options;
    options.port = info.rest_port;
    options.ca_pem = ca_pem;
    options.server_name = name;
    options.spiffe_id = id;
    return http::Client::Create(options)->Do({}).ok();
  };
  EXPECT_TRUE(reaches(info.anchor_pem, "localhost", ""));
  EXPECT_TRUE(reaches(info.anchor_pem, "127.0.0.1", ""));
  EXPECT_TRUE(reaches(info.anchor_pem, "", identity::ServerPeer(info.anchor_pem)->spiffe_id));
  EXPECT_FALSE(reaches(info.anchor_pem, "elsewhere.example.com", ""));
  EXPECT_FALSE(reaches(info.mesh_root_pem, "localhost", ""));
}

TEST_F(WeirServer, SaysByGrpcWhatItSaysByRest) {
  Start();
  v2::GetTenantRequest get;
  get.set_fqn("organizations/acme/tenants/absent");
  v2::Tenant tenant;
  grpc::ClientContext anonymous;
  Error error = rpc::FromGrpc(v2::Tenants::NewStub(Channel())->GetTenant(&anonymous, get, &tenant));
  EXPECT_EQ(error.code, Code::kUnauthenticated);
  grpc::ClientContext context;
  error = rpc::FromGrpc(v2::Tenants::NewStub(Channel(LogIn()))->GetTenant(&context, get, &tenant));
  EXPECT_EQ(error.reason, "RESOURCE_MISSING");
}

TEST_F(WeirServer, ReadsNoMessageOfAStranger) {
  Start();
  v2::ApplyDocumentsRequest large;
  large.set_documents(std::string(60u << 20, 'x'));
  for (int i = 0; i < 6; ++i) {
    grpc::ClientContext context;
    v2::ApplyDocumentsResponse response;
    const grpc::Status status = v2::Documents::NewStub(Channel())->Apply(&context, large, &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED) << status.error_message();
    EXPECT_EQ(rpc::FromGrpc(status).reason, "BAD_TOKEN") << "its length was looked at before its caller was";
  }
  grpc::ClientContext context;
  v2::ApplyDocumentsResponse response;
  const grpc::Status status = v2::Documents::NewStub(Channel(LogIn()))->Apply(&context, large, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << "4 MiB are enough for everybody";
}

TEST_F(WeirServer, AnswersStrangersAtTheAgentsPortToAJoinOnly) {
  Start();
  rpc::ChannelOptions options;
  options.target = "127.0.0.1:" + std::to_string(server_->info().agent_port);
  options.peer = identity::ServerPeer(server_->info().anchor_pem).value();
  auto channel = rpc::MakeChannel(options);
  ASSERT_TRUE(channel.ok());
  grpc::ClientContext context;
  agent::v1::JoinResponse joined;
  const auto stub = agent::v1::ClusterJoin::NewStub(*channel);
  Error error = rpc::FromGrpc(stub->Join(&context, {}, &joined));
  EXPECT_EQ(error.code, Code::kUnauthenticated);
  EXPECT_THAT(error.reason, HasSubstr("JOIN_TOKEN"));
  grpc::ClientContext renewal;
  EXPECT_EQ(rpc::FromGrpc(stub->Renew(&renewal, {}, &joined)).reason, "CERTIFICATE_MISSING");
}

TEST_F(WeirServer, SilentStrangersKeepNobodyOut) {
  RaiseDescriptorLimit();
  ManualClock clock;  // Stands still: nobody has to go for having been silent too long.
  SetToPresent(clock);
  server_ = Server::Start(bootstrap_, clock).value();
  std::vector<Stranger> strangers;
  for (const int port : {server_->info().grpc_port, server_->info().agent_port}) {
    for (int i = 0; i < 4100; ++i) strangers.emplace_back("127.0.0.2", port);
  }
  const auto open = [&] {
    return std::count_if(strangers.begin(), strangers.end(), [](auto& s) { return !s.Closed(); });
  };
  EXPECT_TRUE(Eventually([&] { return open() == 256 + 1024; })) << open();
  EXPECT_NE(LogIn(), "");
  rpc::ChannelOptions options;
  options.target = "127.0.0.1:" + std::to_string(server_->info().agent_port);
  options.peer = identity::ServerPeer(server_->info().anchor_pem).value();
  grpc::ClientContext context;
  context.set_deadline(rpc::DeadlineIn(std::chrono::seconds(20)));
  agent::v1::JoinResponse joined;
  const auto status = agent::v1::ClusterJoin::NewStub(rpc::MakeChannel(options).value())->Join(&context, {}, &joined);
  EXPECT_THAT(rpc::FromGrpc(status).reason, HasSubstr("JOIN_TOKEN"));
  server_.reset();  // Before its clock.
}

TEST_F(WeirServer, SaysWhenToSignInAgain) {
  Start();
  v2::LoginRequest request;
  request.set_organization("acme");
  request.set_user("nobody");
  request.set_password("wrong");
  const auto stub = v2::Sessions::NewStub(Channel());
  v2::LoginResponse response;
  for (int i = 0; i < 10; ++i) {
    grpc::ClientContext context;
    EXPECT_EQ(rpc::FromGrpc(stub->Login(&context, request, &response)).reason, "BAD_CREDENTIALS");
  }
  grpc::ClientContext context;
  EXPECT_EQ(rpc::FromGrpc(stub->Login(&context, request, &response)).reason, "TOO_MANY_ATTEMPTS");
  const auto& trailers = context.GetServerTrailingMetadata();
  const auto after = trailers.find("retry-after");
  ASSERT_NE(after, trailers.end());
  EXPECT_GT(std::atoi(std::string(after->second.data(), after->second.size()).c_str()), 0);
}

TEST_F(WeirServer, SaysToAnybodyThatItIsHealthy) {
  Start();
  grpc::GenericStub stub(Channel());
  grpc::CompletionQueue queue;
  void* tag = nullptr;
  bool ok = false;
  grpc::ClientContext context;
  const grpc::Slice whole_server("");
  auto call =
      stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check", grpc::ByteBuffer(&whole_server, 1), &queue);
  call->StartCall();
  grpc::ByteBuffer answer;
  grpc::Status status;
  call->Finish(&answer, &status, nullptr);
  ASSERT_TRUE(queue.Next(&tag, &ok));
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(answer.Length(), 2u);  // status: SERVING
}

TEST_F(WeirServer, RefusesAStateFolderThatAnotherOneUses) {
  Start();
  auto second = Server::Start(bootstrap_);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().reason, "STATE_IN_USE");
}

TEST_F(WeirServer, NamesTheFlagWhenAPortIsInUse) {
  Start();
  bootstrap::v1::Server other = bootstrap_;
  other.set_state_dir(folder_ + "/other");
  other.set_grpc_port(server_->info().grpc_port);
  auto second = Server::Start(other);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().reason, "PORT_IN_USE");
  EXPECT_THAT(second.error().message, HasSubstr("--grpc-port"));
}

TEST_F(WeirServer, AppliesTheFirstDocumentsOnce) {
  bootstrap_.set_first_documents(folder_ + "/first.yaml");
  ASSERT_TRUE(
      WriteFileAtomic(bootstrap_.first_documents(),
                      "apiVersion: api.weir.dev/v2\nkind: Tenant\nmetadata: {name: first, organization: acme}\n")
          .ok());
  Start();
  v2::ListTenantsRequest list;
  list.set_parent("organizations/acme");
  v2::ListTenantsResponse tenants;
  grpc::ClientContext context;
  const auto listed = v2::Tenants::NewStub(Channel(LogIn()))->ListTenants(&context, list, &tenants);
  ASSERT_TRUE(listed.ok()) << listed.error_message();
  ASSERT_EQ(tenants.items_size(), 1);
  EXPECT_EQ(tenants.items(0).metadata().name(), "first");
}

TEST_F(WeirServer, NamesEveryMistakeOfItsBootstrap) {
  bootstrap_.set_organization("Not A Label");
  bootstrap_.set_rest_port(70000);
  auto server = Server::Start(bootstrap_);
  ASSERT_FALSE(server.ok());
  EXPECT_GE(server.error().violations.size(), 2u);
}

}  // namespace
}  // namespace weir::server
