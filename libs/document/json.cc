#include <unordered_set>

#include "libs/document/document.h"
#include "libs/document/scalars.h"

namespace weir::document {
namespace {

// RFC 8259, strictly: no comments, no trailing commas, no duplicate keys. Stops at the first syntax error; duplicate
// keys are all collected.
class JsonReader {
 public:
  JsonReader(std::string_view text, const Limits& limits) : text_(text), limits_(limits) {}

  Result<Node> Read() {
    Node root;
    if (Value(root, 0)) {
      Space();
      if (at_ < text_.size()) Fail("unexpected text after the JSON value");
    }
    if (!limit_.empty()) return ResourceExhausted("DOCUMENT_TOO_LARGE", "the document is {}", limit_);
    if (violations_.empty()) return root;
    Error error = InvalidArgument("BAD_DOCUMENT", "the document is not valid JSON: {}", violations_[0].description);
    error.violations = std::move(violations_);
    return error;
  }

 private:
  char Peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void Space() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\n') {
        ++line_;
        line_start_ = at_ + 1;
      } else if (c != ' ' && c != '\t' && c != '\r') {
        break;
      }
      ++at_;
    }
  }
  int Column() const { return static_cast<int>(at_ - line_start_) + 1; }
  bool Fail(std::string what) {
    if (violations_.size() < 100) violations_.push_back({"", std::move(what), line_, Column()});
    return false;
  }
  bool Stop(std::string what) {
    limit_ = std::move(what);
    return false;
  }
  bool Skip(char wanted) {
    Space();
    if (Peek() != wanted) return Fail(fmt::format("'{}' expected", wanted));
    ++at_;
    return true;
  }

  bool Value(Node& node, int depth) {
    Space();
    if (++nodes_ > limits_.nodes) return Stop(fmt::format("more than {} nodes", limits_.nodes));
    node.line = line_;
    node.column = Column();
    switch (Peek()) {
      case '{':
        return Object(node, depth);
      case '[':
        return Array(node, depth);
      case '"':
        node.type = Node::Type::kString;
        return String(node.text);
      case 't':
        return Word("true", node, Node::Type::kBool);
      case 'f':
        return Word("false", node, Node::Type::kBool);
      case 'n':
        return Word("null", node, Node::Type::kNull);
      default:
        return Number(node);
    }
  }
  bool Word(std::string_view word, Node& node, Node::Type type) {
    if (text_.substr(at_, word.size()) != word) return Fail("a JSON value expected");
    at_ += word.size();
    node.type = type;
    if (type == Node::Type::kBool) node.text = word;
    return true;
  }
  bool Number(Node& node) {
    size_t end = at_;
    while (end < text_.size() && std::string_view("0123456789+-.eE").find(text_[end]) != std::string_view::npos) ++end;
    const std::string_view number = text_.substr(at_, end - at_);
    if (!IsJsonNumber(number)) return Fail(at_ < text_.size() ? "a JSON value expected" : "the text ends too soon");
    node.type = Node::Type::kNumber;
    node.text = number;
    at_ = end;
    return true;
  }
  bool Array(Node& node, int depth) {
    if (depth >= limits_.depth) return Stop(fmt::format("nested deeper than {}", limits_.depth));
    node.type = Node::Type::kSequence;
    ++at_;
    Space();
    if (Peek() == ']') return ++at_, true;
    while (true) {
      if (!Value(node.items.emplace_back(), depth + 1)) return false;
      Space();
      if (Peek() == ']') return ++at_, true;
      if (!Skip(',')) return false;
    }
  }
  bool Object(Node& node, int depth) {
    if (depth >= limits_.depth) return Stop(fmt::format("nested deeper than {}", limits_.depth));
    node.type = Node::Type::kMap;
    ++at_;
    Space();
    if (Peek() == '}') return ++at_, true;
    std::unordered_set<std::string> keys;
    while (true) {
      Space();
      Member member;
      member.line = line_;
      member.column = Column();
      if (Peek() != '"') return Fail("a key in double quotes expected");
      if (!String(member.key)) return false;
      const bool fresh = keys.insert(member.key).second;
      if (!fresh && violations_.size() < 100) {
        violations_.push_back(
            {"", fmt::format("duplicate key \"{}\"", member.key.substr(0, 64)), member.line, member.column});
      }
      if (!Skip(':') || !Value(member.value, depth + 1)) return false;
      if (fresh) node.members.push_back(std::move(member));
      Space();
      if (Peek() == '}') return ++at_, true;
      if (!Skip(',')) return false;
    }
  }
  bool String(std::string& out) {
    ++at_;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"') return ++at_, true;
      if (static_cast<unsigned char>(c) < 0x20) return Fail("a control character in a string");
      ++at_;
      if (c != '\\') {
        out += c;
      } else if (!Escape(out)) {
        return false;
      }
    }
    return Fail("a string without end");
  }
  bool Escape(std::string& out) {
    const char c = Peek();
    ++at_;
    switch (c) {
      case '"':
      case '\\':
      case '/':
        out += c;
        return true;
      case 'b':
        out += '\b';
        return true;
      case 'f':
        out += '\f';
        return true;
      case 'n':
        out += '\n';
        return true;
      case 'r':
        out += '\r';
        return true;
      case 't':
        out += '\t';
        return true;
      case 'u':
        break;
      default:
        return Fail("an unknown escape in a string");
    }
    unsigned code = 0;
    if (!Hex4(code)) return false;
    if (code >= 0xD800 && code < 0xDC00 && text_.substr(at_, 2) == "\\u") {
      at_ += 2;
      unsigned low = 0;
      if (!Hex4(low)) return false;
      if (low < 0xDC00 || low > 0xDFFF) return Fail("half a surrogate pair");
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    if (code >= 0xD800 && code <= 0xDFFF) return Fail("half a surrogate pair");
    AppendUtf8(out, code);
    return true;
  }
  bool Hex4(unsigned& code) {
    for (int i = 0; i < 4; ++i, ++at_) {
      const char c = Peek();
      unsigned digit = 0;
      if (c >= '0' && c <= '9')
        digit = static_cast<unsigned>(c - '0');
      else if (c >= 'a' && c <= 'f')
        digit = static_cast<unsigned>(c - 'a' + 10);
      else if (c >= 'A' && c <= 'F')
        digit = static_cast<unsigned>(c - 'A' + 10);
      else
        return Fail("four hexadecimal digits expected after \\u");
      code = code * 16 + digit;
    }
    return true;
  }

  std::string_view text_;
  const Limits& limits_;
  size_t at_ = 0;
  int line_ = 1;
  size_t line_start_ = 0;
  size_t nodes_ = 0;
  std::vector<FieldViolation> violations_;
  std::string limit_;
};

}  // namespace

Result<Node> ParseJson(std::string_view text, const Limits& limits) { return JsonReader(text, limits).Read(); }

}  // namespace weir::document
