#include <atomic>
#include <cstdio>
#include <thread>

#include "api/weir/bootstrap/v1/bootstrap.pb.h"
#include "cluster-agent/agent.h"
#include "libs/base/descriptors.h"
#include "libs/bootstrap/load.h"
#include "libs/obs/log.h"
#include "libs/process/service_manager.h"
#include "libs/process/start.h"
#include "libs/process/stop_signals.h"
#include "libs/process/version.h"

int main(int argc, char** argv) {
  using namespace weir;  // NOLINT: the program's own.
  process::SilenceGrpc();
  const process::StopSignals signals;
  const std::string version(process::kVersion);
  bootstrap::v1::Agent config;
  const bootstrap::Program program{"weir-agent",
                                   "The local control plane of one cluster.",
                                   version,
                                   "WEIR_AGENT_",
                                   "",
                                   [](google::protobuf::Message& message) {
                                     agent::Agent::FillDefaults(static_cast<bootstrap::v1::Agent&>(message));
                                   }};
  const bootstrap::Outcome outcome =
      bootstrap::Load(program, argc, argv, config, [](const google::protobuf::Message& message) {
        return agent::Agent::Check(static_cast<const bootstrap::v1::Agent&>(message));
      });
  if (!outcome.run) return outcome.exit_code;
  process::SetLogLevel(config.log().level());

  std::atomic<bool> stop{false};
  std::thread([&stop, &signals] {
    signals.Wait();
    stop = true;
    stop.notify_all();
  }).detach();

  RaiseDescriptorLimit();
  auto started = agent::Agent::Start(config, version, stop);
  if (!started.ok()) {
    return stop ? 0 : process::CannotStart(program.name, started.error());
  }
  process::TellServiceManager("READY=1\n");  // Joined, and what the gateways need is served.
  stop.wait(false);
  process::TellServiceManager("STOPPING=1\n");
  obs::Log(obs::Level::kInfo, "stopping");
  (*started)->Stop();
  return 0;
}
