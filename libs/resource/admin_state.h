#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "api/weir/v2/cluster.pb.h"
#include "libs/base/clock.h"
#include "libs/base/result.h"

namespace weir::v2 {
class FailoverPlan;
}

// How the admin state of a cluster changes by verbs, by an undo and by its end. Pure.
namespace weir::resource {

// DRAINING and MAINTENANCE: its share moves as if it could not serve.
bool TakesNoRequests(v2::AdminState state);
// The change takes it out of traffic.
bool Leaves(const v2::Cluster& before, const v2::Cluster& after);
// Requests that are served now would be only asked for, or answered by nobody; or those that are asked for now (panic)
// by nobody.
bool LeavesAlone(const v2::FailoverPlan& plan);

// What an order for the state that is there already does not say is kept; of another state it is nothing, and for good.
struct AdminOrder {
  v2::AdminState state = v2::ACTIVE;
  std::string reason{};           // "" = not said.
  std::string author{};           // FQN.
  std::optional<Duration> ttl{};  // 0 = for good; nullopt = not said.
};
inline constexpr int kMostAdminChanges = 8;
inline constexpr Duration kMostAdminTtl = std::chrono::hours(24 * 365);
inline constexpr size_t kMostAdminReason = 512;  // Bytes.

// Sets state and record; false: all of it is so already.
bool SetAdminState(const AdminOrder& order, WallTime now, v2::Cluster& cluster);
// Back to the state before the last verb that has not ended. FAILED_PRECONDITION NOTHING_TO_UNDO.
Status UndoAdminState(WallTime now, v2::Cluster& cluster);
// Back from what has ended; false = nothing has.
bool ExpireAdminState(WallTime now, v2::Cluster& cluster);
// A state that goes on though its end is past by more than this is kept on purpose.
inline constexpr Duration kAdminOverdue = std::chrono::seconds(5);
// The state that its end should have brought; nullopt = it is not overdue.
std::optional<v2::AdminState> OverdueAdminState(WallTime now, const v2::Cluster& cluster);
// The record of what its state is now; nullptr = no verb set it.
const v2::AdminChange* AdminChangeOf(const v2::Cluster& cluster);

}  // namespace weir::resource
