#pragma once

#include <string_view>

#include "libs/base/result.h"

namespace weir::process {

// What every main does between its bootstrap and its program.

// gRPC's own lines are no JSON, and what they tell is said by us: only with GRPC_VERBOSITY set. Before gRPC is used.
void SilenceGrpc();

// `level` is one that the bootstrap's check has passed: "debug", "info", "warn", "error"; "" leaves it as it is.
void SetLogLevel(std::string_view level);

// Logs why `program` ("weir-agent") could not start, with the cause. The exit code: 1.
int CannotStart(std::string_view program, const Error& error);

}  // namespace weir::process
