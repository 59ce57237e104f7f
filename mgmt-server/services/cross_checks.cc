#include "mgmt-server/services/cross_checks.h"

#include <algorithm>

#include "api/weir/v2/gateway.pb.h"
#include "api/weir/v2/gateway_group.pb.h"
#include "api/weir/v2/organization.pb.h"
#include "api/weir/v2/workspace.pb.h"
#include "libs/obs/log.h"
#include "libs/resource/domains.h"
#include "libs/resource/kinds.h"
#include "libs/resource/references.h"
#include "mgmt-server/services/invariants.h"

namespace weir::services {
namespace {

constexpr size_t kMaxIndexed = 1'000'000;  // Then an index is built anew, without what is gone.

}  // namespace

Status ToStatus(const std::vector<Issue>& issues) {
  if (issues.empty()) return {};
  Error error =
      FailedPrecondition(issues.front().reason, "{}: {}", issues.front().fqn, issues.front().violation.description);
  if (issues.size() > 1) error.message += fmt::format(" (and {} more)", issues.size() - 1);
  for (const Issue& issue : issues) error.violations.push_back(issue.violation);
  return error;
}

const CrossChecks::Parsed& CrossChecks::Read(const store::ResourcePtr& resource, size_t resources) {
  static const Parsed kNothing;
  if (resource == nullptr) return kNothing;
  if (parsed_.size() > 2 * resources + 1024) parsed_.clear();
  Parsed& entry = parsed_[resource->fqn];
  if (entry.resource == resource) return entry;
  const resource::KindInfo* kind = resource::FindKind(resource->kind);
  if (kind == nullptr) return kNothing;
  std::shared_ptr<google::protobuf::Message> message = resource::NewMessage(kind->kind);
  if (!message->ParseFromString(resource->body)) return kNothing;
  entry = {resource, message, resource::FormOf(message)};
  return entry;
}

CrossChecks::MessagePtr CrossChecks::Parse(const store::ResourcePtr& resource, size_t resources) {
  return Read(resource, resources).message;
}

resource::GatewayForm CrossChecks::FormOf(const store::ResourcePtr& resource, size_t resources) {
  return Read(resource, resources).form;
}

template <typename T>
std::shared_ptr<const T> CrossChecks::Load(const store::View& view, std::string_view fqn) {
  const store::ResourcePtr resource = view.Get(fqn);
  if (resource == nullptr || resource->kind != T::descriptor()->name()) return nullptr;
  return std::static_pointer_cast<const T>(Parse(resource, view.resource_count()));
}

void CrossChecks::Check(const store::View& view, const store::StoredResource& resource, const Writer& writer,
                        std::vector<Issue>& issues) {
  const resource::KindInfo* kind = resource::FindKind(resource.kind);
  if (kind == nullptr) return;
  if (kind->one_per_parent) CheckOnlyOne(view, resource, issues);
  if (kind->rules.namespaces && kind->rules.all_namespaces_if_empty) {
    CheckGroup(view, resource, writer, issues);
  } else if (kind->rules.namespaces) {
    CheckWorkspace(view, resource, writer, issues);
  }
  if (kind->rules.invariant) CheckInvariant(view, resource, issues);
  if (kind->rules.effect == resource::Effect::kOrganization) CheckDomain(view, resource, writer, issues);
  if (kind->rules.effect != resource::Effect::kGateway) return;
  CheckGateway(view, resource.fqn, writer, true, issues);
  CheckHosts(view, resource, writer, issues);
}

namespace {

std::string DomainOf(const store::StoredResource& organization) {
  v2::Organization message;
  return message.ParseFromString(organization.body) ? message.spec().domain() : "";
}

}  // namespace

// Else an agent of one organization could speak for the other's clusters.
void CrossChecks::CheckDomain(const store::View& view, const store::StoredResource& resource, const Writer& writer,
                              std::vector<Issue>& issues) {
  const std::string domain = DomainOf(resource);
  const auto taken = [&](std::string_view by) {
    issues.push_back(
        {"DOMAIN_TAKEN",
         resource.fqn,
         {.field = "spec.domain",
          .description = fmt::format("{} is, or lies below or above, the domain of {}; identities are made "
                                     "of it, choose another",
                                     domain, by)}});
  };
  if (resource::DomainsOverlap(domain, resource::kServersDomain)) return taken("weir-server itself");
  view.ForEach("", "Organization", [&](const store::ResourcePtr& other) {
    if (other->fqn == resource.fqn || !resource::DomainsOverlap(domain, DomainOf(*other))) return true;
    taken(writer.may_read(*other) ? std::string_view(other->fqn) : "another organization");
    return false;
  });
}

std::vector<std::pair<std::string, std::string>> CrossChecks::OverlappingDomains(const store::View& view) {
  std::vector<std::pair<std::string, std::string>> domains, overlapping;
  view.ForEach("", "Organization", [&](const store::ResourcePtr& organization) {
    const std::string domain = DomainOf(*organization);
    for (const auto& [fqn, theirs] : domains) {
      if (resource::DomainsOverlap(domain, theirs)) overlapping.emplace_back(fqn, organization->fqn);
    }
    domains.emplace_back(organization->fqn, domain);
    return true;
  });
  return overlapping;
}

void LogContradictions(const store::View& view) {
  for (const auto& [one, other] : CrossChecks::OverlappingDomains(view)) {
    obs::Log(obs::Level::kError,
             "the domains of two organizations overlap; delete one and create it with another domain",
             {{"organization", one}, {"other", other}});
  }
  constexpr size_t kMostNamed = 20;
  const auto shared = SharedHosts(view);
  for (size_t i = 0; i < shared.size() && i < kMostNamed; ++i) {
    obs::Log(obs::Level::kWarn, "two workspaces of a tenant answer for one host",
             {{"gateway", shared[i].first}, {"other", shared[i].second}, {"pairs", std::to_string(shared.size())}});
  }
}

// Two would contradict each other.
void CrossChecks::CheckOnlyOne(const store::View& view, const store::StoredResource& resource,
                               std::vector<Issue>& issues) {
  const std::string parent = resource::ParentFqn(resource.fqn);
  view.ForEach(parent, resource.kind, [&](const store::ResourcePtr& other) {
    if (other->fqn == resource.fqn) return true;
    issues.push_back({"ONLY_ONE",
                      resource.fqn,
                      {.field = "metadata.name",
                       .description = fmt::format("{} has one {} already; change that one, or delete it before", parent,
                                                  resource.kind)}});
    return false;
  });
}

void CrossChecks::CheckWorkspace(const store::View& view, const store::StoredResource& resource, const Writer& writer,
                                 std::vector<Issue>& issues) {
  const auto workspace = Load<v2::Workspace>(view, resource.fqn);
  if (workspace == nullptr) return;
  IndexWorkspaces(view);
  const std::string organization(resource::OrganizationFqn(resource.fqn));
  const v2::NamespaceSelector& selector = workspace->spec().namespace_selector();
  const std::set<std::string> candidates = namespaces_.Candidates(organization, selector);
  namespaces_.Add(organization, resource.fqn, selector);
  for (const std::string& other : candidates) {
    if (other == resource.fqn) continue;
    const auto theirs = Load<v2::Workspace>(view, other);
    if (theirs == nullptr) continue;
    ++workspaces_compared_;
    const auto taken = resource::NamespaceOverlap(selector, theirs->spec().namespace_selector());
    if (!taken) continue;
    issues.push_back(
        {"NAMESPACE_TAKEN",
         resource.fqn,
         {.field = "spec.namespaceSelector.names",
          .description = fmt::format("{} overlaps with what {} owns; a namespace belongs to one workspace only", *taken,
                                     writer.may_read(*view.Get(other)) ? other : "another workspace")}});
    break;
  }
  CheckGroupsFit(view, *workspace, resource.fqn, writer, issues);
  ForEachGateway(view, resource.fqn, [&](const store::ResourcePtr& gateway) {
    CheckGateway(view, gateway->fqn, writer, false, issues);
    return true;
  });
}

// Groups of every kind that lie in it.
void CrossChecks::CheckGroupsFit(const store::View& view, const v2::Workspace& workspace, const std::string& fqn,
                                 const Writer& writer, std::vector<Issue>& issues) {
  for (const resource::KindInfo& kind : resource::Kinds()) {
    if (!kind.rules.namespaces || !kind.rules.all_namespaces_if_empty) continue;
    view.ForEach(fqn, kind.name, [&](const store::ResourcePtr& child) {
      const MessagePtr group = Parse(child, view.resource_count());
      if (group == nullptr) return true;
      std::vector<FieldViolation> outside;
      resource::CheckWithin(kind.rules.namespaces(*group), workspace.spec().namespace_selector(), outside);
      if (outside.empty()) return true;
      const std::string named = writer.may_read(*child) ? "group " + child->fqn : "a group that you may not read";
      issues.push_back({"GROUP_OUTSIDE_WORKSPACE",
                        fqn,
                        {.field = "spec.namespaceSelector.names",
                         .description = fmt::format("{} needs a namespace that would be missing", named)}});
      return true;
    });
  }
}

void CrossChecks::CheckGroup(const store::View& view, const store::StoredResource& resource, const Writer& writer,
                             std::vector<Issue>& issues) {
  const MessagePtr message = Parse(view.Get(resource.fqn), view.resource_count());
  const auto workspace = Load<v2::Workspace>(view, resource::ParentFqn(resource.fqn));
  if (message == nullptr || workspace == nullptr) return;
  std::vector<FieldViolation> outside;
  resource::CheckWithin(resource::KindOf(*message)->rules.namespaces(*message), workspace->spec().namespace_selector(),
                        outside);
  for (FieldViolation& violation : outside)
    issues.push_back({"GROUP_OUTSIDE_WORKSPACE", resource.fqn, std::move(violation)});
  const auto group = Load<v2::GatewayGroup>(view, resource.fqn);
  if (group == nullptr) return;
  ForEachGateway(view, resource.fqn, [&](const store::ResourcePtr& gateway) {
    if (group->spec().config_mode() == v2::DIRECT) {
      const std::string held = writer.may_read(*gateway) ? gateway->fqn : "what you may not read";
      const FieldViolation mode{"spec.configMode", "the group holds " + held + ", which needs mode BRIDGED", 0, 0};
      issues.push_back({"GROUP_MODE_MISMATCH", resource.fqn, mode});
      return false;
    }
    CheckGateway(view, gateway->fqn, writer, false, issues);
    return true;
  });
}

// A gateway object with what it lies in; a form of nothing where one of them is missing.
struct CrossChecks::Placed {
  std::shared_ptr<const v2::GatewayGroup> group;
  std::shared_ptr<const v2::Workspace> workspace;
  resource::GatewayInScope scope;
};
CrossChecks::Placed CrossChecks::Place(const store::View& view, const std::string& fqn) {
  Placed placed;
  const std::string group = resource::ParentFqn(fqn);
  placed.group = Load<v2::GatewayGroup>(view, group);
  placed.workspace = Load<v2::Workspace>(view, resource::ParentFqn(group));
  if (placed.group == nullptr || placed.workspace == nullptr) return placed;
  placed.scope = {fqn, FormOf(view.Get(fqn), view.resource_count()), placed.workspace.get(), placed.group.get()};
  return placed;
}

void CrossChecks::CheckGateway(const store::View& view, const std::string& fqn, const Writer& writer, bool references,
                               std::vector<Issue>& issues) {
  IndexAll(view);
  const Placed mine = Place(view, fqn);
  if (mine.scope.form.gateway == nullptr) return;
  if (references && mine.group->spec().config_mode() != v2::BRIDGED) {
    issues.push_back(
        {"GROUP_MODE_MISMATCH",
         fqn,
         {.field = "metadata.group",
          .description = fmt::format("{} is in mode DIRECT and takes Istio kinds only", resource::ParentFqn(fqn))}});
  }
  if (references) {
    const MessagePtr gateway = Parse(view.Get(fqn), view.resource_count());
    CheckReferences(view, fqn, *gateway, *mine.workspace, *mine.group, issues);
  }
  std::set<std::string> candidates;
  for (const v2::HttpServer& server : mine.scope.form.gateway->spec().http()) {
    const std::set<std::string>& having = hosts_.Of(server.hostname());
    candidates.insert(having.begin(), having.end());
  }
  Index(fqn, mine.scope.form);
  for (const std::string& other : candidates) {
    if (other != fqn && resource::OrganizationFqn(other) == resource::OrganizationFqn(fqn))
      CheckTaken(view, mine, other, writer, issues);
  }
}

void CrossChecks::CheckTaken(const store::View& view, const Placed& mine, const std::string& other,
                             const Writer& writer, std::vector<Issue>& issues) {
  const Placed theirs = Place(view, other);
  for (const auto& conflict : resource::HostConflicts(mine.scope, theirs.scope)) {
    issues.push_back(
        {"GATEWAY_HOST_TAKEN",
         mine.scope.fqn,
         {.field = conflict.field,
          .description =
              fmt::format("{} on port {} is already served on the same workloads by {}{}", conflict.hostname,
                          conflict.other_port, writer.may_read(*view.Get(other)) ? other : "another gateway",
                          conflict.port == conflict.other_port
                              ? ""
                              : "; between the tiers a host has no port, so only one port of it may go to services")}});
  }
}

// A tier-1 server is answered by whoever of its tenant answers for its host, so a host joins what the workspaces of a
// tenant keep apart: who writes it needs the right write on all that has it (docs/adr/0017).
void CrossChecks::CheckHosts(const store::View& view, const store::StoredResource& resource, const Writer& writer,
                             std::vector<Issue>& issues) {
  const resource::GatewayForm form = FormOf(view.Get(resource.fqn), view.resource_count());
  if (form.gateway == nullptr) return;
  const std::string workspace = resource::ParentFqn(resource::ParentFqn(resource.fqn));
  const std::string tenant = resource::ParentFqn(workspace);
  std::set<std::pair<std::string, bool>> had;
  if (writer.before != nullptr) {
    for (const auto& old : resource::HostClaims(resource::FormOf(writer.before)))
      had.emplace(old.hostname, old.answers);
  }
  for (const resource::HostClaim& claim : resource::HostClaims(form)) {
    if (had.contains({claim.hostname, claim.answers}))
      continue;  // Granted when it was written, or older than the rule.
    for (const std::string& fqn : hosts_.Meeting(claim.hostname, tenant)) {
      if (resource::IsAtOrBelow(fqn, workspace)) continue;
      const store::ResourcePtr other = view.Get(fqn);
      const resource::GatewayForm theirs = FormOf(other, view.resource_count());
      if (theirs.gateway == nullptr || writer.may_write(*other)) continue;
      const auto claims = resource::HostClaims(theirs);
      if (std::none_of(claims.begin(), claims.end(), [&](const auto& it) { return claim.Meets(it); })) continue;
      issues.push_back({"HOST_TAKEN_BY_ANOTHER_WORKSPACE",
                        resource.fqn,
                        {.field = claim.field,
                         .description = fmt::format(
                             "{} is, or lies below or above, a host of {}: both would meet its requests. To "
                             "write it needs the right write there too; who may write the tenant has it",
                             claim.hostname, writer.may_read(*other) ? fqn : "another workspace of the tenant")}});
      break;
    }
  }
}

void CrossChecks::CheckReferences(const store::View& view, const std::string& fqn,
                                  const google::protobuf::Message& gateway, const v2::Workspace& workspace,
                                  const v2::GatewayGroup& group, std::vector<Issue>& issues) {
  const std::string organization(resource::OrganizationFqn(fqn));
  for (resource::Reference& reference : resource::ReferencesOf(gateway)) {
    if (reference.kind != resource::ReferenceKind::kCluster) continue;
    const std::string cluster = resource::ChildFqn(organization, resource::Kind::kCluster, reference.name);
    if (view.Get(cluster) != nullptr) continue;
    issues.push_back({"CLUSTER_MISSING",
                      fqn,
                      {.field = std::move(reference.field),
                       .description = fmt::format("there is no cluster \"{}\" in {}", reference.name, organization)}});
  }
  for (resource::ScopeViolation& outside : resource::CheckScope(gateway, workspace, group)) {
    issues.push_back({std::move(outside.reason), fqn, std::move(outside.violation)});
  }
}

void CrossChecks::Index(const std::string& fqn, const resource::GatewayForm& form) {
  for (const v2::HttpServer& server : form.gateway->spec().http()) hosts_.Add(server.hostname(), fqn);
}

void CrossChecks::IndexAll(const store::View& view) {
  if (hosts_loaded_ && hosts_.size() < kMaxIndexed) return;
  hosts_.Clear();
  hosts_loaded_ = true;
  // Committed and pending state together: whichever wins, nothing is missing.
  const store::ViewPtr committed = store_.Read();
  for (const store::View* each : {committed.get(), &view}) {
    ForEachGateway(*each, "", [&](const store::ResourcePtr& resource) {
      const resource::GatewayForm form = FormOf(resource, each->resource_count());
      if (form.gateway != nullptr) Index(resource->fqn, form);
      return true;
    });
  }
}

void CrossChecks::IndexWorkspaces(const store::View& view) {
  if (namespaces_loaded_ && namespaces_.size() < kMaxIndexed) return;
  namespaces_.Clear();
  namespaces_loaded_ = true;
  // Committed and pending state together: whichever wins, nothing is missing.
  const store::ViewPtr committed = store_.Read();
  for (const store::View* each : {committed.get(), &view}) {
    each->ForEach("", "Workspace", [&](const store::ResourcePtr& resource) {
      if (const auto workspace =
              std::static_pointer_cast<const v2::Workspace>(Parse(resource, each->resource_count()))) {
        namespaces_.Add(resource::OrganizationFqn(resource->fqn), resource->fqn,
                        workspace->spec().namespace_selector());
      }
      return true;
    });
  }
}

std::string CrossChecks::UserOfCluster(const store::View& view, const store::StoredResource& cluster,
                                       std::string_view except) {
  const std::string name(resource::LastName(cluster.fqn));
  std::string user;
  ForEachGateway(view, resource::OrganizationFqn(cluster.fqn), [&](const store::ResourcePtr& gateway) {
    if (resource::IsAtOrBelow(gateway->fqn, except)) return true;
    const MessagePtr message = Parse(gateway, view.resource_count());
    if (message == nullptr) return true;
    const auto references = resource::ReferencesOf(*message);
    if (std::none_of(references.begin(), references.end(), [&](const auto& reference) {
          return reference.kind == resource::ReferenceKind::kCluster && reference.name == name;
        })) {
      return true;
    }
    user = gateway->fqn;
    return false;
  });
  return user;
}

}  // namespace weir::services
