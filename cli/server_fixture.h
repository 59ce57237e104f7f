#pragma once

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "api/weir/bootstrap/v1/bootstrap.pb.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "libs/base/file.h"
#include "libs/base/ids.h"
#include "mgmt-server/fleet/small_agent.h"
#include "mgmt-server/server.h"

namespace weir::cli {

inline constexpr char kDocuments[] = R"(apiVersion: api.weir.dev/v2
kind: Tenant
metadata: {name: t, organization: acme}
---
apiVersion: api.weir.dev/v2
kind: Workspace
metadata: {name: w, organization: acme, tenant: t}
spec: {namespaceSelector: {names: ["*/*"]}}
---
apiVersion: gateway.weir.dev/v2
kind: GatewayGroup
metadata: {name: g, organization: acme, tenant: t, workspace: w}
---
apiVersion: api.weir.dev/v2
kind: Cluster
metadata: {name: edge, organization: acme}
spec: {tier1Cluster: true}
---
apiVersion: api.weir.dev/v2
kind: Cluster
metadata: {name: c1, organization: acme}
---
apiVersion: api.weir.dev/v2
kind: Cluster
metadata: {name: c2, organization: acme}
---
apiVersion: gateway.weir.dev/v2
kind: Tier1Gateway
metadata: {name: shop, organization: acme, tenant: t, workspace: w, group: g}
spec:
  workloadSelector: {namespace: n, labels: {app: t1}}
  externalServers:
  - name: s
    hostname: shop.example.com
    port: 80
    clusters: [{name: c1, weight: 75}, {name: c2, weight: 25}]
)";
inline constexpr char kSet[] = "n:app=t1/80/shop.example.com/s/0";

// The command line as it is typed, against a whole server in this process and an agent of a few lines.
class CommandLine : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("weir-cli-server-" + RandomHex(8));
    std::filesystem::create_directories(folder_);
    bootstrap::v1::Server bootstrap;
    bootstrap.set_state_dir(folder_ + "/state");
    bootstrap.set_organization("acme");
    bootstrap.set_rest_port(0);
    bootstrap.set_grpc_port(0);
    bootstrap.set_agent_port(0);
    bootstrap.set_packages_dir(folder_ + "/packages");  // Not there until a test makes it.
    bootstrap.set_first_documents(folder_ + "/first.yaml");
    ASSERT_TRUE(WriteFileAtomic(bootstrap.first_documents(), documents_).ok());
    auto server = server::Server::Start(bootstrap);
    ASSERT_TRUE(server.ok()) << server.error().ToString() << server.error().cause;
    server_ = std::move(server).value();
    setenv("WEIR_HOME", (folder_ + "/home").c_str(), 1);
    for (const char* name : {"WEIR_SERVER", "WEIR_CA_FILE", "WEIR_ORG", "WEIR_TOKEN"}) unsetenv(name);
    auto password = ReadFile(server_->info().password_path);
    ASSERT_TRUE(password.ok());
    std::istringstream input(*password);
    auto* before = std::cin.rdbuf(input.rdbuf());
    const int code = Run({"login", "admin", "--server", Address(server_->info().grpc_port), "--ca-file",
                          server_->info().anchor_path, "--org", "acme"});
    std::cin.rdbuf(before);
    std::cin.clear();
    ASSERT_EQ(code, kExitOk) << error_;
  }
  void TearDown() override {
    agent_.reset();
    server_.reset();
    unsetenv("WEIR_HOME");
    std::filesystem::remove_all(folder_);
  }

  std::string Address(int port) const { return "127.0.0.1:" + std::to_string(port); }
  // `weir ARGUMENTS`; what it printed is in output_ and error_.
  int Run(const std::vector<std::string>& arguments) {
    std::ostringstream out, error;
    auto* out_before = std::cout.rdbuf(out.rdbuf());
    auto* error_before = std::cerr.rdbuf(error.rdbuf());
    const int code = Main(arguments);
    std::cout.rdbuf(out_before);
    std::cerr.rdbuf(error_before);
    output_ = out.str();
    error_ = error.str();
    return code;
  }
  int Apply(const std::string& document, std::vector<std::string> arguments = {}) {
    EXPECT_TRUE(WriteFileAtomic(folder_ + "/document.yaml", document).ok());
    arguments.insert(arguments.begin(), {"apply", "-f", folder_ + "/document.yaml"});
    return Run(arguments);
  }
  // The edge's agent, with two tier-1 gateways.
  void StartAgent() {
    ASSERT_EQ(Run({"cluster", "token", "edge"}), kExitOk);
    auto agent = fleet::SmallAgent::Join(Address(server_->info().agent_port), server_->info().anchor_pem,
                                         output_.substr(0, output_.find('\n')));
    ASSERT_TRUE(agent.ok()) << agent.error().ToString();
    agent_ = std::move(agent).value();
    agent_->Run({"n/gw1", "n/gw2"}, {{"app", "t1"}});
  }
  void Report(const std::string& workload, const std::string& rest) {
    agent::v1::GatewayTraffic report;
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(rest, &report)) << rest;
    report.set_workload(workload);
    report.set_seconds(10);
    for (auto& set : *report.mutable_traffic()) set.set_destination_set(kSet);
    for (auto& set : *report.mutable_health()) set.set_destination_set(kSet);
    agent_->Report(report);
  }

  std::string documents_ = kDocuments;  // That the server starts with.
  std::string folder_, output_, error_;
  std::unique_ptr<server::Server> server_;
  std::unique_ptr<fleet::SmallAgent> agent_;
};

}  // namespace weir::cli
