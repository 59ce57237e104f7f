#include "libs/resource/filter_value.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <limits>

namespace weir::resource {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::Duration;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Timestamp;
using google::protobuf::util::TimeUtil;

const FieldDescriptor* FindField(const Descriptor& message, std::string_view name) {
  for (int i = 0; i < message.field_count(); ++i) {
    if (message.field(i)->json_name() == name || message.field(i)->name() == name) return message.field(i);
  }
  return nullptr;
}

bool IsMessage(const FieldDescriptor& field, const Descriptor* type) {
  return field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && field.message_type() == type;
}

ValueType TypeOf(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return ValueType::kBool;
    case FieldDescriptor::CPPTYPE_ENUM:
      return ValueType::kEnum;
    case FieldDescriptor::CPPTYPE_STRING:
      return ValueType::kText;
    case FieldDescriptor::CPPTYPE_MESSAGE:
      if (IsMessage(field, Timestamp::descriptor())) return ValueType::kTime;
      if (IsMessage(field, Duration::descriptor())) return ValueType::kDuration;
      return ValueType::kMessage;
    default:
      return ValueType::kNumber;
  }
}

double Seconds(int64_t seconds, int32_t nanos) { return static_cast<double>(seconds) + nanos * 1e-9; }

// One value of the field of a holder; `index` < 0 = it is no list. Nullopt of a message.
std::optional<FilterValue> One(const Message& holder, const FieldDescriptor& field, int index) {
  const auto& from = *holder.GetReflection();
  const bool list = index >= 0;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return list ? from.GetRepeatedBool(holder, &field, index) : from.GetBool(holder, &field);
    case FieldDescriptor::CPPTYPE_ENUM:
      return std::string(list ? from.GetRepeatedEnum(holder, &field, index)->name()
                              : from.GetEnum(holder, &field)->name());
    case FieldDescriptor::CPPTYPE_STRING:
      return list ? from.GetRepeatedString(holder, &field, index) : from.GetString(holder, &field);
    case FieldDescriptor::CPPTYPE_INT32:
      return static_cast<double>(list ? from.GetRepeatedInt32(holder, &field, index) : from.GetInt32(holder, &field));
    case FieldDescriptor::CPPTYPE_INT64:
      return static_cast<double>(list ? from.GetRepeatedInt64(holder, &field, index) : from.GetInt64(holder, &field));
    case FieldDescriptor::CPPTYPE_UINT32:
      return static_cast<double>(list ? from.GetRepeatedUInt32(holder, &field, index) : from.GetUInt32(holder, &field));
    case FieldDescriptor::CPPTYPE_UINT64:
      return static_cast<double>(list ? from.GetRepeatedUInt64(holder, &field, index) : from.GetUInt64(holder, &field));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return static_cast<double>(list ? from.GetRepeatedFloat(holder, &field, index) : from.GetFloat(holder, &field));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return list ? from.GetRepeatedDouble(holder, &field, index) : from.GetDouble(holder, &field);
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;
  }
  const Message& value = list ? from.GetRepeatedMessage(holder, &field, index) : from.GetMessage(holder, &field);
  const bool set = list || from.HasField(holder, &field);
  if (IsMessage(field, Timestamp::descriptor())) {
    const auto& time = static_cast<const Timestamp&>(value);
    return set ? Seconds(time.seconds(), time.nanos()) : -std::numeric_limits<double>::infinity();
  }
  if (IsMessage(field, Duration::descriptor())) {
    const auto& time = static_cast<const Duration&>(value);
    return Seconds(time.seconds(), time.nanos());
  }
  return std::nullopt;
}

const Message* EntryOf(const Message& holder, const FieldDescriptor& map, const std::string& key) {
  const auto& from = *holder.GetReflection();
  for (int i = 0; i < from.FieldSize(holder, &map); ++i) {
    const Message& entry = from.GetRepeatedMessage(holder, &map, i);
    if (entry.GetReflection()->GetString(entry, map.message_type()->map_key()) == key) return &entry;
  }
  return nullptr;
}

// Calls fn(holder of the last field) for each way there; what is not set on the way is gone through as it is.
void EachHolder(const Message& message, const FilterPath& path, size_t at,
                const std::function<void(const Message&)>& fn) {
  if (at + 1 == path.fields.size()) return fn(message);
  const FieldDescriptor& field = *path.fields[at];
  const auto& from = *message.GetReflection();
  if (!field.is_repeated()) return EachHolder(from.GetMessage(message, &field), path, at + 1, fn);
  for (int i = 0; i < from.FieldSize(message, &field); ++i) {
    EachHolder(from.GetRepeatedMessage(message, &field, i), path, at + 1, fn);
  }
}

}  // namespace

std::optional<FilterPath> FindPath(const Descriptor& message, const std::vector<std::string>& segments) {
  FilterPath path;
  const Descriptor* type = &message;
  for (size_t i = 0; i < segments.size(); ++i) {
    const FieldDescriptor* field = type == nullptr ? nullptr : FindField(*type, segments[i]);
    if (field == nullptr) return std::nullopt;
    if (!path.fields.empty() && path.last().is_repeated()) path.through_list = true;
    path.fields.push_back(field);
    type = field->message_type();
    if (!field->is_map() || i + 1 == segments.size()) continue;
    // All the rest is the key.
    path.key = segments[i + 1];
    for (size_t j = i + 2; j < segments.size(); ++j) *path.key += "." + segments[j];
    return field->message_type()->map_key()->cpp_type() == FieldDescriptor::CPPTYPE_STRING ? std::optional(path)
                                                                                           : std::nullopt;
  }
  return path.fields.empty() ? std::nullopt : std::optional(path);
}

std::optional<FilterPath> FindPath(const Descriptor& message, std::string_view path) {
  std::vector<std::string> segments;
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find('.', at), path.size());
    segments.emplace_back(path.substr(at, end - at));
    at = end + 1;
  }
  return FindPath(message, segments);
}

ValueType TypeAt(const FilterPath& path) {
  if (!path.last().is_map()) return TypeOf(path.last());
  return path.key ? TypeOf(*path.last().message_type()->map_value()) : ValueType::kMessage;
}

std::optional<FilterValue> ReadValue(const FilterPath& path, std::string_view view) {
  std::string text(view);
  switch (TypeAt(path)) {
    case ValueType::kBool:
      if (text != "true" && text != "false") return std::nullopt;
      return text == "true";
    case ValueType::kNumber: {
      char* end = nullptr;
      const double number = std::strtod(text.c_str(), &end);
      if (text.empty() || *end != '\0' || !std::isfinite(number)) return std::nullopt;
      return number;
    }
    case ValueType::kTime: {
      Timestamp time;
      if (!TimeUtil::FromString(text, &time)) return std::nullopt;
      return Seconds(time.seconds(), time.nanos());
    }
    case ValueType::kDuration: {
      Duration time;
      if (!TimeUtil::FromString(text, &time)) return std::nullopt;
      return Seconds(time.seconds(), time.nanos());
    }
    case ValueType::kEnum: {
      const FieldDescriptor& field = path.key ? *path.last().message_type()->map_value() : path.last();
      if (field.enum_type()->FindValueByName(text) == nullptr) return std::nullopt;
      return text;
    }
    case ValueType::kText:
      return text;
    case ValueType::kMessage:
      break;
  }
  return std::nullopt;
}

std::vector<FilterValue> ValuesAt(const Message& message, const FilterPath& path) {
  std::vector<FilterValue> values;
  const auto add = [&](std::optional<FilterValue> value) {
    if (value) values.push_back(std::move(*value));
  };
  EachHolder(message, path, 0, [&](const Message& holder) {
    const FieldDescriptor& field = path.last();
    if (field.is_map()) {
      const Message* entry = path.key ? EntryOf(holder, field, *path.key) : nullptr;
      if (entry != nullptr) add(One(*entry, *field.message_type()->map_value(), -1));
      return;
    }
    if (!field.is_repeated()) return add(One(holder, field, -1));
    for (int i = 0; i < holder.GetReflection()->FieldSize(holder, &field); ++i) add(One(holder, field, i));
  });
  return values;
}

bool IsSetAt(const Message& message, const FilterPath& path) {
  bool set = false;
  EachHolder(message, path, 0, [&](const Message& holder) {
    const FieldDescriptor& field = path.last();
    const auto& from = *holder.GetReflection();
    if (field.is_map() && path.key) {
      set = set || EntryOf(holder, field, *path.key) != nullptr;
    } else if (field.is_repeated()) {
      set = set || from.FieldSize(holder, &field) > 0;
    } else {
      set = set || from.HasField(holder, &field);
    }
  });
  return set;
}

}  // namespace weir::resource
