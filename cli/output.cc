#include "cli/output.h"

#include <google/protobuf/message.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <iostream>

#include "api/weir/v2/metadata.pb.h"
#include "cli/commands.h"
#include "cli/jsonpath.h"

namespace weir::cli {
namespace {

using google::protobuf::Message;

// What a person looks for first, as the kind says it.
std::string Detail(const Message& message, size_t most) {
  std::vector<std::string> parts = resource::KindOf(message)->rules.summary(message);
  std::erase(parts, "");
  if (parts.size() > most) {
    const size_t more = parts.size() - most;
    parts.resize(most);
    parts.push_back(fmt::format("and {} more", more));
  }
  return Joined(parts);
}

std::string PlaceOf(const v2::Metadata& metadata) {
  std::string in;
  for (const std::string* part :
       {&metadata.organization(), &metadata.tenant(), &metadata.workspace(), &metadata.group()}) {
    if (!part->empty()) in += (in.empty() ? "" : "/") + *part;
  }
  return in;
}

std::string LabelsOf(const v2::Metadata& metadata) {
  std::vector<std::string> labels;
  for (const auto& [key, value] : metadata.labels()) labels.push_back(fmt::format("{}={}", key, value));
  std::sort(labels.begin(), labels.end());
  return Joined(labels);
}

std::string TableOf(const std::vector<ResourceMessage>& resources, bool wide) {
  std::vector<std::vector<std::string>> rows = {{"NAME", "IN", "REVISION", "UPDATED"}};
  if (wide) rows[0].insert(rows[0].end(), {"LABELS", "UID"});
  rows[0].emplace_back("");
  for (const auto& message : resources) {
    const v2::Metadata& metadata = resource::MetadataOf(*message);
    const std::string updated =
        metadata.has_update_time()
            ? google::protobuf::util::TimeUtil::ToString(metadata.update_time()).substr(0, 19) + "Z"
            : "";
    rows.push_back({metadata.name(), PlaceOf(metadata), std::to_string(metadata.revision()), updated});
    if (wide) rows.back().insert(rows.back().end(), {LabelsOf(metadata), metadata.uid()});
    rows.back().push_back(Detail(*message, wide ? 100 : 3));
  }
  return Table(rows);
}

document::Node ListOf(const std::vector<ResourceMessage>& resources) {
  document::Node list = document::Node::Sequence();
  for (const auto& message : resources) list.items.push_back(JsonOf(*message));
  return list;
}

Status PrintPath(const std::vector<ResourceMessage>& resources, const std::string& path, bool single) {
  document::Node list = ListOf(resources);
  document::Node root = document::Node::Map();
  if (single) {
    root = std::move(list.items[0]);
  } else {
    root.Add("items", std::move(list));
  }
  WEIR_ASSIGN(const std::string text, EvaluateJsonPath(root, path));
  std::cout << text << (text.ends_with('\n') ? "" : "\n");
  return {};
}

}  // namespace

std::string Joined(const std::vector<std::string>& parts) {
  std::string out;
  for (const std::string& part : parts) out += (out.empty() ? "" : ", ") + part;
  return out;
}

Result<Format> FormatOf(const Flags& flags) {
  Format format{.name = flags.Get("output", "table"), .path = ""};
  if (format.name.starts_with("jsonpath=")) {
    format.path = format.name.substr(9);
    format.name = "jsonpath";
    return format;
  }
  for (const char* known : {"table", "wide", "name", "yaml", "json"}) {
    if (format.name == known) return format;
  }
  return Usage("-o is table, wide, name, yaml, json or jsonpath='{.metadata.name}'");
}

Status Print(const std::vector<ResourceMessage>& resources, const Format& format, bool single) {
  // A table says little about bindings.
  const bool bindings = single && resource::KindOf(*resources[0])->kind == resource::Kind::kAccessBindings;
  if (format.name == "json") {
    const document::Node list = ListOf(resources);
    std::cout << document::WriteJson(single ? list.items[0] : list, true);
  } else if (format.name == "jsonpath") {
    return PrintPath(resources, format.path, single);
  } else if (format.name == "yaml" || (bindings && format.name != "name")) {
    for (size_t i = 0; i < resources.size(); ++i) {
      std::cout << (i == 0 ? "" : "---\n") << document::WriteYaml(DocumentOf(*resources[i]));
    }
  } else if (format.name == "name") {
    for (const auto& message : resources) std::cout << resource::MetadataOf(*message).fqn() << "\n";
  } else if (resources.empty()) {
    std::cerr << "There are none that you may read.\n";
  } else {
    std::cout << TableOf(resources, format.name == "wide");
  }
  return {};
}

}  // namespace weir::cli
