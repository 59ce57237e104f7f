#include "mgmt-server/services/applying.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <map>
#include <set>

#include "api/weir/v2/access_bindings.pb.h"
#include "api/weir/v2/metadata.pb.h"
#include "libs/document/differences.h"
#include "libs/resource/field_paths.h"
#include "libs/resource/references.h"
#include "libs/resource/rights.h"
#include "libs/resource/validate.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/authz/subjects.h"
#include "mgmt-server/services/tsb_form.h"

namespace weir::services {
namespace {

constexpr std::string_view kConflict = "FIELD_CONFLICT";

void Place(const document::Node& node, std::vector<FieldViolation>& violations) { document::Locate(node, violations); }

// Names the document where an error is about all of it.
Error At(Error error, const Applied& document) {
  if (error.violations.empty()) {
    error.violations.push_back({.field = "metadata", .description = error.message});
  }
  Place(*document.node, error.violations);
  return error;
}

// Reads one document; false when it has violations.
bool Read(const document::Node& node, Applied& out, std::vector<FieldViolation>& violations) {
  const size_t before = violations.size();
  out.node = &node;
  const document::Envelope envelope = document::ReadEnvelope(node, violations);
  if (violations.size() > before) return false;
  auto kind = resource::ResolveDocument(envelope.api_version, envelope.kind);
  if (!kind.ok()) {
    std::vector<FieldViolation> found = kind.error().violations;
    if (found.empty()) found.push_back({.field = "kind", .description = kind.error().message});
    Place(node, found);
    violations.insert(violations.end(), found.begin(), found.end());
    return false;
  }
  out.kind = *kind;
  std::unique_ptr<google::protobuf::Message> message = resource::NewMessage(out.kind->kind);
  document::ReadOptions options;
  options.ignore = {"apiVersion", "kind"};
  options.unknown_field = resource::NotServedText;
  document::ToMessage(node, *message, violations, options);
  const std::vector<FieldViolation> unread(violations.begin() + static_cast<std::ptrdiff_t>(before), violations.end());
  std::vector<FieldViolation> found;
  const auto fqn = resource::FqnOf(out.kind->kind, resource::MetadataOf(*message), found);
  if (fqn) {
    out.etag = EtagText(resource::MetadataOf(*message).resource_version());
    auto parsed = resource::ParseFqn(*fqn);
    if (!parsed.ok()) {
      found.push_back({.field = "metadata.name", .description = parsed.error().message});
    } else {
      out.draft = MakeDraft(*parsed, std::move(message));
      found.insert(found.end(), out.draft.violations.begin(), out.draft.violations.end());
      out.draft.violations.clear();
    }
  } else {
    CheckUnnamed(*message, found);
  }
  found = resource::WithoutConsequences(unread, std::move(found));
  Place(node, found);
  violations.insert(violations.end(), found.begin(), found.end());
  return violations.size() == before;
}

bool IsAtOrBelow(std::string_view path, std::string_view field) {
  return path.starts_with(field) &&
         (path.size() == field.size() || path[field.size()] == '.' || path[field.size()] == '[');
}

// Places where the owner's value and the document's differ: "spec.x[a].weight is 75, yours is 40".
void AddBothValues(const google::protobuf::Message& current, const google::protobuf::Message& yours,
                   std::vector<FieldViolation>& conflicts) {
  if (conflicts.empty()) return;
  constexpr size_t kMostPlaces = 3;  // Of one field.
  const document::Differences differences = document::Compare(current, yours, {.lines = 200, .value = 160});
  for (FieldViolation& conflict : conflicts) {
    size_t places = 0;
    for (const document::Difference& line : differences.lines) {
      if (!IsAtOrBelow(line.path, conflict.field) || ++places > kMostPlaces) continue;
      conflict.description += fmt::format("; {} is {}, yours is {}", line.path == conflict.field ? "it" : line.path,
                                          line.before.value_or("not set"), line.after.value_or("not set"));
    }
    if (places > kMostPlaces) conflict.description += fmt::format("; and {} places more", places - kMostPlaces);
    conflict.description += "; apply with force to take it over, or take it out of the document";
  }
}

// Server-side apply: what the manager sets it owns; what it set before and leaves out now goes away; what others own
// stays, and where the document says something else about it, that is a conflict.
struct Merge {
  Draft draft;
  Owners owners;
  std::vector<FieldViolation> conflicts;
};
Merge MergeInto(const store::StoredResource& stored, const google::protobuf::Message& current, const Applied& document,
                const ApplyOrder& order) {
  Merge merge{document.draft, {}, {}};
  merge.draft.message.reset(document.draft.message->New());
  merge.draft.message->CopyFrom(*document.draft.message);
  FillFromStored(current, merge.draft);
  const std::set<std::string> said = FieldsOwned(*document.draft.message);
  const std::vector<std::string> differing = resource::Diff(current, *merge.draft.message);
  const std::set<std::string> changed(differing.begin(), differing.end());
  for (const auto& [field, owner] : stored.field_owners) {
    if (said.count(field) == 0) {
      const auto& unset = merge.draft.unset;
      if (std::find(unset.begin(), unset.end(), field) != unset.end()) {  // Leaving it out says nothing of it.
        merge.owners[field] = owner;
        continue;
      }
      // With the version in hand the document stands for the whole resource.
      if (owner == order.manager || !document.etag.empty()) continue;
      resource::CopyPath(current, *merge.draft.message, field);
      merge.owners[field] = owner;
      continue;
    }
    if (owner == order.manager) continue;
    if (changed.count(field) == 0) {
      merge.owners[field] = owner;
    } else if (!order.force && document.etag.empty()) {
      merge.conflicts.push_back({.field = field, .description = fmt::format("was set by \"{}\"", owner)});
    }
  }
  AddBothValues(current, *merge.draft.message, merge.conflicts);
  for (const std::string& field : said) merge.owners.emplace(field, order.manager);
  return merge;
}

Result<store::ResourcePtr> ApplyResource(store::Txn& txn, const CallContext& call, Writes& writes, Applied& document,
                                         const ApplyOrder& order, std::vector<Issue>& issues) {
  const store::ResourcePtr before = txn.Get(document.draft.fqn.text);
  const bool readable = before != nullptr && authz::Allowed(txn.view(), call.principal, authz::Right::kRead, *before);
  if (before == nullptr || !readable) {
    if (!document.etag.empty()) {
      WEIR_TRY(authz::Authorize(txn.view(), call.principal, authz::Right::kCreate, document.draft.fqn.parent,
                                document.draft.fqn.kind));
      return Aborted("ETAG_MISMATCH",
                     "{} does not exist any more; take metadata.resourceVersion out of the document to create it anew",
                     document.draft.fqn.text);
    }
    document.outcome.set_outcome(v2::AppliedDocument::CREATED);
    return writes.Create(txn, call, document.draft, OwnedBy(*document.draft.message, order.manager), issues);
  }
  WEIR_TRY(authz::Authorize(txn.view(), call.principal, authz::Right::kWrite, before->fqn));
  WEIR_ASSIGN(const MessagePtr current, ToMessage(*before));
  Merge merge = MergeInto(*before, *current, document, order);
  if (!merge.conflicts.empty()) {
    Error error =
        Aborted(kConflict, "{}: {} field{} belong{} to another manager; apply with force to take over", before->fqn,
                merge.conflicts.size(), merge.conflicts.size() == 1 ? "" : "s", merge.conflicts.size() == 1 ? "s" : "");
    error.violations = std::move(merge.conflicts);
    return error;
  }
  const std::optional<std::string> etag = document.etag.empty() ? std::nullopt : std::optional(document.etag);
  WEIR_ASSIGN(const store::ResourcePtr after,
              writes.Update(txn, call, merge.draft, std::move(merge.owners), etag, issues));
  document.outcome.set_outcome(after->etag == before->etag ? v2::AppliedDocument::UNCHANGED
                                                           : v2::AppliedDocument::UPDATED);
  return after;
}

std::set<std::pair<std::string, std::string>> Grants(const v2::AccessBindings& bindings) {
  std::set<std::pair<std::string, std::string>> grants;
  for (const auto& binding : bindings.allow()) {
    for (const auto& subject : binding.subjects())
      grants.emplace(resource::CanonicalRole(binding.role()), authz::FqnOf(subject));
  }
  return grants;
}

// Bindings have many hands: a document may add subjects, but takes one away only by version or by force.
Result<store::ResourcePtr> ApplyBindings(store::Txn& txn, const CallContext& call, Applied& document,
                                         const ApplyOrder& order) {
  const std::string& fqn = document.draft.fqn.text;
  WEIR_TRY(authz::Authorize(txn.view(), call.principal, authz::Right::kSetPolicy, fqn));
  const auto& wanted = static_cast<const v2::AccessBindings&>(*document.draft.message);
  WEIR_ASSIGN(const v2::AccessBindings current, authz::ReadBindings(txn.view(), fqn));
  const auto have = Grants(current);
  const auto want = Grants(wanted);
  if (document.etag.empty() && !order.force && !std::includes(want.begin(), want.end(), have.begin(), have.end())) {
    return Aborted(kConflict,
                   "{}: the document would take a role from somebody; name the resourceVersion that "
                   "it replaces, or apply with force",
                   fqn);
  }
  const std::optional<std::string> etag = document.etag.empty() ? std::nullopt : std::optional(document.etag);
  if (have == want && (!etag || *etag == current.metadata().resource_version())) {
    document.outcome.set_outcome(v2::AppliedDocument::UNCHANGED);
    return txn.Get(fqn);
  }
  WEIR_ASSIGN(const authz::BindingsChange change, authz::SetBindings(txn, call.principal, fqn, wanted, etag));
  WEIR_TRY(Record(txn, call, "set-policy", change.before.get(), change.after.get(), change.decision.path));
  document.outcome.set_outcome(v2::AppliedDocument::UPDATED);
  return change.after;
}

void SetDepths(std::vector<Applied>& documents) {
  std::map<std::string, Applied*> by_fqn;
  std::vector<std::pair<Applied*, std::string>> members;  // A team and the name of one in it.
  for (Applied& document : documents) {
    if (document.draft.message == nullptr) continue;
    by_fqn[document.draft.fqn.text] = &document;
    for (resource::Reference& reference : resource::ReferencesOf(*document.draft.message)) {
      if (reference.kind == resource::ReferenceKind::kMember)
        members.emplace_back(&document, std::move(reference.name));
    }
  }
  // At most as often as a chain can be long; a ring ends so too, and is refused when it is stored.
  bool moved = true;
  for (size_t round = 0; moved && round < documents.size(); ++round) {
    moved = false;
    for (const auto& [outer, name] : members) {
      const auto inner = by_fqn.find(name);
      if (inner == by_fqn.end() || inner->second->kind != outer->kind || outer->depth > inner->second->depth) continue;
      outer->depth = inner->second->depth + 1;
      moved = true;
    }
  }
}

}  // namespace

Result<std::vector<Applied>> ReadDocuments(std::vector<document::Node>& nodes, const authn::Principal& principal) {
  std::vector<FieldViolation> violations;
  const auto caller = resource::ParseFqn(principal.fqn);
  nodes = InOurForm(std::move(nodes), caller.ok() ? caller->organization() : "", violations);
  std::vector<Applied> documents(nodes.size());
  std::set<std::string> seen;
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (!Read(nodes[i], documents[i], violations)) continue;
    if (!seen.insert(documents[i].draft.fqn.text).second) {
      violations.push_back({.field = "metadata.name",
                            .description = fmt::format("{} stands twice in this call", documents[i].draft.fqn.text),
                            .line = nodes[i].line,
                            .column = nodes[i].column});
    }
  }
  WEIR_TRY(resource::ToStatus("the documents", std::move(violations)));
  SetDepths(documents);
  // As the list of kinds has it, whatever the order was: what is referred to first, bindings when everything is there.
  std::stable_sort(documents.begin(), documents.end(), [](const Applied& a, const Applied& b) {
    return std::pair(a.kind->kind, a.depth) < std::pair(b.kind->kind, b.depth);
  });
  return documents;
}

Status StoreDocuments(store::Txn& txn, const CallContext& call, Writes& writes, std::vector<Applied>& documents,
                      const ApplyOrder& order, int64_t* revision) {
  std::vector<Issue> issues;
  *revision = 0;
  for (Applied& document : documents) {
    document.outcome.Clear();  // A plan that is made again reads it again.
    const size_t before = issues.size();
    auto stored = document.kind->kind == resource::Kind::kAccessBindings
                      ? ApplyBindings(txn, call, document, order)
                      : ApplyResource(txn, call, writes, document, order, issues);
    if (!stored.ok() && order.conflicts != nullptr && stored.error().reason == kConflict) {
      order.conflicts->push_back({&document, std::move(stored).error()});
      continue;
    }
    if (!stored.ok()) return At(std::move(stored).error(), document);
    for (size_t i = before; i < issues.size(); ++i) {
      if (issues[i].fqn != document.draft.fqn.text) continue;
      std::vector<FieldViolation> one{std::move(issues[i].violation)};
      Place(*document.node, one);
      issues[i].violation = std::move(one.front());
    }
    document.outcome.set_fqn(document.draft.fqn.text);
    document.outcome.set_kind(std::string(document.kind->name));
    for (const FieldViolation& warning : resource::Warnings(*document.draft.message)) {
      document.outcome.add_warnings(fmt::format("{}: {}", warning.field, warning.description));
    }
    if (*stored != nullptr) document.outcome.set_resource_version((*stored)->etag);
    if (document.outcome.outcome() != v2::AppliedDocument::UNCHANGED) *revision = txn.revision();
  }
  return ToStatus(issues);
}

void CheckManager(const std::string& manager, std::vector<FieldViolation>& violations) {
  if (manager.size() <= 64 && manager.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos) {
    return;
  }
  violations.push_back({.field = "manager", .description = "must be 1 to 64 of a-z, 0-9 and -"});
}

std::string ManagerFor(const std::string& manager, const authn::Principal& principal) {
  return ManagerOf(manager.empty() ? "weir" : manager, principal);
}

}  // namespace weir::services
