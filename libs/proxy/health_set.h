#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libs/proxy/health_check.h"
#include "libs/proxy/health_peer.h"
#include "libs/proxy/health_view.h"
#include "libs/proxy/report.h"
#include "libs/traffic/availability.h"
#include "libs/traffic/judge.h"
#include "libs/traffic/request_evidence.h"

namespace weir::proxy {

class HealthSet;

// What the sets share. Lives on worker 0, as everything here.
class HealthServices {
 public:
  virtual ~HealthServices() = default;
  virtual Worker& worker() = 0;
  virtual void Changed(HealthSet& set) = 0;  // To be judged anew, soon.
  // Null when this endpoint cannot be asked for a digest. `set` is told of what it says.
  virtual DigestPeer* JoinPeer(const DestinationSet& destination, const Endpoint& endpoint, HealthSet& set) = 0;
  // `host`: as it was when it joined.
  virtual void LeavePeer(DigestPeer& peer, HealthSet& set, const std::string& host) = 0;
  virtual bool MayCheck() = 0;
  virtual void CheckEnded() = 0;
  virtual uint64_t FirstCheckDelay(const HealthCheck& spec, const std::string& key) = 0;
};

// All evidence about one endpoint of one destination set.
class HealthEndpoint : public ActiveCheck::Owner {
 public:
  HealthEndpoint(HealthServices& services, HealthSet& set, Endpoint endpoint);
  ~HealthEndpoint() override;

  void Configure(const DestinationSet& destination);
  // Asks by digest, by checks, or not at all, as the peer allows.
  void ChooseSource(const DestinationSet& destination);
  void TakeOutcome(traffic::Failure failure);
  // The digest has just spoken of this host.
  void TakeWordOfPeer(const std::string& sni);
  void SetShortInterval(bool hurry) {
    if (check_ != nullptr) check_->SetShortInterval(hurry);
  }

  struct Verdict {
    traffic::Evidence evidence = traffic::Evidence::kNone;
    bool silent = false;     // With bad evidence: it does not answer at all.
    bool doubted = false;    // Others first, though nothing is proven.
    bool unusable = false;   // Doubted so that a choice between localities heeds it.
    bool answering = false;  // With bad evidence: its last answer was good.
    bool behind = false;     // It answers; it is those behind it that cannot serve.
    bool on_trial = false;
    RulesPtr rules{};
  };
  Verdict Judge(const std::string& sni, uint64_t now_ms) const;
  uint64_t deadline_ms(uint64_t now_ms) const { return requests_.deadline_ms(now_ms); }
  const std::string& key() const { return key_; }
  DigestPeer* peer() { return peer_; }
  EvidenceReport Report(const std::string& sni, uint64_t now_ms, const Clock& clock) const;

  void OnChecked(ActiveCheck::Outcome outcome, std::string_view text) override;
  bool MayCheck() override { return services_.MayCheck(); }
  void CheckEnded() override { services_.CheckEnded(); }

  bool kept = false;  // While a new configuration is taken in.

 private:
  HealthServices& services_;
  HealthSet& set_;
  Endpoint endpoint_;
  std::string key_;
  DigestPeer* peer_ = nullptr;
  std::string joined_as_;
  std::unique_ptr<ActiveCheck> check_;
  traffic::Streak checked_;
  bool silent_ = false;
  traffic::RequestEvidence requests_;
  std::string_view source_;  // Of text_.
  std::string text_;
  uint64_t at_ms_ = 0;
};

// One destination set: its endpoints, and a judge per locality.
class HealthSet : public net::Timer {
 public:
  HealthSet(HealthServices& services, std::string name);
  ~HealthSet() override;

  void Update(std::shared_ptr<const DestinationSet> source);
  const std::shared_ptr<const DestinationSet>& source() const { return source_; }
  const std::string& name() const { return name_; }
  const std::string& host() const { return host_; }  // By which a digest names this set; "" = none.
  void TakeOutcome(const RequestOutcome& outcome);
  void OnPeer();                            // A digest peer of this set says something else of itself.
  void OnPeerHost(const DigestPeer& peer);  // The peer says something new of host().

  // Judges anew. Null = as before.
  std::shared_ptr<const SetHealth> Judge();
  const std::shared_ptr<const SetHealth>& health() const { return health_; }
  SetHealthReport Report() const;

  void OnTimer() override { services_.Changed(*this); }

  bool dirty = false;   // Waits to be judged.
  bool answer = false;  // Somebody waits for word even when nothing changed.

 private:
  // One rule of the host, judged as the locality itself is: held after it was dead, returning slowly.
  struct RuleState {
    traffic::RuleHealth rule;
    traffic::ClusterJudge judge;
  };
  struct LocalityState {
    traffic::ClusterJudge judge;
    std::vector<HealthEndpoint*> endpoints;
    std::vector<RuleState> rules;  // In their order; empty while all are alike.
    traffic::Availability availability;
    // What was decided of it, health or not, and when that was last another; 0 = never.
    bool could_serve = true;
    uint64_t since_ms = 0;
  };
  using Verdicts = std::vector<HealthEndpoint::Verdict>;  // As LocalityState::endpoints.
  traffic::JudgeTimes Times() const;
  void JudgeLocality(LocalityState& state, const Locality& locality, const Verdicts& verdicts, uint64_t now_ms);
  void JudgeRules(LocalityState& state, const Verdicts& verdicts, uint64_t now_ms);
  static RulesPtr Differing(const LocalityState& state);
  void Decide(SetHealth& health, uint64_t now_ms);
  void LogChange(const SetHealth& before, const SetHealth& after) const;

  HealthServices& services_;
  std::string name_;
  std::string host_;
  std::shared_ptr<const DestinationSet> source_;
  std::map<std::string, std::unique_ptr<HealthEndpoint>> endpoints_;  // By key.
  std::vector<std::string> names_;                                    // Of the localities.
  std::vector<LocalityState> localities_;
  std::shared_ptr<const SetHealth> health_;
};

}  // namespace weir::proxy
