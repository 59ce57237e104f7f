#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <set>
#include <sstream>
#include <unordered_map>
#include <unordered_set>

#include "libs/document/document.h"
#include "libs/document/scalars.h"

namespace weir::document {

// In json.cc.
Result<Node> ParseJson(std::string_view text, const Limits& limits);

namespace {

constexpr size_t kMaxViolations = 100;

// Turns the parser's events into trees. Once a limit is passed it only waits for the end, so that no exception of ours
// has to cross the parser.
class Builder : public YAML::EventHandler {
 public:
  explicit Builder(const Limits& limits) : limits_(limits) {}

  void OnDocumentStart(const YAML::Mark&) override {
    root_ = Node{};
    has_root_ = false;
    anchors_.clear();
  }
  void OnDocumentEnd() override {
    if (has_root_ && !root_.IsNull()) documents.push_back(std::move(root_));
    stack_.clear();
  }

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Node node;
    Position(node, mark);
    Scalar(std::move(node), anchor, mark, "");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    const bool plain = tag == "?" || tag.empty();
    Node node;
    Position(node, mark);
    node.type = plain ? PlainType(value) : Node::Type::kString;
    node.text = node.type == Node::Type::kBool   ? (value[0] == 't' || value[0] == 'T' ? "true" : "false")
                : node.type == Node::Type::kNull ? std::string()
                                                 : value;
    Scalar(std::move(node), anchor, mark, tag);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (stopped()) return;
    const auto known = anchors_.find(anchor);
    if (known == anchors_.end()) return Violation(mark, "an alias to what contains it");
    Node copy = known->second.first;
    alias_nodes_ += known->second.second;
    if (alias_nodes_ > limits_.alias_nodes) {
      return Stop(fmt::format("aliases stand for more than {} nodes", limits_.alias_nodes));
    }
    if (static_cast<int>(stack_.size()) + DepthOf(copy) > limits_.depth) return TooDeep();
    if (!Count(known->second.second)) return;
    Position(copy, mark);
    Attach(std::move(copy), mark);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(Node::Type::kSequence, mark, tag, anchor);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(Node::Type::kMap, mark, tag, anchor);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapEnd() override { Close(); }

  std::vector<Node> documents;
  std::vector<FieldViolation> violations;
  std::string limit;  // Which one was passed.

  bool stopped() const { return !limit.empty(); }
  void Violation(const YAML::Mark& mark, std::string text) {
    if (violations.size() < kMaxViolations)
      violations.push_back({Path(), std::move(text), mark.line + 1, mark.column + 1});
  }

 private:
  struct Frame {
    Node node;
    YAML::anchor_t anchor = 0;
    size_t nodes_before = 0;
    bool has_key = false;  // Of a map: a key is read and its value is next.
    bool skip = false;     // The key was refused: its value is read and thrown away.
    Member key;
    std::unordered_set<std::string> keys;
  };

  static void Position(Node& node, const YAML::Mark& mark) {
    node.line = mark.line + 1;
    node.column = mark.column + 1;
  }
  void Stop(std::string text) {
    if (limit.empty()) limit = std::move(text);
  }
  void TooDeep() { Stop(fmt::format("nested deeper than {}", limits_.depth)); }
  bool Count(size_t nodes) {
    nodes_ += nodes;
    if (nodes_ > limits_.nodes) Stop(fmt::format("more than {} nodes", limits_.nodes));
    return !stopped();
  }
  static int DepthOf(const Node& node) {
    int depth = 0;
    for (const Node& item : node.items) depth = std::max(depth, DepthOf(item));
    for (const Member& member : node.members) depth = std::max(depth, DepthOf(member.value));
    return depth + (node.IsScalar() ? 0 : 1);
  }
  // "?" and "!" are what the parser says of plain and quoted scalars without a tag.
  bool CheckTag(const YAML::Mark& mark, const std::string& tag) {
    if (tag.empty() || tag == "?" || tag == "!") return true;
    Violation(mark, fmt::format("tag \"{}\": tags are not allowed", tag.substr(0, 64)));
    return false;
  }
  std::string Path() const {
    std::string path;
    for (const Frame& frame : stack_) {
      if (frame.node.type == Node::Type::kSequence) {
        path += fmt::format("[{}]", frame.node.items.size());
      } else if (frame.has_key) {
        path += (path.empty() ? "" : ".") + frame.key.key;
      }
    }
    return path;
  }

  void Scalar(Node node, YAML::anchor_t anchor, const YAML::Mark& mark, const std::string& tag) {
    if (stopped() || !Count(1)) return;
    CheckTag(mark, tag);
    if (anchor != 0) anchors_[anchor] = {node, 1};
    Attach(std::move(node), mark);
  }
  void Open(Node::Type type, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (stopped() || !Count(1)) return;
    if (static_cast<int>(stack_.size()) >= limits_.depth) return TooDeep();
    CheckTag(mark, tag);
    if (anchor != 0) anchors_.erase(anchor);
    Frame frame;
    frame.node.type = type;
    Position(frame.node, mark);
    frame.anchor = anchor;
    frame.nodes_before = nodes_ - 1;
    stack_.push_back(std::move(frame));
  }
  void Close() {
    if (stopped() || stack_.empty()) return;
    Frame frame = std::move(stack_.back());
    stack_.pop_back();
    const YAML::Mark mark = MarkOf(frame.node);
    if (frame.anchor != 0) {
      const size_t size = nodes_ - frame.nodes_before;
      anchored_nodes_ += size;  // Nested anchors keep copies of copies.
      if (anchored_nodes_ > limits_.nodes) return Stop("full of anchors");
      anchors_[frame.anchor] = {frame.node, size};
    }
    Attach(std::move(frame.node), mark);
  }
  static YAML::Mark MarkOf(const Node& node) {
    YAML::Mark mark;
    mark.line = node.line - 1;
    mark.column = node.column - 1;
    return mark;
  }
  void Attach(Node node, const YAML::Mark& mark) {
    if (stack_.empty()) {
      root_ = std::move(node);
      has_root_ = true;
      return;
    }
    Frame& parent = stack_.back();
    if (parent.node.type == Node::Type::kSequence) {
      parent.node.items.push_back(std::move(node));
    } else if (!parent.has_key) {
      Key(parent, node, mark);
    } else {
      if (!parent.skip) {
        parent.key.value = std::move(node);
        parent.node.members.push_back(std::move(parent.key));
      }
      parent.key = Member{};
      parent.has_key = parent.skip = false;
    }
  }
  void Key(Frame& parent, const Node& node, const YAML::Mark& mark) {
    if (!node.IsScalar() || node.IsNull()) {
      Violation(mark, "a key must be a name");
      parent.skip = true;
    } else if (node.text == "<<") {
      Violation(mark, "merge keys (<<) are not allowed");
      parent.skip = true;
    } else if (!parent.keys.insert(node.text).second) {
      Violation(mark, fmt::format("duplicate key \"{}\"", node.text.substr(0, 64)));
      parent.skip = true;
    }
    parent.key.key = node.text;
    parent.key.line = mark.line + 1;
    parent.key.column = mark.column + 1;
    parent.has_key = true;
  }

  const Limits& limits_;
  Node root_;
  bool has_root_ = false;
  std::vector<Frame> stack_;
  std::unordered_map<YAML::anchor_t, std::pair<Node, size_t>> anchors_;
  size_t nodes_ = 0;
  size_t alias_nodes_ = 0;
  size_t anchored_nodes_ = 0;
};

Error BadDocument(std::vector<FieldViolation> violations) {
  Error error = InvalidArgument("BAD_DOCUMENT", "the document cannot be read: {}", violations[0].description);
  error.violations = std::move(violations);
  return error;
}

}  // namespace

Result<std::vector<Node>> Parse(std::string_view text, const Limits& limits, Syntax syntax) {
  if (text.size() > limits.bytes) {
    return ResourceExhausted("DOCUMENT_TOO_LARGE", "the document is larger than {} bytes", limits.bytes);
  }
  if (auto bad = CheckText(text)) return BadDocument({*bad});
  const size_t first = text.find_first_not_of(" \t\r\n");
  const bool maybe_json = first != std::string_view::npos && (text[first] == '{' || text[first] == '[');
  if (syntax == Syntax::kJson || maybe_json) {
    auto json = ParseJson(text, limits);
    if (json.ok()) {
      std::vector<Node> documents;
      documents.push_back(std::move(*json));
      return documents;
    }
    // YAML's flow style begins like JSON, so what is no JSON may still be YAML.
    if (syntax == Syntax::kJson || json.error().code == Code::kResourceExhausted) return std::move(json).error();
  }

  Builder builder(limits);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    while (!builder.stopped() && parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& exception) {
    builder.Violation(exception.mark, exception.msg);
  } catch (const std::exception& exception) {
    builder.Violation(YAML::Mark::null_mark(), exception.what());
  }
  if (builder.stopped()) return ResourceExhausted("DOCUMENT_TOO_LARGE", "the document is {}", builder.limit);
  if (!builder.violations.empty()) return BadDocument(std::move(builder.violations));
  return std::move(builder.documents);
}

Result<Node> ParseOne(std::string_view text, const Limits& limits, Syntax syntax) {
  WEIR_ASSIGN(auto documents, Parse(text, limits, syntax));
  if (documents.size() == 1) return std::move(documents[0]);
  if (documents.empty()) return InvalidArgument("BAD_DOCUMENT", "the document is empty");
  Error error = InvalidArgument("BAD_DOCUMENT", "one document is wanted here, not {}", documents.size());
  error.violations = {{"", "a second document begins here", documents[1].line, documents[1].column}};
  return error;
}

}  // namespace weir::document
