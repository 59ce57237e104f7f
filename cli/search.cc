#include <iostream>

#include "api/weir/v2/search.pb.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/objects.h"

namespace weir::cli {
namespace {

Result<int> Search(const Flags& flags) {
  const std::string format = flags.Get("output", "table");
  if (format != "table" && format != "name") return Usage("-o is table or name");
  if (flags.words.size() != 1) return Usage("search wants one TEXT");
  WEIR_ASSIGN(const Session session, LoadSession(flags));
  WEIR_ASSIGN(Client client, Client::Connect(session));
  v2::SearchRequest request;
  request.set_q(flags.words[0]);
  const Scope scope = ScopeOf(flags);
  if (!scope.tenant.empty() || !scope.workspace.empty() || !scope.group.empty()) {
    WEIR_ASSIGN(*request.mutable_parent(), ParentOf(session, scope));
  }
  request.set_page_size(100);
  std::vector<std::vector<std::string>> rows = {{"KIND", "FULL NAME", "FOUND IN", ""}};
  do {
    v2::SearchResponse response;
    WEIR_TRY(client.Call("Search/Search", request, response));
    for (const v2::SearchHit& hit : response.items()) {
      if (format == "name") std::cout << hit.fqn() << "\n";
      rows.push_back({hit.kind(), hit.fqn(), hit.field(), hit.text()});
    }
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty() && rows.size() < 1000);
  if (format == "name") return kExitOk;
  if (rows.size() == 1) {
    std::cerr << "Nothing that you may read has \"" << flags.words[0] << "\" in its name, labels or hosts.\n";
    return kExitOk;
  }
  std::cout << Table(rows);
  if (!request.page_token().empty()) std::cerr << "There are more; narrow it.\n";
  return kExitOk;
}

constexpr std::string_view kHelp = R"(Usage: weir search TEXT [-o table|name] [--tenant T] [--workspace W] [--group G]

Looks through all kinds for TEXT, in any case, as a piece of a name, a display name, a label or a host.

  weir search shop.example.com         which gateways have the host
  weir search team=payments            who carries the label
)";

}  // namespace

Command SearchCommand() {
  return {"search",
          "find resources of every kind by name, label or host",
          kHelp,
          {{"tenant", "workspace", "group", "output"}, {}, {{'o', "output"}}},
          Search};
}

}  // namespace weir::cli
