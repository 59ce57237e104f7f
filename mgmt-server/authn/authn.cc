#include "mgmt-server/authn/authn.h"

#include <argon2.h>

#include <algorithm>

#include "libs/base/ids.h"
#include "libs/base/sha256.h"

namespace weir::authn {
namespace {

constexpr size_t kMaxWatchedUsers = 10'000;
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

class Turn {  // At a bounded number of hashes.
 public:
  explicit Turn(std::counting_semaphore<16>& turns) : turns_(turns) { turns_.acquire(); }
  ~Turn() { turns_.release(); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  std::counting_semaphore<16>& turns_;
};

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
    : store_(store), options_(options), hashing_(std::clamp(options.parallel_hashes, 1, 16)) {
  auto unknown = Argon2id(options_.cost, RandomHex(16));
  if (unknown.ok()) unknown_user_hash_ = std::move(unknown).value();
}

bool Authn::Verify(const std::string& encoded, std::string_view password) const {
  const Turn turn(hashing_);
  return argon2id_verify(encoded.c_str(), password.data(), password.size()) == ARGON2_OK;
}

bool Authn::Limited(const std::string& fqn) {
  std::lock_guard lock(mutex_);
  const auto found = failures_.find(fqn);
  if (found == failures_.end()) return false;
  const MonoTime since = options_.clock->Now() - std::chrono::minutes(1);
  std::erase_if(found->second, [&](MonoTime at) { return at <= since; });
  if (found->second.empty()) {
    failures_.erase(found);
    return false;
  }
  return found->second.size() >= static_cast<size_t>(options_.failures_per_minute);
}

void Authn::NoteFailure(const std::string& fqn) {
  std::lock_guard lock(mutex_);
  if (failures_.size() >= kMaxWatchedUsers && !failures_.contains(fqn)) {
    const auto oldest = std::min_element(failures_.begin(), failures_.end(), [](const auto& a, const auto& b) {
      return a.second.back() < b.second.back();
    });
    failures_.erase(oldest);
  }
  failures_[fqn].push_back(options_.clock->Now());
}

Result<Login> Authn::LogIn(std::string_view organization, std::string_view user, std::string_view password) {
  const std::string fqn = fmt::format("organizations/{}/users/{}", organization, user);
  const auto refused = [] {
    return Unauthenticated("BAD_CREDENTIALS", "the user is unknown or the password is wrong");
  };
  if (fqn.size() > 512 || password.size() > kMaxPassword) return refused();
  if (Limited(fqn)) {
    return ResourceExhausted("TOO_MANY_ATTEMPTS", "too many failed sign-ins of this user; try again in a minute");
  }
  const store::ViewPtr view = store_.Read();
  const store::ResourcePtr resource = view->Get(fqn);
  const store::Credential* credential = resource ? view->FindCredential(resource->uid) : nullptr;
  // Counted before the hash and forgiven after it: many at once get no more tries than one after the other.
  NoteFailure(fqn);
  const bool right = Verify(credential == nullptr ? unknown_user_hash_ : credential->hash, password);
  if (!right || credential == nullptr) return refused();
  {
    std::lock_guard lock(mutex_);
    failures_.erase(fqn);
  }
  Login login;
  login.token = Base64Url(RandomBytes(32));
  login.principal = {fqn, resource->uid};
  const std::string checked_hash = credential->hash;
  WEIR_ASSIGN(login.expires, store_.Write([&](store::Txn& txn) -> Result<WallTime> {
    // The password may have changed while it was checked.
    const store::Credential* now = txn.view().FindCredential(login.principal.uid);
    if (now == nullptr || now->hash != checked_hash) return refused();
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

Result<std::string> Authn::HashPassword(std::string_view password) const {
  if (password.size() < kMinPassword || password.size() > kMaxPassword) {
    return InvalidArgument("PASSWORD_LENGTH", "a password has {} to {} bytes", kMinPassword, kMaxPassword);
  }
  const Turn turn(hashing_);
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
