#include "api/weir/v2/gateway.pb.h"
#include "libs/resource/checks.h"
#include "libs/resource/kinds/gateway_checks.h"
#include "libs/resource/kinds/rules.h"
#include "libs/resource/routes.h"

namespace weir::resource {
namespace {

void FillIn(v2::Gateway& gateway) { FillInRedirects(*gateway.mutable_spec()->mutable_http()); }

void Check(const v2::Gateway& gateway, Checker& check) {
  GatewayChecker checks(check);
  checks.Selector(gateway.spec().has_workload_selector(), gateway.spec().workload_selector());
  const auto& servers = gateway.spec().http();
  checks.Count(servers.size(), "spec.http");
  for (int i = 0; i < servers.size(); ++i) {
    const std::string at = fmt::format("spec.http[{}]", i);
    checks.Server(servers[i].name(), servers[i].hostname(), servers[i].port(), servers[i].tls(), at);
    checks.Tenant(servers[i].tenant(), at);
    checks.Routing(servers[i], at);
  }
}

std::vector<std::string> Summary(const v2::Gateway& gateway) { return HostsOf(gateway.spec().http()); }

}  // namespace

KindRules GatewayRules() {
  return RulesOf<v2::Gateway>{
      .summary = Summary,
      .fill_in = FillIn,
      .check = Check,
      .warnings = ShadowedRules,
      .not_served = {{"GatewaySpec", {"tls", "tcp", "egressAuthorization", "waf", "wasmPlugins"}, ""},
                     {"HttpServer",
                      {"trafficMode", "authentication", "authorization", "rateLimiting", "openapi", "transit",
                       "xxxOldAuthentication", "xxxOldAuthorization"},
                      ""},
                     {"HttpRouting", {"corsPolicy"}, ""},
                     {"HttpRule", {"modify", "disableExternalAuthorization"}, ""},
                     {"HttpRule", {"name"}, "rules are named by their place in the list: leave it out"},
                     {"HttpMatch", {"scheme", "authority", "headers", "port", "method", "queryParams"}, "uri"},
                     {"HttpMatch", {"name"}, "leave it out"},
                     {"StringMatch", {"regex"}, "prefix or exact"},
                     {"HttpRoute", {"stickySession"}, ""},
                     {"ServiceDestination", {"tls"}, "between the gateway and the pod it is always mutual TLS"},
                     {"HttpRedirect", {"scheme", "port"}, "authority with a port"},
                     {"ServerTls",
                      {"secretName", "files", "caCertificates", "subjectAltNames", "minProtocolVersion",
                       "maxProtocolVersion", "cipherSuites"},
                      ""},
                     {"FailoverSettings", {"topologyChoice"}, "regionalFailover or failoverPriority"}},
      .effect = Effect::kGateway,
      .servers = "spec.http",
      .rule = "routing.rules[{}]",
      .clusters = "routing.rules[{}].route.clusterDestination.clusters",
      .service = "routing.rules[{}].route.serviceDestination",
  }
      .Rules();
}

}  // namespace weir::resource
