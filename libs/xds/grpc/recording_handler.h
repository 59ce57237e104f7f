#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "libs/base/mutex.h"
#include "libs/xds/grpc/ads_service.h"

namespace weir::xds {

// For tests: lets in whom `authenticate` lets in, and remembers what clients said of each resource. Thread-safe.
class RecordingHandler final : public AdsHandler {
 public:
  using Authenticator = std::function<Result<AdsGrant>(const AdsPeer&)>;
  explicit RecordingHandler(Authenticator authenticate) : authenticate_(std::move(authenticate)) {}

  // The newest word on it is yes; "" = of whatever type.
  bool Accepted(const std::string& name, std::string_view type_url = "") const { return Said(true, name, type_url); }
  bool Refused(const std::string& name) const { return Said(false, name, ""); }
  // Whatever was ever refused, accepted since or not: name -> why; the type instead where an answer names none.
  std::map<std::string, std::string> Refusals() const {
    MutexLock lock(mutex_);
    return refusals_;
  }
  // Why the newest refusal; "" = there was none.
  std::string Error() const {
    MutexLock lock(mutex_);
    return error_;
  }
  void ForgetWords() {  // Not the refusals.
    MutexLock lock(mutex_);
    accepted_.clear();
  }

  Result<AdsGrant> Authenticate(const AdsPeer& peer) override { return authenticate_(peer); }
  void OnStream(const AdsStreamEvent&) override {}
  void OnAck(const std::string&, uint64_t, const AckEvent& event) override {
    MutexLock lock(mutex_);
    for (const NamedVersion& one : event.accepted_resources) accepted_[{event.type_url, one.name}] = true;
    for (const NamedVersion& one : event.rejected_resources) {
      accepted_[{event.type_url, one.name}] = false;
      refusals_[one.name] = event.error;
    }
    if (event.accepted) return;
    error_ = event.error;
    if (event.rejected_resources.empty()) refusals_[event.type_url] = event.error;
  }

 private:
  bool Said(bool yes, const std::string& name, std::string_view type_url) const {
    MutexLock lock(mutex_);
    for (const auto& [of, accepted] : accepted_) {
      if (of.second == name && (type_url.empty() || of.first == type_url) && accepted == yes) return true;
    }
    return false;
  }

  const Authenticator authenticate_;
  mutable Mutex mutex_;
  std::map<std::pair<std::string, std::string>, bool> accepted_ WEIR_GUARDED_BY(mutex_);  // Type, name.
  std::map<std::string, std::string> refusals_ WEIR_GUARDED_BY(mutex_);
  std::string error_ WEIR_GUARDED_BY(mutex_);
};

}  // namespace weir::xds
