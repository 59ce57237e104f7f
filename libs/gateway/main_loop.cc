#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdio>
#include <thread>

#include "api/weir/bootstrap/v1/bootstrap.pb.h"
#include "libs/bootstrap/load.h"
#include "libs/gateway/gateway.h"
#include "libs/gateway/report.h"
#include "libs/obs/log.h"
#include "libs/process/service_manager.h"
#include "libs/process/start.h"
#include "libs/process/stop_signals.h"

namespace weir::gateway {
namespace {

// "WEIR_TIER1_" of "weir-tier1".
std::string EnvironmentPrefix(const std::string& program) {
  std::string prefix;
  for (const char c : program) prefix += c == '-' ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  return prefix + "_";
}

bootstrap::Program ProgramOf(const Role& role) {
  const std::string& name = role.program();
  return {.name = name,
          .purpose = role.purpose(),
          .version = std::string(kVersion),
          .environment_prefix = EnvironmentPrefix(name),
          .defaults = [name](google::protobuf::Message& message) {
            FillDefaults(static_cast<bootstrap::v1::Gateway&>(message), name);
          }};
}

bool SignalCame(int signals, int milliseconds) {
  pollfd wait{signals, POLLIN, 0};
  if (poll(&wait, 1, milliseconds) <= 0) return false;
  signalfd_siginfo info;
  return read(signals, &info, sizeof(info)) == sizeof(info);
}

}  // namespace

int Main(Role& role, int argc, const char* const* argv) {
  process::SilenceGrpc();
  const process::StopSignals stop_signals;
  const int signals = stop_signals.NewDescriptor();
  bootstrap::v1::Gateway message;
  Result<Settings> settings = Internal("BOOTSTRAP", "not read");
  const bootstrap::Program program = ProgramOf(role);
  const bootstrap::Outcome outcome =
      bootstrap::Load(program, argc, argv, message, [&](const google::protobuf::Message& filled) -> Status {
        settings = ReadSettings(static_cast<const bootstrap::v1::Gateway&>(filled), role.program());
        return settings.ok() ? Status() : Status(settings.error());
      });
  if (!outcome.run) return outcome.exit_code;
  process::SetLogLevel(settings->log_level);

  auto gateway = Gateway::Start(*settings, role);
  if (!gateway.ok()) return process::CannotStart(role.program(), gateway.error());
  obs::Log(obs::Level::kInfo, "started",
           {{"program", role.program()},
            {"version", std::string(kVersion)},
            {"node", settings->node_id},
            {"admin", (*gateway)->admin_address()}});
  // MAINPID: after a take-over we are the service, not the process that the manager started first.
  process::TellServiceManager(fmt::format("READY=1\nMAINPID={}\n", getpid()));
  // The door's POST /drain only raises a flag; it is looked at twice a second.
  while (!SignalCame(signals, 500) && !(*gateway)->DrainAsked()) {
  }
  std::thread impatient([signals] {
    if (SignalCame(signals, -1)) _exit(1);
  });
  impatient.detach();
  if (!(*gateway)->HandedOver()) process::TellServiceManager("STOPPING=1\n");
  (*gateway)->Drain();
  gateway->reset();
  obs::Log(obs::Level::kInfo, "stopped");
  return 0;
}

}  // namespace weir::gateway
