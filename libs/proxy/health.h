#pragma once

#include <functional>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libs/proxy/health_board.h"
#include "libs/proxy/health_set.h"
#include "libs/proxy/health_view.h"
#include "libs/proxy/plan.h"
#include "libs/proxy/report.h"

namespace weir::proxy {

class Worker;

// Finds out who can serve, for the whole engine (docs/operating/health.md): the digests of the next tier, checks of its
// own, and what requests have taught. Lives on worker 0 and tells the others what changed. Keeps what it knows over new
// snapshots. Before the first word everybody counts as able.
class Health : public HealthServices, public DigestPeer::Owner, public net::Deferred {
 public:
  using Publish = std::function<void(std::shared_ptr<const HealthUpdate>)>;

  Health(Worker& worker, Publish publish) : worker_(worker), publish_(std::move(publish)) {}
  ~Health() override;

  void Update(const Plan& plan);
  void TakeOutcome(const RequestOutcome& outcome);
  std::vector<SetHealthReport> Report() const;  // Sorted by set.
  // Names of the sets that were judged anew since the call before, or all, and of those that went.
  struct Changes {
    std::vector<std::string> judged, gone;
  };
  Changes TakeChanges(bool all);
  std::vector<SetHealthReport> ReportOf(std::span<const std::string> sets) const;  // Those that are still there.

  // HealthServices
  Worker& worker() override { return worker_; }
  void Changed(HealthSet& set) override;
  DigestPeer* JoinPeer(const DestinationSet& destination, const Endpoint& endpoint, HealthSet& set) override;
  void LeavePeer(DigestPeer& peer, HealthSet& set, const std::string& host) override;
  bool MayCheck() override;
  void CheckEnded() override { --checks_under_way_; }
  uint64_t FirstCheckDelay(const HealthCheck& spec, const std::string& key) override;

  void OnPeer(DigestPeer& peer) override;
  void OnPeerHosts(DigestPeer& peer, const std::vector<std::string>& hosts) override;
  void OnDeferred() override;  // Judges what changed and tells everybody.

 private:
  static constexpr size_t kMaxChecks = 256;    // Under way at a time.
  static constexpr size_t kChecksAtOnce = 64;  // Begun without delay; more are spread over their interval.

  struct PeerUse {
    std::unique_ptr<DigestPeer> peer;
    TextMap<std::vector<HealthSet*>> sets;  // By host.
  };
  HealthSet* Track(const std::string& name, const std::shared_ptr<const DestinationSet>& destination);

  Worker& worker_;
  Publish publish_;
  HealthBoard board_;
  TextMap<std::unique_ptr<PeerUse>> peers_;  // By EndpointKey. Outlives the sets.
  TextMap<std::unique_ptr<HealthSet>> sets_;
  std::vector<HealthSet*> dirty_;
  std::vector<std::string> gone_;
  std::set<std::string> unreported_, unreported_gone_;  // By TakeChanges.
  size_t checks_under_way_ = 0;
  size_t checks_begun_ = 0;
};

}  // namespace weir::proxy
