#include <google/protobuf/util/time_util.h>

#include <iostream>
#include <utility>

#include "api/weir/v2/server_state.pb.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/objects.h"

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

Result<int> AdoptState(const Flags& flags) {
  if (!flags.words.empty()) return Usage("server adopt-state wants no NAME");
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  v2::AdoptStateRequest request;
  request.set_confirm(flags.Has("yes"));
  request.set_force(flags.Has("force"));
  v2::AdoptStateResponse answer;
  WEIR_TRY(client.Call("ServerState/AdoptState", request, answer));
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
)",
          {{}, {"yes", "force"}, {}},
          AdoptState};
}

}  // namespace weir::cli
