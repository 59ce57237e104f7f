#include "mgmt-server/authn/authn.h"

#include <argon2.h>

#include "libs/base/ids.h"
#include "libs/base/sha256.h"
#include "libs/identity/token.h"
#include "mgmt-server/authn/assertion.h"

namespace weir::authn {
namespace {

constexpr size_t kSaltBytes = 16;
constexpr size_t kHashBytes = 32;
constexpr size_t kMaxPassword = 1024;
constexpr size_t kMinPassword = 12;

Error Refused() { return Unauthenticated("BAD_CREDENTIALS", "the user is unknown or the password is wrong"); }

constexpr std::chrono::seconds kBusyFor(1);

Error Busy(Duration* retry_after) {
  if (retry_after != nullptr) *retry_after = kBusyFor;
  return ResourceExhausted("SIGN_IN_BUSY", "too many passwords are being checked; try again in a second");
}

Status ForgetExpired(store::Txn& txn) {
  std::vector<std::string> expired;
  txn.view().ForEachSession([&](const store::Session& session) {
    if (session.expires <= txn.now()) expired.push_back(session.token_hash);
  });
  for (const std::string& hash : expired) WEIR_TRY(txn.DeleteSession(hash));
  return {};
}

// How many tokens and assertions of an account are not over.
size_t InUse(const store::View& view, std::string_view account_uid) {
  size_t count = 0;
  view.ForEachSession([&](const store::Session& session) { count += session.user_uid == account_uid; });
  view.ForEachUsedAssertion([&](const store::UsedAssertion& used) { count += used.account_uid == account_uid; });
  return count;
}

WallTime After(WallTime now, Duration lifetime) {
  return now + std::chrono::duration_cast<WallTime::duration>(lifetime);
}

Result<std::string> Argon2id(const PasswordCost& cost, std::string_view password) {
  const std::string salt = RandomBytes(kSaltBytes);
  std::string encoded(argon2_encodedlen(cost.passes, cost.memory_kib, 1, kSaltBytes, kHashBytes, Argon2_id), '\0');
  const int code = argon2id_hash_encoded(cost.passes, cost.memory_kib, 1, password.data(), password.size(), salt.data(),
                                         salt.size(), kHashBytes, encoded.data(), encoded.size());
  if (code != ARGON2_OK) return Internal("HASH_FAILED", "internal error").WithCause(argon2_error_message(code));
  encoded.resize(encoded.find('\0'));
  return encoded;
}

}  // namespace

Authn::Authn(store::Store& store, Options options)
    : store_(store),
      options_(options),
      hashing_(options.hashing),
      attempts_(options.failures_per_minute, options.source_failures_per_minute, *options.clock) {
  auto unknown = Argon2id(options_.cost, RandomHex(16));
  if (unknown.ok()) unknown_user_hash_ = std::move(unknown).value();
}

// Counted before it is judged and forgiven after it: many at once get no more tries than one after the other.
Status Authn::CountAttempt(std::string_view who, std::string_view source, Duration* retry_after) {
  const auto wait = attempts_.Begin(who, source);
  if (!wait) return {};
  if (retry_after != nullptr) *retry_after = *wait;
  return ResourceExhausted("TOO_MANY_ATTEMPTS", "too many failed sign-ins from where you are; try again in {} s",
                           std::chrono::ceil<std::chrono::seconds>(*wait).count());
}

Result<Authn::Checked> Authn::CheckPassword(const std::string& fqn, std::string_view password, std::string_view source,
                                            Duration* retry_after) {
  if (fqn.size() > 512 || password.size() > kMaxPassword) return Refused();
  WEIR_TRY(CountAttempt(fqn, source, retry_after));
  const auto turn = hashing_.Take(source);
  if (!turn) {
    attempts_.Withdraw(fqn, source);
    return Busy(retry_after);
  }
  const store::ViewPtr view = store_.Read();
  const store::ResourcePtr resource = view->Get(fqn);
  const store::Credential* credential = resource ? view->FindCredential(resource->uid) : nullptr;
  const std::string& hash = credential == nullptr ? unknown_user_hash_ : credential->hash;
  const bool right = argon2id_verify(hash.c_str(), password.data(), password.size()) == ARGON2_OK;
  if (!right || credential == nullptr) return Refused();
  attempts_.Forgive(fqn, source);
  return Checked{resource->uid, credential->hash};
}

Result<Login> Authn::LogIn(std::string_view organization, std::string_view user, std::string_view password,
                           std::string_view source, Duration* retry_after) {
  const std::string fqn = fmt::format("organizations/{}/users/{}", organization, user);
  WEIR_ASSIGN(const Checked checked, CheckPassword(fqn, password, source, retry_after));
  Login login;
  login.token = identity::Base64Url(RandomBytes(32));
  login.principal = {fqn, checked.uid};
  WEIR_ASSIGN(login.expires, store_.Write([&](store::Txn& txn) -> Result<WallTime> {
    // The password may have changed while it was checked.
    const store::Credential* now = txn.view().FindCredential(login.principal.uid);
    if (now == nullptr || now->hash != checked.hash) return Refused();
    WEIR_TRY(ForgetExpired(txn));
    const WallTime expires = After(txn.now(), options_.session_lifetime);
    WEIR_TRY(txn.PutSession({Sha256(login.token), login.principal.uid, txn.now(), expires, ""}));
    return expires;
  }));
  return login;
}

Result<Login> Authn::LogInByAssertion(std::string_view text, std::string_view audience, std::string_view source,
                                      Duration* retry_after) {
  auto assertion = ReadAssertion(text);
  // What names nobody is counted together, for its source.
  const std::string who = assertion.ok() ? assertion->subject.substr(0, 512) : "";
  WEIR_TRY(CountAttempt(who, source, retry_after));
  if (!assertion.ok()) return std::move(assertion).error();
  WEIR_ASSIGN(const Signer signer, FindSigner(*store_.Read(), *assertion, options_.clock->Wall()));
  WEIR_TRY(CheckClaims(*assertion, audience, options_.clock->Wall()));
  Login login;
  login.token = identity::Base64Url(RandomBytes(32));
  login.principal = {signer.fqn, signer.uid};
  WEIR_ASSIGN(login.expires, store_.Write([&](store::Txn& txn) -> Result<WallTime> {
    // The account or its key may have gone meanwhile.
    const store::ResourcePtr account = txn.view().GetByUid(signer.uid);
    const auto key =
        account != nullptr ? ActiveKey(*account, signer.key_thumbprint, options_.clock->Wall()) : std::nullopt;
    if (!key) return BadAssertion();
    WEIR_TRY(CheckClaims(*assertion, audience, txn.now()));  // It may have waited until its use is forgotten.
    WEIR_TRY(ForgetExpired(txn));
    WEIR_TRY(txn.PutUsedAssertion({Sha256(signer.uid + "\n" + assertion->id), signer.uid,
                                   WallTime(std::chrono::seconds(*assertion->expires) + kClockSkew)}));
    if (InUse(txn.view(), signer.uid) > kMostSessions) {
      if (retry_after != nullptr) *retry_after = std::chrono::minutes(1);
      return ResourceExhausted("TOO_MANY_SESSIONS",
                               "{} has {} tokens and assertions in use; use a token until it is over", signer.fqn,
                               kMostSessions);
    }
    WallTime expires = After(txn.now(), options_.account_session_lifetime);
    if (key->key_expires) expires = std::min(expires, *key->key_expires);
    WEIR_TRY(txn.PutSession({Sha256(login.token), signer.uid, txn.now(), expires, signer.key_thumbprint}));
    return expires;
  }));
  attempts_.Forgive(who, source);
  return login;
}

Result<Principal> Authn::Authenticate(std::string_view token) const {
  const store::ViewPtr view = store_.Read();
  // A lookup by hash: its time tells nothing about tokens.
  const store::Session* session = view->FindSession(Sha256(token));
  if (session != nullptr && session->expires > options_.clock->Wall()) {
    const store::ResourcePtr user = view->GetByUid(session->user_uid);
    const bool by_key =
        session->key_thumbprint.empty() ||
        (user != nullptr && ActiveKey(*user, session->key_thumbprint, options_.clock->Wall()).has_value());
    if (user != nullptr && by_key) return Principal{user->fqn, user->uid};
  }
  return Unauthenticated("BAD_TOKEN", "the token is unknown or has expired; sign in again");
}

Status Authn::LogOut(std::string_view token) {
  const std::string hash = Sha256(token);
  if (store_.Read()->FindSession(hash) == nullptr) return {};
  return store_.Write([&](store::Txn& txn) -> Status { return txn.DeleteSession(hash); });
}

Result<std::string> Authn::HashPassword(std::string_view password, std::string_view source) const {
  if (password.size() < kMinPassword || password.size() > kMaxPassword) {
    return InvalidArgument("PASSWORD_LENGTH", "a password has {} to {} bytes", kMinPassword, kMaxPassword);
  }
  const auto turn = hashing_.Take(source);
  if (!turn) return Busy(nullptr);
  return Argon2id(options_.cost, password);
}

Status Authn::SetPassword(store::Txn& txn, const std::string& user_uid, std::string hash) {
  WEIR_TRY(txn.PutCredential({user_uid, std::move(hash), txn.now()}));
  return txn.DeleteSessionsOf(user_uid);
}

Status Authn::ForgetUser(store::Txn& txn, std::string_view user_uid) {
  WEIR_TRY(txn.DeleteCredential(user_uid));
  return txn.DeleteSessionsOf(user_uid);
}

}  // namespace weir::authn
