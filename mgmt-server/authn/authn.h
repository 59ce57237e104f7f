#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <semaphore>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/clock.h"
#include "libs/base/result.h"
#include "mgmt-server/authn/principal.h"
#include "mgmt-server/store/store.h"

namespace weir::authn {

// argon2id (RFC 9106); the second recommended option, one lane.
struct PasswordCost {
  uint32_t memory_kib = 64 * 1024;
  uint32_t passes = 3;
};

struct Options {
  PasswordCost cost;
  Duration session_lifetime = std::chrono::hours(12);
  int failures_per_minute = 10;  // Of one user; then RESOURCE_EXHAUSTED until the oldest is a minute old.
  int parallel_hashes = 2;       // 1 to 16; more wait. Bounds memory and CPU of a flood of logins.
  const Clock* clock = &Clock::Real();
};

struct Login {
  std::string token;  // 43 characters of base64url: 32 random bytes. Shown once.
  WallTime expires;
  Principal principal;
};

// Users with a password of this server, and the bearer tokens (RFC 6750) they get for it. Thread-safe.
class Authn {
 public:
  Authn(store::Store& store, Options options);

  // UNAUTHENTICATED BAD_CREDENTIALS whether the user is unknown or the password wrong, after the same work;
  // RESOURCE_EXHAUSTED TOO_MANY_ATTEMPTS, known user or not. Slow on purpose (a memory-hard hash).
  Result<Login> LogIn(std::string_view organization, std::string_view user, std::string_view password);
  // Who a token speaks for. UNAUTHENTICATED BAD_TOKEN: unknown, expired, or its user is gone. In memory, fast.
  Result<Principal> Authenticate(std::string_view token) const;
  // Nothing happens when there is no such session.
  Status LogOut(std::string_view token);

  // INVALID_ARGUMENT PASSWORD_LENGTH outside 12 to 1024 bytes. Slow; call it before Store::Write and pass the result
  // on.
  Result<std::string> HashPassword(std::string_view password) const;
  // Stores a hash and ends every session of the user. Inside a write.
  static Status SetPassword(store::Txn& txn, const std::string& user_uid, std::string hash);
  // Password and sessions of a user that is deleted. Inside the same write as the deletion.
  static Status ForgetUser(store::Txn& txn, std::string_view user_uid);

 private:
  bool Verify(const std::string& encoded, std::string_view password) const;
  bool Limited(const std::string& fqn);
  void NoteFailure(const std::string& fqn);

  store::Store& store_;
  const Options options_;
  mutable std::counting_semaphore<16> hashing_;
  std::string unknown_user_hash_;  // Verified against when the user is unknown, so that both take the same time.
  std::mutex mutex_;
  std::map<std::string, std::vector<MonoTime>, std::less<>> failures_;  // Bounded; oldest users go first.
};

}  // namespace weir::authn
