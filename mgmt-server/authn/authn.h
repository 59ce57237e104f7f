#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "libs/base/clock.h"
#include "libs/base/result.h"
#include "mgmt-server/authn/attempts.h"
#include "mgmt-server/authn/hash_turns.h"
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
  Duration account_session_lifetime = std::chrono::hours(1);  // Of service accounts.
  size_t failures_per_minute = 10;                            // Of one user from one source.
  size_t source_failures_per_minute = 60;                     // Of all users together from one source.
  HashTurns::Bounds hashing;
  const Clock* clock = &Clock::Real();
};

struct Login {
  std::string token;  // 43 characters of base64url: 32 random bytes. Shown once.
  WallTime expires;
  Principal principal;
};

// Users with a password of this server, service accounts with keys, and the bearer tokens (RFC 6750) they get for them.
// Thread-safe.
class Authn {
 public:
  Authn(store::Store& store, Options options);

  // `source`: the caller's address, by SourceOf. UNAUTHENTICATED BAD_CREDENTIALS whether the user is unknown or the
  // password wrong, after the same work; RESOURCE_EXHAUSTED TOO_MANY_ATTEMPTS, known user or not, or SIGN_IN_BUSY: both
  // set `retry_after` (may be null). Slow on purpose (a memory-hard hash).
  Result<Login> LogIn(std::string_view organization, std::string_view user, std::string_view password,
                      std::string_view source, Duration* retry_after = nullptr);
  // Whether this is the user's password: bounded and counted as a sign-in is, with the same errors.
  struct Checked {
    std::string uid;
    std::string hash;  // That it matched. Compare it inside the write that relies on it: it may have changed meanwhile.
  };
  Result<Checked> CheckPassword(const std::string& user_fqn, std::string_view password, std::string_view source,
                                Duration* retry_after = nullptr);
  // A service account by what it signed (assertion.h), for a server that goes by the name `audience`. UNAUTHENTICATED
  // BAD_ASSERTION, ASSERTION_EXPIRED, ASSERTION_USED; RESOURCE_EXHAUSTED TOO_MANY_ATTEMPTS, TOO_MANY_SESSIONS, which
  // set `retry_after` (may be null).
  Result<Login> LogInByAssertion(std::string_view assertion, std::string_view audience, std::string_view source,
                                 Duration* retry_after = nullptr);
  static constexpr size_t kMostSessions = 1000;  // Tokens and assertions of one service account that are not over.
  // Who a token speaks for. UNAUTHENTICATED BAD_TOKEN: unknown, expired, or its user is gone; of a service account also
  // the key that it was got with. In memory, fast.
  Result<Principal> Authenticate(std::string_view token) const;
  // Nothing happens when there is no such session.
  Status LogOut(std::string_view token);

  // INVALID_ARGUMENT PASSWORD_LENGTH outside 12 to 1024 bytes; RESOURCE_EXHAUSTED SIGN_IN_BUSY. `source`: who asks, ""
  // = the server itself. Slow; call it before Store::Write and pass the result on.
  Result<std::string> HashPassword(std::string_view password, std::string_view source = "") const;
  // Stores a hash and ends every session of the user. Inside a write.
  static Status SetPassword(store::Txn& txn, const std::string& user_uid, std::string hash);
  // Password and sessions of a user that is deleted. Inside the same write as the deletion.
  static Status ForgetUser(store::Txn& txn, std::string_view user_uid);

 private:
  Status CountAttempt(std::string_view who, std::string_view source, Duration* retry_after);

  store::Store& store_;
  const Options options_;
  mutable HashTurns hashing_;
  std::string unknown_user_hash_;  // Verified against when the user is unknown, so that both take the same time.
  Attempts attempts_;
};

}  // namespace weir::authn
