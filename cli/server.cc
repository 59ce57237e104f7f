#include <iostream>

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
}

Result<int> AdoptState(const Flags& flags) {
  if (!flags.words.empty()) return Usage("server adopt-state wants no NAME");
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  v2::AdoptStateRequest request;
  request.set_confirm(flags.Has("yes"));
  v2::AdoptStateResponse answer;
  WEIR_TRY(client.Call("ServerState/AdoptState", request, answer));
  Print(answer);
  if (answer.adopted()) {
    std::cout << "adopted; these clusters follow this state from now on\n";
  } else if (answer.held().empty()) {
    std::cout << "every cluster follows it; there is nothing to decide\n";
  } else {
    std::cout << "nothing was changed; to do it: weir server adopt-state --yes\n";
  }
  return kExitOk;
}

}  // namespace

Command ServerAdoptStateCommand() {
  return {"server adopt-state",
          "let the server's state count where clusters keep a newer or another one",
          R"(Usage: weir server adopt-state [--yes]

After an older backup was restored, or a copy of the state grew apart, clusters keep what they acknowledged and get nothing
new. Without --yes this prints which, and what would go back there. With --yes they follow this server's state again.
Wants the right set-policy on the installation.
)",
          {{}, {"yes"}, {}},
          AdoptState};
}

}  // namespace weir::cli
