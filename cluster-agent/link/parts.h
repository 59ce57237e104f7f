#pragma once

#include <cstddef>
#include <vector>

#include "api/weir/agent/v1/agent.pb.h"

namespace weir::agent {

// Of a message to the server, which takes 4 MiB, about so much: one workload, service or gateway more than that.
inline constexpr size_t kPartBytes = 1u << 20;

// `delta` in parts of about `most` bytes (FactsDelta.more).
std::vector<v1::AgentMessage> InParts(v1::FactsDelta delta, size_t most = kPartBytes);
// `applied` as itself and the changes that follow it.
std::vector<v1::AgentMessage> InParts(const v1::Applied& applied, size_t most = kPartBytes);

}  // namespace weir::agent
