#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.h"

namespace google::protobuf {
class Descriptor;
class Message;
}  // namespace google::protobuf

// One strict reader for everything a person or a client writes: REST bodies, applied documents, bootstrap files,
// discovery files. Text -> tree with positions -> message; every violation collected, nothing dropped silently.
namespace weir::document {

struct Member;

// One value of a document. Lines and columns count from 1.
struct Node {
  // Plain YAML scalars are resolved by the YAML 1.2 core schema: `80` is a number, `"80"` and `on` are strings.
  enum class Type { kNull, kBool, kNumber, kString, kSequence, kMap };

  Type type = Type::kNull;
  int line = 0;
  int column = 0;
  std::string text;             // Of a scalar; a bool is "true" or "false", a number as written.
  std::vector<Node> items;      // Of a sequence.
  std::vector<Member> members;  // Of a map, in the order written; keys are unique.

  bool IsNull() const { return type == Type::kNull; }
  bool IsScalar() const { return type < Type::kSequence; }
  const Node* Find(std::string_view key) const;  // nullptr: not a map, or no such member.

  static Node String(std::string text);
  static Node Number(std::string text);
  static Node Bool(bool value);
  static Node Sequence();
  static Node Map();
  Node& Add(std::string key, Node value);  // Appends a member; returns the value in place.
};

struct Member {
  std::string key;
  int line = 0;
  int column = 0;
  Node value;
};

struct Limits {
  size_t bytes = 1u << 20;
  int depth = 64;               // Of nested maps and sequences.
  size_t nodes = 200'000;       // Of all documents of one text together.
  size_t alias_nodes = 10'000;  // How many of them may be copies made by aliases ("billion laughs").
};

enum class Syntax {
  kYaml,  // YAML 1.2, of which JSON is a part; several documents.
  kJson,  // RFC 8259 and nothing else; exactly one value.
};

// Text -> its documents (empty ones are left out). Safe for any bytes; the entry for fuzzing.
// INVALID_ARGUMENT BAD_DOCUMENT with a violation for every place: syntax, duplicate keys, tags, merge keys, keys that
// are no scalars, text that is not UTF-8. RESOURCE_EXHAUSTED DOCUMENT_TOO_LARGE for a limit.
Result<std::vector<Node>> Parse(std::string_view text, const Limits& limits = {}, Syntax syntax = Syntax::kYaml);

// The same for a text that must hold exactly one document (BAD_DOCUMENT otherwise).
Result<Node> ParseOne(std::string_view text, const Limits& limits = {}, Syntax syntax = Syntax::kYaml);

struct ReadOptions {
  // Path of the node in what the caller sees, put before every field: "spec".
  std::string path;
  // Keys of the outermost map that are not fields of the message: {"apiVersion", "kind"}.
  std::vector<std::string> ignore;
  // What to say of a field that the message does not have; "" = "unknown field". Lets `resource` name the fields of a
  // foreign dialect that are not served.
  std::function<std::string(const google::protobuf::Descriptor&, std::string_view field)> unknown_field;
};

// Node -> message by reflection (camelCase or the proto's own names; enums by name; Duration "1.5s"; Timestamp RFC
// 3339; bytes base64; 64-bit integers also as strings; null = not set). Appends every violation with path, line and
// column; true when there was none. `out` is cleared first and holds what could be read.
bool ToMessage(const Node& node, google::protobuf::Message& out, std::vector<FieldViolation>& violations,
               const ReadOptions& options = {});

// Text -> one message. INVALID_ARGUMENT BAD_DOCUMENT / INVALID_DOCUMENT with all violations.
Status ReadMessage(std::string_view text, google::protobuf::Message& out, const ReadOptions& options = {},
                   Syntax syntax = Syntax::kYaml);

// The two lines every resource document starts with. Missing or wrong ones are violations.
struct Envelope {
  std::string api_version;
  std::string kind;
};
Envelope ReadEnvelope(const Node& document, std::vector<FieldViolation>& violations);

// Gives violations that carry only a path ("spec.externalServers[0].port") the position of that path in the document,
// or of its nearest ancestor that is there. Violations with a position are left alone.
void Locate(const Node& document, std::vector<FieldViolation>& violations);

// Message -> tree in proto JSON form (camelCase, enums by name, maps sorted). Unset and default fields are left out.
Node FromMessage(const google::protobuf::Message& message);

// Tree -> text, ending with a newline. What is written is read back as the same tree.
std::string WriteYaml(const Node& node);
std::string WriteJson(const Node& node, bool pretty = false);

// FromMessage and WriteJson / WriteYaml in one.
std::string ToJson(const google::protobuf::Message& message, bool pretty = false);
std::string ToYaml(const google::protobuf::Message& message);

}  // namespace weir::document
