#include "mgmt-server/housekeeping.h"

#include <utility>

#include "libs/obs/log.h"
#include "mgmt-server/services/admin_states.h"

namespace weir::server {
namespace {

void Warn(const char* text, const Status& done) {
  if (!done.ok()) obs::Log(obs::Level::kWarn, text, {{"error", done.error().ToString()}});
}

}  // namespace

void Housekeeping::Start(store::Store& store, const Clock& clock, const RetentionBounds& bounds,
                         const std::atomic<bool>& stopping, std::function<void(const Status&)> forgot) {
  forgetting_.Start(clock, std::chrono::hours(1), [&store, &clock, bounds, &stopping, forgot = std::move(forgot)] {
    const Status done = Forget(store, bounds, clock.Wall(), stopping);
    forgot(done);
    Warn("nothing was forgotten", done);
  });
  admin_states_.Start(clock, std::chrono::seconds(1), [&store, &clock] {
    Warn("admin states were not ended", services::ExpireAdminStates(store, clock.Wall()));
  });
}

void Housekeeping::Also(const Clock& clock, Duration interval, std::function<void()> task) {
  others_.push_back(std::make_unique<Repeating>());
  others_.back()->Start(clock, interval, std::move(task));
}

void Housekeeping::Stop() {
  for (const auto& other : others_) other->Stop();
  forgetting_.Stop();
  admin_states_.Stop();
}

}  // namespace weir::server
