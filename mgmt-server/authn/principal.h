#pragma once

#include <string>

namespace weir::authn {

// Who is asking. Rights hang on the uid; the name is for people.
struct Principal {
  std::string fqn;  // organizations/o/users/u
  std::string uid;
};

}  // namespace weir::authn
