#pragma once

#include <memory>
#include <string>
#include <vector>

#include "libs/net/loop.h"
#include "libs/proxy/health_view.h"

namespace weir::proxy {

class Session;
class Worker;

// The callers of one worker that keep the health digest open.
class DigestStreams : public net::Timer {
 public:
  static constexpr size_t kMost = 256;                     // Beyond it: 503.
  static constexpr size_t kUnsentBytes = 4 * 1024 * 1024;  // A caller that does not read so much is let go.

  explicit DigestStreams(Worker& worker) : worker_(worker) {}
  // False: there are too many, or nothing to tell.
  bool Add(Session& session);
  void Remove(Session& session);
  void Take(const HealthUpdate& update);
  void Drain();            // Tells every caller that this gateway drains, and ends its stream.
  void EndInadmissible();  // After a new configuration: callers that may not ask any more hear nothing more.

  void OnTimer() override;

 private:
  void SendAll(const std::string& text);

  Worker& worker_;
  std::shared_ptr<const std::string> all_;
  uint64_t version_ = 0;
  std::vector<Session*> sessions_;
};

}  // namespace weir::proxy
