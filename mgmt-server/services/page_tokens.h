#pragma once

#include <string>
#include <string_view>

#include "libs/base/result.h"
#include "mgmt-server/store/store.h"

namespace weir::services {

// Page tokens that only this installation can make: signed, and bound to the question and to who asks, so that one of
// another list, of another person, cut or made up is refused. They say nothing but the last name that was shown.
class PageTokens {
 public:
  // Of everything that must be the same on the next page: kind, parent, name, principal.
  using Question = std::string;

  explicit PageTokens(store::Store& store) : store_(store) {}

  // The next page begins after `last`, an FQN.
  Result<std::string> Make(const Question& question, std::string_view last) const;
  // INVALID_ARGUMENT BAD_PAGE_TOKEN.
  Result<std::string> Open(const Question& question, std::string_view token) const;

 private:
  Result<std::string> Key() const;  // Of the installation, made once and stored: tokens outlive a restart.

  store::Store& store_;
};

}  // namespace weir::services
