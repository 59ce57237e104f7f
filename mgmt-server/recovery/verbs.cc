#include "mgmt-server/recovery/verbs.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "mgmt-server/recovery/state_folder.h"
#include "mgmt-server/store/sqlite/sqlite_store.h"

namespace weir::recovery {

const char* const kVerbsHelp =
    "weir-server backup --state-dir DIR --to FILE\n"
    "  A consistent copy of the server's state, also while it runs. FILE holds the keys of the certificate authority:\n"
    "  keep it as you keep those.\n"
    "weir-server restore --state-dir DIR --from FILE [--replace]\n"
    "  Puts a backup in the place of the state of a server that does not run. With --replace what was there is kept\n"
    "  beside it. Clusters that acknowledged more than the backup knows keep it until `weir server adopt-state`.\n";

namespace {

struct Flags {
  std::map<std::string, std::string, std::less<>> values;
  std::string wrong;  // "" = all is well.
};

Flags Read(const std::vector<std::string>& arguments, const std::set<std::string, std::less<>>& with_value,
           const std::set<std::string, std::less<>>& alone) {
  Flags flags;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const size_t equals = arguments[i].find('=');
    const std::string name = arguments[i].substr(0, equals);
    if (alone.contains(name) && equals == std::string::npos) {
      flags.values[name] = "true";
    } else if (with_value.contains(name) && equals != std::string::npos) {
      flags.values[name] = arguments[i].substr(equals + 1);
    } else if (with_value.contains(name) && i + 1 < arguments.size()) {
      flags.values[name] = arguments[++i];
    } else {
      flags.wrong = with_value.contains(name) ? name + " needs a value" : "unknown argument " + arguments[i];
      return flags;
    }
  }
  for (const std::string& name : with_value) {
    if (flags.values[name].empty()) flags.wrong = name + " is missing";
  }
  return flags;
}

int Fail(const Error& error) {
  std::fprintf(stderr, "weir-server: %s\n", error.ToString().c_str());
  if (!error.cause.empty()) std::fprintf(stderr, "  cause: %s\n", error.cause.c_str());
  return 1;
}

}  // namespace

std::optional<int> RunVerb(int argc, const char* const* argv) {
  const std::string_view verb = argc > 1 ? argv[1] : "";
  const bool backup = verb == "backup";
  if (!backup && verb != "restore") return std::nullopt;
  const std::vector<std::string> arguments(argv + 2, argv + argc);
  if (std::any_of(arguments.begin(), arguments.end(),
                  [](const auto& word) { return word == "--help" || word == "-h"; })) {
    std::printf("%s", kVerbsHelp);
    return 0;
  }
  Flags flags =
      backup ? Read(arguments, {"--state-dir", "--to"}, {}) : Read(arguments, {"--state-dir", "--from"}, {"--replace"});
  if (!flags.wrong.empty()) {
    std::fprintf(stderr, "weir-server: %s\n%s", flags.wrong.c_str(), kVerbsHelp);
    return 2;
  }
  const std::string& state_dir = flags.values["--state-dir"];
  if (backup) {
    const auto made = store::BackupSqlite(StorePath(state_dir), flags.values["--to"]);
    if (!made.ok()) return Fail(made.error());
    std::printf("%s holds the state at revision %lld\n", flags.values["--to"].c_str(),
                static_cast<long long>(made->revision));
    return 0;
  }
  const auto restored = Restore(state_dir, flags.values["--from"], flags.values.contains("--replace"), Clock::Real());
  if (!restored.ok()) return Fail(restored.error());
  std::printf("%s holds the state of the backup, revision %lld\n", state_dir.c_str(),
              static_cast<long long>(restored->revision));
  return 0;
}

}  // namespace weir::recovery
