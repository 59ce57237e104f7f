#pragma once

#include <vector>

#include "api/weir/v2/traffic.pb.h"
#include "mgmt-server/status/asked_request.h"
#include "mgmt-server/store/view.h"

namespace weir::server {

// services::FleetView::ExplainRoute of the documents of `then`, with the gateways and services that clusters report
// `now`, where they are still the same clusters.
std::vector<v2::ExplainedRoute> ExplainRouteAt(const store::View& then, const store::View& now,
                                               const status::AskedRequest& asked);

}  // namespace weir::server
