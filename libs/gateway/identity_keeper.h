#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "libs/base/result.h"
#include "libs/gateway/settings.h"
#include "libs/identity/certificates.h"

namespace grpc {
class ClientContext;
}

namespace weir::gateway {

struct Leaf {
  std::string key_pem;
  std::string chain_pem;
  identity::CertificateFacts facts;
  MonoTime renew_at;  // About half of what was left of it, a little different for each gateway.
};

// Gets this workload's certificate from the agent and renews it at half of its life, for ever, with backoff. The last
// two stand in <state_dir>/identity.1 and .2 (0600, docs/formats/last-good.md), so that a restart does not need the
// agent. One thread of its own.
class IdentityKeeper {
 public:
  using OnLeaf = std::function<Status(const Leaf&)>;

  // `on_leaf` runs on the caller's thread inside Restore and on the keeper's thread later; a leaf it refuses is not
  // kept and asked for again.
  IdentityKeeper(const Settings& settings, OnLeaf on_leaf, const Clock& clock);
  ~IdentityKeeper();

  // Takes the newest kept leaf that is whole and still verifies; answers why newer ones were refused. NOT_FOUND when
  // there is none at all; else why it was refused.
  Result<std::vector<std::string>> Restore();
  void Start();
  void Stop();

  // Asks now, whatever is left of the leaf's life.
  void RenewNow();
  // Settings::Roots says others now: asks at once if another one signs than signed the leaf, and then each 5 s until
  // the agent has turned to it too.
  void RootsChanged();

  std::optional<Leaf> Current() const;
  // That renewal is overdue (half of what was left when it was due is over, and when it runs out), and that the leaf
  // could not be written: a restart would have to ask the agent. Tried again each minute.
  std::vector<std::string> Problems() const;

 private:
  void Run();
  void Keep(const Leaf& leaf);
  void KeepAgain() WEIR_REQUIRES(mutex_);  // Free meanwhile.
  Result<Leaf> Ask();
  bool UnderSigningRoot(const std::string& chain_pem) const;
  Result<Leaf> Check(std::string key_pem, std::string chain_pem) const;

  const Settings settings_;
  const OnLeaf on_leaf_;
  const Clock& clock_;
  const std::string path_;
  mutable Mutex mutex_;
  CondVar wake_;
  bool stopped_ WEIR_GUARDED_BY(mutex_) = false;
  bool hurry_ WEIR_GUARDED_BY(mutex_) = false;                   // The wait is over before its time.
  grpc::ClientContext* call_ WEIR_GUARDED_BY(mutex_) = nullptr;  // The one under way, so that Stop can end it.
  std::optional<Leaf> current_ WEIR_GUARDED_BY(mutex_);
  std::string unkept_ WEIR_GUARDED_BY(mutex_);  // Why the current one is not on disk; "" = it is.
  std::thread thread_;
};

}  // namespace weir::gateway
