#include <google/protobuf/util/time_util.h>

#include <iostream>
#include <utility>

#include "api/weir/v2/server_state.pb.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/objects.h"
#include "libs/base/text.h"

namespace weir::cli {
namespace {

void Print(const v2::AdoptStateResponse& plan) {
  std::cout << "this server's state is at revision " << plan.revision() << "\n";
  for (const auto& cluster : plan.held()) {
    std::cout << cluster.cluster() << ": " << cluster.reason() << "\n";
    for (const auto& intent : cluster.intents()) {
      std::cout << fmt::format("  {}: {} would go, {} change, {} come\n", intent.type(), intent.removed(),
                               intent.changed(), intent.added());
      for (const std::string& name : intent.names()) std::cout << "    " << name << "\n";
    }
  }
  for (const std::string& cluster : plan.away()) {
    std::cout << cluster << ": not connected; whether it keeps another state shows when it is back\n";
  }
}

const char* NextStep(const v2::AdoptStateResponse& plan) {
  if (plan.adopted()) {
    return plan.away().empty()
               ? "adopted; these clusters follow this state from now on"
               : "adopted; these clusters follow this state, those that are away as soon as they are back";
  }
  if (plan.held().empty()) {
    return plan.away().empty() ? "every cluster follows it; there is nothing to decide"
                               : "every cluster that is connected follows it; ask again when the others are back";
  }
  return plan.away().empty() ? "nothing was changed; to do it: weir server adopt-state --yes"
                             : "nothing was changed; wait for those that are away, or give up unseen what they "
                               "acknowledged: weir server adopt-state --yes --force";
}

void Print(const v2::ServerStatus& status) {
  using google::protobuf::util::TimeUtil;
  const auto mebibytes = [](int64_t bytes) { return bytes / (1 << 20); };
  std::cout << fmt::format("version           {}\nrevision          {} (compiled: {})\nresources         {}\n",
                           status.version(), status.revision(), status.compiled_revision(), status.resources())
            << fmt::format("agents connected  {}\noldest state      revision {}\n", status.agents(),
                           status.oldest_state());
  if (status.disk_bytes() > 0) {
    std::cout << fmt::format("disk              {} MiB free of {}\n", mebibytes(status.disk_free_bytes()),
                             mebibytes(status.disk_bytes()));
  }
  if (status.has_retention_time())
    std::cout << "past looked over  " << TimeUtil::ToString(status.retention_time()) << "\n";
  for (const v2::ServerAlarm& alarm : status.alarms()) {
    std::cout << Printable(fmt::format("ALARM {} since {}: {}", alarm.reason(), TimeUtil::ToString(alarm.since()),
                                       alarm.message()))
              << "\n  " << Printable(alarm.remedy()) << "\n";
  }
  if (status.alarms().empty()) std::cout << "no alarm\n";
}

Result<int> ServerStatus(const Flags& flags) {
  const std::string format = flags.Get("output", "table");
  if (format != "table" && format != "yaml" && format != "json") return Usage("-o is table, yaml or json");
  if (!flags.words.empty()) return Usage("server status wants no NAME");
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  v2::ServerStatus status;
  WEIR_TRY(client.Call("ServerState/GetServerStatus", v2::GetServerStatusRequest(), status));
  if (format == "json") {
    std::cout << document::ToJson(status, true);
  } else if (format == "yaml") {
    std::cout << document::ToYaml(status);
  } else {
    Print(status);
  }
  return status.alarms().empty() ? kExitOk : kExitAlarms;
}

Result<int> AdoptState(const Flags& flags) {
  if (!flags.words.empty()) return Usage("server adopt-state wants no NAME");
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  v2::AdoptStateRequest request;
  request.set_confirm(flags.Has("yes"));
  request.set_force(flags.Has("force"));
  v2::AdoptStateResponse answer;
  WEIR_TRY(client.CallOnce("ServerState/AdoptState", request, answer));
  Print(answer);
  std::cout << NextStep(answer) << "\n";
  return kExitOk;
}

const char* NextStep(const v2::ReplaceRootResponse& now) {
  if (now.phase() == v2::ReplaceRootResponse::ONE) return "to replace it: weir server replace-root --introduce";
  if (now.phase() == v2::ReplaceRootResponse::INTRODUCED) {
    return "the first signs, the second is trusted already; next: --use (or --finish gives the second up)";
  }
  return "the first signs, the second is still trusted; next: --finish";
}

Result<int> ReplaceRoot(const Flags& flags) {
  if (!flags.words.empty()) return Usage("server replace-root wants no NAME");
  v2::ReplaceRootRequest request;
  request.set_force(flags.Has("force"));
  int steps = 0;
  for (const auto& [name, step] :
       {std::pair("introduce", v2::ReplaceRootRequest::INTRODUCE), std::pair("use", v2::ReplaceRootRequest::USE),
        std::pair("finish", v2::ReplaceRootRequest::FINISH)}) {
    if (!flags.Has(name)) continue;
    request.set_step(step);
    ++steps;
  }
  if (steps > 1) return Usage("server replace-root takes one step at a time");
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  v2::ReplaceRootResponse before, now;
  if (flags.Has("finish")) WEIR_TRY(client.Call("ServerState/ReplaceRoot", v2::ReplaceRootRequest(), before));
  WEIR_TRY(client.Call("ServerState/ReplaceRoot", request, now));
  if (before.phase() == v2::ReplaceRootResponse::INTRODUCED && now.phase() == v2::ReplaceRootResponse::ONE)
    std::cout << "the root that was introduced is given up; nothing was replaced\n";
  for (const v2::MeshRoot& root : now.roots()) {
    std::cout << "mesh root " << root.sha256() << " until "
              << google::protobuf::util::TimeUtil::ToString(root.not_after()) << "\n";
  }
  std::cout << NextStep(now) << "\n";
  for (const v2::RootAwaited& one : now.waiting()) {
    std::cout << "waits for " << one.cluster() << (one.cluster().empty() ? "" : ": ") << one.reason() << "\n";
  }
  return kExitOk;
}

}  // namespace

Command ServerStatusCommand() {
  return {"server status",
          "how the server itself is, and its alarms",
          R"(Usage: weir server status [-o table|yaml|json]

Its version and revision, how far it is behind, the room on its disk, and what needs somebody to act, with the remedy:
a disk that is nearly full, writes that are not stored, changes that are not handed out, a past that is not cleared.
Exit code 6 while there is an alarm. Wants read on the installation.

  weir server status
)",
          {{"output"}, {}, {{'o', "output"}}},
          ServerStatus};
}
Command ServerReplaceRootCommand() {
  return {"server replace-root",
          "replace the mesh root while requests run",
          R"(Usage: weir server replace-root [--introduce | --use | --finish] [--force]

For a mesh root whose key may be in other hands, or that is to be replaced before it ends. Three steps; without one it says
how far it is and whom the next step waits for:

  --introduce   makes the next root; every gateway and agent trusts both from now on
  --use         the next root signs; agents renew at once, their gateways after them
  --finish      the old root is trusted no more (after --introduce: the next one is given up)
  --force       goes on although somebody is waited for; who is named there loses traffic until he has caught up

A step that comes too early is refused with ROOT_AWAITED. Wants the right set-policy on the installation.
docs/operating/memberships.md tells the whole way.

  weir server replace-root --introduce
)",
          {{}, {"introduce", "use", "finish", "force"}, {}},
          ReplaceRoot};
}
Command ServerAdoptStateCommand() {
  return {"server adopt-state",
          "let the server's state count where clusters keep a newer or another one",
          R"(Usage: weir server adopt-state [--yes [--force]]

After an older backup was restored, or a copy of the state grew apart, clusters keep what they acknowledged and get nothing
new. Without --yes this prints which, and what would go back there. With --yes they follow this server's state again.
Of a cluster that is not connected nobody knows what it acknowledged: with --yes this is refused with CLUSTERS_AWAY while
one is away; --force gives up unseen what it has.
Wants the right set-policy on the installation.

  weir server adopt-state
)",
          {{}, {"yes", "force"}, {}},
          AdoptState};
}

}  // namespace weir::cli
