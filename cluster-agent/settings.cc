#include "cluster-agent/settings.h"

#include <google/protobuf/duration.pb.h>

#include "api/weir/bootstrap/v1/bootstrap.pb.h"
#include "cluster-agent/agent.h"
#include "libs/obs/log.h"

namespace weir::agent {
namespace {

constexpr std::chrono::seconds kJudgement{10};
constexpr std::chrono::minutes kLongestJudgement{10};

bool IsHostPort(const std::string& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == text.size()) return false;
  const std::string port = text.substr(colon + 1);
  return port.size() <= 5 && port.find_first_not_of("0123456789") == std::string::npos && std::stoi(port) <= 65535;
}

}  // namespace

Duration ToDuration(const google::protobuf::Duration& duration) {
  return std::chrono::seconds(duration.seconds()) + std::chrono::nanoseconds(duration.nanos());
}

void Agent::FillDefaults(bootstrap::v1::Agent& bootstrap) {
  if (bootstrap.state_dir().empty()) bootstrap.set_state_dir("./weir-agent-state");
  if (bootstrap.listen().empty()) bootstrap.set_listen("127.0.0.1:15012");
  if (bootstrap.workloads_dir().empty()) bootstrap.set_workloads_dir(bootstrap.state_dir() + "/workloads");
  // A socket's path may have 107 bytes; a default must not be the reason not to start.
  const std::string socket = bootstrap.state_dir() + "/admin.sock";
  if (bootstrap.admin().empty() && socket.size() <= 107) bootstrap.set_admin("unix:" + socket);
  if (!bootstrap.has_leaf_lifetime()) bootstrap.mutable_leaf_lifetime()->set_seconds(24 * 3600);
  if (!bootstrap.has_minimum_hold()) bootstrap.mutable_minimum_hold()->set_seconds(kJudgement.count());
  if (!bootstrap.has_slow_return()) bootstrap.mutable_slow_return()->set_seconds(kJudgement.count());
  if (bootstrap.log().level().empty()) bootstrap.mutable_log()->set_level("info");
}

Status Agent::Check(const bootstrap::v1::Agent& bootstrap) {
  Error error = InvalidArgument("BOOTSTRAP_INVALID", "the bootstrap is not complete");
  const auto require = [&error](bool holds, std::string field, std::string description) {
    if (!holds) error.violations.push_back({std::move(field), std::move(description)});
  };
  require(IsHostPort(bootstrap.server()), "server", "must be \"host:port\" of weir-server (9444)");
  require(!bootstrap.discovery_file().empty(), "discoveryFile", "is required: YAML with workloads and services");
  require(bootstrap.listen().empty() || IsHostPort(bootstrap.listen()), "listen", "must be \"address:port\"");
  if (bootstrap.has_leaf_lifetime()) {
    const Duration lifetime = ToDuration(bootstrap.leaf_lifetime());
    require(lifetime >= std::chrono::seconds(10) && lifetime <= std::chrono::hours(90 * 24), "leafLifetime",
            "must be 10 s to 90 d");
  }
  const auto judgement = [&](const google::protobuf::Duration& given, const char* field) {
    const Duration value = ToDuration(given);
    require(value >= Duration(0) && value <= kLongestJudgement, field, "must be 0 to 10 min");
  };
  judgement(bootstrap.minimum_hold(), "minimumHold");
  judgement(bootstrap.slow_return(), "slowReturn");
  if (!bootstrap.log().level().empty()) {
    require(obs::ParseLevel(bootstrap.log().level()).ok(), "log.level", "must be debug, info, warn or error");
  }
  if (error.violations.empty()) return {};
  return error;
}

}  // namespace weir::agent
