#include "libs/proxy/plan.h"

#include <algorithm>
#include <cctype>

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
    if (chain.tls && chain.tls->by_host) {
      planned->by_host.push_back(i);
      planned->rules.push_back(nullptr);
      continue;
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
    } else if (i > 0 && source->chains[i - 1].tls == chain.tls && planned->rules.back() != nullptr) {
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

// How much of the name the host's domains match: all of it, or the suffix of a wildcard.
size_t MatchSize(const traffic::VirtualHost& host, std::string_view sni) {
  size_t size = 0;
  for (const std::string& domain : host.domains) {
    const std::string_view name = traffic::WithoutPort(domain);
    const bool wildcard = name.starts_with("*.");
    const std::string_view suffix = wildcard ? name.substr(1) : name;
    const size_t at = sni.size() - std::min(sni.size(), suffix.size());
    const bool matches = wildcard ? sni.size() > suffix.size() : sni.size() == suffix.size();
    if (matches && std::equal(suffix.begin(), suffix.end(), sni.begin() + static_cast<std::ptrdiff_t>(at),
                              [](unsigned char a, unsigned char b) { return std::tolower(a) == std::tolower(b); })) {
      size = std::max(size, wildcard ? suffix.size() : sni.size() + 1);
    }
  }
  return size;
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

PeerWire WireTo(const DestinationSet& destination, const Endpoint& endpoint) {
  if (!destination.tls) return PeerWire::Plain();
  return PeerWire::Tls(std::make_shared<const net::TlsPeerRule>(endpoint.spiffe_id.empty()
                                                                    ? PeerRule(true, destination.tls->allowed_uris)
                                                                    : PeerRule(true, {{endpoint.spiffe_id, false}})));
}

PlannedListener::Found PlannedListener::Find(std::string_view sni) const {
  if (const auto found = exact.find(sni); found != exact.end()) return {static_cast<int>(found->second), nullptr, 0};
  if (const Found found = FindHost(sni); found.chain >= 0) return found;
  for (const auto& [suffix, chain] : suffixes) {
    if (sni.size() > suffix.size() && sni.ends_with(suffix)) return {static_cast<int>(chain), nullptr, 0};
  }
  return {fallback, nullptr, 0};
}

PlannedListener::Found PlannedListener::FindHost(std::string_view sni) const {
  Found best;
  size_t best_size = 0;  // Of the domain that matches.
  if (sni.empty()) return best;
  for (const uint32_t i : by_host) {
    const Routes& routes = *source->chains[i].routes;
    const traffic::RouteTable::Found found = routes.table.FindHost(sni);
    if (found.host == nullptr || routes.CallersOf(found.host_index) == nullptr) continue;
    const size_t size = MatchSize(*found.host, sni);
    if (best.chain >= 0 && size <= best_size) continue;
    best = {static_cast<int>(i), found.host, found.host_index};
    best_size = size;
  }
  return best;
}

std::shared_ptr<const net::TlsPeerRule> PlannedListener::RuleOf(const Found& found) const {
  if (found.chain < 0) return nullptr;
  if (found.host == nullptr) return rules[static_cast<size_t>(found.chain)];
  const Routes& routes = *source->chains[static_cast<size_t>(found.chain)].routes;
  net::TlsPeerRule rule = PeerRule(true, *routes.CallersOf(found.host_index));
  if (rule.exact.empty() && rule.prefixes.empty()) rule.exact = {"spiffe://nobody.invalid"};  // Empty: anybody.
  return std::make_shared<const net::TlsPeerRule>(std::move(rule));
}

bool PlannedListener::Admits(const Found& found, std::string_view peer_uri) const {
  if (found.chain < 0) return false;
  if (found.host == nullptr) {
    const auto& rule = rules[static_cast<size_t>(found.chain)];
    return rule == nullptr || rule->Accepts(peer_uri);
  }
  const Callers& callers = *source->chains[static_cast<size_t>(found.chain)].routes->CallersOf(found.host_index);
  return std::any_of(callers.begin(), callers.end(), [&](const UriMatch& uri) {
    return uri.prefix ? peer_uri.starts_with(uri.value) : peer_uri == uri.value;
  });
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
