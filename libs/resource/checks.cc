#include "libs/resource/checks.h"

#include <algorithm>
#include <set>

#include "api/weir/v2/gateway_types.pb.h"
#include "api/weir/v2/metadata.pb.h"
#include "api/weir/v2/workspace.pb.h"
#include "libs/resource/conflicts.h"
#include "libs/resource/validate.h"

namespace weir::resource {
namespace {

constexpr size_t kMaxAnnotationBytes = 256u << 10;
constexpr int kMaxRegionPairs = 64;
constexpr int kMaxPriorities = 16;

bool IsAlnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

}  // namespace

bool IsLabelText(std::string_view text) {
  if (text.empty() || text.size() > 63 || !IsAlnum(text.front()) || !IsAlnum(text.back())) return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return IsAlnum(c) || c == '-' || c == '_' || c == '.'; });
}
bool IsLabelKey(std::string_view key) {
  const size_t slash = key.find('/');
  if (slash == std::string_view::npos) return IsLabelText(key);
  return IsDnsName(key.substr(0, slash)) && IsLabelText(key.substr(slash + 1));
}
bool IsVisible(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7F; });
}

void Checker::Metadata(const v2::Metadata& metadata, bool named) {
  if (named && metadata.name().empty()) {
    Add("metadata.name", "required");
  } else if (named) {
    Require(IsDnsLabel(metadata.name()), "metadata.name", kLabelRule);
  }
  Require(metadata.display_name().size() <= 256, "metadata.displayName", "must be at most 256 bytes");
  Require(metadata.description().size() <= 4096, "metadata.description", "must be at most 4096 bytes");
  Labels(metadata.labels(), "metadata.labels");
  size_t bytes = 0;
  for (const auto& [key, value] : metadata.annotations()) {
    Require(IsLabelKey(key), "metadata.annotations." + key, "must have a key like \"team\" or \"example.com/team\"");
    bytes += key.size() + value.size();
  }
  Require(bytes <= kMaxAnnotationBytes, "metadata.annotations", "must be at most 256 KiB together");
}

void Checker::SortedLabels(const std::map<std::string, std::string>& labels, const std::string& field) {
  for (const auto& [key, value] : labels) {
    Require(IsLabelKey(key), field + "." + key, "must have a key like \"app\" or \"example.com/app\"");
    LabelText(value, field + "." + key);
  }
}

void Checker::LabelText(const std::string& value, const std::string& field) {
  Require(value.empty() || IsLabelText(value), field, "must be letters, digits, -, _ and ., at most 63 characters");
}

void Checker::Namespaces(const v2::NamespaceSelector& selector) {
  constexpr int kMost = 1000;
  std::set<std::string> seen;
  if (selector.names_size() > kMost) {
    return Add("spec.namespaceSelector.names", fmt::format("must be at most {}; * stands for any", kMost));
  }
  for (int i = 0; i < selector.names_size(); ++i) {
    const std::string at = fmt::format("spec.namespaceSelector.names[{}]", i);
    Require(ParseNamespacePattern(selector.names(i)).ok(), at, "must be \"cluster/namespace\"; either may be *");
    Require(seen.insert(selector.names(i)).second, at, "stands there twice");
  }
}

void Checker::Failover(const v2::FailoverSettings& settings, const std::string& at) {
  Require(v2::FailoverSettings::Mode_IsValid(settings.mode()), at + ".mode", "must be PROPORTIONAL or ORDERED");
  Regions(settings, at);
  Priorities(settings, at);
}

void Checker::Regions(const v2::FailoverSettings& settings, const std::string& at) {
  const auto& pairs = settings.regional_failover();
  Require(pairs.size() <= kMaxRegionPairs, at + ".regionalFailover", "must be at most 64 pairs");
  std::set<std::pair<std::string, std::string>> seen;
  for (int i = 0; i < pairs.size(); ++i) {
    const std::string pair = fmt::format("{}.regionalFailover[{}]", at, i);
    const auto region = [&](const std::string& text, const char* field) {
      Require(IsLabelText(text), pair + field,
              text.empty() ? "required: a region of clusters"
                           : "must be letters, digits, -, _ and ., at most 63 characters");
    };
    region(pairs[i].from(), ".from");
    region(pairs[i].to(), ".to");
    if (pairs[i].from().empty() || pairs[i].to().empty()) continue;
    Require(pairs[i].from() != pairs[i].to(), pair, "a region cannot take over from itself");
    Require(seen.emplace(pairs[i].from(), pairs[i].to()).second, pair, "stands there twice");
  }
}

void Checker::Priorities(const v2::FailoverSettings& settings, const std::string& at) {
  const auto& labels = settings.failover_priority();
  Require(labels.size() <= kMaxPriorities, at + ".failoverPriority", "must be at most 16");
  std::set<std::string> keys;
  for (int i = 0; i < labels.size(); ++i) {
    const std::string field = fmt::format("{}.failoverPriority[{}]", at, i);
    const std::string_view label = labels[i];
    const std::string_view key = label.substr(0, label.find('='));
    const std::string_view value = key.size() == label.size() ? std::string_view() : label.substr(key.size() + 1);
    Require(IsLabelKey(key) && (value.empty() || IsLabelText(value)), field,
            "must be a label key of clusters, or key=value");
    Require(keys.emplace(key).second, field, "the same key stands there twice");
  }
}

}  // namespace weir::resource
