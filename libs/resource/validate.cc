#include "libs/resource/validate.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <set>

#include "libs/resource/checks.h"
#include "libs/resource/field_paths.h"
#include "libs/resource/kinds.h"
#include "libs/resource/texts.h"

namespace weir::resource {

void Validate(const google::protobuf::Message& resource, std::vector<FieldViolation>& violations) {
  const size_t before = violations.size();
  const KindInfo& kind = *KindOf(resource);
  Checker checker(violations);
  checker.Metadata(MetadataOf(resource), kind.kind != Kind::kAccessBindings);
  if (kind.rules.check) kind.rules.check(resource, checker);
  // Texts come last: of a field that is wrong already, one word is enough.
  std::set<std::string> named;
  for (size_t i = before; i < violations.size(); ++i) named.insert(violations[i].field);
  std::vector<FieldViolation> texts;
  CheckTexts(resource, texts);
  for (FieldViolation& text : texts) {
    if (!named.contains(text.field)) violations.push_back(std::move(text));
  }
}

std::vector<FieldViolation> Warnings(const google::protobuf::Message& resource) {
  const KindInfo& kind = *KindOf(resource);
  return kind.rules.warnings ? kind.rules.warnings(resource) : std::vector<FieldViolation>{};
}

void CheckUpdate(const google::protobuf::Message& stored, const google::protobuf::Message& wanted,
                 std::vector<FieldViolation>& violations) {
  for (const Immutable& field : KindOf(stored)->rules.immutable) {
    const std::string before = TextAt(stored, field.path);
    if (before == TextAt(wanted, field.path)) continue;
    violations.push_back({field.path, fmt::format("cannot be changed: {} (it is {})", field.why, before), 0, 0});
  }
}

Status ToStatus(std::string_view what, std::vector<FieldViolation> violations) {
  if (violations.empty()) return {};
  const bool not_served = std::all_of(violations.begin(), violations.end(), [](const FieldViolation& violation) {
    return violation.description.starts_with(kNotServed);
  });
  Error error = InvalidArgument(not_served ? "NOT_SERVED_YET" : "INVALID_RESOURCE", "{}: {} field{} wrong", what,
                                violations.size(), violations.size() == 1 ? " is" : "s are");
  if (not_served) error.message = fmt::format("{}: uses what is not served yet", what);
  error.violations = std::move(violations);
  return error;
}

bool IsDnsLabel(std::string_view text) {
  const auto inner = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  return !text.empty() && text.size() <= 63 && text.front() != '-' && text.back() != '-' &&
         std::all_of(text.begin(), text.end(), inner);
}
bool IsDnsName(std::string_view text) {
  if (text.empty() || text.size() > 253) return false;
  while (true) {
    const size_t dot = text.find('.');
    if (!IsDnsLabel(text.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}
bool IsHostPattern(std::string_view text) {
  if (text.size() > 253) return false;
  if (text.starts_with("*.")) text.remove_prefix(2);
  return IsDnsName(text);
}

}  // namespace weir::resource
