#include "libs/proxy/envoy_snapshot.h"

#include <functional>
#include <map>

#include "libs/proxy/envoy_snapshot_pieces.h"

namespace weir::proxy {
namespace {

using namespace envoy_v3;  // NOLINT: the vocabulary of this file.

// Resources of one type by name.
template <typename Piece>
using Pieces = std::map<std::string, std::shared_ptr<const Piece>, std::less<>>;

struct Resources {
  Pieces<ListenerPiece> listeners;
  Pieces<RoutesPiece> routes;
  Pieces<HostPiece> hosts;  // By resource name "<route configuration>/<hostname>".
  Pieces<ClusterPiece> clusters;
  Pieces<EndpointsPiece> endpoints;
  Pieces<std::string> trust;
};

// How to put one map back as it was; run backwards when a change is refused.
using Undo = std::function<void()>;

template <typename Piece>
void Replace(Pieces<Piece>& pieces, const std::string& name, std::shared_ptr<const Piece> piece,
             std::vector<Undo>& undo) {
  const auto found = pieces.find(name);
  if (found == pieces.end() && piece == nullptr) return;
  std::shared_ptr<const Piece> before = found == pieces.end() ? nullptr : found->second;
  if (piece == nullptr)
    pieces.erase(found);
  else
    pieces[name] = std::move(piece);
  undo.push_back([&pieces, name, before = std::move(before)] {
    if (before == nullptr)
      pieces.erase(name);
    else
      pieces[name] = before;
  });
}

// What was put together last time, and from what: the same parts give the same object again.
struct Assembled {
  struct RoutesEntry {
    std::vector<const void*> parts;
    std::vector<HostPiece> keep;  // Keeps the parts' addresses from being used again.
    std::shared_ptr<const Routes> routes;
  };
  struct ClusterEntry {
    std::shared_ptr<const ClusterPiece> cluster;
    std::shared_ptr<const EndpointsPiece> endpoints;
    std::shared_ptr<const Cluster> built;
  };
  struct ListenerEntry {
    std::shared_ptr<const ListenerPiece> piece;
    std::vector<std::shared_ptr<const Routes>> routes;
    std::vector<std::shared_ptr<const Listener>> built;
  };
  std::map<std::string, RoutesEntry> routes;
  std::map<std::string, ClusterEntry> clusters;
  std::map<std::string, ListenerEntry> listeners;
};

Result<std::shared_ptr<const Routes>> MakeRoutes(const std::string& key, const std::string& name,
                                                 std::vector<HostPiece> hosts, const Assembled& before,
                                                 Assembled* after) {
  std::vector<const void*> parts;
  for (const HostPiece& host : hosts) parts.push_back(host.host.get());
  if (const auto old = before.routes.find(key); old != before.routes.end() && old->second.parts == parts) {
    after->routes[key] = old->second;
    return old->second.routes;
  }
  auto routes = std::make_shared<Routes>();
  routes->name = name;
  std::vector<std::shared_ptr<const traffic::VirtualHost>> virtual_hosts;
  for (const HostPiece& host : hosts) {
    virtual_hosts.push_back(host.host);
    routes->actions.push_back(host.actions);
  }
  auto table = traffic::RouteTable::Build(std::move(virtual_hosts));
  if (!table.ok()) {
    Error error = std::move(table).error();
    error.message = fmt::format("RouteConfiguration {}: {}", name, error.message);
    return error;
  }
  routes->table = std::move(table).value();
  after->routes[key] = {std::move(parts), std::move(hosts), routes};
  return std::shared_ptr<const Routes>(std::move(routes));
}

// The route configuration's own hosts and those that VHDS brought: resources named "<name>/<hostname>".
std::vector<HostPiece> HostsOf(const RoutesPiece& routes, const Pieces<HostPiece>& all) {
  std::vector<HostPiece> hosts = routes.hosts;
  if (!routes.vhds) return hosts;
  const std::string prefix = routes.name + "/";
  for (auto at = all.lower_bound(prefix); at != all.end() && at->first.starts_with(prefix); ++at) {
    if (at->first.find('/', prefix.size()) == std::string::npos) hosts.push_back(*at->second);
  }
  return hosts;
}

// Under ORDERED what stands behind the first priority waits for a share that is lost, whatever weight Envoy was told.
std::vector<Locality> Ranked(std::vector<Locality> localities, traffic::Mode mode) {
  if (mode != traffic::Mode::kOrdered) return localities;
  for (Locality& locality : localities) {
    if (locality.priority > 0) locality.weight = 0;
  }
  return localities;
}

}  // namespace

class SnapshotBuilder::State {
 public:
  Result<BuiltSnapshot> Apply(std::span<const EnvoyResource> upserts, std::span<const EnvoyResourceName> removals,
                              std::string version) {
    std::vector<Undo> undo;
    auto result = [&]() -> Result<BuiltSnapshot> {
      for (const EnvoyResourceName& removal : removals) WEIR_TRY(Change(removal.type_url, removal.name, nullptr, undo));
      for (const EnvoyResource& upsert : upserts) WEIR_TRY(Change(upsert.type_url, upsert.name, &upsert.bytes, undo));
      Assembled next;
      WEIR_ASSIGN(BuiltSnapshot built, Assemble(std::move(version), &next));
      assembled_ = std::move(next);
      return built;
    }();
    if (!result.ok()) {
      for (auto back = undo.rbegin(); back != undo.rend(); ++back) (*back)();
    }
    return result;
  }

 private:
  // `bytes` null = remove.
  Status Change(const std::string& type_url, const std::string& name, const std::string* bytes,
                std::vector<Undo>& undo) {
    const std::string type = type_url.substr(type_url.rfind('/') + 1);
    const std::string short_type = type.substr(type.rfind('.') + 1);
    const auto change = [&](auto& pieces, auto read) -> Status {
      if (bytes == nullptr) {
        Replace(pieces, name, {}, undo);
        return {};
      }
      auto piece = read(name, *bytes);
      if (!piece.ok()) {
        Error error = std::move(piece).error();
        error.message = fmt::format("{} {}: {}", short_type, name, error.message);
        return error;
      }
      Replace(pieces, name, std::move(piece).value(), undo);
      return {};
    };
    if (type == "envoy.config.listener.v3.Listener") return change(resources_.listeners, ReadListener);
    if (type == "envoy.config.route.v3.RouteConfiguration") return change(resources_.routes, ReadRoutes);
    if (type == "envoy.config.route.v3.VirtualHost") return change(resources_.hosts, ReadVirtualHost);
    if (type == "envoy.config.cluster.v3.Cluster") return change(resources_.clusters, ReadCluster);
    if (type == "envoy.config.endpoint.v3.ClusterLoadAssignment") return change(resources_.endpoints, ReadEndpoints);
    if (type == "envoy.extensions.transport_sockets.tls.v3.Secret") return change(resources_.trust, ReadTrust);
    return InvalidArgument("UNSUPPORTED_TYPE", "{} {}: resources of this type are not served", type, name);
  }

  Result<BuiltSnapshot> Assemble(std::string version, Assembled* next) const {
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->version = std::move(version);
    BuiltSnapshot out;
    for (const auto& [name, piece] : resources_.clusters) {
      snapshot->clusters.emplace(name, MakeCluster(name, piece, next));
    }
    std::map<std::pair<std::string, uint16_t>, std::string> bound;
    for (const auto& [name, piece] : resources_.listeners) {
      WEIR_ASSIGN(auto listeners, MakeListeners(name, piece, next, &out.waiting));
      for (auto& listener : listeners) {
        const auto [other, fresh] = bound.emplace(std::pair(listener->address, listener->port), listener->name);
        if (!fresh && listener->port != 0) {
          return InvalidArgument("BAD_RESOURCE", "Listener {}: address {}:{} is taken by listener {}", listener->name,
                                 listener->address, listener->port, other->second);
        }
        snapshot->listeners.push_back(std::move(listener));
      }
    }
    if (const auto trust = resources_.trust.find("trust"); trust != resources_.trust.end())
      out.trust_pem = *trust->second;
    out.snapshot = std::move(snapshot);
    return out;
  }

  std::shared_ptr<const Cluster> MakeCluster(const std::string& name, const std::shared_ptr<const ClusterPiece>& piece,
                                             Assembled* next) const {
    std::shared_ptr<const EndpointsPiece> endpoints;
    if (piece->eds) {
      const auto found = resources_.endpoints.find(piece->endpoints_name);
      if (found != resources_.endpoints.end()) endpoints = found->second;
    }
    const auto old = assembled_.clusters.find(name);
    if (old != assembled_.clusters.end() && old->second.cluster == piece && old->second.endpoints == endpoints) {
      next->clusters[name] = old->second;
      return old->second.built;
    }
    auto cluster = std::make_shared<Cluster>(piece->cluster);
    if (endpoints != nullptr) {
      cluster->localities = endpoints->localities;
      if (cluster->check) cluster->check->port = endpoints->check_port;
    }
    cluster->localities = Ranked(std::move(cluster->localities), cluster->mode);
    next->clusters[name] = {piece, endpoints, cluster};
    return cluster;
  }

  Result<std::vector<std::shared_ptr<const Listener>>> MakeListeners(const std::string& name,
                                                                     const std::shared_ptr<const ListenerPiece>& piece,
                                                                     Assembled* next,
                                                                     std::vector<std::string>* waiting) const {
    const auto old = assembled_.listeners.find(name);
    std::vector<std::shared_ptr<const Routes>> routes;
    for (size_t i = 0; i < piece->routes.size(); ++i) {
      const ChainRoutes& from = piece->routes[i];
      // A chain for each of ten thousand hosts, all with the routes of one port.
      if (i > 0 && from.inline_routes == nullptr && piece->routes[i - 1].rds == from.rds) {
        routes.push_back(routes.back());
        continue;
      }
      if (from.inline_routes != nullptr) {
        WEIR_ASSIGN(auto made, MakeRoutes(fmt::format("{}\n{}", name, i), from.inline_routes->name,
                                          from.inline_routes->hosts, assembled_, next));
        routes.push_back(std::move(made));
        continue;
      }
      const auto found = resources_.routes.find(from.rds);
      if (found == resources_.routes.end()) {
        waiting->push_back(fmt::format("listener {} waits for routes {}", name, from.rds));
        if (old == assembled_.listeners.end()) return std::vector<std::shared_ptr<const Listener>>{};
        next->listeners[name] = old->second;  // As before, until the new one is whole.
        return old->second.built;
      }
      const std::string key = "rds\n" + from.rds;
      if (const auto made = next->routes.find(key); made != next->routes.end()) {
        routes.push_back(made->second.routes);  // Another chain uses the same.
        continue;
      }
      WEIR_ASSIGN(auto made, MakeRoutes(key, from.rds, HostsOf(*found->second, resources_.hosts), assembled_, next));
      routes.push_back(std::move(made));
    }
    if (old != assembled_.listeners.end() && old->second.piece == piece && old->second.routes == routes) {
      next->listeners[name] = old->second;
      return old->second.built;
    }
    std::vector<std::shared_ptr<const Listener>> built;
    for (Listener listener : piece->listeners) {
      for (size_t i = 0; i < listener.chains.size(); ++i) listener.chains[i].routes = routes[i];
      built.push_back(std::make_shared<Listener>(std::move(listener)));
    }
    next->listeners[name] = {piece, std::move(routes), built};
    return built;
  }

  Resources resources_;
  Assembled assembled_;
};

SnapshotBuilder::SnapshotBuilder() : state_(std::make_unique<State>()) {}
SnapshotBuilder::~SnapshotBuilder() = default;

Result<BuiltSnapshot> SnapshotBuilder::Apply(std::span<const EnvoyResource> upserts,
                                             std::span<const EnvoyResourceName> removals, std::string version) {
  return state_->Apply(upserts, removals, std::move(version));
}

Result<BuiltSnapshot> BuildSnapshot(std::span<const EnvoyResource> resources, std::string version) {
  return SnapshotBuilder().Apply(resources, {}, std::move(version));
}

}  // namespace weir::proxy
