#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace google::protobuf {
class Descriptor;
class FieldDescriptor;
class Message;
}  // namespace google::protobuf

// Inside filters and orders: paths of fields, and what stands there as something that can be compared.
namespace weir::resource {

// Numbers, times and durations (in seconds) are doubles; enums are texts.
using FilterValue = std::variant<bool, double, std::string>;

// A path as a filter writes it: fields, and below a map a key.
struct FilterPath {
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  std::optional<std::string> key;
  bool through_list = false;  // A list stands before the last field.

  const google::protobuf::FieldDescriptor& last() const { return *fields.back(); }
};
// Empty = there is no such field; `segments` by JSON name.
std::optional<FilterPath> FindPath(const google::protobuf::Descriptor& message,
                                   const std::vector<std::string>& segments);
// The same of "spec.locality.region".
std::optional<FilterPath> FindPath(const google::protobuf::Descriptor& message, std::string_view path);

enum class ValueType { kBool, kNumber, kTime, kDuration, kEnum, kText, kMessage };
// Of one value at the path: of an element of a list, of a value of a map with a key; kMessage of a map without one.
ValueType TypeAt(const FilterPath& path);
// The text of a filter -> a value to compare with; nullopt = none of that type.
std::optional<FilterValue> ReadValue(const FilterPath& path, std::string_view text);
// What stands at the path: every element of a list on the way. Of what is not set its default; of a time none.
std::vector<FilterValue> ValuesAt(const google::protobuf::Message& message, const FilterPath& path);
// Whether anything is set there; of a map with a key whether it has it.
bool IsSetAt(const google::protobuf::Message& message, const FilterPath& path);

}  // namespace weir::resource
