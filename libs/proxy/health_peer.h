#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libs/proxy/digest.h"
#include "libs/proxy/health_check.h"
#include "libs/proxy/health_connection.h"
#include "libs/traffic/judge.h"

namespace weir::proxy {

// A gateway of the next tier, and the one connection of this process over which it tells its health digest. Lives on
// worker 0.
class DigestPeer : public net::Timer, public HealthConnection::Owner {
 public:
  static constexpr uint32_t kDownAfter = 2, kUpAfter = 3;
  static constexpr uint64_t kAskAgainMs = 5'000;  // A peer without a digest may be replaced by one with.

  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void OnPeer(DigestPeer& peer) = 0;  // Anything but hosts changed.
    virtual void OnPeerHosts(DigestPeer& peer, const std::vector<std::string>& hosts) = 0;
  };

  // `key`: EndpointKey. `target.sni`: "health.<trust domain>".
  DigestPeer(Worker& worker, Owner& owner, std::string key, HealthTarget target, uint64_t connect_timeout_ms);
  ~DigestPeer() override;
  void Start() { Schedule(0); }

  // The peer takes connections but tells no digest: it is to be asked in other ways.
  bool without_digest() const { return mode_ == Mode::kWithoutDigest; }
  bool has_digest() const { return mode_ == Mode::kDigest; }
  // Is it there? kNone while nothing is known.
  traffic::Evidence evidence() const { return streak_.evidence(); }
  bool answering() const { return evidence() == traffic::Evidence::kBad && streak_.turning(); }
  bool silent() const { return silent_; }      // With bad evidence: it does not answer at all.
  bool doubtful() const { return doubtful_; }  // The connection is lost, the verdict still out; or it drains.
  DigestReader::Host Of(std::string_view host) const;
  const std::string& text() const { return text_; }  // The last thing that happened, for people.
  uint64_t at_ms() const { return at_ms_; }
  const std::string& key() const { return key_; }

  void OnTimer() override;
  void OnUp() override;
  void OnBytes(const char* data, size_t size) override;
  void OnEnd(HealthConnection::End end, std::string_view why) override;

 private:
  enum class Mode : uint8_t { kUnknown, kDigest, kWithoutDigest };
  void Connect();
  void Failed(bool silent, std::string_view why);
  void SetWithoutDigest(std::string_view why);
  void Lost(std::string_view why);
  void Heard(uint64_t beats);
  void Retry();
  void Schedule(uint64_t in_ms);
  void SetText(std::string_view text);

  Worker& worker_;
  Owner& owner_;
  std::string key_;
  HealthTarget target_;
  uint64_t connect_timeout_ms_;
  Mode mode_ = Mode::kUnknown;
  traffic::Streak streak_;
  bool silent_ = false;
  bool doubtful_ = false;
  bool patient_ = false;
  HealthConnection::Ptr connection_;
  std::unique_ptr<DigestReader> reader_;  // Of a connection whose state is not complete yet.
  std::unique_ptr<DigestReader> known_;   // The last complete state.
  uint64_t backoff_ms_ = 0;
  uint64_t due_ms_ = 0;
  uint64_t beats_ = 0;
  std::string text_;
  uint64_t at_ms_ = 0;
};

}  // namespace weir::proxy
