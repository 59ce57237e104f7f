#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libs/base/result.h"

namespace weir::v2 {
class FailoverSettings;
class Metadata;
class NamespaceSelector;
}  // namespace weir::v2

// What the rules of kinds are made of: each check appends a violation, by JSON path, for what is wrong.
namespace weir::resource {

inline constexpr std::string_view kLabelRule = "must be a DNS label: a-z, 0-9 and -, at most 63 characters";
inline constexpr std::string_view kHostRule = "must be a DNS name in lower case, or \"*.\" before one";
inline constexpr std::string_view kNotServed = "not served yet";

bool IsLabelText(std::string_view text);  // Kubernetes: the name part of a label key, and every non-empty label value.
bool IsLabelKey(std::string_view key);
bool IsVisible(std::string_view text);  // What may stand in a header value or request line: visible ASCII.

class Checker {
 public:
  explicit Checker(std::vector<FieldViolation>& violations) : violations_(violations) {}

  void Add(std::string field, std::string text) { violations_.push_back({std::move(field), std::move(text), 0, 0}); }
  void Require(bool ok, const std::string& field, std::string_view text) {
    if (!ok) Add(field, std::string(text));
  }
  // Of one that has no name of its own (AccessBindings) `named` is false.
  void Metadata(const v2::Metadata& metadata, bool named);
  template <typename Map>
  void Labels(const Map& labels, const std::string& field) {
    SortedLabels({labels.begin(), labels.end()}, field);
  }
  // Empty, or as the value of a label.
  void LabelText(const std::string& value, const std::string& field);
  void Namespaces(const v2::NamespaceSelector& selector);
  void Failover(const v2::FailoverSettings& settings, const std::string& at);

 private:
  void SortedLabels(const std::map<std::string, std::string>& labels, const std::string& field);
  void Regions(const v2::FailoverSettings& settings, const std::string& at);
  void Priorities(const v2::FailoverSettings& settings, const std::string& at);

  std::vector<FieldViolation>& violations_;
};

}  // namespace weir::resource
