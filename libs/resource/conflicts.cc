#include "libs/resource/conflicts.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "api/weir/v2/gateway.pb.h"
#include "api/weir/v2/gateway_group.pb.h"
#include "api/weir/v2/workspace.pb.h"
#include "libs/resource/validate.h"

namespace weir::resource {
namespace {

bool PartOverlaps(std::string_view a, std::string_view b) { return a == "*" || b == "*" || a == b; }
bool PartMatches(std::string_view pattern, std::string_view text) { return pattern == "*" || pattern == text; }

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
std::optional<NamespacePattern> NamespacePattern::Intersection(const NamespacePattern& other) const {
  if (!Overlaps(other)) return std::nullopt;
  return NamespacePattern{cluster == "*" ? other.cluster : cluster, name == "*" ? other.name : name};
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
      for (const NamespacePattern& pattern : patterns) {
        if (auto both = pattern.Intersection(by)) kept.push_back(std::move(*both));
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
  std::set<std::pair<std::string, std::string>> owned;
  for (NamespacePattern& pattern : PatternsOf(workspace)) {
    owned.emplace(std::move(pattern.cluster), std::move(pattern.name));
  }
  for (int i = 0; i < group.names_size(); ++i) {
    auto pattern = ParseNamespacePattern(group.names(i));
    if (!pattern.ok()) continue;  // Validate says so.
    const auto& [cluster, name] = *pattern;
    const bool within = owned.contains({cluster, name}) || owned.contains({"*", name}) ||
                        owned.contains({cluster, "*"}) || owned.contains({"*", "*"});
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
  if (gateway.fqn == other.fqn || gateway.form.gateway == nullptr || other.form.gateway == nullptr) return conflicts;
  const v2::GatewaySpec& mine = gateway.form.gateway->spec();
  const v2::GatewaySpec& theirs = other.form.gateway->spec();
  if (!MayOverlap(mine.workload_selector(), theirs.workload_selector())) return conflicts;
  if (!CanMeet(gateway, other, mine.workload_selector().namespace_())) return conflicts;
  std::multimap<std::string_view, const v2::HttpServer*> taken;
  for (const v2::HttpServer& has : theirs.http()) taken.emplace(has.hostname(), &has);
  for (int i = 0; i < mine.http_size(); ++i) {
    const v2::HttpServer& server = mine.http(i);
    const auto [begin, end] = taken.equal_range(server.hostname());
    const auto has = std::find_if(begin, end, [&](const auto& entry) {
      return entry.second->port() == server.port() || (GoesToServices(server) && GoesToServices(*entry.second));
    });
    if (has == end) continue;
    conflicts.push_back(
        {gateway.form.Field(i, "hostname"), server.hostname(), server.port(), other.fqn, has->second->port()});
  }
  return conflicts;
}

bool Covers(std::string_view pattern, std::string_view hostname) {
  if (pattern == hostname) return true;
  if (!pattern.starts_with("*.")) return false;
  const std::string_view suffix = pattern.substr(1);
  return hostname.size() > suffix.size() && hostname.ends_with(suffix);
}

std::vector<std::string> PatternsFor(std::string_view hostname) {
  std::vector<std::string> patterns{std::string(hostname)};
  for (size_t dot = hostname.find('.'); dot != std::string_view::npos; dot = hostname.find('.', dot + 1)) {
    std::string pattern = std::string("*").append(hostname.substr(dot));
    if (pattern != hostname) patterns.push_back(std::move(pattern));
  }
  return patterns;
}

bool HostClaim::Meets(const HostClaim& other) const {
  return (answers && Covers(hostname, other.hostname)) || (other.answers && Covers(other.hostname, hostname));
}

std::vector<HostClaim> HostClaims(const GatewayForm& form) {
  std::vector<HostClaim> claims;
  if (form.gateway == nullptr) return claims;
  const auto& servers = form.gateway->spec().http();
  const bool is_tier1 = IsTier1(*form.gateway);
  std::set<std::string_view> claimed;  // On several ports a host is claimed once.
  for (int i = 0; i < servers.size(); ++i) {
    if (is_tier1 && (!GoesToClusters(servers[i]) || !servers[i].tenant().empty())) continue;
    if (!claimed.insert(servers[i].hostname()).second) continue;
    claims.push_back({form.Field(i, "hostname"), servers[i].hostname(), !is_tier1});
  }
  return claims;
}

}  // namespace weir::resource
