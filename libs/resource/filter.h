#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.h"
#include "libs/resource/filter_value.h"

namespace google::protobuf {
class Descriptor;
class Message;
}  // namespace google::protobuf

namespace weir::resource {

// A subset of https://google.aip.dev/160. Comparisons of a field with a value, joined by AND (or nothing between), OR,
// NOT (or "-") and parentheses; OR binds before AND, as there:
//
//   metadata.name = "edge*"                        text; a star at an end stands for anything
//   spec.locality.region = eu OR spec.network != ""
//   metadata.createTime >= "2026-01-31T00:00:00Z"  RFC 3339; numbers and durations ("1.5s") likewise
//   metadata.labels."app.kubernetes.io/name" = web a key of a map that holds more than letters, digits, - and _
//   metadata.labels:team                           the map has the key; of a list: the value; of a text: the piece
//   spec.externalServers.hostname:shop.example.com through a list: one of its elements
//   spec.failoverSettings:*                        it is set
//
// Fields are called as in documents. What is not set compares as its default ("" or 0); a time that is not set is less
// than every other. Not served: functions, and a value without a field.
class Filter {
 public:
  static constexpr size_t kMaxBytes = 4096;
  static constexpr int kMaxComparisons = 64;
  static constexpr int kMaxDepth = 16;  // Of parentheses and NOT.

  // INVALID_ARGUMENT BAD_FILTER with a violation of the field `filter` that says where and why.
  static Result<Filter> Parse(const google::protobuf::Descriptor& message, std::string_view text);

  bool Matches(const google::protobuf::Message& message) const;

  struct Node;

 private:
  explicit Filter(std::shared_ptr<const Node> root) : root_(std::move(root)) {}
  std::shared_ptr<const Node> root_;
};

// "metadata.updateTime desc, metadata.name": by which fields a list is ordered, and last by the FQN.
class Order {
 public:
  static constexpr size_t kMaxFields = 4;
  static constexpr size_t kKeyBytes = 256;  // Of a text; what differs only behind them is ordered by the FQN.

  // "" = by the FQN alone. INVALID_ARGUMENT BAD_ORDER with a violation of the field `orderBy`.
  static Result<Order> Parse(const google::protobuf::Descriptor& message, std::string_view text);

  bool by_fqn() const { return fields_.empty(); }
  // Bytes whose order is that of the resources.
  std::string KeyOf(const google::protobuf::Message& message, std::string_view fqn) const;

 private:
  struct Field {
    FilterPath path;
    bool descending = false;
  };
  std::vector<Field> fields_;
};

}  // namespace weir::resource
