// The service and the client over real connections on loopback.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "envoy/service/discovery/v3/ads.grpc.pb.h"
#include "libs/identity/certificates.h"
#include "libs/rpc/server.h"
#include "libs/xds/grpc/ads_client.h"
#include "libs/xds/grpc/ads_service.h"

namespace weir::xds {
namespace {

SnapshotPtr Make(const std::map<std::string, std::string>& clusters) {
  auto snapshot = std::make_shared<Snapshot>();
  auto map = std::make_shared<Resources>();
  for (const auto& [name, value] : clusters) (*map)[name] = MakeResource(name, value);
  snapshot->types[std::string(kCluster)] = std::move(map);
  snapshot->types[std::string(kListener)] = std::make_shared<Resources>();
  return snapshot;
}

// Waits for a condition that other threads bring about.
class Watch {
 public:
  template <typename Change>
  void Do(Change&& change) {
    std::lock_guard lock(mutex_);
    change();
    wake_.notify_all();
  }
  template <typename Condition>
  bool Until(Condition&& condition, std::chrono::seconds limit = std::chrono::seconds(20)) {
    std::unique_lock lock(mutex_);
    return wake_.wait_for(lock, limit, condition);
  }

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
};

class AdsTest : public testing::Test {
 protected:
  void SetUp() override { StartServer(0); }
  void TearDown() override {
    client_.reset();
    StopServer();
  }
  void StartServer(int port) {
    auto rules = std::make_shared<ServerRules>(EnvoyRules());
    rules->heartbeat_interval = heartbeat_;
    AdsServiceOptions options;
    options.rules = rules;
    options.authenticate = [](const AdsPeer& peer) -> Result<AdsGrant> {
      const auto token = peer.metadata.find("authorization");
      if (token == peer.metadata.end() || token->second != "Bearer secret") {
        return Unauthenticated("TOKEN_UNKNOWN", "who are you");
      }
      return AdsGrant{"key"};
    };
    options.on_ack = [this](const std::string& key, uint64_t, const AckEvent& event) {
      watch_.Do([&] {
        EXPECT_EQ(key, "key");
        acks_.push_back(event);
      });
    };
    options.on_stream = [this](const AdsStreamEvent& event) {
      watch_.Do([&] { (event.kind == AdsStreamEvent::Kind::kOpened ? opened_ : closed_)++; });
    };
    service_ = std::make_unique<AdsService>(std::move(options));
    grpc::ServerBuilder builder;
    rpc::ApplyDefaults(builder);
    builder.AddListeningPort("127.0.0.1:" + std::to_string(port), ServerCredentials(), &port_);
    builder.RegisterService(service_->service());
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
  }
  void StopServer() {
    if (service_) service_->Shutdown();
    if (server_) server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(2));
    server_.reset();
    service_.reset();
  }
  std::shared_ptr<grpc::ServerCredentials> ServerCredentials();
  void StartClient(const std::string& token = "secret", Duration stall = std::chrono::seconds(12)) {
    AdsClientOptions options;
    options.channel = [this, token] {
      rpc::ChannelOptions channel;
      channel.target = "127.0.0.1:" + std::to_string(port_);
      channel.root_pem = root_pem_;
      channel.server_name = "localhost";
      channel.bearer_token = token;
      return channel;
    };
    options.node.id = "node";
    options.types = {std::string(kListener), std::string(kCluster)};
    options.stall_timeout = stall;
    options.backoff_max = std::chrono::milliseconds(200);
    options.on_update = [this](const Update& update) {
      std::string reject;
      watch_.Do([&] {
        views_.push_back(update.view);
        reject = reject_;
      });
      if (reject.empty())
        client_->Accept(update.id);
      else
        client_->Reject(update.id, reject);
    };
    options.on_state = [this](bool up, const std::string& reason) {
      watch_.Do([&] {
        up_ = up;
        if (!up) ++losses_;
        reason_ = reason;
      });
    };
    client_ = std::make_unique<AdsClient>(std::move(options));
    client_->Start();
  }
  bool Seen(const std::string& name, const std::string& value) {
    return watch_.Until([&] {
      if (views_.empty()) return false;
      const Resource* found = views_.back()->Find(kCluster, name);
      return found != nullptr && found->value == value;
    });
  }

  Duration heartbeat_ = std::chrono::seconds(3);
  std::string root_pem_, chain_pem_, key_pem_;
  int port_ = 0;
  std::unique_ptr<AdsService> service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<AdsClient> client_;
  Watch watch_;
  std::vector<AckEvent> acks_;
  std::vector<SnapshotPtr> views_;
  std::string reject_, reason_;
  bool up_ = false;
  int opened_ = 0, closed_ = 0, losses_ = 0;
};
