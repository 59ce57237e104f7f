#include "libs/traffic/reason.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "libs/resource/status_reason.h"
#include "mgmt-server/status/reach.h"

namespace weir::status {
namespace {

// Whatever word a gateway of any version reports of a cluster: the reason of the status is in the table.
TEST(StatusReason, EveryWordOfAGatewayHasItsReason) {
  for (int i = 1; i <= static_cast<int>(traffic::Reason::kRequestTimeout); ++i) {
    const std::string reason = ReasonName(static_cast<traffic::Reason>(i));
    const auto rows = resource::StatusReasons();
    EXPECT_TRUE(std::any_of(rows.begin(), rows.end(), [&](const auto& row) { return row.word == reason; })) << reason;
  }
}

}  // namespace
}  // namespace weir::status
