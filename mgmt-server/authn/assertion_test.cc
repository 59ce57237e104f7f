#include "mgmt-server/authn/assertion.h"

#include <gtest/gtest.h>

#include "api/weir/v2/service_account.pb.h"
#include "libs/base/sha256.h"
#include "libs/identity/certificates.h"
#include "libs/identity/token.h"
#include "mgmt-server/authn/authn.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/store/temp_store.h"

namespace weir::authn {
namespace {

constexpr char kHere[] = "192.0.2.1";
constexpr char kAudience[] = "weir-server:0123";
const std::string kAccount = "organizations/o/serviceaccounts/ci";

// An account "ci" with an EC key "ec" and an RSA key "rsa", another account with a key of its own.
class AssertionTest : public testing::Test {
 protected:
  AssertionTest() : store_(authz::TenancyPolicy(), clock_), authn_(*store_, OptionsOf(clock_)) {
    ec_ = *identity::NewKey();
    static const std::string rsa = *identity::NewRsaKey();
    rsa_ = rsa;
    other_ = *identity::NewKey();
    Put("Organization", "organizations/o", "");
    PutAccount(kAccount, {{"ec", ec_}, {"rsa", rsa_}});
    PutAccount("organizations/o/serviceaccounts/other", {{"other", other_}, {"ec", other_}});
  }
  static Options OptionsOf(const Clock& clock) {
    Options options;
    options.cost = {64, 1};
    options.clock = &clock;
    options.failures_per_minute = options.source_failures_per_minute = 1000;
    return options;
  }
  void Put(const std::string& kind, const std::string& fqn, const std::string& body) {
    const Status done = store_->Write([&](store::Txn& txn) -> Status {
      const bool fresh = txn.Get(fqn) == nullptr;
      WEIR_ASSIGN(const store::ResourcePtr stored, txn.Put({kind, fqn, body, {}, std::nullopt}));
      return fresh ? authz::OnCreate(txn, *stored, {}) : Status();
    });
    ASSERT_TRUE(done.ok()) << done.error().ToString();
  }
  void PutAccount(const std::string& fqn, const std::vector<std::pair<std::string, std::string>>& keys,
                  int64_t expires = 0) {
    v2::ServiceAccount account;
    for (const auto& [id, pem] : keys) {
      const identity::PublicJwk jwk = *identity::JwkOf(pem);
      auto& key = *account.mutable_spec()->add_keys();
      key.set_id(id);
      auto& is = *key.mutable_public_key();
      is.set_kty(jwk.kty);
      is.set_crv(jwk.crv);
      is.set_x(jwk.x);
      is.set_y(jwk.y);
      is.set_n(jwk.n);
      is.set_e(jwk.e);
      if (expires != 0) key.mutable_expire_time()->set_seconds(expires);
    }
    Put("ServiceAccount", fqn, account.SerializeAsString());
  }
  void DeleteAccount() {
    ASSERT_TRUE(store_
                    ->Write([&](store::Txn& txn) -> Status {
                      WEIR_TRY(authz::OnDelete(txn, *txn.Get(kAccount)));
                      WEIR_TRY(txn.Delete(kAccount));
                      return {};
                    })
                    .ok());
  }
  int64_t Now() const {
    return std::chrono::duration_cast<std::chrono::seconds>(clock_.Wall().time_since_epoch()).count();
  }
  // The claims of a good one; `more` is put at the end.
  std::string Claims(const std::string& jti, const std::string& subject = kAccount, const std::string& more = "") {
    return fmt::format(R"({{"iss":"{0}","sub":"{0}","aud":"{1}","iat":{2},"exp":{3},"jti":"{4}"{5}}})", subject,
                       kAudience, Now(), Now() + 300, jti, more);
  }
  static std::string Header(const std::string& alg = "ES256", const std::string& kid = "ec") {
    return fmt::format(R"({{"alg":"{}","kid":"{}","typ":"JWT"}})", alg, kid);
  }
  std::string Sign(const std::string& claims, const std::string& header = Header()) {
    return *identity::MakeCompact(header.find("RS256") == std::string::npos ? ec_ : rsa_, header, claims);
  }
  // The claims of a good one, one of them with another value.
  std::string With(const std::string& key, const std::string& value) {
    std::string claims = Claims("w");
    const size_t at = claims.find("\"" + key + "\":") + key.size() + 3;
    return claims.replace(at, claims.find_first_of(",}", at) - at, value);
  }
  struct Hostile {
    const char* what;
    std::string text;
  };
  Result<Login> LogIn(const std::string& text) { return authn_.LogInByAssertion(text, kAudience, kHere); }
  std::string Try(const std::string& text) {
    const auto login = LogIn(text);
    return login.ok() ? "" : login.error().reason;
  }

  ManualClock clock_;
  store::TempStore store_;
  Authn authn_;
  std::string ec_, rsa_, other_;
};

TEST_F(AssertionTest, EitherKindOfKeySignsInByNameAndByUid) {
  const auto login = LogIn(Sign(Claims("1")));
  ASSERT_TRUE(login.ok()) << login.error().ToString();
  EXPECT_EQ(login->principal.fqn, kAccount);
  EXPECT_EQ(authn_.Authenticate(login->token)->uid, store_->Read()->Get(kAccount)->uid);
  EXPECT_EQ(Try(Sign(Claims("2"), Header("RS256", "rsa"))), "");
  EXPECT_EQ(Try(Sign(Claims("3", store_->Read()->Get(kAccount)->uid))), "");
  const std::string listed =
      fmt::format(R"({{"iss":"{0}","sub":"{0}","aud":["x","{1}"],"iat":{2},"exp":{3},"jti":"4"}})", kAccount, kAudience,
                  Now(), Now() + 300);
  EXPECT_EQ(Try(Sign(listed)), "");
  clock_.Advance(std::chrono::minutes(59));
  EXPECT_TRUE(authn_.Authenticate(login->token).ok());
  clock_.Advance(std::chrono::minutes(2));
  EXPECT_FALSE(authn_.Authenticate(login->token).ok());
}

TEST_F(AssertionTest, HostileHeadersAndSignaturesAreRefused) {
  const std::string good = Sign(Claims("good"));
  const auto unsigned_of = [&](const std::string& header, const std::string& signature) {
    return identity::Base64Url(header) + "." + identity::Base64Url(Claims("u")) + "." + signature;
  };
  const Hostile cases[] = {
      {"nothing", ""},
      {"no dots", "abc"},
      {"four parts", good + ".AAAA"},
      {"not base64url", good + "="},
      {"alg none", unsigned_of(R"({"alg":"none","kid":"ec"})", "")},
      {"alg None with a signature", unsigned_of(R"({"alg":"None","kid":"ec"})", good.substr(good.rfind('.') + 1))},
      {"HS256 with the public key", Sign(Claims("h"), Header("HS256"))},
      {"RS256 said of an EC key", Sign(Claims("h"), Header("RS256"))},
      {"ES256 said of an RSA key", *identity::MakeCompact(rsa_, Header("ES256", "rsa"), Claims("h"))},
      {"ES384", Sign(Claims("h"), Header("ES384"))},
      {"kid of nobody", Sign(Claims("k"), Header("ES256", "nobody"))},
      {"kid of another account", Sign(Claims("k"), Header("ES256", "other"))},
      {"another account's key under this kid", *identity::MakeCompact(other_, Header(), Claims("k"))},
      {"no kid", Sign(Claims("k"), R"({"alg":"ES256"})")},
      {"kid is a number", Sign(Claims("k"), R"({"alg":"ES256","kid":1})")},
      {"crit", Sign(Claims("k"), R"({"alg":"ES256","kid":"ec","crit":["b64"],"b64":false})")},
      {"alg twice", Sign(Claims("k"), R"({"alg":"none","alg":"ES256","kid":"ec"})")},
      {"header no JSON", Sign(Claims("c"), "alg: ES256")},
      {"header a list", Sign(Claims("c"), "[]")},
      {"claims no JSON", Sign("")},
      {"nested deep", Sign(Claims("c", kAccount, ",\"x\":" + std::string(50, '[') + std::string(50, ']')))},
      {"huge", Sign(Claims("h", kAccount, ",\"x\":\"" + std::string(kMaxAssertion, 'x') + "\""))},
      {"signature of other bytes", good.substr(0, good.rfind('.')) + Sign(Claims("o")).substr(good.rfind('.'))},
      {"signature cut", good.substr(0, good.size() - 4)},
      {"signature of zeros", good.substr(0, good.rfind('.')) + "." + identity::Base64Url(std::string(64, '\0'))},
  };
  for (const auto& each : cases) EXPECT_EQ(Try(each.text), "BAD_ASSERTION") << each.what;
  EXPECT_EQ(Try(good), "") << "what the others were made of";
}

TEST_F(AssertionTest, HostileClaimsAreRefused) {
  const std::string now = std::to_string(Now());
  const Hostile cases[] = {
      {"a claim twice", Sign(Claims("c", kAccount, R"(,"sub":"organizations/o/serviceaccounts/other")"))},
      {"iss is another", Sign(With("iss", "\"organizations/o/serviceaccounts/other\""))},
      {"account of another name", Sign(Claims("c", "organizations/o/serviceaccounts/nobody"))},
      {"a user", Sign(Claims("c", "organizations/o/users/ci"))},
      {"an organization", Sign(Claims("c", "organizations/o"))},
      {"aud of another server", Sign(With("aud", "\"weir-server:4567\""))},
      {"aud empty", Sign(With("aud", "[]"))},
      {"no aud", Sign(With("aud", "null"))},
      {"no jti", Sign(With("jti", "null"))},
      {"jti too long", Sign(Claims(std::string(129, 'j')))},
      {"no iat", Sign(With("iat", "null"))},
      {"no exp", Sign(With("exp", "null"))},
      {"exp a text", Sign(With("exp", "\"" + now + "\""))},
      {"exp with a fraction", Sign(With("exp", now + ".5"))},
      {"exp negative", Sign(With("exp", "-1"))},
      {"exp beyond all time", Sign(With("exp", "9223372036854775807"))},
      {"lives too long", Sign(With("exp", std::to_string(Now() + 301)))},
      {"ends before it begins", Sign(With("exp", std::to_string(Now() - 1)))},
      {"iat in the future", Sign(With("iat", std::to_string(Now() + 31)))},
      {"nbf in the future", Sign(Claims("n", kAccount, fmt::format(",\"nbf\":{}", Now() + 31)))},
      {"nbf a text", Sign(Claims("n", kAccount, ",\"nbf\":\"0\""))},
  };
  for (const auto& each : cases) EXPECT_EQ(Try(each.text), "BAD_ASSERTION") << each.what;
  // Whatever is wrong about who and how it was signed, the words are the same.
  EXPECT_EQ(LogIn(Sign(Claims("x", "organizations/o/serviceaccounts/nobody"))).error().message,
            LogIn(*identity::MakeCompact(other_, Header(), Claims("x"))).error().message);
}

TEST_F(AssertionTest, EachIsGoodOnceAndNotForLong) {
  const std::string one = Sign(Claims("one"));
  EXPECT_EQ(Try(one), "");
  EXPECT_EQ(Try(one), "ASSERTION_USED");
  EXPECT_EQ(Try(Sign(Claims("one"), Header("RS256", "rsa"))), "ASSERTION_USED");
  // Another account calls its own what it likes.
  EXPECT_EQ(Try(*identity::MakeCompact(other_, Header("ES256", "other"),
                                       Claims("one", "organizations/o/serviceaccounts/other"))),
            "");
  const std::string late = Sign(Claims("late"));
  clock_.Advance(std::chrono::seconds(331));
  EXPECT_EQ(Try(late), "ASSERTION_EXPIRED");
  EXPECT_EQ(Try(one), "ASSERTION_EXPIRED");
  EXPECT_EQ(Try(Sign(Claims("two"))), "");
  size_t kept = 0;
  store_->Read()->ForEachUsedAssertion([&](const store::UsedAssertion&) { ++kept; });
  EXPECT_EQ(kept, 1u) << "what is over is forgotten";
}

TEST_F(AssertionTest, WhatWasSignedInEndsWithItsKeyAndAccountAtOnce) {
  const auto by_ec = LogIn(Sign(Claims("1")));
  const auto by_rsa = LogIn(Sign(Claims("2"), Header("RS256", "rsa")));
  ASSERT_TRUE(by_ec.ok() && by_rsa.ok());
  PutAccount(kAccount, {{"rsa", rsa_}});
  EXPECT_FALSE(authn_.Authenticate(by_ec->token).ok());
  EXPECT_TRUE(authn_.Authenticate(by_rsa->token).ok());
  EXPECT_EQ(Try(Sign(Claims("3"))), "BAD_ASSERTION");
  PutAccount(kAccount, {{"rsa", rsa_}, {"ec", other_}});
  EXPECT_FALSE(authn_.Authenticate(by_ec->token).ok()) << "another key has the name";
  PutAccount(kAccount, {{"rsa", rsa_}}, Now() + 60);
  clock_.Advance(std::chrono::seconds(61));
  EXPECT_FALSE(authn_.Authenticate(by_rsa->token).ok());
  EXPECT_EQ(Try(Sign(Claims("4"), Header("RS256", "rsa"))), "BAD_ASSERTION");
  // Made again under the same name it is another one: what the old key signs is nothing to it.
  const std::string old_uid = store_->Read()->Get(kAccount)->uid;
  DeleteAccount();
  PutAccount(kAccount, {{"ec", other_}});
  EXPECT_EQ(Try(Sign(Claims("5"))), "BAD_ASSERTION");
  EXPECT_EQ(Try(*identity::MakeCompact(other_, Header(), Claims("6", old_uid))), "BAD_ASSERTION");
  EXPECT_EQ(Try(*identity::MakeCompact(other_, Header(), Claims("7"))), "");
}

TEST_F(AssertionTest, ATokenEndsWithTheKeyThatItWasGotWith) {
  PutAccount(kAccount, {{"ec", ec_}}, Now() + 120);
  const auto login = LogIn(Sign(Claims("1")));
  ASSERT_TRUE(login.ok());
  EXPECT_EQ(login->expires, WallTime(std::chrono::seconds(Now() + 120)));
}

TEST_F(AssertionTest, TokensOfAnAccountAreBounded) {
  ASSERT_TRUE(store_
                  ->Write([&](store::Txn& txn) -> Status {
                    const std::string uid = txn.Get(kAccount)->uid;
                    for (size_t i = 0; i + 2 < Authn::kMostSessions; ++i) {
                      WEIR_TRY(txn.PutSession(
                          {Sha256(std::to_string(i)), uid, txn.now(), txn.now() + std::chrono::hours(1), "ec"}));
                    }
                    return {};
                  })
                  .ok());
  EXPECT_EQ(Try(Sign(Claims("1"))), "");
  Duration wait{};
  const auto refused = authn_.LogInByAssertion(Sign(Claims("2")), kAudience, kHere, &wait);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().reason, "TOO_MANY_SESSIONS");
  EXPECT_EQ(wait, std::chrono::minutes(1));
}

}  // namespace
}  // namespace weir::authn
