#pragma once

#include <string>

#include "api/weir/v2/session.pb.h"
#include "cli/client.h"
#include "libs/base/clock.h"

namespace weir::cli {

// What a service account signs in with: a file that only its owner can read, made by `weir sa keys add`.
struct AccountKey {
  std::string account;  // FQN.
  std::string key_id;
  std::string private_key_pem;
};
// FAILED_PRECONDITION SECRET_FILE_OPEN when others can read it; USAGE when it is none.
Result<AccountKey> ReadAccountKey(const std::string& path);
Status WriteAccountKey(const AccountKey& key, const std::string& path);

// A short token of that account, for the server whose anchor the session has.
Result<v2::LoginResponse> SignIn(const Session& session, const AccountKey& key, const Clock& clock = Clock::Real());

}  // namespace weir::cli
