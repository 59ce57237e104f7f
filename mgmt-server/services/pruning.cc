#include "mgmt-server/services/pruning.h"

#include <algorithm>
#include <map>
#include <set>

#include "api/weir/v2/metadata.pb.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/authz/subjects.h"
#include "mgmt-server/services/changing.h"

namespace weir::services {
namespace {

bool HoldsOthers(resource::Kind kind) {
  const auto kinds = resource::Kinds();
  return std::any_of(kinds.begin(), kinds.end(), [&](const resource::KindInfo& each) { return each.parent() == kind; });
}

// What one document says, when it stands below no other. "" = nothing: it would be a whole organization.
std::string ScopeOf(const Applied& document) {
  const resource::Fqn& fqn = document.draft.fqn;
  const std::string& scope = HoldsOthers(document.kind->kind) ? fqn.text : fqn.parent;
  return resource::ParentFqn(scope).empty() ? "" : scope;
}

using Names = std::set<std::string, std::less<>>;

bool HasAbove(const Names& names, const std::string& fqn) {
  for (std::string above = resource::ParentFqn(fqn); !above.empty(); above = resource::ParentFqn(above)) {
    if (names.contains(above)) return true;
  }
  return false;
}
std::vector<std::string> Outermost(const Names& names) {
  std::vector<std::string> out;
  std::copy_if(names.begin(), names.end(), std::back_inserter(out),
               [&](const std::string& each) { return !HasAbove(names, each); });
  return out;
}

class Search {
 public:
  Search(const store::View& view, const CallContext& call, const ChangeOrder& order)
      : view_(view), call_(call), order_(order), deletions_(order.deletions.begin(), order.deletions.end()) {
    for (const Applied& document : order.documents) Stays(document.draft.fqn.text);
  }

  Status Below(const std::string& scope) {
    WEIR_TRY(authz::Authorize(view_, call_.principal, authz::Right::kRead, scope));
    searched_ += view_.CountBelow(scope);
    if (searched_ > kMostPruneSearched) {
      return ResourceExhausted("PRUNE_TOO_LARGE", "more than {} resources lie below the scopes; prune smaller ones",
                               kMostPruneSearched);
    }
    Status failed;
    view_.ForEach(scope, "", [&](const store::ResourcePtr& each) {
      failed = Judge(each);
      return failed.ok();
    });
    return failed;
  }

  Pruned Finish() {
    // What is below comes first.
    for (auto each = candidates_.rbegin(); each != candidates_.rend(); ++each) {
      const auto holds = holds_.find(each->first);
      if (holds == holds_.end()) {
        found_.going.push_back(each->second);
        continue;
      }
      const store::ResourcePtr held = view_.Get(holds->second);
      const bool named = held == nullptr || authz::Allowed(view_, call_.principal, authz::Right::kRead, *held);
      Keep(*each->second, fmt::format("holds {}, which stays", named ? holds->second : "something"));
    }
    return std::move(found_);
  }

 private:
  Status Judge(const store::ResourcePtr& each) {
    if (each->kind == authz::kBindingsKind || GoesAnyway(each->fqn)) return {};
    size_t own = 0;
    std::string other;
    for (const auto& [field, owner] : each->field_owners) {
      if (owner == order_.apply.manager)
        ++own;
      else
        other = owner;
    }
    const bool subject = !authz::SubjectNode(*each).empty();  // People are none of what was made.
    if (own == 0 || subject || stays_.contains(each->fqn) ||
        !authz::Allowed(view_, call_.principal, authz::Right::kRead, *each)) {
      return Stays(each->fqn), Status();
    }
    if (!other.empty()) return Keep(*each, fmt::format("fields of it belong to \"{}\"", other)), Status();
    WEIR_ASSIGN(const MessagePtr message, ToMessage(*each));
    if (resource::MetadataOf(*message).deletion_protection()) {
      return Keep(*each, "is protected against deletion (metadata.deletionProtection)"), Status();
    }
    if (!authz::Allowed(view_, call_.principal, authz::Right::kDelete, *each)) {
      return Keep(*each, "you may not delete it"), Status();
    }
    candidates_.emplace(each->fqn, each);
    return {};
  }
  bool GoesAnyway(const std::string& fqn) const {
    return deletions_.contains(fqn) || (order_.cascade && HasAbove(deletions_, fqn));
  }
  void Keep(const store::StoredResource& resource, std::string why) {
    Stays(resource.fqn);
    found_.kept.push_back({resource.fqn, resource.kind, std::move(why)});
  }
  // And with it everything above.
  void Stays(const std::string& fqn) {
    stays_.insert(fqn);
    for (std::string above = resource::ParentFqn(fqn); !above.empty(); above = resource::ParentFqn(above)) {
      if (!holds_.emplace(above, fqn).second) return;
    }
  }

  const store::View& view_;
  const CallContext& call_;
  const ChangeOrder& order_;
  size_t searched_ = 0;
  const Names deletions_;
  Names stays_;
  std::map<std::string, std::string> holds_;  // What is above that, and one of it.
  std::map<std::string, store::ResourcePtr> candidates_;
  Pruned found_;
};

}  // namespace

void CheckPrune(const v2::Prune& prune, bool has_documents, std::vector<FieldViolation>& violations) {
  if (static_cast<size_t>(prune.scopes_size()) > kMostPruneScopes) {
    violations.push_back({.field = "prune.scopes", .description = fmt::format("at most {}", kMostPruneScopes)});
  }
  for (int i = 0; i < prune.scopes_size(); ++i) {
    const auto fqn = resource::ParseFqn(prune.scopes(i));
    if (fqn.ok() && HoldsOthers(fqn->kind)) continue;
    violations.push_back({.field = fmt::format("prune.scopes[{}]", i),
                          .description = fqn.ok() ? "holds nothing that could be pruned" : fqn.error().message});
  }
  if (has_documents) return;
  if (!prune.allow_empty()) {
    violations.push_back({.field = "documents",
                          .description = "holds no document, so that all that the manager applied would go; say "
                                         "prune.allowEmpty if that is meant"});
  } else if (prune.scopes().empty()) {
    violations.push_back({.field = "prune.scopes", .description = "without documents nothing says what they are"});
  }
}

Result<std::vector<std::string>> PruneScopes(const v2::Prune& prune, const std::vector<Applied>& documents) {
  if (!prune.scopes().empty()) return Outermost(Names(prune.scopes().begin(), prune.scopes().end()));
  Names names, scopes;
  for (const Applied& document : documents) {
    if (document.kind->kind != resource::Kind::kAccessBindings) names.insert(document.draft.fqn.text);
  }
  for (const Applied& document : documents) {
    const std::string& fqn = document.draft.fqn.text;
    const std::string scope = names.contains(fqn) && !HasAbove(names, fqn) ? ScopeOf(document) : "";
    if (!scope.empty()) scopes.insert(scope);
  }
  if (!scopes.empty()) return Outermost(scopes);
  Error error = InvalidArgument("INVALID_REQUEST", "what is to be pruned?");
  error.violations.push_back(
      {.field = "prune.scopes", .description = "the documents say no scope smaller than an organization; name one"});
  return error;
}

Result<Pruned> FindPruned(const store::View& view, const CallContext& call, const ChangeOrder& order) {
  Search search(view, call, order);
  for (const std::string& scope : order.prune_scopes) WEIR_TRY(search.Below(scope));
  return search.Finish();
}

}  // namespace weir::services
