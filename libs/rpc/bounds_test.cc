// What a connection may cost a server, whoever holds it. gRPC goes by its own clock: the times are short, and real.
#include <arpa/inet.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/weir/agent/v1/agent.grpc.pb.h"
#include "libs/identity/certificates.h"
#include "libs/identity/peer.h"
#include "libs/rpc/server.h"
#include "libs/rpc/time.h"
#include "tests/support/http2_peer.h"
#include "tests/support/real_time.h"

namespace weir::rpc {
namespace {

class Signer : public agent::v1::WorkloadIdentity::Service {
  grpc::Status Sign(grpc::ServerContext*, const agent::v1::SignRequest*, agent::v1::SignResponse*) override {
    return grpc::Status::OK;
  }
};

class Bounds : public testing::Test {
 protected:
  ~Bounds() override { server_->Shutdown(DeadlineIn(std::chrono::seconds(1))); }
  void Start(const ServerBounds& bounds) {
    const auto issuer = identity::NewServerAnchor().value();
    ServerTls tls;
    tls.key_pem = identity::NewKey().value();
    identity::LeafRequest request;
    request.csr_pem = identity::MakeCsr(tls.key_pem).value();
    request.spiffe_id = identity::ServerPeer(issuer.certificate_pem)->spiffe_id;
    tls.chain_pem = identity::SignLeaf(issuer, request).value();
    grpc::ServerBuilder builder;
    ApplyDefaults(builder, bounds);
    builder.AddListeningPort("127.0.0.1:0", FixedServerTls(tls).value(), &port_);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
  }
  std::string Address() const { return "127.0.0.1:" + std::to_string(port_); }

  Signer service_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(Bounds, AConnectionIsToldHowManyCallsItMayHaveAtOnce) {
  Start({.streams = 7});
  EXPECT_EQ(Http2Peer(Address()).Setting(Http2Peer::kMaxConcurrentStreams), 7u);
}

TEST_F(Bounds, AMessageThatAllBuffersTogetherCannotHoldIsRefusedAndTheNextIsNot) {
  Start({.memory = 4 << 20});
  grpc::experimental::TlsChannelCredentialsOptions trusting;
  trusting.set_verify_server_certs(false);
  trusting.set_check_call_host(false);
  trusting.set_certificate_verifier(std::make_shared<grpc::experimental::NoOpCertificateVerifier>());
  const auto stub = agent::v1::WorkloadIdentity::NewStub(
      grpc::CreateChannel(Address(), grpc::experimental::TlsCredentials(trusting)));
  for (const auto& [bytes, code] :
       {std::pair(size_t{100}, grpc::StatusCode::OK), std::pair(size_t{16 << 20}, grpc::StatusCode::RESOURCE_EXHAUSTED),
        std::pair(size_t{100}, grpc::StatusCode::OK)}) {
    agent::v1::SignRequest request;
    request.set_csr_pem(std::string(bytes, 'x'));
    agent::v1::SignResponse response;
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    const grpc::Status status = stub->Sign(&context, request, &response);
    EXPECT_EQ(status.error_code(), code) << bytes << " bytes: " << status.error_message();
  }
}

TEST_F(Bounds, AConnectionWithoutACallIsClosed) {
  Start({.idle_seconds = 1});
  Http2Peer idle(Address());
  ASSERT_TRUE(idle.Setting(Http2Peer::kMaxConcurrentStreams));
  EXPECT_NE(idle.ToTheEnd().find("enter idle"), std::string::npos);  // Not because it answers no ping.
}

TEST_F(Bounds, WhoDoesNotShakeHandsIsClosed) {
  Start({.handshake_seconds = 1});
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(static_cast<uint16_t>(port_));
  ASSERT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  EXPECT_TRUE(Eventually([&] {
    char byte;
    const ssize_t got = recv(fd, &byte, 1, MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno != EAGAIN);
  }));
  close(fd);
}

TEST(BearerTokens, TheSchemeIsFoundInAnyCase) {
  for (const char* value : {"Bearer abc", "bearer abc", "BEARER abc", "bEaReR abc"}) {
    EXPECT_EQ(BearerToken(std::string_view(value)), "abc") << value;
  }
  for (const char* value : {"", "Bearer", "Bearer ", "Basic abc", "Bearerabc", "abc"}) {
    EXPECT_EQ(BearerToken(std::string_view(value)), "") << value;
  }
}

}  // namespace
}  // namespace weir::rpc
