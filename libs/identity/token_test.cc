#include "libs/identity/token.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "libs/base/file.h"
#include "libs/base/ids.h"
#include "libs/identity/spiffe_id.h"

namespace weir::identity {
namespace {

TEST(JoinToken, SurvivesBeingPrintedAndPasted) {
  const JoinToken token = JoinToken::New("organizations/acme/clusters/edge", std::string(64, 'a'));
  const auto back = JoinToken::Parse(" \n" + token.ToText() + "\n");
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->secret, token.secret);
  EXPECT_EQ(back->anchor_sha256, token.anchor_sha256);
  EXPECT_EQ(back->cluster(), "edge");
  EXPECT_EQ(back->SecretHash(), token.SecretHash());
}

TEST(JoinToken, SaysWhetherAMemberMayUseIt) {
  JoinToken token = JoinToken::New("organizations/acme/clusters/edge", std::string(64, 'a'));
  EXPECT_FALSE(JoinToken::Parse(token.ToText())->rejoin);
  token.rejoin = true;
  const auto read = JoinToken::Parse(token.ToText());
  ASSERT_TRUE(read.ok());
  EXPECT_TRUE(read->rejoin);
  EXPECT_EQ(read->SecretHash(), token.SecretHash()) << "to the server it is the same token";
}

TEST(JoinToken, RefusesWhatIsNotAToken) {
  const std::string good = JoinToken::New("organizations/a/clusters/b", std::string(64, 'a')).ToText();
  for (const std::string& bad : {std::string(), std::string("weir-join-1."), good.substr(0, 60), "x" + good, good + "=",
                                 good.substr(0, 20) + "*" + good.substr(21)}) {
    EXPECT_FALSE(JoinToken::Parse(bad).ok()) << bad;
  }
}

TEST(JoinToken, RefusesNearMisses) {
  const std::string secret(64, 'b'), anchor(64, 'a'), cluster = "organizations/a/clusters/b";
  const auto text = [](const std::string& body, const std::string& prefix = "weir-join-1.") {
    return prefix + Base64Url(body);
  };
  const std::string good = secret + "\n" + anchor + "\n" + cluster;
  ASSERT_TRUE(JoinToken::Parse(text(good)).ok());
  EXPECT_FALSE(JoinToken::Parse(text(good, "weir-join-2.")).ok());
  EXPECT_FALSE(JoinToken::Parse(text(good, "weir-join_1.")).ok());
  for (const std::string& bad :
       {std::string(64, 'B') + "\n" + anchor + "\n" + cluster, std::string(64, 'g') + "\n" + anchor + "\n" + cluster,
        secret + "\n" + std::string(64, 'A') + "\n" + cluster, secret + "\n" + anchor + "\norganizations/a/clusters/",
        secret + "\n" + anchor + "\n", secret + " " + anchor + "\n" + cluster, secret + "\n" + anchor + " " + cluster,
        secret + "\n" + anchor}) {
    EXPECT_FALSE(JoinToken::Parse(text(bad)).ok()) << bad;
  }
  const std::string token = text(good);
  EXPECT_TRUE(JoinToken::Parse(token + std::string(4096 - token.size(), ' ')).ok());
  EXPECT_FALSE(JoinToken::Parse(token + std::string(4097 - token.size(), ' ')).ok());
}

TEST(WorkloadToken, IsOfOneKeyAndOneWorkload) {
  const std::string key = NewWorkloadKey();
  const std::string token = WorkloadToken(key, "edge/t1");
  EXPECT_EQ(token, WorkloadToken(key, "edge/t1"));
  EXPECT_EQ(token.size(), 64u);
  EXPECT_NE(token, WorkloadToken(key, "edge/t2"));
  EXPECT_NE(token, WorkloadToken(NewWorkloadKey(), "edge/t1"));
  // RFC 4231, test case 2.
  EXPECT_EQ(WorkloadToken("Jefe", "what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(Base64Url, EveryLengthSurvives) {
  for (size_t size = 0; size < 40; ++size) {
    const std::string bytes = RandomBytes(size);
    EXPECT_EQ(FromBase64Url(Base64Url(bytes)).value(), bytes);
  }
  EXPECT_EQ(Base64Url("\xff\xfe"), "__4");
  EXPECT_FALSE(FromBase64Url("__5").ok());  // Bits beyond the last byte.
  for (const char* bad : {"A", "AAAAA", "AA=", "AA+", "A A"}) EXPECT_FALSE(FromBase64Url(bad).ok()) << bad;
}

TEST(SecretFile, IsPrivateAndMustStayPrivate) {
  const std::string path = testing::TempDir() + "weir-secret-" + RandomHex(6) + "/token";
  ASSERT_TRUE(WriteSecretFile(path, "s3cret").ok());
  EXPECT_EQ(ReadSecretFile(path).value(), "s3cret");
  chmod(path.c_str(), 0644);
  EXPECT_EQ(ReadSecretFile(path).error().reason, "SECRET_FILE_OPEN");
}

TEST(SpiffeId, ParsesWhatTheStandardAllows) {
  const auto id = SpiffeId::Parse("spiffe://edge.acme.weir.internal/ns/Shop/sa/web_1");
  ASSERT_TRUE(id.ok());
  EXPECT_EQ(id->trust_domain, "edge.acme.weir.internal");
  EXPECT_EQ(id->path, "/ns/Shop/sa/web_1");
  EXPECT_EQ(SpiffeId::Parse("spiffe://td")->path, "");
}

TEST(SpiffeId, RefusesEverythingElse) {
  for (const char* bad : {"", "spiffe://", "http://td/a", "spiffe://TD/a", "spiffe://td/", "spiffe://td//a",
                          "spiffe://td/a/../b", "spiffe://td/./b", "spiffe://td:80/a", "spiffe://u@td/a",
                          "spiffe://td/a?b", "spiffe://td/a#b", "spiffe://td/a%20b", "SPIFFE://td/a"}) {
    EXPECT_FALSE(SpiffeId::Parse(bad).ok()) << bad;
  }
  EXPECT_TRUE(SpiffeId::Parse("spiffe://" + std::string(255, 'z') + "/a").ok());
  EXPECT_FALSE(SpiffeId::Parse("spiffe://" + std::string(256, 'z') + "/a").ok());
  EXPECT_TRUE(SpiffeId::Parse("spiffe://td/" + std::string(2048 - 12, 'z')).ok());
  EXPECT_FALSE(SpiffeId::Parse("spiffe://td/" + std::string(2049 - 12, 'z')).ok());
  for (const char c : {'{', '`', ':', '[', '@', ',', '\0', '\x7f', '\xe9'}) {
    EXPECT_FALSE(SpiffeId::Parse("spiffe://td" + std::string(1, c) + "/a").ok()) << c;
    EXPECT_FALSE(SpiffeId::Parse("spiffe://td/a" + std::string(1, c)).ok()) << c;
  }
  EXPECT_TRUE(SpiffeId::Parse("spiffe://az09.-_/azAZ09.-_").ok());
}

}  // namespace
}  // namespace weir::identity
