#include "libs/gateway/gateway.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <thread>

#include "api/weir/bootstrap/v1/bootstrap.pb.h"
#include "libs/base/file.h"
#include "libs/base/ids.h"
#include "libs/gateway/gateway_test_agent.h"
#include "libs/gateway/plain_role.h"
#include "libs/identity/certificates.h"
#include "libs/identity/spiffe_id.h"
#include "libs/identity/token.h"
#include "libs/xds/protocol/last_good.h"
#include "tests/support/real_time.h"

namespace weir::gateway {
namespace {

uint16_t FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  close(fd);
  return ntohs(address.sin_port);
}

// The whole answer, "" when nobody answers.
std::string Get(uint16_t port, const std::string& host) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  timeval limit{5, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  std::string answer;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) {
    const std::string request = "GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n";
    EXPECT_EQ(send(fd, request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
    char buffer[4096];
    for (ssize_t got; (got = recv(fd, buffer, sizeof(buffer), 0)) > 0;) answer.append(buffer, static_cast<size_t>(got));
  }
  close(fd);
  return answer;
}

class GatewayTest : public testing::Test {
 protected:
  Settings MakeSettings() {
    EXPECT_TRUE(identity::WriteSecretFile(folder_ + "/token", agent_.token + "\n").ok());
    bootstrap::v1::Gateway message;
    message.set_state_dir(folder_ + "/state");
    message.set_agent("127.0.0.1:" + std::to_string(agent_.port));
    message.set_agent_id(identity::AgentSpiffeId(kDomain));
    message.set_root_pem(agent_.root.certificate_pem);
    message.set_token_file(folder_ + "/token");
    message.set_node_id(kNode);
    message.set_workers(2);
    message.mutable_drain()->set_seconds(2);
    return ReadSettings(message, "weir-test").value();
  }
  std::unique_ptr<Gateway> StartGateway() {
    auto gateway = Gateway::Start(MakeSettings(), role_);
    EXPECT_TRUE(gateway.ok()) << gateway.error().ToString();
    return std::move(gateway).value();
  }
  bool Answers(const std::string& body, const std::string& host = "shop.example.com") {
    return Eventually([&] { return Get(port_, host).ends_with(body); });
  }
  // Whether the virtual host is in the newest last-good.
  bool Kept() const {
    const auto good = xds::ReadLastGood(folder_ + "/state/last-good", kNode);
    return good.ok() && good->snapshot.Find(xds::kVirtualHost, "edge/80/shop.example.com") != nullptr;
  }
  // Why it is not ready, "" when it is.
  static std::string NotReady(const Gateway& gateway) {
    const Status ready = gateway.Ready();
    return ready.ok() ? "" : ready.error().reason + ": " + ready.error().message;
  }
  void RunOnce() {  // Leaves an identity and a last-good behind.
    agent_.Start();
    agent_.Serve(port_, {{"shop.example.com", "one"}});
    const auto gateway = StartGateway();
    EXPECT_TRUE(Answers("one"));
    EXPECT_TRUE(Eventually([&] { return agent_.WasAccepted("edge/80/shop.example.com"); }));
  }

  // Short: the admin door is a unix socket in it.
  const std::string folder_ = "/tmp/weir-gw-" + RandomHex(4);
  const uint16_t port_ = FreePort();
  FakeAgent agent_;
  PlainRole role_;
};

TEST_F(GatewayTest, ServesWhatItsAgentSaysAndAcknowledgesIt) {
  agent_.Start();
  agent_.Serve(port_, {{"shop.example.com", "one"}});
  const auto gateway = StartGateway();
  EXPECT_TRUE(Answers("one"));
  EXPECT_TRUE(Eventually([&] { return gateway->Ready().ok(); }));
  EXPECT_TRUE(Eventually([&] { return agent_.WasAccepted("edge/80/shop.example.com"); }));
  agent_.Serve(port_, {{"shop.example.com", "two"}});
  EXPECT_TRUE(Answers("two"));
  EXPECT_EQ(agent_.signed_leaves, 1);
}

// Its cluster has joined anew: nobody believes the leaf it has, though it lives for long.
TEST_F(GatewayTest, AsksForAnotherLeafWhenTheMembershipOfItsOwnHasEnded) {
  agent_.Start();
  agent_.lowest_generation = 1;
  agent_.Serve(port_, {{"shop.example.com", "one"}});
  const auto gateway = StartGateway();
  EXPECT_TRUE(Answers("one"));
  EXPECT_TRUE(Eventually([&] { return agent_.WasAccepted("trust"); })) << agent_.error();
  EXPECT_EQ(agent_.signed_leaves, 1);
  agent_.Join(2);
  agent_.lowest_generation = 2;
  agent_.Serve(port_, {{"shop.example.com", "two"}});
  EXPECT_TRUE(Eventually([&] { return agent_.signed_leaves >= 2; }));
  EXPECT_TRUE(Answers("two"));
  EXPECT_LE(agent_.signed_leaves, 3);  // Once more when two updates are taken before the new leaf is.
}

// The first root signs. A leaf under the other one is good as long as that is trusted, and no longer.
TEST_F(GatewayTest, AsksForALeafOfTheFirstRootWhenAnotherIsFirst) {
  agent_.Start();
  agent_.lowest_generation = 1;
  agent_.Trust({agent_.root.certificate_pem});
  agent_.Serve(port_, {{"shop.example.com", "one"}});
  const auto gateway = StartGateway();
  EXPECT_TRUE(Answers("one"));
  EXPECT_TRUE(Eventually([&] { return agent_.WasAccepted("trust"); })) << agent_.error();
  const std::string old = agent_.root.certificate_pem;
  const identity::Authority next = identity::NewRoot("acme").value();
  agent_.Trust({old, next.certificate_pem});  // Introduced: the old one signs on.
  agent_.Serve(port_, {{"shop.example.com", "two"}});
  EXPECT_TRUE(Answers("two"));
  EXPECT_EQ(agent_.signed_leaves, 1);
  agent_.SignBelow(next);
  agent_.Trust({next.certificate_pem, old});
  agent_.Serve(port_, {{"shop.example.com", "three"}});
  EXPECT_TRUE(Eventually([&] { return agent_.signed_leaves == 2; }));
  EXPECT_TRUE(Answers("three"));
}

TEST_F(GatewayTest, StartsFromLastGoodWhenTheAgentIsGone) {
  RunOnce();
  agent_.Stop();
  const auto gateway = StartGateway();
  EXPECT_TRUE(gateway->Ready().ok());
  EXPECT_TRUE(Get(port_, "shop.example.com").ends_with("one"));
  // And takes up the agent's word when it is back.
  agent_.Serve(port_, {{"shop.example.com", "two"}});
  agent_.Start();
  EXPECT_TRUE(Answers("two"));
  EXPECT_EQ(agent_.signed_leaves, 1);
}

TEST_F(GatewayTest, RefusesACorruptLastGoodAndUsesTheOlder) {
  {
    agent_.Start();
    agent_.Serve(port_, {{"shop.example.com", "one"}});
    const auto gateway = StartGateway();
    EXPECT_TRUE(Answers("one"));
    ASSERT_TRUE(Eventually([&] { return Kept(); }));
    // The first that is kept is whole already: the older one below is it.
    ASSERT_EQ(xds::ReadLastGood(folder_ + "/state/last-good", kNode)->generation, 1u);
    agent_.Serve(port_, {{"shop.example.com", "two"}});
    EXPECT_TRUE(Answers("two"));
  }
  agent_.Stop();
  const std::string newest = folder_ + "/state/last-good.1";
  std::string bytes = ReadFile(newest).value();
  bytes[bytes.size() / 2] ^= 1;
  ASSERT_TRUE(WriteFileAtomic(newest, bytes).ok());
  const auto gateway = StartGateway();
  EXPECT_EQ(NotReady(*gateway), "");
  EXPECT_TRUE(Get(port_, "shop.example.com").ends_with("one"));
}

TEST_F(GatewayTest, SaysWhichFieldItDoesNotServeAndKeepsServing) {
  agent_.Start();
  agent_.Serve(port_, {{"shop.example.com", "one"}});
  const auto gateway = StartGateway();
  EXPECT_TRUE(Answers("one"));
  agent_.Serve(port_, {{"shop.example.com", "one"}}, "freebind { value: true }");
  EXPECT_TRUE(Eventually([&] { return agent_.error().find("freebind") != std::string::npos; })) << agent_.error();
  EXPECT_TRUE(Get(port_, "shop.example.com").ends_with("one"));
}

// Somebody else's listening socket.
class Foreign {
 public:
  Foreign() : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(fd_, 8), 0);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port = ntohs(address.sin_port);
  }
  ~Foreign() { Close(); }
  void Close() {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }
  uint16_t port = 0;

 private:
  int fd_;
};

TEST_F(GatewayTest, AListenerWhosePortIsTakenFailsAloneIsNamedAndOpensOnceThePortIsFree) {
  Foreign foreign;
  agent_.Start();
  agent_.more_listeners = {{"81", foreign.port}};
  agent_.Serve(port_, {{"shop.example.com", "one"}});
  const auto gateway = StartGateway();
  EXPECT_TRUE(Answers("one"));
  EXPECT_TRUE(Eventually([&] { return agent_.WasRejected("81") && agent_.WasAccepted("80"); }));
  EXPECT_NE(agent_.error().find(std::to_string(foreign.port)), std::string::npos) << agent_.error();
  EXPECT_NE(NotReady(*gateway).find("listener 81"), std::string::npos);
  // Later changes go on as if nothing was.
  agent_.Serve(port_, {{"shop.example.com", "two"}, {"new.example.com", "new"}});
  EXPECT_TRUE(Answers("two"));
  EXPECT_TRUE(Eventually([&] { return agent_.WasAccepted("edge/80/new.example.com"); }));
  foreign.Close();
  EXPECT_TRUE(Eventually([&] { return Get(foreign.port, "shop.example.com").ends_with("two"); }));
  EXPECT_TRUE(Eventually([&] { return agent_.WasAccepted("81"); })) << "the agent hears that it runs now";
  EXPECT_TRUE(Eventually([&] { return gateway->Ready().ok(); }));
}

TEST_F(GatewayTest, ACorrectionOfATakenPortIsServedAtOnce) {
  Foreign foreign;
  agent_.Start();
  agent_.more_listeners = {{"81", foreign.port}};
  agent_.Serve(port_, {{"shop.example.com", "one"}});
  const auto gateway = StartGateway();
  EXPECT_TRUE(Eventually([&] { return agent_.WasRejected("81"); }));
  const uint16_t other = FreePort();
  agent_.more_listeners = {{"81", other}};
  agent_.Serve(port_, {{"shop.example.com", "one"}});
  EXPECT_TRUE(Eventually([&] { return Get(other, "shop.example.com").ends_with("one"); }));
  EXPECT_TRUE(Eventually([&] { return agent_.WasAccepted("81") && gateway->Ready().ok(); }));
}

TEST_F(GatewayTest, RestartedWithAPortTakenItServesTheRestFromLastGoodAndTheAgentKnows) {
  Foreign foreign;
  {
    agent_.Start();
    agent_.more_listeners = {{"81", foreign.port}};
    agent_.Serve(port_, {{"shop.example.com", "one"}});
    const auto gateway = StartGateway();
    EXPECT_TRUE(Answers("one"));
    ASSERT_TRUE(Eventually([&] { return agent_.WasRejected("81") && agent_.WasAccepted("edge/80/shop.example.com"); }));
  }
  agent_.Stop();
  const auto gateway = StartGateway();
  EXPECT_TRUE(Get(port_, "shop.example.com").ends_with("one"));
  EXPECT_NE(NotReady(*gateway).find("listener 81"), std::string::npos);
  agent_.Start();
  ASSERT_TRUE(Eventually([&] { return agent_.WasAccepted("80"); }));
  EXPECT_TRUE(Eventually([&] { return agent_.WasRejected("81"); }))
      << "what it restored and cannot serve it does not claim";
  foreign.Close();
  EXPECT_TRUE(Eventually([&] { return Get(foreign.port, "shop.example.com").ends_with("one"); }));
  EXPECT_TRUE(Eventually([&] { return agent_.WasAccepted("81") && gateway->Ready().ok(); }));
}

TEST_F(GatewayTest, IsNotReadyWhileSomethingThatIsWantedIsNotServed) {
  agent_.Start();
  agent_.left_out = {xds::kListener};
  agent_.Serve(port_, {{"shop.example.com", "one"}});
  const auto gateway = StartGateway();
  EXPECT_TRUE(Eventually([&] { return agent_.WasAccepted("edge/80"); }));
  EXPECT_FALSE(gateway->Ready().ok()) << "nobody knows yet which listeners there are";
  agent_.left_out.clear();
  agent_.with_routes = false;
  agent_.Serve(port_, {{"shop.example.com", "one"}});
  EXPECT_TRUE(Eventually([&] { return NotReady(*gateway) == "NOT_READY: listener 80 waits for routes edge/80"; }));
  agent_.with_routes = true;
  agent_.Serve(port_, {{"shop.example.com", "one"}});
  EXPECT_TRUE(Eventually([&] { return gateway->Ready().ok(); }));
}

TEST_F(GatewayTest, AStrangersTokenGetsNothing) {
  agent_.Start();
  agent_.Serve(port_, {{"shop.example.com", "one"}});
  Settings settings = MakeSettings();
  ASSERT_TRUE(identity::WriteSecretFile(folder_ + "/token", "wrong").ok());
  auto gateway = Gateway::Start(settings, role_);
  ASSERT_TRUE(gateway.ok());
  EXPECT_TRUE(NotReady(**gateway).starts_with("NOT_READY: ")) << NotReady(**gateway);
  // It tries on: the right token is enough.
  ASSERT_TRUE(identity::WriteSecretFile(folder_ + "/token", agent_.token).ok());
  EXPECT_TRUE(Answers("one"));
}

TEST_F(GatewayTest, TheKeptIdentityIsPrivate) {
  RunOnce();
  struct stat facts{};
  ASSERT_EQ(stat((folder_ + "/state/identity.1").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
}

TEST_F(GatewayTest, UsesTheOlderIdentityWhenTheNewerIsDamaged) {
  RunOnce();
  agent_.Stop();
  const std::string newest = folder_ + "/state/identity.1";
  const std::string bytes = ReadFile(newest).value();
  ASSERT_TRUE(WriteFileAtomic(folder_ + "/state/identity.2", bytes, 0600).ok());
  for (const std::string& damaged : {std::string(), bytes.substr(0, bytes.size() / 2), bytes + "x"}) {
    ASSERT_TRUE(WriteFileAtomic(newest, damaged, 0600).ok());
    const auto gateway = StartGateway();
    EXPECT_TRUE(gateway->Ready().ok());
    EXPECT_TRUE(Get(port_, "shop.example.com").ends_with("one"));
  }
}

TEST_F(GatewayTest, DrainingEndsWithNobodyListening) {
  agent_.Start();
  agent_.Serve(port_, {{"shop.example.com", "one"}});
  const auto gateway = StartGateway();
  EXPECT_TRUE(Answers("one"));
  gateway->Drain();
  EXPECT_TRUE(NotReady(*gateway).starts_with("DRAINING: ")) << NotReady(*gateway);
  EXPECT_EQ(Get(port_, "shop.example.com"), "");
}

TEST_F(GatewayTest, ASecondOneInTheSameFolderIsRefusedAndTheFirstServesOn) {
  agent_.Start();
  agent_.Serve(port_, {{"shop.example.com", "one"}});
  const auto gateway = StartGateway();
  EXPECT_TRUE(Answers("one"));
  const auto second = Gateway::Start(MakeSettings(), role_);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().reason, "STATE_IN_USE");
  EXPECT_TRUE(Get(port_, "shop.example.com").ends_with("one"));
}

TEST_F(GatewayTest, ASuccessorTakesOverTheListenersTheDoorsAndTheFolder) {
  agent_.Start();
  agent_.Serve(port_, {{"shop.example.com", "one"}});
  auto first = StartGateway();
  EXPECT_TRUE(Answers("one"));
  const std::string door = first->admin_address();
  for (int generation = 0; generation < 2; ++generation) {
    Settings settings = MakeSettings();
    settings.take_over = true;
    settings.workers = generation == 0 ? 1 : 3;
    auto second = Gateway::Start(settings, role_);
    ASSERT_TRUE(second.ok()) << second.error().ToString();
    EXPECT_TRUE(first->HandedOver());
    EXPECT_TRUE(first->DrainAsked());
    EXPECT_TRUE(first->Ready().ok());  // Of the address: there the successor serves.
    for (int i = 0; i < 20; ++i) EXPECT_TRUE(Get(port_, "shop.example.com").ends_with("one"));
    first->Drain();
    first = std::move(*second);
    EXPECT_EQ(first->admin_address(), door);
    EXPECT_EQ(access(door.substr(5).c_str(), F_OK), 0);
    for (int i = 0; i < 20; ++i) EXPECT_TRUE(Get(port_, "shop.example.com").ends_with("one"));
  }
  agent_.Serve(port_, {{"shop.example.com", "two"}});
  EXPECT_TRUE(Answers("two"));
  EXPECT_EQ(agent_.signed_leaves, 1);
}

TEST(GatewaySettings, NameEveryFieldThatIsMissing) {
  bootstrap::v1::Gateway message;
  message.set_node_id("edge/x");
  message.set_workers(65);
  const auto settings = ReadSettings(message, "weir-tier1");
  ASSERT_FALSE(settings.ok());
  EXPECT_EQ(settings.error().violations.size(), 6u);
}

}  // namespace
}  // namespace weir::gateway
