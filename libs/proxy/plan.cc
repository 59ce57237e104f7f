#include "libs/proxy/plan.h"

#include <algorithm>

namespace weir::proxy {
namespace {

Result<std::shared_ptr<const PlannedListener>> PlanListener(std::shared_ptr<const Listener> source) {
  auto planned = std::make_shared<PlannedListener>();
  WEIR_ASSIGN(planned->address, net::Address::Parse(source->address, source->port));
  planned->key = planned->address.ToString();
  if (source->port == 0) planned->key += "/" + source->name;
  planned->tls = !source->chains.empty() && source->chains.front().tls.has_value();
  planned->rules.reserve(source->chains.size());
  for (uint32_t i = 0; i < source->chains.size(); ++i) {
    const FilterChain& chain = source->chains[i];
    if (chain.tls.has_value() != planned->tls) {
      return InvalidArgument("LISTENER_MALFORMED", "listener {} mixes plain and TLS chains", source->name);
    }
    if (chain.routes == nullptr) {
      return InvalidArgument("LISTENER_MALFORMED", "chain {} of listener {} has no routes", chain.name, source->name);
    }
    if (chain.server_names.empty()) {
      if (planned->fallback >= 0) {
        return InvalidArgument("LISTENER_MALFORMED", "listener {} has two chains without names", source->name);
      }
      planned->fallback = static_cast<int>(i);
    }
    for (const std::string& name : chain.server_names) {
      if (name.starts_with("*.")) {
        planned->suffixes.emplace_back(name.substr(1), i);
      } else if (!planned->exact.emplace(name, i).second) {
        return InvalidArgument("LISTENER_MALFORMED", "two chains of listener {} claim {}", source->name, name);
      }
    }
    if (!chain.tls) {
      planned->rules.push_back(nullptr);
    } else if (i > 0 && source->chains[i - 1].tls == chain.tls) {
      planned->rules.push_back(planned->rules.back());
    } else {
      planned->rules.push_back(std::make_shared<const net::TlsPeerRule>(
          PeerRule(chain.tls->require_client_certificate, chain.tls->allowed_uris)));
    }
  }
  std::stable_sort(planned->suffixes.begin(), planned->suffixes.end(),
                   [](const auto& a, const auto& b) { return a.first.size() > b.first.size(); });
  planned->source = std::move(source);
  return std::shared_ptr<const PlannedListener>(planned);
}

}  // namespace

net::TlsPeerRule PeerRule(bool require, const std::vector<UriMatch>& uris) {
  net::TlsPeerRule rule;
  rule.require_certificate = require;
  for (const UriMatch& uri : uris) (uri.prefix ? rule.prefixes : rule.exact).push_back(uri.value);
  return rule;
}

PeerWire PeerWire::Plain() {
  PeerWire wire;
  wire.kind_ = Kind::kPlain;
  return wire;
}

PeerWire PeerWire::Tls(std::shared_ptr<const net::TlsPeerRule> rule) {
  PeerWire wire;
  wire.kind_ = Kind::kTls;
  wire.rule_ = std::move(rule);
  return wire;
}

PeerWire WireTo(const Cluster& cluster, const Endpoint& endpoint) {
  if (!cluster.tls) return PeerWire::Plain();
  return PeerWire::Tls(std::make_shared<const net::TlsPeerRule>(endpoint.spiffe_id.empty()
                                                                    ? PeerRule(true, cluster.tls->allowed_uris)
                                                                    : PeerRule(true, {{endpoint.spiffe_id, false}})));
}

int PlannedListener::ChainFor(std::string_view sni) const {
  if (const auto found = exact.find(sni); found != exact.end()) return static_cast<int>(found->second);
  for (const auto& [suffix, chain] : suffixes) {
    if (sni.size() > suffix.size() && sni.ends_with(suffix)) return static_cast<int>(chain);
  }
  return fallback;
}

Result<std::shared_ptr<const Plan>> Plan::Build(std::shared_ptr<const Snapshot> snapshot, const Plan* before) {
  std::unordered_map<const Listener*, std::shared_ptr<const PlannedListener>> known;
  if (before != nullptr) {
    for (const auto& [key, listener] : before->listeners) known.emplace(listener->source.get(), listener);
  }
  auto plan = std::make_shared<Plan>();
  for (const auto& listener : snapshot->listeners) {
    std::shared_ptr<const PlannedListener> planned;
    if (const auto same = known.find(listener.get()); same != known.end()) {
      planned = same->second;
    } else {
      WEIR_ASSIGN(planned, PlanListener(listener));
    }
    if (!plan->listeners.emplace(planned->key, planned).second) {
      return InvalidArgument("LISTENER_MALFORMED", "two listeners claim {}", planned->key);
    }
  }
  plan->snapshot = std::move(snapshot);
  return std::shared_ptr<const Plan>(plan);
}

}  // namespace weir::proxy
