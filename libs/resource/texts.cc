#include "libs/resource/texts.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include "libs/base/text.h"

namespace weir::resource {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

bool MayHaveLines(const FieldDescriptor& field) {
  return field.name() == "description" || field.name() == "body" || field.name() == "annotations";
}

void Check(const Message& message, const std::string& path, bool lines, std::vector<FieldViolation>& violations);

// One value; `index` < 0 = not repeated.
void CheckValue(const Message& message, const FieldDescriptor& field, int index, const std::string& path, bool lines,
                std::vector<FieldViolation>& violations) {
  const auto& from = *message.GetReflection();
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
    const Message& inner =
        index < 0 ? from.GetMessage(message, &field) : from.GetRepeatedMessage(message, &field, index);
    return Check(inner, path, lines, violations);
  }
  if (field.type() != FieldDescriptor::TYPE_STRING) return;
  std::string scratch;
  const std::string& text = index < 0 ? from.GetStringReference(message, &field, &scratch)
                                      : from.GetRepeatedStringReference(message, &field, index, &scratch);
  if (!HasControl(text, lines)) return;
  violations.push_back({Printable(path),
                        lines ? "must not have control characters but line ends and tabs"
                              : "must not have control characters or line ends",
                        0, 0});
}

// Of a map whose keys are texts: both its key and its value, under the key.
void CheckEntry(const Message& entry, const std::string& path, bool lines, std::vector<FieldViolation>& violations) {
  const FieldDescriptor& key = *entry.GetDescriptor()->map_key();
  const std::string name =
      key.type() == FieldDescriptor::TYPE_STRING ? entry.GetReflection()->GetString(entry, &key) : "";
  const std::string at = path + "." + Printable(name);
  if (!name.empty()) CheckValue(entry, key, -1, at, false, violations);
  CheckValue(entry, *entry.GetDescriptor()->map_value(), -1, at, lines, violations);
}

void Check(const Message& message, const std::string& path, bool lines, std::vector<FieldViolation>& violations) {
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const std::string at = path.empty() ? field->json_name() : path + "." + field->json_name();
    const bool may = lines || MayHaveLines(*field);
    if (!field->is_repeated()) {
      CheckValue(message, *field, -1, at, may, violations);
      continue;
    }
    for (int i = 0; i < message.GetReflection()->FieldSize(message, field); ++i) {
      if (field->is_map()) {
        CheckEntry(message.GetReflection()->GetRepeatedMessage(message, field, i), at, may, violations);
      } else {
        CheckValue(message, *field, i, fmt::format("{}[{}]", at, i), may, violations);
      }
    }
  }
}

}  // namespace

void CheckTexts(const Message& resource, std::vector<FieldViolation>& violations) {
  Check(resource, "", false, violations);
}

}  // namespace weir::resource
