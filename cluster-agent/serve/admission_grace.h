#pragma once

#include <chrono>
#include <map>
#include <string>
#include <utility>

#include "libs/base/clock.h"
#include "libs/translate/xds/translator.h"

namespace weir::agent {

// Make before break for who is called on 15443, pods and tier-2 hosts: who routed there until now is let in for a while
// longer, because its gateway may not have turned away yet and has requests under way. Who begins to route there is let
// in at once. Not thread-safe.
class AdmissionGrace {
 public:
  static constexpr std::chrono::seconds kFor{10};

  // A node admits `after` from now on; before it was `before`.
  void Note(const std::string& node, const translate::Admitted& before, const translate::Admitted& after, MonoTime now);
  // Who is let in besides those that route there.
  translate::Admitted Of(const std::string& node, MonoTime now);
  bool Due(MonoTime now) const;  // Somebody's time is over: the node is to be told.
  void Forget(const std::string& node) { nodes_.erase(node); }

 private:
  using Caller = std::pair<std::string, std::string>;        // Server name, SPIFFE id.
  std::map<std::string, std::map<Caller, MonoTime>> nodes_;  // -> until when.
};

}  // namespace weir::agent
