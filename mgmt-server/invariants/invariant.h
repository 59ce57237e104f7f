#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/weir/v2/invariant.pb.h"

// Conditions that must hold for what gateways do (api/weir/v2/invariant.proto), and whether they do. Pure.
namespace weir::invariants {

struct Invariant {
  std::string fqn;
  std::string uid;
  std::string parent;        // FQN of what it stands below.
  std::string organization;  // FQN.
  std::string tenant;        // FQN; "" = it is the organization's. Else nothing is looked at but what lies in it.
  std::string condition;     // For people: "pay.example: at least 2 clusters".
  v2::InvariantSpec spec;
};
// The kinds that are Invariants, by name.
const std::vector<std::string>& KindsOfInvariants();
// From a stored body; nullopt = it is none, or cannot be read.
std::optional<Invariant> Read(std::string_view kind, std::string_view fqn, std::string_view uid, std::string_view body);

// Where in a document it stands that something is so.
struct Line {
  std::string fqn;
  std::string field;  // JSON path.
};

// One way in which a condition does not hold.
struct Breach {
  std::string key;          // The same before and after a change that leaves it as it is.
  uint64_t depth = 1;       // How much is missing: more is worse.
  std::string message;      // For people: who, what, and which one fails.
  std::vector<Line> lines;  // What it follows from; the gateway object first.
};

// Those of `after` that are not in `before`, or are worse than there.
std::vector<Breach> Worse(const std::vector<Breach>& before, std::vector<Breach> after);

}  // namespace weir::invariants
