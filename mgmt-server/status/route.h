#pragma once

#include <functional>
#include <vector>

#include "api/weir/v2/traffic.pb.h"
#include "mgmt-server/status/asked_request.h"
#include "mgmt-server/status/reach.h"

namespace weir::status {

// What the asked request would meet at each gateway that knows its host: matched and spread by libs/traffic, from what
// is pushed and reported. Of an item's `changes` only the FQNs are set: all that takes part, whoever may see it; so are
// all hops. Who may see an item is decided by its rule's source, else by its own.
std::vector<v2::ExplainedRoute> ExplainRoute(Pieces& pieces, const AskedRequest& asked, const ReportedHealth& health);

// Nothing is known of who is healthy: what was, was not kept.
class NothingReported final : public ReportedHealth {
 public:
  Voice VoiceOf(const std::string&, const std::string&) const override { return Voice::kMute; }
  const agent::v1::ClusterHealth* Find(const std::string&, const std::string&, const std::string&,
                                       const std::string&) const override {
    return nullptr;
  }
  Shortfall Plight(const std::string&) const override { return {}; }
};

}  // namespace weir::status
