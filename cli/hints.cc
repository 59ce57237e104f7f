#include "cli/hints.h"

namespace weir::cli {

Error WithHint(Error error) {
  const auto says = [&](std::string_view words) { return error.message.find(words) != std::string::npos; };
  if (says("ALPN")) {
    error.message =
        "what answers there speaks no gRPC: it may be the REST port (8443); give the gRPC port, 9443 where nobody "
        "chose "
        "another";
    error.reason = "SERVER_UNREACHABLE";
    error.code = Code::kFailedPrecondition;  // Nothing is left to ask.
  } else if (error.reason == "CERTIFICATE_MISSING") {
    error.message = "that is the port for agents (9444); give the gRPC port, 9443 where nobody chose another";
    error.reason = "SERVER_UNREACHABLE";
    error.code = Code::kFailedPrecondition;
  } else if (error.code == Code::kUnimplemented && error.reason.starts_with("RPC_")) {
    error.message = "what answers there does not know this command: it is no weir-server, or an older one";
  } else if (error.message.empty()) {
    error.message = "the server gave no reason";
  }
  return error;
}

}  // namespace weir::cli
