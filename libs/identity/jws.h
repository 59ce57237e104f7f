#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "libs/base/result.h"

struct evp_pkey_st;

// Keys and signatures of JSON Web Tokens (RFC 7515, 7517, 7518): ES256 on P-256 and RS256 with 2048 to 4096 bits,
// nothing else. JSON stays outside.
namespace weir::identity {

// The public half of a key as a JWK says it; base64url without padding.
struct PublicJwk {
  std::string kty;        // "EC", "RSA"
  std::string crv, x, y;  // Of EC: "P-256".
  std::string n, e;       // Of RSA.
};

class PublicKey {
 public:
  // INVALID_ARGUMENT JWK_MALFORMED: another kind of key, a point that is not on the curve, a modulus that is too short
  // or too long, an even or tiny exponent.
  static Result<PublicKey> FromJwk(const PublicJwk& jwk);

  std::string_view alg() const { return alg_; }  // "ES256", "RS256"
  // Whether that key made this signature (RFC 7518: of ES256 64 bytes) over these bytes. False for anything else.
  bool Verifies(std::string_view bytes, std::string_view signature) const;

 private:
  PublicKey(std::shared_ptr<evp_pkey_st> key, std::string_view alg) : key_(std::move(key)), alg_(alg) {}
  std::shared_ptr<evp_pkey_st> key_;
  std::string_view alg_;
};

// base64url of the SHA-256 of the key's required members (RFC 7638).
std::string Thumbprint(const PublicJwk& jwk);

// Of a private key (PEM, PKCS#8): EC on P-256 or RSA. INVALID_ARGUMENT KEY_MALFORMED, KEY_KIND.
Result<PublicJwk> JwkOf(std::string_view key_pem);
// "ES256" or "RS256": what the key signs.
Result<std::string> AlgOf(std::string_view key_pem);
// The signature as a JWT carries it, before base64url.
Result<std::string> SignJws(std::string_view key_pem, std::string_view bytes);
// A new RSA key of that size, PEM. EC keys: NewKey (certificates.h).
Result<std::string> NewRsaKey(int bits = 2048);

// header.claims.signature
struct CompactJws {
  std::string header;  // JSON.
  std::string claims;  // JSON.
  std::string signed_bytes;
  std::string signature;
};
// INVALID_ARGUMENT JWS_MALFORMED; nothing is said of the JSON.
Result<CompactJws> ParseCompact(std::string_view text);
// Header and claims are JSON texts.
Result<std::string> MakeCompact(std::string_view key_pem, std::string_view header, std::string_view claims);

}  // namespace weir::identity
