#include "libs/resource/kinds.h"

#include <iostream>

#include "cli/client.h"
#include "cli/commands.h"

namespace weir::cli {
namespace {

Result<int> ListKinds(const Flags& flags) {
  if (!flags.words.empty()) return Usage("kinds takes no argument");
  std::vector<std::vector<std::string>> rows = {{"KIND", "SHORT", "BELOW", "PATH", "DOCUMENTS"}};
  for (const resource::KindInfo& kind : resource::Kinds()) {
    std::string names;
    for (const std::string& name : kind.short_names) names += (names.empty() ? "" : ", ") + name;
    const auto parent = kind.parent();
    rows.push_back({kind.name, names, parent ? resource::Info(*parent).name : "", kind.collection, kind.ApiVersion()});
  }
  std::cout << Table(rows);
  return kExitOk;
}

constexpr std::string_view kHelp = R"(Usage: weir kinds

Lists the kinds of resources: how they are called on the command line, what each stands below, its part of a full name
and REST path, and the apiVersion of its documents. Documents of TSB say tsb.tetrate.io for weir.dev.

  weir kinds
)";

}  // namespace

Command KindsCommand() { return {"kinds", "list the kinds of resources", kHelp, {{}, {}, {}}, ListKinds}; }

}  // namespace weir::cli
