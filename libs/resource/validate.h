#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.h"

namespace google::protobuf {
class Message;
}

// Rules for one resource by itself: defaults, validation, what may change. Pure; the order in a write is
// UnsetKept, ClearOutputOnly, Default, Validate, Keep, CheckUpdate, then the cross-object checks (conflicts.h). What
// each kind says to them stands in kinds/<noun>.cc.
namespace weir::resource {

// Removes what only the server sets: metadata.fqn, uid, revision, times, and what the kind names. Keeps names and
// resource_version.
void ClearOutputOnly(google::protobuf::Message& resource);

// Fills in what may be left out. Idempotent.
void Default(google::protobuf::Message& resource);

// The fields that the kind keeps as they are stored when a write does not name them, and that this one does not name.
// Ask before Default.
std::vector<std::string> UnsetKept(const google::protobuf::Message& resource);
// For an update: takes from what is stored these fields, and what only the server sets.
void Keep(const google::protobuf::Message& stored, const std::vector<std::string>& unset,
          google::protobuf::Message& wanted);

// Appends every violation of this resource by itself, by JSON path. Needs metadata.name, not the ancestors.
void Validate(const google::protobuf::Message& resource, std::vector<FieldViolation>& violations);

// What is stored all the same but does not do what it seems to, by JSON path: a rule that can never fire.
std::vector<FieldViolation> Warnings(const google::protobuf::Message& resource);

// Appends a violation for each immutable field that differs (names are the FQN itself).
void CheckUpdate(const google::protobuf::Message& stored, const google::protobuf::Message& wanted,
                 std::vector<FieldViolation>& violations);

// INVALID_ARGUMENT INVALID_RESOURCE (or NOT_SERVED_YET when that is all that is wrong) with these violations; ok when
// there are none.
Status ToStatus(std::string_view what, std::vector<FieldViolation> violations);

// Whether a write would change anything: output-only fields and resource_version do not count.
bool Equal(const google::protobuf::Message& a, const google::protobuf::Message& b);

// JSON paths of the fields that are set by a person and differ, sorted; a list counts as one field
// ("spec.externalServers"), a map by its keys ("metadata.labels.app").
std::vector<std::string> Diff(const google::protobuf::Message& before, const google::protobuf::Message& after);

// The same kind of paths for all that is set: what the manager of an applied document owns.
std::set<std::string> OwnedFields(const google::protobuf::Message& resource);

bool IsDnsLabel(std::string_view text);     // RFC 1123: [a-z0-9]([-a-z0-9]*[a-z0-9])?, at most 63.
bool IsDnsName(std::string_view text);      // Labels joined by dots, at most 253, no trailing dot.
bool IsHostPattern(std::string_view text);  // A DNS name or "*." before one.

}  // namespace weir::resource
