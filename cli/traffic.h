#pragma once

#include <string>
#include <vector>

#include "api/weir/v2/traffic.pb.h"
#include "cli/client.h"

namespace weir::cli {

// Reported longer ago than this: the gateway or its agent is silent.
inline constexpr int kSilentSeconds = 30;

Result<v2::TrafficReport> FetchTraffic(Client& client, const std::string& parent, const std::string& host);

// One line per host, route and cluster over all gateways that report. Intended is their mean; delivered counts the
// requests of all.
struct Share {
  std::string host;
  std::string route;
  std::string source;
  std::string cluster;
  double intended = 0;
  double delivered = 0;
  double requests_per_second = 0;
  double errors_per_second = 0;
  int gateways = 0;  // That report.
  int serving = 0;   // Of them, those for which the cluster can serve.
};
// `now` in seconds since 1970; silent gateways count no more.
std::vector<Share> Shares(const v2::TrafficReport& report, int64_t now);

std::string Percent(double share);                           // "75.0 %"
std::string Clock(const google::protobuf::Timestamp& time);  // "2026-11-21T14:00:00Z"; "" = unset.
int64_t UnixNow();

}  // namespace weir::cli
