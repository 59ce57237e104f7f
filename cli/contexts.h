#pragma once

#include <string>
#include <vector>

#include "libs/base/result.h"

namespace weir::cli {

// What `weir login` and `weir context` remember: servers, whom to believe there, and as whom to speak. One file,
// contexts.json in $WEIR_HOME or ~/.config/weir, mode 0600, replaced as a whole.
struct Context {
  std::string name;
  std::string server;        // "host:port"
  std::string anchor_pem;    // The server anchor.
  std::string organization;  // "" = "default".
  std::string token;         // "" = not logged in.
};

struct Contexts {
  static constexpr const char* kDefault = "default";  // The first one's name, unless somebody gives another.
  static constexpr size_t kMost = 256;

  std::string current;  // "" = none is.
  std::vector<Context> all;

  const Context* Find(const std::string& name) const;  // nullptr = there is none.
  Context* Find(const std::string& name);
  // Adds it, or replaces the one of its name; the first one is current. USAGE beyond kMost.
  Status Put(Context context);
};

std::string ContextsPath();
// None when there is no file yet. What an earlier `weir` left in session.json counts as the context "default". USAGE
// for a file that cannot be read.
Result<Contexts> ReadContexts();
Status WriteContexts(const Contexts& contexts);
// 1 to 64 characters of [A-Za-z0-9._-]. USAGE.
Status CheckContextName(const std::string& name);

}  // namespace weir::cli
