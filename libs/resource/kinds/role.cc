#include <algorithm>
#include <set>

#include "api/weir/v2/role.pb.h"
#include "libs/base/text.h"
#include "libs/resource/checks.h"
#include "libs/resource/kinds.h"
#include "libs/resource/kinds/rules.h"
#include "libs/resource/rights.h"

namespace weir::resource {
namespace {

constexpr int kMaxRules = 64;

bool CanBeNamed(const KindInfo& kind) { return kind.kind != Kind::kAccessBindings; }

// The kinds that a type of TSB stands for; empty = it names one that is not served.
std::vector<std::string> KindsOf(const v2::RoleType& type) {
  std::vector<std::string> found;
  std::set<std::string_view> wanted(type.kinds().begin(), type.kinds().end());
  for (const KindInfo& kind : Kinds()) {
    const bool native = type.api_group() == kind.ApiVersion();
    const bool tsb = !kind.tsb_group.empty() && type.api_group() == kind.tsb_group + "/v2";
    if (!CanBeNamed(kind) || (!native && !tsb)) continue;
    if (type.kinds().empty() || wanted.erase(native ? kind.name : kind.tsb_kind) > 0) found.push_back(kind.name);
  }
  return wanted.empty() ? found : std::vector<std::string>();
}

// What cannot be read stays as it is, and is refused.
void FillIn(v2::Role& role) {
  for (auto& rule : *role.mutable_spec()->mutable_rules()) {
    std::vector<std::string> kinds;
    const auto read = [&](const v2::RoleType& type) {
      const std::vector<std::string> some = KindsOf(type);
      kinds.insert(kinds.end(), some.begin(), some.end());
      return !some.empty();
    };
    if (std::all_of(rule.types().begin(), rule.types().end(), read)) {
      rule.clear_types();
      for (std::string& kind : kinds) {
        if (std::find(rule.kinds().begin(), rule.kinds().end(), kind) == rule.kinds().end()) rule.add_kinds(kind);
      }
    }
    const auto known = [](const std::string& name) { return FindRight(name).has_value(); };
    if (std::all_of(rule.permissions().begin(), rule.permissions().end(), known)) {
      for (const std::string& permission : rule.permissions()) rule.add_rights(permission);
      rule.clear_permissions();
    }
    std::vector<std::string> rights;
    for (const std::string& name : rule.rights()) {
      const auto right = FindRight(name);
      rights.push_back(right ? std::string(RightName(*right)) : name);
      if (std::count(rights.begin(), rights.end(), rights.back()) > 1) rights.pop_back();
    }
    rule.mutable_rights()->Assign(rights.begin(), rights.end());
  }
}

std::string KnownKinds() {
  std::vector<std::string> names;
  for (const KindInfo& kind : Kinds()) {
    if (CanBeNamed(kind)) names.push_back(kind.name);
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

void CheckRule(const v2::RoleRule& rule, const std::string& at, Checker& check) {
  static constexpr std::string_view kKnownRights = "must be read, write, create, delete, set-policy or cluster.join";
  bool cluster = rule.kinds().empty();
  for (int i = 0; i < rule.kinds_size(); ++i) {
    const KindInfo* kind = FindKind(rule.kinds(i));
    cluster |= kind != nullptr && kind->kind == Kind::kCluster;
    if (kind != nullptr && CanBeNamed(*kind)) continue;
    check.Add(fmt::format("{}.kinds[{}]", at, i),
              kind != nullptr ? "is no kind of its own here: give set-policy on the kind that the bindings stand on"
                              : fmt::format("is no kind; known: {}", KnownKinds()));
  }
  check.Require(rule.rights_size() + rule.permissions_size() > 0, at + ".rights", "required: at least one");
  for (int i = 0; i < rule.rights_size(); ++i) {
    const std::string field = fmt::format("{}.rights[{}]", at, i);
    const auto right = FindRight(rule.rights(i));
    check.Require(right.has_value(), field, kKnownRights);
    check.Require(right != Right::kJoin || cluster, field, "is a right on kind Cluster, which this rule does not name");
  }
  for (int i = 0; i < rule.permissions_size(); ++i) {
    check.Require(FindRight(rule.permissions(i)).has_value(), fmt::format("{}.permissions[{}]", at, i), kKnownRights);
  }
  for (int i = 0; i < rule.types_size(); ++i) {
    check.Require(!KindsOf(rule.types(i)).empty(), fmt::format("{}.types[{}]", at, i),
                  "must be an apiGroup like gateway.tsb.tetrate.io/v2 with kinds of it that are served; take out those "
                  "that are not, they give no right here");
  }
}

void Check(const v2::Role& role, Checker& check) {
  const std::string& name = role.metadata().name();
  check.Require(!IsBuiltInRole(CanonicalRole(name)), "metadata.name", "is the name of a role that is built in");
  const auto& rules = role.spec().rules();
  check.Require(!rules.empty(), "spec.rules", "required: at least one");
  check.Require(rules.size() <= kMaxRules, "spec.rules", "must be at most 64");
  for (int i = 0; i < std::min(rules.size(), kMaxRules); ++i) {
    CheckRule(rules[i], fmt::format("spec.rules[{}]", i), check);
  }
}

std::vector<std::string> Summary(const v2::Role& role) {
  std::vector<std::string> parts;
  for (const auto& rule : role.spec().rules()) {
    parts.push_back(fmt::format("{}: {}",
                                rule.kinds().empty() ? "every kind" : fmt::format("{}", fmt::join(rule.kinds(), ", ")),
                                fmt::join(rule.rights(), ", ")));
  }
  return parts;
}

}  // namespace

KindRules RoleRules() {
  return RulesOf<v2::Role>{
      .summary = Summary,
      .fill_in = FillIn,
      .check = Check,
      .not_served = {{"RoleType", {"scopedAt"}, "the place of the binding: a role counts there and below"}},
      .at_top_in_tsb = true,
  }
      .Rules();
}

}  // namespace weir::resource
