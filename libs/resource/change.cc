#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/message.h>

#include <map>

#include "api/weir/v2/metadata.pb.h"
#include "libs/resource/field_paths.h"
#include "libs/resource/kinds.h"
#include "libs/resource/validate.h"

namespace weir::resource {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

std::string Bytes(const Message& message) {
  std::string out;
  google::protobuf::io::StringOutputStream stream(&out);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializePartialToCodedStream(&coded);
  coded.Trim();
  return out;
}

// A message of the same type with only this field: its bytes stand for the field's value.
std::string FieldBytes(const Message& message, const FieldDescriptor& field) {
  std::unique_ptr<Message> copy(message.New());
  copy->CopyFrom(message);
  std::vector<const FieldDescriptor*> set;
  copy->GetReflection()->ListFields(*copy, &set);
  for (const FieldDescriptor* other : set) {
    if (other != &field) copy->GetReflection()->ClearField(copy.get(), other);
  }
  return Bytes(*copy);
}

using Fields = std::map<std::string, std::string>;

void Flatten(const Message& message, const std::string& path, Fields& out) {
  std::vector<const FieldDescriptor*> set;
  message.GetReflection()->ListFields(message, &set);
  if (set.empty()) out.emplace(path, "");  // Being there is what it says: `tls: {}`.
  for (const FieldDescriptor* field : set) {
    const std::string at = path.empty() ? field->json_name() : path + "." + field->json_name();
    if (field->is_map()) {
      for (int i = 0; i < message.GetReflection()->FieldSize(message, field); ++i) {
        const Message& entry = message.GetReflection()->GetRepeatedMessage(message, field, i);
        const auto* key = field->message_type()->map_key();
        if (key->cpp_type() != FieldDescriptor::CPPTYPE_STRING) continue;
        out.emplace(at + "." + entry.GetReflection()->GetString(entry, key), Bytes(entry));
      }
    } else if (!field->is_repeated() && field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      Flatten(message.GetReflection()->GetMessage(message, field), at, out);
    } else {
      out.emplace(at, FieldBytes(message, *field));
    }
  }
}

// What a person set, without the names, which are the FQN.
Fields PersonalFields(const Message& resource) {
  std::unique_ptr<Message> copy(resource.New());
  copy->CopyFrom(resource);
  v2::Metadata& metadata = MutableMetadataOf(*copy);
  v2::Metadata kept;
  kept.set_display_name(metadata.display_name());
  kept.set_description(metadata.description());
  *kept.mutable_labels() = metadata.labels();
  *kept.mutable_annotations() = metadata.annotations();
  metadata = std::move(kept);
  ClearOutputOnly(*copy);
  Fields fields;
  Flatten(*copy, "", fields);
  fields.erase("metadata");
  fields.erase("spec");  // An empty spec says nothing.
  return fields;
}

}  // namespace

void ClearOutputOnly(Message& resource) {
  const bool bindings = KindOf(resource)->kind == Kind::kAccessBindings;
  v2::Metadata& metadata = MutableMetadataOf(resource);
  if (!bindings) metadata.clear_fqn();  // Of bindings it is the name.
  metadata.clear_uid();
  metadata.clear_revision();
  metadata.clear_create_time();
  metadata.clear_update_time();
  for (const std::string& path : KindOf(resource)->rules.output_only) ClearPath(resource, path);
}

void Default(Message& resource) {
  const KindRules& rules = KindOf(resource)->rules;
  if (rules.fill_in) rules.fill_in(resource);
}

std::vector<std::string> UnsetKept(const Message& resource) {
  std::vector<std::string> unset;
  for (const std::string& path : KindOf(resource)->rules.keep_if_unset) {
    if (!IsSet(resource, path)) unset.push_back(path);
  }
  return unset;
}

void Keep(const Message& stored, const std::vector<std::string>& unset, Message& wanted) {
  for (const std::string& path : KindOf(stored)->rules.output_only) CopyPath(stored, wanted, path);
  for (const std::string& path : unset) CopyPath(stored, wanted, path);
}

bool Equal(const Message& a, const Message& b) {
  return a.GetDescriptor() == b.GetDescriptor() && PersonalFields(a) == PersonalFields(b);
}

std::vector<std::string> Diff(const Message& before, const Message& after) {
  const Fields old_fields = PersonalFields(before);
  const Fields new_fields = PersonalFields(after);
  std::set<std::string> changed;
  for (const auto& [path, bytes] : old_fields) {
    const auto other = new_fields.find(path);
    if (other == new_fields.end() || other->second != bytes) changed.insert(path);
  }
  for (const auto& [path, bytes] : new_fields) {
    if (!old_fields.contains(path)) changed.insert(path);
  }
  return {changed.begin(), changed.end()};
}

std::set<std::string> OwnedFields(const Message& resource) {
  std::set<std::string> paths;
  for (const auto& [path, bytes] : PersonalFields(resource)) paths.insert(path);
  return paths;
}

}  // namespace weir::resource
