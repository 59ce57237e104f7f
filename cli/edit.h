#pragma once

#include <string>

#include "cli/client.h"
#include "cli/objects.h"

namespace weir::cli {

// Reads a resource, lets `change` change it and writes it back by its version; again when somebody else wrote
// meanwhile, a few times. `change` returns an error, or whether there is anything to write. True when it was written.
template <typename Message, typename Change>
Result<bool> EditResource(Client& client, const std::string& fqn, Change change) {
  constexpr int kTries = 5;
  WEIR_ASSIGN(const resource::Fqn name, resource::ParseFqn(fqn));
  for (int tries = 1;; ++tries) {
    WEIR_ASSIGN(const ResourceMessage read, GetResource(client, name));
    auto& message = static_cast<Message&>(*read);
    WEIR_ASSIGN(const bool changed, change(message));
    if (!changed) return false;
    const Status written = UpdateResource(client, name, message);
    if (written.ok()) return true;
    if (written.error().reason != "ETAG_MISMATCH" || tries == kTries) return written.error();
  }
}

}  // namespace weir::cli
