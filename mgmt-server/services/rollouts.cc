#include "mgmt-server/services/rollouts.h"

#include <algorithm>

#include "libs/obs/log.h"
#include "libs/resource/kinds.h"
#include "libs/rpc/time.h"
#include "mgmt-server/services/change_set_orders.h"
#include "mgmt-server/services/crud.h"
#include "mgmt-server/services/plan_tokens.h"

namespace weir::services {
namespace {

using v2::ChangeSet;
using v2::Rollout;
using v2::WaveProgress;

// So long a cluster may be unable to serve a host: gateways change over.
constexpr std::chrono::seconds kUnservable(5);

// Others write all the time; to try whether it still holds may take one part of so many of the time.
constexpr int kCheckShare = 20;

// It may be another time.
bool IsPassing(const Error& error) {
  return error.code == Code::kUnavailable || error.code == Code::kDeadlineExceeded || error.code == Code::kCancelled ||
         error.code == Code::kUnknown;
}

bool Exists(const store::View& view, const std::string& fqn) { return fqn.empty() || view.Get(fqn) != nullptr; }

// What the change needs is all there: whoever does not find it may not.
bool AllThere(const store::View& view, const ChangeOrder& order) {
  const auto there = [&](const Applied& document) {
    const std::string& fqn = document.draft.fqn.text;
    return Exists(view, resource::ParentFqn(fqn));
  };
  return std::all_of(order.documents.begin(), order.documents.end(), there) &&
         std::all_of(order.deletions.begin(), order.deletions.end(),
                     [&](const std::string& fqn) { return Exists(view, fqn); });
}

// Of what it writes or deletes, what others wrote since.
std::string WrittenSince(const store::View& view, const ChangeOrder& order, int64_t revision) {
  std::string written;
  const auto add = [&](const std::string& fqn) {
    const store::ResourcePtr stored = view.Get(fqn);
    if (stored != nullptr && stored->revision > revision) written += (written.empty() ? "" : ", ") + fqn;
  };
  for (const Applied& document : order.documents) add(document.draft.fqn.text);
  for (const std::string& fqn : order.deletions) add(fqn);
  return written;
}

std::string Place(const v2::WaveEvidence& evidence) {
  return fmt::format("{} {} {}", evidence.host(), evidence.cluster(), evidence.gateway());
}

void SetEvidence(const std::vector<v2::WaveEvidence>& evidence, WaveProgress& wave) {
  if (evidence.empty()) return;
  *wave.mutable_evidence() = {evidence.begin(), evidence.end()};
}

}  // namespace

Status EndRollout(store::Txn& txn, Rollout::Reason reason, const std::string& message, ChangeSet& set) {
  Rollout& rollout = *set.mutable_rollout();
  rollout.set_reason(reason);
  rollout.set_message(message);
  for (WaveProgress& wave : *rollout.mutable_waves()) {
    if (wave.state() != WaveProgress::RELEASED && wave.state() != WaveProgress::BAKING) continue;
    wave.set_state(WaveProgress::STOPPED);
    *wave.mutable_end_time() = rpc::ToTimestamp(txn.now());
  }
  return txn.DeleteOverlay(set.fqn());
}

CallContext Rollouts::InNameOfStarter(const ChangeSet& set) const {
  CallContext call;
  call.request_id = "rollout";
  call.principal = {set.started_by().user(), set.started_by().uid()};
  return call;
}

void Rollouts::Tick() {
  const store::ViewPtr view = backends_.store->Read();
  std::set<std::string> running;
  for (const store::OverlayPtr& row : view->Overlays()) {
    if (*backends_.stopping) return;
    running.insert(row->fqn);
    Move(*view, row);
  }
  std::erase_if(watched_, [&](const auto& one) { return !running.contains(one.first); });
  MutexLock lock(mutex_);
  std::erase_if(counts_, [&](const auto& one) { return !running.contains(one.first); });
}

void Rollouts::AddCounted(ChangeSet& set) const {
  const int wave = set.rollout().wave();
  if (set.state() != ChangeSet::ROLLING_OUT || wave == 0) return;
  WaveProgress& progress = *set.mutable_rollout()->mutable_waves(wave - 1);
  MutexLock lock(mutex_);
  const auto found = counts_.find(set.fqn());
  if (progress.state() == WaveProgress::BAKING && found != counts_.end()) found->second.ShowIn(progress);
}

void Rollouts::Move(const store::View& view, const store::OverlayPtr& row) {
  const store::ChangeSetPtr stored = view.FindChangeSet(row->fqn);
  Result<ChangeSet> set =
      stored == nullptr ? Result<ChangeSet>(NotFound("NO_CHANGE_SET", "it is gone")) : ReadRow(*stored);
  if (!set.ok() || set->state() != ChangeSet::ROLLING_OUT) {
    obs::Log(obs::Level::kError, "a rollout without its change set ends",
             {{"change_set", row->fqn}, {"error", set.ok() ? "it is not rolled out" : set.error().ToString()}});
    (void)backends_.store->Write([&](store::Txn& txn) { return txn.DeleteOverlay(row->fqn); });
    return;
  }
  Watched& watched = watched_[row->fqn];
  Underway rollout{std::move(set).value(), watched};
  if (watched.row != row) {
    watched.row = nullptr;
    if (!watched.overlay.ParseFromString(row->body))
      return Revert(rollout, Rollout::CONFLICT, "what it changes cannot be read any more");
    watched.row = row;
  }
  if (backends_.clock->Wall() > rpc::FromTimestamp(rollout.set.rollout().deadline())) {
    return Revert(rollout, Rollout::TIME_OVER, "it took longer than its waves may take");
  }
  const bool due = watched.checked != view.revision() && backends_.clock->Now() >= watched.next_check;
  if ((watched.checked < 0 || due) && !HoldsStill(view, rollout)) return;
  if (rollout.set.rollout().wave() == 0) return Release(rollout);
  Observe(rollout);
}

bool Rollouts::HoldsStill(const store::View& view, Underway& rollout) {
  const ChangeSet& set = rollout.set;
  auto order = OrderOf(set);
  if (!order.ok()) {
    Revert(rollout, Rollout::CONFLICT, "its documents cannot be read any more: " + order.error().reason);
    return false;
  }
  WouldBe done;
  const CallContext call = InNameOfStarter(set);
  const MonoTime begun = backends_.clock->Now();
  const Status tried = TryWrite(backends_, writes_, call, *order, done);
  rollout.watched.next_check = begun + kCheckShare * (backends_.clock->Now() - begun);
  if (!tried.ok() && IsPassing(tried.error())) return false;  // Until its time is over.
  if (tried.ok() && ChangeDigest(*order, done) == rollout.watched.overlay.digest()) {
    rollout.watched.checked = done.before->revision();
    return true;
  }
  const bool gone = view.GetByUid(set.started_by().uid()) == nullptr;
  const bool denied = !tried.ok() && (tried.error().code == Code::kPermissionDenied ||
                                      (tried.error().code == Code::kNotFound && AllThere(view, *order)));
  if (gone || denied) {
    Revert(rollout, Rollout::RIGHTS, set.started_by().user() + " who started it may not do all of it any more");
    return false;
  }
  const std::string written = WrittenSince(view, *order, rollout.watched.overlay.revision());
  Revert(rollout, Rollout::CONFLICT,
         !written.empty() ? "written by somebody else since it began: " + written
         : tried.ok()     ? std::string("what it changes was changed, or is gone, since it began")
                          : "it could not be stored any more: " + tried.error().reason);
  return false;
}

bool Rollouts::Notice(Underway& rollout) {
  Watched& watched = rollout.watched;
  const WaveProgress& wave = rollout.wave();
  if (watched.wave == rollout.set.rollout().wave() && watched.state == wave.state()) return true;
  // This server did not see what was counted before: it looks at the wave anew, gateways first.
  const bool unseen = wave.state() == WaveProgress::BAKING && watched.wave == 0;
  watched.wave = rollout.set.rollout().wave();
  watched.state = wave.state();
  watched.since = watched.after = backends_.clock->Now();
  watched.unservable.clear();
  {
    MutexLock lock(mutex_);
    counts_.erase(rollout.set.fqn());
  }
  if (!unseen) return true;
  Store(rollout, InNameOfStarter(rollout.set), "", [&](store::Txn&, ChangeSet& set, v2::RolloutOverlay&) {
    set.mutable_rollout()->mutable_waves(watched.wave - 1)->set_state(WaveProgress::RELEASED);
    return Status();
  });
  return false;
}

void Rollouts::Observe(Underway& rollout) {
  if (!Notice(rollout)) return;
  const Watched& watched = rollout.watched;
  const WaveProgress& wave = rollout.wave();
  const bool bakes = wave.state() == WaveProgress::BAKING;
  const bool over = bakes && backends_.clock->Now() >= watched.since + BakeTime(wave.gate());
  status::WaveQuestion question;
  for (const std::string& name : wave.clusters())
    question.wave.insert(resource::ClusterFqn(resource::ParentFqn(rollout.set.fqn()), name));
  question.told = {watched.overlay.clusters().begin(), watched.overlay.clusters().end()};
  for (const auto& resource : watched.overlay.resources()) question.resources.push_back(resource.fqn());
  question.hosts = {watched.overlay.hosts().begin(), watched.overlay.hosts().end()};
  question.after = watched.after;
  question.from = watched.since;
  question.released = rpc::FromTimestamp(wave.release_time());
  question.requests = bakes;
  question.gateways = !bakes || over;
  const status::WaveSeen seen = backends_.fleet->ObserveWave(question);
  if (bakes)
    Bake(rollout, seen, over);
  else
    AwaitGateways(rollout, seen);
}

void Rollouts::AwaitGateways(Underway& rollout, const status::WaveSeen& seen) {
  const Watched& watched = rollout.watched;
  const v2::WaveGate& gate = rollout.wave().gate();
  if (seen.told && seen.rejected) return Revert(rollout, Rollout::REJECTED, "a gateway refused it", seen.waiting);
  if (seen.told && seen.waiting.empty()) {
    return Store(rollout, InNameOfStarter(rollout.set), "", [&](store::Txn& txn, ChangeSet& set, v2::RolloutOverlay&) {
      WaveProgress& wave = *set.mutable_rollout()->mutable_waves(watched.wave - 1);
      wave.set_state(WaveProgress::BAKING);
      *wave.mutable_bake_start_time() = rpc::ToTimestamp(txn.now());
      return Status();
    });
  }
  if (backends_.clock->Now() < watched.since + ReadyTimeout(gate)) return;
  Revert(rollout, Rollout::NOT_READY,
         fmt::format("not every gateway of wave {} ran it within {} s", watched.wave, gate.ready_timeout().seconds()),
         seen.waiting);
}

std::vector<v2::WaveEvidence> Rollouts::Lasting(Watched& watched, const status::WaveSeen& seen, bool over) const {
  const MonoTime now = backends_.clock->Now();
  std::map<std::string, MonoTime> unservable;
  std::vector<v2::WaveEvidence> lasting;
  for (const v2::WaveEvidence& evidence : seen.unservable) {
    const auto known = watched.unservable.find(Place(evidence));
    const MonoTime since = known == watched.unservable.end() ? now : known->second;
    unservable[Place(evidence)] = since;
    if (over || now - since >= kUnservable) lasting.push_back(evidence);
  }
  watched.unservable = std::move(unservable);
  return lasting;
}

void Rollouts::Bake(Underway& rollout, const status::WaveSeen& seen, bool over) {
  Watched& watched = rollout.watched;
  const v2::WaveGate& gate = rollout.wave().gate();
  WaveCount count;
  {
    MutexLock lock(mutex_);
    WaveCount& kept = counts_[rollout.set.fqn()];
    if (seen.told) kept.Add(seen.counted);
    count = kept;
  }
  if (seen.told) watched.after = seen.now;
  if (const std::vector<v2::WaveEvidence> lasting = Lasting(watched, seen, over); !lasting.empty()) {
    return Revert(rollout, Rollout::CANNOT_SERVE,
                  fmt::format("since wave {} tier-1 gateways find clusters that cannot serve", watched.wave), lasting);
  }
  WaveProgress counted = rollout.wave();
  count.ShowIn(counted);
  const WaveCount::Verdict verdict = count.Judge(gate, over);
  if (verdict == WaveCount::Verdict::kGoesOn) return;
  if (verdict == WaveCount::Verdict::kSuccessRate) {
    return Revert(rollout, Rollout::SUCCESS_RATE, fmt::format("wave {}: {}", watched.wave, SayRate(counted)));
  }
  if (verdict == WaveCount::Verdict::kInconclusive) {
    return Revert(rollout, Rollout::INCONCLUSIVE,
                  fmt::format("wave {} had {} requests in {} s, and {} are asked for; withoutTraffic lets it pass",
                              watched.wave, counted.requests(), gate.bake_time().seconds(), gate.min_requests()));
  }
  if (!seen.told || !seen.waiting.empty()) {
    return Revert(rollout, Rollout::NOT_READY, fmt::format("gateways of wave {} do not run it any more", watched.wave),
                  seen.waiting);
  }
  rollout.wave() = counted;
  if (watched.wave == rollout.set.rollout().waves_size()) return Complete(rollout);
  Release(rollout);
}

template <typename Change>
void Rollouts::Store(Underway& rollout, const CallContext& call, const std::string& action, Change change) {
  const Status stored = backends_.Write(call, [&](store::Txn& txn) -> Status {
    WEIR_TRY(FindSame(txn, rollout.set));
    ChangeSet set = rollout.set;  // With what was counted.
    v2::RolloutOverlay overlay = rollout.watched.overlay;
    WEIR_TRY(change(txn, set, overlay));
    if (set.state() == ChangeSet::ROLLING_OUT && overlay.clusters_size() != rollout.watched.overlay.clusters_size())
      WEIR_TRY(txn.PutOverlay({set.fqn(), Serialize(overlay)}));
    return StoreChangeSet(txn, call, bounds_, action, set);
  });
  if (stored.ok()) {
    obs::Log(obs::Level::kInfo, "a rollout moves on",
             {{"change_set", rollout.set.fqn()},
              {"wave", std::to_string(rollout.set.rollout().wave())},
              {"action", action}});
    return;
  }
  // It is tried again at the next tick, on what is stored then.
  obs::Log(obs::Level::kWarn, "a rollout did not move on",
           {{"change_set", rollout.set.fqn()}, {"error", stored.error().ToString()}});
}

void Rollouts::Release(Underway& rollout) {
  Store(rollout, InNameOfStarter(rollout.set), "change-set.wave",
        [&](store::Txn& txn, ChangeSet& set, v2::RolloutOverlay& overlay) -> Status {
          Rollout& state = *set.mutable_rollout();
          const auto now = rpc::ToTimestamp(txn.now());
          if (state.wave() > 0) {
            WaveProgress& passed = *state.mutable_waves(state.wave() - 1);
            passed.set_state(WaveProgress::PASSED);
            *passed.mutable_end_time() = now;
          }
          state.set_wave(state.wave() + 1);
          WaveProgress& wave = *state.mutable_waves(state.wave() - 1);
          wave.set_state(WaveProgress::RELEASED);
          *wave.mutable_release_time() = now;
          for (const std::string& name : wave.clusters())
            overlay.add_clusters(resource::ClusterFqn(resource::ParentFqn(set.fqn()), name));
          return {};
        });
}

void Rollouts::Complete(Underway& rollout) {
  const CallContext call = InNameOfStarter(rollout.set);
  auto order = OrderOf(rollout.set);
  if (!order.ok()) return Revert(rollout, Rollout::CONFLICT, "its documents cannot be read any more");
  const Status approved = CheckApprovals(backends_, writes_, call, rollout.set, *order);
  if (!approved.ok()) return Revert(rollout, Rollout::APPROVALS, approved.error().message);
  Store(rollout, call, "change-set.commit",
        [&](store::Txn& txn, ChangeSet& set, v2::RolloutOverlay& overlay) -> Status {
          WouldBe done;
          WEIR_TRY(MakeChange(txn, call, writes_, *order, false, done));
          if (ChangeDigest(*order, done) != overlay.digest()) return StalePlan("it would do another thing");
          WEIR_TRY(services::Move(ChangeSetVerb::kComplete, ChangeSet::COMMITTED, set));
          WaveProgress& last = *set.mutable_rollout()->mutable_waves(set.rollout().wave() - 1);
          last.set_state(WaveProgress::PASSED);
          *last.mutable_end_time() = rpc::ToTimestamp(txn.now());
          set.set_revision(done.revision);
          *set.mutable_ended_by() = Person(call.principal, txn.now());
          txn.Annotate({.message = set.message(), .change_set = set.fqn()});
          return txn.DeleteOverlay(set.fqn());
        });
}

void Rollouts::Revert(Underway& rollout, Rollout::Reason reason, std::string message,
                      const std::vector<v2::WaveEvidence>& evidence) {
  const bool gate = reason == Rollout::SUCCESS_RATE || reason == Rollout::INCONCLUSIVE ||
                    reason == Rollout::NOT_READY || reason == Rollout::REJECTED || reason == Rollout::CANNOT_SERVE;
  const int at = rollout.set.rollout().wave();
  if (at > 0) {
    WaveProgress& wave = rollout.wave();
    {
      MutexLock lock(mutex_);
      if (const auto found = counts_.find(rollout.set.fqn()); found != counts_.end()) {
        wave.clear_evidence();
        found->second.ShowIn(wave);
      }
    }
    SetEvidence(evidence, wave);
  }
  Store(rollout, {}, "change-set.revert", [&](store::Txn& txn, ChangeSet& set, v2::RolloutOverlay&) -> Status {
    WEIR_TRY(services::Move(ChangeSetVerb::kRevert, ChangeSet::REVERTED, set));
    if (gate && at > 0) {
      WaveProgress& wave = *set.mutable_rollout()->mutable_waves(at - 1);
      wave.set_state(WaveProgress::FAILED);
      *wave.mutable_end_time() = rpc::ToTimestamp(txn.now());
    }
    return EndRollout(txn, reason, message, set);
  });
}

}  // namespace weir::services
