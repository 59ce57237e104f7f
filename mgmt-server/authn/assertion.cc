#include "mgmt-server/authn/assertion.h"

#include <algorithm>
#include <charconv>

#include "api/weir/v2/service_account.pb.h"
#include "libs/document/document.h"
#include "libs/identity/certificates.h"
#include "libs/resource/kinds.h"
#include "libs/resource/kinds/jwk.h"

namespace weir::authn {
namespace {

using document::Node;

constexpr int64_t kMostSeconds = 5 * 60;
constexpr int64_t kSkewSeconds = kClockSkew.count();
constexpr size_t kMostId = 128;
constexpr size_t kMostAudiences = 16;
constexpr document::Limits kLimits{.bytes = kMaxAssertion, .depth = 4, .nodes = 128, .alias_nodes = 0};

std::optional<std::string> Text(const Node& map, std::string_view key) {
  const Node* node = map.Find(key);
  if (node == nullptr || node->type != Node::Type::kString) return std::nullopt;
  return node->text;
}

// A NumericDate (RFC 7519) without a fraction.
std::optional<int64_t> Seconds(const Node& map, std::string_view key) {
  const Node* node = map.Find(key);
  if (node == nullptr || node->type != Node::Type::kNumber) return std::nullopt;
  int64_t value = 0;
  const char* end = node->text.data() + node->text.size();
  const auto read = std::from_chars(node->text.data(), end, value);
  const bool whole = read.ec == std::errc() && read.ptr == end && value >= 0 && value < int64_t{1} << 40;
  return whole ? std::optional(value) : std::nullopt;
}

Error Wrong(std::string_view why) { return Unauthenticated("BAD_ASSERTION", "the assertion is not accepted: {}", why); }

WallTime ToWall(const google::protobuf::Timestamp& time) {
  return WallTime(std::chrono::duration_cast<WallTime::duration>(std::chrono::seconds(time.seconds()) +
                                                                 std::chrono::nanoseconds(time.nanos())));
}

// The first key of an account for which that is so; one without an id when there is none.
template <typename Is>
v2::ServiceAccountKey KeyIn(const store::StoredResource& account, Is is) {
  v2::ServiceAccount message;
  if (account.kind != resource::Info(resource::Kind::kServiceAccount).name) return {};
  if (!message.ParseFromString(account.body)) return {};
  for (v2::ServiceAccountKey& key : *message.mutable_spec()->mutable_keys()) {
    if (is(key)) return std::move(key);
  }
  return {};
}

std::string ThumbprintOf(const v2::ServiceAccountKey& key) {
  return identity::Thumbprint(resource::KeyOf(key.public_key()));
}

// nullopt = there is none, or it is over.
std::optional<Signer> SignerBy(const store::StoredResource& account, const v2::ServiceAccountKey& key, WallTime now) {
  if (key.id().empty()) return std::nullopt;
  Signer signer{account.fqn, account.uid, ThumbprintOf(key), std::nullopt};
  if (key.has_expire_time()) signer.key_expires = ToWall(key.expire_time());
  if (signer.key_expires && *signer.key_expires <= now) return std::nullopt;
  return signer;
}

// Asked where there is no key to ask, so that it costs the same.
bool NobodySigned(const Assertion& assertion) {
  static const auto& nobody = *[] {
    auto* jwk = new identity::PublicJwk;
    if (const auto key = identity::NewKey(); key.ok()) {
      if (auto made = identity::JwkOf(*key); made.ok()) *jwk = std::move(*made);
    }
    return jwk;
  }();
  const auto key = identity::PublicKey::FromJwk(nobody);
  return key.ok() && key->Verifies(assertion.parts.signed_bytes, assertion.parts.signature);
}

}  // namespace

Error BadAssertion() {
  return Unauthenticated("BAD_ASSERTION",
                         "the assertion names no service account and key that may sign in, or was not signed by it");
}

Result<Assertion> ReadAssertion(std::string_view text) {
  if (text.size() > kMaxAssertion) return BadAssertion();
  Assertion read;
  auto parts = identity::ParseCompact(text);
  if (!parts.ok()) return BadAssertion();
  read.parts = std::move(*parts);
  const auto header = document::ParseOne(read.parts.header, kLimits, document::Syntax::kJson);
  const auto claims = document::ParseOne(read.parts.claims, kLimits, document::Syntax::kJson);
  if (!header.ok() || !claims.ok() || header->Find("crit") != nullptr) return BadAssertion();
  const auto alg = Text(*header, "alg"), kid = Text(*header, "kid");
  const auto issuer = Text(*claims, "iss"), subject = Text(*claims, "sub");
  if (!alg || !kid || !issuer || !subject || *issuer != *subject) return BadAssertion();
  read.alg = *alg;
  read.key_id = *kid;
  read.issuer = *issuer;
  read.subject = *subject;
  read.id = Text(*claims, "jti").value_or("");
  if (const auto one = Text(*claims, "aud")) read.audiences.push_back(*one);
  if (const Node* several = claims->Find("aud"); several != nullptr) {
    for (const Node& each : several->items) {
      if (each.type == Node::Type::kString && read.audiences.size() < kMostAudiences)
        read.audiences.push_back(each.text);
    }
  }
  read.issued = Seconds(*claims, "iat");
  read.expires = Seconds(*claims, "exp");
  read.not_before = Seconds(*claims, "nbf");
  if (claims->Find("nbf") != nullptr && !read.not_before) return BadAssertion();
  return read;
}

std::optional<Signer> ActiveKey(const store::StoredResource& account, std::string_view thumbprint, WallTime now) {
  const auto is = [&](const v2::ServiceAccountKey& key) { return ThumbprintOf(key) == thumbprint; };
  return SignerBy(account, KeyIn(account, is), now);
}

Result<Signer> FindSigner(const store::View& view, const Assertion& assertion, WallTime now) {
  store::ResourcePtr account = view.Get(assertion.subject);
  if (account == nullptr) account = view.GetByUid(assertion.subject);
  v2::ServiceAccountKey named;
  if (account != nullptr) {
    named = KeyIn(*account, [&](const v2::ServiceAccountKey& key) { return key.id() == assertion.key_id; });
  }
  const auto signer = account != nullptr ? SignerBy(*account, named, now) : std::nullopt;
  if (!signer) {
    (void)NobodySigned(assertion);
    return BadAssertion();
  }
  const auto key = identity::PublicKey::FromJwk(resource::KeyOf(named.public_key()));
  // The key says by which algorithm it signs; an assertion that says another is not by it.
  if (!key.ok() || key->alg() != assertion.alg) return BadAssertion();
  if (!key->Verifies(assertion.parts.signed_bytes, assertion.parts.signature)) return BadAssertion();
  return *signer;
}

Status CheckClaims(const Assertion& assertion, std::string_view audience, WallTime now_wall) {
  const int64_t now = std::chrono::duration_cast<std::chrono::seconds>(now_wall.time_since_epoch()).count();
  const auto& audiences = assertion.audiences;
  if (std::find(audiences.begin(), audiences.end(), audience) == audiences.end()) {
    return Wrong(fmt::format("aud must be {}, which is this server", audience));
  }
  if (assertion.id.empty() || assertion.id.size() > kMostId) return Wrong("jti must have 1 to 128 characters");
  if (!assertion.issued || !assertion.expires) return Wrong("iat and exp must be there, in whole seconds since 1970");
  if (*assertion.expires <= *assertion.issued || *assertion.expires - *assertion.issued > kMostSeconds) {
    return Wrong("exp must be at most 5 minutes after iat");
  }
  if (*assertion.issued > now + kSkewSeconds) return Wrong("iat is in the future; compare the clocks");
  if (assertion.not_before && *assertion.not_before > now + kSkewSeconds) return Wrong("nbf is in the future");
  if (*assertion.expires + kSkewSeconds <= now) {
    return Unauthenticated("ASSERTION_EXPIRED", "the assertion has expired; sign a new one, and compare the clocks");
  }
  return {};
}

}  // namespace weir::authn
