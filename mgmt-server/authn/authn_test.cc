#include "mgmt-server/authn/authn.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <atomic>
#include <latch>
#include <limits>
#include <thread>

#include "libs/base/admission.h"
#include "libs/base/file.h"
#include "mgmt-server/authn/administrator.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/store/temp_store.h"

namespace weir::authn {
namespace {

constexpr char kHere[] = "192.0.2.1";

class AuthnTest : public testing::Test {
 protected:
  AuthnTest() : store_(authz::TenancyPolicy(), clock_), authn_(*store_, Cheap(clock_)) {
    const auto made = EnsureAdministrator(*store_, authn_, {"demo-org", "admin", store_.folder()});
    EXPECT_TRUE(made.ok()) << made.error().ToString();
    if (made.ok()) administrator_ = *made;
    auto password = ReadFile(administrator_.password_path);
    EXPECT_TRUE(password.ok());
    if (password.ok()) password_ = password->substr(0, password->size() - 1);
  }
  static Options Cheap(const Clock& clock) {
    Options options;
    options.cost = {64, 1};
    options.clock = &clock;
    return options;
  }
  std::string Try(const std::string& user, const std::string& password, const std::string& source = kHere) {
    const auto login = authn_.LogIn("demo-org", user, password, source);
    return login.ok() ? "" : login.error().reason;
  }

  ManualClock clock_;
  store::TempStore store_;
  Authn authn_;
  Administrator administrator_;
  std::string password_;
};

TEST_F(AuthnTest, TheFirstStartMakesOneAdministratorAndWritesThePasswordForItsOwnerOnly) {
  EXPECT_TRUE(administrator_.created);
  EXPECT_EQ(administrator_.user_fqn, "organizations/demo-org/users/admin");
  struct stat info{};
  ASSERT_EQ(::stat(administrator_.password_path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  const auto again = EnsureAdministrator(*store_, authn_, {"demo-org", "admin", store_.folder()});
  ASSERT_TRUE(again.ok());
  EXPECT_FALSE(again->created);
  EXPECT_EQ(Try("admin", password_), "") << "the second start changed the password";
  const auto login = authn_.LogIn("demo-org", "admin", password_, kHere);
  EXPECT_TRUE(authz::Authorize(*store_->Read(), login->principal, authz::Right::kCreate, "").ok());
  EXPECT_TRUE(
      authz::Authorize(*store_->Read(), login->principal, authz::Right::kSetPolicy, "organizations/demo-org").ok());
}

TEST_F(AuthnTest, ATokenSpeaksForItsUserUntilItExpires) {
  const auto login = authn_.LogIn("demo-org", "admin", password_, kHere);
  ASSERT_TRUE(login.ok());
  EXPECT_EQ(login->token.size(), 43u);
  EXPECT_EQ(authn_.Authenticate(login->token)->fqn, administrator_.user_fqn);
  EXPECT_EQ(authn_.Authenticate(login->token + "x").error().reason, "BAD_TOKEN");
  EXPECT_EQ(authn_.Authenticate("").error().reason, "BAD_TOKEN");
  clock_.Advance(std::chrono::hours(12) - std::chrono::seconds(1));
  EXPECT_TRUE(authn_.Authenticate(login->token).ok());
  clock_.Advance(std::chrono::seconds(1));
  EXPECT_FALSE(authn_.Authenticate(login->token).ok());
  ASSERT_TRUE(authn_.LogIn("demo-org", "admin", password_, kHere).ok());
  int sessions = 0;
  store_->Read()->ForEachSession([&](const store::Session&) { ++sessions; });
  EXPECT_EQ(sessions, 1) << "expired sessions are swept at the next sign-in";
}

TEST_F(AuthnTest, LoggingOutEndsThatSessionOnly) {
  const auto one = authn_.LogIn("demo-org", "admin", password_, kHere);
  const auto two = authn_.LogIn("demo-org", "admin", password_, kHere);
  ASSERT_TRUE(authn_.LogOut(one->token).ok());
  EXPECT_TRUE(authn_.LogOut("unknown").ok());
  EXPECT_FALSE(authn_.Authenticate(one->token).ok());
  EXPECT_TRUE(authn_.Authenticate(two->token).ok());
}

TEST_F(AuthnTest, UnknownUsersAndWrongPasswordsGetOneAnswer) {
  const auto wrong = authn_.LogIn("demo-org", "admin", "wrong", kHere);
  const auto unknown = authn_.LogIn("demo-org", "nobody", "wrong", kHere);
  EXPECT_EQ(wrong.error().ToString(), unknown.error().ToString());
  EXPECT_EQ(wrong.error().reason, "BAD_CREDENTIALS");
}

TEST_F(AuthnTest, UnknownUsersCostTheSameWork) {
  Options options;
  options.cost = {8192, 4};
  Authn slow(*store_, options);
  const auto hash = slow.HashPassword("correct horse battery");
  const auto admin = store_->Read()->Get(administrator_.user_fqn);
  ASSERT_TRUE(store_->Write([&](store::Txn& txn) { return Authn::SetPassword(txn, admin->uid, *hash); }).ok());
  const auto worked = [] {  // Microseconds that this thread computed, however busy the machine is.
    rusage usage{};
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_utime.tv_sec * 1'000'000 + usage.ru_utime.tv_usec;
  };
  const auto best = [&](const char* user) {  // The least of some: the rest is noise of the machine.
    auto least = std::numeric_limits<decltype(worked())>::max();
    for (int i = 0; i < 7; ++i) {
      const auto before = worked();
      EXPECT_FALSE(slow.LogIn("demo-org", user, "wrong", kHere).ok());
      least = std::min(least, worked() - before);
    }
    return static_cast<double>(least);
  };
  const double known = best("admin");
  const double unknown = best("nobody");
  EXPECT_GT(known, 1000) << "hashing is not done by the thread that asks";
  EXPECT_LT(known, unknown * 2);
  EXPECT_LT(unknown, known * 2);
}

TEST_F(AuthnTest, TenFailuresOfAUserFromOneSourceWithinAMinuteAreEnough) {
  for (const std::string user : {"admin", "nobody"}) {
    for (int i = 0; i < 10; ++i) EXPECT_EQ(Try(user, "wrong"), "BAD_CREDENTIALS");
    EXPECT_EQ(Try(user, "wrong"), "TOO_MANY_ATTEMPTS");
  }
  EXPECT_EQ(Try("admin", password_), "TOO_MANY_ATTEMPTS");
  EXPECT_EQ(Try("other", "wrong"), "BAD_CREDENTIALS");
  EXPECT_EQ(Try("admin", password_, "192.0.2.2"), "") << "a stranger elsewhere locks nobody out";
  EXPECT_EQ(Try("admin", password_), "TOO_MANY_ATTEMPTS") << "and is not forgiven by a success elsewhere";
  clock_.Advance(std::chrono::seconds(61));
  EXPECT_EQ(Try("admin", password_), "");
  for (int i = 0; i < 10; ++i) EXPECT_EQ(Try("admin", "wrong"), "BAD_CREDENTIALS") << "a success forgives";
}

TEST_F(AuthnTest, CheckingAPasswordIsCountedAsASignInIs) {
  const auto check = [&](const std::string& password) {
    const auto checked = authn_.CheckPassword(administrator_.user_fqn, password, kHere);
    return checked.ok() ? "" : checked.error().reason;
  };
  EXPECT_EQ(check(password_), "");
  for (int i = 0; i < 5; ++i) EXPECT_EQ(check("wrong"), "BAD_CREDENTIALS");
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Try("admin", "wrong"), "BAD_CREDENTIALS");
  EXPECT_EQ(check(password_), "TOO_MANY_ATTEMPTS");
  EXPECT_EQ(Try("admin", password_), "TOO_MANY_ATTEMPTS");
}

// What no password can be costs no hash, and so no try.
TEST_F(AuthnTest, WhatIsTooLongIsNeitherHashedNorCounted) {
  for (int i = 0; i < 30; ++i) {
    EXPECT_EQ(Try("admin", std::string(1025, 'x')), "BAD_CREDENTIALS");
    EXPECT_EQ(Try(std::string(600, 'u'), "wrong"), "BAD_CREDENTIALS");
  }
  EXPECT_EQ(Try("admin", password_), "");
  for (int i = 0; i < 10; ++i) EXPECT_EQ(Try("admin", std::string(1024, 'x')), "BAD_CREDENTIALS");
  EXPECT_EQ(Try("admin", std::string(1024, 'x')), "TOO_MANY_ATTEMPTS");
  EXPECT_EQ(authn_.HashPassword(std::string(11, 'x'), kHere).error().reason, "PASSWORD_LENGTH");
  EXPECT_EQ(authn_.HashPassword(std::string(1025, 'x'), kHere).error().reason, "PASSWORD_LENGTH");
  EXPECT_TRUE(authn_.HashPassword(std::string(12, 'x'), kHere).ok());
  EXPECT_TRUE(authn_.HashPassword(std::string(1024, 'x'), kHere).ok());
}

TEST_F(AuthnTest, ManyAtOnceGetExactlyTheAllowedTries) {
  Options options = Cheap(clock_);
  options.hashing = {.parallel = 8, .waiting = 64, .per_source = 64};
  options.cost = {16'384, 2};  // So long that all have begun before the first is over.
  Authn authn(*store_, options);
  std::atomic<int> tried{0}, refused{0};
  std::latch begin(40);
  std::vector<std::thread> threads;
  for (int i = 0; i < 40; ++i) {
    threads.emplace_back([&] {
      begin.arrive_and_wait();
      const auto login = authn.LogIn("demo-org", "nobody", "wrong", kHere);
      if (login.error().reason == "BAD_CREDENTIALS") ++tried;
      if (login.error().reason == "TOO_MANY_ATTEMPTS") ++refused;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(tried, 10);
  EXPECT_EQ(refused, 30);
}

TEST_F(AuthnTest, ASourceThatTriesManyUsersIsSlowedDownWithoutHarmToOthers) {
  for (int i = 0; i < 60; ++i) EXPECT_EQ(Try("user" + std::to_string(i), "wrong"), "BAD_CREDENTIALS");
  Duration wait{};
  clock_.Advance(std::chrono::seconds(20));
  const auto login = authn_.LogIn("demo-org", "admin", password_, kHere, &wait);
  EXPECT_EQ(login.error().reason, "TOO_MANY_ATTEMPTS");
  EXPECT_EQ(wait, std::chrono::seconds(40));
  EXPECT_EQ(Try("admin", password_, "192.0.2.2"), "");
  clock_.Advance(wait);
  EXPECT_EQ(Try("admin", password_), "");
}

TEST_F(AuthnTest, WhoComesWhenNobodyHasTimeIsSentAwayAndNotCounted) {
  Options options = Cheap(clock_);
  options.hashing = {.parallel = 0, .waiting = 0, .per_source = 8};
  Authn authn(*store_, options);
  for (int i = 0; i < 20; ++i) {
    Duration wait{};
    const auto login = authn.LogIn("demo-org", "admin", password_, kHere, &wait);
    EXPECT_EQ(login.error().reason, "SIGN_IN_BUSY");
    EXPECT_EQ(wait, std::chrono::seconds(1));
  }
  EXPECT_EQ(authn.HashPassword("correct horse battery").error().reason, "SIGN_IN_BUSY");
}

TEST(HashTurns, AreBoundedAndOneSourceCannotTakeAll) {
  HashTurns turns({.parallel = 4, .waiting = 1, .per_source = 2});
  const auto one = turns.Take("a");
  const auto two = turns.Take("a");
  ASSERT_TRUE(one && two);
  EXPECT_FALSE(turns.Take("a"));
  std::optional<HashTurns::Turn> other = turns.Take("b");
  const auto self = turns.Take("");
  EXPECT_TRUE(other && self);
  std::atomic<bool> done{false};
  std::thread waiting([&] {
    EXPECT_TRUE(turns.Take("c"));
    done = true;
  });
  while (turns.waiting() == 0) std::this_thread::yield();
  EXPECT_FALSE(turns.Take("d")) << "nobody waits beyond the bound";
  EXPECT_FALSE(turns.Take(""));
  EXPECT_FALSE(done);
  other.reset();
  waiting.join();
  EXPECT_TRUE(turns.Take("b"));
}

TEST(Attempts, WithdrawnOnesDoNotCountAndOldOnesAreForgotten) {
  ManualClock clock;
  Attempts attempts(2, 100, clock);
  for (int i = 0; i < 50; ++i) {
    EXPECT_FALSE(attempts.Begin("u", "s"));
    attempts.Withdraw("u", "s");
  }
  EXPECT_FALSE(attempts.Begin("u", "s"));
  EXPECT_FALSE(attempts.Begin("u", "s"));
  EXPECT_TRUE(attempts.Begin("u", "s"));
  for (int i = 0; i < 20'000; ++i) EXPECT_FALSE(attempts.Begin("u", std::to_string(i)));
  EXPECT_FALSE(attempts.Begin("u", "s")) << "the table is bounded";
}

TEST(Sources, AreAddressesOfFourAndNetworksOfSix) {
  EXPECT_EQ(SourceOf("192.0.2.7"), "192.0.2.7");
  EXPECT_EQ(SourceOf("::ffff:192.0.2.7"), "192.0.2.7");
  EXPECT_EQ(SourceOf("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
  EXPECT_EQ(SourceOf("2001:db8:1:2::1"), "2001:db8:1:2::/64");
  EXPECT_EQ(SourceOf("fe80::1%eth0"), "fe80::/64");
  EXPECT_EQ(SourceOf(""), "");
}

TEST_F(AuthnTest, SettingAPasswordEndsEverySessionOfTheUser) {
  const auto login = authn_.LogIn("demo-org", "admin", password_, kHere);
  EXPECT_EQ(authn_.HashPassword("short").error().reason, "PASSWORD_LENGTH");
  EXPECT_EQ(authn_.HashPassword(std::string(1025, 'x')).error().reason, "PASSWORD_LENGTH");
  const auto hash = authn_.HashPassword("correct horse battery");
  ASSERT_TRUE(hash.ok());
  EXPECT_TRUE(hash->starts_with("$argon2id$"));
  ASSERT_TRUE(
      store_->Write([&](store::Txn& txn) { return Authn::SetPassword(txn, login->principal.uid, *hash); }).ok());
  EXPECT_FALSE(authn_.Authenticate(login->token).ok());
  EXPECT_EQ(Try("admin", password_), "BAD_CREDENTIALS");
  EXPECT_EQ(Try("admin", "correct horse battery"), "");
}

// RFC 9106, 4: the second recommended option. More would let a stranger's sign-ins take more, less would help a thief.
TEST_F(AuthnTest, AHashTakesSixtyFourMebibytesAndThreePasses) {
  const auto hash = Authn(*store_, {}).HashPassword("correct horse battery");
  ASSERT_TRUE(hash.ok());
  EXPECT_TRUE(hash->starts_with("$argon2id$v=19$m=65536,t=3,p=1$")) << *hash;
}

TEST_F(AuthnTest, TheTokenIsNowhereInTheStore) {
  const auto login = authn_.LogIn("demo-org", "admin", password_, kHere);
  for (const char* file : {"/weir.db", "/weir.db-wal"}) {
    const auto bytes = ReadFile(store_.folder() + file);
    ASSERT_TRUE(bytes.ok());
    EXPECT_EQ(bytes->find(login->token), std::string::npos);
    EXPECT_EQ(bytes->find(password_), std::string::npos);
  }
}

}  // namespace
}  // namespace weir::authn
