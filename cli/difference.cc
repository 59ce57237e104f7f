#include "cli/difference.h"

#include <set>

#include "api/weir/v2/metadata.pb.h"
#include "cli/objects.h"
#include "libs/base/text.h"
#include "libs/resource/validate.h"

namespace weir::cli {
namespace {

constexpr size_t kMaxLines = 20;
constexpr size_t kMaxValue = 160;

std::string Value(const document::Node* node) {
  if (node == nullptr) return "nothing";
  std::string text = document::WriteJson(*node);
  while (text.ends_with('\n')) text.pop_back();
  return Printable(text.size() > kMaxValue ? std::string(Shortened(text, kMaxValue)) + "..." : text);
}

class Comparison {
 public:
  explicit Comparison(size_t limit) : limit_(limit) {}

  void Run(const document::Node* stored, const document::Node* yours, const std::string& path) {
    using Type = document::Node::Type;
    if (lines_.size() >= limit_ || (stored == nullptr && yours == nullptr)) return;
    const bool both = stored != nullptr && yours != nullptr;
    if (both && stored->type == Type::kMap && yours->type == Type::kMap) {
      std::set<std::string> keys;
      for (const auto* side : {stored, yours}) {
        for (const auto& member : side->members) keys.insert(member.key);
      }
      for (const std::string& key : keys) {
        Run(stored->Find(key), yours->Find(key), path.empty() ? key : path + "." + key);
      }
    } else if (both && stored->type == Type::kSequence && yours->type == Type::kSequence) {
      for (size_t i = 0; i < std::max(stored->items.size(), yours->items.size()); ++i) {
        Run(i < stored->items.size() ? &stored->items[i] : nullptr,
            i < yours->items.size() ? &yours->items[i] : nullptr, fmt::format("{}[{}]", path, i));
      }
    } else if (!both || document::WriteJson(*stored) != document::WriteJson(*yours)) {
      lines_.push_back(fmt::format("{}: stored {}, yours {}", Printable(path), Value(stored), Value(yours)));
    }
  }
  std::vector<std::string> lines() && { return std::move(lines_); }

 private:
  const size_t limit_;
  std::vector<std::string> lines_;
};

// What a person may set, as the server would store it.
document::Node Settled(const google::protobuf::Message& resource) {
  const ResourceMessage copy(resource.New());
  copy->CopyFrom(resource);
  resource::ClearOutputOnly(*copy);
  resource::Default(*copy);
  resource::MutableMetadataOf(*copy).clear_resource_version();
  return document::FromMessage(*copy);
}

std::string StaleDocument(Client& client, const document::Node& node) {
  std::vector<FieldViolation> ignored;
  const document::Envelope envelope = document::ReadEnvelope(node, ignored);
  const auto kind = resource::ResolveDocument(envelope.api_version, envelope.kind);
  if (!kind.ok()) return "";
  const ResourceMessage yours = resource::NewMessage((*kind)->kind);
  document::ReadOptions options;
  options.ignore = {"apiVersion", "kind"};
  document::ToMessage(node, *yours, ignored, options);
  const std::string version = resource::MetadataOf(*yours).resource_version();
  const auto name = resource::FqnOf((*kind)->kind, resource::MetadataOf(*yours), ignored);
  if (version.empty() || !name) return "";
  const auto fqn = resource::ParseFqn(*name);
  if (!fqn.ok()) return "";
  const auto stored = GetResource(client, *fqn);
  if (!stored.ok() || resource::MetadataOf(**stored).resource_version() == version) return "";
  resource::SetNames(*fqn, resource::MutableMetadataOf(*yours));
  std::string text = fmt::format("\n  {} was changed since you read it:", fqn->text);
  const auto lines = Differences(Settled(**stored), Settled(*yours), kMaxLines);
  for (const std::string& line : lines) text += "\n    " + line;
  if (lines.empty()) text += " to what you have";
  return text;
}

}  // namespace

std::vector<std::string> Differences(const document::Node& stored, const document::Node& yours, size_t limit) {
  Comparison comparison(limit);
  comparison.Run(&stored, &yours, "");
  return std::move(comparison).lines();
}

std::string StaleDocuments(Client& client, const std::string& documents) {
  const auto nodes = document::Parse(documents);
  if (!nodes.ok()) return "";
  std::string text;
  // Each costs a call; the rest is told by the next attempt.
  for (size_t i = 0, told = 0; i < nodes->size() && told < kMaxLines; ++i) {
    const std::string one = StaleDocument(client, (*nodes)[i]);
    told += one.empty() ? 0 : 1;
    text += one;
  }
  return text;
}

}  // namespace weir::cli
