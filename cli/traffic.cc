#include "cli/traffic.h"

#include <google/protobuf/util/time_util.h>

#include <chrono>
#include <iostream>
#include <map>
#include <tuple>

#include "cli/commands.h"
#include "cli/objects.h"

namespace weir::cli {
namespace {

std::string Table(const v2::TrafficReport& report) {
  std::vector<std::vector<std::string>> rows = {
      {"HOST", "ROUTE", "GATEWAY", "CLUSTER", "INTENDED", "DELIVERED", "REQ/S", "ERR/S", ""}};
  const int64_t now = UnixNow();
  for (const auto& item : report.items()) {
    const bool silent = now - item.time().seconds() > kSilentSeconds;
    for (const auto& cluster : item.clusters()) {
      std::string note = cluster.can_serve() ? "" : "cannot serve";
      if (silent) note += (note.empty() ? "" : ", ") + ("silent since " + Clock(item.time()));
      rows.push_back({item.host(), item.route(), item.gateway_cluster() + " " + item.gateway(), cluster.cluster(),
                      Percent(cluster.intended()), Percent(cluster.delivered()),
                      fmt::format("{:.1f}", cluster.requests_per_second()),
                      fmt::format("{:.1f}", cluster.errors_per_second()), std::move(note)});
    }
  }
  return cli::Table(rows);
}

Result<int> GetTraffic(const Flags& flags) {
  const std::string format = flags.Get("output", "table");
  if (format != "table" && format != "yaml" && format != "json") return Usage("-o is table, yaml or json");
  if (flags.words.size() > 1) return Usage("get traffic wants one HOST or nothing");
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(const std::string parent, ParentOf(session, ScopeOf(flags)));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  const std::string host = flags.words.empty() ? "" : flags.words[0];
  WEIR_ASSIGN(const v2::TrafficReport report, FetchTraffic(client, parent, host));
  if (format == "json") {
    std::cout << document::ToJson(report, true);
  } else if (format == "yaml") {
    std::cout << document::ToYaml(report);
  } else if (report.items().empty()) {
    std::cerr << "No tier-1 gateway that you may read about reports traffic" << (host.empty() ? "" : " of " + host)
              << "; `weir status` says whether they are connected.\n";
  } else {
    std::cout << Table(report);
  }
  return kExitOk;
}

}  // namespace

Result<v2::TrafficReport> FetchTraffic(Client& client, const std::string& parent, const std::string& host) {
  v2::GetTrafficRequest request;
  request.set_parent(parent);
  request.set_host(host);
  v2::TrafficReport report;
  WEIR_TRY(client.Call("Traffic/GetTraffic", request, report));
  return report;
}

std::vector<Share> Shares(const v2::TrafficReport& report, int64_t now) {
  std::vector<Share> shares;
  std::map<std::tuple<std::string, std::string, std::string>, size_t> places;  // Host, route, cluster.
  std::map<std::pair<std::string, std::string>, double> totals;
  for (const auto& item : report.items()) {
    if (now - item.time().seconds() > kSilentSeconds) continue;
    for (const auto& cluster : item.clusters()) {
      const auto [place, first] =
          places.emplace(std::tuple(item.host(), item.route(), cluster.cluster()), shares.size());
      if (first) shares.push_back({item.host(), item.route(), item.source(), cluster.cluster()});
      Share& share = shares[place->second];
      share.intended += cluster.intended();
      share.requests_per_second += cluster.requests_per_second();
      share.errors_per_second += cluster.errors_per_second();
      share.gateways += 1;
      share.serving += cluster.can_serve() ? 1 : 0;
      totals[{item.host(), item.route()}] += cluster.requests_per_second();
    }
  }
  for (Share& share : shares) {
    share.intended /= share.gateways;
    const double total = totals[{share.host, share.route}];
    share.delivered = total > 0 ? share.requests_per_second / total : 0;
  }
  return shares;
}

std::string Percent(double share) { return fmt::format("{:.1f} %", share * 100); }

std::string Clock(const google::protobuf::Timestamp& time) {
  if (time.seconds() == 0) return "";
  return google::protobuf::util::TimeUtil::ToString(time).substr(0, 19) + "Z";
}

int64_t UnixNow() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

Command GetTrafficCommand() {
  return {"get traffic",
          "what the tier-1 gateways do with requests right now",
          R"(Usage: weir get traffic [HOST] [-o table|yaml|json] [--tenant T [--workspace W [--group G]]]

One line per host, tier-1 gateway and cluster, as the gateways report it:

INTENDED    the share that the weights ask for, given which clusters can serve right now
DELIVERED   the share of the last 10 s
REQ/S       requests per second of the last 10 s; ERR/S those that failed (5xx or lost)

"silent since" means that the gateway or its agent has not reported for 30 s. Only what you may read is shown.

  weir get traffic
  weir get traffic shop.example.com -o json
)",
          {{"tenant", "workspace", "group", "output"}, {}, {{'o', "output"}}},
          GetTraffic};
}

}  // namespace weir::cli
