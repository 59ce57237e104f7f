#include "libs/identity/jws.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include "libs/base/sha256.h"
#include "libs/identity/openssl.h"
#include "libs/identity/token.h"

namespace weir::identity {
namespace {

constexpr size_t kField = 32;  // Bytes of a coordinate of P-256.
constexpr size_t kMinModulus = 2048 / 8, kMaxModulus = 4096 / 8, kMaxExponent = 4;
constexpr std::string_view kEs256 = "ES256", kRs256 = "RS256";

using ContextPtr = std::unique_ptr<EVP_PKEY_CTX, Freer<EVP_PKEY_CTX_free>>;
using DigestPtr = std::unique_ptr<EVP_MD_CTX, Freer<EVP_MD_CTX_free>>;
using BuilderPtr = std::unique_ptr<OSSL_PARAM_BLD, Freer<OSSL_PARAM_BLD_free>>;
using ParamsPtr = std::unique_ptr<OSSL_PARAM, Freer<OSSL_PARAM_free>>;
using EcdsaPtr = std::unique_ptr<ECDSA_SIG, Freer<ECDSA_SIG_free>>;

const unsigned char* Bytes(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

Error Malformed(std::string_view why) {
  return InvalidArgument("JWK_MALFORMED", "is no public key to be used: {}", why);
}

Result<std::string> Member(std::string_view name, const std::string& text) {
  auto bytes = text.size() <= 4096 ? FromBase64Url(text) : Result<std::string>(Malformed("too long"));
  if (!bytes.ok() || bytes->empty()) return Malformed(fmt::format("{} must be base64url", name));
  return bytes;
}

Result<KeyPtr> FromParams(const char* type, OSSL_PARAM_BLD* builder) {
  const ParamsPtr params(OSSL_PARAM_BLD_to_param(builder));
  const ContextPtr context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (params == nullptr || context == nullptr || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get()) != 1) {
    OpensslReason();
    return Malformed("its numbers make no key");
  }
  KeyPtr made(key);
  // Of RSA that is a test of primality, dear, and asked for before any right is; a bad modulus harms its owner alone.
  if (std::string_view(type) == "RSA") return made;
  const ContextPtr checking(EVP_PKEY_CTX_new(made.get(), nullptr));
  if (checking == nullptr || EVP_PKEY_public_check(checking.get()) != 1) {
    OpensslReason();
    return Malformed("its numbers make no key");
  }
  return made;
}

Result<KeyPtr> EcKey(const PublicJwk& jwk) {
  if (jwk.crv != "P-256") return Malformed("crv must be P-256");
  WEIR_ASSIGN(const std::string x, Member("x", jwk.x));
  WEIR_ASSIGN(const std::string y, Member("y", jwk.y));
  if (x.size() != kField || y.size() != kField) return Malformed("x and y must be 32 bytes each");
  const std::string point = "\x04" + x + y;
  const BuilderPtr builder(OSSL_PARAM_BLD_new());
  if (OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) != 1 ||
      OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()) != 1) {
    return Internal("OPENSSL", "internal error").WithCause(OpensslReason());
  }
  return FromParams("EC", builder.get());
}

Result<KeyPtr> RsaKey(const PublicJwk& jwk) {
  WEIR_ASSIGN(const std::string n, Member("n", jwk.n));
  WEIR_ASSIGN(const std::string e, Member("e", jwk.e));
  // No zeros in front: one text per key.
  if (n.size() < kMinModulus || n.size() > kMaxModulus || (static_cast<unsigned char>(n[0]) & 0x80) == 0) {
    return Malformed("n must have 2048 to 4096 bits, a multiple of 8");
  }
  const BigPtr modulus(BN_bin2bn(Bytes(n), static_cast<int>(n.size()), nullptr));
  const BigPtr exponent(BN_bin2bn(Bytes(e), static_cast<int>(e.size()), nullptr));
  if (BN_is_odd(modulus.get()) == 0) return Malformed("n must be odd");
  if (e.size() > kMaxExponent || e[0] == 0 || BN_is_odd(exponent.get()) == 0 || BN_get_word(exponent.get()) < 65537) {
    return Malformed("e must be odd, 65537 or more, of at most 4 bytes");
  }
  const BuilderPtr builder(OSSL_PARAM_BLD_new());
  if (OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get()) != 1) {
    return Internal("OPENSSL", "internal error").WithCause(OpensslReason());
  }
  return FromParams("RSA", builder.get());
}

// r and s, 32 bytes each, in the form of OpenSSL (RFC 7518 section 3.4); "" = not so.
std::string ToDer(std::string_view signature) {
  if (signature.size() != 2 * kField) return "";
  BigPtr r(BN_bin2bn(Bytes(signature), kField, nullptr));
  BigPtr s(BN_bin2bn(Bytes(signature.substr(kField)), kField, nullptr));
  const EcdsaPtr both(ECDSA_SIG_new());
  ECDSA_SIG_set0(both.get(), r.release(), s.release());
  unsigned char* out = nullptr;
  const int size = i2d_ECDSA_SIG(both.get(), &out);
  const std::string der(reinterpret_cast<char*>(out), size > 0 ? static_cast<size_t>(size) : 0);
  OPENSSL_free(out);
  return der;
}

Result<std::string> FromDer(std::string_view der) {
  const unsigned char* at = Bytes(der);
  const EcdsaPtr both(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  std::string bytes(2 * kField, '\0');
  auto* out = reinterpret_cast<unsigned char*>(bytes.data());
  if (both == nullptr || BN_bn2binpad(ECDSA_SIG_get0_r(both.get()), out, kField) < 0 ||
      BN_bn2binpad(ECDSA_SIG_get0_s(both.get()), out + kField, kField) < 0) {
    return Internal("OPENSSL", "internal error").WithCause(OpensslReason());
  }
  return bytes;
}

Result<std::string> Number(const EVP_PKEY* key, const char* name, int pad) {
  BIGNUM* read = nullptr;
  if (EVP_PKEY_get_bn_param(key, name, &read) != 1)
    return Internal("OPENSSL", "internal error").WithCause(OpensslReason());
  const BigPtr number(read);
  std::string bytes(static_cast<size_t>(pad > 0 ? pad : BN_num_bytes(number.get())), '\0');
  BN_bn2binpad(number.get(), reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  return Base64Url(bytes);
}

}  // namespace

Result<PublicKey> PublicKey::FromJwk(const PublicJwk& jwk) {
  if (jwk.kty != "EC" && jwk.kty != "RSA") return Malformed("kty must be EC or RSA");
  const bool ec = jwk.kty == "EC";
  WEIR_ASSIGN(KeyPtr key, ec ? EcKey(jwk) : RsaKey(jwk));
  return PublicKey(std::shared_ptr<EVP_PKEY>(key.release(), EVP_PKEY_free), ec ? kEs256 : kRs256);
}

bool PublicKey::Verifies(std::string_view bytes, std::string_view signature) const {
  const std::string theirs = alg_ == kEs256 ? ToDer(signature) : std::string(signature);
  const DigestPtr context(EVP_MD_CTX_new());
  const bool right = !theirs.empty() &&
                     EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key_.get()) == 1 &&
                     EVP_DigestVerify(context.get(), Bytes(theirs), theirs.size(), Bytes(bytes), bytes.size()) == 1;
  OpensslReason();
  return right;
}

std::string Thumbprint(const PublicJwk& jwk) {
  return Base64Url(Sha256(jwk.kty == "EC"
                              ? fmt::format(R"({{"crv":"{}","kty":"EC","x":"{}","y":"{}"}})", jwk.crv, jwk.x, jwk.y)
                              : fmt::format(R"({{"e":"{}","kty":"RSA","n":"{}"}})", jwk.e, jwk.n)));
}

Result<PublicJwk> JwkOf(std::string_view key_pem) {
  WEIR_ASSIGN(const KeyPtr key, ParseKey(key_pem));
  PublicJwk jwk;
  if (EVP_PKEY_get_base_id(key.get()) == EVP_PKEY_RSA) {
    jwk.kty = "RSA";
    WEIR_ASSIGN(jwk.n, Number(key.get(), OSSL_PKEY_PARAM_RSA_N, 0));
    WEIR_ASSIGN(jwk.e, Number(key.get(), OSSL_PKEY_PARAM_RSA_E, 0));
    return jwk;
  }
  char group[32] = "";
  EVP_PKEY_get_utf8_string_param(key.get(), OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group), nullptr);
  if (EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_EC || std::string_view(group) != "prime256v1") {
    OpensslReason();
    return InvalidArgument("KEY_KIND", "the key is neither EC on P-256 nor RSA");
  }
  jwk.kty = "EC";
  jwk.crv = "P-256";
  WEIR_ASSIGN(jwk.x, Number(key.get(), OSSL_PKEY_PARAM_EC_PUB_X, kField));
  WEIR_ASSIGN(jwk.y, Number(key.get(), OSSL_PKEY_PARAM_EC_PUB_Y, kField));
  return jwk;
}

Result<std::string> AlgOf(std::string_view key_pem) {
  WEIR_ASSIGN(const PublicJwk jwk, JwkOf(key_pem));
  return std::string(jwk.kty == "EC" ? kEs256 : kRs256);
}

Result<std::string> SignJws(std::string_view key_pem, std::string_view bytes) {
  WEIR_ASSIGN(const std::string alg, AlgOf(key_pem));
  WEIR_ASSIGN(const KeyPtr key, ParseKey(key_pem));
  const DigestPtr context(EVP_MD_CTX_new());
  size_t size = 0;
  if (EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &size, Bytes(bytes), bytes.size()) != 1) {
    return Internal("OPENSSL", "internal error").WithCause(OpensslReason());
  }
  std::string signature(size, '\0');
  if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, Bytes(bytes),
                     bytes.size()) != 1) {
    return Internal("OPENSSL", "internal error").WithCause(OpensslReason());
  }
  signature.resize(size);
  return alg == kEs256 ? FromDer(signature) : signature;
}

Result<std::string> NewRsaKey(int bits) {
  const KeyPtr key(EVP_RSA_gen(static_cast<unsigned>(bits)));
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (key == nullptr ||
      PEM_write_bio_PKCS8PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return Internal("OPENSSL", "internal error").WithCause(OpensslReason());
  }
  return BioText(bio.get());
}

Result<CompactJws> ParseCompact(std::string_view text) {
  const Error malformed = InvalidArgument("JWS_MALFORMED", "not header.claims.signature in base64url");
  const size_t first = text.find('.');
  const size_t second = first == std::string_view::npos ? first : text.find('.', first + 1);
  if (second == std::string_view::npos) return malformed;
  auto header = FromBase64Url(text.substr(0, first));
  auto claims = FromBase64Url(text.substr(first + 1, second - first - 1));
  auto signature = FromBase64Url(text.substr(second + 1));  // A third dot is no base64url.
  if (!header.ok() || !claims.ok() || !signature.ok()) return malformed;
  return CompactJws{std::move(*header), std::move(*claims), std::string(text.substr(0, second)), std::move(*signature)};
}

Result<std::string> MakeCompact(std::string_view key_pem, std::string_view header, std::string_view claims) {
  std::string text = Base64Url(header) + "." + Base64Url(claims);
  WEIR_ASSIGN(const std::string signature, SignJws(key_pem, text));
  return text + "." + Base64Url(signature);
}

}  // namespace weir::identity
