#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.h"

namespace weir::agent::v1 {
class Discovery;
class Service;
class Workload;
}  // namespace weir::agent::v1

// What a cluster may say of itself: one judgement of it for the agent, which reads it from a file, and for the server,
// which hears it from agents.
namespace weir::facts {

// Bounds of one cluster.
inline constexpr size_t kMaxWorkloads = 50'000;
inline constexpr size_t kMaxServices = 10'000;
// Bounds of one workload or service.
inline constexpr int kMaxAddresses = 16;
inline constexpr int kMaxPorts = 256;
inline constexpr int kMaxLabels = 64;
inline constexpr size_t kMaxLabelKey = 317;    // Kubernetes: a prefix of 253, "/", a name of 63.
inline constexpr size_t kMaxLabelValue = 256;  // Kubernetes: 63.
inline constexpr size_t kMaxPath = 1024;

bool IsLabel(std::string_view text);    // RFC 1123: a-z, 0-9, "-" inside, 1 to 63 characters.
bool IsDnsName(std::string_view text);  // Labels with dots between them, at most 253 characters.
// An IPv4 or IPv6 literal to which a connection can be made: not the unspecified address, multicast or broadcast.
bool IsAddress(std::string_view text);
inline bool IsPort(uint64_t port) { return port >= 1 && port <= 65535; }

// "<namespace>/<name>".
std::string KeyOf(const agent::v1::Workload& workload);
std::string KeyOf(const agent::v1::Service& service);
// The DNS name that callers use; "<name>.<namespace>.svc.cluster.local" when the service names none.
std::string HostOf(const agent::v1::Service& service);

// Judges the facts of one cluster one after the other, and remembers them, so that names and hosts that are declared
// twice are found. Descriptions quote at most 64 characters of what was said, none of them a control character.
class Checker {
 public:
  // Everything that is wrong with it; empty = good. `path` stands before the field names: "workloads[3]".
  std::vector<FieldViolation> Check(const agent::v1::Workload& workload, const std::string& path);
  std::vector<FieldViolation> Check(const agent::v1::Service& service, const std::string& path);

 private:
  std::set<std::string> workloads_, services_, hosts_;
};

// A whole reading: every violation, and more facts than a cluster may have.
std::vector<FieldViolation> CheckAll(const agent::v1::Discovery& discovery);

}  // namespace weir::facts
