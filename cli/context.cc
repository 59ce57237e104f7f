#include <iostream>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/contexts.h"
#include "libs/base/file.h"

namespace weir::cli {
namespace {

// NAME, of one that is there. USAGE.
Result<Context> Named(const Contexts& contexts, const Flags& flags, const char* verb) {
  if (flags.words.size() != 1) return Usage(fmt::format("context {} wants one NAME", verb));
  const Context* found = contexts.Find(flags.words[0]);
  if (found == nullptr)
    return Usage(fmt::format("there is no context \"{}\"; weir context list shows them", flags.words[0]));
  return *found;
}

Result<int> List(const Flags& flags) {
  const std::string format = flags.Get("output", "table");
  if (format != "table" && format != "name") return Usage("-o is table or name");
  if (!flags.words.empty()) return Usage("context list takes no argument");
  WEIR_ASSIGN(const Contexts contexts, ReadContexts());
  std::vector<std::vector<std::string>> rows = {{"", "NAME", "SERVER", "ORGANIZATION", "LOGGED IN"}};
  for (const Context& context : contexts.all) {
    if (format == "name") std::cout << context.name << "\n";
    rows.push_back({context.name == contexts.current ? "*" : "", context.name, context.server, context.organization,
                    context.token.empty() ? "no" : "yes"});
  }
  if (format == "name") return kExitOk;
  if (contexts.all.empty())
    std::cerr << "There is none yet; weir login or weir context set makes one.\n";
  else
    std::cout << Table(rows);
  return kExitOk;
}

Result<int> Use(const Flags& flags) {
  WEIR_ASSIGN(Contexts contexts, ReadContexts());
  WEIR_ASSIGN(const Context context, Named(contexts, flags, "use"));
  contexts.current = context.name;
  WEIR_TRY(WriteContexts(contexts));
  std::cout << "from now on: " << context.name << " (" << context.server << ")\n";
  return kExitOk;
}

Result<int> Set(const Flags& flags) {
  if (flags.words.size() != 1) return Usage("context set wants one NAME");
  WEIR_TRY(CheckContextName(flags.words[0]));
  WEIR_ASSIGN(Contexts contexts, ReadContexts());
  const Context* known = contexts.Find(flags.words[0]);
  Context context =
      known != nullptr
          ? *known
          : Context{.name = flags.words[0], .server = "", .anchor_pem = "", .organization = "default", .token = ""};
  const Context before = context;
  if (flags.Has("server")) context.server = Target(flags.Get("server"));
  if (flags.Has("org")) context.organization = flags.Get("org");
  if (flags.Has("ca-file")) {
    auto pem = ReadFile(flags.Get("ca-file"), 1u << 20);
    if (!pem.ok()) return Usage("--ca-file: " + pem.error().message);
    context.anchor_pem = std::move(*pem);
  }
  if (context.server.empty() || context.anchor_pem.empty()) {
    return Usage("a new context wants --server HOST:PORT and --ca-file FILE (server-anchor.pem of the server)");
  }
  // A token goes to the server that gave it, and speaks in the organization that it was given in.
  const bool elsewhere = context.server != before.server || context.organization != before.organization ||
                         context.anchor_pem != before.anchor_pem;
  if (elsewhere) context.token.clear();
  WEIR_TRY(contexts.Put(context));
  WEIR_TRY(WriteContexts(contexts));
  std::cout << "context " << context.name << " is " << context.organization << " at " << context.server
            << (context.token.empty() ? "; log in with: weir login USER --context " + context.name : "") << "\n";
  return kExitOk;
}

Result<int> Delete(const Flags& flags) {
  WEIR_ASSIGN(Contexts contexts, ReadContexts());
  WEIR_ASSIGN(const Context context, Named(contexts, flags, "delete"));
  std::erase_if(contexts.all, [&](const Context& each) { return each.name == context.name; });
  if (contexts.current == context.name) contexts.current.clear();
  WEIR_TRY(WriteContexts(contexts));
  std::cout << "context " << context.name
            << " deleted; its token is forgotten here, weir logout ends one at the server\n";
  if (contexts.current.empty() && !contexts.all.empty()) std::cout << "none is current now; weir context use NAME\n";
  return kExitOk;
}

}  // namespace

Command ContextListCommand() {
  return {"context list",
          "list the servers that are known here",
          R"(Usage: weir context list [-o table|name]

One line for each context: a server, whom to believe there, an organization and, once logged in, a token. The one with *
is used when --context and WEIR_CONTEXT name no other. They stand in contexts.json of ~/.config/weir (or $WEIR_HOME),
readable only by you.

  weir context list
)",
          {{"output"}, {}, {{'o', "output"}}},
          List};
}
Command ContextUseCommand() {
  return {"context use",
          "choose the server that later commands talk to",
          R"(Usage: weir context use NAME

  weir context use staging
  weir get clusters --context production      once, another one
)",
          {},
          Use};
}
Command ContextSetCommand() {
  return {"context set",
          "add a server, or change one",
          R"(Usage: weir context set NAME [--server HOST:PORT] [--ca-file FILE] [--org NAME]

A new one wants --server and --ca-file; of one that is there only what is given is changed. Where the server, its anchor
or the organization changes, the token is forgotten.

  weir context set staging --server weir.staging.example.com:9443 --ca-file staging-anchor.pem --org acme
  weir login ann --context staging
)",
          {},
          Set};
}
Command ContextDeleteCommand() {
  return {"context delete",
          "forget a server and its token",
          R"(Usage: weir context delete NAME

  weir context delete staging
)",
          {},
          Delete};
}

}  // namespace weir::cli
