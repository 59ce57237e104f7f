#include "libs/gateway/settings.h"

#include <algorithm>
#include <thread>

#include "api/weir/bootstrap/v1/bootstrap.pb.h"
#include "libs/base/file.h"
#include "libs/identity/certificates.h"
#include "libs/identity/spiffe_id.h"
#include "libs/identity/token.h"
#include "libs/obs/log.h"

namespace weir::gateway {
namespace {

constexpr unsigned kMostWorkers = 64;
constexpr std::chrono::seconds kDrain{30};

bool IsNodeId(const std::string& id) {
  return std::count(id.begin(), id.end(), '/') == 2 && id.front() != '/' && id.back() != '/' &&
         id.find("//") == std::string::npos;
}

}  // namespace

identity::PeerRule Settings::AgentRule() const {
  constexpr size_t kMostRoots = 64 << 10;
  auto beside = ReadFile(token_file.substr(0, token_file.rfind('/') + 1) + "roots.pem", kMostRoots);
  return {Roots() + (beside.ok() ? *beside : ""), agent_id};
}

Result<rpc::ChannelOptions> Settings::AgentChannel() const {
  rpc::ChannelOptions options;
  options.target = agent;
  options.peer = AgentRule();
  WEIR_ASSIGN(options.bearer_token, identity::ReadSecretFile(token_file));
  while (!options.bearer_token.empty() &&
         std::string_view(" \r\n\t").find(options.bearer_token.back()) != std::string::npos) {
    options.bearer_token.pop_back();
  }
  if (options.bearer_token.empty()) return FailedPrecondition("TOKEN_EMPTY", "{} is empty", token_file);
  return options;
}

void FillDefaults(bootstrap::v1::Gateway& message, const std::string& program) {
  if (message.state_dir().empty()) message.set_state_dir("./" + program + "-state");
  if (message.cluster().empty()) message.set_cluster(message.node_id().substr(0, message.node_id().find('/')));
  if (message.workers() == 0) message.set_workers(std::clamp(std::thread::hardware_concurrency(), 1u, kMostWorkers));
  if (message.admin().empty()) message.set_admin("unix:" + message.state_dir() + "/admin.sock");
  if (message.log().level().empty()) message.mutable_log()->set_level("info");
  if (!message.has_drain()) message.mutable_drain()->set_seconds(kDrain.count());
}

Result<Settings> ReadSettings(const bootstrap::v1::Gateway& given, const std::string& program) {
  bootstrap::v1::Gateway message = given;
  FillDefaults(message, program);
  std::vector<FieldViolation> wrong;
  const auto required = [&](const char* field, const std::string& value, const char* remedy) {
    if (value.empty()) wrong.push_back({field, fmt::format("is required: {}", remedy)});
  };
  required("agent", message.agent(), "host:port of the cluster's agent");
  required("agentId", message.agent_id(), "the SPIFFE id of the agent, spiffe://<cluster domain>/weir-agent");
  required("rootPem", message.root_pem(), "PEM of the mesh root that the agent's certificate leads to");
  required("tokenFile", message.token_file(), "the file with this workload's token");
  if (!message.root_pem().empty() && !identity::ReadCertificate(message.root_pem()).ok()) {
    wrong.push_back({"rootPem", "is not a PEM certificate"});
  }
  if (!message.agent_id().empty() && identity::TrustDomainOfAgent(message.agent_id()).empty()) {
    wrong.push_back({"agentId", "must be spiffe://<cluster domain>/weir-agent"});
  }
  if (!IsNodeId(message.node_id())) wrong.push_back({"nodeId", "must be <cluster>/<namespace>/<workload>"});
  if (message.workers() > kMostWorkers) wrong.push_back({"workers", "must be 1 to 64; leave it out for one per core"});
  if (!message.log().level().empty() && !obs::ParseLevel(message.log().level()).ok()) {
    wrong.push_back({"log.level", "must be debug, info, warn or error"});
  }
  if (!wrong.empty()) {
    Error error = InvalidArgument("BOOTSTRAP_INVALID", "the settings are not right");
    error.violations = std::move(wrong);
    return error;
  }
  Settings settings;
  settings.state_dir = message.state_dir();
  settings.agent = message.agent();
  settings.agent_id = message.agent_id();
  settings.root_pem = message.root_pem();
  settings.token_file = message.token_file();
  settings.node_id = message.node_id();
  settings.cluster = message.cluster();
  settings.region = message.region();
  settings.zone = message.zone();
  settings.workers = message.workers();
  settings.admin = message.admin();
  settings.probes = message.probes();
  settings.access_log = message.access_log();
  settings.log_level = message.log().level();
  settings.drain = std::chrono::seconds(message.drain().seconds()) + std::chrono::nanoseconds(message.drain().nanos());
  settings.source_address = message.source_address();
  settings.take_over = message.take_over();
  return settings;
}

}  // namespace weir::gateway
