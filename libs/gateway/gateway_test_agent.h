#pragma once

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/text_format.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>

#include "api/weir/agent/v1/agent.grpc.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "libs/base/mutex.h"
#include "libs/identity/certificates.h"
#include "libs/identity/spiffe_id.h"
#include "libs/identity/token.h"
#include "libs/rpc/server.h"
#include "libs/rpc/time.h"
#include "libs/xds/grpc/recording_handler.h"

// An agent of a few lines, for the tests of this folder.
namespace weir::gateway {

inline constexpr const char* kDomain = "edge.acme.weir.internal";
inline constexpr const char* kNode = "edge/ingress/t1";

template <typename Message>
std::string Bytes(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message.SerializeAsString();
}

// An agent as far as a gateway sees it.
class FakeAgent : public agent::v1::WorkloadIdentity::Service {
 public:
  FakeAgent() { Join(1); }
  ~FakeAgent() override { Stop(); }

  void Start() {
    handler_.ForgetWords();
    xds::AdsServiceOptions options;
    options.rules = std::make_shared<xds::ServerRules>(xds::EnvoyRules());
    ads_ = std::make_unique<xds::AdsService>(handler_, std::move(options));
    if (snapshot_) ads_->SetSnapshot(kNode, snapshot_);
    grpc::ServerBuilder builder;
    rpc::ApplyDefaults(builder);
    builder.AddListeningPort("127.0.0.1:" + std::to_string(port), rpc::FixedServerTls(OwnTls()).value(), &port);
    builder.RegisterService(this);
    builder.RegisterService(ads_->service());
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
  }

  // Signs with another intermediate from now on.
  void Join(uint64_t generation) {
    identity::Authority cluster;
    cluster.key_pem = identity::NewKey().value();
    cluster.certificate_pem =
        identity::SignIntermediate(
            root, {identity::MakeCsr(cluster.key_pem).value(), kDomain, {"uid", generation}, std::chrono::hours(24)})
            .value();
    MutexLock lock(mutex_);
    cluster_ = std::move(cluster);
  }

  void SignBelow(identity::Authority other) {
    {
      MutexLock lock(mutex_);
      root = std::move(other);
    }
    Join(1);
  }
  // Said in this order with the next Serve, if a lowest generation is.
  void Trust(const std::vector<std::string>& roots) {
    trusted_.clear();
    for (const std::string& each : roots) trusted_ += each;
  }

  void Stop() {
    if (!server_) return;
    ads_->Shutdown();
    server_->Shutdown(rpc::DeadlineIn(std::chrono::seconds(1)));
    server_.reset();
    ads_.reset();
  }

  // One host with one direct response per entry; `listener_extra` is appended to the listener.
  void Serve(uint16_t http_port, const std::map<std::string, std::string>& bodies,
             const std::string& listener_extra = "") {
    auto snapshot = std::make_shared<xds::Snapshot>();
    const auto set = [&](std::string_view type, const std::string& name, std::string value) {
      auto& slot = snapshot->types[std::string(type)];
      auto all = slot ? std::make_shared<xds::Resources>(*slot) : std::make_shared<xds::Resources>();
      (*all)[name] = xds::MakeResource(name, std::move(value));
      slot = std::move(all);
    };
    for (const std::string_view type : {xds::kCluster, xds::kEndpoints, xds::kSecret, xds::kVirtualHost}) {
      snapshot->types[std::string(type)] = std::make_shared<xds::Resources>();
    }
    set(xds::kListener, "80", Listener("80", http_port, listener_extra));
    for (const auto& [name, at] : more_listeners) set(xds::kListener, name, Listener(name, at, ""));
    if (!with_routes) {
      snapshot->types[std::string(xds::kRoute)] = std::make_shared<xds::Resources>();
    } else
      set(xds::kRoute, "edge/80",
          Bytes<envoy::config::route::v3::RouteConfiguration>(
              R"(name: "edge/80" vhds { config_source { ads {} resource_api_version: V3 } })"));
    for (const auto& [host, body] : bodies) {
      const std::string name = "edge/80/" + host;
      set(xds::kVirtualHost, name,
          Bytes<envoy::config::route::v3::VirtualHost>(fmt::format(
              R"(name: "{}" domains: "{}" routes {{ name: "r/0" match {{ prefix: "/" }}
             direct_response {{ status: 200 body {{ inline_string: "{}" }} }} }})",
              name, host, body)));
    }
    if (lowest_generation > 0) set(xds::kSecret, "trust", TrustSecret());
    for (const std::string_view type : left_out) snapshot->types.erase(std::string(type));
    snapshot_ = snapshot;
    if (ads_) ads_->SetSnapshot(kNode, snapshot);
  }

  bool WasAccepted(const std::string& name) const { return handler_.Accepted(name); }
  bool WasRejected(const std::string& name) const { return handler_.Refused(name); }
  std::string error() const { return handler_.Error(); }
  std::map<std::string, uint16_t> more_listeners;  // Name -> port; with the routes of "80".
  std::vector<std::string_view> left_out;          // Types that are not loaded yet.
  bool with_routes = true;

  grpc::Status Sign(grpc::ServerContext* context, const agent::v1::SignRequest* request,
                    agent::v1::SignResponse* response) override {
    if (rpc::BearerToken(*context) != token) return {grpc::StatusCode::UNAUTHENTICATED, "who?"};
    identity::LeafRequest leaf;
    leaf.csr_pem = request->csr_pem();
    leaf.spiffe_id = identity::WorkloadSpiffeId(kDomain, "ingress", "t1");
    leaf.lifetime = std::chrono::hours(1);
    MutexLock lock(mutex_);
    response->set_chain_pem(identity::SignLeaf(cluster_, leaf).value() + cluster_.certificate_pem);
    response->set_root_pem(root.certificate_pem);
    response->set_spiffe_id(leaf.spiffe_id);
    ++signed_leaves;
    return grpc::Status::OK;
  }

  identity::Authority root = identity::NewRoot("acme").value();
  std::string token = identity::NewWorkloadKey();
  int port = 0;
  int lowest_generation = 0;  // Said with the next Serve; 0 = nothing is said.
  std::atomic<int> signed_leaves = 0;

 private:
  rpc::ServerTls OwnTls() {
    identity::LeafRequest request;
    const std::string key = identity::NewKey().value();
    request.csr_pem = identity::MakeCsr(key).value();
    request.spiffe_id = identity::AgentSpiffeId(kDomain);
    request.dns_names = {identity::AgentDnsName(kDomain)};
    rpc::ServerTls tls;
    tls.chain_pem = identity::SignLeaf(cluster_, request).value() + cluster_.certificate_pem;
    tls.key_pem = key;
    return tls;
  }
  static std::string Listener(const std::string& name, uint16_t at, const std::string& extra) {
    return Bytes<envoy::config::listener::v3::Listener>(fmt::format(R"(name: "{}"
      address {{ socket_address {{ address: "127.0.0.1" port_value: {} }} }}
      filter_chains {{ filters {{ name: "envoy.filters.network.http_connection_manager" typed_config {{
        [type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager] {{
          stat_prefix: "edge" rds {{ route_config_name: "edge/80" config_source {{ ads {{}} resource_api_version: V3 }} }}
          http_filters {{ name: "envoy.filters.http.router" typed_config {{
            [type.googleapis.com/envoy.extensions.filters.http.router.v3.Router] {{}} }} }} }} }} }} }} {})",
                                                                    name, at, extra));
  }
  std::string TrustSecret() const {
    envoy::extensions::transport_sockets::tls::v3::Secret secret;
    secret.set_name("trust");
    secret.mutable_validation_context()->mutable_trusted_ca()->set_inline_string(trusted_.empty() ? root.certificate_pem
                                                                                                  : trusted_);
    google::protobuf::Struct lowest;
    (*lowest.mutable_fields())["uid"].set_number_value(lowest_generation);
    auto* validator = secret.mutable_validation_context()->mutable_custom_validator_config();
    validator->set_name("dev.weir.generations");
    validator->mutable_typed_config()->PackFrom(lowest);
    return secret.SerializeAsString();
  }

  identity::Authority cluster_;
  xds::SnapshotPtr snapshot_;
  xds::RecordingHandler handler_{[this](const xds::AdsPeer& peer) -> Result<xds::AdsGrant> {
    const auto found = peer.metadata.find("authorization");
    if (found == peer.metadata.end() || found->second != "Bearer " + token) return Unauthenticated("TOKEN", "who?");
    return xds::AdsGrant{kNode};
  }};
  std::unique_ptr<xds::AdsService> ads_;
  std::unique_ptr<grpc::Server> server_;
  std::string trusted_;
  Mutex mutex_;
};

}  // namespace weir::gateway
