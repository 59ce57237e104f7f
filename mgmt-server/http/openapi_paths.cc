#include "mgmt-server/http/openapi_paths.h"

#include "libs/resource/kinds.h"

namespace weir::edge {
namespace {

std::vector<std::string> SegmentsOf(std::string_view text) {
  std::vector<std::string> segments;
  while (!text.empty()) {
    if (text.front() == '/') text.remove_prefix(1);
    const size_t end = text.find('/');
    segments.emplace_back(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end);
  }
  return segments;
}

// Without the braces, of which only what they stand for counts here.
std::string Plain(std::string_view path) {
  std::string plain;
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '}') continue;
    if (path[i] != '{') {
      plain += path[i];
      continue;
    }
    i = path.find_first_of("=}", i);
    if (path[i] == '}') plain += '*';
  }
  return plain;
}

// "policies" -> "policy".
std::string Singular(std::string_view collection) {
  if (collection.ends_with("ies")) return std::string(collection.substr(0, collection.size() - 3)) + "y";
  if (collection.ends_with("s")) collection.remove_suffix(1);
  return std::string(collection);
}

OpenPath Named(const std::vector<std::string>& segments, std::string_view verb, std::string_view suffix) {
  OpenPath path{.text = "", .parameters = {}, .suffix = std::string(suffix)};
  for (size_t i = 0; i < segments.size(); ++i) {
    if (segments[i] != "*") {
      path.text += "/" + segments[i];
    } else {
      path.parameters.push_back(Singular(segments[i - 1]));
      path.text += "/{" + path.parameters.back() + "}";
    }
  }
  path.text += verb;
  return path;
}

// "organizations/*/tenants/*"
std::vector<std::string> NameOf(const resource::KindInfo& kind) {
  std::vector<std::string> segments;
  if (const auto parent = kind.parent()) segments = NameOf(resource::Info(*parent));
  segments.emplace_back(kind.collection);
  segments.emplace_back("*");
  return segments;
}

}  // namespace

std::vector<OpenPath> OpenPaths(std::string_view path_template) {
  std::string plain = Plain(path_template);
  const size_t colon = plain.rfind(':');
  const std::string verb = colon == std::string::npos ? "" : plain.substr(colon);
  plain.resize(plain.size() - verb.size());
  const std::vector<std::string> segments = SegmentsOf(plain);
  size_t deep = 0;
  while (deep < segments.size() && segments[deep] != "**") ++deep;
  if (deep == segments.size()) return {Named(segments, verb, "")};
  std::vector<OpenPath> paths;
  for (const resource::KindInfo& kind : resource::Kinds()) {
    const std::vector<std::string> name = NameOf(kind);
    if (kind.kind == resource::Kind::kAccessBindings || name[0] != segments[deep - 1]) continue;
    std::vector<std::string> whole(segments.begin(), segments.begin() + static_cast<std::ptrdiff_t>(deep));
    whole.insert(whole.end(), name.begin() + 1, name.end());
    whole.insert(whole.end(), segments.begin() + static_cast<std::ptrdiff_t>(deep) + 1, segments.end());
    paths.push_back(Named(whole, verb, kind.name));
  }
  return paths;
}

std::vector<std::string> BoundFields(std::string_view path_template) {
  std::vector<std::string> fields;
  for (size_t at = path_template.find('{'); at != std::string_view::npos; at = path_template.find('{', at + 1)) {
    fields.emplace_back(path_template.substr(at + 1, path_template.find_first_of("=}", at) - at - 1));
  }
  return fields;
}

}  // namespace weir::edge
