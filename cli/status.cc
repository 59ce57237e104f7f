#include <google/protobuf/util/time_util.h>

#include <iostream>

#include "api/weir/v2/status.pb.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/objects.h"

namespace weir::cli {
namespace {

std::string State(v2::ResourceStatus::State state) {
  return state == v2::ResourceStatus::STATE_UNSPECIFIED ? "" : v2::ResourceStatus::State_Name(state);
}

void PrintOne(const v2::ResourceStatus& status) {
  std::cout << status.fqn() << "\n  " << State(status.state()) << " " << status.reason() << " " << status.message()
            << "\n  revision " << status.revision();
  if (status.worst() != status.state() && !State(status.worst()).empty()) {
    std::cout << "; the worst below it is " << State(status.worst());
  }
  std::cout << "\n";
  if (status.gateways().empty()) return;
  std::vector<std::vector<std::string>> rows = {{"CLUSTER", "WORKLOAD", "STATE", "REASON", "SINCE", ""}};
  for (const auto& gateway : status.gateways()) {
    rows.push_back(
        {gateway.cluster(), gateway.workload(), State(gateway.state()), gateway.reason(),
         gateway.has_time() ? google::protobuf::util::TimeUtil::ToString(gateway.time()).substr(0, 19) + "Z" : "",
         gateway.message()});
  }
  std::cout << Table(rows);
}

// The names of its parents, "tenant/workspace/group".
std::string Place(const std::string& fqn) {
  std::string place;
  for (std::string at = resource::ParentFqn(fqn); !at.empty(); at = resource::ParentFqn(at)) {
    place = std::string(resource::LastName(at)) + (place.empty() ? "" : "/") + place;
  }
  return place;
}

Result<int> Status(const Flags& flags) {
  const std::string format = flags.Get("output", "table");
  if (format != "table" && format != "json") return Usage("-o is table or json");
  if (flags.words.size() > 2) return Usage("status wants nothing, KIND NAME or a full name");
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  if (!flags.words.empty()) {
    WEIR_ASSIGN(const resource::Fqn fqn, ResolveName(client, session, flags.words, ScopeOf(flags)));
    v2::GetStatusRequest request;
    request.set_fqn(fqn.text);
    v2::ResourceStatus status;
    WEIR_TRY(client.Call("Statuses/GetStatus", request, status));
    if (format == "json") {
      std::cout << document::ToJson(status, true);
    } else {
      PrintOne(status);
    }
    return kExitOk;
  }
  v2::ListStatusesRequest request;
  request.set_parent(session.OrganizationFqn());
  v2::ListStatusesResponse response;
  WEIR_TRY(client.Call("Statuses/ListStatuses", request, response));
  if (format == "json") {
    std::cout << document::ToJson(response, true);
    return kExitOk;
  }
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
  std::cout << Table(rows);
  return kExitOk;
}

}  // namespace

Command StatusCommand() {
  return {"status",
          "how far resources have come, gateway by gateway",
          R"(Usage: weir status [KIND NAME | FULL-NAME] [-o table|json] [--tenant T] [--workspace W] [--group G]

READY     every gateway concerned acknowledged it
ACCEPTED  stored; nobody has acknowledged yet, or no workload is concerned (NO_WORKLOAD)
PARTIAL   some acknowledged; others are disconnected or have not answered
FAILED    a gateway rejected it; the message says why

  weir status
  weir status tier1gateway shop
)",
          {{"tenant", "workspace", "group", "output"}, {}, {{'o', "output"}}},
          Status};
}

}  // namespace weir::cli
