#include <fmt/format.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>
#include <set>

#include "api/weir/agent/v1/agent.pb.h"
#include "api/weir/agent/v1/discovery.pb.h"
#include "api/weir/mesh/v1/intent.pb.h"
#include "cluster-agent/serve/applied.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "libs/translate/facts.h"
#include "libs/translate/intent.h"
#include "libs/translate/xds/translator.h"
#include "libs/xds/protocol/server_stream.h"
#include "mgmt-server/compile/compile.h"
#include "mgmt-server/compile/gateway_shape.h"
#include "mgmt-server/fleet/applied.h"
#include "mgmt-server/status/judgement.h"
#include "tests/integration/slow_hop.h"

// READY at revision r: every gateway concerned runs what r says. The real parts of all three planes (compile, xDS state
// machines, translation, ledger, status) without transport and clock: every message waits as long as chance will have
// it.
namespace weir {
namespace {

const std::string kOrg = "organizations/o";
const std::string kGroup = kOrg + "/tenants/t/workspaces/w/gatewaygroups/g";
std::string ClusterFqn(const std::string& name) { return kOrg + "/clusters/" + name; }

template <typename T>
std::shared_ptr<T> From(const std::string& text) {
  auto message = std::make_shared<T>();
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, message.get())) << text;
  return message;
}
agent::v1::Workload Workload(const std::string& name_space, const std::string& name, const std::string& address) {
  return *From<agent::v1::Workload>(
      fmt::format("name: '{0}' namespace: '{1}' service_account: '{0}' labels {{ key: 'app' value: 'gw' }} "
                  "labels {{ key: 'name' value: '{0}' }} addresses: '{2}'",
                  name, name_space, address));
}

translate::Intent IntentOf(const Hop::Has& has) {
  translate::Intent intent;
  for (const auto& [url, resources] : has) {
    for (const auto& [name, resource] : resources) {
      EXPECT_TRUE(translate::UpsertIntent(url, name, resource->version, resource->value, &intent).ok());
    }
  }
  return intent;
}
Hop::Has HasOf(const compile::ClusterIntent& compiled) {
  Hop::Has has;
  for (const char* type : {"TrustBundle", "ServiceEndpoints", "DestinationSet", "Host", "Listener"}) {
    has[compile::TypeUrl(type)];
  }
  for (const auto& [key, piece] : compiled) {
    auto resource = std::make_shared<xds::Resource>();
    resource->name = piece.name;
    resource->version = piece.version;
    resource->value = piece.bytes;
    has[compile::TypeUrl(key.type)][piece.name] = std::move(resource);
  }
  return has;
}
xds::SnapshotPtr SnapshotOf(const Hop::Has& has) {
  auto snapshot = std::make_shared<xds::Snapshot>();
  for (const auto& [url, named] : has) {
    auto resources = std::make_shared<xds::Resources>();
    for (const auto& [name, resource] : named) (*resources)[name] = resource;
    snapshot->types[url] = std::move(resources);
  }
  return snapshot;
}
xds::SnapshotPtr SnapshotOf(const translate::NodeConfig& config) {
  Hop::Has has;
  for (const auto& [url, named] : config.types) {
    auto& resources = has[url];
    for (const auto& [name, resource] : named) resources[name] = resource->resource;
  }
  return SnapshotOf(has);
}

// The chain of the mesh port that answers for the hosts of a listener; "" = none.
std::string ChainOf(const std::string& mesh_listener, const std::string& listener) {
  envoy::config::listener::v3::Listener message;
  EXPECT_TRUE(message.ParseFromString(mesh_listener));
  for (const auto& chain : message.filter_chains()) {
    if (chain.name() == "mesh/" + listener) return chain.SerializeAsString();
  }
  return "";
}

constexpr translate::NodeProfile kOurs{.vhds = true, .stock_envoy = false};

// A cluster's agent with its gateways.
struct Agent {
  Agent(const std::string& name, const Clock& clock, fleet::AppliedTable* table)
      : cluster(ClusterFqn(name)),
        identity{name, name + ".o.test", "ROOT"},
        translator(identity),
        intent(xds::MeshRules(), clock,
               [this, table](const xds::AckEvent& event) { table->ReportAgent(cluster, event, {}); }) {}

  void Add(const agent::v1::Workload& workload, const Clock& clock) {
    const std::string key = translate::KeyOf(workload);
    facts.workloads[key] = std::make_shared<agent::v1::Workload>(workload);
    gateways[key] = std::make_unique<Hop>(xds::EnvoyRules(), clock,
                                          [this, key](const xds::AckEvent& event) { ledger.OnAck(key, 1, event); });
    ledger.OnOpened(key, 1);
  }
  void Translate() {
    const translate::Intent now = IntentOf(intent.has());
    for (auto& [key, gateway] : gateways) {
      const auto config = translator.Translate(now, facts, key, kOurs);
      ledger.SetConfig(key, config);
      gateway->Set(SnapshotOf(*config));
    }
  }
  void Report() {
    agent::v1::Applied report;
    if (ledger.Report(!reported, &report)) reports.push_back(std::move(report));
    reported = true;
  }

  const std::string cluster;
  const translate::ClusterIdentity identity;
  translate::Facts facts;
  translate::Translator translator;
  agent::AppliedLedger ledger;
  Hop intent;
  std::map<std::string, std::unique_ptr<Hop>> gateways;
  std::deque<agent::v1::Applied> reports;
  bool reported = false;
};

class Planes {
 public:
  explicit Planes(unsigned seed) : random_(seed) {
    compile::World world;
    world.SetRoots("ROOT");
    world.Put(kOrg, From<v2::Organization>("spec { domain: 'o.test' }"));
    world.Put(kOrg + "/tenants/t/workspaces/w", From<v2::Workspace>("spec { namespace_selector { names: '*/*' } }"));
    world.Put(kGroup, From<v2::GatewayGroup>(""));
    for (const char* name : {"edge", "c1", "c2"}) {
      world.Put(ClusterFqn(name), From<v2::Cluster>("spec { tier1_cluster: true }"));
      world.SetConnected(ClusterFqn(name), true, {});
      agents_[name] = std::make_unique<Agent>(name, clock_, &table_);
      table_.SetConnected(ClusterFqn(name), true, {});
    }
    const auto add = [&](const std::string& cluster, const agent::v1::Workload& workload) {
      world.PutWorkload(ClusterFqn(cluster), workload);
      agents_[cluster]->Add(workload, clock_);
    };
    add("edge", Workload("t1", "a", "127.0.1.10"));
    add("edge", Workload("t1", "b", "127.0.1.11"));
    add("c1", Workload("t2", "g", "127.0.2.10"));
    add("c2", Workload("t2", "g", "127.0.3.10"));
    compilation_ = compile::Compilation(std::move(world));
    Push();
  }

  void Step() {
    // Half of the time changes overtake each other on their way, half of the time all has come to rest and is judged.
    const bool restless = step_++ % 1'000 < 500;
    if (restless && Pick(60) == 0) Change();
    for (int idle = 0; idle < 8 && !Act(restless); ++idle) {
    }
  }

  // "" when every object that is READY is served by all that it concerns.
  std::string Lie() {
    for (const std::string& fqn : objects_) {
      const auto concerns = compile::Concerns(compilation_, fqn);
      auto status = fleet::StatusOf(fqn, "", 0, concerns, table_);
      if (status.state() != v2::ResourceStatus::READY) continue;
      status::AddReach(status::ReachOf(compilation_, fqn, NothingReported()), status);
      if (status.state() != v2::ResourceStatus::READY) {
        ++unserved_;
        continue;
      }
      ++ready_;
      if (std::string lie = Unanswered(fqn, concerns); !lie.empty()) return lie;
      for (const compile::Concern& concern : concerns) {
        for (const std::string& workload : concern.workloads) {
          std::string lie = Missing(concern, workload);
          if (!lie.empty())
            return fmt::format("{} is READY, but {} {} does not run {}", fqn, concern.cluster, workload, lie);
        }
      }
    }
    return "";
  }
  uint64_t ready() const { return ready_; }
  uint64_t unserved() const { return unserved_; }
  uint64_t refused() const {
    uint64_t refused = 0;
    for (const auto& [name, agent] : agents_) {
      refused += agent->intent.refused();
      for (const auto& [key, gateway] : agent->gateways) refused += gateway->refused();
    }
    return refused;
  }

 private:
  // Somebody does something, if there is anything for him to do.
  bool Act(bool may_refuse) {
    Agent& agent = *Any(agents_);
    Hop& hop = Pick(2) == 0 ? agent.intent : *Any(agent.gateways);
    switch (Pick(6)) {
      case 0:
        return hop.Send();
      case 1:
        return hop.Take(may_refuse && Pick(20) == 0);
      case 2:
        return hop.Answer();
      case 3:
        agent.Translate();
        return true;
      case 4:
        agent.Report();
        return false;
      default:
        if (agent.reports.empty()) return false;
        table_.Report(agent.cluster, agent.reports.front(), {});
        agent.reports.pop_front();
        return true;
    }
  }

  unsigned Pick(unsigned n) { return static_cast<unsigned>(random_() % n); }
  template <typename Map>
  typename Map::mapped_type& Any(Map& map) {
    return std::next(map.begin(), Pick(static_cast<unsigned>(map.size())))->second;
  }

  struct NothingReported : status::ReportedHealth {
    status::Voice VoiceOf(const std::string&, const std::string&) const override { return status::Voice::kMute; }
    const agent::v1::ClusterHealth* Find(const std::string&, const std::string&, const std::string&,
                                         const std::string&) const override {
      return nullptr;
    }
    status::Shortfall Plight(const std::string&) const override { return {}; }
  };

  // For each host of a tier-1 object, at each of its gateways: by what it runs, is there an endpoint that may be
  // chosen?
  std::string Unanswered(const std::string& fqn, const std::vector<compile::Concern>& concerns) {
    const auto* shape = compilation_.world().gateway(fqn);
    if (shape == nullptr || !shape->tier1) return "";
    for (const compile::Concern& concern : concerns) {
      if (concern.cluster != ClusterFqn("edge")) continue;
      for (const std::string& workload : concern.workloads) {
        const Hop::Has& has = agents_.at("edge")->gateways.at(workload)->has();
        for (const auto& [key, version] : concern.keys) {
          if (key.type == "DestinationSet" && !CanChoose(has, key.name)) {
            return fmt::format("{} is READY, but {} has nowhere to send {} to", fqn, workload, key.name);
          }
        }
      }
    }
    return "";
  }
  static bool CanChoose(const Hop::Has& has, const std::string& set) {
    const auto type = has.find(std::string(xds::kEndpoints));
    if (type == has.end() || !type->second.contains(set)) return false;
    envoy::config::endpoint::v3::ClusterLoadAssignment endpoints;
    EXPECT_TRUE(endpoints.ParseFromString(type->second.at(set)->value));
    return std::any_of(endpoints.endpoints().begin(), endpoints.endpoints().end(), [](const auto& locality) {
      const auto ours = locality.metadata().filter_metadata().find("dev.weir");
      const bool drained = ours != locality.metadata().filter_metadata().end() &&
                           ours->second.fields().contains("drained") &&
                           ours->second.fields().at("drained").bool_value();
      return !drained && !locality.lb_endpoints().empty();
    });
  }

  // What the workload ought to run of these pieces, from nothing, against what it runs.
  std::string Missing(const compile::Concern& concern, const std::string& workload) {
    Agent& agent = *agents_.at(concern.cluster.substr(concern.cluster.rfind('/') + 1));
    std::set<std::pair<std::string, std::string>> pieces;
    for (const auto& [key, version] : concern.keys) pieces.emplace(key.type, key.name);
    translate::Translator fresh(agent.identity);
    const auto config =
        fresh.Translate(IntentOf(HasOf(compilation_.Of(concern.cluster))), agent.facts, workload, kOurs);
    const Hop::Has& has = agent.gateways.at(workload)->has();
    for (const auto& [url, named] : config->types) {
      for (const auto& [name, resource] : named) {
        const auto concerns = [&](const translate::IntentRef& origin) {
          return pieces.contains({origin.type, origin.name});
        };
        const auto& origins = resource->origins;
        const bool mesh_port =
            url == xds::kListener && name == "15443";  // Of many objects, with a chain for each port.
        // What others have a part in may differ by theirs.
        const bool concerned = mesh_port ? std::any_of(origins.begin(), origins.end(), concerns)
                                         : !origins.empty() && std::all_of(origins.begin(), origins.end(), concerns);
        if (!concerned) continue;
        const auto type = has.find(url);
        if (type == has.end() || !type->second.contains(name)) return url.substr(url.rfind('.') + 1) + " " + name;
        const std::string& runs = type->second.at(name)->value;
        if (mesh_port) {
          for (const auto& [key, version] : concern.keys) {
            if (key.type != "Listener") continue;
            if (ChainOf(runs, key.name) != ChainOf(resource->resource->value, key.name))
              return "the chain of " + key.name;
          }
        } else if (runs != resource->resource->value) {
          return url.substr(url.rfind('.') + 1) + " " + name;
        }
      }
    }
    return "";
  }

  // Few states, so that what was there before comes back often.
  void Change() {
    compile::World world = compilation_.world();
    compile::Change change;
    const auto put = [&](const std::string& fqn, std::shared_ptr<google::protobuf::Message> message) {
      change.fqns.insert(fqn);
      if (message == nullptr)
        world.Remove(fqn);
      else
        world.Put(fqn, std::move(message));
    };
    const std::string name = Pick(2) == 0 ? "a" : "b";  // Selects the gateway of that name.
    const std::string host = Pick(2) == 0 ? "x.test" : "y.test";
    switch (Pick(4)) {
      case 0:
        put(ClusterFqn(Pick(2) == 0 ? "c1" : "c2"),
            From<v2::Cluster>(Pick(3) > 0 ? "" : "spec { admin_state: DRAINING }"));
        break;
      case 1:
        put(kGroup + "/gateways/" + host.substr(0, 1),
            Pick(4) == 0
                ? nullptr
                : From<v2::Gateway>(fmt::format(
                      "spec {{ workload_selector {{ namespace: 't2' labels {{ key: 'app' value: 'gw' }} }} "
                      "http {{ name: 's' hostname: '{}' port: {} routing {{ rules {{ direct_response {{ status: "
                      "{} }} }} }} }} }}",
                      host, host == "x.test" ? 80 : 81, 200 + Pick(2))));
        break;
      default:
        put(kGroup + "/tier1gateways/" + name,
            Pick(3) == 0 ? nullptr
                         : From<v2::Tier1Gateway>(fmt::format(
                               "spec {{ workload_selector {{ namespace: 't1' labels {{ key: 'name' value: '{}' }} }} "
                               "external_servers {{ name: 's' hostname: '{}' port: 80 clusters {{ name: 'c1' weight: "
                               "{} }} {} }} }}",
                               name, host, 1 + Pick(2), Pick(2) == 0 ? "" : "clusters { name: 'c2' weight: 1 }")));
    }
    for (const std::string& fqn : change.fqns) {
      if (compile::ReachesGateways(fqn)) objects_.insert(fqn);
    }
    compilation_.Update(std::move(world), change);
    Push();
  }
  void Push() {
    for (auto& [name, agent] : agents_) agent->intent.Set(SnapshotOf(HasOf(compilation_.Of(agent->cluster))));
  }

  std::mt19937 random_;
  ManualClock clock_;
  fleet::AppliedTable table_;
  compile::Compilation compilation_;
  std::map<std::string, std::unique_ptr<Agent>> agents_;
  std::set<std::string> objects_;
  unsigned step_ = 0;
  uint64_t ready_ = 0;
  uint64_t unserved_ = 0;
};

TEST(Ready, MeansThatEveryGatewayConcernedRunsIt) {
  uint64_t ready = 0, unserved = 0, refused = 0;
  for (unsigned seed = 1; seed <= 5; ++seed) {
    Planes planes(seed);
    for (int step = 0; step < 4'000; ++step) {
      planes.Step();
      if (step % 4 != 0) continue;
      ASSERT_EQ(planes.Lie(), "") << "seed " << seed << " step " << step;
    }
    ready += planes.ready();
    unserved += planes.unserved();
    refused += planes.refused();
  }
  fmt::print("{} times READY, {} unserved, {} refusals\n", ready, unserved, refused);
  EXPECT_GT(unserved, 100u) << "no receiver, or all drained: else it says nothing of that";
  EXPECT_GT(refused, 20u) << "agents and gateways that refuse: else it says nothing of that";
  EXPECT_GT(ready, 1'000u) << "else it says nothing";
}

}  // namespace
}  // namespace weir
