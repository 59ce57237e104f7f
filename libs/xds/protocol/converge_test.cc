// Property tests: a server and a client, anything may happen in between, and the rules hold at every step.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <deque>
#include <random>

#include "envoy/service/discovery/v3/discovery.pb.h"
#include "libs/xds/protocol/delta_client.h"
#include "libs/xds/protocol/server_stream.h"

namespace weir::xds {
namespace {

using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DeltaDiscoveryResponse;

// A route's value is the name of the Cluster that it leads to: easy to check.
struct World {
  std::map<std::string, std::string> clusters;  // name -> config
  std::map<std::string, std::string> routes;    // name -> cluster
  // A version may change without the bytes, as when what was replaced comes back: by name of a Cluster.
  std::map<std::string, int> turns;
  SnapshotPtr Snap() const {
    auto snapshot = std::make_shared<Snapshot>();
    const auto put = [&](std::string_view type, const std::map<std::string, std::string>& from) {
      auto map = std::make_shared<Resources>();
      for (const auto& [name, value] : from) (*map)[name] = MakeResource(name, value);
      snapshot->types[std::string(type)] = std::move(map);
    };
    auto versioned = std::make_shared<Resources>();
    for (const auto& [name, value] : clusters) {
      Resource resource = *MakeResource(name, value);
      if (const auto turn = turns.find(name); turn != turns.end()) resource.version += fmt::format(".{}", turn->second);
      (*versioned)[name] = std::make_shared<const Resource>(std::move(resource));
    }
    snapshot->types[std::string(kCluster)] = std::move(versioned);
    std::map<std::string, std::string> endpoints;
    for (const auto& [name, value] : clusters) endpoints[name] = "e" + value;
    put(kEndpoints, endpoints);
    put(kRoute, routes);
    put(kListener, {{"l", "x"}});
    put(kVirtualHost, {});
    put(kSecret, {});
    return snapshot;
  }
};

class Pair {
 public:
  explicit Pair(uint64_t seed)
      : random_(seed),
        client_(Node{.id = "n",
                     .cluster = {},
                     .user_agent = {},
                     .region = {},
                     .zone = {},
                     .sub_zone = {},
                     .features = {std::string(kFeatureHeartbeat)},
                     .metadata = {}},
                clock_) {
    for (const auto type : {kRoute, kCluster, kVirtualHost, kListener, kEndpoints, kSecret, kHeartbeat}) {
      client_.SubscribeAll(std::string(type));
    }
    client_.OfferRenamed();
    Connect();
  }

  int Pick(int n) { return std::uniform_int_distribution<int>(0, n - 1)(random_); }

  void Connect() {
    server_ = std::make_unique<ServerStream>(rules_, clock_);
    if (snapshot_) server_->SetSnapshot(snapshot_);
    client_.OnConnected();
    up_.clear();
    down_.clear();
  }
  void Break() {
    client_.OnDisconnected();
    Connect();
  }

  void Change() {
    const int what = Pick(5);
    const std::string name = "c" + std::to_string(Pick(6));
    if (what == 0) {
      world_.clusters[name] = std::to_string(Pick(1000));
    } else if (what == 1 && world_.clusters.contains(name) && world_.clusters.size() > 1) {
      world_.clusters.erase(name);
      for (auto& [route, cluster] : world_.routes) {
        if (cluster == name) cluster = world_.clusters.begin()->first;
      }
    } else if (what == 2 && !world_.clusters.empty()) {
      auto cluster = world_.clusters.begin();
      std::advance(cluster, Pick(static_cast<int>(world_.clusters.size())));
      world_.routes["r" + std::to_string(Pick(5))] = cluster->first;
    } else if (what == 3) {
      ++world_.turns[name];
    } else {
      world_.routes.erase("r" + std::to_string(Pick(5)));
    }
    snapshot_ = world_.Snap();
    server_->SetSnapshot(snapshot_);
  }

  // Mostly a step; now and then the world changes or the stream breaks.
  void Happen(bool rejecting) {
    const int what = Pick(20);
    if (what == 0)
      Change();
    else if (what == 1 && Pick(4) == 0)
      Break();
    else
      Step(rejecting);
  }

  // One message, or one decision, somewhere.
  bool Step(bool rejecting) {
    const int first = Pick(5);
    for (int i = 0; i < 9; ++i) {  // Taking an update may leave a request to send.
      switch ((first + i) % 5) {
        case 0: {
          DeltaDiscoveryRequest request;
          if (client_.Next(&request)) return up_.push_back(request), true;
          break;
        }
        case 1:
          if (up_.empty()) break;
          EXPECT_TRUE(server_->OnRequest(up_.front()).ok());
          up_.pop_front();
          return true;
        case 2: {
          DeltaDiscoveryResponse response;
          if (server_->Next(&response)) return down_.push_back(response), true;
          break;
        }
        case 3:
          if (down_.empty()) break;
          EXPECT_TRUE(client_.OnResponse(down_.front()).ok());
          down_.pop_front();
          return true;
        default:
          if (!taken_) taken_ = client_.TakeUpdate();
          if (!taken_) break;
          if (rejecting && Pick(4) == 0) {
            const auto bad = taken_->changed.empty() || Pick(2) == 0 ? std::vector<std::string>{}
                                                                     : std::vector<std::string>{taken_->changed[0]};
            EXPECT_TRUE(client_.Reject(taken_->id, "no", bad).ok());
          } else {
            Follow(*taken_);
          }
          taken_.reset();
          return true;
      }
    }
    return false;
  }

  // Accepts it, and keeps what somebody knows who hears of updates alone.
  void Follow(const Update& update) {
    EXPECT_TRUE(client_.Accept(update.id).ok());
    auto& versions = followed_[update.type_url];
    for (const auto* names : {&update.changed, &update.renamed}) {
      for (const std::string& name : *names) versions[name] = update.view->Find(update.type_url, name)->version;
    }
    for (const std::string& name : update.removed) versions.erase(name);
  }
  void CheckFollowed() {
    for (const auto& [type, resources] : snapshot_->types) {
      std::map<std::string, std::string> versions;
      for (const auto& [name, resource] : *resources) versions[name] = resource->version;
      EXPECT_EQ(followed_[type], versions) << type;
    }
  }

  // T29: at no instant does a route reference a Cluster that the client does not have.
  void CheckNoDanglingRoute() {
    const SnapshotPtr now = client_.Accepted();
    for (const auto& [name, route] : now->Of(kRoute)) {
      ASSERT_NE(now->Find(kCluster, route->value), nullptr) << name << " -> " << route->value;
    }
  }
  void CheckConverged() {
    const SnapshotPtr now = client_.Accepted();
    for (const auto& [type, resources] : snapshot_->types) {
      ASSERT_EQ(now->Of(type).size(), resources->size()) << type;
      for (const auto& [name, resource] : *resources) {
        const Resource* have = now->Find(type, name);
        ASSERT_NE(have, nullptr) << type << " " << name;
        EXPECT_EQ(have->value, resource->value);
        EXPECT_EQ(server_->Acknowledged(type)[name], resource->version);
      }
    }
    EXPECT_TRUE(client_.Complete());
    EXPECT_TRUE(server_->AllAnswered());
    EXPECT_TRUE(up_.empty() && down_.empty());
  }

  ManualClock clock_;

 private:
  std::mt19937_64 random_;
  std::shared_ptr<const ServerRules> rules_ = std::make_shared<ServerRules>(EnvoyRules());
  std::unique_ptr<ServerStream> server_;
  DeltaClient client_;
  World world_;
  SnapshotPtr snapshot_;
  std::deque<DeltaDiscoveryRequest> up_;
  std::deque<DeltaDiscoveryResponse> down_;
  std::optional<Update> taken_;
  std::map<std::string, std::map<std::string, std::string>> followed_;  // Type -> name -> version.
};

TEST(ServerAndClient, ConvergeAndNeverShowARouteWithoutItsClusterWhateverHappens) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    Pair pair(seed);
    pair.Change();
    for (int i = 0; i < 300; ++i) {
      pair.Happen(false);
      pair.CheckNoDanglingRoute();
      if (testing::Test::HasFatalFailure()) return;
    }
    while (pair.Step(false)) {
      pair.CheckNoDanglingRoute();
      if (testing::Test::HasFatalFailure()) return;
    }
    pair.CheckConverged();
    pair.CheckFollowed();
    if (testing::Test::HasFailure()) return;
  }
}

TEST(ServerAndClient, ConvergeAfterRejectionsOnceTheStreamIsNew) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    Pair pair(seed);
    pair.Change();
    for (int i = 0; i < 300; ++i) pair.Happen(true);
    pair.Break();
    int steps = 0;
    while (pair.Step(false)) ASSERT_LT(++steps, 1000) << "T8: no resend loop";
    pair.CheckConverged();
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace weir::xds
