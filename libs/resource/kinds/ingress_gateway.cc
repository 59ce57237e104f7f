#include "api/weir/v2/ingress_gateway.pb.h"
#include "libs/resource/checks.h"
#include "libs/resource/kinds/gateway_checks.h"
#include "libs/resource/kinds/rules.h"
#include "libs/resource/routes.h"

namespace weir::resource {
namespace {

v2::HttpRule AsRule(const v2::IngressRule& from) {
  v2::HttpRule rule;
  *rule.mutable_match() = from.match();
  if (from.has_route()) *rule.mutable_route()->mutable_service_destination() = from.route();
  if (from.has_redirect()) *rule.mutable_redirect() = from.redirect();
  if (from.has_timeout()) *rule.mutable_timeout() = from.timeout();
  return rule;
}

v2::Gateway AsGateway(const v2::IngressGateway& from) {
  v2::Gateway gateway;
  *gateway.mutable_metadata() = from.metadata();
  if (from.spec().has_workload_selector()) {
    *gateway.mutable_spec()->mutable_workload_selector() = from.spec().workload_selector();
  }
  for (const auto& server : from.spec().http()) {
    v2::HttpServer& http = *gateway.mutable_spec()->add_http();
    http.set_name(server.name());
    http.set_hostname(server.hostname());
    http.set_port(server.port());
    if (server.has_tls()) *http.mutable_tls() = server.tls();
    for (const auto& rule : server.routing().rules()) *http.mutable_routing()->add_rules() = AsRule(rule);
  }
  return gateway;
}

void FillIn(v2::IngressGateway& gateway) { FillInRedirects(*gateway.mutable_spec()->mutable_http()); }

// As the Gateway that it is, by the words that it has.
void Check(const v2::IngressGateway& gateway, Checker& check) {
  const v2::Gateway form = AsGateway(gateway);
  GatewayChecker checks(check, {.actions = "route, redirect", .service = ""});
  checks.Selector(form.spec().has_workload_selector(), form.spec().workload_selector());
  checks.Count(form.spec().http_size(), "spec.http");
  for (int i = 0; i < form.spec().http_size(); ++i) {
    const std::string at = fmt::format("spec.http[{}]", i);
    const v2::HttpServer& server = form.spec().http(i);
    checks.Server(server.name(), server.hostname(), server.port(), server.tls(), at);
    checks.Routing(server, at);
  }
}

std::vector<FieldViolation> Shadowed(const v2::IngressGateway& gateway) { return ShadowedRules(AsGateway(gateway)); }

std::vector<std::string> Summary(const v2::IngressGateway& gateway) { return HostsOf(gateway.spec().http()); }

}  // namespace

KindRules IngressGatewayRules() {
  return RulesOf<v2::IngressGateway>{
      .summary = Summary,
      .fill_in = FillIn,
      .check = Check,
      .warnings = Shadowed,
      .not_served = {{"IngressGatewaySpec", {"tlsPassthrough", "tcp", "waf", "extension"}, ""},
                     {"IngressHttpServer", {"authentication", "authorization", "rateLimiting"}, ""},
                     {"IngressRouting", {"corsPolicy"}, ""},
                     {"IngressRule", {"modify"}, ""},
                     {"IngressRule", {"directResponse"}, "a Gateway with a rule that answers directly"}},
      .effect = Effect::kGateway,
      .as_gateway = AsGateway,
      .servers = "spec.http",
      .rule = "routing.rules[{}]",
      .service = "routing.rules[{}].route",
  }
      .Rules();
}

}  // namespace weir::resource
