#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "api/weir/agent/v1/agent.grpc.pb.h"
#include "libs/base/ids.h"
#include "libs/base/mutex.h"
#include "libs/identity/certificates.h"
#include "libs/identity/spiffe_id.h"
#include "libs/rpc/channel.h"
#include "libs/rpc/status.h"
#include "libs/rpc/time.h"
#include "libs/xds/grpc/ads_client.h"

namespace weir::fleet {

// An agent of a few lines, for tests: joins a real server, reports what it is told to, and lets gateways acknowledge
// all intent when asked.
class SmallAgent final : public xds::AdsClientHandler {
 public:
  // `server`: host:port of the agents' door.
  static Result<std::unique_ptr<SmallAgent>> Join(const std::string& server, const std::string& anchor_pem,
                                                  const std::string& token) {
    WEIR_ASSIGN(const std::string key, identity::NewKey());
    agent::v1::JoinRequest request;
    request.set_token(token);
    WEIR_ASSIGN(*request.mutable_csr_pem(), identity::MakeCsr(key));
    rpc::ChannelOptions options;
    options.target = server;
    WEIR_ASSIGN(options.peer, identity::ServerPeer(anchor_pem));
    WEIR_ASSIGN(const auto channel, rpc::MakeChannel(options));
    grpc::ClientContext context;
    context.set_deadline(rpc::DeadlineIn(std::chrono::seconds(20)));
    agent::v1::JoinResponse response;
    const grpc::Status joined = agent::v1::ClusterJoin::NewStub(channel)->Join(&context, request, &response);
    if (!joined.ok()) return rpc::FromGrpc(joined);
    WEIR_ASSIGN(options.key_pem, identity::NewKey());
    identity::LeafRequest leaf;
    WEIR_ASSIGN(leaf.csr_pem, identity::MakeCsr(options.key_pem));
    leaf.spiffe_id = identity::AgentSpiffeId(response.trust_domain());
    leaf.dns_names = {identity::AgentDnsName(response.trust_domain())};
    WEIR_ASSIGN(const std::string certificate, identity::SignLeaf({response.intermediate_pem(), key}, leaf));
    options.chain_pem = certificate + response.intermediate_pem();
    std::unique_ptr<SmallAgent> agent(new SmallAgent(options));
    WEIR_TRY(agent->Open());
    return agent;
  }
  ~SmallAgent() override { Leave(); }

  // A second agent with the same certificate and key, another process: what a cloned machine is. The error is the
  // server's.
  Result<std::unique_ptr<SmallAgent>> Clone() const {
    std::unique_ptr<SmallAgent> clone(new SmallAgent(options_));
    WEIR_TRY(clone->Open());
    return clone;
  }
  // Facts as they are, good or bad; `sequence` is filled in: that of the one before whose parts follow.
  void Say(agent::v1::FactsDelta facts) {
    if (!std::exchange(in_parts_, facts.more())) ++sequence_;
    facts.set_sequence(sequence_);
    agent::v1::AgentMessage message;
    *message.mutable_facts() = std::move(facts);
    Send(message);
  }
  void Say(const std::vector<std::pair<std::string, std::string>>& problems) {  // Source, text.
    agent::v1::AgentMessage message;
    message.mutable_problems();
    for (const auto& [source, text] : problems) {
      auto& problem = *message.mutable_problems()->add_problems();
      problem.set_source(source);
      problem.set_text(text);
    }
    Send(message);
  }
  // Everything that runs: one workload per name "<namespace>/<name>", all with these labels.
  void Run(const std::vector<std::string>& workloads, const std::map<std::string, std::string>& labels) {
    agent::v1::AgentMessage message;
    auto& facts = *message.mutable_facts();
    facts.set_sequence(++sequence_);
    facts.set_full(true);
    for (const std::string& name : workloads) {
      auto& workload = *facts.add_workloads();
      workload.set_namespace_(name.substr(0, name.find('/')));
      workload.set_name(name.substr(name.find('/') + 1));
      workload.mutable_labels()->insert(labels.begin(), labels.end());
      workload.add_addresses("127.0.0.1");
    }
    Send(message);
    workloads_ = workloads;
  }
  void Report(const agent::v1::GatewayTraffic& traffic) {
    agent::v1::AgentMessage message;
    *message.mutable_traffic() = traffic;
    Send(message);
  }
  // From now on every piece of intent of this short type is refused by the agent, with this reason.
  void Refuse(const std::string& type, const std::string& reason) {
    Fetch([this, type, reason](const xds::Update& update) {
      if (update.type_url.ends_with("." + type) && !update.changed.empty())
        ads_->Reject(update.id, reason, update.changed);
      else
        ads_->Accept(update.id);
    });
  }
  // Its gateways are such as report health of their own accord. Before Acknowledge.
  void ReportsHealth() { reports_health_ = true; }
  // From now on every workload acknowledges whatever intent comes, at once.
  void Acknowledge() {
    Fetch([this](const xds::Update& update) {
      agent::v1::AgentMessage message;
      for (const std::string& workload : workloads_) {
        auto& gateway = *message.mutable_applied()->add_gateways();
        gateway.set_workload(workload);
        gateway.set_connected(true);
        gateway.set_reports_health(reports_health_);
        for (const auto& [url, resources] : update.view->types) {
          for (const auto& [name, resource] : *resources) {
            auto& intent = *gateway.add_intents();
            intent.set_type(url.substr(url.rfind('.') + 1));
            intent.set_name(name);
            intent.set_version(resource->version);
          }
        }
      }
      message.mutable_applied()->set_full(true);
      Send(message);
      ads_->Accept(update.id);
    });
  }
  // Heartbeats of the server that it answered.
  uint64_t beats() const { return beats_; }
  // Waits until the server ends the report stream; why it did.
  Error AwaitEnd() {
    reader_.join();
    return rpc::FromGrpc(stream_->Finish());
  }
  // Why the server ended or refused the stream of intent that Acknowledge opened last; "" = it stands.
  std::string AdsEnd() {
    MutexLock lock(mutex_);
    return ads_end_;
  }
  // What the server says to a renewal.
  Status Renew() {
    agent::v1::RenewRequest request;
    WEIR_ASSIGN(const std::string key, identity::NewKey());
    WEIR_ASSIGN(*request.mutable_csr_pem(), identity::MakeCsr(key));
    grpc::ClientContext context;
    context.set_deadline(rpc::DeadlineIn(std::chrono::seconds(20)));
    agent::v1::JoinResponse response;
    const grpc::Status renewed = agent::v1::ClusterJoin::NewStub(channel_)->Renew(&context, request, &response);
    return renewed.ok() ? Status() : Status(rpc::FromGrpc(renewed));
  }
  // Ends both streams.
  void Leave() {
    if (ads_ != nullptr) ads_->Stop();
    if (!reader_.joinable()) return;
    context_.TryCancel();
    reader_.join();
    stream_->Finish();
  }

 private:
  explicit SmallAgent(rpc::ChannelOptions options) : options_(std::move(options)) {}

  void Fetch(std::function<void(const xds::Update&)> on_update) {
    if (ads_ != nullptr) ads_->Stop();
    {
      MutexLock lock(mutex_);
      ads_end_.clear();
    }
    xds::AdsClientOptions options;
    options.node.id = instance_;
    for (const std::string_view type : xds::kMeshTypes) options.types.emplace_back(type);
    on_update_ = std::move(on_update);
    ads_ = std::make_unique<xds::AdsClient>(*this, std::move(options));
    ads_->Start();
  }
  rpc::ChannelOptions Channel() override { return options_; }
  void OnUpdate(const xds::Update& update) override { on_update_(update); }
  void OnState(bool connected, const std::string& reason) override {
    MutexLock lock(mutex_);
    if (!connected) ads_end_ = reason;
  }

  Status Open() {
    WEIR_ASSIGN(channel_, rpc::MakeChannel(options_));
    stub_ = agent::v1::AgentReports::NewStub(channel_);
    stream_ = stub_->Report(&context_);
    agent::v1::AgentMessage hello;
    hello.mutable_hello()->set_version("test");
    hello.mutable_hello()->set_instance(instance_);
    Send(hello);
    agent::v1::ServerMessage answer;
    if (!stream_->Read(&answer)) return rpc::FromGrpc(stream_->Finish());
    reader_ = std::thread([this] {  // Beats are answered; all else is for agents that must know.
      agent::v1::ServerMessage in;
      while (stream_->Read(&in)) {
        if (!in.has_heartbeat()) continue;
        agent::v1::AgentMessage beat;
        *beat.mutable_heartbeat() = in.heartbeat();
        Send(beat);
        ++beats_;
      }
    });
    return {};
  }
  void Send(const agent::v1::AgentMessage& message) {
    MutexLock lock(mutex_);
    stream_->Write(message);
  }

  const std::string instance_ = RandomHex(8);
  const rpc::ChannelOptions options_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<agent::v1::AgentReports::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<agent::v1::AgentMessage, agent::v1::ServerMessage>> stream_;
  std::thread reader_;
  std::atomic<uint64_t> beats_{0};
  Mutex mutex_;  // One write at a time; and ads_end_.
  std::string ads_end_ WEIR_GUARDED_BY(mutex_);
  std::vector<std::string> workloads_;
  bool in_parts_ = false;
  bool reports_health_ = false;
  uint64_t sequence_ = 0;
  std::function<void(const xds::Update&)> on_update_;  // Of ads_, which is stopped when it is another one.
  std::unique_ptr<xds::AdsClient> ads_;
};

}  // namespace weir::fleet
