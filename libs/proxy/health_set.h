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
#include "libs/traffic/judge.h"

namespace weir::proxy {

class HealthSet;

// What the sets share. Lives on worker 0, as everything here.
class HealthServices {
 public:
  virtual ~HealthServices() = default;
  virtual Worker& worker() = 0;
  virtual void Changed(HealthSet& set) = 0;  // To be judged anew, soon.
  // Null when this endpoint cannot be asked for a digest. `set` is told of what it says.
  virtual DigestPeer* Join(const Cluster& cluster, const Endpoint& endpoint, HealthSet& set) = 0;
  // `host`: as it was when it joined.
  virtual void Leave(DigestPeer& peer, HealthSet& set, const std::string& host) = 0;
  virtual bool MayCheck() = 0;
  virtual void CheckEnded() = 0;
  virtual uint64_t FirstCheckDelay(const HealthCheck& spec, const std::string& key) = 0;
};

// All evidence about one endpoint of one destination set.
class HealthEndpoint : public ActiveCheck::Owner {
 public:
  HealthEndpoint(HealthServices& services, HealthSet& set, Endpoint endpoint);
  ~HealthEndpoint() override;

  void Configure(const Cluster& cluster);
  // Asks by digest, by checks, or not at all, as the peer allows.
  void ChooseSource(const Cluster& cluster);
  void Saw(const PassiveEvidence& evidence);

  struct Verdict {
    traffic::Evidence evidence = traffic::Evidence::kNone;
    bool silent = false;
    bool doubtful = false;  // Others first, though nothing is proven.
    bool partial = false;
    bool behind = false;  // It answers; it is those behind it that cannot serve.
  };
  Verdict Judge(const std::string& sni, uint64_t now_ms) const;
  uint64_t deadline_ms(uint64_t now_ms) const { return doubt_until_ms_ > now_ms ? doubt_until_ms_ : UINT64_MAX; }
  const std::string& key() const { return key_; }
  DigestPeer* peer() { return peer_; }
  EvidenceReport Report(const std::string& sni, uint64_t now_ms) const;

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
  uint64_t doubt_until_ms_ = 0;
  uint64_t doubted_ms_ = 0;
  uint32_t strikes_ = 0;
  std::string_view source_ = "";  // Of text_.
  std::string text_;
  uint64_t at_ms_ = 0;
};

// One destination set: its endpoints, and a judge per locality.
class HealthSet : public net::Timer {
 public:
  HealthSet(HealthServices& services, std::string name);
  ~HealthSet() override;

  void Update(std::shared_ptr<const Cluster> source);
  const std::shared_ptr<const Cluster>& source() const { return source_; }
  const std::string& name() const { return name_; }
  const std::string& host() const { return host_; }  // By which a digest names it; "" = none.
  void Saw(const PassiveEvidence& evidence);
  void OnPeer();  // A peer of it has become another.

  // Judges anew. Null = as before.
  std::shared_ptr<const SetHealth> Judge();
  const std::shared_ptr<const SetHealth>& health() const { return health_; }
  SetHealthReport Report() const;

  void OnTimer() override { services_.Changed(*this); }

  bool dirty = false;   // Waits to be judged.
  bool answer = false;  // Somebody waits for word even when nothing changed.

 private:
  struct LocalityState {
    traffic::ClusterJudge judge;
    std::vector<HealthEndpoint*> endpoints;
    bool usable = false;  // Some endpoint that nothing speaks against.
    bool able = false;    // Some endpoint that is not proven bad.
    bool partly = false;  // Some endpoint that could serve at least a part.
    bool behind = false;  // Its gateways answer for nobody.
    std::string_view reason;
  };
  void Weigh(LocalityState& state, const Locality& locality, std::vector<EndpointOut>& out, uint64_t now_ms);
  void Decide(SetHealth& health) const;
  void LogChange(const SetHealth& before, const SetHealth& after) const;

  HealthServices& services_;
  std::string name_;
  std::string host_;
  std::shared_ptr<const Cluster> source_;
  std::map<std::string, std::unique_ptr<HealthEndpoint>> endpoints_;  // By key.
  std::vector<std::string> names_;                                    // Of the localities.
  std::vector<LocalityState> localities_;
  std::shared_ptr<const SetHealth> health_;
};

}  // namespace weir::proxy
