#include "cli/jsonpath.h"

#include <charconv>
#include <vector>

#include "cli/commands.h"

namespace weir::cli {
namespace {

using document::Node;
using Nodes = std::vector<const Node*>;

Error Wrong(std::string_view path, std::string_view why) {
  return Usage(
      fmt::format("jsonpath \"{}\" {}; write paths like {{.metadata.name}} or {{.items[*].metadata.fqn}}", path, why));
}

void Members(const Node& node, Nodes& out) {
  for (const Node& item : node.items) out.push_back(&item);
  for (const document::Member& member : node.members) out.push_back(&member.value);
}

// "[0]", "[*]", "['key']" at the start of `rest`.
Result<Nodes> Index(std::string_view path, std::string_view& rest, const Nodes& from) {
  const size_t end = rest.find(rest.size() > 1 && rest[1] == '\'' ? "']" : "]");
  if (end == std::string_view::npos) return Wrong(path, "has a [ without its ]");
  const std::string_view inner = rest.substr(1, end - 1);
  Nodes to;
  if (inner.starts_with('\'')) {
    for (const Node* node : from) {
      if (const Node* found = node->Find(inner.substr(1))) to.push_back(found);
    }
    rest.remove_prefix(end + 2);
    return to;
  }
  rest.remove_prefix(end + 1);
  if (inner == "*") {
    for (const Node* node : from) Members(*node, to);
    return to;
  }
  size_t index = 0;
  const auto [stop, error] = std::from_chars(inner.data(), inner.data() + inner.size(), index);
  if (error != std::errc() || stop != inner.data() + inner.size()) return Wrong(path, "has an index that is no number");
  for (const Node* node : from) {
    if (index < node->items.size()) to.push_back(&node->items[index]);
  }
  return to;
}

Result<Nodes> Walk(const Node& root, std::string_view path) {
  Nodes at{&root};
  std::string_view rest = path;
  if (rest.starts_with('$')) rest.remove_prefix(1);
  if (!rest.starts_with('.') && !rest.starts_with('[')) return Wrong(path, "does not begin with a dot");
  if (rest == ".") return at;
  while (!rest.empty()) {
    if (rest.front() == '[') {
      WEIR_ASSIGN(at, Index(path, rest, at));
      continue;
    }
    rest.remove_prefix(1);
    const size_t end = std::min(rest.find_first_of(".["), rest.size());
    const std::string_view key = rest.substr(0, end);
    if (key.empty() && !rest.starts_with('[')) return Wrong(path, "has an empty name");
    rest.remove_prefix(end);
    if (key.empty()) continue;
    Nodes to;
    for (const Node* node : at) {
      if (key == "*") {
        Members(*node, to);
      } else if (const Node* found = node->Find(key)) {
        to.push_back(found);
      }
    }
    at = std::move(to);
  }
  return at;
}

std::string Text(const Nodes& nodes) {
  std::string out;
  for (const Node* node : nodes) {
    std::string text = node->IsScalar() ? node->text : document::WriteJson(*node);
    while (!text.empty() && text.back() == '\n') text.pop_back();
    out += (out.empty() ? "" : " ") + text;
  }
  return out;
}

}  // namespace

Result<std::string> EvaluateJsonPath(const Node& root, std::string_view text) {
  std::string out;
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t open = std::min(rest.find('{'), rest.size());
    out += rest.substr(0, open);
    rest.remove_prefix(open);
    if (rest.empty()) break;
    const size_t close = rest.find('}');
    if (close == std::string_view::npos) return Wrong(text, "has a { without its }");
    std::string_view inner = rest.substr(1, close - 1);
    rest.remove_prefix(close + 1);
    if (inner.size() >= 2 && inner.front() == '"' && inner.back() == '"') {
      inner = inner.substr(1, inner.size() - 2);
      for (size_t i = 0; i < inner.size(); ++i) {
        const bool escape = inner[i] == '\\' && i + 1 < inner.size();
        out += escape ? (inner[i + 1] == 'n' ? '\n' : inner[i + 1] == 't' ? '\t' : inner[i + 1]) : inner[i];
        i += escape;
      }
      continue;
    }
    WEIR_ASSIGN(const Nodes nodes, Walk(root, inner));
    out += Text(nodes);
  }
  return out;
}

}  // namespace weir::cli
