#include "libs/translate/xds/translator.h"

#include <algorithm>
#include <set>
#include <unordered_set>

#include "api/weir/agent/v1/discovery.pb.h"
#include "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.pb.h"
#include "libs/base/sha256.h"
#include "libs/dialect/dialect.h"
#include "libs/translate/xds/catalog.h"
#include "libs/translate/xds/envoy.h"

namespace weir::translate {

using namespace envoy_v3;  // NOLINT: the vocabulary of this file.

namespace {
using Origins = std::vector<IntentRef>;
// Of a resource: see EnvoyResource.
struct Sources {
  Origins origins;
  std::vector<std::string> needs;
};

template <typename Message>
IntentRef Ref(const Piece<Message>& piece) {
  return {Message::descriptor()->name(), piece.message->name(), piece.version};
}
template <typename T>
void SortOnce(std::vector<T>& list) {
  std::sort(list.begin(), list.end());
  list.erase(std::unique(list.begin(), list.end()), list.end());
}

// --- Inputs: all that a resource is made of, and the functions that make it and say where it comes from.

struct ListenerInput {
  std::string name;
  std::vector<std::string> addresses;
  uint32_t bound = 0;
  std::string route_config;       // Of the public port...
  std::vector<MeshChain> chains;  // ...or the chains of the mesh port.
  Origins origins;
  NodeProfile profile;

  bool operator==(const ListenerInput&) const = default;
};
void MakeListener(const ListenerInput& input, envoy_v3::listener::Listener* out) {
  out->set_name(input.name);
  SetAddress(input.addresses.at(0), input.bound, out->mutable_address());
  for (size_t i = 1; i < input.addresses.size(); ++i) {
    SetAddress(input.addresses[i], input.bound, out->add_additional_addresses()->mutable_address());
  }
  if (input.chains.empty()) {
    AddHttp({.stat_prefix = input.route_config, .route_config = input.route_config, .edge = true}, input.profile,
            out->add_filter_chains());
    return;
  }
  auto* inspector = out->add_listener_filters();
  inspector->set_name("envoy.filters.listener.tls_inspector");
  Pack(::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector(), inspector->mutable_typed_config());
  for (const MeshChain& chain : input.chains) MakeMeshChain(chain, input.profile, out->add_filter_chains());
}

struct RoutesInput {
  std::string name;
  bool vhds = false;
  std::vector<HostInput> hosts;  // Without VHDS.
  Origins origins;

  bool operator==(const RoutesInput&) const = default;
};
void MakeRoutes(const RoutesInput& input, route::RouteConfiguration* out) {
  out->set_name(input.name);
  if (input.vhds) SetAdsSource(out->mutable_vhds()->mutable_config_source());
  for (const HostInput& host : input.hosts) MakeVirtualHost(host, out->add_virtual_hosts());
}

// The host, and those of its destination sets that become a mere name in its routes: the Cluster of a service.
void AddHostSources(const HostInput& host, Sources* sources) {
  sources->origins.push_back(Ref(host.host));
  for (const auto& set : host.sets) {
    if (set.message == nullptr || !set.message->has_service()) continue;
    sources->origins.push_back(Ref(set));
    sources->needs.push_back(envoy_v3::DestinationName(*set.message));
  }
}
Sources SourcesOf(const HostInput& host) {
  Sources sources;
  AddHostSources(host, &sources);
  return sources;
}
Sources SourcesOf(const ListenerInput& input) { return {input.origins, {}}; }
Sources SourcesOf(const RoutesInput& input) {
  Sources sources{input.origins, {}};
  for (const HostInput& host : input.hosts) AddHostSources(host, &sources);
  return sources;
}
Sources SourcesOf(const SpreadInput& input) {
  Sources sources{{Ref(input.set)}, {}};
  for (const auto& endpoints : input.endpoints) {
    if (endpoints.message != nullptr) sources.origins.push_back(Ref(endpoints));
  }
  return sources;
}
// The Cluster of a service stands for all the sets that lead there; the hosts name them (AddHostSources).
Sources SourcesOf(const LocalInput&) { return {}; }

template <typename Input, void (*make)(const Input&, cluster::Cluster*, endpoint::ClusterLoadAssignment*)>
void OnlyCluster(const Input& input, cluster::Cluster* out) {
  endpoint::ClusterLoadAssignment unused;
  make(input, out, &unused);
}
template <typename Input, void (*make)(const Input&, cluster::Cluster*, endpoint::ClusterLoadAssignment*)>
void OnlyEndpoints(const Input& input, endpoint::ClusterLoadAssignment* out) {
  cluster::Cluster unused;
  make(input, &unused, out);
}

// The application beside the pod proxy.
struct AppInput {
  std::string name;
  uint32_t port = 0;
  std::shared_ptr<const v1::Workload> workload;
  std::shared_ptr<const v1::Service> service;  // Says how to check it.
  NodeProfile profile;

  bool operator==(const AppInput&) const = default;
};
void MakeApp(const AppInput& input, cluster::Cluster* out) {
  out->set_name(input.name);
  out->set_type(cluster::Cluster::STATIC);
  SetMilliseconds(500, out->mutable_connect_timeout());
  out->mutable_common_lb_config()->mutable_healthy_panic_threshold()->set_value(0);
  auto* assignment = out->mutable_load_assignment();
  assignment->set_cluster_name(input.name);
  auto* endpoint = assignment->add_endpoints()->add_lb_endpoints()->mutable_endpoint();
  SetAddress(input.workload->addresses(0), BoundPort(*input.workload, input.port), endpoint->mutable_address());
  SetJudgementMetadata(false, input.profile, out);
  AddAppCheck(*input.service, *input.workload, input.profile, out);
}
Sources SourcesOf(const AppInput&) { return {}; }

struct TrustInput {
  std::string name;
  std::string roots;
  // Lowest generation by uid of the cluster; of none for stock Envoy, which knows no generations
  // (docs/life-of-an-identity.md).
  std::map<std::string, uint64_t> generations;
  Origins origins;

  bool operator==(const TrustInput&) const = default;
};
void MakeTrust(const TrustInput& input, tls::Secret* out) {
  out->set_name(input.name);
  out->mutable_validation_context()->mutable_trusted_ca()->set_inline_string(input.roots);
  if (input.generations.empty()) return;
  google::protobuf::Struct generations;
  for (const auto& [uid, lowest] : input.generations) {
    (*generations.mutable_fields())[uid].set_number_value(static_cast<double>(lowest));
  }
  auto* validator = out->mutable_validation_context()->mutable_custom_validator_config();
  validator->set_name(std::string(dialect::kGenerations));
  Pack(generations, validator->mutable_typed_config());
}
Sources SourcesOf(const TrustInput& input) { return {input.origins, {}}; }

// One declared port of this workload with all the listeners (gateway objects) that name it.
struct Port {
  uint32_t declared = 0;
  std::string route_config;  // Name of the first listener: stable while others come and go behind it.
  std::vector<const Catalog::Listener*> listeners;
  std::vector<const Catalog::Host*> hosts;  // By hostname.
  bool on_mesh = false;                     // Some of its hosts are.
};

const std::string& NameOf(const Catalog::Host& host) { return host.piece.message->hostname(); }
bool OnMesh(const Catalog::Host& host) { return host.piece.message->on_mesh(); }
// Of a tier-2 host in NodeConfig::admits; no server name has a slash.
std::string AdmitsKey(const Catalog::Host& host) { return "host/" + host.piece.message->name(); }
std::set<std::string> CallersOf(const Catalog::Host& host) {
  const auto& callers = host.piece.message->allowed_callers();
  return {callers.begin(), callers.end()};
}

}  // namespace

class NodeTranslation {
 public:
  NodeTranslation(Translator& translator, std::shared_ptr<const v1::Workload> workload, NodeProfile profile,
                  const Admitted& also)
      : translator_(translator),
        identity_(translator.identity_),
        catalog_(*translator.catalog_),
        key_(KeyOf(*workload)),
        workload_(std::move(workload)),
        profile_(profile),
        also_(also) {}

  std::shared_ptr<const NodeConfig> Run() {
    for (const std::string_view url : xds::kEnvoyTypes) config_->types[std::string(url)];
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
  // Takes the piece from memory while its input is the same, else makes it. The functions are plain ones: they can read
  // their input and nothing else.
  template <typename Message, typename Input>
  void Add(std::string_view url, std::shared_ptr<const Input> input, void (*make)(const Input&, Message*)) {
    Translator::Remembered& remembered = MemoryOf(url)[input->name];
    remembered.used = translator_.turn_;
    if (remembered.type != nullptr && *remembered.type == typeid(Input) &&
        *static_cast<const Input*>(remembered.input.get()) == *input) {
      ++translator_.reused_;
    } else {
      ++translator_.built_;
      Message message;
      make(*input, &message);
      Sources sources = SourcesOf(*input);
      SortOnce(sources.origins);
      SortOnce(sources.needs);
      auto resource = std::make_shared<EnvoyResource>();
      resource->resource = xds::MakeResource(input->name, Bytes(message));
      resource->origins = std::move(sources.origins);
      resource->needs = std::move(sources.needs);
      remembered = {input, &typeid(Input), std::move(resource), translator_.turn_};
    }
    auto& resources = config_->types.find(url)->second;
    resources.insert_or_assign(resources.end(), input->name, remembered.resource);
  }
  template <typename Message, typename Input>
  void Add(std::string_view url, Input input, void (*make)(const Input&, Message*)) {
    Add(url, std::make_shared<const Input>(std::move(input)), make);
  }
  Translator::ByName& MemoryOf(std::string_view url) {
    Translator::ByName*& memory = memory_[url];
    if (memory == nullptr) {
      memory =
          &translator_.memory_[{fmt::format("{}\n{}{}", key_, profile_.vhds, profile_.stock_envoy), std::string(url)}];
    }
    return *memory;
  }

  std::vector<Port> CollectPorts() {
    std::map<uint32_t, Port> ports;
    listeners_ = catalog_.ListenersOf(*workload_);
    for (const Catalog::Listener* listener : listeners_) {
      const mesh::v1::Listener& message = *listener->piece.message;
      Port& port = ports[message.port()];
      if (port.listeners.empty()) port.route_config = message.name();
      port.declared = message.port();
      port.listeners.push_back(listener);
    }
    std::vector<Port> out;
    for (auto& [number, port] : ports) {
      TakeHosts(&port);
      out.push_back(std::move(port));
    }
    return out;
  }

  void TakeHosts(Port* port) {
    std::unordered_set<std::string_view> taken;
    for (const Catalog::Listener* listener : port->listeners) {
      for (const auto& [name, host] : catalog_.HostsOf(listener->piece.message->name())) {
        if (port->listeners.size() > 1 && !taken.insert(name).second) {
          config_->problems.push_back(fmt::format("{}: host {} on port {} is named twice; {} is left out", key_, name,
                                                  port->declared, host->piece.message->name()));
          continue;
        }
        port->on_mesh |= OnMesh(*host);
        port->hosts.push_back(host);
        for (const Catalog::Set* set : host->sets) {
          if (set->piece.message != nullptr) destinations_.emplace(set->destination, set);
        }
      }
    }
    if (port->listeners.size() == 1) return;  // In order.
    std::sort(port->hosts.begin(), port->hosts.end(),
              [](const auto* a, const auto* b) { return NameOf(*a) < NameOf(*b); });
  }

  static Origins ListenerOrigins(const Port& port) {
    Origins origins;
    for (const auto* listener : port.listeners) origins.push_back(Ref(listener->piece));
    return origins;
  }
  ListenerInput Listener(const std::string& name, uint32_t declared) const {
    ListenerInput input;
    input.name = name;
    input.addresses.assign(workload_->addresses().begin(), workload_->addresses().end());
    input.bound = BoundPort(*workload_, declared);
    input.profile = profile_;
    return input;
  }

  void AddPublicListener(const Port& port) {
    ListenerInput input = Listener(std::to_string(port.declared), port.declared);
    input.route_config = port.route_config;
    input.origins = ListenerOrigins(port);
    Add(xds::kListener, std::move(input), MakeListener);
  }

  // Who is let in to a host of the mesh port for a while longer.
  std::set<std::string> AlsoOf(const Catalog::Host& host) const {
    const auto found = also_.find(AdmitsKey(host));
    return found == also_.end() || !OnMesh(host) ? std::set<std::string>() : found->second;
  }
  HostInput Input(const std::string& route_config, const Catalog::Host& host) const {
    HostInput input{route_config + "/" + NameOf(host), host.piece, {}, profile_, AlsoOf(host)};
    for (const Catalog::Set* set : host.sets) input.sets.push_back(set->piece);
    return input;
  }

  void AddRoutes(const Port& port) {
    RoutesInput input{port.route_config, profile_.vhds, {}, ListenerOrigins(port)};
    if (!profile_.vhds) {
      for (const Catalog::Host* host : port.hosts) input.hosts.push_back(Input(port.route_config, *host));
    }
    Add(xds::kRoute, std::move(input), MakeRoutes);
    if (!profile_.vhds) return;
    for (const Catalog::Host* host : port.hosts) {
      Add(xds::kVirtualHost, Input(port.route_config, *host), MakeVirtualHost);
    }
  }

  void AddDestination(const std::string& name, const Catalog::Set& set) {
    const mesh::v1::DestinationSet& message = *set.piece.message;
    if (message.has_service()) {
      const mesh::v1::LocalService& service = message.service();
      if (catalog_.Find(service) == nullptr) {
        config_->problems.push_back(fmt::format("no service {} in namespace {}", service.host(), service.namespace_()));
      }
      const PodsPtr pods = catalog_.PodsOf(service);
      auto input = std::make_shared<const LocalInput>(
          LocalInput{name, service.host(), service.port(), pods, identity_.cluster, IntervalOf(*pods), profile_});
      Add(xds::kCluster, input, OnlyCluster<LocalInput, MakeLocal>);
      Add(xds::kEndpoints, input, OnlyEndpoints<LocalInput, MakeLocal>);
      return;
    }
    SpreadInput input{name, set.piece, {}, 0, profile_};
    uint64_t most = 0;
    for (const mesh::v1::ClusterShare& share : message.clusters()) {
      const auto imported = catalog_.intent().endpoints.find(share.endpoints());
      const bool here = imported != catalog_.intent().endpoints.end();
      input.endpoints.push_back(here ? imported->second : Piece<mesh::v1::ServiceEndpoints>());
      if (!here) continue;
      for (const auto& one : imported->second.message->endpoints()) most = std::max(most, checks_.at(one.address()));
    }
    input.interval_ms = StretchedInterval(most * equals_);
    const auto shared = std::make_shared<const SpreadInput>(std::move(input));
    Add(xds::kCluster, shared, OnlyCluster<SpreadInput, MakeSpread>);
    Add(xds::kEndpoints, shared, OnlyEndpoints<SpreadInput, MakeSpread>);
  }

  // How many checks each endpoint would see at one turn of all destinations, from this gateway and its equals.
  void CountChecks() {
    for (const auto& [name, set] : destinations_) {
      const mesh::v1::DestinationSet& message = *set->piece.message;
      if (message.has_service()) {
        for (const Pod& pod : *catalog_.PodsOf(message.service())) ++checks_[pod.address];
      }
      for (const mesh::v1::ClusterShare& share : message.clusters()) {
        const auto imported = catalog_.intent().endpoints.find(share.endpoints());
        if (imported == catalog_.intent().endpoints.end()) continue;
        for (const auto& endpoint : imported->second.message->endpoints()) ++checks_[endpoint.address()];
      }
    }
    equals_ = std::max<uint64_t>(1, catalog_.CountSelectedGateways(listeners_));
  }
  int64_t IntervalOf(const std::vector<Pod>& pods) const {
    uint64_t most = 0;
    for (const Pod& pod : pods) most = std::max(most, checks_.at(pod.address));
    return StretchedInterval(most * equals_);
  }

  // Tier 2. Our gateways look SNI up among the hosts of each port, which say who may call them: one chain per port,
  // whatever the number of hosts. And the chain of the health digest, for all callers.
  void AddTier2Chains(const std::vector<Port>& ports, ListenerInput* input) {
    std::set<std::string> callers;
    for (const Port& port : ports) {
      if (!port.on_mesh) continue;
      for (const IntentRef& ref : ListenerOrigins(port)) input->origins.push_back(ref);
      for (const Catalog::Host* host : port.hosts) {
        if (!OnMesh(*host)) continue;
        std::set<std::string> own = CallersOf(*host);
        const std::set<std::string> also = AlsoOf(*host);
        callers.insert(own.begin(), own.end());
        callers.insert(also.begin(), also.end());
        config_->admits[AdmitsKey(*host)] = std::move(own);
      }
      if (profile_.stock_envoy) {
        AddHostChains(port, input);
      } else {
        input->chains.push_back({"", {}, port.route_config, 0, {}, "mesh/" + port.route_config});
      }
    }
    if (callers.empty()) return;
    const std::string sni = dialect::HealthSni(identity_.trust_domain);
    input->chains.emplace_back(sni, std::move(callers)).name = dialect::kHealthChain;
  }

  // Stock Envoy chooses by the names of its chains: one for each host, with the routes of those hosts only that have
  // the same callers.
  void AddHostChains(const Port& port, ListenerInput* input) {
    std::map<std::string, RoutesInput> groups;
    for (const Catalog::Host* host : port.hosts) {
      // By port: the lowest that serves a host has its name on the mesh port.
      if (!OnMesh(*host) || !mesh_names_.insert(NameOf(*host)).second) continue;
      std::set<std::string> callers = CallersOf(*host), also = AlsoOf(*host);
      callers.merge(also);
      std::string all;
      for (const std::string& caller : callers) all += caller + "\n";
      const std::string name = fmt::format("{}/mesh/{}", port.route_config, Sha256Hex(all).substr(0, 16));
      RoutesInput& group = groups.try_emplace(name, RoutesInput{name, false, {}, ListenerOrigins(port)}).first->second;
      group.hosts.push_back(Input(name, *host));
      std::set<std::string> destinations;
      for (const Catalog::Set* set : host->sets) {
        if (set->piece.message != nullptr) destinations.insert(set->destination);
      }
      input->origins.push_back(Ref(host->piece));
      input->chains.push_back({NameOf(*host), std::move(callers), name, 0, std::move(destinations), ""});
    }
    for (auto& [name, group] : groups) Add(xds::kRoute, std::move(group), MakeRoutes);
  }

  // Pods: a chain per port of each service that selects this workload, for the gateways that route there.
  void AddPodChains(ListenerInput* input) {
    std::set<std::string> taken;
    for (const auto& service : Serving()) {
      for (const uint32_t port : service->ports()) {
        const std::string host = HostOf(*service);
        const std::string sni = dialect::ServiceSni(port, host);
        if (!taken.insert(sni).second) continue;
        std::set<std::string> callers =
            catalog_.CallersOf(ServiceDestinationName(service->namespace_(), host, port)).ids;
        config_->admits[sni] = callers;
        if (const auto also = also_.find(sni); also != also_.end()) {
          callers.insert(also->second.begin(), also->second.end());
        }
        input->chains.push_back({sni, std::move(callers), "", port, {AppDestinationName(port)}, ""});
      }
    }
  }

  void AddMeshListener(const std::vector<Port>& ports) {
    ListenerInput input = Listener(std::to_string(dialect::kMeshPort), dialect::kMeshPort);
    AddTier2Chains(ports, &input);
    AddPodChains(&input);
    if (input.chains.empty()) return;
    std::stable_sort(input.chains.begin(), input.chains.end(),
                     [](const MeshChain& a, const MeshChain& b) { return a.server_name < b.server_name; });
    Add(xds::kListener, std::move(input), MakeListener);
  }

  // Once per port that some service declares. The first service that says how to check it is believed.
  void AddApps() {
    std::map<uint32_t, std::shared_ptr<const v1::Service>> ports;
    for (const auto& service : Serving()) {
      for (const uint32_t port : service->ports()) {
        auto& checks = ports[port];
        if (checks == nullptr || (!checks->has_health_check() && service->has_health_check())) checks = service;
      }
    }
    for (const auto& [port, service] : ports) {
      Add(xds::kCluster, AppInput{AppDestinationName(port), port, workload_, service, profile_}, MakeApp);
    }
  }

  // Services that select this workload.
  const std::vector<std::shared_ptr<const v1::Service>>& Serving() {
    if (!serving_) serving_ = catalog_.ServicesOf(*workload_);
    return *serving_;
  }

  void AddTrust() {
    TrustInput input{std::string(dialect::kTrustSecret), "", {}, {}};
    for (const auto& [name, bundle] : catalog_.intent().trust_bundles) {
      input.roots += bundle.message->root_pem();
      input.origins.push_back(Ref(bundle));
      if (profile_.stock_envoy) continue;
      for (const auto& one : bundle.message->memberships()) input.generations[one.uid()] = one.lowest_generation();
      const uint32_t grace = bundle.message->expired_grace_seconds();
      if (grace > 0) input.generations[std::string(dialect::kExpiredGrace)] = grace;
    }
    if (input.roots.empty()) input.roots = identity_.root_pem;
    Add(xds::kSecret, std::move(input), MakeTrust);
  }

  Translator& translator_;
  const ClusterIdentity& identity_;
  Catalog& catalog_;
  const std::string key_;
  const std::shared_ptr<const v1::Workload> workload_;
  const NodeProfile profile_;
  const Admitted& also_;
  std::map<std::string_view, Translator::ByName*> memory_;  // By type URL.
  std::vector<const Catalog::Listener*> listeners_;
  // Where routes of this workload lead, by name of Envoy's Cluster; of the sets that lead to one service any.
  std::map<std::string, const Catalog::Set*> destinations_;
  std::optional<std::vector<std::shared_ptr<const v1::Service>>> serving_;
  std::set<std::string> mesh_names_;
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

Translator::Translator(ClusterIdentity identity)
    : identity_(std::move(identity)), catalog_(std::make_unique<Catalog>()) {}
Translator::~Translator() = default;

std::shared_ptr<const NodeConfig> Translator::Translate(std::shared_ptr<const Intent> intent,
                                                        std::shared_ptr<const Facts> facts, const std::string& workload,
                                                        NodeProfile profile, const Admitted& also) {
  ++turn_;
  catalog_->Update(std::move(intent), std::move(facts), identity_.trust_domain);
  const auto found = catalog_->facts().workloads.find(workload);
  if (found == catalog_->facts().workloads.end() || found->second->addresses().empty()) {
    auto nothing = std::make_shared<NodeConfig>();
    for (const std::string_view url : xds::kEnvoyTypes) nothing->types[std::string(url)];
    return nothing;
  }
  return NodeTranslation(*this, found->second, profile, also).Run();
}

std::shared_ptr<const NodeConfig> Translator::Translate(const Intent& intent, const Facts& facts,
                                                        const std::string& workload, NodeProfile profile) {
  return Translate(std::make_shared<const Intent>(intent), std::make_shared<const Facts>(facts), workload, profile);
}

void Translator::Forget(uint64_t turns) {
  for (auto& [key, pieces] : memory_) {
    std::erase_if(pieces, [&](const auto& entry) { return entry.second.used + turns < turn_; });
  }
  std::erase_if(memory_, [](const auto& entry) { return entry.second.empty(); });
}

uint64_t Translator::read() const { return catalog_->read(); }

}  // namespace weir::translate
