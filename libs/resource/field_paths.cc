#include "libs/resource/field_paths.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "libs/resource/filter_value.h"

namespace weir::resource {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

const FieldDescriptor* Find(const Message& message, std::string_view name) {
  const auto* descriptor = message.GetDescriptor();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    if (descriptor->field(i)->json_name() == name) return descriptor->field(i);
  }
  return nullptr;
}

// Of a map whose keys are strings; -1 = not there.
int FindEntry(const Message& message, const FieldDescriptor* map, std::string_view key) {
  const auto* reflection = message.GetReflection();
  const FieldDescriptor* key_field = map->message_type()->map_key();
  if (key_field->cpp_type() != FieldDescriptor::CPPTYPE_STRING) return -1;
  for (int i = 0; i < reflection->FieldSize(message, map); ++i) {
    const Message& entry = reflection->GetRepeatedMessage(message, map, i);
    if (entry.GetReflection()->GetString(entry, key_field) == key) return i;
  }
  return -1;
}

void CopyEntry(const Message& from, Message& to, const FieldDescriptor* map, std::string_view key) {
  const auto* reflection = to.GetReflection();
  const int old = FindEntry(to, map, key);
  if (old >= 0) {
    reflection->SwapElements(&to, map, old, reflection->FieldSize(to, map) - 1);
    reflection->RemoveLast(&to, map);
  }
  const int source = FindEntry(from, map, key);
  if (source >= 0)
    reflection->AddMessage(&to, map)->CopyFrom(from.GetReflection()->GetRepeatedMessage(from, map, source));
}

void CopyField(const Message& from, Message& to, const FieldDescriptor* field) {
  // Only this field of `from`, by way of a message that holds nothing else.
  std::unique_ptr<Message> only(from.New());
  only->CopyFrom(from);
  std::vector<const FieldDescriptor*> set;
  only->GetReflection()->ListFields(*only, &set);
  for (const FieldDescriptor* other : set) {
    if (other != field) only->GetReflection()->ClearField(only.get(), other);
  }
  to.GetReflection()->ClearField(&to, field);
  to.MergeFrom(*only);
}

}  // namespace

bool IsSet(const Message& message, std::string_view path) {
  const auto found = FindPath(*message.GetDescriptor(), path);
  return found && IsSetAt(message, *found);
}

void ClearPath(Message& message, std::string_view path) {
  const std::unique_ptr<Message> nothing(message.New());
  CopyPath(*nothing, message, path);
}

std::string TextAt(const Message& message, std::string_view path) {
  const auto found = FindPath(*message.GetDescriptor(), path);
  const auto values = found ? ValuesAt(message, *found) : std::vector<FilterValue>();
  if (values.size() != 1) return "";
  return std::visit([](const auto& value) { return fmt::format("{}", value); }, values.front());
}

bool HasPath(const google::protobuf::Descriptor& message, std::string_view path) {
  const size_t dot = path.find('.');
  for (int i = 0; i < message.field_count(); ++i) {
    const FieldDescriptor& field = *message.field(i);
    if (field.json_name() != path.substr(0, dot)) continue;
    if (dot == std::string_view::npos || field.is_map()) return true;
    return !field.is_repeated() && field.message_type() != nullptr &&
           HasPath(*field.message_type(), path.substr(dot + 1));
  }
  return false;
}

void KeepOnly(Message& message, const std::vector<std::string>& paths) {
  const std::unique_ptr<Message> kept(message.New());
  CopyPath(message, *kept, "metadata.fqn");
  for (const std::string& path : paths) CopyPath(message, *kept, path);
  message.GetReflection()->Swap(&message, kept.get());
}

std::vector<FieldViolation> WithoutConsequences(const std::vector<FieldViolation>& unread,
                                                std::vector<FieldViolation> found) {
  const auto within = [](std::string_view path, std::string_view outer) {
    return path.starts_with(outer) &&
           (path.size() == outer.size() || path[outer.size()] == '.' || path[outer.size()] == '[');
  };
  const auto follows = [&](const FieldViolation& violation) {
    return std::any_of(unread.begin(), unread.end(), [&](const FieldViolation& cause) {
      // An element that could not be read is not in the list, so those behind it moved up.
      std::string_view path = cause.field;
      if (path.ends_with(']')) path = path.substr(0, path.rfind('['));
      return !path.empty() && (within(violation.field, path) || within(path, violation.field));
    });
  };
  std::set<std::pair<std::string, std::string>> seen;
  std::erase_if(found, [&](const FieldViolation& violation) {
    return follows(violation) || !seen.emplace(violation.field, violation.description).second;
  });
  return found;
}

bool CopyPath(const Message& from, Message& to, std::string_view path) {
  const size_t dot = path.find('.');
  const FieldDescriptor* field = Find(to, path.substr(0, dot));
  if (field == nullptr) return false;
  if (dot == std::string_view::npos) {
    CopyField(from, to, field);
    return true;
  }
  const std::string_view rest = path.substr(dot + 1);
  if (field->is_map()) {
    CopyEntry(from, to, field, rest);
    return true;
  }
  if (field->is_repeated() || field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) return false;
  if (!from.GetReflection()->HasField(from, field) && !to.GetReflection()->HasField(to, field)) return true;
  return CopyPath(from.GetReflection()->GetMessage(from, field), *to.GetReflection()->MutableMessage(&to, field), rest);
}

}  // namespace weir::resource
