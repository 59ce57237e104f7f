#include <functional>

#include "cli/server_fixture.h"
#include "cli/traffic.h"
#include "libs/base/file.h"
#include "tests/support/real_time.h"

namespace weir::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// An agent with both its streams open. What happens to it is the server's doing.
TEST_F(CommandLine, ARevokedAgentIsOutAtOnce) {
  ASSERT_NO_FATAL_FAILURE(StartAgent());
  agent_->Acknowledge();
  ASSERT_TRUE(agent_->Renew().ok());
  ASSERT_EQ(Run({"cluster", "token", "edge"}), kExitOk);
  const std::string unused = output_.substr(0, output_.find('\n'));
  ASSERT_EQ(Run({"cluster", "revoke", "edge"}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("below generation 2"));
  EXPECT_EQ(agent_->AwaitEnd().reason, "MEMBERSHIP_ENDED");
  EXPECT_TRUE(Eventually([&] { return agent_->AdsEnd().find("has ended") != std::string::npos; })) << agent_->AdsEnd();
  const Status renewed = agent_->Renew();
  ASSERT_FALSE(renewed.ok());
  EXPECT_EQ(renewed.error().reason, "MEMBERSHIP_ENDED");
  const auto with_unused =
      fleet::SmallAgent::Join(Address(server_->info().agent_port), server_->info().anchor_pem, unused);
  ASSERT_FALSE(with_unused.ok());
  EXPECT_EQ(with_unused.error().reason, "JOIN_TOKEN_UNKNOWN");

  ASSERT_NO_FATAL_FAILURE(StartAgent());  // And back with a new token.
  EXPECT_TRUE(agent_->Renew().ok());
  ASSERT_EQ(Run({"get", "cluster", "edge", "-o", "json"}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("\"generation\": \"3\""));
  EXPECT_NE(Run({"cluster", "revoke"}), kExitOk);
  EXPECT_NE(Run({"cluster", "revoke", "nothing"}), kExitOk);
}

TEST_F(CommandLine, AnAgentIsOutAtOnceWhenAnotherJoinsAsItsCluster) {
  ASSERT_NO_FATAL_FAILURE(StartAgent());
  const std::unique_ptr<fleet::SmallAgent> old = std::move(agent_);
  old->Acknowledge();
  ASSERT_NO_FATAL_FAILURE(StartAgent());
  EXPECT_EQ(old->AwaitEnd().reason, "MEMBERSHIP_ENDED");
  EXPECT_TRUE(Eventually([&] { return old->AdsEnd().find("has ended") != std::string::npos; })) << old->AdsEnd();
  EXPECT_EQ(old->Renew().error().reason, "MEMBERSHIP_ENDED");
  EXPECT_TRUE(agent_->Renew().ok());
}

TEST_F(CommandLine, AnAgentIsNobodyWhenItsClusterIsDeletedAndCreatedAgain) {
  ASSERT_NO_FATAL_FAILURE(StartAgent());
  agent_->Acknowledge();
  ASSERT_EQ(Run({"delete", "cluster", "edge"}), kExitOk) << error_;
  EXPECT_EQ(agent_->AwaitEnd().reason, "CLUSTER_UNKNOWN");
  const std::string edge = "apiVersion: api.weir.dev/v2\nkind: Cluster\nmetadata: {name: edge, organization: acme}\n";
  ASSERT_EQ(Apply(edge), kExitOk) << error_;
  EXPECT_EQ(agent_->Renew().error().reason, "CLUSTER_UNKNOWN");
  EXPECT_TRUE(Eventually([&] { return !agent_->AdsEnd().empty(); }));
}

TEST_F(CommandLine, OnesOwnPasswordIsSetWithTheOldOne) {
  const auto typing = [&](const std::string& lines, const std::vector<std::string>& arguments) {
    std::istringstream input(lines);
    auto* before = std::cin.rdbuf(input.rdbuf());
    const int code = Run(arguments);
    std::cin.rdbuf(before);
    std::cin.clear();
    return code;
  };
  const std::string old = ReadFile(server_->info().password_path).value();
  EXPECT_NE(typing("a-new-password\n", {"user", "password", "admin"}), kExitOk);
  EXPECT_NE(typing("a-wrong-password\na-new-password\n", {"user", "password", "admin"}), kExitOk);
  EXPECT_THAT(error_, HasSubstr("old password is wrong"));
  EXPECT_EQ(typing(old + "a-new-password\n", {"user", "password", "admin"}), kExitOk) << error_;
  EXPECT_NE(Run({"get", "tenants"}), kExitOk);  // Its sessions are ended.
  EXPECT_EQ(typing("a-new-password\n", {"login", "admin"}), kExitOk) << error_;
  // Somebody else's is one line.
  ASSERT_EQ(Apply("apiVersion: api.weir.dev/v2\nkind: User\nmetadata: {name: ann, organization: acme}\n"), kExitOk)
      << error_;
  EXPECT_EQ(typing("a-password-of-ann\n", {"user", "password", "ann"}), kExitOk) << error_;
}

TEST_F(CommandLine, SaysThatATier1ClusterIsNotAdmitted) {
  const std::string edge = "apiVersion: api.weir.dev/v2\nkind: Cluster\nmetadata: {name: edge, organization: acme}\n";
  ASSERT_EQ(Apply(edge + "spec: {tier1Cluster: false}\n", {"--force"}), kExitOk) << error_;
  ASSERT_NO_FATAL_FAILURE(StartAgent());
  agent_->Acknowledge();
  EXPECT_TRUE(Eventually([&] {
    Run({"status", "tier1gateway", "shop"});
    return output_.find("TIER1_NOT_ADMITTED") != std::string::npos;
  })) << output_;
}

TEST_F(CommandLine, WarnsOfARuleThatCanNeverFire) {
  ASSERT_EQ(Apply(R"(apiVersion: gateway.weir.dev/v2
kind: Gateway
metadata: {name: b, organization: acme, tenant: t, workspace: w, group: g}
spec:
  workloadSelector: {namespace: n, labels: {app: t2}}
  http:
  - {name: s, hostname: b.test, port: 80, routing: {rules: [{redirect: {uri: /}}, {redirect: {uri: /a}}]}}
)"),
            kExitOk)
      << error_;
  EXPECT_THAT(output_, HasSubstr("gateways/b created"));
  EXPECT_THAT(error_, HasSubstr("gateways/b: spec.http[0].routing.rules[1]: can never fire"));
}

TEST_F(CommandLine, DrainsAndActivatesAClusterAndWaitsForItsGateways) {
  EXPECT_EQ(Run({"cluster", "drain", "c1"}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("organizations/acme/clusters/c1: ACTIVE -> DRAINING"));
  EXPECT_EQ(Run({"cluster", "drain", "c1"}), kExitOk);
  EXPECT_THAT(output_, HasSubstr("DRAINING already"));
  EXPECT_EQ(Run({"get", "clusters"}), kExitOk);
  EXPECT_THAT(output_, HasSubstr("DRAINING"));
  EXPECT_EQ(Run({"cluster", "drain", "nothing"}), kExitRefused);
  EXPECT_EQ(Run({"cluster", "drain"}), kExitUsage);
  EXPECT_EQ(Run({"cluster", "drain", "c1", "--wait=0"}), kExitUsage);

  StartAgent();
  ASSERT_TRUE(Eventually([&] {
    Run({"status", "tier1gateway", "shop"});
    return output_.find("n/gw2") != std::string::npos;
  })) << output_;
  EXPECT_EQ(Run({"cluster", "activate", "c1", "--wait=1"}), kExitTimedOut);  // Nobody acknowledges.
  EXPECT_THAT(output_, AllOf(HasSubstr("DRAINING -> ACTIVE"), HasSubstr("tier1gateways/shop")));
  EXPECT_EQ(Run({"cluster", "drain", "c1"}), kExitRefused);
  EXPECT_THAT(error_, HasSubstr("HEALTH_UNKNOWN"));
  agent_->Acknowledge();
  ASSERT_TRUE(Eventually([&] {
    Run({"status", "tier1gateway", "shop"});
    return output_.find("DISCONNECTED") == std::string::npos;
  })) << output_;
  EXPECT_EQ(Run({"cluster", "drain", "c1", "--wait=20"}), kExitOk) << output_;
  EXPECT_THAT(output_, HasSubstr("every gateway that routes to it acknowledged"));
}

TEST_F(CommandLine, SetsAdminStatesForAWhileAndGoesBack) {
  EXPECT_EQ(Run({"cluster", "standby", "c1", "--reason", "dear"}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("ACTIVE -> STANDBY"));
  EXPECT_EQ(Run({"cluster", "maintenance", "c1", "--for", "1h30m", "--reason", "new rack", "--force"}), kExitOk)
      << error_;
  EXPECT_THAT(output_, AllOf(HasSubstr("STANDBY -> MAINTENANCE"), HasSubstr("; until 20")));
  EXPECT_EQ(Run({"cluster", "maintenance", "c1"}), kExitOk);
  EXPECT_THAT(output_, AllOf(HasSubstr("MAINTENANCE already; until 20"), HasSubstr("; reason: new rack")));
  EXPECT_EQ(Run({"get", "clusters"}), kExitOk);
  EXPECT_THAT(output_, AllOf(HasSubstr("MAINTENANCE until 20"), HasSubstr("(new rack)")));
  EXPECT_EQ(Run({"cluster", "maintenance", "c1", "--for", "good"}), kExitOk);
  EXPECT_THAT(output_, HasSubstr("; for good; reason: new rack"));
  EXPECT_EQ(Run({"cluster", "undo", "c1"}), kExitOk);
  EXPECT_THAT(output_, AllOf(HasSubstr("MAINTENANCE -> STANDBY"), HasSubstr("; for good; reason: dear")));
  EXPECT_EQ(Run({"cluster", "undo", "c1"}), kExitOk);
  EXPECT_EQ(Run({"cluster", "undo", "c1"}), kExitRefused);
  EXPECT_THAT(error_, HasSubstr("NOTHING_TO_UNDO"));
  EXPECT_EQ(Run({"cluster", "drain", "c1", "--for", "soon"}), kExitUsage);
}

TEST_F(CommandLine, ListsServicesThatAgentsReport) {
  EXPECT_EQ(Run({"get", "services"}), kExitOk) << error_;
  EXPECT_THAT(error_, HasSubstr("No service that you may see"));
  EXPECT_EQ(Run({"get", "services", "web.shop"}), kExitRefused);
  EXPECT_EQ(Run({"get", "services", "-o", "xml"}), kExitUsage);
  for (const std::vector<std::string>& more :
       {std::vector<std::string>{"-l", "a=b"}, {"--as-of", "2h"}, {"-w"}}) {  // By name, and why.
    std::vector<std::string> words = {"get", "services"};
    words.insert(words.end(), more.begin(), more.end());
    EXPECT_EQ(Run(words), kExitUsage);
    EXPECT_THAT(error_, HasSubstr("a service ")) << more[0];
  }
  EXPECT_EQ(Run({"get", "services", "web.shop", "--filter", "state.namespace = shop"}), kExitUsage);
}

TEST_F(CommandLine, ShowsWhatTheGatewaysDo) {
  EXPECT_EQ(Run({"get", "traffic"}), kExitOk);
  EXPECT_EQ(output_, "");
  EXPECT_THAT(error_, HasSubstr("No tier-1 gateway"));
  StartAgent();
  constexpr char kCounts[] = R"(health_known: true
    traffic { clusters { cluster: "c1" intended: 0.75 requests: 450 } clusters { cluster: "c2" intended: 0.25 requests: 150 errors: 30 } }
    health { clusters { cluster: "c1" can_serve: true } clusters { cluster: "c2" reason: "gateways_down" } })";
  ASSERT_TRUE(Eventually([&] {
    Report("n/gw1", kCounts);
    Report("n/gw2", kCounts);
    Run({"get", "traffic", "shop.example.com"});
    return output_.find("n/gw1") != std::string::npos && output_.find("n/gw2") != std::string::npos;
  }));
  EXPECT_THAT(output_, AllOf(HasSubstr("INTENDED"), HasSubstr("edge n/gw1"), HasSubstr("75.0 %"), HasSubstr("25.0 %"),
                             HasSubstr("cannot serve")));
  EXPECT_EQ(Run({"get", "traffic", "-o", "json"}), kExitOk);
  EXPECT_THAT(output_, HasSubstr("\"gatewayCluster\": \"edge\""));
  EXPECT_EQ(Run({"get", "traffic", "--tenant", "t", "-o", "yaml"}), kExitOk);
  EXPECT_THAT(output_, HasSubstr("host: shop.example.com"));
  EXPECT_EQ(Run({"get", "traffic", "none.example.com"}), kExitOk);
  EXPECT_EQ(output_, "");
  EXPECT_EQ(Run({"get", "traffic", "--org", "absent"}), kExitRefused);
  EXPECT_EQ(Run({"get", "traffic", "--workspace", "w"}), kExitUsage);
  EXPECT_EQ(Run({"get", "traffic", "-o", "xml"}), kExitUsage);

  EXPECT_EQ(Run({"status", "--watch=1", "--count", "2"}), kExitOk) << error_;
  EXPECT_THAT(output_, AllOf(HasSubstr("Tier1Gateway"), HasSubstr("shop.example.com"), HasSubstr("DELIVERED"),
                             HasSubstr("90.0"), HasSubstr("cannot serve")));  // Requests per second of both.
  EXPECT_NE(output_.find("Ctrl-C"), output_.rfind("Ctrl-C"));
  EXPECT_EQ(Run({"status", "--count", "2"}), kExitUsage);
  EXPECT_EQ(Run({"status"}), kExitOk);
  EXPECT_THAT(output_, Not(HasSubstr("DELIVERED")));
}

TEST_F(CommandLine, ExplainsWhyAClusterCannotServe) {
  EXPECT_EQ(Run({"explain", "health", "shop.example.com"}), kExitOk);
  EXPECT_THAT(error_, HasSubstr("no gateway has reported"));
  EXPECT_EQ(Run({"explain", "health", "none.example.com"}), kExitRefused);
  EXPECT_THAT(error_, HasSubstr("HOST_UNKNOWN"));
  EXPECT_EQ(Run({"explain", "health"}), kExitUsage);
  EXPECT_EQ(Run({"explain"}), kExitUsage);
  StartAgent();
  ASSERT_TRUE(Eventually([&] {
    Report("n/gw1", R"(health_known: true health {
      clusters { cluster: "c1" can_serve: true returning: 4 since { seconds: 1000 } }
      clusters { cluster: "c2" reason: "no_endpoint" since { seconds: 1000 }
        evidence { endpoint: "127.0.3.10:15443" source: "digest" text: "nothing behind it" time { seconds: 1000 } } } })");
    Run({"explain", "health", "Shop.example.com"});
    return output_.find("n/gw1") != std::string::npos;
  }));
  EXPECT_THAT(output_,
              AllOf(HasSubstr("c1 can serve since 1970-01-01T00:16:40Z"), HasSubstr("4 tenths"),
                    HasSubstr("c2 cannot serve"), HasSubstr("nothing healthy stands behind them (no_endpoint)"),
                    HasSubstr("digest 127.0.3.10:15443 down: nothing behind it")));
  EXPECT_EQ(Run({"explain", "health", "shop.example.com", "-o", "json"}), kExitOk);
  EXPECT_THAT(output_, HasSubstr("\"reason\": \"no_endpoint\""));
}

TEST_F(CommandLine, ExplainsWhereRequestsGoWhenAClusterIsLost) {
  EXPECT_EQ(Run({"explain", "failover", "shop.example.com", "--without", "c1"}), kExitRefused) << "no gateway runs it";
  StartAgent();
  ASSERT_TRUE(Eventually([&] {
    Run({"explain", "failover", "shop.example.com", "--without", "c1"});
    return output_.find("n/gw2") != std::string::npos;
  })) << output_
      << error_;
  EXPECT_THAT(output_, AllOf(HasSubstr("shop.example.com (route s/0) at edge n/gw1 n/gw2"), HasSubstr("lost"),
                             HasSubstr("c2: no tier-2 gateway of it serves this host"),
                             HasSubstr("nowhere to go (NO_RECEIVER), as now"), HasSubstr("1 of 1 routes")));
  EXPECT_EQ(Run({"explain", "failover", "-o", "json"}), kExitOk) << error_;
  EXPECT_THAT(output_, HasSubstr("\"source\": \"organizations/acme/"));
  EXPECT_EQ(Run({"explain", "failover", "none.example.com"}), kExitRefused);
  EXPECT_THAT(error_, HasSubstr("HOST_UNKNOWN"));
  EXPECT_EQ(Run({"explain", "failover", "shop.example.com", "--without", "nowhere"}), kExitRefused);
  EXPECT_THAT(error_, HasSubstr("nowhere"));
  EXPECT_EQ(Run({"explain", "failover", "a", "b"}), kExitUsage);
}

TEST_F(CommandLine, AWaitThatCannotBeServedEndsWithFourAndSaysWhy) {
  const std::string file = folder_ + "/typo.yaml";
  ASSERT_TRUE(WriteFileAtomic(file, R"(apiVersion: gateway.weir.dev/v2
kind: Tier1Gateway
metadata: {name: typo, organization: acme, tenant: t, workspace: w, group: g}
spec:
  workloadSelector: {namespace: nn, labels: {app: t1}}
  externalServers: [{name: s, hostname: typo.example.com, port: 80, clusters: [{name: c1, weight: 1}]}]
)")
                  .ok());
  EXPECT_EQ(Run({"apply", "--wait=30", "-f", file}), kExitTimedOut);
  EXPECT_THAT(output_, HasSubstr("NO_WORKLOAD: no gateway workload is selected"));
}

TEST_F(CommandLine, GetsAndDeletesSettings) {
  const std::string file = folder_ + "/setting.yaml";
  ASSERT_TRUE(WriteFileAtomic(file, R"(apiVersion: api.tsb.tetrate.io/v2
kind: OrganizationSetting
metadata: {name: defaults, organization: acme}
spec: {failoverSettings: {mode: ORDERED, regionalFailover: [{from: eu, to: us}]}}
)")
                  .ok());
  EXPECT_EQ(Run({"apply", "-f", file}), kExitOk) << error_;
  EXPECT_EQ(Run({"get", "organizationsettings"}), kExitOk);
  EXPECT_THAT(output_, AllOf(HasSubstr("defaults"), HasSubstr("ORDERED"), HasSubstr("eu -> us")));
  EXPECT_EQ(Run({"get", "organizationsetting", "defaults", "-o", "yaml"}), kExitOk);
  EXPECT_THAT(output_, HasSubstr("apiVersion: api.weir.dev/v2"));
  EXPECT_EQ(Run({"delete", "organizationsetting", "defaults"}), kExitOk) << error_;
  EXPECT_EQ(Run({"get", "organizationsetting", "defaults"}), kExitRefused);
}

TEST_F(CommandLine, PrintsVerdictsAlsoWhenTheyAreNo) {
  EXPECT_EQ(Run({"get", "cluster", "c1", "-o", "json"}), kExitOk);
  EXPECT_THAT(output_, AllOf(HasSubstr("\"connected\": false"), HasSubstr("\"workloads\": 0")));
  StartAgent();
  ASSERT_TRUE(Eventually([&] {
    Report("n/gw1", R"(health_known: true
      health { clusters { cluster: "c1" } clusters { cluster: "c2" reason: "gateways_down" } })");
    Run({"get", "traffic", "-o", "json"});
    return output_.find("n/gw1") != std::string::npos;
  }));
  EXPECT_THAT(output_, AllOf(HasSubstr("\"canServe\": false"), HasSubstr("\"delivered\": 0"),
                             HasSubstr("\"requestsPerSecond\": 0"), HasSubstr("\"errorsPerSecond\": 0")));
  EXPECT_EQ(Run({"explain", "health", "shop.example.com", "-o", "json"}), kExitOk);
  EXPECT_THAT(output_, HasSubstr("\"canServe\": false"));
}

TEST_F(CommandLine, RefusesAStaleDocumentAndShowsTheDifference) {
  const std::string mine = folder_ + "/mine.yaml", hers = folder_ + "/hers.yaml";
  ASSERT_EQ(Run({"get", "tier1gateway", "shop", "-o", "yaml"}), kExitOk);
  EXPECT_THAT(output_, HasSubstr("resourceVersion: "));
  const std::string read = output_;
  const auto with_weights = [&](const char* one, const char* two) {
    std::string text = read;
    text.replace(text.find("weight: 75"), 10, std::string("weight: ") + one);
    text.replace(text.find("weight: 25"), 10, std::string("weight: ") + two);
    return text;
  };
  ASSERT_TRUE(WriteFileAtomic(hers, with_weights("60", "40")).ok());
  ASSERT_TRUE(WriteFileAtomic(mine, with_weights("90", "10")).ok());
  EXPECT_EQ(Run({"apply", "-f", hers}), kExitOk) << error_;
  EXPECT_EQ(Run({"apply", "-f", mine}), kExitRefused);
  EXPECT_THAT(error_, AllOf(HasSubstr("ETAG_MISMATCH"), HasSubstr("shop was changed since you read it"),
                            HasSubstr("spec.externalServers[0].clusters[0].weight: stored 60, yours 90"),
                            HasSubstr("spec.externalServers[0].clusters[1].weight: stored 40, yours 10"),
                            Not(HasSubstr("hostname: stored"))));
  EXPECT_EQ(Run({"get", "tier1gateway", "shop", "-o", "yaml"}), kExitOk);
  EXPECT_THAT(output_, HasSubstr("weight: 60"));
}

TEST_F(CommandLine, ShowsATenantsAdministratorHisPart) {
  const std::string file = folder_ + "/more.yaml";
  ASSERT_TRUE(
      WriteFileAtomic(file,
                      R"({apiVersion: api.weir.dev/v2, kind: User, metadata: {name: ann, organization: acme}, spec: {}}
---
{apiVersion: api.weir.dev/v2, kind: Tenant, metadata: {name: elsewhere, organization: acme}}
---
{apiVersion: rbac.weir.dev/v2, kind: AccessBindings, metadata: {fqn: organizations/acme/tenants/t},
 allow: [{role: rbac/admin, subjects: [{user: organizations/acme/users/admin}, {user: organizations/acme/users/ann}]}]}
)")
          .ok());
  ASSERT_EQ(Run({"apply", "-f", file}), kExitOk) << error_;
  const auto with_input = [&](const std::string& text, const std::vector<std::string>& arguments) {
    std::istringstream input(text);
    auto* before = std::cin.rdbuf(input.rdbuf());
    const int code = Run(arguments);
    std::cin.rdbuf(before);
    std::cin.clear();
    return code;
  };
  ASSERT_EQ(with_input("a-long-password\n", {"user", "password", "ann"}), kExitOk) << error_;
  EXPECT_EQ(with_input("wrong\n", {"login", "ann"}), kExitRefused);
  EXPECT_THAT(error_, HasSubstr("organization \"acme\" was asked"));
  ASSERT_EQ(with_input("a-long-password\n", {"login", "ann"}), kExitOk) << error_;
  EXPECT_EQ(Run({"status"}), kExitOk) << error_;
  EXPECT_THAT(output_, AllOf(HasSubstr("shop"), Not(HasSubstr("elsewhere"))));
  EXPECT_EQ(Run({"status", "--tenant", "t"}), kExitOk) << error_;
  EXPECT_EQ(Run({"status", "--tenant", "elsewhere"}), kExitRefused);
  EXPECT_EQ(Run({"get", "clusters"}), kExitOk) << error_;
  EXPECT_THAT(error_, HasSubstr("none that you may read"));
  EXPECT_EQ(Run({"get", "traffic"}), kExitOk) << error_;
  EXPECT_EQ(Run({"get", "tenants"}), kExitOk) << error_;
  EXPECT_THAT(output_, AllOf(HasSubstr("t "), Not(HasSubstr("elsewhere"))));
  EXPECT_EQ(Run({"get", "tier1gateway", "shop"}), kExitOk) << error_;
  EXPECT_EQ(Run({"get", "tier1gateways", "--tenant", "elsewhere"}), kExitRefused);
  EXPECT_EQ(Run({"get", "clusters", "--tenant", "t"}), kExitUsage);
  EXPECT_EQ(Run({"explain", "health", "shop.example.com", "--tenant", "t"}), kExitOk) << error_;
  EXPECT_EQ(Run({"explain", "health", "shop.example.com", "--tenant", "elsewhere"}), kExitRefused);
  EXPECT_EQ(Run({"status", "--nonsense"}), kExitUsage);
  EXPECT_EQ(Run({"status", "-o", "nonsense"}), kExitUsage);
}

TEST_F(CommandLine, SaysWhichPortItMet) {
  EXPECT_EQ(Run({"get", "tenants", "--server", Address(server_->info().rest_port)}), kExitUnreachable);
  EXPECT_THAT(error_, AllOf(HasSubstr("REST port (8443)"), Not(HasSubstr("--ca-file"))));
  EXPECT_EQ(Run({"get", "tenants", "--server", Address(server_->info().agent_port)}), kExitUnreachable);
  EXPECT_THAT(error_, AllOf(HasSubstr("port for agents (9444)"), Not(HasSubstr("--ca-file"))));
}

TEST(Shares, AddUpOverTheGatewaysThatReport) {
  v2::TrafficReport report;
  for (int i = 0; i < 3; ++i) {
    auto& item = *report.add_items();
    item.set_host("h");
    item.mutable_time()->set_seconds(i == 2 ? 900 : 1000);  // The third is silent.
    for (const char* name : {"c1", "c2"}) {
      auto& cluster = *item.add_clusters();
      cluster.set_cluster(name);
      cluster.set_intended(0.5);
      cluster.set_requests_per_second(name[1] == '1' ? 30 : 10);
      cluster.set_can_serve(i == 0);
    }
  }
  const auto shares = Shares(report, 1010);
  ASSERT_EQ(shares.size(), 2u);
  EXPECT_DOUBLE_EQ(shares[0].intended, 0.5);
  EXPECT_DOUBLE_EQ(shares[0].delivered, 0.75);
  EXPECT_EQ(shares[0].gateways, 2);
  EXPECT_EQ(shares[0].serving, 1);
}

}  // namespace
}  // namespace weir::cli
