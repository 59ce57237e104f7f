#include <algorithm>
#include <map>
#include <utility>

#include "libs/base/mutex.h"
#include "libs/base/wait.h"
#include "libs/obs/log.h"
#include "libs/rpc/time.h"
#include "mgmt-server/fleet/core.h"
#include "mgmt-server/push/pusher.h"
#include "mgmt-server/store/store.h"

// What the fleet does at every beat: tell agents that the server is there, notice who is not, forget who is gone.
namespace weir::fleet {

// When agents were last heard of, for a server that starts after this one is killed.
void Fleet::Core::StoreLastSeen() {
  std::map<std::string, WallTime> seen;  // By uid.
  {
    MutexLock lock(mutex);
    for (const auto& [cluster, entry] : live) {
      if (entry.stream != nullptr) seen[entry.uid] = entry.last_seen;
    }
  }
  if (seen.empty()) return;
  const Status stored = store.Write([&](store::Txn& txn) -> Status {
    for (const auto& [uid, time] : seen) WEIR_TRY(txn.SetLastSeen(uid, time));
    return {};
  });
  if (!stored.ok()) {
    obs::Log(obs::Level::kWarn, "cannot store when agents were heard of", {{"error", stored.error().ToString()}});
  }
}

void Fleet::Core::SendBeat(uint64_t sequence, const std::vector<AgentStreamPtr>& streams) const {
  agent::v1::ServerMessage beat;
  beat.mutable_heartbeat()->set_sequence(sequence);
  *beat.mutable_heartbeat()->mutable_time() = rpc::ToTimestamp(options.clock->Wall());
  for (const auto& stream : streams) {
    beat.mutable_heartbeat()->set_held(held.Reason(stream->cluster()));
    stream->Send(beat);
  }
}

// Heartbeats out; silence ends a stream. Silence is judged here, because a stopped agent keeps its TCP connection
// alive.
void Fleet::Core::SendHeartbeats() {
  constexpr uint64_t kLooksPerBeat = 6;                   // Silence shows within half a second of its limit.
  constexpr uint64_t kLooksPerSeen = 10 * kLooksPerBeat;  // So old may be what is stored of when an agent was heard of.
  uint64_t stored = 0;
  MutexLock lock(mutex);
  for (uint64_t turn = 1; !WaitFor(*options.clock, news, mutex, options.heartbeat / kLooksPerBeat,
                                   [&]() WEIR_REQUIRES(mutex) { return stopped; });
       ++turn) {
    const bool beat_now = turn % kLooksPerBeat == 0;
    std::vector<AgentStreamPtr> alive, silent;
    for (const auto& [cluster, entry] : live) {
      if (entry.stream == nullptr) continue;
      if (IsSilent(*entry.stream))
        silent.push_back(entry.stream);
      else if (beat_now)
        alive.push_back(entry.stream);
    }
    lock.Unlock();
    SendBeat(turn / kLooksPerBeat, alive);
    for (const auto& stream : silent) {
      OnStreamEnded(*stream);
      stream->Close(Unavailable("HEARTBEAT_MISSED", "the agent is silent"));
    }
    CloseEndedMemberships();  // A stream that was being opened while its membership ended.
    if (beat_now) ForgetDeleted();
    if (beat_now && !tidying.exchange(true)) {
      const bool seen = turn / kLooksPerSeen != std::exchange(stored, turn / kLooksPerSeen);
      const auto task = [core = shared_from_this(), seen] {
        if (seen) core->StoreLastSeen();
        core->SweepTraffic();
        core->tidying = false;
      };
      if (!pool.Post("", task)) tidying = false;
    }
    lock.Lock();
  }
}

void Fleet::Core::SweepTraffic() {
  if (pusher == nullptr) return;
  pusher->Read([&](const compile::Compilation& compilation) {
    MutexLock lock(mutex);  // The lock of the compilation comes before ours, here as everywhere.
    traffic.Sweep(compilation, options.clock->Now());
  });
}

// Ends the streams of whoever is no cluster's agent any more: replaced by a later join, revoked, or deleted.
void Fleet::Core::CloseEndedMemberships() {
  const store::ViewPtr view = store.Read();
  std::vector<std::pair<AgentStreamPtr, Error>> ended;
  {
    MutexLock lock(mutex);
    for (const AgentStreamPtr& stream : open) {
      const Status valid = Memberships::StillValid(*view, stream->member());
      if (!valid.ok()) ended.emplace_back(stream, valid.error());
    }
  }
  for (const auto& [stream, reason] : ended) {
    obs::Log(obs::Level::kWarn, "an agent's membership has ended",
             {{"cluster", stream->cluster()}, {"reason", reason.ToString()}});
    OnStreamEnded(*stream);
    stream->Close(reason);
  }
  if (intents != nullptr) intents->EndUngrantedStreams();
}

// What was known of a cluster that is deleted goes; a new one of the same name begins from nothing.
void Fleet::Core::ForgetDeleted() {
  const store::ViewPtr view = store.Read();
  MutexLock lock(mutex);
  const size_t gone = std::erase_if(live, [&](const auto& entry) WEIR_REQUIRES(mutex) {
    const store::ResourcePtr cluster = view->Get(entry.first);
    if (cluster != nullptr && entry.second.uid == cluster->uid) return false;
    applied.Forget(entry.first);
    traffic.Forget(entry.first);
    return true;
  });
  if (gone > 0) ++changes;
}

}  // namespace weir::fleet
