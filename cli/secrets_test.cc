#include "cli/secrets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Each with the secret that it holds: never in what comes out.
TEST(Secrets, AreMaskedWhereverTheyStand) {
  const std::pair<const char*, const char*> planted[] = {
      {"password: hunter2-horse", "hunter2"},
      {"  password: with, a comma", "a comma"},
      {"adminPassword: 'hunter2 # horse'", "horse"},
      {R"({"password": "hun\"ter2-horse", "user": "ann"})", "ter2"},
      {R"({"spec":{"clientSecret":"s3cr3t-value"}})", "s3cr3t"},
      {"login?user=ann&token=abc.def-ghi&x=1", "abc.def"},
      {"time=1 level=info api_key=12345678 msg=\"hello\"", "12345678"},
      {"X-Api-Key: 0123456789", "0123456789"},
      {"Authorization: Bearer abcdefghijkl", "abcdefghijkl"},
      {"sent header authorization=Basic YWxhZGRpbjpvcGVu", "YWxhZGRpbjpvcGVu"},
      {"tried Bearer abcdefghijkl at 10:00", "abcdefghijkl"},
      {"Cookie: a=1234567; session=7654321", "7654321"},
      {"postgres://weir:pass4word@db.example/weir", "pass4word"},
      {"the token eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ4In0.c2lnbmF0dXJl is used", "c2lnbmF0dXJl"},
      {"tokens: [first-token, second-token]", "second-token"},
      {"tokens:\n  - first-token\n  - second-token\nname: x", "second-token"},
      {"privateKey: |\n  MIIabc\n  MIIdef\nname: x", "MIIdef"},
      {"key:\n-----BEGIN EC PRIVATE KEY-----\nMIIabc\nMIIdef\n-----END EC PRIVATE KEY-----\nname: x", "MIIdef"},
      {R"({"key": "-----BEGIN PRIVATE KEY-----\nMIIabc\n-----END PRIVATE KEY-----\n"})", "MIIabc"},
      {R"({"token":"abcdef123","key":"-----BEGIN PRIVATE KEY-----\nMIIabc\n-----END PRIVATE KEY-----\n"})",
       "abcdef123"},
      {"weir-join-1.0123456789abcdef", "0123456789"},
      {"anything with the-known-token in it", "the-known-token"}};
  for (const auto& [text, secret] : planted) {
    const std::string out = WithoutSecrets(text, {"the-known-token", ""});
    EXPECT_THAT(out, Not(HasSubstr(secret))) << text;
    EXPECT_THAT(out, HasSubstr(std::string(kMasked))) << text;
  }
}

TEST(Secrets, LeaveTheRestAsItIs) {
  const char* const plain[] = {"name: shop\nspec:\n  weight: 75\n",
                               "https://shop.example.com/a?b=c",
                               "resourceVersion: 0a1b2c3d4e5f",
                               "the Bearer said no",
                               "-----BEGIN CERTIFICATE-----\nMIIabc\n-----END CERTIFICATE-----\n",
                               "a line that ends without a newline",
                               ""};
  for (const char* text : plain) EXPECT_EQ(WithoutSecrets(text), text);
  const std::string after = WithoutSecrets("tokens:\n  - one-token\nname: x\n");
  EXPECT_THAT(after, HasSubstr("\nname: x\n"));
  EXPECT_THAT(WithoutSecrets(R"({"password": "abcdefg", "user": "ann"})"), HasSubstr(R"("user": "ann"})"));
  EXPECT_THAT(WithoutSecrets("-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\nname: x"),
              HasSubstr("name: x"));
}

}  // namespace
}  // namespace weir::cli
