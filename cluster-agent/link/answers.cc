#include "cluster-agent/link/answers.h"

#include "libs/rpc/status.h"

namespace weir::agent {

std::string WrongPort(std::string_view answer) {
  const auto says = [&](std::string_view words) { return answer.find(words) != std::string_view::npos; };
  constexpr std::string_view kRemedy = "give --server the port for agents, 9444 where nobody chose another";
  if (says("BAD_TOKEN")) return fmt::format("that is the gRPC port for people (9443); {}", kRemedy);
  if (says("ALPN")) {
    return fmt::format("what answers there speaks no gRPC: it may be the REST port (8443); {}", kRemedy);
  }
  return "";
}

Error FromServer(const grpc::Status& status) {
  Error error = rpc::FromGrpc(status);
  std::string wrong_port = WrongPort(error.ToString());
  if (wrong_port.empty()) return error;
  return FailedPrecondition("WRONG_PORT", "{}", wrong_port).WithCause(error.ToString());
}

}  // namespace weir::agent
