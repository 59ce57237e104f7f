#pragma once

#include <string>
#include <string_view>

#include "api/weir/v2/cluster.pb.h"
#include "libs/base/clock.h"
#include "libs/base/result.h"

// How the admin state of a cluster changes by verbs, by an undo and by its end. Pure.
namespace weir::resource {

// DRAINING and MAINTENANCE: its share moves as if it could not serve.
bool TakesNoRequests(v2::AdminState state);

struct AdminOrder {
  v2::AdminState state = v2::ACTIVE;
  std::string reason{};
  std::string author{};  // FQN.
  Duration ttl{0};       // 0 = for good.
};
inline constexpr int kMostAdminChanges = 8;
inline constexpr Duration kMostAdminTtl = std::chrono::hours(24 * 365);
inline constexpr size_t kMostAdminReason = 512;  // Bytes.

// Sets state and record; false: it is so already, and the order has neither a reason nor an end of its own.
bool SetAdminState(const AdminOrder& order, WallTime now, v2::Cluster& cluster);
// Back to the state before the last verb that has not ended. FAILED_PRECONDITION NOTHING_TO_UNDO.
Status UndoAdminState(WallTime now, v2::Cluster& cluster);
// Back from what has ended; false = nothing has.
bool ExpireAdminState(WallTime now, v2::Cluster& cluster);
// The record of what its state is now; nullptr = no verb set it.
const v2::AdminChange* AdminChangeOf(const v2::Cluster& cluster);

}  // namespace weir::resource
