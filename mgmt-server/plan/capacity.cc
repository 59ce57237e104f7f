#include "mgmt-server/plan/capacity.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "api/weir/mesh/v1/intent.pb.h"
#include "libs/resource/kinds.h"
#include "libs/traffic/share.h"
#include "mgmt-server/compile/keys.h"

namespace weir::plan {
namespace {

constexpr std::string_view kExceeded = "CAPACITY_EXCEEDED";

using compile::GatewayShape;
using compile::World;

// One list of clusters as tier-1 gateways of one cluster would spread over it.
struct List {
  const GatewayShape* shape = nullptr;
  std::string field;  // Of the document.
  std::string organization;
  std::vector<std::string> clusters;  // Names.
  traffic::Mode mode = traffic::Mode::kProportional;
  std::vector<traffic::Candidate> candidates;
  double rate = 0;  // Requests/s, measured; 0 = not known.
};

class Capacity {
 public:
  explicit Capacity(const Question& question) : question_(question), world_(question.after) {}

  Result<std::vector<v2::Finding>> Find() && {
    if (!AnyDeclared()) return std::move(findings_);
    WEIR_TRY(ReadLists());
    for (const std::string& fqn : question_.documents) {
      const GatewayShape* shape = world_.gateway(fqn);
      if (shape == nullptr || !shape->tier1) continue;
      Measured(*shape, "");
      for (const std::string& lost : shape->clusters) {
        WEIR_TRY(question_.go_on());
        Measured(*shape, lost);
        Declared(*shape, lost);
      }
    }
    return std::move(findings_);
  }

 private:
  bool AnyDeclared() const {
    bool any = false;
    world_.state().Each<v2::Cluster>(
        "", [&](const std::string&, const v2::Cluster& cluster) { any = any || cluster.spec().has_capacity(); });
    return any;
  }
  // 0 = not declared, or not the caller's to know.
  double CapacityOf(std::string_view organization, const std::string& name) const {
    const std::string fqn = resource::ClusterFqn(organization, name);
    const v2::Cluster* cluster = world_.cluster(fqn);
    if (cluster == nullptr || !cluster->spec().has_capacity() || !question_.may_read(fqn)) return 0;
    return static_cast<double>(cluster->spec().capacity().requests_per_second());
  }

  Status ReadLists() {
    std::map<std::tuple<std::string, std::string, std::string, std::string>, double> rates;
    for (const v2::HostTraffic& traffic : question_.traffic) {
      if (!question_.may_read(traffic.source())) continue;
      double& rate = rates[{traffic.source(), traffic.host(), traffic.route(), traffic.gateway_cluster()}];
      for (const auto& cluster : traffic.clusters()) rate += cluster.requests_per_second();
    }
    for (const auto& [where, rate] : rates) {
      WEIR_TRY(question_.go_on());
      const auto& [source, host, route, gateway_cluster] = where;
      Add(source, host, route, gateway_cluster, rate);
    }
    // What nobody has asked for yet, too: once for each cluster with gateways.
    for (const std::string& fqn : question_.documents) {
      const GatewayShape* shape = world_.gateway(fqn);
      if (shape == nullptr || !shape->tier1) continue;
      for (const std::string& cluster : compile::ClustersOf(world_, *shape)) AddUnmeasured(*shape, cluster, rates);
    }
    return {};
  }
  template <typename Rates>
  void AddUnmeasured(const GatewayShape& shape, const std::string& cluster, const Rates& rates) {
    const std::string name(resource::LastName(cluster));
    for (const auto& server : shape.servers) {
      for (int rule = 0; rule < server.http->routing().rules_size(); ++rule) {
        const std::string route = compile::RouteName(server, rule);
        if (!rates.contains({shape.fqn, server.hostname, route, name})) Add(shape.fqn, server.hostname, route, name, 0);
      }
    }
  }

  void Add(const std::string& source, const std::string& host, const std::string& route,
           const std::string& gateway_cluster, double rate) {
    const GatewayShape* shape = world_.gateway(source);
    if (shape == nullptr) return;
    const size_t slash = route.rfind('/');
    for (size_t i = 0; i < shape->servers.size(); ++i) {
      const compile::ServerShape& server = shape->servers[i];
      if (server.hostname != host || server.name != route.substr(0, slash)) continue;
      const std::string at = compile::HostName(compile::ListenerName(shape->selector_key, server.port), host);
      const auto compiled =
          compile::CompileKey(world_, resource::ClusterFqn(shape->organization, gateway_cluster),
                              {std::string(compile::kDestinationSet), fmt::format("{}/{}", at, route)});
      mesh::v1::DestinationSet set;
      if (!compiled || !set.ParseFromString(compiled->bytes) || set.clusters().empty()) return;
      List& list = lists_.emplace_back();
      list.shape = shape;
      list.organization = shape->organization;
      list.field = shape->form.ClustersOf(static_cast<int>(i), std::atoi(route.c_str() + slash + 1));
      list.rate = rate;
      if (set.mode() == mesh::v1::DestinationSet::ORDERED) list.mode = traffic::Mode::kOrdered;
      for (const auto& share : set.clusters()) {
        list.clusters.push_back(share.cluster());
        traffic::Candidate candidate{
            .standby = share.standby(), .can_serve = !share.drained(), .priority = share.priority()};
        if (share.has_weight()) candidate.weight = share.weight();
        list.candidates.push_back(candidate);
      }
      return;
    }
  }

  // What all lists would send to each cluster without the lost one, against what it declares.
  void Measured(const GatewayShape& shape, const std::string& lost) {
    std::map<std::string, double> load;
    std::map<std::string, const List*> mine;  // A list of the object that sends there.
    for (const List& list : lists_) {
      if (list.rate == 0 || list.organization != shape.organization) continue;
      std::vector<traffic::Candidate> candidates = list.candidates;
      for (size_t i = 0; i < candidates.size(); ++i) candidates[i].can_serve &= list.clusters[i] != lost;
      std::vector<uint64_t> shares(candidates.size());
      if (!traffic::Distribute(list.mode, candidates, shares)) continue;
      double sum = 0;
      for (const uint64_t share : shares) sum += static_cast<double>(share);
      for (size_t i = 0; i < shares.size(); ++i) {
        if (shares[i] == 0) continue;
        load[list.clusters[i]] += list.rate * static_cast<double>(shares[i]) / sum;
        if (list.shape == &shape) mine.try_emplace(list.clusters[i], &list);
      }
    }
    for (const auto& [cluster, list] : mine) {
      const double capacity = CapacityOf(shape.organization, cluster);
      if (capacity == 0 || load[cluster] <= capacity) continue;
      Say(v2::Finding::WARNING, *list,
          fmt::format("{}{} would get about {:.0f} requests/s of the {:.0f} that it declares, as measured now",
                      lost.empty() ? "" : fmt::format("when {} is lost, ", lost), cluster, load[cluster], capacity));
    }
  }
  void Declared(const GatewayShape& shape, const std::string& lost) {
    for (const List& list : lists_) {
      if (list.shape != &shape || list.rate > 0) continue;
      double left = 0, gone = 0;
      bool known = list.clusters.size() > 1;
      for (size_t i = 0; i < list.clusters.size(); ++i) {
        if (!list.candidates[i].can_serve) continue;
        const double capacity = CapacityOf(shape.organization, list.clusters[i]);
        known = known && capacity > 0;
        (list.clusters[i] == lost ? gone : left) += capacity;
      }
      if (!known || left >= gone) continue;
      Say(v2::Finding::INFO, list,
          fmt::format(
              "{} declares {:.0f} requests/s, all others of the list together {:.0f}: when it is lost, they may "
              "get more than they can take (nothing is measured)",
              lost, gone, left));
      return;
    }
  }

  void Say(v2::Finding::Severity severity, const List& list, std::string message) {
    v2::Finding finding;
    finding.set_severity(severity);
    finding.set_reason(std::string(kExceeded));
    finding.set_fqn(list.shape->fqn);
    finding.set_field(list.field);
    finding.set_message(std::move(message));
    finding.set_remedy("add a cluster, or give it less; or correct spec.capacity of the cluster");
    findings_.push_back(std::move(finding));
  }

  const Question& question_;
  const World& world_;
  std::vector<List> lists_;
  std::vector<v2::Finding> findings_;
};

}  // namespace

Result<std::vector<v2::Finding>> CapacityFindings(const Question& question) { return Capacity(question).Find(); }

}  // namespace weir::plan
