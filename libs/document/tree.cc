#include "libs/document/document.h"

namespace weir::document {

const Node* Node::Find(std::string_view key) const {
  for (const Member& member : members) {
    if (member.key == key) return &member.value;
  }
  return nullptr;
}

Node Node::String(std::string text) {
  Node node;
  node.type = Type::kString;
  node.text = std::move(text);
  return node;
}
Node Node::Number(std::string text) {
  Node node = String(std::move(text));
  node.type = Type::kNumber;
  return node;
}
Node Node::Bool(bool value) {
  Node node = String(value ? "true" : "false");
  node.type = Type::kBool;
  return node;
}
Node Node::Sequence() {
  Node node;
  node.type = Type::kSequence;
  return node;
}
Node Node::Map() {
  Node node;
  node.type = Type::kMap;
  return node;
}
Node& Node::Add(std::string key, Node value) {
  Member member;
  member.key = std::move(key);
  member.value = std::move(value);
  return members.emplace_back(std::move(member)).value;
}

Envelope ReadEnvelope(const Node& document, std::vector<FieldViolation>& violations) {
  Envelope envelope;
  if (document.type != Node::Type::kMap) {
    violations.push_back(
        {"", "a document is a map with apiVersion, kind, metadata and spec", document.line, document.column});
    return envelope;
  }
  const auto read = [&](const char* key, std::string& out) {
    const Node* node = document.Find(key);
    if (node == nullptr || node->type != Node::Type::kString || node->text.empty()) {
      const Node& at = node != nullptr ? *node : document;
      violations.push_back({key, "required: a text", at.line, at.column});
    } else {
      out = node->text;
    }
  };
  read("apiVersion", envelope.api_version);
  read("kind", envelope.kind);
  return envelope;
}

namespace {

// "externalServers" of a document may be "external_servers" there.
std::string SnakeCase(std::string_view camel) {
  std::string out;
  for (char c : camel) {
    if (c >= 'A' && c <= 'Z') {
      out += '_';
      out += static_cast<char>(c - 'A' + 'a');
    } else {
      out += c;
    }
  }
  return out;
}

struct Place {
  int line = 0;
  int column = 0;
};

// Follows the path as far as it goes. A map's keys may hold dots, so the longest key that fits is tried first.
Place Follow(const Node& node, std::string_view path, Place place) {
  if (path.empty()) return place;
  if (path[0] == '[') {
    const size_t end = path.find(']');
    if (end == std::string_view::npos || node.type != Node::Type::kSequence) return place;
    size_t index = 0;
    for (char c : path.substr(1, end - 1)) {
      if (c < '0' || c > '9' || index > node.items.size()) return place;
      index = index * 10 + static_cast<size_t>(c - '0');
    }
    if (index >= node.items.size()) return place;
    const Node& item = node.items[index];
    return Follow(item, path.substr(end + 1), {item.line, item.column});
  }
  if (path[0] == '.') path.remove_prefix(1);
  for (size_t end = path.size(); end > 0; --end) {
    if (end < path.size() && path[end] != '.' && path[end] != '[') continue;
    const std::string_view key = path.substr(0, end);
    const std::string snake = SnakeCase(key);
    for (const Member& member : node.members) {
      if (member.key != key && member.key != snake) continue;
      return Follow(member.value, path.substr(end), {member.line, member.column});
    }
  }
  return place;
}

}  // namespace

void Locate(const Node& document, std::vector<FieldViolation>& violations) {
  for (FieldViolation& violation : violations) {
    if (violation.line != 0) continue;
    const Place place = Follow(document, violation.field, {document.line, document.column});
    violation.line = place.line;
    violation.column = place.column;
  }
}

}  // namespace weir::document
