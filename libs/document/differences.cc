#include "libs/document/differences.h"

#include <fmt/format.h>
#include <google/protobuf/any.pb.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/message.h>
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "libs/base/text.h"
#include "libs/document/document.h"

namespace weir::document {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr int kMostDeep = 64;

// What an Any holds; null: it is none, or of a type that is not linked in.
std::unique_ptr<Message> Opened(const Message& message) {
  const auto* any = dynamic_cast<const google::protobuf::Any*>(&message);
  if (any == nullptr) return nullptr;
  const std::string& url = any->type_url();
  const auto* type =
      google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(url.substr(url.rfind('/') + 1));
  if (type == nullptr) return nullptr;
  std::unique_ptr<Message> held(google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
  return held->ParseFromString(any->value()) ? std::move(held) : nullptr;
}

// A field of a message: one entry of it where it is a list (index >= 0).
struct Place {
  const Message* message = nullptr;
  const FieldDescriptor* field = nullptr;
  int index = -1;

  const Message& Get() const {
    const auto& from = *message->GetReflection();
    return index < 0 ? from.GetMessage(*message, field) : from.GetRepeatedMessage(*message, field, index);
  }
  bool IsMessage() const { return field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE; }
};

std::string JsonOf(const Message& message) {
  const std::unique_ptr<Message> held = Opened(message);
  std::string text = WriteJson(FromMessage(held ? *held : message));
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

std::string Text(const Place& place) {
  if (place.IsMessage()) return JsonOf(place.Get());
  const auto& from = *place.message->GetReflection();
  const bool many = place.index >= 0;
  const auto pick = [&](auto one, auto of_many) {
    return many ? (from.*of_many)(*place.message, place.field, place.index) : (from.*one)(*place.message, place.field);
  };
  using R = google::protobuf::Reflection;
  switch (place.field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string text = WriteJson(Node::String(pick(&R::GetString, &R::GetRepeatedString)));
      while (text.ends_with('\n')) text.pop_back();
      return text;
    }
    case FieldDescriptor::CPPTYPE_BOOL:
      return pick(&R::GetBool, &R::GetRepeatedBool) ? "true" : "false";
    case FieldDescriptor::CPPTYPE_ENUM:
      return pick(&R::GetEnum, &R::GetRepeatedEnum)->name();
    case FieldDescriptor::CPPTYPE_INT32:
      return std::to_string(pick(&R::GetInt32, &R::GetRepeatedInt32));
    case FieldDescriptor::CPPTYPE_INT64:
      return std::to_string(pick(&R::GetInt64, &R::GetRepeatedInt64));
    case FieldDescriptor::CPPTYPE_UINT32:
      return std::to_string(pick(&R::GetUInt32, &R::GetRepeatedUInt32));
    case FieldDescriptor::CPPTYPE_UINT64:
      return std::to_string(pick(&R::GetUInt64, &R::GetRepeatedUInt64));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return fmt::format("{}", pick(&R::GetFloat, &R::GetRepeatedFloat));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return fmt::format("{}", pick(&R::GetDouble, &R::GetRepeatedDouble));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;
  }
  return "";
}

bool Same(const Message& a, const Message& b) { return google::protobuf::util::MessageDifferencer::Equals(a, b); }
bool Same(const Place& a, const Place& b) { return a.IsMessage() ? Same(a.Get(), b.Get()) : Text(a) == Text(b); }

// What an entry is called within its list; "" = nothing.
std::string NameOf(const Place& entry) {
  if (!entry.IsMessage()) return "";
  const Message& message = entry.Get();
  for (const char* name : {"name", "cluster", "hostname", "domain", "key"}) {
    const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(name);
    if (field == nullptr || field->is_repeated() || field->cpp_type() != FieldDescriptor::CPPTYPE_STRING) continue;
    return message.GetReflection()->GetString(message, field);
  }
  return "";
}

std::vector<Place> EntriesOf(const Message& message, const FieldDescriptor* field) {
  std::vector<Place> entries;
  for (int i = 0; i < message.GetReflection()->FieldSize(message, field); ++i) entries.push_back({&message, field, i});
  return entries;
}

// By name; empty where some entry has none, or not one of its own.
std::map<std::string, Place> ByName(const std::vector<Place>& entries) {
  std::map<std::string, Place> named;
  for (const Place& entry : entries) {
    if (std::string name = NameOf(entry); name.empty() || !named.emplace(std::move(name), entry).second) return {};
  }
  return named;
}

class Comparison {
 public:
  explicit Comparison(const DifferenceLimits& limits) : limits_(limits) {}

  void Run(const Message& before, const Message& after, const std::string& path, int depth) {
    if (depth > kMostDeep || Same(before, after)) return;
    if (const auto a = Opened(before), b = Opened(after); a && b && a->GetDescriptor() == b->GetDescriptor()) {
      return Fields(*a, *b, path, depth);
    }
    const std::string& type = before.GetDescriptor()->full_name();
    if (type.starts_with("google.protobuf.")) return Add(path, JsonOf(before), JsonOf(after));
    Fields(before, after, path, depth);
  }
  Differences Take() && { return std::move(out_); }

 private:
  void Fields(const Message& before, const Message& after, const std::string& path, int depth) {
    const auto& type = *before.GetDescriptor();
    for (int i = 0; i < type.field_count(); ++i) {
      const FieldDescriptor* field = type.field(i);
      const std::string at = path.empty() ? field->json_name() : path + "." + field->json_name();
      if (field->is_repeated()) {
        List(EntriesOf(before, field), EntriesOf(after, field), at, depth);
      } else {
        const bool was = before.GetReflection()->HasField(before, field);
        const bool is = after.GetReflection()->HasField(after, field);
        Pair(was ? std::optional(Place{&before, field}) : std::nullopt,
             is ? std::optional(Place{&after, field}) : std::nullopt, at, depth);
      }
    }
  }

  void Pair(const std::optional<Place>& before, const std::optional<Place>& after, const std::string& path, int depth) {
    if (!before && !after) return;
    if (before && after && Same(*before, *after)) return;
    if (before && after && before->IsMessage()) return Run(before->Get(), after->Get(), path, depth + 1);
    Add(path, before ? std::optional(Text(*before)) : std::nullopt, after ? std::optional(Text(*after)) : std::nullopt);
  }

  void List(const std::vector<Place>& before, const std::vector<Place>& after, const std::string& path, int depth) {
    if (before.empty() && after.empty()) return;
    const auto was = ByName(before), is = ByName(after);
    if (was.size() == before.size() && is.size() == after.size()) {
      for (const auto& [name, entry] : was) {
        const auto found = is.find(name);
        Pair(entry, found == is.end() ? std::nullopt : std::optional(found->second), path + "[" + name + "]", depth);
      }
      for (const auto& [name, entry] : is) {
        if (!was.contains(name)) Pair(std::nullopt, entry, path + "[" + name + "]", depth);
      }
      if (was.size() == is.size() && std::equal(was.begin(), was.end(), is.begin(),
                                                [](const auto& a, const auto& b) { return a.first == b.first; })) {
        Order(before, after, path);
      }
      return;
    }
    size_t begin = 0, end = 0;  // `end` is counted from the back.
    while (begin < before.size() && begin < after.size() && Same(before[begin], after[begin])) ++begin;
    const size_t most = std::min(before.size(), after.size()) - begin;
    while (end < most && Same(before[before.size() - 1 - end], after[after.size() - 1 - end])) ++end;
    const size_t left = before.size() - begin - end, right = after.size() - begin - end;
    for (size_t i = 0; i < std::max(left, right); ++i) {
      Pair(i < left ? std::optional(before[begin + i]) : std::nullopt,
           i < right ? std::optional(after[begin + i]) : std::nullopt, fmt::format("{}[{}]", path, begin + i), depth);
    }
  }

  // Of lists with the same names: the order may say something, too.
  void Order(const std::vector<Place>& before, const std::vector<Place>& after, const std::string& path) {
    std::string was, is;
    for (const Place& entry : before) was += (was.empty() ? "" : ", ") + NameOf(entry);
    for (const Place& entry : after) is += (is.empty() ? "" : ", ") + NameOf(entry);
    if (was != is && !before.front().field->is_map()) Add(path, "order " + was, "order " + is);
  }

  void Add(const std::string& path, std::optional<std::string> before, std::optional<std::string> after) {
    if (out_.lines.size() >= limits_.lines) {
      ++out_.more;
      return;
    }
    for (auto* text : {&before, &after}) {
      if (*text && (*text)->size() > limits_.value) *text = std::string(Shortened(**text, limits_.value)) + "...";
    }
    out_.lines.push_back({path, std::move(before), std::move(after)});
  }

  const DifferenceLimits limits_;
  Differences out_;
};

}  // namespace

Differences Compare(const Message& before, const Message& after, const DifferenceLimits& limits) {
  Comparison comparison(limits);
  comparison.Run(before, after, "", 0);
  return std::move(comparison).Take();
}

}  // namespace weir::document
