#pragma once

#include <grpcpp/support/status.h>

#include <string>
#include <string_view>

#include "libs/base/result.h"

namespace weir::agent {

// Which port of weir-server it was that answered so, when it was not the one for agents, and what to do; "" = none of
// the others answers so.
std::string WrongPort(std::string_view answer);

// What a call to the server ended with. FAILED_PRECONDITION WRONG_PORT, with WrongPort's words.
Error FromServer(const grpc::Status& status);

}  // namespace weir::agent
