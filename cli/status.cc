#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <iostream>
#include <map>
#include <thread>

#include "api/weir/v2/status.pb.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/objects.h"
#include "cli/status_text.h"
#include "cli/traffic.h"
#include "libs/base/text.h"
#include "libs/resource/status_reason.h"

namespace weir::cli {
namespace {

std::string State(v2::ResourceStatus::State state) {
  return state == v2::ResourceStatus::STATE_UNSPECIFIED ? "" : v2::ResourceStatus::State_Name(state);
}

}  // namespace

std::string StatusText(const v2::ResourceStatus& status) {
  std::string text = fmt::format("{}\n  {} {} {}\n  revision {}", status.fqn(), State(status.state()),
                                 Printable(status.reason()), Printable(status.message()), status.revision());
  if (status.worst() != status.state() && !State(status.worst()).empty()) {
    text += "; the worst below it is " + State(status.worst());
  }
  text += "\n";
  if (status.gateways().empty()) return text;
  std::vector<std::vector<std::string>> rows = {{"CLUSTER", "WORKLOAD", "STATE", "REASON", "SINCE", ""}};
  for (const auto& gateway : status.gateways()) {
    rows.push_back({gateway.cluster(), gateway.workload(), State(gateway.state()), gateway.reason(),
                    Clock(gateway.time()), gateway.message()});
  }
  return text + Table(rows);
}

namespace {

// The names of its parents, "tenant/workspace/group".
std::string Place(const std::string& fqn) {
  std::string place;
  for (std::string at = resource::ParentFqn(fqn); !at.empty(); at = resource::ParentFqn(at)) {
    place = fmt::format("{}{}{}", resource::LastName(at), place.empty() ? "" : "/", place);
  }
  return place;
}

// States of everything below, one line each.
std::string StatusTable(const v2::ListStatusesResponse& response) {
  std::vector<std::vector<std::string>> rows = {{"KIND", "NAME", "IN", "STATE", "REASON", "GATEWAYS", ""}};
  for (const auto& status : response.items()) {
    // Bindings reach no gateway and every resource has them: only noise here.
    if (status.kind() == "AccessBindings" && status.state() == v2::ResourceStatus::READY) continue;
    int ready = 0;
    for (const auto& gateway : status.gateways()) ready += gateway.state() == v2::ResourceStatus::READY ? 1 : 0;
    rows.push_back({status.kind(), std::string(resource::LastName(status.fqn())), Place(status.fqn()),
                    State(status.state()), status.reason(),
                    status.gateways().empty() ? "" : fmt::format("{}/{}", ready, status.gateways_size()),
                    status.message()});
  }
  return Table(rows);
}

// What the gateways do, beside the state of the object that asks for it.
std::string TrafficTable(const v2::TrafficReport& report, const std::map<std::string, std::string>& states) {
  std::vector<std::vector<std::string>> rows = {
      {"HOST", "STATE", "CLUSTER", "INTENDED", "DELIVERED", "REQ/S", "ERR/S", ""}};
  for (const Share& share : Shares(report, UnixNow())) {
    const auto state = states.find(share.source);
    std::string note;
    if (share.serving == 0) {
      note = "cannot serve";
    } else if (share.serving < share.gateways) {
      note = fmt::format("cannot serve for {} of {} gateways", share.gateways - share.serving, share.gateways);
    }
    rows.push_back({share.host, state == states.end() ? "" : state->second, share.cluster, Percent(share.intended),
                    Percent(share.delivered), fmt::format("{:.1f}", share.requests_per_second),
                    fmt::format("{:.1f}", share.errors_per_second), std::move(note)});
  }
  return rows.size() == 1 ? "No tier-1 gateway reports traffic.\n" : Table(rows);
}

// One resource, or everything of the organization.
struct Subject {
  std::string fqn;
  bool one = false;
};

Result<std::string> Render(Client& client, const Subject& subject, const std::string& format, bool traffic) {
  std::string text;
  std::map<std::string, std::string> states;
  if (subject.one) {
    v2::GetStatusRequest request;
    request.set_fqn(subject.fqn);
    v2::ResourceStatus status;
    WEIR_TRY(client.Call("Statuses/GetStatus", request, status));
    states[status.fqn()] = State(status.state());
    text = format == "json" ? document::ToJson(status, true) : StatusText(status);
  } else {
    v2::ListStatusesRequest request;
    request.set_parent(subject.fqn);
    v2::ListStatusesResponse response;
    WEIR_TRY(client.Call("Statuses/ListStatuses", request, response));
    for (const auto& status : response.items()) states[status.fqn()] = State(status.state());
    text = format == "json" ? document::ToJson(response, true) : StatusTable(response);
  }
  if (!traffic) return text;
  WEIR_ASSIGN(const v2::TrafficReport report, FetchTraffic(client, subject.fqn, ""));
  return text + "\n" + TrafficTable(report, states);
}

// Draws anew every few seconds until interrupted; a server that is gone for a while is waited for.
Result<int> Watch(Client& client, const Subject& subject, int seconds, int count) {
  const bool terminal = isatty(STDOUT_FILENO) != 0;
  for (int drawn = 0; count == 0 || drawn < count; ++drawn) {
    if (drawn > 0) std::this_thread::sleep_for(std::chrono::seconds(seconds));
    auto text = Render(client, subject, "table", true);
    if (!text.ok() && text.error().reason != "SERVER_UNREACHABLE") return std::move(text).error();
    google::protobuf::Timestamp now;
    now.set_seconds(UnixNow());
    // Home, the text, and what the picture before had below it wiped out: no flicker.
    if (terminal && drawn == 0) std::cout << "\033[2J";
    if (terminal) std::cout << "\033[H\033[J";
    std::cout << Clock(now) << "  " << subject.fqn << "  (every " << seconds << " s; end with Ctrl-C)\n\n"
              << (text.ok() ? *text : "the server cannot be reached; trying again: " + text.error().message + "\n")
              << (terminal ? "" : "\n") << std::flush;
  }
  return kExitOk;
}

Result<int> Status(const Flags& flags) {
  const std::string format = flags.Get("output", "table");
  if (format != "table" && format != "json") return Usage("-o is table or json");
  if (flags.words.size() > 2) return Usage("status wants nothing, KIND NAME or a full name");
  if (flags.Has("count") && !flags.Has("watch")) return Usage("--count goes with --watch");
  if (flags.Has("watch") && format != "table") return Usage("--watch draws tables; ask again and again for -o json");
  int seconds = 2;
  int count = 0;
  if (!flags.Get("watch").empty()) {
    WEIR_ASSIGN(seconds, ParseNumber("watch", flags.Get("watch"), 1, 3600));
  }
  if (flags.Has("count")) {
    WEIR_ASSIGN(count, ParseNumber("count", flags.Get("count"), 1, 1'000'000));
  }
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  WEIR_ASSIGN(const std::string all, ParentOf(session, flags.words.empty() ? ScopeOf(flags) : Scope{}));
  Subject subject{all, false};
  if (!flags.words.empty()) {
    WEIR_ASSIGN(const resource::Fqn fqn, ResolveName(client, session, flags.words, ScopeOf(flags)));
    subject = {fqn.text, true};
  }
  if (flags.Has("watch")) return Watch(client, subject, seconds, count);
  WEIR_ASSIGN(const std::string text, Render(client, subject, format, false));
  std::cout << text;
  return kExitOk;
}

constexpr std::string_view kHelp =
    R"(Usage: weir status [KIND NAME | FULL-NAME] [-o table|json] [--tenant T] [--workspace W] [--group G]
       weir status [KIND NAME | FULL-NAME] --watch[=SECONDS] [--count N]

READY     every gateway concerned acknowledged it, and requests are answered
ACCEPTED  stored; nobody has acknowledged yet, or nothing of it can be served
PARTIAL   some acknowledged, others are disconnected or have not answered; or a part of it cannot be served
FAILED    a gateway or an agent rejected it, it points at what its workspace does not own, or an Invariant is broken

  --watch[=SECONDS]   draw it anew every 2 (or 1 to 3600) seconds until Ctrl-C, and below it what the tier-1 gateways
                      do per host and cluster: intended and delivered share, requests and errors per second
  --count N           end after N pictures

  weir status
  weir status tier1gateway shop
  weir status --watch

Reasons, and the states beside which they stand:
)";

// The words come from the table that the server's come from.
std::string Help() {
  std::string text(kHelp);
  for (const resource::StatusReasonRow& row : resource::StatusReasons()) {
    text += fmt::format("  {:<29}{:<19}{}\n", row.word, row.states, row.meaning);
  }
  return text;
}

}  // namespace

Command StatusCommand() {
  static const std::string help = Help();
  return {"status",
          "how far resources have come, gateway by gateway",
          help,
          {{"tenant", "workspace", "group", "output", "count"}, {"watch"}, {{'o', "output"}}},
          Status};
}

}  // namespace weir::cli
