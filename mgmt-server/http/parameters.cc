#include "mgmt-server/http/parameters.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/util/time_util.h>

#include <charconv>
#include <set>

#include "libs/base/text.h"

namespace weir::edge {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// A scalar or a time by its text, as in the path or the query.
bool SetScalar(Message& message, const FieldDescriptor* field, const std::string& value) {
  const Reflection* reflection = message.GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      reflection->SetString(&message, field, value);
      return true;
    case FieldDescriptor::CPPTYPE_BOOL:
      if (value != "true" && value != "false") return false;
      reflection->SetBool(&message, field, value == "true");
      return true;
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64: {
      int64_t number = 0;
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
      if (error != std::errc() || end != value.data() + value.size()) return false;
      if (field->cpp_type() == FieldDescriptor::CPPTYPE_INT64) {
        reflection->SetInt64(&message, field, number);
      } else {
        if (number < INT32_MIN || number > INT32_MAX) return false;
        reflection->SetInt32(&message, field, static_cast<int32_t>(number));
      }
      return true;
    }
    case FieldDescriptor::CPPTYPE_MESSAGE: {
      google::protobuf::Timestamp time;
      if (field->message_type() != time.GetDescriptor()) return false;
      if (!google::protobuf::util::TimeUtil::FromString(value, &time)) return false;
      reflection->MutableMessage(&message, field)->CopyFrom(time);
      return true;
    }
    default:
      return false;
  }
}

const FieldDescriptor* FindField(const Message& message, const std::string& name) {
  const auto* descriptor = message.GetDescriptor();
  const FieldDescriptor* field = descriptor->FindFieldByCamelcaseName(name);
  if (field == nullptr) field = descriptor->FindFieldByName(name);
  return field == nullptr || field->is_repeated() ? nullptr : field;
}

}  // namespace

void BindField(Message& message, const std::string& name, const std::string& value,
               std::vector<FieldViolation>& violations) {
  const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(name);
  const std::string given = message.GetReflection()->GetString(message, field);
  if (!given.empty() && given != value) violations.push_back({field->json_name(), "differs from the path", 0, 0});
  SetScalar(message, field, value);
}

void ReadQuery(std::string_view query, const Route& route, const PathTemplate::Bindings& bindings, Message& message,
               std::vector<FieldViolation>& violations) {
  std::set<const FieldDescriptor*> seen;
  while (!query.empty()) {
    const size_t end = query.find('&');
    std::string_view pair = query.substr(0, end);
    query = end == std::string_view::npos ? std::string_view() : query.substr(end + 1);
    if (pair.empty()) continue;
    const size_t equals = pair.find('=');
    std::string name;
    std::string value;
    const bool decoded = PercentDecode(pair.substr(0, equals), true, &name) &&
                         (equals == std::string_view::npos || PercentDecode(pair.substr(equals + 1), true, &value));
    if (!decoded || !IsUtf8(name) || !IsUtf8(value)) {
      violations.push_back(
          {std::string(pair.substr(0, equals)), "the query has a broken % escape or is not UTF-8", 0, 0});
      continue;
    }
    const FieldDescriptor* field = route.body == "*" ? nullptr : FindField(message, name);
    bool taken = field == nullptr || field->name() == route.body;
    for (const auto& [bound, ignored] : bindings) taken = taken || (field != nullptr && field->name() == bound);
    if (taken) {
      violations.push_back({name, "unknown query parameter", 0, 0});
    } else if (!seen.insert(field).second) {
      violations.push_back({name, "is given more than once", 0, 0});
    } else if (!SetScalar(message, field, value)) {
      violations.push_back({name, fmt::format("\"{}\" is not a value of this parameter", value), 0, 0});
    }
  }
}

}  // namespace weir::edge
