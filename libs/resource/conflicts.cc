#include "libs/resource/conflicts.h"

#include <algorithm>

#include "api/weir/v2/gateway.pb.h"
#include "api/weir/v2/gateway_group.pb.h"
#include "api/weir/v2/tier1_gateway.pb.h"
#include "api/weir/v2/workspace.pb.h"
#include "libs/resource/validate.h"

namespace weir::resource {
namespace {

bool PartOverlaps(std::string_view a, std::string_view b) { return a == "*" || b == "*" || a == b; }
bool PartMatches(std::string_view pattern, std::string_view text) { return pattern == "*" || pattern == text; }

struct Server {
  std::string field;
  std::string hostname;
  uint32_t port;
  bool serves = false;  // Goes to services: answers on the mesh port too.
};
std::vector<Server> ServersOf(const google::protobuf::Message& gateway) {
  std::vector<Server> servers;
  if (const auto* tier1 = dynamic_cast<const v2::Tier1Gateway*>(&gateway)) {
    for (int i = 0; i < tier1->spec().external_servers_size(); ++i) {
      const auto& server = tier1->spec().external_servers(i);
      servers.push_back({fmt::format("spec.externalServers[{}].hostname", i), server.hostname(), server.port()});
    }
  } else if (const auto* any = dynamic_cast<const v2::Gateway*>(&gateway)) {
    for (int i = 0; i < any->spec().http_size(); ++i) {
      const auto& server = any->spec().http(i);
      const auto& rules = server.routing().rules();
      const bool serves = std::any_of(rules.begin(), rules.end(),
                                      [](const auto& rule) { return rule.route().has_service_destination(); });
      servers.push_back({fmt::format("spec.http[{}].hostname", i), server.hostname(), server.port(), serves});
    }
  }
  return servers;
}
const v2::WorkloadSelector* SelectorOf(const google::protobuf::Message& gateway) {
  if (const auto* tier1 = dynamic_cast<const v2::Tier1Gateway*>(&gateway)) return &tier1->spec().workload_selector();
  if (const auto* any = dynamic_cast<const v2::Gateway*>(&gateway)) return &any->spec().workload_selector();
  return nullptr;
}

bool CanMeet(const GatewayInScope& a, const GatewayInScope& b, const std::string& name_space) {
  const auto other = Territory(b.workspace, b.group, name_space);
  for (const NamespacePattern& pattern : Territory(a.workspace, a.group, name_space)) {
    for (const NamespacePattern& theirs : other) {
      if (pattern.Overlaps(theirs)) return true;
    }
  }
  return false;
}

}  // namespace

bool NamespacePattern::Matches(std::string_view in_cluster, std::string_view name_space) const {
  return PartMatches(cluster, in_cluster) && PartMatches(name, name_space);
}
bool NamespacePattern::Overlaps(const NamespacePattern& other) const {
  return PartOverlaps(cluster, other.cluster) && PartOverlaps(name, other.name);
}
bool NamespacePattern::Contains(const NamespacePattern& other) const {
  return PartMatches(cluster, other.cluster) && PartMatches(name, other.name);
}

Result<NamespacePattern> ParseNamespacePattern(std::string_view text) {
  const size_t slash = text.find('/');
  const std::string_view cluster = text.substr(0, slash);
  const std::string_view name = slash == std::string_view::npos ? "" : text.substr(slash + 1);
  if ((cluster != "*" && !IsDnsLabel(cluster)) || (name != "*" && !IsDnsLabel(name))) {
    return InvalidArgument("BAD_NAMESPACE", "\"{}\" is not \"cluster/namespace\" (either may be *)",
                           text.substr(0, 256));
  }
  return NamespacePattern{std::string(cluster), std::string(name)};
}

bool Matches(const v2::NamespaceSelector& selector, std::string_view cluster, std::string_view name_space) {
  for (const std::string& name : selector.names()) {  // Without copies: this runs for every workload.
    const size_t slash = name.find('/');
    if (slash == std::string::npos) continue;
    const std::string_view text = name;
    if (PartMatches(text.substr(0, slash), cluster) && PartMatches(text.substr(slash + 1), name_space)) return true;
  }
  return false;
}

std::vector<NamespacePattern> PatternsOf(const v2::NamespaceSelector& selector) {
  std::vector<NamespacePattern> patterns;
  for (const std::string& name : selector.names()) {
    if (auto pattern = ParseNamespacePattern(name); pattern.ok()) patterns.push_back(std::move(*pattern));
  }
  return patterns;
}

std::vector<NamespacePattern> Territory(const v2::Workspace* workspace, const v2::GatewayGroup* group,
                                        const std::string& name_space) {
  std::vector<NamespacePattern> patterns = {{"*", name_space}};
  const auto narrow = [&](const v2::NamespaceSelector& selector) {
    std::vector<NamespacePattern> kept;
    for (const NamespacePattern& by : PatternsOf(selector)) {
      if (!PartMatches(by.name, name_space)) continue;
      for (const NamespacePattern& pattern : patterns) {
        if (PartOverlaps(by.cluster, pattern.cluster)) {
          kept.push_back({pattern.cluster == "*" ? by.cluster : pattern.cluster, name_space});
        }
      }
    }
    patterns = std::move(kept);
  };
  if (workspace != nullptr) narrow(workspace->spec().namespace_selector());
  if (group != nullptr && group->spec().namespace_selector().names_size() > 0) {
    narrow(group->spec().namespace_selector());
  }
  return patterns;
}

std::optional<std::string> NamespaceOverlap(const v2::NamespaceSelector& a, const v2::NamespaceSelector& b) {
  const auto theirs = PatternsOf(b);
  for (const NamespacePattern& pattern : PatternsOf(a)) {
    for (const NamespacePattern& other : theirs) {
      if (pattern.Overlaps(other)) return pattern.cluster + "/" + pattern.name;
    }
  }
  return std::nullopt;
}

void CheckWithin(const v2::NamespaceSelector& group, const v2::NamespaceSelector& workspace,
                 std::vector<FieldViolation>& violations) {
  const auto owned = PatternsOf(workspace);
  for (int i = 0; i < group.names_size(); ++i) {
    auto pattern = ParseNamespacePattern(group.names(i));
    if (!pattern.ok()) continue;  // Validate says so.
    bool within = false;
    for (const NamespacePattern& outer : owned) within = within || outer.Contains(*pattern);
    if (!within) {
      violations.push_back({fmt::format("spec.namespaceSelector.names[{}]", i),
                            fmt::format("{} lies outside the workspace's namespaces", group.names(i)), 0, 0});
    }
  }
}

bool Governs(const v2::Workspace& workspace, const v2::GatewayGroup& group, std::string_view cluster,
             std::string_view name_space) {
  if (!Matches(workspace.spec().namespace_selector(), cluster, name_space)) return false;
  const auto& own = group.spec().namespace_selector();
  return own.names_size() == 0 || Matches(own, cluster, name_space);
}

bool MayOverlap(const v2::WorkloadSelector& a, const v2::WorkloadSelector& b) {
  if (a.namespace_() != b.namespace_()) return false;
  for (const auto& [key, value] : a.labels()) {
    const auto other = b.labels().find(key);
    if (other != b.labels().end() && other->second != value) return false;
  }
  return true;
}

std::vector<HostConflict> HostConflicts(const GatewayInScope& gateway, const GatewayInScope& other) {
  std::vector<HostConflict> conflicts;
  if (gateway.fqn == other.fqn || gateway.gateway == nullptr || other.gateway == nullptr) return conflicts;
  const v2::WorkloadSelector* mine = SelectorOf(*gateway.gateway);
  const v2::WorkloadSelector* theirs = SelectorOf(*other.gateway);
  if (mine == nullptr || theirs == nullptr || !MayOverlap(*mine, *theirs)) return conflicts;
  if (!CanMeet(gateway, other, mine->namespace_())) return conflicts;
  const auto taken = ServersOf(*other.gateway);
  for (Server& server : ServersOf(*gateway.gateway)) {
    for (const Server& has : taken) {
      if (server.hostname != has.hostname) continue;
      if (server.port != has.port && !(server.serves && has.serves)) continue;
      conflicts.push_back({server.field, server.hostname, server.port, other.fqn, has.port});
      break;
    }
  }
  return conflicts;
}

bool Covers(std::string_view pattern, std::string_view hostname) {
  if (pattern == hostname) return true;
  if (!pattern.starts_with("*.")) return false;
  const std::string_view suffix = pattern.substr(1);
  return hostname.size() > suffix.size() && hostname.ends_with(suffix);
}

bool HostClaim::Meets(const HostClaim& other) const {
  return (answers && Covers(hostname, other.hostname)) || (other.answers && Covers(other.hostname, hostname));
}

std::vector<HostClaim> HostClaims(const google::protobuf::Message& gateway) {
  std::vector<HostClaim> claims;
  if (const auto* tier1 = dynamic_cast<const v2::Tier1Gateway*>(&gateway)) {
    for (int i = 0; i < tier1->spec().external_servers_size(); ++i) {
      const auto& server = tier1->spec().external_servers(i);
      if (!server.tenant().empty()) continue;
      claims.push_back({fmt::format("spec.externalServers[{}].hostname", i), server.hostname(), false});
    }
    return claims;
  }
  const auto* any = dynamic_cast<const v2::Gateway*>(&gateway);
  if (any == nullptr) return claims;
  const auto& servers = any->spec().http();
  const auto draws = [](const v2::HttpServer& server) {
    const auto& rules = server.routing().rules();
    return std::any_of(rules.begin(), rules.end(), [](const auto& r) { return r.route().has_cluster_destination(); });
  };
  // One server that goes to clusters makes all of the object tier 1.
  const bool is_tier1 = std::any_of(servers.begin(), servers.end(), draws);
  for (int i = 0; i < servers.size(); ++i) {
    if (is_tier1 && (!draws(servers[i]) || !servers[i].tenant().empty())) continue;
    claims.push_back({fmt::format("spec.http[{}].hostname", i), servers[i].hostname(), !is_tier1});
  }
  return claims;
}

}  // namespace weir::resource
