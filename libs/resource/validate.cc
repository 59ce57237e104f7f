#include "libs/resource/validate.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <map>
#include <set>

#include "api/weir/v2/access_bindings.pb.h"
#include "api/weir/v2/cluster.pb.h"
#include "api/weir/v2/gateway.pb.h"
#include "api/weir/v2/gateway_group.pb.h"
#include "api/weir/v2/metadata.pb.h"
#include "api/weir/v2/organization.pb.h"
#include "api/weir/v2/organization_setting.pb.h"
#include "api/weir/v2/tier1_gateway.pb.h"
#include "api/weir/v2/user.pb.h"
#include "api/weir/v2/workspace.pb.h"
#include "libs/dialect/dialect.h"
#include "libs/resource/conflicts.h"
#include "libs/resource/kinds.h"
#include "libs/resource/routes.h"
#include "libs/resource/texts.h"

namespace weir::resource {
namespace {

constexpr std::string_view kLabelRule = "must be a DNS label: a-z, 0-9 and -, at most 63 characters";
constexpr std::string_view kHostRule = "must be a DNS name in lower case, or \"*.\" before one";
constexpr std::string_view kNotServed = "not served yet";
constexpr size_t kMaxAnnotationBytes = 256u << 10;
constexpr int kMaxServers = 10'000;
constexpr int kMaxRules = 1'000;
constexpr int kMaxClusters = 1'000;
constexpr int kMaxRegionPairs = 64;
constexpr int kMaxPriorities = 16;

bool IsAlnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

// Kubernetes: the name part of a label key, and every non-empty label value.
bool IsLabelText(std::string_view text) {
  if (text.empty() || text.size() > 63 || !IsAlnum(text.front()) || !IsAlnum(text.back())) return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return IsAlnum(c) || c == '-' || c == '_' || c == '.'; });
}
bool IsLabelKey(std::string_view key) {
  const size_t slash = key.find('/');
  if (slash == std::string_view::npos) return IsLabelText(key);
  return IsDnsName(key.substr(0, slash)) && IsLabelText(key.substr(slash + 1));
}
// What may stand in a header value or request line: visible ASCII.
bool IsVisible(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7F; });
}

class Checker {
 public:
  explicit Checker(std::vector<FieldViolation>& violations) : violations_(violations) {}

  void Add(std::string field, std::string text) { violations_.push_back({std::move(field), std::move(text), 0, 0}); }
  void Require(bool ok, const std::string& field, std::string_view text) {
    if (!ok) Add(field, std::string(text));
  }

  void Metadata(const v2::Metadata& metadata, bool named) {
    if (named) {
      if (metadata.name().empty()) {
        Add("metadata.name", "required");
      } else {
        Require(IsDnsLabel(metadata.name()), "metadata.name", kLabelRule);
      }
    }
    Require(metadata.display_name().size() <= 256, "metadata.displayName", "must be at most 256 bytes");
    Require(metadata.description().size() <= 4096, "metadata.description", "must be at most 4096 bytes");
    Labels(metadata.labels(), "metadata.labels");
    size_t bytes = 0;
    for (const auto& [key, value] : metadata.annotations()) {
      Require(IsLabelKey(key), "metadata.annotations." + key, "must have a key like \"team\" or \"example.com/team\"");
      bytes += key.size() + value.size();
    }
    Require(bytes <= kMaxAnnotationBytes, "metadata.annotations", "must be at most 256 KiB together");
  }
  template <typename Map>
  void Labels(const Map& labels, const std::string& field) {
    const std::map<std::string, std::string> sorted(labels.begin(), labels.end());
    for (const auto& [key, value] : sorted) {
      Require(IsLabelKey(key), field + "." + key, "must have a key like \"app\" or \"example.com/app\"");
      Require(value.empty() || IsLabelText(value), field + "." + key,
              "must be letters, digits, -, _ and ., at most 63 characters");
    }
  }

  void Of(const v2::Organization& organization) {
    const std::string& domain = organization.spec().domain();
    // "<cluster>." comes before it and must fit into 253.
    Require(domain.empty() || (IsDnsName(domain) && domain.size() <= 189), "spec.domain",
            "must be a DNS name of at most 189 characters");
  }
  void Of(const v2::Workspace& workspace) {
    Require(workspace.spec().namespace_selector().names_size() > 0, "spec.namespaceSelector.names",
            "required: at least one \"cluster/namespace\"; either may be *");
    Namespaces(workspace.spec().namespace_selector());
  }
  void Of(const v2::GatewayGroup& group) {
    Namespaces(group.spec().namespace_selector());
    Require(v2::ConfigMode_IsValid(group.spec().config_mode()), "spec.configMode", "must be BRIDGED or DIRECT");
  }
  void Of(const v2::Cluster& cluster) {
    const auto text = [&](const std::string& value, const std::string& field) {
      Require(value.empty() || IsLabelText(value), field, "must be letters, digits, -, _ and ., at most 63 characters");
    };
    text(cluster.spec().locality().region(), "spec.locality.region");
    text(cluster.spec().locality().zone(), "spec.locality.zone");
    text(cluster.spec().network(), "spec.network");
    Require(v2::AdminState_IsValid(cluster.spec().admin_state()), "spec.adminState", "must be ACTIVE or DRAINING");
    Require(cluster.spec().locality().zone().empty() || !cluster.spec().locality().region().empty(),
            "spec.locality.region", "required with a zone");
  }
  void Of(const v2::OrganizationSetting& setting) {
    Failover(setting.spec().failover_settings(), "spec.failoverSettings");
    Require(IsWithin(setting.spec().expired_identity_grace(), 3600), "spec.expiredIdentityGrace", "must be 0 s to 1 h");
  }
  void Of(const v2::User& user) {
    const std::string& email = user.spec().email();
    const size_t at = email.find('@');
    Require(email.empty() || (email.size() <= 254 && IsVisible(email) && at != 0 && at != std::string::npos &&
                              at + 1 < email.size()),
            "spec.email", "must be an address like ann@example.com, at most 254 characters");
  }
  void Of(const v2::AccessBindings& bindings) {
    for (int i = 0; i < bindings.allow_size(); ++i) {
      const std::string at = fmt::format("allow[{}]", i);
      const auto& binding = bindings.allow(i);
      Require(!CanonicalRole(binding.role()).empty(), at + ".role",
              "must be rbac/admin, rbac/creator, rbac/editor, rbac/writer or rbac/reader");
      Require(binding.subjects_size() > 0, at + ".subjects", "required: at least one");
      for (int j = 0; j < binding.subjects_size(); ++j) {
        auto user = ParseFqn(binding.subjects(j).user());
        Require(user.ok() && user->kind == Kind::kUser, fmt::format("{}.subjects[{}].user", at, j),
                "must be the full name of a user, like organizations/o/users/u");
      }
    }
  }
  void Of(const v2::Tier1Gateway& gateway) {
    Selector(gateway.spec().has_workload_selector(), gateway.spec().workload_selector());
    const auto& servers = gateway.spec().external_servers();
    Require(servers.size() > 0, "spec.externalServers", "required: at least one");
    Require(servers.size() <= kMaxServers, "spec.externalServers", "must be at most 10000");
    for (int i = 0; i < servers.size(); ++i) {
      const std::string at = fmt::format("spec.externalServers[{}]", i);
      Server(servers[i].name(), servers[i].hostname(), servers[i].port(), servers[i].tls(), at);
      Tenant(servers[i].tenant(), at);
      Clusters(servers[i].clusters(), at + ".clusters");
      Times(servers[i], at);
      Failover(servers[i].failover_settings(), at + ".failoverSettings");
    }
  }
  void Of(const v2::Gateway& gateway) {
    Selector(gateway.spec().has_workload_selector(), gateway.spec().workload_selector());
    const auto& servers = gateway.spec().http();
    Require(servers.size() > 0, "spec.http", "required: at least one");
    Require(servers.size() <= kMaxServers, "spec.http", "must be at most 10000");
    for (int i = 0; i < servers.size(); ++i) {
      const std::string at = fmt::format("spec.http[{}]", i);
      Server(servers[i].name(), servers[i].hostname(), servers[i].port(), servers[i].tls(), at);
      const auto& rules = servers[i].routing().rules();
      Require(rules.size() > 0, at + ".routing.rules", "required: at least one");
      Require(rules.size() <= kMaxRules, at + ".routing.rules", "must be at most 1000");
      for (int j = 0; j < rules.size(); ++j) Rule(rules[j], fmt::format("{}.routing.rules[{}]", at, j));
      const bool serves = std::any_of(rules.begin(), rules.end(),
                                      [](const auto& rule) { return rule.route().has_service_destination(); });
      if (serves) MeshHost(servers[i].hostname(), servers[i].port(), at);
      const bool spreads = std::any_of(rules.begin(), rules.end(),
                                       [](const auto& rule) { return rule.route().has_cluster_destination(); });
      Tenant(servers[i].tenant(), at);
      Require(spreads || servers[i].tenant().empty(), at + ".tenant",
              "only with a rule that goes to clusters (clusterDestination)");
      if (!servers[i].has_failover_settings()) continue;
      Failover(servers[i].failover_settings(), at + ".failoverSettings");
      Require(spreads, at + ".failoverSettings",
              fmt::format("{}: only with a rule that goes to clusters (clusterDestination)", kNotServed));
    }
  }

 private:
  void Tenant(const std::string& name, const std::string& at) {
    Require(name.empty() || IsDnsLabel(name), at + ".tenant", kLabelRule);
  }
  // Tier-1 gateways name the host only, so one port of it can answer them.
  void MeshHost(const std::string& hostname, uint32_t port, const std::string& at) {
    if (const uint32_t taken = mesh_hosts_.emplace(hostname, port).first->second; taken != port)
      Add(at + ".hostname",
          fmt::format("goes to services on port {} already: between the tiers a host has no port, so only one "
                      "port of it may; the others may redirect or answer directly",
                      taken));
  }
  void Namespaces(const v2::NamespaceSelector& selector) {
    std::set<std::string> seen;
    for (int i = 0; i < selector.names_size(); ++i) {
      const std::string at = fmt::format("spec.namespaceSelector.names[{}]", i);
      Require(ParseNamespacePattern(selector.names(i)).ok(), at, "must be \"cluster/namespace\"; either may be *");
      Require(seen.insert(selector.names(i)).second, at, "stands there twice");
    }
  }
  void Selector(bool present, const v2::WorkloadSelector& selector) {
    if (!present) return Add("spec.workloadSelector", "required: which workloads run this gateway");
    Require(IsDnsLabel(selector.namespace_()), "spec.workloadSelector.namespace",
            selector.namespace_().empty() ? "required" : kLabelRule);
    Require(selector.labels_size() > 0, "spec.workloadSelector.labels", "required: at least one");
    Labels(selector.labels(), "spec.workloadSelector.labels");
  }
  void Server(const std::string& name, const std::string& hostname, uint32_t port, const v2::ServerTls& tls,
              const std::string& at) {
    Require(IsDnsLabel(name), at + ".name", name.empty() ? "required" : kLabelRule);
    Require(name.empty() || names_.insert(name).second, at + ".name", "must be unique in the list");
    Require(IsHostPattern(hostname), at + ".hostname", hostname.empty() ? "required" : kHostRule);
    Require(port >= 1 && port <= 65535, at + ".port", port == 0 ? "required: 1 to 65535" : "must be 1 to 65535");
    Require(port != dialect::kMeshPort, at + ".port", "is what gateways use between tiers");
    Require(hosts_.insert(fmt::format("{}:{}", hostname, port)).second, at + ".hostname",
            "the same host and port stands there twice");
    if (tls.mode() == v2::ServerTls::DISABLED) return;
    Add(at + ".tls.mode", v2::ServerTls::Mode_IsValid(tls.mode()) ? fmt::format("{}: only DISABLED is", kNotServed)
                                                                  : std::string("must be DISABLED, SIMPLE or MUTUAL"));
  }
  template <typename List>
  void Clusters(const List& clusters, const std::string& at) {
    Require(clusters.size() > 0, at, "required: at least one cluster");
    Require(clusters.size() <= kMaxClusters, at, "must be at most 1000");
    std::set<std::string> seen;
    int weighted = 0;
    uint64_t sum = 0;
    for (int i = 0; i < clusters.size(); ++i) {
      const std::string& name = clusters[i].name();
      const std::string field = fmt::format("{}[{}].name", at, i);
      Require(IsDnsLabel(name), field, name.empty() ? "required" : kLabelRule);
      Require(name.empty() || seen.insert(name).second, field, "stands in the list twice");
      weighted += clusters[i].has_weight() ? 1 : 0;
      sum += clusters[i].weight();
    }
    if (weighted == 0) return;
    for (int i = 0; i < clusters.size() && weighted != clusters.size(); ++i) {
      if (!clusters[i].has_weight()) {
        Add(fmt::format("{}[{}].weight", at, i), "required, because others of the list have one: all or none");
      }
    }
    Require(sum >= 1 && sum <= 4294967295u, at,
            sum == 0 ? "the weights must not all be 0" : "the weights must not sum up to more than 4294967295");
  }
  void Failover(const v2::FailoverSettings& settings, const std::string& at) {
    Require(v2::FailoverSettings::Mode_IsValid(settings.mode()), at + ".mode", "must be PROPORTIONAL or ORDERED");
    const auto& pairs = settings.regional_failover();
    Require(pairs.size() <= kMaxRegionPairs, at + ".regionalFailover", "must be at most 64 pairs");
    std::set<std::pair<std::string, std::string>> seen;
    for (int i = 0; i < pairs.size(); ++i) {
      const std::string pair = fmt::format("{}.regionalFailover[{}]", at, i);
      const auto region = [&](const std::string& text, const char* field) {
        Require(IsLabelText(text), pair + field,
                text.empty() ? "required: a region of clusters"
                             : "must be letters, digits, -, _ and ., at most 63 characters");
      };
      region(pairs[i].from(), ".from");
      region(pairs[i].to(), ".to");
      if (pairs[i].from().empty() || pairs[i].to().empty()) continue;
      Require(pairs[i].from() != pairs[i].to(), pair, "a region cannot take over from itself");
      Require(seen.emplace(pairs[i].from(), pairs[i].to()).second, pair, "stands there twice");
    }
    const auto& labels = settings.failover_priority();
    Require(labels.size() <= kMaxPriorities, at + ".failoverPriority", "must be at most 16");
    std::set<std::string> keys;
    for (int i = 0; i < labels.size(); ++i) {
      const std::string field = fmt::format("{}.failoverPriority[{}]", at, i);
      const std::string_view label = labels[i];
      const std::string_view key = label.substr(0, label.find('='));
      const std::string_view value = key.size() == label.size() ? std::string_view() : label.substr(key.size() + 1);
      Require(IsLabelKey(key) && (value.empty() || IsLabelText(value)), field,
              "must be a label key of clusters, or key=value");
      Require(keys.emplace(key).second, field, "the same key stands there twice");
    }
  }
  void Rule(const v2::HttpRule& rule, const std::string& at) {
    for (int i = 0; i < rule.match_size(); ++i) Match(rule.match(i), fmt::format("{}.match[{}]", at, i));
    const int actions = rule.has_route() + rule.has_redirect() + rule.has_direct_response();
    Require(actions == 1, at, "needs exactly one of route, redirect, directResponse");
    if (rule.has_route()) Route(rule.route(), at + ".route");
    if (rule.has_redirect()) Redirect(rule.redirect(), at + ".redirect");
    if (rule.has_direct_response()) {
      const auto& answer = rule.direct_response();
      Require(answer.status() >= 200 && answer.status() <= 599, at + ".directResponse.status", "must be 200 to 599");
      const bool bare = answer.status() == 204 || answer.status() == 205 || answer.status() == 304;
      Require(answer.body().size() <= (bare ? 0 : 4096), at + ".directResponse.body",
              bare ? "a 204, 205 or 304 has none: leave it out, or answer 200" : "must be at most 4096 bytes");
    }
    Times(rule, at);
  }
  // `server`: an HttpRule or a Tier1ExternalServer.
  template <typename Server>
  void Times(const Server& server, const std::string& at) {
    if (server.has_timeout()) Time(server.timeout(), at + ".timeout");
    if (server.has_idle_timeout()) Time(server.idle_timeout(), at + ".idleTimeout");
  }
  void Time(const google::protobuf::Duration& time, const std::string& at) {
    constexpr int64_t kMost = 24 * 3600;
    const bool sane =
        time.seconds() >= 0 && time.seconds() <= kMost && time.nanos() >= 0 && time.nanos() < 1'000'000'000;
    const bool none = sane && time.seconds() == 0 && time.nanos() == 0;
    const bool in_range =
        sane && (time.seconds() > 0 || time.nanos() >= 1'000'000) && (time.seconds() < kMost || time.nanos() == 0);
    Require(none || in_range, at, "must be 1 ms to 24 h, or 0 for no bound");
  }
  void Match(const v2::HttpMatch& match, const std::string& at) {
    const auto& uri = match.uri();
    if (uri.match_case() == v2::StringMatch::MATCH_NOT_SET) return Add(at + ".uri", "needs one of exact, prefix");
    const bool exact = uri.match_case() == v2::StringMatch::kExact;
    const std::string& text = exact ? uri.exact() : uri.prefix();
    const std::string why = WhyNoRequestHas(text, exact);
    Require(why.empty(), at + (exact ? ".uri.exact" : ".uri.prefix"), why);
  }
  void Route(const v2::HttpRoute& route, const std::string& at) {
    const bool clusters = route.has_cluster_destination();
    if (clusters == route.has_service_destination()) {
      return Add(at, "needs exactly one of clusterDestination, serviceDestination");
    }
    if (clusters) {
      Role(1, at + ".clusterDestination");
      return Clusters(route.cluster_destination().clusters(), at + ".clusterDestination.clusters");
    }
    Role(2, at + ".serviceDestination");
    const auto& service = route.service_destination();
    const size_t slash = service.host().find('/');
    Require(
        slash != std::string::npos && IsDnsLabel(service.host().substr(0, slash)) &&
            IsDnsName(service.host().substr(slash + 1)),
        at + ".serviceDestination.host",
        service.host().empty() ? "required: \"<namespace>/<service host>\"" : "must be \"<namespace>/<service host>\"");
    Require(service.port() >= 1 && service.port() <= 65535, at + ".serviceDestination.port",
            service.port() == 0 ? "required: 1 to 65535" : "must be 1 to 65535");
  }
  // The identities that may call a tier-1 and a tier-2 gateway differ, so one object is one of them.
  void Role(int tier, const std::string& at) {
    if (tier_ == 0) tier_ = tier;
    Require(tier_ == tier, at,
            "one Gateway routes either to clusters (tier 1) or to services (tier 2); make two of it");
  }
  void Redirect(const v2::HttpRedirect& redirect, const std::string& at) {
    Require(!redirect.authority().empty() || !redirect.uri().empty(), at, "needs authority, uri or both");
    Require(redirect.authority().empty() || IsAuthority(redirect.authority()), at + ".authority",
            "must be host or host:port, the port 1 to 65535");
    Require(redirect.uri().empty() ||
                (redirect.uri().starts_with('/') && IsVisible(redirect.uri()) && redirect.uri().size() <= 4096),
            at + ".uri", "must be a path that begins with /");
    static constexpr uint32_t kCodes[] = {0, 301, 302, 303, 307, 308};
    Require(std::find(std::begin(kCodes), std::end(kCodes), redirect.redirect_code()) != std::end(kCodes),
            at + ".redirectCode", "must be 301, 302, 303, 307 or 308");
  }

  std::vector<FieldViolation>& violations_;
  std::set<std::string> names_;
  std::set<std::string> hosts_;
  std::map<std::string, uint32_t> mesh_hosts_;
  int tier_ = 0;
};

template <typename T>
bool CheckAs(const google::protobuf::Message& resource, Checker& checker) {
  const auto* typed = dynamic_cast<const T*>(&resource);
  if (typed != nullptr) checker.Of(*typed);
  return typed != nullptr;
}

}  // namespace

void Validate(const google::protobuf::Message& resource, std::vector<FieldViolation>& violations) {
  const size_t before = violations.size();
  Checker checker(violations);
  checker.Metadata(MetadataOf(resource), KindOf(resource)->kind != Kind::kAccessBindings);
  CheckAs<v2::Organization>(resource, checker) || CheckAs<v2::Workspace>(resource, checker) ||
      CheckAs<v2::GatewayGroup>(resource, checker) || CheckAs<v2::Cluster>(resource, checker) ||
      CheckAs<v2::User>(resource, checker) || CheckAs<v2::AccessBindings>(resource, checker) ||
      CheckAs<v2::OrganizationSetting>(resource, checker) || CheckAs<v2::Tier1Gateway>(resource, checker) ||
      CheckAs<v2::Gateway>(resource, checker);
  // Texts come last: of a field that is wrong already, one word is enough.
  std::set<std::string> named;
  for (size_t i = before; i < violations.size(); ++i) named.insert(violations[i].field);
  std::vector<FieldViolation> texts;
  CheckTexts(resource, texts);
  for (FieldViolation& text : texts) {
    if (!named.contains(text.field)) violations.push_back(std::move(text));
  }
}

void CheckUpdate(const google::protobuf::Message& stored, const google::protobuf::Message& wanted,
                 std::vector<FieldViolation>& violations) {
  const auto* before = dynamic_cast<const v2::Organization*>(&stored);
  const auto* after = dynamic_cast<const v2::Organization*>(&wanted);
  if (before != nullptr && after != nullptr && before->spec().domain() != after->spec().domain()) {
    violations.push_back(
        {"spec.domain", fmt::format("cannot be changed: identities are made of it (it is {})", before->spec().domain()),
         0, 0});
  }
}

Status ToStatus(std::string_view what, std::vector<FieldViolation> violations) {
  if (violations.empty()) return {};
  const bool not_served = std::all_of(violations.begin(), violations.end(), [](const FieldViolation& violation) {
    return violation.description.starts_with(kNotServed);
  });
  Error error = InvalidArgument(not_served ? "NOT_SERVED_YET" : "INVALID_RESOURCE", "{}: {} field{} wrong", what,
                                violations.size(), violations.size() == 1 ? " is" : "s are");
  if (not_served) error.message = fmt::format("{}: uses what is not served yet", what);
  error.violations = std::move(violations);
  return error;
}

bool IsDnsLabel(std::string_view text) {
  const auto inner = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  return !text.empty() && text.size() <= 63 && text.front() != '-' && text.back() != '-' &&
         std::all_of(text.begin(), text.end(), inner);
}
bool IsDnsName(std::string_view text) {
  if (text.empty() || text.size() > 253) return false;
  while (true) {
    const size_t dot = text.find('.');
    if (!IsDnsLabel(text.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}
bool IsHostPattern(std::string_view text) {
  if (text.size() > 253) return false;
  if (text.starts_with("*.")) text.remove_prefix(2);
  return IsDnsName(text);
}

std::string CanonicalRole(std::string_view role) {
  if (role.starts_with("rbac/")) role.remove_prefix(5);
  for (std::string_view known : {"admin", "creator", "editor", "writer", "reader"}) {
    if (role == known) return "rbac/" + std::string(role);
  }
  return "";
}

}  // namespace weir::resource
