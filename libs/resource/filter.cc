#include "libs/resource/filter.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <bit>

namespace weir::resource {

struct Filter::Node {
  enum class Type { kAnd, kOr, kNot, kCompare, kSet };
  Type type = Type::kCompare;
  std::vector<std::shared_ptr<const Node>> parts;
  // Of a comparison.
  FilterPath path;
  std::string op;  // = != < <= > >= :
  FilterValue value;
  bool star_before = false, star_behind = false;
};

namespace {

using google::protobuf::Descriptor;
using google::protobuf::Message;
using Node = Filter::Node;
using NodePtr = std::shared_ptr<const Node>;

Error Bad(std::string_view field, std::string reason, std::string text) {
  Error error = InvalidArgument(std::move(reason), "{} cannot be understood: {}", field, text);
  error.violations.push_back({std::string(field), std::move(text), 0, 0});
  return error;
}

bool IsWord(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
         c == '/' || c == '*' || c == '+' || static_cast<unsigned char>(c) >= 0x80;
}

// Recursive descent over the text; the first mistake ends it.
class Parser {
 public:
  Parser(const Descriptor& message, std::string_view text) : message_(message), text_(text) {}

  Result<NodePtr> Parse() {
    if (text_.size() > Filter::kMaxBytes) return Wrong("is longer than 4096 bytes");
    WEIR_ASSIGN(NodePtr node, Expression(0));
    Skip();
    if (at_ < text_.size()) return Wrong("has more here than an expression");
    return node;
  }

 private:
  Error Wrong(std::string_view what) const {
    return Bad("filter", "BAD_FILTER", fmt::format("{}, at character {}", what, std::min(at_, text_.size()) + 1));
  }
  void Skip() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n')) ++at_;
  }
  // A keyword stands for itself only as a whole word.
  bool Take(std::string_view word) {
    Skip();
    if (!text_.substr(at_).starts_with(word)) return false;
    const size_t end = at_ + word.size();
    const bool letters = word.back() >= 'A' && word.back() <= 'Z';
    if (letters && end < text_.size() && (IsWord(text_[end]) || text_[end] == '.')) return false;
    at_ = end;
    return true;
  }
  bool AtEnd() {
    Skip();
    return at_ == text_.size() || text_[at_] == ')';
  }

  static NodePtr Join(Node::Type type, std::vector<NodePtr> parts) {
    if (parts.size() == 1) return parts.front();
    auto node = std::make_shared<Node>();
    node->type = type;
    node->parts = std::move(parts);
    return node;
  }

  Result<NodePtr> Expression(int depth) {
    std::vector<NodePtr> parts;
    do {
      WEIR_ASSIGN(NodePtr part, Alternatives(depth));
      parts.push_back(std::move(part));
    } while (Take("AND") || !AtEnd());
    return Join(Node::Type::kAnd, std::move(parts));
  }
  Result<NodePtr> Alternatives(int depth) {
    std::vector<NodePtr> parts;
    do {
      WEIR_ASSIGN(NodePtr part, Term(depth));
      parts.push_back(std::move(part));
    } while (Take("OR"));
    return Join(Node::Type::kOr, std::move(parts));
  }
  Result<NodePtr> Term(int depth) {
    if (depth > Filter::kMaxDepth) return Wrong("has more than 16 levels of parentheses and NOT");
    if (Take("NOT") || Take("-")) {
      WEIR_ASSIGN(NodePtr inner, Term(depth + 1));
      auto node = std::make_shared<Node>();
      node->type = Node::Type::kNot;
      node->parts.push_back(std::move(inner));
      return NodePtr(std::move(node));
    }
    if (!Take("(")) return Comparison();
    WEIR_ASSIGN(NodePtr inner, Expression(depth + 1));
    if (!Take(")")) return Wrong("has a ( without its )");
    return inner;
  }

  Result<std::string> Quoted() {
    std::string out;
    const char quote = text_[at_++];
    while (at_ < text_.size() && text_[at_] != quote) {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
      out += text_[at_++];
    }
    if (at_ == text_.size()) return Wrong("has a quote without its end");
    ++at_;
    return out;
  }
  bool AtQuote() const { return at_ < text_.size() && (text_[at_] == '"' || text_[at_] == '\''); }

  Result<std::vector<std::string>> Segments() {
    std::vector<std::string> segments;
    while (true) {
      if (AtQuote()) {
        WEIR_ASSIGN(std::string segment, Quoted());
        segments.push_back(std::move(segment));
      } else {
        const size_t begin = at_;
        while (at_ < text_.size() && IsWord(text_[at_])) ++at_;
        if (at_ == begin) return Wrong("wants a field here, like metadata.name");
        segments.emplace_back(text_.substr(begin, at_ - begin));
      }
      if (at_ == text_.size() || text_[at_] != '.') return segments;
      ++at_;
    }
  }

  Result<std::string> Operand(bool* quoted) {
    Skip();
    *quoted = AtQuote();
    if (*quoted) return Quoted();
    const size_t begin = at_;
    while (at_ < text_.size() && (IsWord(text_[at_]) || text_[at_] == '.' || text_[at_] == ':')) ++at_;
    if (at_ == begin) return Wrong("wants a value here; quote one with other characters");
    return std::string(text_.substr(begin, at_ - begin));
  }

  Result<NodePtr> Comparison() {
    Skip();
    const size_t begin = at_;
    if (++comparisons_ > Filter::kMaxComparisons) return Wrong("has more than 64 comparisons");
    WEIR_ASSIGN(const std::vector<std::string> segments, Segments());
    const std::string_view name = text_.substr(begin, at_ - begin);
    auto node = std::make_shared<Node>();
    auto path = FindPath(message_, segments);
    if (!path) return Wrong(fmt::format("names \"{}\", which is no field of a {}", name, message_.name()));
    node->path = std::move(*path);
    for (const char* op : {"!=", "<=", ">=", "=", "<", ">", ":"}) {
      if (node->op.empty() && Take(op)) node->op = op;
    }
    if (node->op.empty()) {
      return Wrong(fmt::format("wants a comparison (=, !=, <, <=, >, >=, :) behind \"{}\"", name));
    }
    bool quoted = false;
    WEIR_ASSIGN(const std::string operand, Operand(&quoted));
    WEIR_TRY(Finish(*node, name, operand, quoted));
    return NodePtr(std::move(node));
  }

  // Reads the value as one of the field's type and refuses what cannot be compared.
  Status Finish(Node& node, std::string_view name, std::string operand, bool quoted) {
    const bool has = node.op == ":";
    if (has && operand == "*" && !quoted) {
      node.type = Node::Type::kSet;
      return {};
    }
    if (has && node.path.last().is_map() && !node.path.key) {
      node.type = Node::Type::kSet;
      node.path.key = operand;
      return {};
    }
    if (!has && (node.path.through_list || (node.path.last().is_repeated() && !node.path.key))) {
      return Wrong(fmt::format("compares the list \"{}\"; write {}:{}", name, name, operand));
    }
    const ValueType type = TypeAt(node.path);
    if (type == ValueType::kMessage) return Wrong(fmt::format("can only ask whether \"{}\" is set: {}:*", name, name));
    const bool equality = has || node.op == "=" || node.op == "!=";
    if (!equality && (type == ValueType::kBool || type == ValueType::kEnum)) {
      return Wrong(fmt::format("cannot order by \"{}\"; compare it with = or !=", name));
    }
    if (type == ValueType::kText && equality && !has) {
      node.star_before = operand.size() > 1 && operand.front() == '*';
      node.star_behind = !operand.empty() && operand.back() == '*';
      operand = operand.substr(node.star_before, operand.size() - node.star_before - node.star_behind);
    }
    auto value = ReadValue(node.path, operand);
    if (!value) return Wrong(fmt::format("compares \"{}\" with \"{}\", which is no value of it", name, operand));
    node.value = std::move(*value);
    return {};
  }

  const Descriptor& message_;
  std::string_view text_;
  size_t at_ = 0;
  int comparisons_ = 0;
};

bool EqualText(const Node& node, std::string_view text) {
  const std::string& value = std::get<std::string>(node.value);
  if (node.star_before && node.star_behind) return text.find(value) != std::string_view::npos;
  if (node.star_before) return text.ends_with(value);
  return node.star_behind ? text.starts_with(value) : text == value;
}

bool Compares(const Node& node, const FilterValue& value) {
  const bool text = std::holds_alternative<std::string>(value);
  // A text has a piece; an element of a list, and all else, is the same.
  if (node.op == ":" && text && !node.path.through_list && !node.path.last().is_repeated()) {
    return std::get<std::string>(value).find(std::get<std::string>(node.value)) != std::string::npos;
  }
  if (node.op == ":") return value == node.value;
  if (node.op == "=") return text ? EqualText(node, std::get<std::string>(value)) : value == node.value;
  if (node.op == "!=") return text ? !EqualText(node, std::get<std::string>(value)) : value != node.value;
  if (node.op == "<") return value < node.value;
  if (node.op == "<=") return value <= node.value;
  return node.op == ">" ? value > node.value : value >= node.value;
}

bool Holds(const Node& node, const Message& message) {
  switch (node.type) {
    case Node::Type::kAnd:
      return std::all_of(node.parts.begin(), node.parts.end(), [&](const auto& part) { return Holds(*part, message); });
    case Node::Type::kOr:
      return std::any_of(node.parts.begin(), node.parts.end(), [&](const auto& part) { return Holds(*part, message); });
    case Node::Type::kNot:
      return !Holds(*node.parts.front(), message);
    case Node::Type::kSet:
      return IsSetAt(message, node.path);
    case Node::Type::kCompare:
      break;
  }
  const std::vector<FilterValue> values = ValuesAt(message, node.path);
  // A map without the key: as a text that is not set.
  if (values.empty() && node.path.key && node.op != ":" && std::holds_alternative<std::string>(node.value)) {
    return Compares(node, std::string());
  }
  return std::any_of(values.begin(), values.end(), [&](const FilterValue& value) { return Compares(node, value); });
}

// Bytes in the order of numbers: of the bits of a double those of the positive follow those of the negative.
std::string Sortable(double number) {
  uint64_t bits = std::bit_cast<uint64_t>(number);
  bits = (bits >> 63) != 0 ? ~bits : bits | (uint64_t{1} << 63);
  return fmt::format("{:016x}", bits);
}

std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::string Trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return std::string(text);
}

}  // namespace

Result<Filter> Filter::Parse(const Descriptor& message, std::string_view text) {
  WEIR_ASSIGN(NodePtr root, Parser(message, text).Parse());
  return Filter(std::move(root));
}

bool Filter::Matches(const Message& message) const { return Holds(*root_, message); }

Result<Order> Order::Parse(const Descriptor& message, std::string_view text) {
  Order order;
  if (Trimmed(text).empty()) return order;
  for (const std::string& part : Split(text, ',')) {
    std::string path = Trimmed(part);
    Field field;
    if (path.ends_with(" desc")) {
      field.descending = true;
      path = Trimmed(path.substr(0, path.size() - 5));
    } else if (path.ends_with(" asc")) {
      path = Trimmed(path.substr(0, path.size() - 4));
    }
    auto found = FindPath(message, path);
    const bool plain = found && TypeAt(*found) != ValueType::kMessage && !found->through_list &&
                       (!found->last().is_repeated() || found->key);
    if (!plain) {
      return Bad("orderBy", "BAD_ORDER",
                 fmt::format("\"{}\" is no single field of a {}, like metadata.updateTime", path, message.name()));
    }
    field.path = std::move(*found);
    order.fields_.push_back(std::move(field));
  }
  if (order.fields_.size() > kMaxFields) return Bad("orderBy", "BAD_ORDER", "at most 4 fields");
  return order;
}

std::string Order::KeyOf(const Message& message, std::string_view fqn) const {
  std::string key;
  for (const Field& field : fields_) {
    std::string part;
    for (const FilterValue& value : ValuesAt(message, field.path)) {
      if (const bool* flag = std::get_if<bool>(&value)) part = *flag ? "1" : "0";
      if (const double* number = std::get_if<double>(&value)) part = Sortable(*number);
      if (const std::string* text = std::get_if<std::string>(&value)) part = text->substr(0, kKeyBytes);
    }
    part += '\0';  // No text holds it, so "a" stands before "ab".
    if (field.descending) {
      for (char& c : part) c = static_cast<char>(~c);
    }
    key += part;
  }
  return key.append(fqn);
}

}  // namespace weir::resource
