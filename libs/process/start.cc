#include "libs/process/start.h"

#include <cstdlib>

#include "libs/obs/log.h"

namespace weir::process {

void SilenceGrpc() { setenv("GRPC_VERBOSITY", "NONE", 0); }

void SetLogLevel(std::string_view level) {
  if (const auto parsed = obs::ParseLevel(level); parsed.ok()) obs::SetLevel(*parsed);
}

int CannotStart(std::string_view program, const Error& error) {
  obs::Log(obs::Level::kError, "cannot start",
           {{"program", std::string(program)}, {"error", error.ToString()}, {"cause", error.cause}});
  return 1;
}

}  // namespace weir::process
