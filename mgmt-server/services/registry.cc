#include "mgmt-server/services/registry.h"

#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

#include "api/weir/agent/v1/discovery.pb.h"
#include "api/weir/v2/cluster.pb.h"
#include "api/weir/v2/service.pb.h"
#include "api/weir/v2/workspace.pb.h"
#include "libs/base/labels.h"
#include "libs/base/sha256.h"
#include "libs/facts/check.h"
#include "libs/resource/conflicts.h"
#include "libs/resource/kinds.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/services/writes.h"

namespace weir::services {
namespace {

constexpr std::string_view kServices = "/services/";

// Workloads of a cluster by namespace and label, so that a service costs what it selects.
class Workloads {
 public:
  explicit Workloads(const store::ClusterFacts& facts) {
    facts.workloads.VisitAll([&](const std::string&, const std::string& bytes) {
      auto workload = std::make_shared<agent::v1::Workload>();
      if (!workload->ParseFromString(bytes)) return true;
      for (const auto& [key, value] : workload->labels()) {
        by_label_[{workload->namespace_(), key, value}].push_back(workload);
      }
      return true;
    });
  }

  int CountOf(const agent::v1::Service& service) const {
    const std::vector<std::shared_ptr<agent::v1::Workload>>* fewest = nullptr;
    for (const auto& [key, value] : service.selector()) {
      const auto found = by_label_.find({service.namespace_(), key, value});
      if (found == by_label_.end()) return 0;
      if (fewest == nullptr || found->second.size() < fewest->size()) fewest = &found->second;
    }
    if (fewest == nullptr) return 0;
    return static_cast<int>(std::count_if(fewest->begin(), fewest->end(), [&](const auto& workload) {
      return LabelsMatch(service.selector(), workload->labels());
    }));
  }

 private:
  std::map<std::tuple<std::string, std::string, std::string>, std::vector<std::shared_ptr<agent::v1::Workload>>>
      by_label_;
};

std::string NameOf(const agent::v1::Service& service) {
  return fmt::format("{}.{}", service.name(), service.namespace_());
}
std::string NamespaceOf(std::string_view name) { return std::string(name.substr(name.find('.') + 1)); }

}  // namespace

Registry::Parts Registry::Read(const std::string& cluster, const store::ClusterFacts* facts) {
  Parts parts;
  if (facts == nullptr) return parts;
  const Workloads workloads(*facts);
  facts->services.VisitAll([&](const std::string&, const std::string& bytes) {
    agent::v1::Service service;
    if (!service.ParseFromString(bytes)) return true;
    v2::ServiceInCluster part;
    part.set_cluster(std::string(resource::LastName(cluster)));
    part.set_host(facts::HostOf(service));
    *part.mutable_ports() = service.ports();
    *part.mutable_selector() = service.selector();
    part.set_endpoints(workloads.CountOf(service));
    part.set_connected(facts->connected);
    parts.emplace(NameOf(service), Serialize(part));
    return true;
  });
  return parts;
}

store::ResourcePtr Registry::Make(const std::string& fqn) const {
  const std::string organization = resource::ParentFqn(fqn);
  const std::string name(resource::LastName(fqn));
  v2::Service service;
  v2::ServiceState& state = *service.mutable_state();
  std::map<std::string, std::string> parts;  // By cluster.
  for (const auto& [uid, cluster] : clusters_) {
    if (resource::ParentFqn(cluster.fqn) != organization) continue;
    const auto part = cluster.parts.find(name);
    if (part != cluster.parts.end()) parts.emplace(cluster.fqn, part->second);
  }
  if (parts.empty()) return nullptr;
  for (const auto& [cluster, bytes] : parts) state.add_clusters()->ParseFromString(bytes);
  state.set_namespace_(NamespaceOf(name));
  auto stored = std::make_shared<store::StoredResource>();
  stored->kind = "Service";
  stored->fqn = fqn;
  stored->uid = "service:" + fqn;
  stored->body = Serialize(service);
  stored->etag = Sha256Hex(stored->body).substr(0, 32);
  return stored;
}

store::ViewPtr Registry::Of(const store::View& state) {
  MutexLock lock(mutex_);
  std::set<std::string> touched, there;
  const auto touch = [&](const Cluster& cluster) {
    const std::string prefix = resource::ParentFqn(cluster.fqn) + std::string(kServices);
    for (const auto& [name, part] : cluster.parts) touched.insert(prefix + name);
  };
  state.ForEach("", "Cluster", [&](const store::ResourcePtr& resource) WEIR_REQUIRES(mutex_) {
    there.insert(resource->uid);
    const store::ClusterFactsPtr facts = state.Facts(resource->uid);
    Cluster& known = clusters_[resource->uid];
    const uint64_t sequence = facts == nullptr ? 0 : facts->sequence + 1;
    const bool connected = facts != nullptr && facts->connected;
    if (known.fqn == resource->fqn && known.sequence == sequence && known.connected == connected) return true;
    touch(known);
    known = {resource->fqn, sequence, connected, Read(resource->fqn, facts.get())};
    touch(known);
    ++read_;
    return true;
  });
  for (auto at = clusters_.begin(); at != clusters_.end();) {
    const bool gone = !there.contains(at->first);
    if (gone) touch(at->second);
    at = gone ? clusters_.erase(at) : std::next(at);
  }
  if (touched.empty()) return view_;
  auto next = std::make_shared<store::View>(*view_);
  store::ViewLoader loader(*next);
  for (const std::string& fqn : touched) {
    if (store::ResourcePtr made = Make(fqn))
      loader.Put(std::move(made));
    else
      loader.Remove(fqn);
  }
  view_ = std::move(next);
  return view_;
}

size_t Registry::clusters_read() const {
  MutexLock lock(mutex_);
  return read_;
}

// --- Sight --------------------------------------------------------------------------------------------------------

struct ServiceSight::Territory {
  bool all = false;
  std::vector<resource::NamespacePattern> patterns;
};

const ServiceSight::Territory& ServiceSight::Of(const std::string& organization) {
  auto& known = territories_[organization];
  if (known != nullptr) return *known;
  auto made = std::make_shared<Territory>();
  const auto may_read = [&](const store::ResourcePtr& resource) {
    return resource != nullptr && authz::Allowed(view_, principal_, authz::Right::kRead, *resource);
  };
  made->all = may_read(view_.Get(organization));
  if (!made->all) {
    view_.ForEach(organization, "Workspace", [&](const store::ResourcePtr& resource) {
      v2::Workspace workspace;
      if (!may_read(resource) || !workspace.ParseFromString(resource->body)) return true;
      for (auto& pattern : resource::PatternsOf(workspace.spec().namespace_selector())) {
        made->patterns.push_back(std::move(pattern));
      }
      return true;
    });
  }
  known = std::move(made);
  return *known;
}

bool ServiceSight::Narrow(const std::string& organization, v2::Service& service) {
  const Territory& territory = Of(organization);
  v2::ServiceState& state = *service.mutable_state();
  auto& clusters = *state.mutable_clusters();
  if (!territory.all) {
    const auto hidden = [&](const v2::ServiceInCluster& one) {
      return std::none_of(territory.patterns.begin(), territory.patterns.end(),
                          [&](const auto& pattern) { return pattern.Matches(one.cluster(), state.namespace_()); });
    };
    clusters.erase(std::remove_if(clusters.begin(), clusters.end(), hidden), clusters.end());
  }
  std::set<std::string> hosts;
  int endpoints = 0;
  for (const auto& one : clusters) {
    hosts.insert(one.host());
    endpoints += one.endpoints();
  }
  state.clear_hosts();
  for (const std::string& host : hosts) state.add_hosts(host);
  state.set_endpoints(endpoints);
  return !clusters.empty();
}

void AddHealth(const FleetView& fleet, const std::string& organization, v2::Service& service) {
  v2::ServiceState& state = *service.mutable_state();
  for (v2::ServiceInCluster& one : *state.mutable_clusters()) {
    const std::string cluster = resource::ChildFqn(organization, resource::Kind::kCluster, one.cluster());
    for (const uint32_t port : one.ports()) {
      const auto word = fleet.ServiceHealth(cluster, fmt::format("{}/{}", state.namespace_(), one.host()), port);
      if (!word.heard || one.health() == v2::SERVING) continue;
      one.set_health(word.serves ? v2::SERVING : v2::NOT_SERVING);
      one.set_reason(word.serves ? "" : word.reason);
    }
    state.set_health(std::max(state.health(), one.health()));
  }
}

}  // namespace weir::services
