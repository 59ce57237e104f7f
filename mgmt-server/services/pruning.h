#pragma once

#include <string>
#include <vector>

#include "api/weir/v2/documents.pb.h"
#include "libs/base/result.h"
#include "mgmt-server/services/applying.h"
#include "mgmt-server/store/store.h"

namespace weir::services {

struct ChangeOrder;

// What is not pruned although the manager has fields in it.
struct Kept {
  std::string fqn, kind, why;
};
struct Pruned {
  std::vector<store::ResourcePtr> going;  // In no order.
  std::vector<Kept> kept;
};

constexpr size_t kMostPruneScopes = 100;
constexpr size_t kMostPruneSearched = 100'000;  // Resources below all scopes.

// Of the request itself.
void CheckPrune(const v2::Prune& prune, bool has_documents, std::vector<FieldViolation>& violations);
// Below which it is pruned, none below another. INVALID_ARGUMENT INVALID_REQUEST where the documents do not say it.
Result<std::vector<std::string>> PruneScopes(const v2::Prune& prune, const std::vector<Applied>& documents);

// What goes, on this state; the rules stand at ApplyDocumentsRequest.prune. NOT_FOUND for a scope that the caller may
// not read; RESOURCE_EXHAUSTED PRUNE_TOO_LARGE.
Result<Pruned> FindPruned(const store::View& view, const CallContext& call, const ChangeOrder& order);

}  // namespace weir::services
