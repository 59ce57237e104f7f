#include "mgmt-server/services/watch_scope.h"

#include <algorithm>

#include "libs/resource/validate.h"

namespace weir::services {
namespace {

Error Invalid(std::string field, std::string description) {
  Error error = InvalidArgument("INVALID_REQUEST", "{}: {}", field, description);
  error.violations.push_back({.field = std::move(field), .description = std::move(description)});
  return error;
}

}  // namespace

Status WatchScope::ReadParent(const std::string& parent) {
  if (parent.empty()) return {};
  if (parent.size() > 1024) return Invalid("parent", "is longer than any name");
  // A collection is all that is in it.
  const bool collection = std::count(parent.begin(), parent.end(), '/') % 2 == 0;
  const std::string pattern = collection ? parent + "/-" : parent;
  for (const resource::KindInfo& kind : resource::Kinds()) {
    if (kind.kind == resource::Kind::kAccessBindings) continue;
    auto read = resource::ParseFqnPattern(kind.kind, pattern);
    if (!read.ok()) continue;
    prefix_ = std::move(read->prefix);
    segments_ = std::move(read->segments);
    if (prefix_ == pattern) root_ = pattern;
    return {};
  }
  return InvalidArgument("BAD_FQN", "\"{}\" is the full name of no resource and no collection", parent);
}

Status WatchScope::ReadKinds(std::string_view names) {
  if (names.size() > 2048) return Invalid("kinds", "is longer than the names of all kinds");
  while (!names.empty()) {
    const std::string_view name = names.substr(0, names.find(','));
    names.remove_prefix(std::min(names.size(), name.size() + 1));
    if (name.empty()) continue;
    const resource::KindInfo* kind = resource::FindLoosely(name);
    if (kind == nullptr) return Invalid("kinds", fmt::format("\"{}\" is not a kind", name));
    if (std::find(kinds_.begin(), kinds_.end(), kind) == kinds_.end()) kinds_.push_back(kind);
  }
  if (!kinds_.empty()) return {};
  for (const resource::KindInfo& kind : resource::Kinds()) {
    if (kind.kind != resource::Kind::kAccessBindings) kinds_.push_back(&kind);
  }
  return {};
}

Result<WatchScope> WatchScope::Read(const v2::WatchRequest& request) {
  WatchScope scope;
  WEIR_TRY(scope.ReadParent(request.parent()));
  WEIR_TRY(scope.ReadKinds(request.kinds()));
  if (!request.filter().empty()) {
    if (request.kinds().empty()) return Invalid("filter", "say the kinds that it is about, in kinds");
    for (const resource::KindInfo* kind : scope.kinds_) {
      WEIR_ASSIGN(resource::Filter filter, resource::Filter::Parse(kind->descriptor(), request.filter()));
      scope.filters_.emplace(kind->name, std::move(filter));
    }
  }
  if (request.seconds() < 0 || request.seconds() > 86400) return Invalid("seconds", "must be 1 to 86400, or left out");
  if (request.initial() && !request.after().empty()) return Invalid("initial", "either everything, or what came after");
  for (const resource::KindInfo* kind : scope.kinds_) scope.text_ += std::string(kind->name) + " ";
  scope.text_ += fmt::format("{}:{} {}", request.parent().size(), request.parent(), request.filter());
  return scope;
}

bool WatchScope::Holds(std::string_view kind, std::string_view fqn) const {
  const auto named = [&](const resource::KindInfo* info) { return info->name == kind; };
  if (std::none_of(kinds_.begin(), kinds_.end(), named)) return false;
  for (size_t i = 0; i < segments_.size(); ++i) {
    const size_t slash = fqn.find('/');
    if (segments_[i] != "-" && segments_[i] != fqn.substr(0, slash)) return false;
    if (slash == std::string_view::npos) return i + 1 == segments_.size();
    fqn.remove_prefix(slash + 1);
  }
  return true;
}

bool WatchScope::Matches(std::string_view kind, const google::protobuf::Message& message) const {
  const auto filter = filters_.find(kind);
  return filter == filters_.end() || filter->second.Matches(message);
}

}  // namespace weir::services
