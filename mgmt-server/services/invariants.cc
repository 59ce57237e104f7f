#include "mgmt-server/services/invariants.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <span>

#include "api/weir/v2/workspace.pb.h"
#include "libs/resource/conflicts.h"
#include "libs/resource/kinds.h"
#include "libs/resource/references.h"
#include "mgmt-server/audit/audit.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/services/writes.h"

namespace weir::services {
namespace {

constexpr const char* kReason = "INVARIANT_BROKEN";
constexpr size_t kMostTold = 50;       // By violation or finding; all others are counted only.
constexpr size_t kMostBelowOne = 500;  // Of an organization, and of a tenant: each write looks at all of its own.

// What the caller may be told of one: its name where he may read it, what fails where he may read all that it is about.
class Telling {
 public:
  Telling(const store::View& before, const store::View& after, const CallContext& call)
      : before_(before), after_(after), call_(call) {}

  std::string NameOf(const BrokenInvariant& broken) const {
    if (MayRead(broken.fqn)) return fmt::format("{} ({})", broken.fqn, broken.condition);
    const auto parent = resource::ParseFqn(resource::ParentFqn(broken.fqn));
    const bool of_tenant = parent.ok() && parent->kind == resource::Kind::kTenant;
    return fmt::format("an Invariant of {} that you may not read", of_tenant ? "a tenant" : "the organization");
  }
  std::string WhatOf(const BrokenInvariant& broken) const {
    const bool all =
        std::all_of(broken.about.begin(), broken.about.end(), [&](const std::string& fqn) { return MayRead(fqn); });
    return all ? ": " + broken.what : "";
  }
  // A change of others that came along (a deletion with cascade) is nobody's to learn of.
  std::string DocumentOf(const BrokenInvariant& broken) const {
    return MayRead(broken.document) ? broken.document : "";
  }

 private:
  bool MayRead(const std::string& fqn) const {
    for (const store::View* view : {&after_, &before_}) {
      const store::ResourcePtr resource = view->Get(fqn);
      if (resource != nullptr) return authz::Allowed(*view, call_.principal, authz::Right::kRead, *resource);
    }
    return false;
  }

  const store::View& before_;
  const store::View& after_;
  const CallContext& call_;
};

constexpr std::string_view kRemedy =
    "keep the condition, or let who may write the Invariant set its spec.enforcement to ALARM";

Error Refusal(const store::View& before, const store::View& after, const CallContext& call, const WriteTerms& terms,
              const std::vector<BrokenInvariant>& broken) {
  const Telling telling(before, after, call);
  const BrokenInvariant& first = broken.front();
  Error error = FailedPrecondition(kReason, "{} would be broken{}", telling.NameOf(first), telling.WhatOf(first));
  if (broken.size() > 1) error.message += fmt::format(" (and {} more)", broken.size() - 1);
  if (terms.asks_tenants) error.message += "; force does it all the same";
  for (const BrokenInvariant& each : std::span(broken).first(std::min(broken.size(), kMostTold))) {
    const std::string document = each.document == each.fqn ? "" : telling.DocumentOf(each);
    FieldViolation violation{.field = each.field.empty() ? "metadata.name" : each.field,
                             .description = fmt::format("{}{}breaks {}{}; {}", document, document.empty() ? "" : " ",
                                                        telling.NameOf(each), telling.WhatOf(each), kRemedy)};
    if (terms.locate) terms.locate(each.document, violation);
    error.violations.push_back(std::move(violation));
  }
  return error;
}

// Whether a workspace of the tenant owns all of this.
bool Owns(const store::View& view, const std::string& tenant, const std::string& pattern) {
  const auto wanted = resource::ParseNamespacePattern(pattern);
  bool owns = false;
  view.ForEach(tenant, v2::Workspace::descriptor()->name(), [&](const store::ResourcePtr& stored) {
    v2::Workspace workspace;
    if (!wanted.ok() || !workspace.ParseFromString(stored->body)) return true;
    const auto owned = resource::PatternsOf(workspace.spec().namespace_selector());
    owns = std::any_of(owned.begin(), owned.end(), [&](const auto& own) { return own.Contains(*wanted); });
    return !owns;
  });
  return owns;
}

}  // namespace

void CheckInvariant(const store::View& view, const store::StoredResource& resource, std::vector<Issue>& issues) {
  const auto tenant = resource::ParseFqn(resource::ParentFqn(resource.fqn));
  size_t beside = 0;
  view.ForEach(resource::ParentFqn(resource.fqn), resource.kind,
               [&](const store::ResourcePtr&) { return ++beside <= kMostBelowOne; });
  if (beside > kMostBelowOne) {
    issues.push_back({"TOO_MANY_INVARIANTS",
                      resource.fqn,
                      {.field = "metadata.name",
                       .description = fmt::format("there are {} already, and each write is held against all of them; "
                                                  "delete one that nobody needs",
                                                  kMostBelowOne)}});
  }
  auto invariant = ToMessage(resource);
  if (!invariant.ok() || !tenant.ok() || tenant->kind != resource::Kind::kTenant) return;
  for (resource::Reference& reference : resource::ReferencesOf(**invariant)) {
    const bool ours = reference.kind == resource::ReferenceKind::kNamespace ? Owns(view, tenant->text, reference.name)
                                                                            : reference.name == tenant->name;
    if (ours) continue;
    issues.push_back({"INVARIANT_OUTSIDE_TENANT",
                      resource.fqn,
                      {.field = std::move(reference.field),
                       .description = fmt::format("{} is not {}'s; what concerns others is for an Invariant of the "
                                                  "organization",
                                                  reference.name, tenant->name)}});
  }
}

Status HoldInvariants(InvariantGuard& guard, store::Txn& txn, const store::View& before, const CallContext& call,
                      const WriteTerms& terms) {
  if (!txn.event()) return {};
  const std::vector<BrokenInvariant> broken = guard.Judge(
      {.before = before, .after = txn.view(), .changes = txn.event()->changes, .asks_tenants = terms.asks_tenants});
  if (broken.empty()) return {};
  if (!terms.force) return Refusal(before, txn.view(), call, terms, broken);
  std::set<std::string> recorded;
  for (const BrokenInvariant& each : broken) {
    if (!recorded.insert(each.uid).second) continue;  // It may be broken in several ways.
    WEIR_TRY(audit::Append(txn, {.principal = call.principal.fqn,
                                 .principal_uid = call.principal.uid,
                                 .action = "break-invariant",
                                 .fqn = each.fqn,
                                 .uid = each.uid,
                                 .before_etag = "",
                                 .after_etag = "",
                                 .path = "force",
                                 .peer = call.peer,
                                 .request_id = call.request_id}));
  }
  return {};
}

void AddFindings(const store::View& before, const store::View& after, const CallContext& call,
                 const std::vector<BrokenInvariant>& broken, v2::PlanResponse& response) {
  const Telling telling(before, after, call);
  const size_t told = std::min(broken.size(), kMostTold);
  response.set_more_findings(response.more_findings() + static_cast<int32_t>(broken.size() - told));
  for (const BrokenInvariant& each : std::span(broken).first(told)) {
    v2::Finding& finding = *response.add_findings();
    finding.set_severity(v2::Finding::ERROR);
    finding.set_reason(kReason);
    finding.set_fqn(telling.DocumentOf(each));
    finding.set_field(each.field);
    finding.set_message(fmt::format("breaks {}{}; it would be refused", telling.NameOf(each), telling.WhatOf(each)));
    finding.set_remedy(std::string(kRemedy));
  }
}

}  // namespace weir::services
