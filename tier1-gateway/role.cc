#include "tier1-gateway/role.h"

#include <map>

#include "libs/dialect/dialect.h"
#include "libs/proxy/snapshot.h"

namespace weir::tier1 {
namespace {

using proxy::FilterChain;
using proxy::RouteAction;
using proxy::Routes;
using proxy::Snapshot;

bool FromOutside(const FilterChain& chain) { return !chain.tls || !chain.tls->demands(); }

// Puts the 404 before every rule of every host. What was adapted before stays the same object, because the engine
// skips what did not change.
class ReservedPaths {
 public:
  Result<std::shared_ptr<const Snapshot>> Adapt(const std::shared_ptr<const Snapshot>& snapshot) {
    auto adapted = std::make_shared<Snapshot>(*snapshot);
    Seen seen;
    for (auto& listener : adapted->listeners) {
      WEIR_ASSIGN(listener, OfListener(listener, seen));
    }
    seen_ = std::move(seen);
    return std::shared_ptr<const Snapshot>(std::move(adapted));
  }

 private:
  template <typename T>
  using Pairs = std::map<std::shared_ptr<const T>, std::shared_ptr<const T>>;
  // Its rules' numbers point into the actions, so both together are what a host is.
  using HostKey =
      std::pair<std::shared_ptr<const traffic::VirtualHost>, std::shared_ptr<const std::vector<RouteAction>>>;
  using HostPairs = std::map<HostKey, std::shared_ptr<const traffic::VirtualHost>>;
  struct Seen {  // Original -> adapted; what the newest snapshot no longer has is forgotten with the one before.
    Pairs<proxy::Listener> listeners;
    Pairs<Routes> routes;
    HostPairs hosts;
    Pairs<std::vector<RouteAction>> actions;
  };

  template <typename Map, typename Make>
  static typename Map::mapped_type Once(const typename Map::key_type& original, const Map& before, Map& now,
                                        const Make& make) {
    if (const auto found = now.find(original); found != now.end()) return found->second;
    const auto old = before.find(original);
    return now[original] = old != before.end() ? old->second : make();
  }

  Result<std::shared_ptr<const proxy::Listener>> OfListener(const std::shared_ptr<const proxy::Listener>& original,
                                                            Seen& seen) {
    auto adapted = std::make_shared<proxy::Listener>(*original);
    bool changed = false;
    for (FilterChain& chain : adapted->chains) {
      if (!FromOutside(chain) || chain.routes == nullptr) continue;
      WEIR_ASSIGN(chain.routes, OfRoutes(chain.routes, seen));
      changed = true;
    }
    if (!changed) return original;
    return Once(original, seen_.listeners, seen.listeners, [&] { return adapted; });
  }

  Result<std::shared_ptr<const Routes>> OfRoutes(const std::shared_ptr<const Routes>& original, Seen& seen) {
    auto adapted = std::make_shared<Routes>();
    adapted->name = original->name;
    std::vector<std::shared_ptr<const traffic::VirtualHost>> hosts;
    for (size_t i = 0; i < original->table.hosts().size(); ++i) {
      hosts.push_back(OfHost(original->table.hosts()[i], original->actions[i], seen));
      adapted->actions.push_back(OfActions(original->actions[i], seen));
    }
    if (const auto old = seen_.routes.find(original); old != seen_.routes.end()) {
      return seen.routes[original] = old->second;
    }
    WEIR_ASSIGN(adapted->table, traffic::RouteTable::Build(std::move(hosts)));
    return Once(original, seen_.routes, seen.routes, [&] { return adapted; });
  }

  std::shared_ptr<const traffic::VirtualHost> OfHost(const std::shared_ptr<const traffic::VirtualHost>& original,
                                                     const std::shared_ptr<const std::vector<RouteAction>>& actions,
                                                     Seen& seen) {
    return Once(HostKey{original, actions}, seen_.hosts, seen.hosts, [&] {
      auto host = std::make_shared<traffic::VirtualHost>(*original);
      host->rules.insert(host->rules.begin(), {traffic::PathKind::kPathSeparated, std::string(dialect::kOwnPaths),
                                               static_cast<uint32_t>(actions->size())});
      return host;
    });
  }

  std::shared_ptr<const std::vector<RouteAction>> OfActions(
      const std::shared_ptr<const std::vector<RouteAction>>& original, Seen& seen) {
    return Once(original, seen_.actions, seen.actions, [&] {
      auto actions = std::make_shared<std::vector<RouteAction>>(*original);
      RouteAction& hidden = actions->emplace_back();
      hidden.direct_response = proxy::DirectResponse{404, "not found\n"};
      return actions;
    });
  }

  Seen seen_;
};

class Tier1Role final : public gateway::Role {
 public:
  Tier1Role()
      : Role("weir-tier1", "Receives requests at the edge and spreads them over clusters by weight and health.") {}

  Status CheckListener(const proxy::Listener&) const override { return {}; }  // The edge is open to anybody.
  Status CheckDestinationSet(const proxy::DestinationSet& destination, const std::set<std::string>&) const override {
    return gateway::DemandNamedUpstreams(destination, "tier 1");
  }
  Result<std::shared_ptr<const Snapshot>> Adapt(std::shared_ptr<const Snapshot> snapshot) override {
    return reserved_.Adapt(snapshot);
  }

 private:
  ReservedPaths reserved_;
};

}  // namespace

std::unique_ptr<gateway::Role> NewTier1Role() { return std::make_unique<Tier1Role>(); }

}  // namespace weir::tier1
