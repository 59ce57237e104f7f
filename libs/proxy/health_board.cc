#include "libs/proxy/health_board.h"

#include <fmt/format.h>

#include <algorithm>

namespace weir::proxy {

std::optional<std::vector<std::string>> HealthBoard::SetsOf(const FilterChain& chain) {
  std::vector<std::string> sets;
  if (chain.routes == nullptr) return std::nullopt;
  const auto add = [&](const std::vector<RouteAction>& actions) {
    for (const RouteAction& action : actions) {
      if (!action.cluster.empty() && !action.redirect && !action.direct_response) sets.push_back(action.cluster);
    }
  };
  for (const std::string& name : chain.server_names) {
    const traffic::RouteTable::Found host = chain.routes->table.FindHost(name);
    if (host.host == nullptr) return std::nullopt;
    add(*chain.routes->actions[host.host_index]);
  }
  if (chain.server_names.empty()) {
    for (const auto& actions : chain.routes->actions) add(*actions);
  }
  std::sort(sets.begin(), sets.end());
  sets.erase(std::unique(sets.begin(), sets.end()), sets.end());
  return sets;
}

bool HealthBoard::Update(const Plan& plan, HealthUpdate& update) {
  const bool wanted_before = wanted_;
  wanted_ = false;
  for (const auto& [key, listener] : plan.listeners) {
    for (const FilterChain& chain : listener->source->chains) wanted_ |= chain.health_digest;
  }
  snapshot_ = plan.snapshot;
  if (!wanted_) {
    hosts_.clear();
    hosts_of_.clear();
    return false;
  }
  TextMap<Host> hosts;
  hosts_of_.clear();
  for (const auto& [key, listener] : plan.listeners) {
    for (const FilterChain& chain : listener->source->chains) {
      if (chain.health_digest || !chain.tls || chain.server_names.empty()) continue;
      const auto sets = SetsOf(chain);
      for (const std::string& name : chain.server_names) {
        Host& host = hosts[name];
        host.known &= sets.has_value();
        if (!sets) continue;
        host.sets.insert(host.sets.end(), sets->begin(), sets->end());
        for (const std::string& set : *sets) hosts_of_[set].push_back(name);
      }
    }
  }
  std::string changes;
  for (const auto& [name, host] : hosts_) {
    if (!hosts.contains(name)) AppendDown(name, "no_such_host", changes);
  }
  for (auto& [name, host] : hosts) {
    if (const auto before = hosts_.find(name); before != hosts_.end()) {
      host.state = before->second.state;
      host.reason = before->second.reason;
      host.said = true;
    }
    Look(name, host, changes);
  }
  hosts_ = std::move(hosts);
  if (changes.empty() && wanted_before) return false;
  Write(update, std::move(changes));
  return true;
}

void HealthBoard::Look(const std::string& name, Host& host, std::string& changes) {
  size_t can = 0, unsure = 0;
  std::string_view reason = "no_endpoint";
  for (const std::string& set : host.sets) {
    const auto cluster = snapshot_->clusters.find(set);
    if (cluster == snapshot_->clusters.end() || cluster->second == nullptr) continue;
    const auto known = known_.find(set);
    if (known == known_.end()) {
      const auto& localities = cluster->second->localities;
      const bool any = std::any_of(localities.begin(), localities.end(),
                                   [](const Locality& one) { return !one.drained && !one.endpoints.empty(); });
      can += any;
      unsure += any && (cluster->second->check || cluster->second->digest);
      continue;
    }
    can += known->second->can_serve;
    unsure += known->second->can_serve && !known->second->judged;
    if (!known->second->can_serve && !known->second->reason.empty()) reason = known->second->reason;
  }
  if (!host.known) reason = "no_such_host";
  const Behind state = !host.known              ? Behind::kNobody
                       : can < host.sets.size() ? (can == 0 ? Behind::kNobody : Behind::kPartial)
                       : unsure > 0             ? Behind::kUnsure
                                                : Behind::kServes;
  if (state == Behind::kPartial) reason = "partial";
  const bool down = state == Behind::kPartial || state == Behind::kNobody;
  if (host.said && state == host.state && (!down || reason == host.reason)) return;
  host.said = true;
  host.state = state;
  host.reason = down ? reason : "";
  if (down) {
    AppendDown(name, reason, changes);
  } else if (state == Behind::kUnsure) {
    AppendUnsure(name, changes);
  } else {
    AppendUp(name, changes);
  }
}

void HealthBoard::Changed(const std::vector<std::pair<std::string, std::shared_ptr<const SetHealth>>>& sets,
                          HealthUpdate& update) {
  std::string changes;
  for (const auto& [set, health] : sets) {
    if (health == nullptr) {
      known_.erase(set);
    } else {
      known_[set] = health;
    }
    const auto hosts = hosts_of_.find(set);
    if (hosts == hosts_of_.end()) continue;
    for (const std::string& name : hosts->second) {
      if (const auto host = hosts_.find(name); host != hosts_.end()) Look(name, host->second, changes);
    }
  }
  if (!changes.empty()) Write(update, std::move(changes));
}

void HealthBoard::Write(HealthUpdate& update, std::string changes) {
  auto all = std::make_shared<std::string>(DigestHello());
  for (const auto& [name, host] : hosts_) {
    if (host.state == Behind::kUnsure) AppendUnsure(name, *all);
    if (host.state == Behind::kPartial || host.state == Behind::kNobody) AppendDown(name, host.reason, *all);
  }
  fmt::format_to(std::back_inserter(*all), "ready {}\n", ++version_);
  update.digest = std::move(all);
  update.digest_version = version_;
  update.digest_changes += changes;
}

}  // namespace weir::proxy
