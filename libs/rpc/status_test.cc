#include "libs/rpc/status.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "api/weir/agent/v1/agent.grpc.pb.h"

namespace weir::rpc {
namespace {

TEST(StatusConversion, ViolationsSurvive) {
  Error error = InvalidArgument("INVALID_DOCUMENT", "two things are wrong");
  error.violations = {{"spec.a", "missing", 3, 4}};
  const Error back = FromGrpc(ToGrpc(error));
  EXPECT_EQ(back.reason, "INVALID_DOCUMENT");
  ASSERT_EQ(back.violations.size(), 1u);
  EXPECT_EQ(back.violations[0].line, 3);
  EXPECT_EQ(FromGrpc(grpc::Status(grpc::StatusCode::UNAVAILABLE, "x")).reason, "RPC_UNAVAILABLE");
}

// A client has 8 KiB for trailers unless it is told otherwise, names and 32 bytes each included.
TEST(StatusConversion, FitsIntoTheTrailersThatClientsTake) {
  struct Case {
    const char* what;
    std::string message;
    size_t violations;
    std::string description;
  };
  const std::string many(60, 'f');
  std::string letters;
  while (letters.size() < 60'000) letters += "\xd0\xb6";
  for (const Case& c :
       {Case{"many", "100 fields are wrong", 100, many}, Case{"long", "one", 1, std::string(60'000, 'x')},
        Case{"long and many", letters, 100, letters}, Case{"a long message", letters, 0, ""},
        Case{"bytes", std::string(9'000, '\xff'), 3, std::string(9'000, '\xff')}}) {
    Error error = InvalidArgument("INVALID_DOCUMENT", "{}", c.message);
    error.violations.assign(c.violations, {"spec." + many, c.description, 1, 2});
    const grpc::Status status = ToGrpc(error, std::string(128, 'r'));
    size_t message = 0;
    for (const char byte : status.error_message()) message += byte >= 0x20 && byte < 0x7f && byte != '%' ? 1 : 3;
    EXPECT_LT(message + (status.error_details().size() + 2) / 3 * 4 + 300, 8192u) << c.what;
    const Error back = FromGrpc(status);
    EXPECT_EQ(back.reason, "INVALID_DOCUMENT") << c.what;
    if (c.violations == 0) continue;
    EXPECT_GT(back.violations.size(), c.violations == 1 ? 0u : 1u) << c.what;
    EXPECT_EQ(back.violations[0].line, 1) << c.what;
    if (back.violations.size() == c.violations) {
      EXPECT_EQ(back.violations.back().line, 1) << c.what;
    } else {
      const size_t left = c.violations - back.violations.size() + 1;
      EXPECT_EQ(back.violations.back().description, fmt::format("and {} more, not listed here", left)) << c.what;
    }
  }
}

class Faulty : public agent::v1::WorkloadIdentity::Service {
  grpc::Status Sign(grpc::ServerContext*, const agent::v1::SignRequest*, agent::v1::SignResponse*) override {
    Error error = InvalidArgument("MANY", "100 fields are wrong");
    error.violations.assign(100, {"spec." + std::string(60, 'f'), "there is no such field", 1, 2});
    return ToGrpc(error);
  }
};

TEST(StatusConversion, AnErrorWithManyFaultsArrivesThroughAChannelAsAnybodyMakesIt) {
  Faulty service;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const auto server = builder.BuildAndStart();
  const auto stub = agent::v1::WorkloadIdentity::NewStub(
      grpc::CreateChannel("127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  agent::v1::SignResponse response;
  const Error error = FromGrpc(stub->Sign(&context, {}, &response));
  EXPECT_EQ(error.reason, "MANY") << error.message;
  EXPECT_GT(error.violations.size(), 20u);
}

}  // namespace
}  // namespace weir::rpc
