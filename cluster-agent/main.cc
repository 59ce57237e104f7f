#include <signal.h>

#include <atomic>
#include <cstdio>
#include <thread>

#include "api/weir/bootstrap/v1/bootstrap.pb.h"
#include "cluster-agent/agent.h"
#include "libs/bootstrap/load.h"
#include "libs/obs/log.h"

namespace {

constexpr char kVersion[] = "0.1.0";

}  // namespace

int main(int argc, char** argv) {
  using namespace weir;  // NOLINT: the program's own.
  // Blocked before any thread begins, so that only the thread below takes them.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);

  bootstrap::v1::Agent config;
  const bootstrap::Program program{"weir-agent", "The local control plane of one cluster.", kVersion, "WEIR_AGENT_"};
  const bootstrap::Outcome outcome =
      bootstrap::Load(program, argc, argv, config, [](const google::protobuf::Message& message) {
        return agent::Agent::Check(static_cast<const bootstrap::v1::Agent&>(message));
      });
  if (!outcome.run) return outcome.exit_code;
  agent::Agent::FillDefaults(config);
  if (const auto level = obs::ParseLevel(config.log().level()); level.ok()) obs::SetLevel(*level);

  std::atomic<bool> stop{false};
  std::thread([&stop, signals] {
    int signal = 0;
    sigwait(&signals, &signal);
    stop = true;
    stop.notify_all();
  }).detach();

  auto started = agent::Agent::Start(config, kVersion, stop);
  if (!started.ok()) {
    if (stop) return 0;
    obs::Log(obs::Level::kError, "the agent could not start",
             {{"error", started.error().ToString()}, {"cause", started.error().cause}});
    return 1;
  }
  stop.wait(false);
  obs::Log(obs::Level::kInfo, "stopping");
  (*started)->Stop();
  return 0;
}
