#include "api/weir/v2/workspace.pb.h"
#include "libs/resource/checks.h"
#include "libs/resource/kinds/rules.h"

namespace weir::resource {
namespace {

void Check(const v2::Workspace& workspace, Checker& check) {
  check.Require(workspace.spec().namespace_selector().names_size() > 0, "spec.namespaceSelector.names",
                "required: at least one \"cluster/namespace\"; either may be *");
  check.Namespaces(workspace.spec().namespace_selector());
}

std::vector<std::string> Summary(const v2::Workspace& workspace) {
  const auto& names = workspace.spec().namespace_selector().names();
  return {names.begin(), names.end()};
}

}  // namespace

KindRules WorkspaceRules() {
  return RulesOf<v2::Workspace>{
      .summary = Summary,
      .check = Check,
      .not_served = {{"WorkspaceSpec", {"isolationBoundary", "securityDomain"}, ""},
                     {"WorkspaceSpec", {"profiles"}, std::string(kInsteadOfProfiles)},
                     {"NamespaceSelector", {"labels"}, "names"}},
      .effect = Effect::kBelow,
      .namespaces = [](const v2::Workspace& it) -> const v2::NamespaceSelector& {
        return it.spec().namespace_selector();
      },
  }
      .Rules();
}

}  // namespace weir::resource
