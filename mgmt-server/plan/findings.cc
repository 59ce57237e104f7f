#include "mgmt-server/plan/findings.h"

#include <algorithm>
#include <set>

#include "libs/resource/admin_state.h"
#include "libs/resource/inheritance.h"
#include "libs/resource/kinds.h"
#include "libs/resource/validate.h"
#include "mgmt-server/compile/gateway_shape.h"
#include "mgmt-server/compile/keys.h"
#include "mgmt-server/compile/named_service.h"
#include "mgmt-server/compile/selecting.h"

namespace weir::plan {
namespace {

using compile::GatewayShape;
using compile::ServerShape;
using compile::World;
using Clusters = google::protobuf::RepeatedPtrField<v2::ClusterDestination>;

std::string Joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

class Lint {
 public:
  Lint(const World& world, const std::string& fqn) : world_(world), fqn_(fqn) {}

  std::vector<v2::Finding> Run() && {
    const GatewayShape* shape = world_.gateway(fqn_);
    if (shape != nullptr) Gateway(*shape);
    const auto setting = world_.state().resources.find(fqn_);
    if (setting == world_.state().resources.end()) return std::move(findings_);
    const auto* failover = resource::Said(*setting->second, *resource::FindInherited("failover_settings"));
    if (failover != nullptr) Setting(static_cast<const v2::FailoverSettings&>(*failover));
    return std::move(findings_);
  }

 private:
  void Say(v2::Finding::Severity severity, const char* reason, std::string field, std::string message,
           std::string remedy) {
    v2::Finding& finding = findings_.emplace_back();
    finding.set_severity(severity);
    finding.set_reason(reason);
    finding.set_fqn(fqn_);
    finding.set_field(std::move(field));
    finding.set_message(std::move(message));
    finding.set_remedy(std::move(remedy));
  }

  void Gateway(const GatewayShape& shape) {
    for (const FieldViolation& warning : resource::Warnings(*shape.source)) {
      Say(v2::Finding::WARNING, "RULE_NEVER_FIRES", warning.field, warning.description,
          "move it before the rule that takes its requests, or take it out");
    }
    const std::vector<std::string> clusters = compile::ClustersOf(world_, shape);
    if (clusters.empty()) {
      Say(v2::Finding::WARNING, "NO_WORKLOAD", "spec.workloadSelector",
          "selects no workload that any agent has reported", "start the gateway, or correct namespace and labels");
    }
    if (shape.tier1) Admission(shape, clusters);
    for (size_t i = 0; i < shape.servers.size(); ++i) {
      Rules(shape, shape.servers[i], static_cast<int>(i), clusters);
    }
  }

  void Rules(const GatewayShape& shape, const ServerShape& server, int index,
             const std::vector<std::string>& clusters) {
    const auto& rules = server.http->routing().rules();
    for (int i = 0; i < rules.size(); ++i) {
      if (!rules[i].has_route()) continue;
      if (rules[i].route().has_cluster_destination()) {
        const auto& written = shape.form.gateway->spec().http(index).routing().rules(i).route();
        const std::string field = shape.form.ClustersOf(index, i);
        Selection(shape, server, written.cluster_destination().clusters(), field);
        Spread(shape, server, rules[i].route().cluster_destination().clusters(), shape.form.Field(index), field);
      } else if (rules[i].route().has_service_destination()) {
        Service(shape, rules[i].route().service_destination(), shape.form.ServiceOf(index, i), clusters);
      }
    }
  }

  void Service(const GatewayShape& shape, const v2::ServiceDestination& destination, const std::string& field,
               const std::vector<std::string>& clusters) {
    std::vector<std::string> without, outside;
    for (const std::string& cluster : clusters) {
      const auto [beyond, service] = compile::FindNamedService(world_, shape, cluster, destination.host());
      const bool serves =
          service != nullptr && std::count(service->ports().begin(), service->ports().end(), destination.port()) > 0;
      if (!serves) (beyond ? outside : without).emplace_back(resource::LastName(cluster));
    }
    const auto say = [&](const std::vector<std::string>& where, const char* reason, std::string message,
                         const char* remedy) {
      if (where.empty()) return;
      const bool nowhere = without.size() + outside.size() == clusters.size();
      Say(nowhere ? v2::Finding::ERROR : v2::Finding::WARNING, reason, field, std::move(message), remedy);
    };
    say(outside, "SERVICE_OUTSIDE_WORKSPACE",
        fmt::format("the workspace does not own the namespace of {} in {}", destination.host(), Joined(outside)),
        "name a service of a namespace that is its own, or let somebody who may write the tenant add that to "
        "spec.namespaceSelector.names of the workspace");
    say(without, "SERVICE_MISSING",
        fmt::format("{} port {} is not there in {}", destination.host(), destination.port(), Joined(without)),
        "start the service, or name one that is there");
  }

  // Its workloads stand in clusters whose tier-1 gateways nobody lets in.
  void Admission(const GatewayShape& shape, const std::vector<std::string>& clusters) {
    for (const std::string& cluster : clusters) {
      const bool refused = std::any_of(shape.clusters.begin(), shape.clusters.end(), [&](const std::string& target) {
        return !compile::AdmittedAsTier1(world_, cluster, resource::ClusterFqn(shape.organization, target));
      });
      if (!refused) continue;
      const std::string_view name = resource::LastName(cluster);
      Say(v2::Finding::ERROR, "NOT_ADMITTED", "spec.workloadSelector",
          fmt::format("its workloads in {} are let in by no other cluster: {} is no tier-1 cluster", name, name),
          fmt::format("have spec.tier1Cluster of {} set to true, or select workloads elsewhere", name));
    }
  }

  bool Answers(const GatewayShape& shape, const ServerShape& server, const std::string& cluster) const {
    const std::string fqn = resource::ClusterFqn(shape.organization, cluster);
    const auto callees = compile::Tier2For(world_, server.tenant, server.hostname);
    return std::any_of(callees.begin(), callees.end(), [&](const std::string& callee) {
      return compile::CountsIn(world_, *world_.gateway(callee), fqn);
    });
  }
  bool Drained(const GatewayShape& shape, const std::string& cluster) const {
    const v2::Cluster* found = world_.cluster(resource::ClusterFqn(shape.organization, cluster));
    return found != nullptr && resource::TakesNoRequests(found->spec().admin_state());
  }

  // A list as it was written.
  void Selection(const GatewayShape& shape, const ServerShape& server, const Clusters& written,
                 const std::string& field) {
    selecting_ = compile::IsSelecting(written);
    if (!selecting_) return;
    const auto selected = compile::SelectedBy(world_, shape, server, written);
    for (size_t i = 0; i < selected.size(); ++i) {
      if (!selected[i].empty()) continue;
      Say(written.empty() ? v2::Finding::ERROR : v2::Finding::WARNING, "SELECTS_NO_CLUSTER",
          written.empty() ? field : fmt::format("{}[{}]", field, i),
          fmt::format("no cluster {}has a tier-2 gateway of tenant {} for {}",
                      written.empty() ? "" : "that this selects and that no entry before it does ",
                      resource::LastName(server.tenant), server.hostname),
          "write a Gateway for this host whose workloads run there, or correct labels and network");
    }
  }

  // One list of clusters, each named. `at`: of the server, `field`: of the list.
  void Spread(const GatewayShape& shape, const ServerShape& server, const Clusters& clusters, const std::string& at,
              const std::string& field) {
    size_t drained = 0;
    std::vector<std::string> silent;
    for (const auto& one : clusters) {
      drained += Drained(shape, one.name()) ? 1 : 0;
      if (!Answers(shape, server, one.name())) silent.push_back(one.name());
    }
    const std::string tenant(resource::LastName(server.tenant));
    if (clusters.size() > 0 && drained == static_cast<size_t>(clusters.size())) {
      Say(v2::Finding::ERROR, "ALL_DRAINED", field, fmt::format("every cluster of {} is drained", server.hostname),
          "activate one of them, or name another");
    }
    if (!silent.empty() && silent.size() == static_cast<size_t>(clusters.size())) {
      Say(v2::Finding::ERROR, "HOST_UNANSWERED", field,
          fmt::format("no tier-2 gateway of tenant {} answers for {} in {}", tenant, server.hostname, Joined(silent)),
          "write a Gateway for this host whose workloads run there");
    } else {
      Silent(clusters, silent, tenant, server.hostname, field);
    }
    Failover(shape, server, clusters, at, field);
  }

  void Silent(const Clusters& clusters, const std::vector<std::string>& silent, const std::string& tenant,
              const std::string& hostname, const std::string& field) {
    for (int i = 0; i < clusters.size(); ++i) {
      if (std::count(silent.begin(), silent.end(), clusters[i].name()) == 0) continue;
      const bool standby = clusters[i].has_weight() && clusters[i].weight() == 0;
      Say(v2::Finding::WARNING, standby ? "STANDBY_CANNOT_SERVE" : "CLUSTER_UNANSWERED",
          selecting_ ? field : fmt::format("{}[{}]", field, i),
          fmt::format("no tier-2 gateway of tenant {} answers for {} in {}{}", tenant, hostname, clusters[i].name(),
                      standby ? ": nothing can fail over to it" : "; its share goes to the others"),
          "write a Gateway for this host whose workloads run there, or take the cluster out");
    }
  }

  void Failover(const GatewayShape& shape, const ServerShape& server, const Clusters& clusters, const std::string& at,
                const std::string& field) {
    const v2::FailoverSettings* own = compile::OwnFailover(server);
    if (clusters.size() == 1) {
      Say(own != nullptr ? v2::Finding::ERROR : v2::Finding::INFO,
          own != nullptr ? "FAILOVER_CANNOT_HAPPEN" : "NO_FAILOVER", own != nullptr ? at + ".failoverSettings" : field,
          fmt::format("{} has one cluster, {}: when it cannot serve, nobody does", server.hostname, clusters[0].name()),
          "name another cluster; with weight 0 it is a standby");
    }
    if (own == nullptr) return;
    std::set<std::string> regions, labels;
    for (const auto& one : clusters) Place(resource::ClusterFqn(shape.organization, one.name()), regions, labels);
    std::set<std::string> from = regions, unused;
    for (const std::string& cluster : compile::ClustersOf(world_, shape)) Place(cluster, from, unused);
    Regions(*own, at + ".failoverSettings", from, regions, "cluster of this list");
    for (int i = 0; i < own->failover_priority_size(); ++i) {
      if (labels.contains(own->failover_priority(i))) continue;
      Say(v2::Finding::WARNING, "FAILOVER_SELECTS_NOBODY",
          fmt::format("{}.failoverSettings.failoverPriority[{}]", at, i),
          fmt::format("no cluster of this list has the label {}", own->failover_priority(i)),
          "label the clusters, or take it out");
    }
  }

  // Region, labels ("key" and "key=value") of a cluster.
  void Place(const std::string& cluster, std::set<std::string>& regions, std::set<std::string>& labels) const {
    const v2::Cluster* found = world_.cluster(cluster);
    if (found == nullptr) return;
    regions.insert(found->spec().locality().region());
    for (const auto& [key, value] : found->metadata().labels()) {
      labels.insert(key);
      labels.insert(fmt::format("{}={}", key, value));
    }
  }

  void Regions(const v2::FailoverSettings& settings, const std::string& at, const std::set<std::string>& from,
               const std::set<std::string>& to, std::string_view of) {
    for (int i = 0; i < settings.regional_failover_size(); ++i) {
      const auto& pair = settings.regional_failover(i);
      const auto look = [&](const std::set<std::string>& regions, const std::string& region, const char* end) {
        if (regions.contains(region)) return;
        Say(v2::Finding::WARNING, "FAILOVER_SELECTS_NOBODY", fmt::format("{}.regionalFailover[{}].{}", at, i, end),
            fmt::format("no {} is in region {}", of, region), "name a region that a cluster's spec.locality has");
      };
      look(from, pair.from(), "from");
      look(to, pair.to(), "to");
    }
  }

  void Setting(const v2::FailoverSettings& failover) {
    std::set<std::string> regions, labels;
    compile::EachClusterOf(world_, resource::OrganizationFqn(fqn_),
                           [&](const std::string& cluster, const v2::Cluster&) { Place(cluster, regions, labels); });
    Regions(failover, "spec.failoverSettings", regions, regions, "cluster of the organization");
  }

  const World& world_;
  const std::string& fqn_;
  std::vector<v2::Finding> findings_;
  bool selecting_ = false;  // The list at hand was written without all the names.
};

}  // namespace

std::vector<v2::Finding> FindingsOf(const World& world, const std::string& fqn) { return Lint(world, fqn).Run(); }

}  // namespace weir::plan
