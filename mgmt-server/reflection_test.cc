#include "mgmt-server/services/reflection.h"

#include <google/protobuf/descriptor.pb.h>

#include <deque>
#include <set>

#include "api/grpc/reflection/v1/reflection.grpc.pb.h"
#include "api/weir/agent/v1/agent.pb.h"
#include "api/weir/v2/kind_services.h"
#include "api/weir/v2/tenant.pb.h"
#include "mgmt-server/services/described_files.h"
#include "mgmt-server/test_assembly.h"

namespace weir::server {
namespace {

namespace messages = grpc::reflection::v1;
using messages::ServerReflection;
using messages::ServerReflectionRequest;
using messages::ServerReflectionResponse;
using ::testing::Contains;

ServerReflectionRequest ListServices() {
  ServerReflectionRequest request;
  request.set_list_services("*");
  return request;
}
ServerReflectionRequest Symbol(const std::string& name) {
  ServerReflectionRequest request;
  request.set_file_containing_symbol(name);
  return request;
}

class ReflectionTest : public Assembly {
 protected:
  struct Stream {
    explicit Stream(const std::shared_ptr<grpc::Channel>& channel)
        : stub(ServerReflection::NewStub(channel)), call(stub->ServerReflectionInfo(&context)) {}
    Result<ServerReflectionResponse> Ask(const ServerReflectionRequest& request) {
      ServerReflectionResponse response;
      if (call->Write(request) && call->Read(&response)) return response;
      return rpc::FromGrpc(call->Finish());
    }
    grpc::ClientContext context;
    std::unique_ptr<ServerReflection::Stub> stub;
    std::unique_ptr<grpc::ClientReaderWriter<ServerReflectionRequest, ServerReflectionResponse>> call;
  };
  std::shared_ptr<grpc::Channel> ChannelWith(const std::string& token) {
    rpc::ChannelOptions options;
    options.target = "127.0.0.1:" + std::to_string(server_->info().grpc_port);
    options.peer = identity::ServerPeer(server_->info().anchor_pem).value();
    options.bearer_token = token;
    return *rpc::MakeChannel(options);
  }
};

TEST_F(ReflectionTest, TellsCallersWithATokenAndNobodyElse) {
  Stream mine(channel_);
  const auto listed = mine.Ask(ListServices());
  ASSERT_TRUE(listed.ok()) << listed.error().ToString();
  std::vector<std::string> names;
  for (const auto& service : listed->list_services_response().service()) names.push_back(service.name());
  for (const char* name : {"weir.v2.Tenants", "weir.v2.Documents", "weir.v2.AccessBindingsService",
                           "weir.v2.JoinTokens", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"}) {
    EXPECT_THAT(names, Contains(name));
  }
  for (const std::string& name : names) {  // What is listed is described.
    const auto described = mine.Ask(Symbol(name));
    ASSERT_TRUE(described.ok());
    EXPECT_FALSE(described->has_error_response()) << name;
  }
  for (const char* token : {"", "nobody"}) {
    const auto refused = Stream(ChannelWith(token)).Ask(ListServices());
    ASSERT_FALSE(refused.ok()) << token;
    EXPECT_EQ(refused.error().code, Code::kUnauthenticated);
  }
}

TEST_F(ReflectionTest, IsTheSameUnderItsOlderName) {
  const auto ask = [](const std::shared_ptr<grpc::Channel>& channel) {
    grpc::ClientContext context;
    auto* call = grpc::internal::ClientReaderWriterFactory<ServerReflectionRequest, ServerReflectionResponse>::Create(
        channel.get(),
        grpc::internal::RpcMethod("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                                  grpc::internal::RpcMethod::BIDI_STREAMING),
        &context);
    const std::unique_ptr<grpc::ClientReaderWriter<ServerReflectionRequest, ServerReflectionResponse>> stream(call);
    ServerReflectionResponse response;
    stream->Write(ListServices());
    stream->Read(&response);
    stream->WritesDone();
    return std::pair(rpc::FromGrpc(stream->Finish()).code, response.list_services_response().service_size());
  };
  EXPECT_EQ(ask(ChannelWith("")).first, Code::kUnauthenticated);
  const auto [code, services] = ask(channel_);
  EXPECT_EQ(code, Code::kOk);
  EXPECT_GT(services, 10);
}

TEST_F(ReflectionTest, OneCallerHasSoManyStreamsAtOnceAndAPlaceIsFreeAgainAfterwards) {
  std::deque<Stream> streams;
  for (size_t i = 0; i < services::Reflection::kStreamsOfOne; ++i) {
    ASSERT_TRUE(streams.emplace_back(channel_).Ask(ListServices()).ok());
  }
  const auto refused = Stream(channel_).Ask(ListServices());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().reason, "TOO_MANY_STREAMS");
  streams.front().call->WritesDone();
  EXPECT_TRUE(streams.front().call->Finish().ok());
  EXPECT_TRUE(Eventually([&] { return Stream(channel_).Ask(ListServices()).ok(); }));
}

TEST_F(ReflectionTest, AStreamEndsWithItsToken) {
  Stream stream(channel_);
  ASSERT_TRUE(stream.Ask(ListServices()).ok());
  grpc::ClientContext context;
  google::protobuf::Empty empty;
  ASSERT_TRUE(v2::Sessions::NewStub(channel_)->Logout(&context, empty, &empty).ok());
  const auto refused = stream.Ask(ListServices());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kUnauthenticated);
}

TEST_F(ReflectionTest, AnOpenStreamDoesNotHoldTheServerUp) {
  Stream stream(channel_);
  ASSERT_TRUE(stream.Ask(ListServices()).ok());
  server_->Stop(std::chrono::minutes(10));  // Longer than the test may take.
}

TEST(DescribedFiles, TellsAFileWithAllThatItImportsAndNothingElse) {
  const services::DescribedFiles files({v2::KindService("Tenant")}, {});
  const auto names_of = [&](const ServerReflectionRequest& request) {
    std::vector<std::string> names;
    const ServerReflectionResponse answer = files.Answer(request);
    for (const auto& bytes : answer.file_descriptor_response().file_descriptor_proto()) {
      google::protobuf::FileDescriptorProto file;
      file.ParseFromString(bytes);
      names.push_back(file.name());
    }
    return names;
  };
  const auto names = names_of(Symbol("weir.v2.Tenants"));
  ASSERT_FALSE(names.empty());
  EXPECT_EQ(names[0], v2::KindService("Tenant")->file()->name());
  EXPECT_THAT(names, Contains(v2::Tenant::descriptor()->file()->name()));
  EXPECT_THAT(names, Contains("google/api/http.proto"));
  EXPECT_EQ(std::set(names.begin(), names.end()).size(), names.size());
  EXPECT_EQ(names_of(Symbol("weir.v2.Tenants.GetTenant")), names);
  ServerReflectionRequest request;
  request.set_file_by_filename(names[0]);
  EXPECT_EQ(names_of(request), names);
  request.mutable_file_containing_extension()->set_containing_type("google.protobuf.MethodOptions");
  request.mutable_file_containing_extension()->set_extension_number(72295728);
  EXPECT_THAT(names_of(request), Contains("google/api/annotations.proto"));
  request.set_all_extension_numbers_of_type("google.protobuf.MethodOptions");
  EXPECT_THAT(files.Answer(request).all_extension_numbers_response().extension_number(), Contains(72295728));
}

TEST(DescribedFiles, WhatIsLinkedInBesideIsAsIfItWereNot) {
  const services::DescribedFiles files({v2::KindService("Tenant")}, {});
  ServerReflectionRequest file, extension, numbers, nothing;
  file.set_file_by_filename(agent::v1::JoinRequest::descriptor()->file()->name());
  extension.mutable_file_containing_extension()->set_containing_type("weir.agent.v1.JoinRequest");
  numbers.set_all_extension_numbers_of_type("weir.agent.v1.JoinRequest");
  for (const auto& request : {Symbol("weir.agent.v1.JoinRequest"), Symbol("no.such.thing"), file, extension, numbers}) {
    const ServerReflectionResponse answer = files.Answer(request);
    EXPECT_EQ(answer.error_response().error_code(), 5) << request.ShortDebugString();
    EXPECT_EQ(answer.error_response().error_message(), "no such thing is described here");
  }
  EXPECT_EQ(files.Answer(nothing).error_response().error_code(), 3);
}

}  // namespace
}  // namespace weir::server
