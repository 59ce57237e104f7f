#include "libs/resource/kinds/gateway_checks.h"

#include <algorithm>

#include "libs/dialect/dialect.h"
#include "libs/resource/gateways.h"
#include "libs/resource/routes.h"
#include "libs/resource/validate.h"

namespace weir::resource {
namespace {

constexpr int kMaxServers = 10'000;
constexpr int kMaxRules = 1'000;
constexpr int kMaxClusters = 1'000;
constexpr int kMaxLabels = 16;  // Of one entry.

}  // namespace

void GatewayChecker::Selector(bool present, const v2::WorkloadSelector& selector) {
  if (!present) return check_.Add("spec.workloadSelector", "required: which workloads run this gateway");
  check_.Require(IsDnsLabel(selector.namespace_()), "spec.workloadSelector.namespace",
                 selector.namespace_().empty() ? "required" : kLabelRule);
  check_.Require(selector.labels_size() > 0, "spec.workloadSelector.labels", "required: at least one");
  check_.Labels(selector.labels(), "spec.workloadSelector.labels");
}

void GatewayChecker::Count(int servers, const std::string& field) {
  check_.Require(servers > 0, field, "required: at least one");
  check_.Require(servers <= kMaxServers, field, "must be at most 10000");
}

void GatewayChecker::Server(const std::string& name, const std::string& hostname, uint32_t port,
                            const v2::ServerTls& tls, const std::string& at) {
  check_.Require(IsDnsLabel(name), at + ".name", name.empty() ? "required" : kLabelRule);
  check_.Require(name.empty() || names_.insert(name).second, at + ".name", "must be unique in the list");
  check_.Require(IsHostPattern(hostname), at + ".hostname", hostname.empty() ? "required" : kHostRule);
  check_.Require(port >= 1 && port <= 65535, at + ".port", port == 0 ? "required: 1 to 65535" : "must be 1 to 65535");
  check_.Require(port != dialect::kMeshPort, at + ".port", "is what gateways use between tiers");
  check_.Require(hosts_.insert(fmt::format("{}:{}", hostname, port)).second, at + ".hostname",
                 "the same host and port stands there twice");
  if (tls.mode() == v2::ServerTls::DISABLED) return;
  check_.Add(at + ".tls.mode",
             v2::ServerTls::Mode_IsValid(tls.mode())
                 ? fmt::format("{}: this version terminates no TLS; what does stands before it. Not DISABLED "
                               "unless the host is meant to be plain",
                               kNotServed)
                 : std::string("must be DISABLED, SIMPLE or MUTUAL"));
}

void GatewayChecker::Tenant(const std::string& name, const std::string& at) {
  check_.Require(name.empty() || IsDnsLabel(name), at + ".tenant", kLabelRule);
}

void GatewayChecker::Cluster(const v2::ClusterDestination& cluster, const std::string& at) {
  const bool selects = cluster.labels_size() > 0 || !cluster.network().empty();
  check_.Require(!cluster.name().empty() || selects, at + ".name", "required, or labels or network instead");
  check_.Require(cluster.name().empty() || IsDnsLabel(cluster.name()), at + ".name", kLabelRule);
  check_.Require(cluster.name().empty() || cluster.labels().empty(), at + ".labels",
                 "stands beside a name: an entry names one cluster or selects by labels");
  check_.Require(cluster.labels_size() <= kMaxLabels, at + ".labels", "must be at most 16");
  check_.Labels(cluster.labels(), at + ".labels");
  check_.LabelText(cluster.network(), at + ".network");
}

void GatewayChecker::Clusters(const google::protobuf::RepeatedPtrField<v2::ClusterDestination>& clusters,
                              const std::string& at) {
  check_.Require(clusters.size() <= kMaxClusters, at, "must be at most 1000");
  std::set<std::string> seen;
  int weighted = 0;
  uint64_t sum = 0;
  for (int i = 0; i < clusters.size(); ++i) {
    const std::string& name = clusters[i].name();
    const std::string entry = fmt::format("{}[{}]", at, i);
    Cluster(clusters[i], entry);
    check_.Require(name.empty() || seen.insert(name).second, entry + ".name", "stands in the list twice");
    weighted += clusters[i].has_weight() ? 1 : 0;
    sum += clusters[i].weight();
  }
  if (weighted == 0) return;
  for (int i = 0; i < clusters.size() && weighted != clusters.size(); ++i) {
    if (!clusters[i].has_weight()) {
      check_.Add(fmt::format("{}[{}].weight", at, i), "required, because others of the list have one: all or none");
    }
  }
  check_.Require(sum >= 1 && sum <= 4294967295u, at,
                 sum == 0 ? "the weights must not all be 0" : "the weights must not sum up to more than 4294967295");
}

// Tier-1 gateways name the host only, so one port of it can answer them.
void GatewayChecker::MeshHost(const std::string& hostname, uint32_t port, const std::string& at) {
  if (const uint32_t taken = mesh_hosts_.emplace(hostname, port).first->second; taken != port)
    check_.Add(at + ".hostname",
               fmt::format("goes to services on port {} already: between the tiers a host has no port, so only one "
                           "port of it may; the others may redirect or answer directly",
                           taken));
}

void GatewayChecker::Routing(const v2::HttpServer& server, const std::string& at) {
  const auto& rules = server.routing().rules();
  check_.Require(rules.size() > 0, at + ".routing.rules", "required: at least one");
  check_.Require(rules.size() <= kMaxRules, at + ".routing.rules", "must be at most 1000");
  for (int j = 0; j < rules.size(); ++j) Rule(rules[j], fmt::format("{}.routing.rules[{}]", at, j));
  if (GoesToServices(server)) MeshHost(server.hostname(), server.port(), at);
  const bool spreads = GoesToClusters(server);
  check_.Require(spreads || server.tenant().empty(), at + ".tenant",
                 "only with a rule that goes to clusters (clusterDestination)");
  if (!server.has_failover_settings()) return;
  check_.Failover(server.failover_settings(), at + ".failoverSettings");
  check_.Require(spreads, at + ".failoverSettings",
                 fmt::format("{}: only with a rule that goes to clusters (clusterDestination)", kNotServed));
}

void GatewayChecker::Rule(const v2::HttpRule& rule, const std::string& at) {
  for (int i = 0; i < rule.match_size(); ++i) Match(rule.match(i), fmt::format("{}.match[{}]", at, i));
  const int actions = rule.has_route() + rule.has_redirect() + rule.has_direct_response();
  check_.Require(actions == 1, at, "needs exactly one of " + words_.actions);
  if (rule.has_route()) Route(rule.route(), at + ".route");
  if (rule.has_redirect()) Redirect(rule.redirect(), at + ".redirect");
  if (rule.has_direct_response()) Answer(rule.direct_response(), at + ".directResponse");
  Times(rule, at);
}

void GatewayChecker::Answer(const v2::HttpDirectResponse& answer, const std::string& at) {
  check_.Require(answer.status() >= 200 && answer.status() <= 599, at + ".status", "must be 200 to 599");
  const bool bare = answer.status() == 204 || answer.status() == 205 || answer.status() == 304;
  check_.Require(answer.body().size() <= (bare ? 0 : 4096), at + ".body",
                 bare ? "a 204, 205 or 304 has none: leave it out, or answer 200" : "must be at most 4096 bytes");
}

void GatewayChecker::Match(const v2::HttpMatch& match, const std::string& at) {
  const auto& uri = match.uri();
  if (uri.match_case() == v2::StringMatch::MATCH_NOT_SET) return check_.Add(at + ".uri", "needs one of exact, prefix");
  const bool exact = uri.match_case() == v2::StringMatch::kExact;
  const std::string& text = exact ? uri.exact() : uri.prefix();
  const std::string why = WhyNoRequestHas(text, exact);
  check_.Require(why.empty(), at + (exact ? ".uri.exact" : ".uri.prefix"), why);
}

void GatewayChecker::Route(const v2::HttpRoute& route, const std::string& at) {
  const bool clusters = route.has_cluster_destination();
  if (clusters == route.has_service_destination()) {
    return check_.Add(at, "needs exactly one of clusterDestination, serviceDestination");
  }
  if (clusters) {
    Role(1, at + ".clusterDestination");
    return Clusters(route.cluster_destination().clusters(), at + ".clusterDestination.clusters");
  }
  Role(2, at + words_.service);
  const auto& service = route.service_destination();
  const size_t slash = service.host().find('/');
  check_.Require(
      slash != std::string::npos && IsDnsLabel(service.host().substr(0, slash)) &&
          IsDnsName(service.host().substr(slash + 1)),
      at + words_.service + ".host",
      service.host().empty() ? "required: \"<namespace>/<service host>\"" : "must be \"<namespace>/<service host>\"");
  check_.Require(service.port() >= 1 && service.port() <= 65535, at + words_.service + ".port",
                 service.port() == 0 ? "required: 1 to 65535" : "must be 1 to 65535");
}

// The identities that may call a tier-1 and a tier-2 gateway differ, so one object is one of them.
void GatewayChecker::Role(int tier, const std::string& at) {
  if (tier_ == 0) tier_ = tier;
  check_.Require(tier_ == tier, at,
                 "one Gateway routes either to clusters (tier 1) or to services (tier 2); make two of it");
}

void GatewayChecker::Redirect(const v2::HttpRedirect& redirect, const std::string& at) {
  check_.Require(!redirect.authority().empty() || !redirect.uri().empty(), at, "needs authority, uri or both");
  check_.Require(redirect.authority().empty() || IsAuthority(redirect.authority()), at + ".authority",
                 "must be host or host:port, the port 1 to 65535");
  check_.Require(redirect.uri().empty() ||
                     (redirect.uri().starts_with('/') && IsVisible(redirect.uri()) && redirect.uri().size() <= 4096),
                 at + ".uri", "must be a path that begins with /");
  static constexpr uint32_t kCodes[] = {0, 301, 302, 303, 307, 308};
  check_.Require(std::find(std::begin(kCodes), std::end(kCodes), redirect.redirect_code()) != std::end(kCodes),
                 at + ".redirectCode", "must be 301, 302, 303, 307 or 308");
}

void GatewayChecker::Time(const google::protobuf::Duration& time, const std::string& at) {
  constexpr int64_t kMost = 24 * 3600;
  const bool sane = time.seconds() >= 0 && time.seconds() <= kMost && time.nanos() >= 0 && time.nanos() < 1'000'000'000;
  const bool none = sane && time.seconds() == 0 && time.nanos() == 0;
  const bool in_range =
      sane && (time.seconds() > 0 || time.nanos() >= 1'000'000) && (time.seconds() < kMost || time.nanos() == 0);
  check_.Require(none || in_range, at, "must be 1 ms to 24 h, or 0 for no bound");
}

}  // namespace weir::resource
