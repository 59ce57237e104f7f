#include "cli/contexts.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "cli/commands.h"
#include "libs/base/file.h"
#include "libs/document/document.h"

namespace weir::cli {
namespace {

using document::Node;

std::string Folder() {
  const auto environment = [](const char* name) -> std::string {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
  };
  if (std::string home = environment("WEIR_HOME"); !home.empty()) return home;
  if (const std::string config = environment("XDG_CONFIG_HOME"); !config.empty()) return config + "/weir";
  return environment("HOME") + "/.config/weir";
}

std::string FormerPath() { return Folder() + "/session.json"; }

// "" when there is no such file.
Result<std::string> TextOf(const std::string& path) {
  auto text = ReadFile(path, 1u << 22);
  if (!text.ok() && text.error().reason == "FILE_MISSING") return std::string();
  return text;
}

std::string TextIn(const Node& node, const char* key) {
  const Node* value = node.Find(key);
  return value == nullptr ? "" : value->text;
}

Context ContextIn(const Node& node, std::string name) {
  return {std::move(name), TextIn(node, "server"), TextIn(node, "anchorPem"), TextIn(node, "organization"),
          TextIn(node, "token")};
}

Result<Node> ParseStored(const std::string& text, const std::string& path) {
  auto node = document::ParseOne(text, {}, document::Syntax::kJson);
  if (node.ok()) return node;
  return Usage(path + " cannot be read; take it away and log in again with weir login");
}

}  // namespace

const Context* Contexts::Find(const std::string& name) const {
  const auto found = std::find_if(all.begin(), all.end(), [&](const Context& each) { return each.name == name; });
  return found == all.end() ? nullptr : &*found;
}
Context* Contexts::Find(const std::string& name) { return const_cast<Context*>(std::as_const(*this).Find(name)); }

Status Contexts::Put(Context context) {
  if (current.empty()) current = context.name;
  if (Context* known = Find(context.name)) {
    *known = std::move(context);
    return {};
  }
  if (all.size() >= kMost) return Usage(fmt::format("there are {} contexts already", kMost));
  all.push_back(std::move(context));
  return {};
}

std::string ContextsPath() { return Folder() + "/contexts.json"; }

Result<Contexts> ReadContexts() {
  Contexts contexts;
  WEIR_ASSIGN(const std::string text, TextOf(ContextsPath()));
  if (text.empty()) {
    WEIR_ASSIGN(const std::string former, TextOf(FormerPath()));
    if (former.empty()) return contexts;
    WEIR_ASSIGN(const Node node, ParseStored(former, FormerPath()));
    WEIR_TRY(contexts.Put(ContextIn(node, Contexts::kDefault)));
    return contexts;
  }
  WEIR_ASSIGN(const Node node, ParseStored(text, ContextsPath()));
  if (const Node* list = node.Find("contexts")) {
    for (const Node& item : list->items) WEIR_TRY(contexts.Put(ContextIn(item, TextIn(item, "name"))));
  }
  contexts.current = TextIn(node, "current");
  return contexts;
}

Status WriteContexts(const Contexts& contexts) {
  Node node = Node::Map();
  node.Add("current", Node::String(contexts.current));
  Node list = Node::Sequence();
  for (const Context& context : contexts.all) {
    Node item = Node::Map();
    item.Add("name", Node::String(context.name));
    item.Add("server", Node::String(context.server));
    item.Add("organization", Node::String(context.organization));
    item.Add("anchorPem", Node::String(context.anchor_pem));
    item.Add("token", Node::String(context.token));
    list.items.push_back(std::move(item));
  }
  node.Add("contexts", std::move(list));
  WEIR_TRY(MakeFolders(Folder(), 0700));
  WEIR_TRY(WriteFileAtomic(ContextsPath(), document::WriteJson(node, true), 0600));
  unlink(FormerPath().c_str());  // Its content is in the new file; its token must not outlive a logout.
  return {};
}

Status CheckContextName(const std::string& name) {
  const bool good =
      !name.empty() && name.size() <= 64 &&
      name.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == std::string::npos;
  if (good) return {};
  return Usage("the name of a context is 1 to 64 characters of A-Z, a-z, 0-9, '.', '_' and '-'");
}

}  // namespace weir::cli
