#include "libs/proxy/envoy_snapshot.h"

#include <algorithm>
#include <map>
#include <optional>
#include <unordered_map>

#include "libs/net/socket.h"
#include "libs/proxy/envoy_snapshot_pieces.h"

namespace weir::proxy {
namespace {

using namespace envoy_v3;  // NOLINT: the vocabulary of this file.

constexpr std::string_view kListenerUrl = "type.googleapis.com/envoy.config.listener.v3.Listener";
constexpr std::string_view kVirtualHostUrl = "type.googleapis.com/envoy.config.route.v3.VirtualHost";
constexpr std::string_view kClusterUrl = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
constexpr std::string_view kEndpointsUrl = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";

// Resources of one type by name.
template <typename Piece>
using Pieces = std::map<std::string, std::shared_ptr<const Piece>, std::less<>>;

struct Resources {
  Pieces<ListenerPiece> listeners;
  Pieces<RoutesPiece> routes;
  Pieces<HostPiece> hosts;  // By resource name "<route configuration>/<hostname>".
  Pieces<DestinationSetPiece> destination_sets;
  Pieces<EndpointsPiece> endpoints;
  Pieces<TrustPiece> trust;
};

// A virtual host and the resource that brought it; "" = the route configuration itself.
struct NamedHost {
  std::string resource;
  HostPiece piece;
};

// What was put together last time, and from what: the same parts give the same object again.
struct Assembled {
  struct RoutesEntry {
    std::vector<NamedHost> wanted;  // Kept, so that no other part comes to stand at their addresses.
    std::vector<NamedHost> served;
    std::vector<Refusal> held;
    std::shared_ptr<const Routes> routes;
  };
  struct DestinationSetEntry {
    std::shared_ptr<const DestinationSetPiece> piece;
    std::shared_ptr<const EndpointsPiece> endpoints;
    std::shared_ptr<const DestinationSet> built;
  };
  struct ListenerEntry {
    std::shared_ptr<const ListenerPiece> piece;
    std::vector<std::shared_ptr<const Routes>> routes;
    std::vector<std::shared_ptr<const Listener>> built;
  };
  std::map<std::string, RoutesEntry> routes;
  std::map<std::string, DestinationSetEntry> destination_sets;
  std::map<std::string, ListenerEntry> listeners;
  std::map<std::string, std::vector<std::shared_ptr<const Listener>>> served;  // Listeners, by resource.
  std::map<std::string, std::string> owners;                                   // Address -> resource.
  std::set<std::string> own_addresses;
};

// Hosts that exclude nobody who was there before them: inline ones, then what is served already, then by name.
void DropTwins(const std::string& name, const Assembled::RoutesEntry* before, Assembled::RoutesEntry* entry) {
  std::unordered_map<std::string, std::string> claimed;  // Domain -> host.
  const auto taken_by = [&](const HostPiece& piece) -> std::pair<std::string, std::string> {
    for (const std::string& domain : piece.host->domains) {
      const auto found = claimed.find(traffic::CanonicalDomain(domain));
      if (found != claimed.end()) return *found;
    }
    return {};
  };
  const auto serve = [&](const NamedHost& host) {
    for (const std::string& domain : host.piece.host->domains) {
      claimed.emplace(traffic::CanonicalDomain(domain), host.piece.host->name);
    }
    entry->served.push_back(host);
  };
  std::unordered_map<std::string, const NamedHost*> old;
  if (before != nullptr) {
    for (const NamedHost& host : before->served) old.emplace(host.resource, &host);
  }
  std::vector<const NamedHost*> fresh;
  for (const NamedHost& host : entry->wanted) {
    const auto known = old.find(host.resource);
    const bool stays = known != old.end() && known->second->piece.host == host.piece.host;
    if (host.resource.empty() || stays)
      serve(host);
    else
      fresh.push_back(&host);
  }
  for (const NamedHost* host : fresh) {
    const auto [domain, owner] = taken_by(host->piece);
    if (domain.empty()) {
      serve(*host);
      continue;
    }
    entry->held.push_back({std::string(kVirtualHostUrl), host->resource,
                           InvalidArgument("DUPLICATE_DOMAIN", "VirtualHost {}: domain '{}' of {} stands in {} already",
                                           host->resource, domain, name, owner),
                           true});
    const auto known = old.find(host->resource);
    if (known != old.end() && taken_by(known->second->piece).first.empty()) serve(*known->second);
  }
}

Result<traffic::RouteTable> TableOf(const std::vector<NamedHost>& hosts) {
  std::vector<std::shared_ptr<const traffic::VirtualHost>> virtual_hosts;
  virtual_hosts.reserve(hosts.size());
  for (const NamedHost& host : hosts) virtual_hosts.push_back(host.piece.host);
  return traffic::RouteTable::Build(std::move(virtual_hosts));
}

// Cannot fail: each host was found to be fit for a table when it was read, and twins are left out.
std::shared_ptr<const Routes> MakeRoutes(const std::string& key, const std::string& name, std::vector<NamedHost> hosts,
                                         const Assembled& before, Assembled* after, std::vector<Refusal>* refused) {
  const auto old = before.routes.find(key);
  const auto same = [](const NamedHost& a, const NamedHost& b) { return a.piece.host == b.piece.host; };
  if (old != before.routes.end() &&
      std::equal(old->second.wanted.begin(), old->second.wanted.end(), hosts.begin(), hosts.end(), same)) {
    refused->insert(refused->end(), old->second.held.begin(), old->second.held.end());
    after->routes[key] = old->second;
    return old->second.routes;
  }
  Assembled::RoutesEntry entry;
  entry.wanted = std::move(hosts);
  auto table = TableOf(entry.wanted);
  if (table.ok()) {
    entry.served = entry.wanted;
  } else {
    DropTwins(name, old == before.routes.end() ? nullptr : &old->second, &entry);
    table = TableOf(entry.served);
  }
  auto routes = std::make_shared<Routes>();
  routes->name = name;
  if (table.ok()) routes->table = std::move(table).value();
  for (const NamedHost& host : entry.served) {
    routes->actions.push_back(host.piece.actions);
    routes->callers.push_back(host.piece.callers);
  }
  entry.routes = routes;
  refused->insert(refused->end(), entry.held.begin(), entry.held.end());
  after->routes[key] = std::move(entry);
  return routes;
}

// The route configuration's own hosts and those that VHDS brought: resources named "<name>/<hostname>".
std::vector<NamedHost> HostsOf(const RoutesPiece& routes, const Pieces<HostPiece>& all) {
  std::vector<NamedHost> hosts;
  for (const HostPiece& host : routes.hosts) hosts.push_back({"", host});
  if (!routes.vhds) return hosts;
  const std::string prefix = routes.name + "/";
  for (auto at = all.lower_bound(prefix); at != all.end() && at->first.starts_with(prefix); ++at) {
    if (at->first.find('/', prefix.size()) == std::string::npos) hosts.push_back({at->first, *at->second});
  }
  return hosts;
}

// Under ORDERED the list is the order, and what is behind the first priority waits, whatever weight Envoy was told.
std::vector<Locality> Ranked(std::vector<Locality> localities, traffic::Mode mode) {
  for (size_t i = 0; i < localities.size() && mode == traffic::Mode::kOrdered; ++i) {
    if (localities[i].priority > 0) localities[i].weight = 0;
    localities[i].priority = static_cast<uint32_t>(i);
  }
  return localities;
}

}  // namespace

class SnapshotBuilder::State {
 public:
  explicit State(const PieceChecks& checks) : checks_(checks) {}

  BuiltSnapshot Apply(std::span<const EnvoyResource> upserts, std::span<const EnvoyResourceName> removals,
                      std::string version) {
    BuiltSnapshot out;
    for (const EnvoyResourceName& removal : removals) (void)Change(removal.type_url, removal.name, nullptr);
    for (const EnvoyResource& upsert : upserts) {
      const Status status = Change(upsert.type_url, upsert.name, &upsert.bytes);
      if (!status.ok()) out.refused.push_back({upsert.type_url, upsert.name, status.error(), false});
    }
    Assembled next;
    Assemble(std::move(version), &next, &out);
    assembled_ = std::move(next);
    return out;
  }

 private:
  using Listeners = std::vector<std::shared_ptr<const Listener>>;

  // `bytes` null = remove. An Error leaves what was there.
  Status Change(const std::string& type_url, const std::string& name, const std::string* bytes) {
    const std::string type = type_url.substr(type_url.rfind('/') + 1);
    const std::string short_type = type.substr(type.rfind('.') + 1);
    const auto change = [&](auto& pieces, auto read) -> Status {
      if (bytes == nullptr) {
        pieces.erase(name);
        return {};
      }
      auto piece = read(name, *bytes);
      if (!piece.ok()) {
        Error error = std::move(piece).error();
        error.message = fmt::format("{} {}: {}", short_type, name, error.message);
        return error;
      }
      pieces[name] = std::move(piece).value();
      return {};
    };
    if (type == "envoy.config.listener.v3.Listener") return change(resources_.listeners, ReadListener);
    if (type == "envoy.config.route.v3.RouteConfiguration") return change(resources_.routes, ReadRoutes);
    if (type == "envoy.config.route.v3.VirtualHost") return change(resources_.hosts, ReadVirtualHost);
    if (type == "envoy.config.cluster.v3.Cluster") return change(resources_.destination_sets, ReadDestinationSet);
    if (type == "envoy.config.endpoint.v3.ClusterLoadAssignment") return change(resources_.endpoints, ReadEndpoints);
    if (type == "envoy.extensions.transport_sockets.tls.v3.Secret") return change(resources_.trust, ReadTrust);
    return InvalidArgument("UNSUPPORTED_TYPE", "{} {}: resources of this type are not served", type, name);
  }

  void Assemble(std::string version, Assembled* next, BuiltSnapshot* out) const {
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->version = std::move(version);
    for (const auto& [name, piece] : resources_.listeners) {
      for (const Listener& listener : piece->listeners) next->own_addresses.insert(listener.address);
    }
    for (const auto& [name, piece] : resources_.destination_sets) {
      if (auto destination = MakeDestinationSet(name, piece, next, &out->refused))
        snapshot->destination_sets.emplace(name, destination);
    }
    AddListeners(next, snapshot.get(), out);
    if (const auto trust = resources_.trust.find(std::string(dialect::kTrustSecret)); trust != resources_.trust.end()) {
      out->trust_pem = trust->second->roots_pem;
      out->generations = trust->second->generations;
    }
    out->snapshot = std::move(snapshot);
  }

  // As it is to be; as it was while something stands in its way; null when it never was.
  std::shared_ptr<const DestinationSet> MakeDestinationSet(const std::string& name,
                                                           const std::shared_ptr<const DestinationSetPiece>& piece,
                                                           Assembled* next, std::vector<Refusal>* refused) const {
    std::shared_ptr<const EndpointsPiece> endpoints;
    if (piece->eds) {
      const auto found = resources_.endpoints.find(piece->endpoints_name);
      if (found != resources_.endpoints.end()) endpoints = found->second;
    }
    const auto old = assembled_.destination_sets.find(name);
    const bool known = old != assembled_.destination_sets.end();
    const bool same = known && old->second.piece == piece && old->second.endpoints == endpoints;
    if (same && next->own_addresses == assembled_.own_addresses) {
      next->destination_sets[name] = old->second;
      return old->second.built;
    }
    auto destination = std::make_shared<DestinationSet>(piece->destination);
    // Who is at fault: the destination set already without endpoints, or they.
    const Status alone = Allowed(*destination, *next);
    if (endpoints != nullptr) {
      destination->localities = endpoints->localities;
      if (destination->check) destination->check->port = endpoints->check_port;
    }
    destination->localities = Ranked(std::move(destination->localities), destination->mode);
    const Status whole = Allowed(*destination, *next);
    if (alone.ok() && whole.ok()) {
      next->destination_sets[name] = {piece, endpoints, same ? old->second.built : destination};
      return next->destination_sets[name].built;
    }
    refused->push_back({std::string(alone.ok() ? kEndpointsUrl : kClusterUrl),
                        alone.ok() ? piece->endpoints_name : name, alone.ok() ? whole.error() : alone.error(), true});
    if (!known || same) return nullptr;  // What was allowed once is not any more.
    next->destination_sets[name] = old->second;
    return old->second.built;
  }
  Status Allowed(const DestinationSet& destination, const Assembled& next) const {
    return checks_.CheckDestinationSet(destination, next.own_addresses);
  }

  void AddListeners(Assembled* next, Snapshot* snapshot, BuiltSnapshot* out) const {
    std::vector<std::pair<std::string, Listeners>> newcomers;
    const auto serve = [&](const std::string& name, const Listeners& listeners) {
      for (const auto& listener : listeners) {
        if (listener->port != 0) next->owners.emplace(AddressOf(*listener), name);
        snapshot->listeners.push_back(listener);
      }
      next->served[name] = listeners;
    };
    for (const auto& [name, piece] : resources_.listeners) {
      Listeners listeners = MakeListeners(name, piece, next, out);
      if (OwnsAll(name, listeners))
        serve(name, listeners);
      else
        newcomers.emplace_back(name, std::move(listeners));
    }
    // Who has an address keeps it; then the first by name gets it.
    for (auto& [name, listeners] : newcomers) {
      const Status free = AddressesFree(name, listeners, *next);
      if (free.ok()) {
        serve(name, listeners);
        continue;
      }
      out->refused.push_back({std::string(kListenerUrl), name, free.error(), true});
      const auto old = assembled_.served.find(name);
      if (old != assembled_.served.end() && AddressesFree(name, old->second, *next).ok()) serve(name, old->second);
    }
  }

  static std::string AddressOf(const Listener& listener) {
    const auto parsed = net::Address::Parse(listener.address, listener.port);
    return parsed.ok() ? parsed->ToString() : fmt::format("{}:{}", listener.address, listener.port);
  }
  bool OwnsAll(const std::string& name, const Listeners& listeners) const {
    return std::all_of(listeners.begin(), listeners.end(), [&](const auto& listener) {
      if (listener->port == 0) return true;
      const auto owner = assembled_.owners.find(AddressOf(*listener));
      return owner != assembled_.owners.end() && owner->second == name;
    });
  }
  Status AddressesFree(const std::string& name, const Listeners& listeners, const Assembled& next) const {
    std::set<std::string> own;
    for (const auto& listener : listeners) {
      if (listener->port == 0) continue;
      const std::string address = AddressOf(*listener);
      const auto owner = next.owners.find(address);
      if (owner == next.owners.end() && own.insert(address).second) continue;
      return InvalidArgument("ADDRESS_TAKEN", "Listener {}: address {} is taken by listener {}", name, address,
                             owner == next.owners.end() ? name : owner->second);
    }
    return {};
  }

  // As they are to be, or as they were: until the routes are there, or while the role refuses them.
  Listeners MakeListeners(const std::string& name, const std::shared_ptr<const ListenerPiece>& piece, Assembled* next,
                          BuiltSnapshot* out) const {
    const auto old = assembled_.listeners.find(name);
    const auto as_before = [&]() -> Listeners {
      if (old == assembled_.listeners.end()) return {};
      next->listeners[name] = old->second;
      return old->second.built;
    };
    const auto routes = RoutesOf(name, *piece, next, out);
    if (!routes) return as_before();
    if (old != assembled_.listeners.end() && old->second.piece == piece && old->second.routes == *routes) {
      return as_before();
    }
    for (const Listener& listener : piece->listeners) {
      const Status allowed = checks_.CheckListener(listener);
      if (allowed.ok()) continue;
      out->refused.push_back({std::string(kListenerUrl), name, allowed.error(), true});
      return as_before();
    }
    Listeners built;
    for (Listener listener : piece->listeners) {
      for (size_t i = 0; i < listener.chains.size(); ++i) listener.chains[i].routes = (*routes)[i];
      built.push_back(std::make_shared<Listener>(std::move(listener)));
    }
    next->listeners[name] = {piece, *routes, built};
    return built;
  }

  // Of each chain; nothing while one is awaited.
  std::optional<std::vector<std::shared_ptr<const Routes>>> RoutesOf(const std::string& name,
                                                                     const ListenerPiece& piece, Assembled* next,
                                                                     BuiltSnapshot* out) const {
    std::vector<std::shared_ptr<const Routes>> routes;
    for (size_t i = 0; i < piece.routes.size(); ++i) {
      const ChainRoutes& from = piece.routes[i];
      // A chain for each of ten thousand hosts, all with the routes of one port.
      if (i > 0 && from.inline_routes == nullptr && piece.routes[i - 1].rds == from.rds) {
        routes.push_back(routes.back());
        continue;
      }
      if (from.inline_routes != nullptr) {
        routes.push_back(MakeRoutes(fmt::format("{}\n{}", name, i), from.inline_routes->name,
                                    HostsOf(*from.inline_routes, {}), assembled_, next, &out->refused));
        continue;
      }
      const auto found = resources_.routes.find(from.rds);
      if (found == resources_.routes.end()) {
        out->waiting.push_back(fmt::format("listener {} waits for routes {}", name, from.rds));
        return std::nullopt;
      }
      const std::string key = "rds\n" + from.rds;
      if (const auto made = next->routes.find(key); made != next->routes.end()) {
        routes.push_back(made->second.routes);  // Another chain uses the same.
        continue;
      }
      routes.push_back(
          MakeRoutes(key, from.rds, HostsOf(*found->second, resources_.hosts), assembled_, next, &out->refused));
    }
    return routes;
  }

  const PieceChecks& checks_;
  Resources resources_;
  Assembled assembled_;
};

SnapshotBuilder::SnapshotBuilder(const PieceChecks& checks) : state_(std::make_unique<State>(checks)) {}
SnapshotBuilder::~SnapshotBuilder() = default;

BuiltSnapshot SnapshotBuilder::Apply(std::span<const EnvoyResource> upserts,
                                     std::span<const EnvoyResourceName> removals, std::string version) {
  return state_->Apply(upserts, removals, std::move(version));
}

Result<BuiltSnapshot> BuildSnapshot(std::span<const EnvoyResource> resources, std::string version) {
  BuiltSnapshot built = SnapshotBuilder(kFormOnly).Apply(resources, {}, std::move(version));
  if (!built.refused.empty()) return built.refused.front().error;
  return built;
}

}  // namespace weir::proxy
