#include <google/protobuf/util/time_util.h>

#include <iostream>

#include "api/weir/v2/traffic.pb.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/health_text.h"
#include "cli/history.h"
#include "cli/objects.h"
#include "cli/output.h"
#include "cli/traffic.h"
#include "libs/base/text.h"

namespace weir::cli {
namespace {

std::string Where(const v2::ExplainedRoute& item) {
  std::string text = fmt::format("at {} port {}:", item.gateway_cluster(), item.port());
  for (const std::string& gateway : item.gateways()) text += " " + gateway;
  if (item.more_gateways() > 0) text += fmt::format(" and {} more", item.more_gateways());
  return text;
}

std::string Named(const v2::ExplainedRule& rule) {
  return fmt::format("rule {} of {} ({}) takes {} by \"{}\"", rule.number(), rule.source(), rule.field(), rule.host(),
                     rule.match());
}

std::string Reply(int status, const std::string& reason) {
  return reason.empty() ? std::to_string(status) : fmt::format("{} {}", status, reason);
}

std::string Outcome(const v2::ExplainedRoute& item) {
  switch (item.outcome()) {
    case v2::ExplainedRoute::REDIRECT:
      return fmt::format("the gateway answers {} with location {}", item.status(), item.location());
    case v2::ExplainedRoute::DIRECT_RESPONSE:
      return fmt::format("the gateway answers {}{}", item.status(),
                         item.body().empty() ? "" : fmt::format(" with the body \"{}\"", item.body()));
    case v2::ExplainedRoute::NO_RULE:
      return fmt::format("no rule of {} in {} takes {}: the gateway answers {}", item.field(), item.source(),
                         item.path(), Reply(item.status(), item.reason()));
    case v2::ExplainedRoute::REFUSED:
      return fmt::format("before it looks for a rule the gateway answers {}", Reply(item.status(), item.reason()));
    default:
      break;
  }
  if (item.panic()) return "nobody can serve it: all are asked all the same (panic)";
  if (item.status() != 0)
    return fmt::format("nobody can serve it: the gateway answers {}", Reply(item.status(), item.reason()));
  return "";
}

std::string HopText(const v2::ExplainedHop& hop) {
  std::string text = hop.rule().field().empty() ? fmt::format("no rule of {} takes it", hop.rule().source())
                                                : fmt::format("rule {} of {} ({})", hop.rule().number(),
                                                              hop.rule().source(), hop.rule().field());
  if (hop.has_service()) text += fmt::format(" sends it to {}:{}", hop.service().host(), hop.service().port());
  if (hop.status() != 0) text += fmt::format(" answers {}", hop.status());
  return text;
}

void PrintShares(const v2::ExplainedRoute& item) {
  for (const v2::ExplainedShare& share : item.shares()) {
    std::string line = fmt::format("{:>8}  {}", Percent(share.share()), share.cluster());
    if (share.has_weight()) line += fmt::format(" (weight {})", share.weight());
    line += share.can_serve() ? " can serve" : fmt::format(" cannot serve: {} ({})", share.why_not(), share.reason());
    std::cout << Printable(line) << "\n" << EvidenceText(share.health(), "              ");
    for (const v2::ExplainedHop& hop : share.hops())
      std::cout << "            there " << Printable(HopText(hop)) << "\n";
  }
}

void PrintChanges(const v2::ExplainedRoute& item) {
  for (const v2::ExplainedChange& change : item.changes()) {
    std::cout << Printable(fmt::format("  changed last at revision {}{} by {}: {}{}", change.revision(),
                                       change.has_time() ? ", " + Clock(change.time()) : "",
                                       change.author().empty() ? "weir-server" : change.author(), change.fqn(),
                                       change.message().empty() ? "" : fmt::format(" (\"{}\")", change.message())))
              << "\n";
  }
}

void Print(const v2::ExplainedRoute& item) {
  std::cout << Printable(Where(item)) << "\n";
  if (!item.doubt().empty()) std::cout << "  in doubt: " << Printable(item.doubt()) << "\n";
  if (item.has_rule()) std::cout << "  " << Printable(Named(item.rule())) << "\n";
  if (item.has_service()) {
    std::cout << Printable(fmt::format("  to the service {}:{}", item.service().host(), item.service().port())) << "\n";
  }
  PrintShares(item);
  if (!item.why_not().empty()) {
    std::cout << Printable(fmt::format("  {} ({})", item.why_not(), item.service_reason())) << "\n";
  }
  if (const std::string outcome = Outcome(item); !outcome.empty()) std::cout << "  " << Printable(outcome) << "\n";
  if (item.repeatable()) std::cout << "  it may be repeated at another cluster\n";
  PrintChanges(item);
}

Status SetAsOf(const Flags& flags, v2::ExplainRouteRequest& request) {
  if (!flags.Has("as-of")) return {};
  WEIR_ASSIGN(const Moment moment, ParseMoment("as-of", flags.Get("as-of"), UnixNow()));
  if (moment.seconds)
    request.mutable_as_of_time()->set_seconds(*moment.seconds);
  else
    request.set_as_of_revision(moment.revision);
  return {};
}

// "shop.example.com/cart?x=1", also with a scheme before it, as people paste it.
void SetPlace(std::string text, v2::ExplainRouteRequest& request) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (text.starts_with(scheme)) text.erase(0, scheme.size());
  }
  const size_t path = std::min(text.find_first_of("/?"), text.size());
  request.set_host(text.substr(0, path));
  std::string rest = text.substr(path);
  if (rest.starts_with('?')) rest.insert(rest.begin(), '/');
  request.set_path(rest);
}

Result<int> ExplainRoute(const Flags& flags) {
  const std::string format = flags.Get("output", "table");
  if (format != "table" && format != "yaml" && format != "json") return Usage("-o is table, yaml or json");
  if (flags.words.size() != 1) return Usage("explain route wants one HOST[/PATH]");
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  v2::ExplainRouteRequest request;
  WEIR_ASSIGN(*request.mutable_parent(), ParentOf(session, ScopeOf(flags)));
  SetPlace(flags.words[0], request);
  request.set_method(flags.Get("method"));
  for (const std::string& header : flags.All("header")) request.add_headers(header);
  request.set_from(flags.Get("from"));
  WEIR_TRY(SetAsOf(flags, request));
  v2::ExplainRouteResponse response;
  WEIR_TRY(client.Call("Traffic/ExplainRoute", request, response));
  if (format == "json") {
    std::cout << document::ToJson(response, true);
  } else if (format == "yaml") {
    std::cout << document::ToYaml(response);
  } else {
    for (const auto& item : response.items()) Print(item);
    if (response.more_items() > 0) std::cout << "and " << response.more_items() << " more; narrow it with --from\n";
  }
  return kExitOk;
}

}  // namespace

Command ExplainRouteCommand() {
  return {
      "explain route",
      "which rule takes a request, who gets it, who changed that",
      R"(Usage: weir explain route HOST[:PORT][/PATH] [--method M] [--header 'NAME: VALUE']... [--from CLUSTER|GATEWAY]
                          [--as-of WHEN] [-o table|yaml|json] [--tenant T [--workspace W [--group G]]]

For each gateway that knows HOST: the rule that takes the request (its object, field and number), the share of each
cluster now, who can serve and why others cannot, with what was observed, what the tier-2 gateways there do with it,
what the gateway answers by itself (redirects, direct responses, 404, 503), and who changed last what takes part.
Computed by the code that routes, from what is pushed and reported at this moment; nothing is sent or changed.

  --method     default: GET
  --header     as the caller sends it; may stand several times
  --from       the name of a cluster (the gateways there), or the full name of a gateway object (those that it selects)
  --as-of      the documents of a revision or a time (RFC 3339, or 2h ago: 2h), with the gateways and services of now;
               who was healthy then is not known

  weir explain route shop.example.com/cart
  weir explain route shop.example.com:80/pay --method POST --header 'Idempotency-Key: 7'
  weir explain route shop.example.com --from edge --as-of 2h
)",
      {{"tenant", "workspace", "group", "output", "method", "header", "from", "as-of"}, {}, {{'o', "output"}}},
      ExplainRoute};
}

}  // namespace weir::cli
