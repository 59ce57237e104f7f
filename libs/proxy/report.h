#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace weir::proxy {

// What the engine tells about itself beyond counters: shares and health, by destination set and Weir cluster.

// One Weir cluster of one destination set, over all workers.
struct ShareReport {
  std::string set;        // Name in Snapshot::destination_sets.
  std::string host;       // The first domain of the virtual host that was asked for; "" before any request.
  std::string cluster;    // Locality::cluster.
  double intended = 0;    // 0..1, from weights and health of now.
  double delivered = 0;   // 0..1, of the requests of the last 10 s; 0 when there were none.
  uint64_t requests = 0;  // Since start.
  uint64_t errors = 0;    // 5xx or lost, since start.
  uint64_t recent = 0;    // Requests of the last 10 s.
  bool by_rule = false;   // Some rules of the host have shares of their own now: not every cluster can serve them.
  bool deviates = false;  // Delivered strays from intended: the alarm.
};

// One observation about one endpoint.
struct EvidenceReport {
  std::string endpoint;  // "127.0.2.10:15443"
  std::string source;    // "digest", "check", "connect", "ejected".
  bool healthy = true;
  std::string text;
  std::chrono::system_clock::time_point time;
};

struct LocalityHealthReport {
  std::string cluster;
  bool can_serve = true;
  // "" = can; drained, no_gateway, gateways_down, no_endpoint, held.
  std::string reason;
  bool unchecked = false;   // Able, because nothing was found out of it yet.
  uint32_t returning = 10;  // Tenths of its share.
  std::chrono::system_clock::time_point since;
  std::vector<EvidenceReport> evidence;
};

struct SetHealthReport {
  std::string set;
  std::vector<LocalityHealthReport> localities;
};

// What has changed of the health of sets since the call before (Engine::TakeHealthChanges).
struct HealthChanges {
  bool answered = false;  // False: the engine had no time to answer; nothing is known, and nothing is lost.
  bool whole = false;     // Sets that are not named are not served.
  std::vector<SetHealthReport> sets;
  std::vector<std::string> gone;  // No longer served.
};

}  // namespace weir::proxy
