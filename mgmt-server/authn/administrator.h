#pragma once

#include <string>

#include "libs/base/result.h"
#include "mgmt-server/authn/authn.h"

namespace weir::authn {

struct AdministratorOptions {
  std::string organization = "default";  // Created when missing (domain "<name>.weir.internal").
  std::string user = "admin";
  std::string state_dir;  // Exists.
};
struct Administrator {
  bool created = false;  // False: there were users before, nothing was done.
  std::string user_fqn;
  std::string password_path;  // "<state_dir>/admin-password", mode 0600. Print this, never the content.
};

// On the first start (no credential is stored): the organization, one administrator of the whole installation, and a
// random password written 0600 before it becomes valid. Also lays the roots of the policy graph, on every start.
// Idempotent.
Result<Administrator> EnsureAdministrator(store::Store& store, const Authn& authn, const AdministratorOptions& options);

}  // namespace weir::authn
