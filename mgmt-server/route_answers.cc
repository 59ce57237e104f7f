#include "mgmt-server/route_answers.h"

#include "mgmt-server/push/world_feed.h"
#include "mgmt-server/status/route.h"

namespace weir::server {

std::vector<v2::ExplainedRoute> ExplainRouteAt(const store::View& then, const store::View& now,
                                               const status::AskedRequest& asked) {
  status::PiecesOnDemand pieces(push::LoadWorld(then, now));
  return status::ExplainRoute(pieces, asked, status::NothingReported());
}

}  // namespace weir::server
