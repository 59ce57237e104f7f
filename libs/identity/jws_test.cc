#include "libs/identity/jws.h"

#include <gtest/gtest.h>

#include "libs/identity/certificates.h"
#include "libs/identity/token.h"

namespace weir::identity {
namespace {

// RFC 7638 section 3.1.
const PublicJwk kRsa{
    "RSA",
    "",
    "",
    "",
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_"
    "BJECPebWKRXjBZCiFV4n3oknjhMs"
    "tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_"
    "FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5haj"
    "rn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    "AQAB"};
// RFC 7515 appendix A.3.
const PublicJwk kEc{
    "EC", "P-256", "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    "",   ""};
constexpr char kSigned[] =
    "eyJhbGciOiJFUzI1NiJ9."
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

TEST(Jws, ReadsWhatTheStandardsShow) {
  EXPECT_EQ(Thumbprint(kRsa), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
  EXPECT_EQ(PublicKey::FromJwk(kRsa)->alg(), "RS256");
  const auto key = PublicKey::FromJwk(kEc);
  ASSERT_TRUE(key.ok()) << key.error().ToString();
  EXPECT_EQ(key->alg(), "ES256");
  const auto parts = ParseCompact(kSigned);
  ASSERT_TRUE(parts.ok());
  EXPECT_EQ(parts->header, R"({"alg":"ES256"})");
  EXPECT_TRUE(key->Verifies(parts->signed_bytes, parts->signature));
  EXPECT_FALSE(key->Verifies(parts->signed_bytes + "x", parts->signature));
}

TEST(Jws, WhatOneKeySignsNoOtherVerifies) {
  const std::string keys[] = {*NewKey(), *NewKey(), *NewRsaKey()};
  for (const std::string& signs : keys) {
    const std::string signature = *SignJws(signs, "bytes");
    for (const std::string& asked : keys) {
      const auto key = PublicKey::FromJwk(*JwkOf(asked));
      ASSERT_TRUE(key.ok()) << key.error().ToString();
      EXPECT_EQ(key->alg(), *AlgOf(asked));
      EXPECT_EQ(key->Verifies("bytes", signature), signs == asked);
      EXPECT_FALSE(key->Verifies("other", signature));
      EXPECT_FALSE(key->Verifies("bytes", signature + '\0'));
      EXPECT_FALSE(key->Verifies("bytes", ""));
    }
  }
}

TEST(Jws, RefusesKeysThatAreNone) {
  const auto with = [](PublicJwk jwk, std::string PublicJwk::* member, std::string value) {
    jwk.*member = std::move(value);
    return PublicKey::FromJwk(jwk).ok();
  };
  ASSERT_TRUE(with(kEc, &PublicJwk::kty, "EC"));
  EXPECT_FALSE(with(kEc, &PublicJwk::kty, "oct"));
  EXPECT_FALSE(with(kEc, &PublicJwk::crv, "P-384"));
  EXPECT_FALSE(with(kEc, &PublicJwk::x, "")) << "nothing";
  EXPECT_FALSE(with(kEc, &PublicJwk::x, kEc.y)) << "beside the curve";
  EXPECT_FALSE(with(kEc, &PublicJwk::x, "AAAA")) << "too short";
  EXPECT_FALSE(with(kEc, &PublicJwk::x, std::string(5000, 'A'))) << "too long";
  EXPECT_FALSE(with(kEc, &PublicJwk::x, kEc.x + "=")) << "padded";
  ASSERT_TRUE(with(kRsa, &PublicJwk::e, "AQAB"));
  EXPECT_FALSE(with(kRsa, &PublicJwk::e, "AQ")) << "1: whatever is signed is the signature";
  EXPECT_FALSE(with(kRsa, &PublicJwk::e, "Aw")) << "3";
  EXPECT_FALSE(with(kRsa, &PublicJwk::e, "AQAC")) << "even";
  EXPECT_FALSE(with(kRsa, &PublicJwk::n, kRsa.n.substr(0, 172))) << "1024 bits";
  EXPECT_FALSE(with(kRsa, &PublicJwk::n, "AAAA" + kRsa.n)) << "zeros in front";
  EXPECT_FALSE(with(kRsa, &PublicJwk::n, Base64Url(std::string(513, '\xff')))) << "more than 4096 bits";
}

TEST(Jws, ReadsOneFormOnly) {
  const std::string text = kSigned;
  for (const std::string& wrong : {std::string(), std::string("a.b"), text + ".", text + "=", "." + text,
                                   text.substr(0, text.find('.')), text + " "}) {
    EXPECT_FALSE(ParseCompact(wrong).ok()) << wrong;
  }
  EXPECT_FALSE(JwkOf("no key").ok());
  EXPECT_FALSE(SignJws("no key", "bytes").ok());
}

}  // namespace
}  // namespace weir::identity
