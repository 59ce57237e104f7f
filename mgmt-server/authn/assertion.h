#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/clock.h"
#include "libs/base/result.h"
#include "libs/identity/jws.h"
#include "mgmt-server/store/view.h"

namespace weir::authn {

// What a service account signs in with: a JSON Web Token as RFC 7523 has it (ExchangeAssertionRequest says which).
inline constexpr size_t kMaxAssertion = 8 * 1024;
inline constexpr std::chrono::seconds kClockSkew(30);  // By which clocks may differ.

struct Assertion {
  identity::CompactJws parts;
  std::string alg;
  std::string key_id;   // `kid`
  std::string issuer;   // `iss`
  std::string subject;  // `sub`: FQN or uid of the account.
  std::vector<std::string> audiences;
  std::string id;  // `jti`
  // Seconds since 1970; nullopt = not there, or no whole number.
  std::optional<int64_t> issued, expires, not_before;
};
// What it says, believed by nobody yet. UNAUTHENTICATED BAD_ASSERTION, the same words whatever is wrong.
Result<Assertion> ReadAssertion(std::string_view text);
Error BadAssertion();

// The account and key that an assertion names and that signed it.
struct Signer {
  std::string fqn;
  std::string uid;
  std::string key_thumbprint;  // The key itself: a name may come back for another one.
  std::optional<WallTime> key_expires;
};
// UNAUTHENTICATED BAD_ASSERTION, the same words and about the same work whether there is no such account, no such key,
// it is over, or it did not sign.
Result<Signer> FindSigner(const store::View& view, const Assertion& assertion, WallTime now);
// The key of an account that has this thumbprint and may sign at that time; nullopt = there is none.
std::optional<Signer> ActiveKey(const store::StoredResource& account, std::string_view thumbprint, WallTime now);

// For whom and when it is; only of one whose signature is right, for the answer names what is wrong. UNAUTHENTICATED
// BAD_ASSERTION, ASSERTION_EXPIRED.
Status CheckClaims(const Assertion& assertion, std::string_view audience, WallTime now);

}  // namespace weir::authn
