#include "mgmt-server/push/ahead.h"

#include <utility>

#include "api/weir/v2/rollout.pb.h"
#include "libs/obs/log.h"

namespace weir::push {

compile::Ahead AheadOf(const std::vector<store::OverlayPtr>& overlays, const compile::Ahead& before) {
  compile::Ahead ahead;
  for (const store::OverlayPtr& row : overlays) {
    v2::RolloutOverlay overlay;
    if (!overlay.ParseFromString(row->body)) {
      obs::Log(obs::Level::kError, "a rollout cannot be read", {{"change_set", row->fqn}});
      continue;
    }
    ahead.clusters.insert(overlay.clusters().begin(), overlay.clusters().end());
    for (v2::RolloutOverlay::Resource& resource : *overlay.mutable_resources()) {
      compile::Ahead::Entry entry{std::move(*resource.mutable_kind()), std::move(*resource.mutable_uid()),
                                  std::move(*resource.mutable_body()), nullptr};
      const auto known = before.resources.find(resource.fqn());
      if (resource.gone())
        entry.body.clear();
      else if (known != before.resources.end() && known->second.message != nullptr && known->second.SameText(entry))
        entry.message = known->second.message;
      else
        entry.message = compile::Ahead::Read(entry);
      ahead.progress[resource.fqn()] = {static_cast<size_t>(overlay.clusters_size()),
                                        static_cast<size_t>(overlay.concerned())};
      ahead.resources.insert_or_assign(resource.fqn(), std::move(entry));
    }
  }
  return ahead;
}

}  // namespace weir::push
