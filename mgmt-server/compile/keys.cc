#include "mgmt-server/compile/keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace weir::compile {
namespace {

template <typename T>
bool ToNumber(std::string_view text, T& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() && std::to_string(out) == text;
}

}  // namespace

std::string ListenerName(std::string_view selector_key, uint32_t port) {
  return fmt::format("{}/{}", selector_key, port);
}
std::string HostName(std::string_view listener, std::string_view hostname) {
  return fmt::format("{}/{}", listener, hostname);
}
std::string RouteName(const ServerShape& server, int rule) { return fmt::format("{}/{}", server.name, rule); }
std::string DestinationSetName(std::string_view host, const ServerShape& server, int rule) {
  return fmt::format("{}/{}/{}", host, server.name, rule);
}
std::string EndpointsName(std::string_view cluster, const ServerShape& server) {
  return fmt::format("{}/{}/{}", cluster, resource::LastName(server.tenant), server.hostname);
}

// Label keys may hold "/", the parts behind them never do: names are read from the end.
std::optional<ListenerParts> ParseListenerName(std::string_view name) {
  const size_t slash = name.rfind('/');
  ListenerParts parts;
  if (slash == std::string_view::npos || !ToNumber(name.substr(slash + 1), parts.port)) return std::nullopt;
  parts.selector_key = name.substr(0, slash);
  return parts;
}
std::optional<HostParts> ParseHostName(std::string_view name) {
  const size_t slash = name.rfind('/');
  if (slash == std::string_view::npos) return std::nullopt;
  auto listener = ParseListenerName(name.substr(0, slash));
  if (!listener) return std::nullopt;
  return HostParts{std::move(*listener), std::string(name.substr(slash + 1))};
}
std::optional<DestinationSetParts> ParseDestinationSetName(std::string_view name) {
  const size_t rule = name.rfind('/');
  if (rule == std::string_view::npos || rule == 0) return std::nullopt;
  const size_t server = name.rfind('/', rule - 1);
  if (server == std::string_view::npos) return std::nullopt;
  DestinationSetParts parts;
  auto host = ParseHostName(name.substr(0, server));
  if (!host || !ToNumber(name.substr(rule + 1), parts.rule)) return std::nullopt;
  parts.host = std::move(*host);
  parts.server = name.substr(server + 1, rule - server - 1);
  return parts;
}
std::optional<EndpointsParts> ParseEndpointsName(std::string_view name) {
  const size_t cluster = name.find('/');
  if (cluster == std::string_view::npos) return std::nullopt;
  const size_t tenant = name.find('/', cluster + 1);
  if (tenant == std::string_view::npos) return std::nullopt;
  return EndpointsParts{std::string(name.substr(0, cluster)),
                        std::string(name.substr(cluster + 1, tenant - cluster - 1)),
                        std::string(name.substr(tenant + 1))};
}

Owner FindOwner(const World& world, std::string_view cluster, const HostParts& name) {
  Owner owner;
  const auto look = [&](const std::map<std::string, FqnSet, std::less<>>& index, const std::string& host) {
    const auto fqns = index.find(host);
    if (fqns == index.end()) return;
    for (const std::string& fqn : fqns->second) {
      if (owner.shape != nullptr && owner.shape->fqn <= fqn) return;
      const GatewayShape& shape = *world.gateway(fqn);
      if (shape.selector_key != name.listener.selector_key) continue;
      const ServerShape* server = shape.Find(name.hostname, name.listener.port);
      if (server == nullptr || !CountsIn(world, shape, cluster)) continue;
      owner = {&shape, server};
      return;
    }
  };
  look(world.state().tier1_by_host, Reversed(name.hostname));
  look(world.state().tier2_by_host, name.hostname);
  return owner;
}

bool GoesTo(const ServerShape& server, std::string_view cluster) {
  for (const auto* destination : GatewayShape::Destinations(server)) {
    if (destination->name() == cluster) return true;
  }
  return false;
}

bool RoutesTo(const GatewayShape& tier1, const std::string& pattern, std::string_view cluster,
              std::string_view tenant) {
  if (!tier1.clusters.contains(std::string(cluster))) return false;
  bool found = false;
  EachCovered(tier1, pattern, [&](const ServerShape& server) {
    found = found || (server.tenant == tenant && GoesTo(server, cluster));
  });
  return found;
}

void AddSpreadKeys(const GatewayShape& shape, const ServerShape& server, std::string_view cluster,
                   std::set<Key>& keys) {
  const std::string host = HostName(ListenerName(shape.selector_key, server.port), server.hostname);
  const auto& rules = server.http->routing().rules();
  for (int i = 0; i < rules.size(); ++i) {
    if (!rules[i].route().has_cluster_destination()) continue;
    const auto& list = rules[i].route().cluster_destination().clusters();
    const bool named = std::any_of(list.begin(), list.end(), [&](const auto& d) { return d.name() == cluster; });
    if (cluster.empty() || named) keys.insert({std::string(kDestinationSet), DestinationSetName(host, server, i)});
  }
}

void AddServerKeys(const GatewayShape& shape, const ServerShape& server, std::set<Key>& keys) {
  const std::string listener = ListenerName(shape.selector_key, server.port);
  const std::string host = HostName(listener, server.hostname);
  keys.insert({std::string(kListener), listener});
  keys.insert({std::string(kHost), host});
  for (int i = 0; i < server.http->routing().rules_size(); ++i) {
    if (!server.http->routing().rules(i).has_route()) continue;
    keys.insert({std::string(kDestinationSet), DestinationSetName(host, server, i)});
  }
  for (const auto* destination : GatewayShape::Destinations(server)) {
    keys.insert({std::string(kServiceEndpoints), EndpointsName(destination->name(), server)});
  }
}
Servers AllOf(const GatewayShape& shape) {
  Servers all;
  for (const ServerShape& server : shape.servers) all.push_back(&server);
  return all;
}

void AddObjectKeys(const GatewayShape& shape, std::set<Key>& keys) {
  for (const ServerShape& server : shape.servers) AddServerKeys(shape, server, keys);
}

std::vector<const GatewayShape*> ShapesIn(const World& world, std::string_view cluster) {
  std::vector<const GatewayShape*> found;
  const Facts* facts = world.facts(cluster);
  if (facts == nullptr || world.cluster(cluster) == nullptr) return found;
  std::string_view last;
  for (const auto& [name, workload] : facts->workloads) {
    const std::string_view name_space = std::string_view(name).substr(0, name.find('/'));
    if (name_space == last) continue;
    last = name_space;
    const auto shapes = world.state().by_namespace.find(name_space);
    if (shapes == world.state().by_namespace.end()) continue;
    for (const std::string& fqn : shapes->second) {
      const GatewayShape* shape = world.gateway(fqn);
      if (CountsIn(world, *shape, cluster)) found.push_back(shape);
    }
  }
  return found;
}

std::set<Key> KeysOf(const World& world, std::string_view cluster) {
  std::set<Key> keys;
  if (world.cluster(cluster) == nullptr) return keys;
  if (const auto* organization = world.organization(resource::OrganizationFqn(cluster))) {
    keys.insert({std::string(kTrustBundle), organization->spec().domain()});
  }
  for (const GatewayShape* shape : ShapesIn(world, cluster)) AddObjectKeys(*shape, keys);
  return keys;
}

}  // namespace weir::compile
