#include <google/protobuf/any.pb.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/unknown_field_set.h>

#include <unordered_map>

#include "libs/proxy/envoy_snapshot.h"
#include "libs/proxy/envoy_snapshot_pieces.h"

namespace weir::proxy::envoy_v3 {
namespace {

using google::protobuf::Any;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// Full field name -> whether it is obeyed (true) or left out safely (false).
const std::unordered_map<std::string_view, bool>& Manifest() {
  static const auto* const manifest = [] {
    auto* out = new std::unordered_map<std::string_view, bool>;
    std::string_view text = EnvoyManifest();
    while (!text.empty()) {
      const std::string_view line = text.substr(0, text.find('\n'));
      text.remove_prefix(std::min(line.size() + 1, text.size()));
      const size_t space = line.find(' ');
      if (space == std::string_view::npos) continue;
      out->emplace(line.substr(0, space), line.substr(space + 1).starts_with("supported"));
    }
    return out;
  }();
  return *manifest;
}

std::string Join(const std::string& path, std::string_view name) {
  return path.empty() ? std::string(name) : fmt::format("{}.{}", path, name);
}

Status Walk(const Message& message, const std::string& path);

Status WalkAny(const Any& any, const std::string& path) {
  const std::string& url = any.type_url();
  const std::string type = url.substr(url.rfind('/') + 1);
  const auto* descriptor = google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(type);
  if (descriptor == nullptr) return InvalidArgument("UNSUPPORTED_FIELD", "{} of type {} is not served", path, type);
  const std::unique_ptr<Message> inner(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(descriptor)->New());
  if (!inner->ParseFromString(any.value())) return InvalidArgument("BAD_RESOURCE", "{} is not a {}", path, type);
  return Walk(*inner, path);
}

Status WalkField(const Message& message, const FieldDescriptor* field, const std::string& path) {
  // Leaves, and messages of values (durations, wrappers, structs), have no fields of Envoy's below them.
  if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || field->is_map()) return {};
  const Reflection* reflection = message.GetReflection();
  const bool is_any = field->message_type()->full_name() == "google.protobuf.Any";
  if (!is_any && field->message_type()->full_name().starts_with("google.protobuf.")) return {};
  const auto walk = [&](const Message& inner, const std::string& at) {
    // Any is always the generated class: this pool has no dynamic messages.
    return is_any ? WalkAny(static_cast<const Any&>(inner), at) : Walk(inner, at);
  };
  if (!field->is_repeated()) return walk(reflection->GetMessage(message, field), path);
  for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
    WEIR_TRY(walk(reflection->GetRepeatedMessage(message, field, i), fmt::format("{}[{}]", path, i)));
  }
  return {};
}

Status Walk(const Message& message, const std::string& path) {
  const Reflection* reflection = message.GetReflection();
  const auto& unknown = reflection->GetUnknownFields(message);
  if (!unknown.empty()) {
    return InvalidArgument("UNSUPPORTED_FIELD", "{} of {} is not known",
                           Join(path, fmt::format("field {}", unknown.field(0).number())),
                           message.GetDescriptor()->full_name());
  }
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const std::string at = Join(path, field->name());
    const auto known = Manifest().find(field->full_name());
    if (known == Manifest().end()) return InvalidArgument("UNSUPPORTED_FIELD", "{} is not served", at);
    if (known->second) WEIR_TRY(WalkField(message, field, at));
  }
  return {};
}

}  // namespace

Status CheckFields(const Message& message) { return Walk(message, ""); }

}  // namespace weir::proxy::envoy_v3
