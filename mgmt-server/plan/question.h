#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "api/weir/v2/traffic.pb.h"
#include "libs/base/result.h"
#include "mgmt-server/compile/compile.h"

namespace weir::plan {

// Two worlds, and who asks what lies between them.
struct Question {
  compile::World before;
  compile::World after;
  compile::Change change;  // All differences between them.
  // What a cluster (FQN) is told in `before`; empty = to be compiled.
  std::map<std::string, compile::ClusterIntent> intents;
  std::vector<v2::HostTraffic> traffic;  // What gateways do now; empty = not known.
  std::vector<std::string> documents;    // FQNs of what is looked over for findings.
  std::function<bool(const std::string& fqn)> may_read;
  std::function<Status()> go_on;  // Asked now and then; not ok ends the work.
  std::function<bool()> in_time;  // Whether there is time to translate for one more gateway.
};

}  // namespace weir::plan
