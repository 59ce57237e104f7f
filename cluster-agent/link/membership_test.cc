#include "cluster-agent/link/membership.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "cluster-agent/link/answers.h"
#include "cluster-agent/link/joining.h"
#include "libs/base/file.h"
#include "libs/base/last_good_file.h"
#include "libs/identity/token.h"

namespace weir::agent {
namespace {

using testing::HasSubstr;

constexpr char kDomain[] = "c1.acme.weir.internal";

class MembershipTest : public testing::Test {
 protected:
  MembershipTest() {
    char folder[] = "/tmp/weir-membership-XXXXXX";
    EXPECT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
    const auto root = identity::NewRoot("acme", clock_).value();
    member_.cluster = "c1";
    member_.organization = "acme";
    member_.trust_domain = kDomain;
    member_.anchor_pem = identity::NewServerAnchor(clock_).value().certificate_pem;
    member_.root_pem = root.certificate_pem;
    member_.workload_key = identity::NewWorkloadKey();
    member_.intermediate.key_pem = identity::NewKey().value();
    member_.intermediate.certificate_pem =
        identity::SignIntermediate(
            root,
            {identity::MakeCsr(member_.intermediate.key_pem).value(), kDomain, {"uid", 1}, std::chrono::hours(24 * 30)},
            clock_)
            .value();
  }
  ~MembershipTest() override { std::filesystem::remove_all(folder_); }
  Result<StoredMembership> Ensure(const std::string& token_file = "") {
    return EnsureMembership({"127.0.0.1:1", folder_ + "/membership", token_file}, stop_, clock_);
  }

  ManualClock clock_;
  std::atomic<bool> stop_{false};
  std::string folder_;
  Membership member_;
};

TEST_F(MembershipTest, IsWhatWasStored) {
  ASSERT_TRUE(SaveMembership(folder_ + "/membership", member_).ok());
  const auto stored = Ensure();
  ASSERT_TRUE(stored.ok()) << stored.error().ToString();
  EXPECT_EQ(stored->membership.ToText(), member_.ToText());
}

// One of before is not joined anew: its workloads get tokens of a key that stays.
TEST_F(MembershipTest, FromBeforeThereWereKeysOfWorkloadsGetsOneThatStays) {
  std::string text = member_.ToText();
  const size_t line = text.find("workload-key ");
  text.erase(line, text.find('\n', line) + 1 - line);
  ASSERT_TRUE(WriteLastGoodFile(folder_ + "/membership", {"weir-membership", 2, true, 1u << 20}, text).ok());
  const auto first = Ensure();
  ASSERT_TRUE(first.ok()) << first.error().ToString();
  EXPECT_EQ(first->membership.workload_key.size(), 64u);
  EXPECT_EQ(Ensure()->membership.workload_key, first->membership.workload_key);
}

// Not a foreign membership, and no reason to join again: that would use a token up for nothing.
TEST_F(MembershipTest, ThatHasNotBegunSaysThatTheClockIsBehind) {
  ASSERT_TRUE(SaveMembership(folder_ + "/membership", member_).ok());
  const std::string token = folder_ + "/token";
  ASSERT_TRUE(identity::WriteSecretFile(
                  token, identity::JoinToken::New("organizations/acme/clusters/c1", std::string(64, 'a')).ToText())
                  .ok());
  clock_.JumpWall(-std::chrono::hours(3));
  for (const std::string& given : {std::string(), token}) {
    const auto refused = Ensure(given);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().reason, "CLOCK_BEHIND");
    EXPECT_THAT(refused.error().message, testing::AllOf(HasSubstr("not yet valid"), HasSubstr("set the clock")));
    EXPECT_EQ(refused.error().cause, "") << "it did not try to join";
  }
  clock_.JumpWall(std::chrono::hours(3));
  EXPECT_TRUE(Ensure().ok());
}

TEST_F(MembershipTest, ThatIsDamagedSaysWhatToDo) {
  ASSERT_TRUE(WriteFileAtomic(folder_ + "/membership.1", "nonsense", 0600).ok());
  const auto refused = Ensure();
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message, HasSubstr("weir cluster token"));
}

TEST(Answers, SayWhichPortItWas) {
  const Error people = FromServer({grpc::StatusCode::UNAUTHENTICATED, "BAD_TOKEN: the token is unknown"});
  EXPECT_EQ(people.reason, "WRONG_PORT");
  EXPECT_THAT(people.message, testing::AllOf(HasSubstr("9443"), HasSubstr("9444")));
  EXPECT_THAT(people.cause, HasSubstr("BAD_TOKEN"));
  const Error rest =
      FromServer({grpc::StatusCode::UNAVAILABLE, "last error: Cannot check peer: missing selected ALPN property."});
  EXPECT_THAT(rest.message, testing::AllOf(HasSubstr("8443"), HasSubstr("9444")));
  EXPECT_EQ(FromServer({grpc::StatusCode::UNAVAILABLE, "connection refused"}).reason, "RPC_UNAVAILABLE");
}

}  // namespace
}  // namespace weir::agent
