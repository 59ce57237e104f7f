#include "api/weir/v2/user.pb.h"
#include "libs/resource/checks.h"
#include "libs/resource/kinds/rules.h"

namespace weir::resource {
namespace {

void Check(const v2::User& user, Checker& check) {
  const std::string& email = user.spec().email();
  const size_t at = email.find('@');
  check.Require(email.empty() || (email.size() <= 254 && IsVisible(email) && at != 0 && at != std::string::npos &&
                                  at + 1 < email.size()),
                "spec.email", "must be an address like ann@example.com, at most 254 characters");
}

}  // namespace

KindRules UserRules() {
  return RulesOf<v2::User>{
      .summary = [](const v2::User& user) -> std::vector<std::string> { return {user.spec().email()}; },
      .check = Check,
      .moved = {{"spec.loginName", "metadata.name"}},  // People sign in with it.
      .always = {{"spec.sourceType", {"MANUAL", "LOCAL"}}},
      .not_served = {{"UserSpec", {"firstName", "lastName"}, "metadata.displayName"},
                     {"UserSpec", {"sourceType"}, "every user signs in with a password of this server: leave it out"}},
  }
      .Rules();
}

}  // namespace weir::resource
