#include "mgmt-server/authn/authn.h"

#include <argon2.h>

#include "libs/base/ids.h"
#include "libs/base/sha256.h"

namespace weir::authn {
namespace {

constexpr size_t kSaltBytes = 16;
constexpr size_t kHashBytes = 32;
constexpr size_t kMaxPassword = 1024;
constexpr size_t kMinPassword = 12;

std::string Base64Url(std::string_view bytes) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string text;
  uint32_t pending = 0;
  int bits = 0;
  for (const char byte : bytes) {
    pending = pending << 8 | static_cast<unsigned char>(byte);
    for (bits += 8; bits >= 6; bits -= 6) text.push_back(kDigits[pending >> (bits - 6) & 63]);
  }
  if (bits > 0) text.push_back(kDigits[pending << (6 - bits) & 63]);
  return text;
}

Error Refused() { return Unauthenticated("BAD_CREDENTIALS", "the user is unknown or the password is wrong"); }

constexpr std::chrono::seconds kBusyFor(1);

Error Busy(Duration* retry_after) {
  if (retry_after != nullptr) *retry_after = kBusyFor;
  return ResourceExhausted("SIGN_IN_BUSY", "too many passwords are being checked; try again in a second");
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

Result<Authn::Checked> Authn::CheckPassword(const std::string& fqn, std::string_view password, std::string_view source,
                                            Duration* retry_after) {
  if (fqn.size() > 512 || password.size() > kMaxPassword) return Refused();
  // Counted before the hash and forgiven after it: many at once get no more tries than one after the other.
  if (const auto wait = attempts_.Begin(fqn, source)) {
    if (retry_after != nullptr) *retry_after = *wait;
    return ResourceExhausted("TOO_MANY_ATTEMPTS", "too many failed sign-ins from where you are; try again in {} s",
                             std::chrono::ceil<std::chrono::seconds>(*wait).count());
  }
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
  login.token = Base64Url(RandomBytes(32));
  login.principal = {fqn, checked.uid};
  WEIR_ASSIGN(login.expires, store_.Write([&](store::Txn& txn) -> Result<WallTime> {
    // The password may have changed while it was checked.
    const store::Credential* now = txn.view().FindCredential(login.principal.uid);
    if (now == nullptr || now->hash != checked.hash) return Refused();
    std::vector<std::string> expired;
    txn.view().ForEachSession([&](const store::Session& session) {
      if (session.expires <= txn.now()) expired.push_back(session.token_hash);
    });
    for (const std::string& hash : expired) WEIR_TRY(txn.DeleteSession(hash));
    const WallTime expires = txn.now() + std::chrono::duration_cast<WallTime::duration>(options_.session_lifetime);
    WEIR_TRY(txn.PutSession({Sha256(login.token), login.principal.uid, txn.now(), expires}));
    return expires;
  }));
  return login;
}

Result<Principal> Authn::Authenticate(std::string_view token) const {
  const store::ViewPtr view = store_.Read();
  // A lookup by hash: its time tells nothing about tokens.
  const store::Session* session = view->FindSession(Sha256(token));
  if (session != nullptr && session->expires > options_.clock->Wall()) {
    if (const store::ResourcePtr user = view->GetByUid(session->user_uid)) return Principal{user->fqn, user->uid};
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
