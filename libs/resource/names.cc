#include <algorithm>
#include <array>

#include "api/weir/v2/metadata.pb.h"
#include "libs/resource/kinds.h"
#include "libs/resource/validate.h"

namespace weir::resource {
namespace {

constexpr std::string_view kBindings = "/accessbindings";

// Collection and name take turns, so only AccessBindings have an odd number of parts.
bool IsBindings(std::string_view fqn) {
  return fqn.ends_with(kBindings) && std::count(fqn.begin(), fqn.end(), '/') % 2 == 0;
}

// Where the names of what a resource stands below are in its metadata, outermost first.
struct Level {
  std::string_view field;
  const std::string& (v2::Metadata::*get)() const;
  void (*set)(v2::Metadata&, const std::string&);
};
const std::array<Level, 4> kLevels = {{
    {"metadata.organization", &v2::Metadata::organization,
     [](v2::Metadata& m, const std::string& t) { m.set_organization(t); }},
    {"metadata.tenant", &v2::Metadata::tenant, [](v2::Metadata& m, const std::string& t) { m.set_tenant(t); }},
    {"metadata.workspace", &v2::Metadata::workspace, [](v2::Metadata& m, const std::string& t) { m.set_workspace(t); }},
    {"metadata.group", &v2::Metadata::group, [](v2::Metadata& m, const std::string& t) { m.set_group(t); }},
}};
// What a document without a kind of its own (bindings) means by these names.
constexpr std::array<Kind, 4> kUsualLevels = {Kind::kOrganization, Kind::kTenant, Kind::kWorkspace,
                                              Kind::kGatewayGroup};

Error BadFqn(std::string_view text) {
  return InvalidArgument("BAD_FQN", "\"{}\" is not the full name of a resource, like organizations/o/tenants/t",
                         text.substr(0, 512));
}

bool HasBindings(Kind kind) { return kind != Kind::kAccessBindings; }

std::optional<std::string> BindingsFqnOf(const v2::Metadata& metadata, std::vector<FieldViolation>& violations) {
  std::string resource = metadata.fqn();
  if (IsBindings(resource)) resource.resize(resource.size() - kBindings.size());
  if (resource.empty()) {
    for (size_t i = 0; i < kLevels.size(); ++i) {
      const std::string& name = (metadata.*kLevels[i].get)();
      if (name.empty()) break;
      resource = ChildFqn(resource, kUsualLevels[i], name);
    }
  }
  if (resource.empty()) {
    violations.push_back(
        {"metadata.fqn", "required: the full name of the resource, like organizations/o/tenants/t", 0, 0});
    return std::nullopt;
  }
  auto fqn = ParseFqn(resource);
  if (!fqn.ok() || !HasBindings(fqn->kind)) {
    violations.push_back(
        {"metadata.fqn", fmt::format("\"{}\" is not the full name of a resource that has bindings", resource), 0, 0});
    return std::nullopt;
  }
  return AccessBindingsFqn(resource);
}

}  // namespace

std::string_view Fqn::organization() const {
  const std::string_view rest = std::string_view(text).substr(std::min(text.size(), size_t{14}));
  return rest.substr(0, rest.find('/'));
}

Result<Fqn> ParseFqn(std::string_view text) {
  if (text.size() > 1024) return BadFqn(text);
  if (IsBindings(text)) {
    auto resource = ParseFqn(text.substr(0, text.size() - kBindings.size()));
    if (!resource.ok() || !HasBindings(resource->kind)) return BadFqn(text);
    return Fqn{Kind::kAccessBindings, std::string(text), std::move(resource->text), ""};
  }
  Fqn fqn;
  fqn.text = text;
  std::optional<Kind> kind;
  for (std::string_view rest = text;;) {
    const size_t slash = rest.find('/');
    if (slash == std::string_view::npos) return BadFqn(text);
    const KindInfo* info = FindCollection(kind, rest.substr(0, slash));
    if (info == nullptr || info->kind == Kind::kAccessBindings) return BadFqn(text);
    rest.remove_prefix(slash + 1);
    const std::string_view name = rest.substr(0, rest.find('/'));
    if (!IsDnsLabel(name)) return BadFqn(text);
    kind = info->kind;
    if (name.size() == rest.size()) {
      fqn.kind = info->kind;
      fqn.name = name;
      fqn.parent = ParentFqn(text);
      return fqn;
    }
    rest.remove_prefix(name.size() + 1);
  }
}

std::string ChildFqn(std::string_view parent, Kind kind, std::string_view name) {
  if (kind == Kind::kAccessBindings) return AccessBindingsFqn(parent);
  std::string fqn(parent);
  if (!fqn.empty()) fqn += '/';
  return fqn.append(Info(kind).collection).append("/").append(name);
}
bool IsSubject(std::string_view text) {
  const auto fqn = ParseFqn(text);
  return fqn.ok() && (fqn->kind == Kind::kUser || fqn->kind == Kind::kTeam || fqn->kind == Kind::kServiceAccount);
}
bool IsAccessBindings(std::string_view fqn) { return IsBindings(fqn); }

bool FqnPattern::Matches(std::string_view fqn) const {
  for (size_t i = 0; i < segments.size(); ++i) {
    const size_t slash = fqn.find('/');
    const bool last = i + 1 == segments.size();
    if (last != (slash == std::string_view::npos)) return false;
    if (segments[i] != "-" && segments[i] != fqn.substr(0, slash)) return false;
    if (!last) fqn.remove_prefix(slash + 1);
  }
  return true;
}

Result<FqnPattern> ParseFqnPattern(Kind kind, std::string_view text) {
  FqnPattern pattern;
  std::string concrete;  // The same with a name for each "-".
  bool any = false;
  for (std::string_view rest = text;;) {
    const std::string segment(rest.substr(0, rest.find('/')));
    const bool is_name = pattern.segments.size() % 2 == 1;
    if (segment == "-" && is_name) {
      if (!any) pattern.prefix = ParentFqn(concrete + "/x");
      any = true;
    }
    concrete += (concrete.empty() ? "" : "/") + (segment == "-" && is_name ? "x" : segment);
    pattern.segments.push_back(segment);
    if (segment.size() == rest.size() || concrete.size() > 1024) break;
    rest.remove_prefix(segment.size() + 1);
  }
  const auto fqn = ParseFqn(concrete);
  if (!fqn.ok() || fqn->kind != kind) {
    return InvalidArgument("BAD_FQN", "\"{}\" is not the full name of a {}", text.substr(0, 512), Info(kind).name);
  }
  if (!any) pattern.prefix = std::string(text);
  return pattern;
}

std::string AccessBindingsFqn(std::string_view resource) { return std::string(resource).append(kBindings); }

std::string ParentFqn(std::string_view fqn) {
  if (IsBindings(fqn)) return std::string(fqn.substr(0, fqn.size() - kBindings.size()));
  const size_t name = fqn.rfind('/');
  if (name == std::string_view::npos || name == 0) return "";
  const size_t collection = fqn.rfind('/', name - 1);
  return collection == std::string_view::npos ? "" : std::string(fqn.substr(0, collection));
}
std::string_view FirstNames(std::string_view fqn, size_t count) {
  size_t end = 0;
  for (size_t parts = 2 * count; parts > 0 && end != std::string_view::npos; --parts) end = fqn.find('/', end + 1);
  return fqn.substr(0, end);
}
std::string_view OrganizationFqn(std::string_view fqn) { return FirstNames(fqn, 1); }
std::string ClusterFqn(std::string_view organization, std::string_view name) {
  return ChildFqn(organization, Kind::kCluster, name);
}
std::string_view LastName(std::string_view fqn) {
  if (IsBindings(fqn)) return "";
  return fqn.substr(fqn.rfind('/') + 1);
}
bool IsAtOrBelow(std::string_view fqn, std::string_view ancestor) {
  return fqn.starts_with(ancestor) && (fqn.size() == ancestor.size() || fqn[ancestor.size()] == '/');
}

std::optional<std::string> FqnOf(Kind kind, const v2::Metadata& metadata, std::vector<FieldViolation>& violations) {
  if (kind == Kind::kAccessBindings) return BindingsFqnOf(metadata, violations);
  const size_t before = violations.size();
  const auto wrong = [&](std::string_view field, std::string text) {
    violations.push_back({std::string(field), std::move(text), 0, 0});
  };
  const std::vector<Kind>& above = Info(kind).above;
  std::string fqn;
  for (size_t i = 0; i < kLevels.size(); ++i) {
    const std::string& name = (metadata.*kLevels[i].get)();
    if (i >= above.size()) {
      if (!name.empty())
        wrong(kLevels[i].field, fmt::format("{} does not stand below one; leave it out", Info(kind).name));
    } else if (name.empty()) {
      wrong(kLevels[i].field, fmt::format("required: {} stands below one", Info(kind).name));
    } else if (!IsDnsLabel(name)) {
      wrong(kLevels[i].field, "must be a DNS label: a-z, 0-9 and -, at most 63 characters");
    } else {
      fqn = ChildFqn(fqn, above[i], name);
    }
  }
  if (metadata.name().empty()) {
    wrong("metadata.name", "required");
  } else if (!IsDnsLabel(metadata.name())) {
    wrong("metadata.name", "must be a DNS label: a-z, 0-9 and -, at most 63 characters");
  }
  if (violations.size() != before) return std::nullopt;
  fqn = ChildFqn(fqn, kind, metadata.name());
  if (!metadata.fqn().empty() && metadata.fqn() != fqn) {
    wrong("metadata.fqn", fmt::format("does not fit the names, which say {}; leave it out", fqn));
    return std::nullopt;
  }
  return fqn;
}

void SetNames(const Fqn& fqn, v2::Metadata& metadata) {
  metadata.clear_name();
  metadata.clear_organization();
  metadata.clear_tenant();
  metadata.clear_workspace();
  metadata.clear_group();
  metadata.set_fqn(fqn.text);
  if (fqn.kind == Kind::kAccessBindings) {
    metadata.set_fqn(fqn.parent);
    return;
  }
  metadata.set_name(fqn.name);
  std::string_view rest = fqn.parent;
  for (size_t level = 0; !rest.empty(); ++level) {
    rest.remove_prefix(rest.find('/') + 1);
    const std::string name(rest.substr(0, rest.find('/')));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    kLevels[std::min(level, kLevels.size() - 1)].set(metadata, name);
  }
}

}  // namespace weir::resource
