#pragma once

#include <string>

#include "libs/base/clock.h"
#include "libs/base/result.h"

namespace weir::recovery {

struct ResetPassword {
  std::string user_fqn;
  std::string path;  // <state_dir>/password-<user>, 0600: the new password.
};
// Gives a user of a server that does not run a new random password, ends its sessions, and leaves an audit record: for
// who may write the state and can sign in no more. `user`: an FQN, or the name of a user that one organization has.
// FAILED_PRECONDITION STATE_IN_USE: a server runs on it; NOT_FOUND USER_UNKNOWN; the errors of CheckStateFolder.
Result<ResetPassword> ResetPasswordOf(const std::string& state_dir, const std::string& user, const Clock& clock);

}  // namespace weir::recovery
