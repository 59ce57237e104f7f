#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.h"
#include "libs/resource/kinds/list.h"
#include "libs/resource/kinds/rules.h"

namespace weir::v2 {
class Metadata;
}

// What kinds of resources there are and how they are called. Pure.
namespace weir::resource {

#define WEIR_KIND(name) k##name,
enum class Kind : uint8_t { WEIR_KINDS(WEIR_KIND) };
#undef WEIR_KIND

struct KindInfo {
  Kind kind;
  std::string name;         // "Tier1Gateway": documents, messages, tables.
  std::string api_group;    // "gateway.weir.dev"
  std::string tsb_group;    // "gateway.tsb.tetrate.io"; "" = no such kind there.
  std::string tsb_kind;     // "Group" for GatewayGroup; else as `name`.
  std::string collection;   // "tier1gateways"; AccessBindings: "accessbindings", which has no name behind it.
  std::vector<Kind> above;  // The kinds that it stands below, outermost first; none: Organization, AccessBindings.
  std::vector<std::string> short_names;
  bool one_per_parent = false;
  KindRules rules;

  std::string ApiVersion() const;  // "gateway.weir.dev/v2"
  std::optional<Kind> parent() const { return above.empty() ? std::nullopt : std::optional(above.back()); }
  const google::protobuf::Descriptor& descriptor() const { return *rules.descriptor; }
};

std::span<const KindInfo> Kinds();  // Parents before children.
const KindInfo& Info(Kind kind);
const KindInfo* FindKind(std::string_view name);  // "Tier1Gateway"; nullptr = none.
// The kind of a collection ("tier1gateways") below this kind.
const KindInfo* FindCollection(std::optional<Kind> parent, std::string_view collection);
const KindInfo* KindOf(const google::protobuf::Message& message);
// As a person types it: name, collection or short name in any case, singular or plural ("tier1gateway",
// "gatewaygroups").
const KindInfo* FindLoosely(std::string_view text);

// The kind that a document's first two lines name. INVALID_ARGUMENT UNKNOWN_API_VERSION or UNKNOWN_KIND, with a
// violation for field apiVersion or kind that says what is known.
Result<const KindInfo*> ResolveDocument(std::string_view api_version, std::string_view kind);

std::unique_ptr<google::protobuf::Message> NewMessage(Kind kind);

// For document::ReadOptions::unknown_field: the text for a field that a document of the other dialect may carry and
// this version does not serve ("is not served yet ..."); "" = a field unknown to both.
std::string NotServedText(const google::protobuf::Descriptor& message, std::string_view field);

// --- Names -------------------------------------------------------------------------------------------------------

// A fully qualified name, the REST path below /v2: "organizations/o/tenants/t". AccessBindings:
// "<resource>/accessbindings".
struct Fqn {
  Kind kind = Kind::kOrganization;
  std::string text;
  std::string parent;  // FQN of the parent; "" of an organization; the resource itself of AccessBindings.
  std::string name;    // Last name; "" of AccessBindings.

  // "o" of "organizations/o/tenants/t".
  std::string_view organization() const;
};

// INVALID_ARGUMENT BAD_FQN for anything but a known path with DNS-label names.
Result<Fqn> ParseFqn(std::string_view text);
// Does not check the name. The kind of `parent` must be the one that `kind` stands below.
std::string ChildFqn(std::string_view parent, Kind kind, std::string_view name);
std::string AccessBindingsFqn(std::string_view resource);
// Whether it names what a role can be given to: a user, a team or a service account.
bool IsSubject(std::string_view fqn);
// By the place of the word, not by the word: a resource may be called "accessbindings" too.
bool IsAccessBindings(std::string_view fqn);
// "-" stands for any name: organizations/o/tenants/-/workspaces/w. `text` names `kind` and has at least one "-" or
// none.
struct FqnPattern {
  std::string prefix;                 // FQN of the deepest resource above the first "-"; "" = none.
  std::vector<std::string> segments;  // Of the whole.
  bool Matches(std::string_view fqn) const;
};
// INVALID_ARGUMENT BAD_FQN.
Result<FqnPattern> ParseFqnPattern(Kind kind, std::string_view text);
std::string ParentFqn(std::string_view fqn);  // "" of an organization.
// Cut behind so many names: "organizations/o" of 1. All of it where it has no more.
std::string_view FirstNames(std::string_view fqn, size_t count);
std::string_view OrganizationFqn(std::string_view fqn);  // The same or what it lies in.
std::string ClusterFqn(std::string_view organization, std::string_view name);
std::string_view LastName(std::string_view fqn);
// True for the same and for anything below.
bool IsAtOrBelow(std::string_view fqn, std::string_view ancestor);

// Metadata -> FQN. Appends a violation for each missing, superfluous or malformed name ("metadata.tenant"); nullopt
// then. AccessBindings take metadata.fqn of the resource, or its names.
std::optional<std::string> FqnOf(Kind kind, const v2::Metadata& metadata, std::vector<FieldViolation>& violations);
// FQN -> the name fields and fqn of the metadata (others stay). `fqn` must be valid.
void SetNames(const Fqn& fqn, v2::Metadata& metadata);

// The metadata field that every kind has.
const v2::Metadata& MetadataOf(const google::protobuf::Message& resource);
v2::Metadata& MutableMetadataOf(google::protobuf::Message& resource);

}  // namespace weir::resource
