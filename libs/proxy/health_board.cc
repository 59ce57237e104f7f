#include "libs/proxy/health_board.h"

#include <fmt/format.h>

#include <algorithm>

namespace weir::proxy {
namespace {

bool GoesOn(const RouteAction& action) {
  return !action.destination_set.empty() && !action.redirect && !action.direct_response;
}
void AddSets(const std::vector<RouteAction>& actions, std::vector<std::string>& sets) {
  for (const RouteAction& action : actions) {
    if (GoesOn(action)) sets.push_back(action.destination_set);
  }
}
std::vector<std::string> EachOnce(std::vector<std::string> sets) {
  std::sort(sets.begin(), sets.end());
  sets.erase(std::unique(sets.begin(), sets.end()), sets.end());
  return sets;
}

}  // namespace

std::vector<std::string> HealthBoard::SetsOf(const Routes& routes, uint32_t host) {
  std::vector<std::string> sets;
  AddSets(*routes.actions[host], sets);
  return EachOnce(std::move(sets));
}

std::optional<std::vector<std::string>> HealthBoard::SetsOf(const FilterChain& chain) {
  std::vector<std::string> sets;
  if (chain.routes == nullptr) return std::nullopt;
  for (const std::string& name : chain.server_names) {
    const traffic::RouteTable::Found host = chain.routes->table.FindHost(name);
    if (host.host == nullptr) return std::nullopt;
    AddSets(*chain.routes->actions[host.host_index], sets);
  }
  if (chain.server_names.empty()) {
    for (const auto& actions : chain.routes->actions) AddSets(*actions, sets);
  }
  return EachOnce(std::move(sets));
}

// By name: of chains with server names, and of hosts on chains by host.
TextMap<HealthBoard::Host> HealthBoard::HostsOf(const Plan& plan) {
  TextMap<Host> hosts;
  for (const auto& [key, listener] : plan.listeners) {
    for (const FilterChain& chain : listener->source->chains) {
      if (chain.health_digest || !chain.tls) continue;
      const auto& all = chain.routes->table.hosts();
      for (uint32_t i = 0; chain.tls->by_host && i < all.size(); ++i) {
        if (chain.routes->CallersOf(i) == nullptr) continue;
        for (const std::string& name : all[i]->domains) {
          hosts[name].views.push_back({all[i].get(), chain.routes->actions[i].get()});
        }
      }
      for (const std::string& name : chain.server_names) {
        Host& host = hosts[name];
        const traffic::RouteTable::Found found = chain.routes->table.FindHost(name);
        host.known &= found.host != nullptr;
        if (found.host != nullptr) host.views.push_back({found.host, chain.routes->actions[found.host_index].get()});
      }
    }
  }
  return hosts;
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
  TextMap<Host> hosts = HostsOf(plan);
  hosts_of_.clear();
  for (const auto& [name, host] : hosts) {
    for (const View& view : host.views) {
      for (const RouteAction& action : *view.actions) {
        if (!GoesOn(action)) continue;
        std::vector<std::string>& names = hosts_of_[action.destination_set];
        if (names.empty() || names.back() != name) names.push_back(name);
      }
    }
  }
  std::string changes;
  for (const auto& [name, host] : hosts_) {
    if (!hosts.contains(name)) AppendDown(name, Word(traffic::Reason::kNoSuchHost), changes);
  }
  for (auto& [name, host] : hosts) {
    if (const auto before = hosts_.find(name); before != hosts_.end()) {
      host.verdict = before->second.verdict;
      host.said = true;
    }
    Judge(name, host, changes);
  }
  hosts_ = std::move(hosts);
  if (changes.empty() && wanted_before) return false;
  Write(update, std::move(changes));
  return true;
}

HealthBoard::Able HealthBoard::AbleIs(const std::string& set, traffic::Reason* reason) const {
  *reason = traffic::Reason::kNoEndpoint;
  const auto destination = snapshot_->destination_sets.find(set);
  if (destination == snapshot_->destination_sets.end() || destination->second == nullptr) return Able::kNo;
  if (const auto known = known_.find(set); known != known_.end()) {
    const SetHealth& health = *known->second;
    if (health.can_serve) return health.judged ? Able::kYes : Able::kUnsure;
    if (health.reason != traffic::Reason::kNone) *reason = health.reason;
    return Able::kNo;
  }
  const auto& localities = destination->second->localities;
  const bool any = std::any_of(localities.begin(), localities.end(),
                               [](const Locality& one) { return !one.drained && !one.endpoints.empty(); });
  return !any ? Able::kNo : destination->second->check || destination->second->digest ? Able::kUnsure : Able::kYes;
}

HealthBoard::Verdict HealthBoard::VerdictOn(const Host& host) const {
  if (!host.known) return {Behind::kNobody, traffic::Reason::kNoSuchHost};
  Verdict verdict;
  bool any = false, all = true, unsure = false;
  traffic::Reason reason = traffic::Reason::kNoEndpoint;
  for (const View& view : host.views) {
    for (const traffic::RouteRule& rule : view.host->rules) {
      const RouteAction* action = rule.action < view.actions->size() ? &(*view.actions)[rule.action] : nullptr;
      traffic::Reason why = traffic::Reason::kNone;
      const Able able = action != nullptr && GoesOn(*action) ? AbleIs(action->destination_set, &why) : Able::kYes;
      any |= able != Able::kNo;
      all &= able != Able::kNo;
      unsure |= able == Able::kUnsure;
      if (able == Able::kNo) reason = why;
      verdict.rules.push_back({.kind = rule.kind, .path = rule.path, .can_serve = able != Able::kNo});
    }
  }
  if (!all && any) {
    verdict.state = Behind::kPartial;
    verdict.reason = traffic::Reason::kPartial;
    return verdict;
  }
  if (!all) return {Behind::kNobody, reason};
  return {unsure ? Behind::kUnsure : Behind::kServes, traffic::Reason::kNone};
}

void HealthBoard::Append(const std::string& name, const Verdict& verdict, std::string& out) {
  switch (verdict.state) {
    case Behind::kServes:
      return AppendUp(name, out);
    case Behind::kUnsure:
      return AppendUnsure(name, out);
    case Behind::kPartial:
      return AppendPartial(name, verdict.rules, out);
    case Behind::kNobody:
      return AppendDown(name, Word(verdict.reason), out);
  }
}

void HealthBoard::Judge(const std::string& name, Host& host, std::string& changes) {
  Verdict verdict = VerdictOn(host);
  if (host.said && verdict == host.verdict) return;
  host.said = true;
  host.verdict = std::move(verdict);
  Append(name, host.verdict, changes);
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
      if (const auto host = hosts_.find(name); host != hosts_.end()) Judge(name, host->second, changes);
    }
  }
  if (!changes.empty()) Write(update, std::move(changes));
}

void HealthBoard::Write(HealthUpdate& update, std::string changes) {
  auto all = std::make_shared<std::string>(DigestHello());
  for (const auto& [name, host] : hosts_) {
    if (host.verdict.state != Behind::kServes) Append(name, host.verdict, *all);
  }
  fmt::format_to(std::back_inserter(*all), "ready {}\n", ++version_);
  update.digest = std::move(all);
  update.digest_version = version_;
  update.digest_changes += changes;
}

}  // namespace weir::proxy
