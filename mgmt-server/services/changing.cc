#include "mgmt-server/services/changing.h"

#include <algorithm>
#include <set>

#include "libs/base/sha256.h"
#include "libs/base/text.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/services/differences.h"

namespace weir::services {
namespace {

bool IsCluster(const std::string& fqn) {
  const auto parsed = resource::ParseFqn(fqn);
  return parsed.ok() && parsed->kind == resource::Kind::kCluster;
}

// All of it at once, as a chain of writes would one after the other.
Status DeleteWhole(store::Txn& txn, const CallContext& call, Writes& writes, const std::string& fqn, bool cascade) {
  for (size_t left = 1; left > 0;) {
    WEIR_ASSIGN(left, writes.Delete(txn, call, fqn, std::nullopt, cascade));
  }
  return {};
}

Status CheckSize(const store::View& view, const CallContext& call, const ChangeOrder& order, size_t pruned) {
  size_t count = order.deletions.size() + pruned;
  for (const std::string& fqn : order.deletions) {  // Nothing is counted that is not the caller's to delete.
    WEIR_TRY(authz::Authorize(view, call.principal, authz::Right::kDelete, fqn));
    count += order.cascade ? view.CountBelow(fqn) : 0;
  }
  if (count <= kMostDeleted) return {};
  return ResourceExhausted("PLAN_TOO_LARGE", "more than {} resources would be deleted; do it in parts", kMostDeleted);
}

// What goes, in the order in which it may: what lies in it or refers to it first.
class Deletions {
 public:
  Deletions(const ChangeOrder& order, std::vector<store::ResourcePtr> pruned) : cascade_(order.cascade) {
    for (const std::string& fqn : order.deletions) names_.push_back(fqn);
    for (const store::ResourcePtr& each : pruned) names_.push_back(each->fqn);
    std::stable_sort(names_.begin(), names_.end(), [](const std::string& a, const std::string& b) {
      return std::count(a.begin(), a.end(), '/') > std::count(b.begin(), b.end(), '/');
    });
  }
  Status Make(store::Txn& txn, const CallContext& call, Writes& writes, bool clusters) const {
    for (const std::string& fqn : names_) {
      if (IsCluster(fqn) == clusters) WEIR_TRY(DeleteWhole(txn, call, writes, fqn, cascade_));
    }
    return {};
  }

 private:
  const bool cascade_;
  std::vector<std::string> names_;
};

Status CheckDisjoint(const ChangeOrder& order) {
  Error error = InvalidArgument("INVALID_REQUEST", "documents and deletions contradict each other");
  for (size_t i = 0; i < order.deletions.size(); ++i) {
    for (const Applied& document : order.documents) {
      if (!resource::IsAtOrBelow(document.draft.fqn.text, order.deletions[i])) continue;
      error.violations.push_back(
          {.field = fmt::format("deletions[{}]", i),
           .description = fmt::format("{} has a document in this call", document.draft.fqn.text)});
    }
  }
  if (error.violations.empty()) return {};
  return error;
}

}  // namespace

void CheckNote(const char* field, const std::string& text, bool required, std::vector<FieldViolation>& violations) {
  if (text.size() <= kMostNote && !HasControl(text, true) && !(required && text.empty())) return;
  violations.push_back(
      {.field = field,
       .description = fmt::format("must be text of {} {} bytes", required ? "1 to" : "at most", kMostNote)});
}

void CheckChange(const ChangeText& text, std::vector<FieldViolation>& violations) {
  CheckManager(text.manager, violations);
  if (text.prune != nullptr) {
    CheckPrune(*text.prune, !text.documents.empty(), violations);
  } else if (text.documents.empty() && text.deletions.empty()) {
    violations.push_back({.field = "documents", .description = "holds no document, and nothing is to be deleted"});
  }
  if (static_cast<size_t>(text.deletions.size()) > kMostDeletions) {
    violations.push_back({.field = "deletions", .description = fmt::format("at most {}", kMostDeletions)});
  }
  std::set<std::string_view> seen;
  for (int i = 0; i < text.deletions.size(); ++i) {
    const std::string field = fmt::format("deletions[{}]", i);
    const auto fqn = resource::ParseFqn(text.deletions.Get(i));
    if (!fqn.ok() || fqn->kind == resource::Kind::kAccessBindings) {
      violations.push_back(
          {.field = field, .description = fqn.ok() ? "bindings go with their resource" : fqn.error().message});
    } else if (!seen.insert(text.deletions.Get(i)).second) {
      violations.push_back({.field = field, .description = "stands twice in this call"});
    }
  }
}

Result<ChangeOrder> ReadChange(const ChangeText& text, const authn::Principal& owner) {
  ChangeOrder order;
  if (!text.documents.empty()) {
    WEIR_ASSIGN(order.nodes, document::Parse(text.documents));
    const bool may_be_none = text.prune != nullptr && text.prune->allow_empty();
    if (order.nodes.empty() && !may_be_none) return InvalidArgument("INVALID_REQUEST", "the text holds no document");
  }
  WEIR_ASSIGN(order.documents, ReadDocuments(order.nodes, owner));
  if (text.prune != nullptr && order.documents.empty() && !text.prune->allow_empty()) {  // A list of none.
    return InvalidArgument("INVALID_REQUEST",
                           "the text holds no document, so that all that the manager applied would go");
  }
  order.text = text.documents;
  order.apply = {.manager = ManagerFor(text.manager, owner), .force = text.force, .conflicts = nullptr};
  order.deletions = {text.deletions.begin(), text.deletions.end()};
  order.cascade = text.cascade;
  WEIR_TRY(CheckDisjoint(order));
  if (text.prune != nullptr) {
    WEIR_ASSIGN(order.prune_scopes, PruneScopes(*text.prune, order.documents));
  }
  return order;
}

PlanQuestion QuestionOf(const WouldBe& state, std::function<bool(const std::string& fqn)> may_read) {
  PlanQuestion question;
  question.revision = state.before->revision();
  question.may_read = std::move(may_read);
  for (const store::ResourceChange& change : state.changes) {
    if (change.kind == authz::kBindingsKind) continue;
    question.changes.push_back({change.fqn, state.before->Get(change.fqn), state.after->Get(change.fqn)});
  }
  return question;
}

std::vector<store::ResourceChange> DeletedBy(const WouldBe& state) {
  std::vector<store::ResourceChange> deleted;
  for (const store::ResourceChange& change : state.changes) {
    if (!change.deleted || change.kind == authz::kBindingsKind || state.after->Get(change.fqn) != nullptr) continue;
    deleted.push_back(change);
  }
  return deleted;
}

void LocateIn(const ChangeOrder& order, const std::string& fqn, FieldViolation& violation) {
  for (const Applied& document : order.documents) {
    if (document.draft.fqn.text != fqn) continue;
    std::vector<FieldViolation> one{std::move(violation)};
    document::Locate(*document.node, one);
    violation = std::move(one.front());
  }
}

WriteTerms TermsOf(const ChangeOrder& order) {
  WriteTerms terms;
  terms.locate = [&order](const std::string& fqn, FieldViolation& violation) { LocateIn(order, fqn, violation); };
  return terms;
}

std::string ChangeDigest(const WouldBe& state, const std::vector<std::string>& fqns) {
  std::string all;
  for (const std::string& fqn : fqns) {
    const store::ResourcePtr before = state.before->Get(fqn), after = state.after->Get(fqn);
    std::string settled;
    if (after != nullptr) {  // At another time it would have other times.
      const Result<MessagePtr> message = Settled(*after);
      settled = Sha256Hex(message.ok() ? Serialize(**message) : after->body);
    }
    all += fmt::format("{}\n{}\n{}\n", fqn, before == nullptr ? "" : before->etag, settled);
  }
  return Sha256Hex(all);
}

std::string ChangeDigest(const ChangeOrder& order, const WouldBe& state) {
  std::vector<std::string> fqns;
  for (const Applied& document : order.documents) fqns.push_back(document.draft.fqn.text);
  for (const store::ResourceChange& change : DeletedBy(state)) fqns.push_back(change.fqn);
  return ChangeDigest(state, fqns);
}

Status MakeChange(store::Txn& txn, const CallContext& call, Writes& writes, ChangeOrder& order, bool gather_conflicts,
                  WouldBe& out) {
  WEIR_TRY(CheckWanted(call));
  out = {};
  out.before = std::make_shared<const store::View>(txn.view());
  Pruned pruned;
  if (!order.prune_scopes.empty()) {
    WEIR_ASSIGN(pruned, FindPruned(txn.view(), call, order));
  }
  WEIR_TRY(CheckSize(txn.view(), call, order, pruned.going.size()));
  const Deletions deletions(order, std::move(pruned.going));
  out.kept = std::move(pruned.kept);
  ApplyOrder apply = order.apply;
  apply.conflicts = gather_conflicts ? &out.conflicts : nullptr;
  int64_t stored = 0;
  WEIR_TRY(deletions.Make(txn, call, writes, false));
  WEIR_TRY(StoreDocuments(txn, call, writes, order.documents, apply, &stored));
  WEIR_TRY(deletions.Make(txn, call, writes, true));
  out.after = std::make_shared<const store::View>(txn.view());
  if (txn.event()) {
    out.changes = txn.event()->changes;
    out.revision = txn.revision();
  }
  return {};
}

}  // namespace weir::services
