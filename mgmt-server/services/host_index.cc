#include "mgmt-server/services/host_index.h"

#include "libs/resource/conflicts.h"
#include "libs/resource/kinds.h"

namespace weir::services {
namespace {

std::string Backwards(std::string_view host) { return {host.rbegin(), host.rend()}; }

std::string WorkspaceOf(std::string_view gateway) { return resource::ParentFqn(resource::ParentFqn(gateway)); }

}  // namespace

void ForEachGateway(const store::View& view, std::string_view parent,
                    const std::function<bool(const store::ResourcePtr&)>& fn) {
  for (const resource::KindInfo& kind : resource::Kinds()) {
    if (kind.rules.effect != resource::Effect::kGateway) continue;
    bool go_on = true;
    view.ForEach(parent, kind.name, [&](const store::ResourcePtr& gateway) { return go_on = fn(gateway); });
    if (!go_on) return;
  }
}

void HostIndex::Add(std::string_view host, const std::string& gateway) {
  if (!gateways_[Backwards(host)].insert(gateway).second) return;
  of_tenants_[resource::ParentFqn(WorkspaceOf(gateway))][Backwards(host)].insert(gateway);
  ++size_;
}

const std::set<std::string>& HostIndex::Of(std::string_view host) const {
  static const std::set<std::string> kNone;
  const auto found = gateways_.find(Backwards(host));
  return found == gateways_.end() ? kNone : found->second;
}

std::set<std::string> HostIndex::Meeting(std::string_view host, std::string_view tenant) const {
  std::set<std::string> found;
  const auto own = of_tenants_.find(tenant);
  if (own == of_tenants_.end()) return found;
  const Hosts& hosts = own->second;
  for (const std::string& pattern : resource::PatternsFor(host)) {
    if (const auto at = hosts.find(Backwards(pattern)); at != hosts.end()) {
      found.insert(at->second.begin(), at->second.end());
    }
  }
  if (!host.starts_with("*.")) return found;
  const std::string below = Backwards(host.substr(1));
  for (auto at = hosts.lower_bound(below); at != hosts.end() && at->first.starts_with(below); ++at) {
    found.insert(at->second.begin(), at->second.end());
  }
  return found;
}

std::vector<std::pair<std::string, std::string>> SharedHosts(const store::View& view) {
  const auto each = [&](auto fn) {
    ForEachGateway(view, "", [&](const store::ResourcePtr& resource) {
      const resource::KindInfo* kind = resource::FindKind(resource->kind);
      std::shared_ptr<google::protobuf::Message> gateway = resource::NewMessage(kind->kind);
      if (!gateway->ParseFromString(resource->body)) return true;
      for (const resource::HostClaim& claim : resource::HostClaims(resource::FormOf(gateway))) {
        if (claim.answers) fn(resource->fqn, resource::ParentFqn(WorkspaceOf(resource->fqn)), claim.hostname);
      }
      return true;
    });
  };
  std::map<std::pair<std::string, std::string>, std::string> holders;  // Tenant, host -> the first that answers.
  each([&](const std::string& fqn, const std::string& tenant, const std::string& host) {
    holders.emplace(std::pair(tenant, host), fqn);
  });
  std::vector<std::pair<std::string, std::string>> shared;
  each([&](const std::string& fqn, const std::string& tenant, const std::string& host) {
    for (const std::string& pattern : resource::PatternsFor(host)) {
      const auto holder = holders.find({tenant, pattern});
      if (holder == holders.end() || WorkspaceOf(holder->second) == WorkspaceOf(fqn)) continue;
      shared.emplace_back(holder->second, fqn);
    }
  });
  return shared;
}

}  // namespace weir::services
