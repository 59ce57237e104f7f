#include "mgmt-server/test_assembly.h"

// What the parts of the server do together, each wired as in production.

namespace weir::server {
namespace {

using ::testing::HasSubstr;

TEST_F(Assembly, IntentThatAnAgentRefusesIsFailedWithItsReason) {
  JoinEdge();
  agent_->Run({"n/gw"}, {{"app", "t1"}});
  agent_->Refuse("Host", "this agent cannot \x1b[31msay that");
  const auto failed = WaitForStatus(
      kShop, [](const v2::ResourceStatus& status) { return status.state() == v2::ResourceStatus::FAILED; });
  EXPECT_EQ(failed.reason(), "REJECTED");
  EXPECT_THAT(failed.message(), HasSubstr("the agent: this agent cannot \\x1b[31msay that"));
  ASSERT_EQ(failed.gateways_size(), 1);
  EXPECT_EQ(failed.gateways(0).workload(), "n/gw");
}

TEST_F(Assembly, OneBadFactTakesNoGoodOneAlongAndIsNamed) {
  JoinEdge();
  const std::vector<std::pair<std::string, std::function<void(agent::v1::Workload&)>>> bad = {
      {"address", [](auto& w) { w.set_addresses(0, "not-an-ip"); }},
      {"empty", [](auto& w) { w.set_addresses(0, ""); }},
      {"line", [](auto& w) { w.set_addresses(0, "127.0.0.1\n"); }},
      {"path", [](auto& w) { w.set_addresses(0, "/tmp/x"); }},
      {"long", [](auto& w) { w.set_addresses(0, std::string(100'000, '1')); }},
      {"port", [](auto& w) { (*w.mutable_ports())[80] = 70'000; }},
      {"slash", [](auto& w) { w.set_name("a/b"); }},
      {"nul", [](auto& w) { w.set_name(std::string("a\0b", 3)); }},
      {"account", [](auto& w) { w.set_service_account("x/../y"); }},
      {"label", [](auto& w) { (*w.mutable_labels())["a"] = std::string(100'000, 'x'); }},
  };
  for (const auto& [name, spoil] : bad) {
    agent::v1::FactsDelta facts;
    facts.set_full(true);
    for (int i = 0; i < 20; ++i) {
      auto& workload = *facts.add_workloads();
      workload.set_namespace_("n");
      workload.set_name(i == 10 ? "bad" : "good" + std::to_string(i));
      workload.add_addresses("127.0.0.1");
      if (i == 10) spoil(workload);
    }
    agent_->Say(facts);
    v2::ClusterState state;
    ASSERT_TRUE(Eventually([&] {
      state = ClusterState(kEdge);
      return state.workloads() == 19 && state.problems_size() == 1;
    })) << name
        << ": " << state.ShortDebugString();
    EXPECT_EQ(state.problems(0).source(), "facts");
    EXPECT_LT(state.problems(0).text().size(), 1024u);
    EXPECT_EQ(state.problems(0).text().find_first_of(std::string("\0\n\x1b", 3)), std::string::npos);
    facts.mutable_workloads()->DeleteSubrange(10, 1);
    agent_->Say(facts);  // Cured: the problem goes with it.
    ASSERT_TRUE(Eventually([&] {
      state = ClusterState(kEdge);
      return state.workloads() == 19 && state.problems().empty();
    })) << name
        << ": " << state.ShortDebugString();
  }
}

// A message has 4 MiB on the agents' port; what a cluster holds may be more.
TEST_F(Assembly, FactsComeInPartsAndCountTogether) {
  JoinEdge();
  const auto some = [](int part, bool more) {
    agent::v1::FactsDelta facts;
    facts.set_full(true);
    facts.set_more(more);
    for (int i = 0; i < 1000; ++i) {
      auto& workload = *facts.add_workloads();
      workload.set_namespace_("n");
      workload.set_name("w" + std::to_string(part * 1000 + i));
      workload.add_addresses("127.0.0.1");
      for (int label = 0; label < 10; ++label)
        (*workload.mutable_labels())["l" + std::to_string(label)] = std::string(200, 'x');
    }
    return facts;
  };
  const auto workloads = [&] { return ClusterState(kEdge).workloads(); };
  for (const int part : {0, 1, 2}) agent_->Say(some(part, part < 2));
  EXPECT_TRUE(Eventually([&] { return workloads() == 3000; })) << workloads();
  agent_->Say(some(0, false));
  EXPECT_TRUE(Eventually([&] { return workloads() == 1000; })) << "a full one replaces all parts of the one before";
}

TEST_F(Assembly, ASecondAgentWithTheSameIdentityIsRefusedWhileTheFirstLives) {
  JoinEdge();
  agent_->Run({"n/gw"}, {{"app", "t1"}});
  agent_->Acknowledge();
  WaitForStatus(kShop, [](const v2::ResourceStatus& status) { return !status.gateways().empty(); });
  const auto clone = agent_->Clone();
  ASSERT_FALSE(clone.ok());
  EXPECT_EQ(clone.error().reason, "DUPLICATE_AGENT");
  EXPECT_THAT(clone.error().message, HasSubstr("ipv4:127.0.0.1"));
  const v2::ResourceStatus status = StatusOf(kEdge);
  EXPECT_EQ(status.reason(), "DUPLICATE_AGENT") << status.ShortDebugString();
  EXPECT_NE(status.state(), v2::ResourceStatus::READY);
  EXPECT_TRUE(ClusterState(kEdge).connected());
  EXPECT_EQ(ClusterState(kEdge).workloads(), 1) << "the first one's facts stand";

  // The first one ends: a start of another process with this identity takes over at once.
  agent_->Leave();
  std::unique_ptr<fleet::SmallAgent> next;
  ASSERT_TRUE(Eventually([&] {
    auto again = agent_->Clone();
    if (again.ok()) next = std::move(again).value();
    return next != nullptr;
  }));
  EXPECT_TRUE(ClusterState(kEdge).connected());
  next->Leave();
}

TEST_F(Assembly, ReadyMeansThatARequestWouldBeAnswered) {
  const auto is = [](const std::string& reason) {
    return [reason](const v2::ResourceStatus& status) { return status.reason() == reason; };
  };
  const std::string c1 = "organizations/acme/clusters/c1";
  EXPECT_EQ(Wait(kShop, 20).reason(), "NO_WORKLOAD") << "nobody to wait for, and it says so";
  JoinEdge();
  agent_->Run({"n/gw"}, {{"app", "t1"}});
  agent_->Acknowledge();
  auto status = WaitForStatus(kShop, is("NO_RECEIVER"));
  EXPECT_EQ(status.state(), v2::ResourceStatus::ACCEPTED);
  EXPECT_THAT(status.message(), AllOf(HasSubstr("shop.example.com"), HasSubstr("c1: no tier-2 gateway")));
  EXPECT_EQ(Wait(kShop, 20).reason(), "NO_RECEIVER");

  auto receiver = Join(c1);
  ASSERT_TRUE(receiver.ok()) << receiver.error().ToString();
  fleet::SmallAgent& tier2 = **receiver;
  tier2.Run({"t2/gw"}, {{"app", "t2"}});
  tier2.Acknowledge();
  Apply(R"(apiVersion: gateway.weir.dev/v2
kind: Gateway
metadata: {name: shop2, organization: acme, tenant: t, workspace: w, group: g}
spec:
  workloadSelector: {namespace: t2, labels: {app: t2}}
  http:
  - name: s
    hostname: shop.example.com
    port: 80
    routing: {rules: [{route: {serviceDestination: {host: app/web.app.svc.cluster.local, port: 8080}}}]}
)");
  WaitForStatus(kShop, is("SERVICE_MISSING"));
  agent::v1::FactsDelta facts;
  auto& service = *facts.add_services();
  service.set_namespace_("app");
  service.set_name("web");
  service.add_ports(80);
  (*service.mutable_selector())["app"] = "web";
  tier2.Say(facts);
  WaitForStatus(kShop, is("PORT_MISSING"));
  facts.mutable_services(0)->set_ports(0, 8080);
  tier2.Say(facts);
  WaitForStatus(kShop, is("NO_ENDPOINT"));
  EXPECT_EQ(Drain(c1, false), "") << "it serves nobody anyway";
  {
    v2::SetAdminStateRequest activate;
    activate.set_fqn(c1);
    v2::Cluster cluster;
    grpc::ClientContext context;
    ASSERT_TRUE(v2::ClusterOperations::NewStub(channel_)->ActivateCluster(&context, activate, &cluster).ok());
  }
  auto& pod = *facts.add_workloads();
  pod.set_namespace_("app");
  pod.set_name("web-1");
  (*pod.mutable_labels())["app"] = "web";
  pod.add_addresses("127.0.2.21");
  tier2.Say(facts);
  status = WaitForStatus(kShop, [](const auto& now) { return now.state() == v2::ResourceStatus::READY; });
  EXPECT_EQ(Wait(kShop, 20).state(), v2::ResourceStatus::READY);

  EXPECT_EQ(Drain(c1, false), "LAST_RECEIVER");
  EXPECT_EQ(StatusOf(c1).reason(), "");
  EXPECT_EQ(Drain(c1, true), "");
  status = WaitForStatus(kShop, is("ALL_DRAINED"));
  EXPECT_THAT(status.message(), HasSubstr("shop.example.com"));
  EXPECT_EQ(StatusOf(c1).reason(), "DRAINING");
  EXPECT_EQ(Wait(c1, 20).reason(), "ALL_DRAINED") << "a wait for the drain says whom it leaves alone";
}

TEST_F(Assembly, TellsWhenAnAgentWasLastHeardOfAlsoAfterARestart) {
  server_.reset();
  clock_ = &manual_;
  SetToPresent(manual_);
  Start();
  EXPECT_EQ(StatusOf(kEdge).reason(), "NEVER_JOINED");
  EXPECT_EQ(StatusOf(kEdge).state(), v2::ResourceStatus::ACCEPTED);
  const WallTime heard = manual_.Wall();
  JoinEdge();
  WaitForStatus(kEdge, [](const auto& status) { return status.reason().empty(); });
  server_.reset();
  manual_.Advance(std::chrono::hours(1));
  agent_.reset();
  Start();
  const v2::ResourceStatus status = StatusOf(kEdge);
  EXPECT_EQ(status.reason(), "DISCONNECTED");
  EXPECT_EQ(status.state(), v2::ResourceStatus::PARTIAL);
  const auto seen = ClusterState(kEdge).last_seen();
  const auto time = std::chrono::system_clock::time_point(std::chrono::seconds(seen.seconds()) +
                                                          std::chrono::microseconds(seen.nanos() / 1000));
  EXPECT_GE(time + std::chrono::seconds(1), heard);
  EXPECT_LE(time, heard) << "that this server began says nothing of when the agent was last heard of";
  EXPECT_THAT(status.message(), HasSubstr("last heard of at " + Rfc3339(time).substr(0, 19)));
}

TEST_F(Assembly, AProblemEndsWhenItsAgentSaysSo) {
  JoinEdge();
  agent_->Say({{"discovery", "line 3 is no \x1b[31mYAML"}});
  const auto status = WaitForStatus(kEdge, [](const auto& now) { return now.reason() == "AGENT_PROBLEM"; });
  EXPECT_EQ(status.message(), "discovery: line 3 is no \\x1b[31mYAML");
  agent_->Say(std::vector<std::pair<std::string, std::string>>{});
  WaitForStatus(kEdge, [](const auto& now) { return now.reason().empty(); });
}

}  // namespace
}  // namespace weir::server
