#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "libs/base/result.h"
#include "libs/proxy/envoy_snapshot.h"
#include "libs/proxy/snapshot.h"

namespace weir::gateway {

// What one tier adds to the engine. Its checks refuse what the tier must not serve (a peer without a demanded
// identity...), piece by piece; their Error is the NACK's text. One object serves one Gateway, which it outlives.
class Role : public proxy::PieceChecks {
 public:
  Role(std::string program, std::string purpose) : program_(std::move(program)), purpose_(std::move(purpose)) {}

  const std::string& program() const { return program_; }  // "weir-tier1"
  const std::string& purpose() const { return purpose_; }  // One sentence for --help.

  // What the engine serves of `snapshot`: itself, or with what the tier serves by itself. Unchanged pieces should stay
  // the same objects. One call at a time.
  virtual Result<std::shared_ptr<const proxy::Snapshot>> Adapt(std::shared_ptr<const proxy::Snapshot> snapshot) = 0;

 private:
  const std::string program_;
  const std::string purpose_;
};

// What several tiers demand (PEER_IDENTITY): that every chain asks its callers for one of the identities it names...
Status DemandNamedCallers(const proxy::Listener& listener);
// ...and that nobody is called who need not prove an identity. `tier` says who demands it: "tier 1".
Status DemandNamedUpstreams(const proxy::DestinationSet& destination, std::string_view tier);

}  // namespace weir::gateway
