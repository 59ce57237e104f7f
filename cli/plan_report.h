#pragma once

#include "api/weir/v2/plan.pb.h"
#include "cli/flags.h"
#include "cli/sources.h"
#include "libs/base/result.h"

namespace weir::cli {

// A plan as people read it, in colours on a terminal.
void PrintPlan(const v2::PlanResponse& plan, const Sources& sources);
// Of it the documents and what is deleted or kept.
void PrintPlannedDocuments(const v2::PlanResponse& plan);

// A refusal of documents, each fault with its file and line.
Error WithPlaces(Error error, const Sources& sources);

// --delete, --cascade and what says how to prune, into a request that has documents. What may be missing is their text:
// see ReadSources.
template <typename Request>
void SetDeletions(const Flags& flags, Request& request) {
  for (const std::string& fqn : flags.All("delete")) request.add_deletions(fqn);
  request.set_cascade(flags.Has("cascade"));
}
template <typename Request>
Status SetPrune(const Flags& flags, Request& request) {
  if (!flags.Has("prune")) {
    if (!flags.Has("prune-scope") && !flags.Has("allow-empty")) return {};
    return InvalidArgument("USAGE", "--prune-scope and --allow-empty go with --prune");
  }
  for (const std::string& scope : flags.All("prune-scope")) request.mutable_prune()->add_scopes(scope);
  request.mutable_prune()->set_allow_empty(flags.Has("allow-empty"));
  return {};
}

}  // namespace weir::cli
