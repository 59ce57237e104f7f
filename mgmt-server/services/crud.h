#pragma once

#include "libs/resource/kinds.h"
#include "mgmt-server/services/backends.h"
#include "mgmt-server/services/call.h"
#include "mgmt-server/services/writes.h"

namespace weir::services {

// The tool of whoever changes something by create, update or a verb instead of documents:apply.
inline constexpr const char* kApiManager = "api";

// Adds the five methods of the service that is made of a kind (api/generator) to the table; nothing for a kind whose
// service is written by hand. All have requests of one shape, so they are read by reflection.
void AddCrud(MethodTable& table, const Backends& backends, Writes& writes, resource::Kind kind);

// One resource as it is answered: with all output-only fields, of a cluster its state too.
Result<MessagePtr> Render(const Backends& backends, const store::StoredResource& resource);

// Adds what agents report to a resource that was stored. An answer that was kept may be older than the caller's rights,
// or than who has the name: then nothing is added.
MethodTable::Finish AsReported(const Backends& backends);

// Of the versions that a call may replace (If-Match, or the one in its body) the one that is stored; else one of those
// it named, which will not fit. `stored`: nullptr = nothing is.
std::string WantedEtag(const CallContext& call, const std::string& in_body, const store::StoredResource* stored);

// INVALID_ARGUMENT BAD_FQN unless it is an FQN of that kind.
Result<resource::Fqn> ParseFqnOf(resource::Kind kind, const std::string& text);

}  // namespace weir::services
