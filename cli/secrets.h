#pragma once

#include <set>
#include <string>
#include <string_view>

namespace weir::cli {

inline constexpr std::string_view kMasked = "[masked]";

// Text that goes to others, line by line and of any origin (YAML, JSON, logs), without what would let them in: PEM
// private keys; values of keys that say password, token, secret, credential, apikey, privatekey, authorization, cookie
// or passphrase; what follows "Bearer " or "Basic "; passwords in URLs; JSON Web Tokens; and the texts of `known`.
// Rather too much than too little: a value that only looks like one is masked, too.
std::string WithoutSecrets(std::string_view text, const std::set<std::string>& known = {});

}  // namespace weir::cli
