#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "libs/proxy/health_connection.h"
#include "libs/proxy/snapshot.h"

namespace weir::proxy {

class Worker;

// Where health reaches an endpoint of a destination set: the same door, name and identity as its requests.
struct HealthTarget {
  net::Address address;
  PeerWire wire;
  std::string sni;
};

// Asks one endpoint of one set again and again. An HTTP check keeps its connection: its end is the first sign of a
// death. After a sign of trouble it asks more often.
class ActiveCheck : public net::Timer, public HealthConnection::Owner {
 public:
  enum class Outcome : uint8_t {
    kGood,
    kBad,     // It answered, or its host did: refused, a status, the wrong identity.
    kSilent,  // Nothing came in time.
    kClosed,  // It served this connection before and now refuses: that is certain.
  };
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void OnChecked(Outcome outcome, std::string_view text) = 0;
    virtual bool MayCheck() = 0;    // False: too many are under way, later.
    virtual void CheckEnded() = 0;  // Of each that MayCheck let begin.
  };
  static constexpr uint64_t kQuickMs = 100;
  static constexpr uint64_t kHurryMs = 250;

  ActiveCheck(Worker& worker, Owner& owner) : worker_(worker), owner_(owner) {}
  ~ActiveCheck() override;

  // Begins after `delay_ms`; keeps going when only the spec changes.
  void Start(const HealthCheck& spec, HealthTarget target, std::string host, uint64_t delay_ms);
  // Something speaks for trouble: the endpoint is asked now.
  void CheckNow();
  // The next check comes soon, instead of after the interval.
  void CheckSoon();
  // True: nobody of its set can serve; whoever answers first is wanted at once, so the interval is at most kHurryMs.
  void SetShortInterval(bool hurry);

  void OnTimer() override;
  void OnUp() override;
  void OnBytes(const char* data, size_t size) override;
  void OnEnd(HealthConnection::End end, std::string_view why) override;

 private:
  static constexpr size_t kMaxAnswer = 16 * 1024;  // Head, and a body that nobody reads.

  void Ask();
  void Connect();
  void Request();
  void Answered(Outcome outcome, std::string_view text, bool keep);
  void Schedule(uint64_t in_ms);
  void Postpone();  // For want of a descriptor or a port here.
  uint64_t Interval() const;

  Worker& worker_;
  Owner& owner_;
  HealthCheck spec_;
  HealthTarget target_;
  std::string host_;
  HealthConnection::Ptr connection_;
  std::string answer_;
  bool asking_ = false;
  bool sent_ = false;    // The request is out.
  bool reused_ = false;  // On a connection that served before.
  bool served_ = false;  // The last connection gave a good answer, and is gone.
  bool quick_ = false;   // The next one after the one under way comes at once.
  bool hurry_ = false;
  bool patient_ = false;  // It was given more time, because this thread had none.
  uint64_t began_ms_ = 0;
  uint64_t due_ms_ = 0;
};

}  // namespace weir::proxy
