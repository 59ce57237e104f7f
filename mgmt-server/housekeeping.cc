#include "mgmt-server/housekeeping.h"

#include <utility>

#include "libs/obs/log.h"
#include "libs/obs/metrics.h"

namespace weir::server {
namespace {

void Warn(const char* text, const Status& done) {
  if (!done.ok()) obs::Log(obs::Level::kWarn, text, {{"error", done.error().ToString()}});
}

}  // namespace

void Housekeeping::Start(const services::Backends& backends, obs::Metrics& metrics, const RetentionBounds& bounds,
                         std::function<void(const Status&)> forgot) {
  const Clock& clock = *backends.clock;
  ends_ = std::make_unique<services::AdminStateEnds>(backends);
  metrics.AddSource([this](std::string& out) { ends_->Render(out); });
  forgetting_.Start(clock, std::chrono::hours(1), [&backends, bounds, forgot = std::move(forgot)] {
    const Status done = Forget(*backends.store, bounds, backends.clock->Wall(), *backends.stopping);
    forgot(done);
    Warn("nothing was forgotten", done);
  });
  admin_states_.Start(clock, std::chrono::seconds(1),
                      [this, &clock] { Warn("admin states were not ended", ends_->Pass(clock.Wall())); });
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
