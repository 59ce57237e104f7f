#include "mgmt-server/services/differences.h"

#include <google/protobuf/message.h>

#include <set>

#include "api/weir/v2/metadata.pb.h"
#include "libs/document/document.h"
#include "libs/resource/kinds.h"
#include "libs/resource/validate.h"

namespace weir::services {
namespace {

using google::protobuf::Message;

// Keys of maps may have dots in them.
const document::Node* At(const document::Node& node, std::string_view path) {
  for (const document::Member& member : node.members) {
    if (path == member.key) return &member.value;
    if (!path.starts_with(member.key) || path[member.key.size()] != '.') continue;
    if (const document::Node* found = At(member.value, path.substr(member.key.size() + 1))) return found;
  }
  return nullptr;
}

std::string ValueAt(const document::Node& node, std::string_view path) {
  const document::Node* value = At(node, path);
  if (value == nullptr) return "";
  std::string text = document::WriteJson(*value);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace

std::vector<v2::FieldDifference> FieldDifferences(const Message* from, const Message* to) {
  const document::Node before = from == nullptr ? document::Node::Map() : document::FromMessage(*from);
  const document::Node after = to == nullptr ? document::Node::Map() : document::FromMessage(*to);
  std::set<std::string> paths;
  if (from != nullptr && to != nullptr) {
    const auto changed = resource::Diff(*from, *to);
    paths.insert(changed.begin(), changed.end());
  } else if (from != nullptr || to != nullptr) {
    paths = resource::OwnedFields(from != nullptr ? *from : *to);
  }
  std::vector<v2::FieldDifference> differences;
  for (const std::string& path : paths) {
    v2::FieldDifference& difference = differences.emplace_back();
    difference.set_field(path);
    difference.set_from(ValueAt(before, path));
    difference.set_to(ValueAt(after, path));
  }
  return differences;
}

Result<MessagePtr> Settled(const store::StoredResource& resource) {
  WEIR_ASSIGN(MessagePtr message, ToMessage(resource));
  resource::ClearOutputOnly(*message);
  resource::MutableMetadataOf(*message).clear_resource_version();
  return message;
}

std::string DocumentText(const Message& resource) {
  const std::unique_ptr<Message> copy(resource.New());
  copy->CopyFrom(resource);
  resource::ClearOutputOnly(*copy);
  v2::Metadata& metadata = resource::MutableMetadataOf(*copy);
  metadata.clear_resource_version();  // Of then: nobody could apply it.
  if (resource::IsAccessBindings(metadata.fqn())) metadata.set_fqn(resource::ParentFqn(metadata.fqn()));
  const resource::KindInfo& kind = *resource::KindOf(resource);
  document::Node document = document::Node::Map();
  document.Add("apiVersion", document::Node::String(kind.ApiVersion()));
  document.Add("kind", document::Node::String(std::string(kind.name)));
  for (document::Member& member : document::FromMessage(*copy).members) {
    document.Add(std::move(member.key), std::move(member.value));
  }
  return document::WriteYaml(document);
}

}  // namespace weir::services
