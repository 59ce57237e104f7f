#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "api/weir/bootstrap/v1/bootstrap.pb.h"
#include "libs/base/descriptors.h"
#include "libs/bootstrap/load.h"
#include "libs/obs/log.h"
#include "libs/process/service_manager.h"
#include "libs/process/start.h"
#include "libs/process/stop_signals.h"
#include "libs/process/version.h"
#include "mgmt-server/install/install.h"
#include "mgmt-server/recovery/verbs.h"
#include "mgmt-server/server.h"

namespace {

void PrintSummary(const weir::server::Server::Info& info) {
  std::printf("weir-server is ready\n");
  std::printf("  REST    https://%s:%u\n", info.address.c_str(), info.rest_port);
  std::printf("  gRPC    %s:%u\n", info.address.c_str(), info.grpc_port);
  std::printf("  agents  %s:%u\n", info.address.c_str(), info.agent_port);
  std::printf("  anchor  %s\n", info.anchor_path.c_str());
  if (!info.admin.empty()) std::printf("  admin   %s\n", info.admin.c_str());
  if (info.first_start) {
    std::printf("  first start: %s was created; the password is in %s\n", info.administrator.c_str(),
                info.password_path.c_str());
  }
  std::fflush(stdout);
}

// `weir-server install`; the exit code.
int Install(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 2, argv + argc);
  for (const std::string& word : arguments) {
    if (word == "--help" || word == "-h") return std::printf("%s", weir::install::kInstallHelp), 0;
  }
  const auto said = weir::install::Install(arguments, weir::server::Check);
  if (said.ok()) return std::printf("%s", said->c_str()), 0;
  std::fprintf(stderr, "weir-server: %s\n", said.error().ToString().c_str());
  for (const weir::FieldViolation& violation : said.error().violations) {
    std::fprintf(stderr, "  %s: %s\n", violation.field.c_str(), violation.description.c_str());
  }
  return said.error().code == weir::Code::kInvalidArgument ? 2 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "install") return Install(argc, argv);
  if (const auto done = weir::recovery::RunVerb(argc, argv)) return *done;
  weir::process::SilenceGrpc();
  const weir::process::StopSignals signals;
  weir::bootstrap::v1::Server bootstrap;
  const weir::bootstrap::Outcome outcome =
      weir::bootstrap::Load({.name = "weir-server",
                             .purpose = "The management plane: API, permissions, store, push and certificates.",
                             .version = std::string(weir::process::kVersion),
                             .environment_prefix = "WEIR_SERVER_",
                             .verbs = std::string(weir::install::kInstallHelp) + weir::recovery::kVerbsHelp,
                             .defaults =
                                 [](google::protobuf::Message& message) {
                                   weir::server::FillDefaults(static_cast<weir::bootstrap::v1::Server&>(message));
                                 }},
                            argc, argv, bootstrap, [](const google::protobuf::Message& message) {
                              return weir::server::Check(static_cast<const weir::bootstrap::v1::Server&>(message));
                            });
  if (!outcome.run) return outcome.exit_code;
  weir::process::SetLogLevel(bootstrap.log().level());

  weir::RaiseDescriptorLimit();
  auto server = weir::server::Server::Start(bootstrap);
  if (!server.ok()) return weir::process::CannotStart("weir-server", server.error());
  PrintSummary((*server)->info());
  weir::process::TellServiceManager("READY=1\n");
  const int signal_number = signals.Wait();
  weir::obs::Log(weir::obs::Level::kInfo, "stopping", {{"signal", std::to_string(signal_number)}});
  weir::process::TellServiceManager("STOPPING=1\n");
  (*server)->Stop();
  return 0;
}
