#include <map>
#include <random>
#include <set>

#include "mgmt-server/compile/test_world.h"

// Random trees, and what is compiled from them held against a table of who owns what: no tenant reaches what no
// ownership and no field `tenant` gives it, and whoever is let in is exactly who routes there.
namespace weir::compile {
namespace {

struct Place {
  std::string org, cluster, name_space;
  auto operator<=>(const Place&) const = default;
};
struct Edge {  // A Tier1Gateway with one server.
  std::string org, tenant, workloads, host, to_cluster, to_tenant;
};

std::string Segment(const std::string& fqn, const std::string& collection) {
  const size_t at = fqn.find("/" + collection + "/");
  if (at == std::string::npos) return "";
  const size_t begin = at + collection.size() + 2;
  return fqn.substr(begin, fqn.find('/', begin) - begin);
}
bool Answers(const std::string& pattern, const std::string& host) {
  if (pattern == host) return true;
  return pattern[0] == '*' && host.size() > pattern.size() - 1 && host.ends_with(pattern.substr(1));
}

class Tree {
 public:
  explicit Tree(unsigned seed) : random_(seed) {
    for (const std::string org : {"o", "p"}) {
      world.Put("organizations/" + org, From<v2::Organization>("spec { domain: '" + org + ".test' }"));
      for (const char* cluster : {"c1", "c2"}) AddCluster(org, cluster);
      for (const char* tenant : {"t", "u"}) AddWorkspace(org, tenant);
      for (int i = 0; i < 6; ++i) AddGateway(org, Of({"t", "u"}), i);
      for (int i = 0; i < 6; ++i) AddEdge(org, Of({"t", "u"}), i);
    }
  }

  World world;
  std::map<Place, std::string> owner;  // -> tenant
  std::set<std::string> privileged;    // "<org>/<tenant>"
  std::vector<Edge> edges;

 private:
  std::string Of(std::vector<std::string> texts) { return texts[random_() % texts.size()]; }
  std::string NameSpace() { return Of({"n1", "n2", "n3", "n4"}); }
  std::string Parent(const std::string& org, const std::string& tenant) {
    return "organizations/" + org + "/tenants/" + tenant + "/workspaces/w";
  }
  void AddCluster(const std::string& org, const std::string& name) {
    const std::string fqn = "organizations/" + org + "/clusters/" + name;
    world.Put(fqn, From<v2::Cluster>(name == "c1" ? "spec { tier1_cluster: true }" : ""));
    for (const char* name_space : {"n1", "n2", "n3", "n4"}) {
      world.PutWorkload(fqn, Workload(name_space, "gw", "g", "127.0.0.1"));
      const std::string tenant = Of({"t", "u", ""});
      if (!tenant.empty()) owner[{org, name, name_space}] = tenant;
    }
  }
  void AddWorkspace(const std::string& org, const std::string& tenant) {
    std::string names = "names: 'elsewhere/none'";
    for (const auto& [place, of] : owner) {
      if (place.org == org && of == tenant) names += " names: '" + place.cluster + "/" + place.name_space + "'";
    }
    const bool wide = random_() % 4 == 0;
    if (wide) privileged.insert(org + "/" + tenant);
    world.Put(Parent(org, tenant), From<v2::Workspace>("spec { namespace_selector { " + names + " } " +
                                                       (wide ? "privileged: true" : "") + " }"));
    world.Put(Parent(org, tenant) + "/gatewaygroups/g", From<v2::GatewayGroup>(""));
  }
  void AddGateway(const std::string& org, const std::string& tenant, int number) {
    world.Put(fmt::format("{}/gatewaygroups/g/gateways/b{}", Parent(org, tenant), number),
              From<v2::Gateway>(
                  fmt::format("spec {{ {} http {{ name: 's' hostname: '{}' port: 80 routing {{ rules {{ route {{ "
                              "service_destination {{ host: '{}/web.svc' port: 1 }} }} }} }} }} }}",
                              Selector(NameSpace(), "g"), Of({"a.x", "b.x", "*.x"}), NameSpace())));
  }
  void AddEdge(const std::string& org, const std::string& tenant, int number) {
    const Edge edge{org, tenant, NameSpace(), Of({"a.x", "b.x", "c.x"}), Of({"c1", "c2"}), Of({"", "", "t", "u"})};
    world.Put(fmt::format("{}/gatewaygroups/g/tier1gateways/a{}", Parent(org, tenant), number),
              From<v2::Tier1Gateway>(fmt::format(
                  "spec {{ {} external_servers {{ name: 's' hostname: '{}' port: 80 tenant: '{}' clusters {{ name: "
                  "'{}' }} }} }}",
                  Selector(edge.workloads, "g"), edge.host, edge.to_tenant, edge.to_cluster)));
    edges.push_back(edge);
    if (edges.back().to_tenant.empty()) edges.back().to_tenant = tenant;
  }

  std::minstd_rand random_;
};

class ScopeOfIntent : public testing::Test {
 protected:
  std::string OwnerOf(const Place& place) const {
    const auto found = tree_->owner.find(place);
    return found == tree_->owner.end() ? "" : found->second;
  }
  // Who may call a host of this tenant here, from the documents alone.
  std::set<std::string> Expected(const std::string& org, const std::string& cluster, const std::string& tenant,
                                 const std::string& host) const {
    std::set<std::string> ids;
    for (const Edge& edge : tree_->edges) {
      if (edge.org != org || edge.to_cluster != cluster || edge.to_tenant != tenant || !Answers(host, edge.host))
        continue;
      for (const char* from : {"c1", "c2"}) {
        if (OwnerOf({org, from, edge.workloads}) != edge.tenant) continue;
        if (from != cluster && from != std::string("c1")) continue;  // Not admitted as tier 1.
        ids.insert(fmt::format("spiffe://{}.{}.test/ns/{}/sa/sa-gw", from, org, edge.workloads));
      }
    }
    return ids;
  }
  void CheckSet(const std::string& org, const std::string& cluster, const mesh::v1::DestinationSet& set) {
    if (!set.has_service()) return;
    const std::string tenant = Segment(set.provenance().fqn(), "tenants");
    const bool own = OwnerOf({org, cluster, set.service().namespace_()}) == tenant;
    EXPECT_TRUE(own || tree_->privileged.contains(org + "/" + tenant)) << set.DebugString();
    EXPECT_EQ(OwnerOf({org, cluster, set.name().substr(0, set.name().find(':'))}), tenant) << set.DebugString();
    ++services_;
  }
  void CheckHost(const std::string& org, const std::string& cluster, const mesh::v1::Host& host) {
    const std::string tenant = Segment(host.provenance().fqn(), "tenants");
    const std::set<std::string> callers(host.allowed_callers().begin(), host.allowed_callers().end());
    EXPECT_EQ(OwnerOf({org, cluster, host.name().substr(0, host.name().find(':'))}), tenant) << host.DebugString();
    EXPECT_EQ(callers, host.on_mesh() ? Expected(org, cluster, tenant, host.hostname()) : std::set<std::string>())
        << cluster << " " << host.DebugString();
    callers_ += callers.size();
  }
  void CheckEndpoints(const std::string& org, const std::string& importer, const mesh::v1::ServiceEndpoints& set) {
    const std::string rest = set.name().substr(set.name().find('/') + 1);
    const std::string tenant = rest.substr(0, rest.find('/'));
    for (const auto& endpoint : set.endpoints()) {
      EXPECT_EQ(OwnerOf({org, set.cluster(), endpoint.workload().substr(0, endpoint.workload().find('/'))}), tenant);
      ++imported_;
    }
    bool wanted = false;
    for (const Edge& edge : tree_->edges) {
      wanted = wanted || (edge.org == org && edge.host == set.hostname() && edge.to_cluster == set.cluster() &&
                          edge.to_tenant == tenant && OwnerOf({org, importer, edge.workloads}) == edge.tenant);
    }
    EXPECT_TRUE(wanted) << importer << " " << set.name();
  }
  void CheckAll() {
    for (const std::string org : {"o", "p"}) {
      for (const std::string cluster : {"c1", "c2"}) {
        for (const auto& [key, resource] : Compile(tree_->world, "organizations/" + org + "/clusters/" + cluster)) {
          for (const std::string& fqn : resource.provenance)
            EXPECT_TRUE((fqn + "/").starts_with("organizations/" + org + "/"));
          if (key.type == "DestinationSet") CheckSet(org, cluster, Parsed<mesh::v1::DestinationSet>(resource));
          if (key.type == "Host") CheckHost(org, cluster, Parsed<mesh::v1::Host>(resource));
          if (key.type == "ServiceEndpoints")
            CheckEndpoints(org, cluster, Parsed<mesh::v1::ServiceEndpoints>(resource));
        }
      }
    }
  }
  template <typename T>
  static T Parsed(const Resource& resource) {
    T message;
    EXPECT_TRUE(message.ParseFromString(resource.bytes));
    return message;
  }

  std::unique_ptr<Tree> tree_;
  size_t services_ = 0, callers_ = 0, imported_ = 0;
};

TEST_F(ScopeOfIntent, ReachesNothingThatNoOwnershipGivesAndAdmitsExactlyWhoRoutesThere) {
  for (unsigned seed = 1; seed <= 200 && !HasFailure(); ++seed) {
    tree_ = std::make_unique<Tree>(seed);
    CheckAll();
  }
  EXPECT_GT(services_, 300u);  // Else the trees say nothing.
  EXPECT_GT(callers_, 100u);
  EXPECT_GT(imported_, 100u);
}

}  // namespace
}  // namespace weir::compile
