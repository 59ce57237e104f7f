#include "libs/resource/routes.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "api/weir/v2/gateway.pb.h"
#include "api/weir/v2/organization_setting.pb.h"
#include "libs/resource/validate.h"

namespace weir::resource {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

v2::Gateway With(const std::string& rules) {
  v2::Gateway gateway;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      "metadata { name: 'g' } spec { workload_selector { namespace: 'n' labels { key: 'a' value: 'b' } } "
      "http { name: 's' hostname: 'x.test' port: 80 routing { " +
          rules + " } } }",
      &gateway))
      << rules;
  return gateway;
}

// Field and description, without what they have in common.
std::vector<std::string> Wrong(const std::string& rules) {
  std::vector<FieldViolation> violations;
  Validate(With(rules), violations);
  std::vector<std::string> out;
  for (const auto& violation : violations) {
    out.push_back(violation.field.substr(std::string("spec.http[0].routing.").size()) + ": " + violation.description);
  }
  return out;
}

std::vector<std::string> Dead(const std::string& rules) {
  std::vector<std::string> out;
  for (const auto& warning : Warnings(With(rules))) {
    out.push_back(warning.field.substr(std::string("spec.http[0].routing.").size()) + ": " + warning.description);
  }
  return out;
}

TEST(Routes, APathThatNoRequestHasIsRefusedWithTheOneToWrite) {
  for (const auto& [path, remedy] : std::vector<std::pair<std::string, std::string>>{{"/a/../b", "write /b"},
                                                                                     {"//", "write /"},
                                                                                     {"/a//b", "write /a/b"},
                                                                                     {"/%61dmin", "write /admin"},
                                                                                     {"/caf%c3%a9", "write /caf%C3%A9"},
                                                                                     {"/%zz", "answer 400"},
                                                                                     {"/a%2Fb", "answer 400"},
                                                                                     {"/..", "answer 400"},
                                                                                     {"/a b", "answer 400"},
                                                                                     {"/a?b", "begins with /"},
                                                                                     {"a", "begins with /"},
                                                                                     {"", "begins with /"}}) {
    for (const bool exact : {false, true}) {
      if (path == "/.." && !exact) continue;
      const std::string kind = exact ? "exact" : "prefix";
      EXPECT_THAT(Wrong("rules { match { uri { " + kind + ": '" + path + "' } } redirect { uri: '/' } }"),
                  ElementsAre(testing::AllOf(HasSubstr("rules[0].match[0].uri." + kind + ": "), HasSubstr(remedy))))
          << path;
    }
  }
  for (const std::string good : {"/", "/a", "/a/", "/a.b/c;v=1", "/caf%C3%A9", "/a%20b", "/.well-known/", "/%25"}) {
    EXPECT_EQ(WhyNoRequestHas(good, false), "");
    EXPECT_EQ(WhyNoRequestHas(good, true), "");
  }
  EXPECT_EQ(WhyNoRequestHas("/.", false), "") << "begins /.git";
  EXPECT_EQ(WhyNoRequestHas("/..", false), "") << "begins /..a";
  EXPECT_THAT(WhyNoRequestHas("/.", true), HasSubstr("write /"));
}

TEST(Routes, ARedirectGoesToAHostWithAPortOfTcp) {
  for (const std::string good : {"x", "x.test:1", "X.test:65535", "192.0.2.1:80", "[::1]", "[2001:db8::1]:8443"}) {
    EXPECT_TRUE(IsAuthority(good)) << good;
  }
  for (const std::string bad : {"", ":80", "x:", "x:0", "x:65536", "x:99999", "x:-1", "x:8a", "x:1:2", "a b", "a/b",
                                "u@x", "[::1", "[]", "[x]", "::1", "[::1]80"}) {
    EXPECT_FALSE(IsAuthority(bad)) << bad;
  }
  EXPECT_FALSE(IsAuthority(std::string(260, 'a')));
  EXPECT_THAT(Wrong("rules { redirect { authority: 'x:99999' } }"),
              ElementsAre("rules[0].redirect.authority: must be host or host:port, the port 1 to 65535"));
  EXPECT_THAT(Wrong("rules { redirect { authority: 'x:8443' } }"), IsEmpty());
}

TEST(Routes, AnAnswerThatMayHaveNoBodyHasNone) {
  for (const std::string status : {"204", "205", "304"}) {
    EXPECT_THAT(Wrong("rules { direct_response { status: " + status + " body: 'x' } }"),
                ElementsAre(HasSubstr("rules[0].directResponse.body: a 204, 205 or 304 has none")));
    EXPECT_THAT(Wrong("rules { direct_response { status: " + status + " } }"), IsEmpty());
  }
  EXPECT_THAT(Wrong("rules { direct_response { status: 200 body: 'x' } }"), IsEmpty());
}

TEST(OrganizationSettings, BoundTheGraceOfExpiredIdentities) {
  const auto wrong = [](const std::string& grace) {
    v2::OrganizationSetting setting;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
        "metadata { name: 's' } spec { expired_identity_grace { " + grace + " } }", &setting));
    std::vector<FieldViolation> violations;
    Validate(setting, violations);
    return violations.size() == 1 ? violations[0].field : violations.empty() ? "" : "more";
  };
  for (const char* good : {"", "seconds: 1", "seconds: 3600"}) EXPECT_EQ(wrong(good), "") << good;
  for (const char* bad : {"seconds: -1", "seconds: 3601", "seconds: 1 nanos: 1", "nanos: -1"}) {
    EXPECT_EQ(wrong(bad), "spec.expiredIdentityGrace") << bad;
  }
}

TEST(Warnings, NameTheRuleThatCanNeverFireAndTheOneThatTakesItsRequests) {
  const std::string to = " redirect { uri: '/' } }";
  const auto prefix = [&](const std::string& path) { return "rules { match { uri { prefix: '" + path + "' } }" + to; };
  const auto exact = [&](const std::string& path) { return "rules { match { uri { exact: '" + path + "' } }" + to; };
  const std::string all = "rules {" + to;
  EXPECT_THAT(Dead(all + prefix("/a") + all),
              ElementsAre(testing::StartsWith("rules[1]: can never fire: the first rule that takes a request has it, "
                                              "and rules[0] leaves nothing"),
                          testing::StartsWith("rules[2]: ")));
  EXPECT_THAT(Dead(prefix("/") + exact("/a")), ElementsAre(HasSubstr("rules[1]")));
  EXPECT_THAT(Dead(prefix("/a") + prefix("/ab") + exact("/a")),
              ElementsAre(HasSubstr("rules[1]"), HasSubstr("rules[2]")));
  EXPECT_THAT(Dead(exact("/a") + exact("/a")), ElementsAre(HasSubstr("rules[1]")));
  EXPECT_THAT(Dead(exact("/a") + prefix("/a") + prefix("/") + all), ElementsAre(HasSubstr("rules[3]")));
  EXPECT_THAT(Dead(prefix("/ab") + prefix("/a") + all), IsEmpty());
  const std::string both = "rules { match { uri { prefix: '/a/b' } } match { uri { exact: '/c' } }" + to;
  EXPECT_THAT(Dead(prefix("/a") + both), IsEmpty()) << "/c is left";
  EXPECT_THAT(Dead(prefix("/a") + prefix("/c") + both),
              ElementsAre(testing::AllOf(HasSubstr("rules[2]"), HasSubstr("and rules[1] leaves nothing"))));
}

}  // namespace
}  // namespace weir::resource
