#include "cluster-agent/translate/xds/translator.h"

#include <algorithm>
#include <functional>
#include <set>
#include <unordered_set>

#include "api/weir/agent/v1/discovery.pb.h"
#include "cluster-agent/translate/xds/envoy.h"
#include "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.pb.h"
#include "libs/base/ids.h"

namespace weir::agent {

using namespace envoy_v3;  // NOLINT: the vocabulary of this file.

namespace {

IntentRef Ref(std::string_view type, const std::string& name, const std::string& version) {
  return {std::string(type), name, version};
}

bool Selects(const mesh::v1::Selector& selector, const v1::Workload& workload) {
  return selector.namespace_() == workload.namespace_() && LabelsMatch(selector.labels(), workload.labels());
}

const v1::Service* FindService(const Facts& facts, const mesh::v1::LocalService& wanted) {
  const std::string prefix = wanted.namespace_() + "/";
  for (auto at = facts.services.lower_bound(prefix); at != facts.services.end() && at->first.starts_with(prefix);
       ++at) {
    if (HostOf(*at->second) == wanted.host()) return at->second.get();
  }
  return nullptr;
}

// Everything about these pods that ends up in a resource.
std::string PodsInput(const Facts& facts, const v1::Service* service) {
  if (service == nullptr) return "none";
  std::string input;
  for (const v1::Workload* pod : EndpointsOf(facts, *service)) {
    input += fmt::format("{} {} {} {}\n", KeyOf(*pod), pod->addresses(0), BoundPort(*pod, kMeshPort),
                         pod->service_account());
  }
  return input;
}

void AddTlsInspector(envoy_v3::listener::Listener* out) {
  auto* inspector = out->add_listener_filters();
  inspector->set_name("envoy.filters.listener.tls_inspector");
  Pack(::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector(), inspector->mutable_typed_config());
}

// Finds names that come in nearly the order of the map without a search.
template <typename Map>
class Walk {
 public:
  explicit Walk(const Map& map) : map_(map), at_(map.begin()) {}
  const typename Map::mapped_type* Find(const std::string& name) {
    if (at_ == map_.end() || at_->first != name) at_ = map_.find(name);
    return at_ == map_.end() ? nullptr : &at_++->second;
  }

 private:
  const Map& map_;
  typename Map::const_iterator at_;
};

// A host as one port serves it.
struct ServedHost {
  const Piece<mesh::v1::Host>* host = nullptr;
  bool on_mesh = false;  // 15443 answers for it from here.
  // Where its routes lead, in their order, those that lead to a set; null: the set is not here yet.
  std::vector<const Piece<mesh::v1::DestinationSet>*> sets;

  const std::string& name() const { return host->message->hostname(); }
};

// One declared port of this workload with all the listeners (gateway objects) that name it.
struct Port {
  uint32_t declared = 0;
  std::string route_config;  // Name of the first listener: stable while others come and go behind it.
  std::vector<const Piece<mesh::v1::Listener>*> listeners;
  std::vector<ServedHost> hosts;                   // By name.
  std::unordered_set<std::string_view> hostnames;  // Of `hosts`.
  std::set<std::string> tier2_callers;
  bool on_mesh = false;  // Some of its hosts are.
};

}  // namespace

class NodeTranslation {
 public:
  NodeTranslation(Translator& translator, const Intent& intent, const Facts& facts, const v1::Workload& workload,
                  NodeProfile profile)
      : translator_(translator),
        identity_(translator.identity_),
        intent_(intent),
        facts_(facts),
        workload_(workload),
        profile_(profile) {}

  std::shared_ptr<const NodeConfig> Run() {
    for (const std::string_view url : kEnvoyTypes) config_->types[std::string(url)];
    const std::vector<Port> ports = CollectPorts();
    for (const Port& port : ports) {
      AddPublicListener(port);
      AddRoutes(port);
    }
    CountChecks();
    for (const auto& [name, set] : destinations_) AddDestination(name, *set);
    AddMeshListener(ports);
    AddApps();
    AddTrust();
    return config_;
  }

 private:
  using Origins = std::vector<IntentRef>;
  // Of a resource: see EnvoyResource.
  struct Sources {
    Sources(Origins from = {}) : origins(std::move(from)) {}  // NOLINT: most have nothing else.
    Origins origins;
    std::vector<std::string> needs;
  };

  // Takes the piece from memory while its input is the same, else builds it.
  template <typename Message>
  void Add(std::string_view url, const std::string& name, const std::string& input, Sources sources,
           const std::function<void(Message*)>& build) {
    auto& [origins, needs] = sources;
    std::sort(origins.begin(), origins.end());
    origins.erase(std::unique(origins.begin(), origins.end()), origins.end());
    std::sort(needs.begin(), needs.end());
    needs.erase(std::unique(needs.begin(), needs.end()), needs.end());
    // Two nodes may give the same name to different things, so the workload is part of the key.
    const std::string key =
        fmt::format("{}\n{}\n{}{}\n{}", KeyOf(workload_), url, profile_.vhds, profile_.hardened, name);
    Translator::Remembered& remembered = translator_.memory_[key];
    remembered.used = translator_.turn_;
    if (remembered.resource != nullptr && remembered.input == input && remembered.resource->origins == origins &&
        remembered.resource->needs == needs) {
      ++translator_.reused_;
    } else {
      ++translator_.built_;
      Message message;
      build(&message);
      auto resource = std::make_shared<EnvoyResource>();
      resource->resource = xds::MakeResource(name, Bytes(message));
      resource->origins = std::move(origins);
      resource->needs = std::move(needs);
      remembered = {input, std::move(resource), translator_.turn_};
    }
    config_->types[std::string(url)][name] = remembered.resource;
  }

  std::vector<Port> CollectPorts() {
    std::map<uint32_t, Port> ports;
    for (const auto& [name, piece] : intent_.listeners) {
      const mesh::v1::Listener& listener = *piece.message;
      if (!Selects(listener.selector(), workload_)) continue;
      Port& port = ports[listener.port()];
      if (port.listeners.empty()) port.route_config = name;
      port.declared = listener.port();
      port.listeners.push_back(&piece);
      const bool tier2 = listener.tier() == mesh::v1::TIER2;
      if (tier2) port.tier2_callers.insert(listener.allowed_callers().begin(), listener.allowed_callers().end());
      TakeHosts(listener, tier2, &port);
    }
    std::vector<Port> out;
    for (auto& [number, port] : ports) {
      std::sort(port.hosts.begin(), port.hosts.end(),
                [](const ServedHost& a, const ServedHost& b) { return a.name() < b.name(); });
      out.push_back(std::move(port));
    }
    return out;
  }

  void TakeHosts(const mesh::v1::Listener& listener, bool tier2, Port* port) {
    Walk hosts(intent_.hosts);
    Walk sets(intent_.destination_sets);
    for (const std::string& host_name : listener.hosts()) {
      ServedHost served;
      served.host = hosts.Find(host_name);
      if (served.host == nullptr) continue;  // Not here yet: the next delta brings it.
      if (!port->hostnames.insert(served.name()).second) {
        config_->problems.push_back(fmt::format("{}: host {} on port {} is named twice; {} is left out",
                                                KeyOf(workload_), served.name(), listener.port(), host_name));
        continue;
      }
      const auto& elsewhere = listener.public_only_hosts();
      served.on_mesh = tier2 && std::find(elsewhere.begin(), elsewhere.end(), host_name) == elsewhere.end();
      port->on_mesh |= served.on_mesh;
      for (const mesh::v1::Route& route : served.host->message->routes()) {
        if (!route.has_destination_set()) continue;
        served.sets.push_back(sets.Find(route.destination_set()));
        if (served.sets.back() == nullptr) continue;
        destinations_.emplace(envoy_v3::ClusterName(*served.sets.back()->message), served.sets.back());
      }
      port->hosts.push_back(std::move(served));
    }
  }

  static Origins ListenerOrigins(const Port& port) {
    Origins origins;
    for (const auto* listener : port.listeners)
      origins.push_back(Ref("Listener", listener->message->name(), listener->version));
    return origins;
  }

  void AddPublicListener(const Port& port) {
    const uint32_t bound = BoundPort(workload_, port.declared);
    const std::string name = std::to_string(port.declared);
    const std::string input = fmt::format("{} {} {}", AddressesInput(), bound, port.route_config);
    Add<envoy_v3::listener::Listener>(xds::kListener, name, input, ListenerOrigins(port), [&](auto* out) {
      Bind(name, bound, out);
      auto* chain = out->add_filter_chains();
      AddHttp({.stat_prefix = port.route_config, .route_config = port.route_config, .edge = true}, profile_, chain);
    });
  }

  void AddRoutes(const Port& port) {
    if (profile_.vhds) {
      Add<route::RouteConfiguration>(xds::kRoute, port.route_config, "", ListenerOrigins(port), [&](auto* out) {
        out->set_name(port.route_config);
        FromAds(out->mutable_vhds()->mutable_config_source());
      });
      for (const ServedHost& host : port.hosts) AddVirtualHost(port, host);
      return;
    }
    std::string input;
    Sources sources(ListenerOrigins(port));
    for (const ServedHost& host : port.hosts) {
      input += HostInput(host) + "\n";
      AddHostSources(host, &sources);
    }
    Add<route::RouteConfiguration>(xds::kRoute, port.route_config, input, std::move(sources), [&](auto* out) {
      out->set_name(port.route_config);
      for (const ServedHost& host : port.hosts) {
        MakeVirtualHost(port.route_config + "/" + host.name(), *host.host->message, intent_, profile_,
                        out->add_virtual_hosts());
      }
    });
  }

  // There may be ten thousand of them and one that changed, so the rest is recognized by the messages themselves, which
  // never change.
  void AddVirtualHost(const Port& port, const ServedHost& host) {
    const auto& message = host.host->message;
    Translator::RememberedHost& known = translator_.hosts_[message.get()];
    known.used = translator_.turn_;
    const bool same =
        known.resource != nullptr && known.route_config == port.route_config && known.profile == profile_ &&
        std::equal(known.sets.begin(), known.sets.end(), host.sets.begin(), host.sets.end(),
                   [](const auto& was, const auto* is) { return was.get() == (is ? is->message.get() : nullptr); });
    std::string name = port.route_config + "/" + host.name();
    auto& virtual_hosts = config_->types[std::string(xds::kVirtualHost)];
    if (same) {
      ++translator_.reused_;
      virtual_hosts.insert_or_assign(virtual_hosts.end(), std::move(name), known.resource);
      return;
    }
    Sources sources;
    AddHostSources(host, &sources);
    Add<route::VirtualHost>(xds::kVirtualHost, name, HostInput(host), std::move(sources),
                            [&](auto* out) { MakeVirtualHost(name, *message, intent_, profile_, out); });
    known.host = message;
    known.route_config = port.route_config;
    known.profile = profile_;
    known.sets.clear();
    for (const auto* set : host.sets) known.sets.push_back(set == nullptr ? nullptr : set->message);
    known.resource = virtual_hosts[name];
  }

  // The host, and those of its destination sets that become a mere name in its routes: the cluster of a service.
  static void AddHostSources(const ServedHost& host, Sources* sources) {
    sources->origins.push_back(Ref("Host", host.host->message->name(), host.host->version));
    for (const auto* set : host.sets) {
      if (set == nullptr || !set->message->has_service()) continue;
      sources->origins.push_back(Ref("DestinationSet", set->message->name(), set->version));
      sources->needs.push_back(envoy_v3::ClusterName(*set->message));
    }
  }

  // The intent's version, the clusters of its destination sets, and what of them the routes of a stock Envoy depend on.
  std::string HostInput(const ServedHost& host) const {
    std::string input = host.host->message->name() + " " + host.host->version;
    for (const auto* set : host.sets) {
      if (set == nullptr) {
        input += '0';
        continue;
      }
      input += ' ' + envoy_v3::ClusterName(*set->message);
      if (profile_.hardened) {
        input += set->message->has_service() ? 's' : OneBeforeOthers(*set->message) ? 'o' : 'e';
      }
    }
    return input;
  }

  static std::set<std::string> ClustersOf(const ServedHost& host) {
    std::set<std::string> clusters;
    for (const auto* set : host.sets) {
      if (set != nullptr) clusters.insert(envoy_v3::ClusterName(*set->message));
    }
    return clusters;
  }

  // A cluster of a service stands for all the sets that lead there; the hosts name them (AddHostSources).
  void AddDestination(const std::string& name, const Piece<mesh::v1::DestinationSet>& piece) {
    const mesh::v1::DestinationSet& set = *piece.message;
    Origins origins;
    const int64_t interval_ms = CheckInterval(set);
    std::string input = fmt::format("{} {} {}\n", identity_.cluster, identity_.trust_domain, interval_ms);
    const v1::Service* service = nullptr;
    if (set.has_service()) {  // Which one says the name.
      service = FindService(facts_, set.service());
      input += PodsInput(facts_, service);
      if (service == nullptr) {
        config_->problems.push_back(
            fmt::format("no service {} in namespace {}", set.service().host(), set.service().namespace_()));
      }
    } else {
      input += piece.version + "\n";
      origins.push_back(Ref("DestinationSet", set.name(), piece.version));
    }
    for (const mesh::v1::ClusterShare& share : set.clusters()) {
      const auto imported = intent_.endpoints.find(share.endpoints());
      if (imported == intent_.endpoints.end()) continue;
      origins.push_back(Ref("ServiceEndpoints", share.endpoints(), imported->second.version));
      input += fmt::format("{} {}\n", share.endpoints(), imported->second.version);
    }
    const auto make = [&](cluster::Cluster* out, endpoint::ClusterLoadAssignment* endpoints) {
      if (set.has_service())
        MakeLocal(set, service, facts_, identity_, interval_ms, profile_, out, endpoints);
      else
        MakeSpread(set, intent_, interval_ms, profile_, out, endpoints);
    };
    Add<cluster::Cluster>(xds::kCluster, name, input, origins, [&](auto* out) {
      endpoint::ClusterLoadAssignment unused;
      make(out, &unused);
    });
    Add<endpoint::ClusterLoadAssignment>(xds::kEndpoints, name, input, origins, [&](auto* out) {
      cluster::Cluster unused;
      make(&unused, out);
    });
  }

  // Calls `use` with what tells one endpoint of the set from others.
  template <typename Use>
  void ForEachEndpoint(const mesh::v1::DestinationSet& set, Use use) const {
    if (set.has_service()) {
      const v1::Service* service = FindService(facts_, set.service());
      if (service == nullptr) return;
      for (const v1::Workload* pod : EndpointsOf(facts_, *service)) use(pod->addresses(0));
    }
    for (const mesh::v1::ClusterShare& share : set.clusters()) {
      const auto imported = intent_.endpoints.find(share.endpoints());
      if (imported == intent_.endpoints.end()) continue;
      for (const mesh::v1::ImportedEndpoint& endpoint : imported->second.message->endpoints()) use(endpoint.address());
    }
  }

  // How many checks each endpoint would see at one turn of all destinations, from this gateway and its equals.
  void CountChecks() {
    for (const auto& [name, set] : destinations_) {
      ForEachEndpoint(*set->message, [&](const std::string& address) { ++checks_[address]; });
    }
    std::set<std::string> selectors;
    std::vector<const mesh::v1::Selector*> distinct;
    for (const auto& [name, piece] : intent_.listeners) {
      const mesh::v1::Selector& selector = piece.message->selector();
      if (Selects(selector, workload_) && selectors.insert(Bytes(selector)).second) distinct.push_back(&selector);
    }
    equals_ = std::max<uint64_t>(1, std::count_if(facts_.workloads.begin(), facts_.workloads.end(), [&](const auto& w) {
                                   return std::any_of(distinct.begin(), distinct.end(),
                                                      [&](const auto* s) { return Selects(*s, *w.second); });
                                 }));
  }

  int64_t CheckInterval(const mesh::v1::DestinationSet& set) const {
    uint64_t most = 0;
    ForEachEndpoint(set, [&](const std::string& address) { most = std::max(most, checks_.at(address)); });
    return StretchedInterval(most * equals_);
  }

  struct MeshChain {
    Peers peers;
    std::string route_config;        // Tier 2,
    uint32_t app_port = 0;           // or a pod; neither: the health digest.
    std::set<std::string> clusters;  // What stands behind it.
    std::string name;                // "" = the server name.
  };

  // Tier 2: a chain per host, and the one of the health digest.
  void CollectTier2Chains(const std::vector<Port>& ports, std::map<std::string, MeshChain>* chains) const {
    std::set<std::string> callers;
    for (const Port& port : ports) {  // By port: the lowest that serves a host has its name on the mesh port.
      if (!port.on_mesh) continue;
      callers.insert(port.tier2_callers.begin(), port.tier2_callers.end());
      for (const ServedHost& host : port.hosts) {
        if (!host.on_mesh) continue;
        chains->emplace(host.name(), MeshChain{{{port.tier2_callers.begin(), port.tier2_callers.end()}, ""},
                                               port.route_config,
                                               0,
                                               ClustersOf(host),
                                               ""});
      }
    }
    if (callers.empty()) return;
    chains->emplace("health." + identity_.trust_domain,
                    MeshChain{{{callers.begin(), callers.end()}, ""}, "", 0, {}, std::string(kHealthChain)});
  }

  // Pods: a chain per port of each service that selects this workload.
  void CollectPodChains(std::map<std::string, MeshChain>* chains) const {
    for (const v1::Service* service : Serving()) {
      for (const uint32_t port : service->ports()) {
        chains->emplace(
            ServiceSni(port, HostOf(*service)),
            MeshChain{{{}, "spiffe://" + identity_.trust_domain + "/"}, "", port, {fmt::format("app/{}", port)}, ""});
      }
    }
  }

  void AddMeshListener(const std::vector<Port>& ports) {
    // What the chains are made of: they themselves are only made when it differs.
    Origins origins;
    std::string input = fmt::format("{} {}\n", AddressesInput(), BoundPort(workload_, kMeshPort));
    bool any = false;
    for (const Port& port : ports) {
      if (!port.on_mesh) continue;
      any = true;
      for (const IntentRef& ref : ListenerOrigins(port)) origins.push_back(ref);
      input += port.route_config;
      for (const std::string& caller : port.tier2_callers) input += " " + caller;
      for (const ServedHost& host : port.hosts) {
        if (!host.on_mesh) continue;
        input += '\n';
        input += host.name();
        if (!profile_.hardened) continue;
        for (const std::string& cluster : ClustersOf(host)) input += "\t" + cluster;
      }
      input += "\n\n";
    }
    for (const v1::Service* service : Serving()) {
      any |= !service->ports().empty();
      input += HostOf(*service);
      for (const uint32_t port : service->ports()) input += fmt::format(" {}", port);
      input += "\n";
    }
    if (!any) return;
    const std::string name = std::to_string(kMeshPort);
    Add<envoy_v3::listener::Listener>(xds::kListener, name, input, origins, [&](auto* out) {
      std::map<std::string, MeshChain> chains;
      CollectTier2Chains(ports, &chains);
      CollectPodChains(&chains);
      Bind(name, BoundPort(workload_, kMeshPort), out);
      AddTlsInspector(out);
      for (const auto& [server_name, chain] : chains) MakeMeshChain(server_name, chain, out->add_filter_chains());
    });
  }

  void MakeMeshChain(const std::string& server_name, const MeshChain& chain,
                     envoy_v3::listener::FilterChain* out) const {
    AddMeshTls(server_name, chain.peers, out);
    if (!chain.name.empty()) out->set_name(chain.name);
    HttpOptions http;
    http.answers_for = &chain.clusters;
    route::RouteConfiguration routes;
    if (!chain.route_config.empty()) {
      http.stat_prefix = "mesh/" + chain.route_config;
      http.route_config = chain.route_config;
    } else {
      routes = chain.app_port == 0 ? DigestRoutes() : AppRoutes(chain.app_port);
      http.stat_prefix = routes.name();
      http.inline_routes = &routes;
      if (chain.app_port == 0) http.answers_for = nullptr;  // The digest is not the health of one host.
    }
    AddHttp(http, profile_, out);
  }

  static route::RouteConfiguration AppRoutes(uint32_t port) {
    route::RouteConfiguration routes;
    routes.set_name(fmt::format("app/{}", port));
    auto* host = routes.add_virtual_hosts();
    host->set_name("app");
    host->add_domains("*");
    auto* route = host->add_routes();
    route->set_name("app");
    route->mutable_match()->set_prefix("/");
    route->mutable_route()->set_cluster(routes.name());
    SetMilliseconds(0, route->mutable_route()->mutable_timeout());  // The caller's tier has the clock.
    return routes;
  }

  // The application beside the pod proxy, once per port that some service declares. The first service that says how to
  // check it is believed.
  void AddApps() {
    std::map<uint32_t, const v1::Service*> ports;
    for (const v1::Service* service : Serving()) {
      for (const uint32_t port : service->ports()) {
        const v1::Service*& checks = ports[port];
        if (checks == nullptr || (!checks->has_health_check() && service->has_health_check())) checks = service;
      }
    }
    for (const auto& [port, service] : ports) {
      const std::string name = fmt::format("app/{}", port);
      const std::string& address = workload_.addresses(0);
      const uint32_t bound = BoundPort(workload_, port);
      const v1::HealthCheck& check = service->health_check();
      const std::string input = fmt::format("{} {} {} {} {}", address, bound, HostOf(*service), check.path(),
                                            check.port() == 0 ? 0 : BoundPort(workload_, check.port()));
      Add<cluster::Cluster>(xds::kCluster, name, input, {}, [&](auto* out) {
        out->set_name(name);
        out->set_type(cluster::Cluster::STATIC);
        SetMilliseconds(500, out->mutable_connect_timeout());
        out->mutable_common_lb_config()->mutable_healthy_panic_threshold()->set_value(0);
        auto* assignment = out->mutable_load_assignment();
        assignment->set_cluster_name(name);
        auto* endpoint = assignment->add_endpoints()->add_lb_endpoints()->mutable_endpoint();
        SetAddress(address, bound, endpoint->mutable_address());
        SayJudgement(false, profile_, out);
        AddAppCheck(*service, workload_, profile_, out);
      });
    }
  }

  // Services that select this workload.
  const std::vector<const v1::Service*>& Serving() const {
    if (serving_known_) return serving_;
    serving_known_ = true;
    for (const auto& [key, service] : facts_.services) {
      if (service->namespace_() == workload_.namespace_() && !service->selector().empty() &&
          LabelsMatch(service->selector(), workload_.labels())) {
        serving_.push_back(service.get());
      }
    }
    return serving_;
  }

  void AddTrust() {
    std::string roots;
    google::protobuf::Struct generations;
    Origins origins;
    for (const auto& [name, bundle] : intent_.trust_bundles) {
      roots += bundle.message->root_pem();
      for (const auto& membership : bundle.message->memberships()) {
        (*generations.mutable_fields())[membership.uid()].set_number_value(
            static_cast<double>(membership.lowest_generation()));
      }
      origins.push_back(Ref("TrustBundle", name, bundle.version));
    }
    if (roots.empty()) roots = identity_.root_pem;
    // Stock Envoy knows no generations (docs/life-of-an-identity.md).
    const bool told = !profile_.hardened && !generations.fields().empty();
    const std::string input = told ? roots + Bytes(generations) : roots;
    Add<tls::Secret>(xds::kSecret, "trust", input, origins, [&](auto* out) {
      out->set_name("trust");
      out->mutable_validation_context()->mutable_trusted_ca()->set_inline_string(roots);
      if (!told) return;
      auto* validator = out->mutable_validation_context()->mutable_custom_validator_config();
      validator->set_name("dev.weir.generations");
      Pack(generations, validator->mutable_typed_config());
    });
  }

  std::string AddressesInput() const {
    std::string input;
    for (const std::string& address : workload_.addresses()) input += address + " ";
    return input;
  }

  void Bind(const std::string& name, uint32_t port, envoy_v3::listener::Listener* out) const {
    out->set_name(name);
    SetAddress(workload_.addresses(0), port, out->mutable_address());
    for (int i = 1; i < workload_.addresses_size(); ++i) {
      SetAddress(workload_.addresses(i), port, out->add_additional_addresses()->mutable_address());
    }
  }

  Translator& translator_;
  const ClusterIdentity& identity_;
  const Intent& intent_;
  const Facts& facts_;
  const v1::Workload& workload_;
  const NodeProfile profile_;
  // Where routes of this workload lead, by Envoy cluster; of the sets that lead to one service any.
  std::map<std::string, const Piece<mesh::v1::DestinationSet>*> destinations_;
  mutable std::vector<const v1::Service*> serving_;
  mutable bool serving_known_ = false;
  std::unordered_map<std::string_view, uint64_t> checks_;  // Address -> destinations that have it checked.
  uint64_t equals_ = 1;  // Gateways of this cluster that check the same, this one too.
  std::shared_ptr<NodeConfig> config_ = std::make_shared<NodeConfig>();
};

const EnvoyResource* NodeConfig::Find(std::string_view type_url, const std::string& name) const {
  const auto type = types.find(type_url);
  if (type == types.end()) return nullptr;
  const auto found = type->second.find(name);
  return found == type->second.end() ? nullptr : found->second.get();
}

Translator::Translator(ClusterIdentity identity) : identity_(std::move(identity)) {}
Translator::~Translator() = default;

std::shared_ptr<const NodeConfig> Translator::Translate(const Intent& intent, const Facts& facts,
                                                        const std::string& workload, NodeProfile profile) {
  ++turn_;
  const auto found = facts.workloads.find(workload);
  if (found == facts.workloads.end() || found->second->addresses().empty()) {
    auto nothing = std::make_shared<NodeConfig>();
    for (const std::string_view url : kEnvoyTypes) nothing->types[std::string(url)];
    return nothing;
  }
  return NodeTranslation(*this, intent, facts, *found->second, profile).Run();
}

void Translator::Forget(uint64_t turns) {
  std::erase_if(memory_, [&](const auto& entry) { return entry.second.used + turns < turn_; });
  std::erase_if(hosts_, [&](const auto& entry) { return entry.second.used + turns < turn_; });
}

}  // namespace weir::agent
