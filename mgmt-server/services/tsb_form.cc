#include "mgmt-server/services/tsb_form.h"

#include <algorithm>
#include <optional>

#include "libs/resource/kinds.h"

namespace weir::services {
namespace {

using document::Member;
using document::Node;

constexpr std::string_view kTsb = ".tsb.tetrate.io/v2";

const std::vector<resource::Moved>& OfAllKinds() {
  static const std::vector<resource::Moved> moved = {
      {"spec.displayName", "metadata.displayName"},
      {"spec.description", "metadata.description"},
      {"spec.etag", "metadata.resourceVersion"},
      {"spec.fqn", "metadata.fqn"},
      {"spec.configGenerationMetadata.labels", "metadata.labels"},
      {"spec.configGenerationMetadata.annotations", "metadata.annotations"},
      {"spec.deletionProtectionEnabled", "metadata.deletionProtection"},
  };
  return moved;
}

Member* Find(Node& map, std::string_view key) {
  if (map.type != Node::Type::kMap) return nullptr;
  const auto found = std::find_if(map.members.begin(), map.members.end(), [&](const auto& m) { return m.key == key; });
  return found == map.members.end() ? nullptr : &*found;
}

// Takes the member at a path out of the tree, and maps that are empty then.
std::optional<Member> Take(Node& map, std::string_view path) {
  const size_t dot = path.find('.');
  Member* member = Find(map, path.substr(0, dot));
  if (member == nullptr) return std::nullopt;
  if (dot == std::string_view::npos) {
    Member taken = std::move(*member);
    map.members.erase(map.members.begin() + (member - map.members.data()));
    return taken;
  }
  std::optional<Member> taken = Take(member->value, path.substr(dot + 1));
  if (taken && member->value.members.empty()) {
    map.members.erase(map.members.begin() + (member - map.members.data()));
  }
  return taken;
}

bool Same(const Node& a, const Node& b) { return a.IsScalar() && b.IsScalar() && a.text == b.text; }

// Puts it at a path; what is there already stays, and a contradiction is said.
void Put(Node& map, std::string_view path, Member member, const std::string& from,
         std::vector<FieldViolation>& violations) {
  const size_t dot = path.find('.');
  const std::string key(path.substr(0, dot));
  Member* there = Find(map, key);
  if (there == nullptr && dot == std::string_view::npos) {
    member.key = key;
    map.members.push_back(std::move(member));
    return;
  }
  if (there == nullptr) {
    Member made;
    made.key = key;
    made.line = made.value.line = member.line;
    made.column = made.value.column = member.column;
    made.value.type = Node::Type::kMap;
    map.members.push_back(std::move(made));
    there = &map.members.back();
  }
  if (dot != std::string_view::npos) {
    if (there->value.IsNull()) there->value.type = Node::Type::kMap;
    return Put(there->value, path.substr(dot + 1), std::move(member), from, violations);
  }
  if (there->value.type == Node::Type::kMap && member.value.type == Node::Type::kMap) {
    for (Member& inner : member.value.members) {
      const std::string inner_key = inner.key;
      const std::string inner_from = from + "." + inner.key;
      Put(there->value, inner_key, std::move(inner), inner_from, violations);
    }
    return;
  }
  if (Same(there->value, member.value)) return;
  violations.push_back(
      {from, fmt::format("says something else than {} does; leave one of them out", key), member.line, member.column});
}

bool IsTsb(const Node& document) {
  const Node* version = document.Find("apiVersion");
  return version != nullptr && version->text.ends_with(kTsb);
}

void MoveAll(Node& document, const std::vector<resource::Moved>& moved, std::vector<FieldViolation>& violations) {
  for (const resource::Moved& each : moved) {
    std::optional<Member> member = Take(document, each.from);
    if (member) Put(document, each.to, std::move(*member), each.from, violations);
  }
}

// Documents for a Kubernetes API server name their place by annotations.
void TakePlace(Node& document, std::vector<FieldViolation>& violations) {
  constexpr std::string_view kPrefix = "tsb.tetrate.io/";
  Member* metadata = Find(document, "metadata");
  Member* annotations = metadata == nullptr ? nullptr : Find(metadata->value, "annotations");
  if (annotations == nullptr || annotations->value.type != Node::Type::kMap) return;
  std::vector<Member> places;
  std::erase_if(annotations->value.members, [&](Member& member) {
    if (!member.key.starts_with(kPrefix)) return false;
    places.push_back(std::move(member));
    return true;
  });
  for (Member& place : places) {
    const std::string level = place.key.substr(kPrefix.size());
    const std::string from = "metadata.annotations." + place.key;
    if (level == "organization" || level == "tenant" || level == "workspace") {
      Put(document, "metadata." + level, std::move(place), from, violations);
    } else if (level.ends_with("Group")) {
      Put(document, "metadata.group", std::move(place), from, violations);
    } else {
      violations.push_back({from, "not served yet, and nothing was stored: remove it", place.line, place.column});
    }
  }
}

void Forget(Node& document, const std::vector<resource::Always>& always) {
  for (const resource::Always& each : always) {
    std::optional<Member> member = Take(document, each.path);
    if (!member) continue;
    const bool so = std::find(each.values.begin(), each.values.end(), member->value.text) != each.values.end();
    // Put back, it is refused where the document is read.
    std::vector<FieldViolation> none;
    if (!so) Put(document, each.path, std::move(*member), each.path, none);
  }
}

// "tsb.tetrate.io/v2" is how custom resources say api.tsb.tetrate.io/v2; TenantAccessBindings and its like are bindings
// that name their resource by its names.
void NameKind(Node& document) {
  Member* version = Find(document, "apiVersion");
  Member* kind = Find(document, "kind");
  if (version == nullptr || kind == nullptr) return;
  if (version->value.text == kTsb.substr(1)) version->value.text = "api" + std::string(kTsb);
  if (version->value.text == "rbac" + std::string(kTsb) && kind->value.text.ends_with("AccessBindings")) {
    kind->value.text = "AccessBindings";
  }
}

// What stands at the top there and in an organization here is in the caller's, where it names none.
void TakeOrganization(Node& document, std::string_view organization, std::vector<FieldViolation>& violations) {
  const Member* metadata = Find(document, "metadata");
  if (metadata == nullptr || metadata->value.Find("organization") != nullptr || organization.empty()) return;
  Member member;
  member.value = Node::String(std::string(organization));
  member.line = member.value.line = metadata->line;
  member.column = member.value.column = metadata->column;
  Put(document, "metadata.organization", std::move(member), "metadata.organization", violations);
}

void BringIntoForm(Node& document, std::string_view organization, std::vector<FieldViolation>& violations) {
  if (Member* lower = Find(document, "apiversion"); lower != nullptr && document.Find("apiVersion") == nullptr) {
    if (lower->value.text.ends_with(kTsb.substr(1))) lower->key = "apiVersion";
  }
  NameKind(document);
  const Node* kind = document.Find("kind");
  if (!IsTsb(document) || kind == nullptr) return;
  const auto known = resource::ResolveDocument(document.Find("apiVersion")->text, kind->text);
  if (!known.ok()) return;  // Who reads it says so.
  TakePlace(document, violations);
  Forget(document, (*known)->rules.always);
  MoveAll(document, (*known)->rules.moved, violations);
  MoveAll(document, OfAllKinds(), violations);
  if ((*known)->rules.at_top_in_tsb) TakeOrganization(document, organization, violations);
}

}  // namespace

std::vector<Node> InOurForm(std::vector<Node> documents, std::string_view organization,
                            std::vector<FieldViolation>& violations) {
  std::vector<Node> read;
  for (Node& document : documents) {
    const Node* kind = document.Find("kind");
    Member* items = Find(document, "items");
    if (kind != nullptr && kind->text == "List" && items != nullptr && items->value.type == Node::Type::kSequence) {
      for (Node& item : items->value.items) read.push_back(std::move(item));
    } else {
      read.push_back(std::move(document));
    }
  }
  for (Node& document : read) BringIntoForm(document, organization, violations);
  return read;
}

}  // namespace weir::services
