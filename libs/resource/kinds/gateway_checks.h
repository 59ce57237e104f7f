#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "api/weir/v2/gateway.pb.h"
#include "libs/resource/checks.h"

namespace weir::resource {

// "host:port" of each server.
template <typename Servers>
std::vector<std::string> HostsOf(const Servers& servers) {
  std::vector<std::string> hosts;
  for (const auto& server : servers) hosts.push_back(fmt::format("{}:{}", server.hostname(), server.port()));
  return hosts;
}

// A redirect that names no code is a 301.
template <typename Servers>
void FillInRedirects(Servers& servers) {
  for (auto& server : servers) {
    if (!server.has_routing()) continue;
    for (auto& rule : *server.mutable_routing()->mutable_rules()) {
      if (rule.has_redirect() && rule.redirect().redirect_code() == 0) rule.mutable_redirect()->set_redirect_code(301);
    }
  }
}

// How a kind that is checked in the form of a Gateway calls what that calls otherwise.
struct RuleWords {
  std::string actions = "route, redirect, directResponse";
  std::string service = ".serviceDestination";  // Below the route.
};

// What the kinds of gateways have in common; one checker for one object.
class GatewayChecker {
 public:
  explicit GatewayChecker(Checker& check, RuleWords words = {}) : check_(check), words_(std::move(words)) {}

  void Selector(bool present, const v2::WorkloadSelector& selector);
  // How many servers, at `field`: 1 to 10,000.
  void Count(int servers, const std::string& field);
  void Server(const std::string& name, const std::string& hostname, uint32_t port, const v2::ServerTls& tls,
              const std::string& at);
  void Tenant(const std::string& name, const std::string& at);
  void Cluster(const v2::ClusterDestination& cluster, const std::string& at);
  void Clusters(const google::protobuf::RepeatedPtrField<v2::ClusterDestination>& clusters, const std::string& at);
  void Routing(const v2::HttpServer& server, const std::string& at);
  // `server`: an HttpRule or a Tier1ExternalServer.
  template <typename Server>
  void Times(const Server& server, const std::string& at) {
    if (server.has_timeout()) Time(server.timeout(), at + ".timeout");
    if (server.has_idle_timeout()) Time(server.idle_timeout(), at + ".idleTimeout");
  }

 private:
  void MeshHost(const std::string& hostname, uint32_t port, const std::string& at);
  void Rule(const v2::HttpRule& rule, const std::string& at);
  void Answer(const v2::HttpDirectResponse& answer, const std::string& at);
  void Match(const v2::HttpMatch& match, const std::string& at);
  void Route(const v2::HttpRoute& route, const std::string& at);
  void Role(int tier, const std::string& at);
  void Redirect(const v2::HttpRedirect& redirect, const std::string& at);
  void Time(const google::protobuf::Duration& time, const std::string& at);

  Checker& check_;
  const RuleWords words_;
  std::set<std::string> names_;
  std::set<std::string> hosts_;
  std::map<std::string, uint32_t> mesh_hosts_;
  int tier_ = 0;
};

}  // namespace weir::resource
