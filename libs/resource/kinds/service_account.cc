#include <algorithm>
#include <set>

#include "api/weir/v2/service_account.pb.h"
#include "libs/identity/jws.h"
#include "libs/resource/checks.h"
#include "libs/resource/kinds/jwk.h"
#include "libs/resource/kinds/rules.h"

namespace weir::resource {
namespace {

constexpr int kMaxKeys = 16;

bool IsKeyId(std::string_view id) {
  return !id.empty() && id.size() <= 64 &&
         id.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == id.npos;
}

void FillIn(v2::ServiceAccount& account) {
  for (auto& key : *account.mutable_spec()->mutable_keys()) {
    if (!key.id().empty() || !key.has_public_key()) continue;
    key.set_id(key.public_key().kid().empty() ? identity::Thumbprint(KeyOf(key.public_key())) : key.public_key().kid());
  }
}

void CheckKey(const v2::ServiceAccountKey& key, const std::string& at, Checker& check) {
  check.Require(IsKeyId(key.id()), at + ".id", "must be 1 to 64 of a-z, A-Z, 0-9, -, _ and .");
  if (!key.has_public_key()) return check.Add(at + ".publicKey", "required: the public half, as a JWK");
  const v2::Jwk& jwk = key.public_key();
  const auto read = identity::PublicKey::FromJwk(KeyOf(jwk));
  if (!read.ok()) return check.Add(at + ".publicKey", read.error().message);
  check.Require(jwk.alg().empty() || jwk.alg() == read->alg(), at + ".publicKey.alg",
                fmt::format("must be {} of such a key, or left out", read->alg()));
  check.Require(jwk.use().empty() || jwk.use() == "sig", at + ".publicKey.use", "must be sig, or left out");
  check.Require(jwk.kid().empty() || jwk.kid() == key.id(), at + ".publicKey.kid", "must be the id, or left out");
}

void Check(const v2::ServiceAccount& account, Checker& check) {
  const auto& keys = account.spec().keys();
  check.Require(keys.size() <= kMaxKeys, "spec.keys", "must be at most 16");
  std::set<std::string> ids, thumbprints;
  for (int i = 0; i < std::min(keys.size(), kMaxKeys); ++i) {
    const std::string at = fmt::format("spec.keys[{}]", i);
    CheckKey(keys[i], at, check);
    check.Require(ids.insert(keys[i].id()).second, at + ".id", "stands there twice");
    check.Require(thumbprints.insert(identity::Thumbprint(KeyOf(keys[i].public_key()))).second, at + ".publicKey",
                  "stands there twice");
  }
}

void Stamp(const v2::ServiceAccount* stored, const google::protobuf::Timestamp& now, v2::ServiceAccount& wanted) {
  wanted.clear_state();
  for (const auto& key : wanted.spec().keys()) {
    v2::ServiceAccountKeyState& state = *wanted.mutable_state()->add_keys();
    state.set_id(key.id());
    *state.mutable_create_time() = now;
    if (stored == nullptr) continue;
    for (const auto& before : stored->state().keys()) {
      if (before.id() == key.id()) *state.mutable_create_time() = before.create_time();
    }
  }
}

std::vector<std::string> Summary(const v2::ServiceAccount& account) {
  std::vector<std::string> parts;
  for (const auto& key : account.spec().keys()) parts.push_back("key " + key.id());
  return parts;
}

}  // namespace

identity::PublicJwk KeyOf(const v2::Jwk& jwk) { return {jwk.kty(), jwk.crv(), jwk.x(), jwk.y(), jwk.n(), jwk.e()}; }

KindRules ServiceAccountRules() {
  return RulesOf<v2::ServiceAccount>{
      .summary = Summary,
      .fill_in = FillIn,
      .stamp = Stamp,
      .check = Check,
      .output_only = {"state"},
      .not_served = {{"Jwk",
                      {"d", "p", "q", "dp", "dq", "qi", "oth", "k"},
                      "the public half alone: whoever holds the private one signs in, keep it to yourself"},
                     {"Jwk", {"key_ops", "x5c", "x5t", "x5t#S256", "x5u"}, "leave it out"},
                     {"ServiceAccountKey",
                      {"publicJwk", "privateJwk", "encoding", "defaultToken"},
                      "publicKey, the public half as a JWK; weir sa keys add makes a pair"}},
  }
      .Rules();
}

}  // namespace weir::resource
