#include "mgmt-server/recovery/verbs.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "mgmt-server/recovery/reset_password.h"
#include "mgmt-server/recovery/state_folder.h"
#include "mgmt-server/recovery/verify.h"
#include "mgmt-server/store/sqlite/sqlite_store.h"

namespace weir::recovery {

const char* const kVerbsHelp =
    "weir-server backup FILE [--state-dir DIR]\n"
    "  A consistent copy of the server's state, also while it runs. FILE holds the keys of the certificate authority:\n"
    "  keep it as you keep those.\n"
    "weir-server verify FILE\n"
    "  Reads a backup (or a state's weir.db) whole: pages, every version, permissions, the chain of the audit, keys.\n"
    "  1 = something is wrong with it, and what.\n"
    "weir-server restore FILE [--state-dir DIR] [--replace]\n"
    "  Puts a backup in the place of the state of a server that does not run. With --replace what was there is kept\n"
    "  beside it. Clusters that acknowledged more than the backup knows keep it until `weir server adopt-state`.\n"
    "weir-server reset-password [USER] [--state-dir DIR]\n"
    "  A new password for USER (default admin) of a server that does not run; it is written to a file, 0600.\n"
    "DIR: the server's --state-dir; default WEIR_SERVER_STATE_DIR, else ./weir-server-state.\n";

namespace {

struct Flags {
  std::map<std::string, std::string, std::less<>> values;
  std::string word;   // The one that is no flag; "" = none.
  std::string wrong;  // "" = all is well.
};

// `file`: the older flag that names the word.
Flags Read(const std::vector<std::string>& arguments, const std::string& file, bool has_state, bool has_replace) {
  Flags flags;
  const char* folder = std::getenv("WEIR_SERVER_STATE_DIR");
  flags.values["--state-dir"] = folder != nullptr && *folder != '\0' ? folder : "./weir-server-state";
  const auto take = [&](const std::string& name, std::string value) {
    std::string& place = name == file ? flags.word : flags.values[name];
    if (value.empty() || (name == file && !place.empty()))
      flags.wrong = name + (value.empty() ? " needs a value" : "?");
    place = std::move(value);
  };
  for (size_t i = 0; i < arguments.size() && flags.wrong.empty(); ++i) {
    const size_t equals = arguments[i].find('=');
    const std::string name = arguments[i].substr(0, equals);
    if (name == "--replace" && has_replace && equals == std::string::npos) {
      flags.values[name] = "true";
    } else if ((name == "--state-dir" && has_state) || (!file.empty() && name == file)) {
      const bool inside = equals != std::string::npos;
      take(name, inside ? arguments[i].substr(equals + 1) : i + 1 < arguments.size() ? arguments[++i] : "");
    } else if (!arguments[i].starts_with("-") && flags.word.empty()) {
      flags.word = arguments[i];
    } else {
      flags.wrong = "unknown argument " + arguments[i];
    }
  }
  return flags;
}

int Fail(const Error& error) {
  std::fprintf(stderr, "weir-server: %s\n", error.ToString().c_str());
  if (!error.cause.empty()) std::fprintf(stderr, "  cause: %s\n", error.cause.c_str());
  return 1;
}

int Say(const std::string& text) {
  std::printf("%s\n", text.c_str());
  return 0;
}

int Backup(const Flags& flags) {
  const auto made = store::BackupSqlite(StorePath(flags.values.at("--state-dir")), flags.word);
  if (!made.ok()) return Fail(made.error());
  return Say(fmt::format("{} holds the state at revision {}", flags.word, made->revision));
}

int RestoreState(const Flags& flags) {
  const std::string& state_dir = flags.values.at("--state-dir");
  const auto verdict = Verify(flags.word, Clock::Real());
  if (!verdict.ok()) return Fail(verdict.error());
  for (const std::string& finding : verdict->findings) std::fprintf(stderr, "  %s\n", finding.c_str());
  if (!verdict->findings.empty()) {
    return Fail(DataLoss("STORE_DAMAGED", "{} is not sound; nothing was restored", flags.word));
  }
  const auto restored = Restore(state_dir, flags.word, flags.values.contains("--replace"), Clock::Real());
  if (!restored.ok()) return Fail(restored.error());
  return Say(fmt::format("{} holds the state of the backup, revision {}", state_dir, restored->revision));
}

int VerifyFile(const Flags& flags) {
  const auto verdict = Verify(flags.word, Clock::Real());
  if (!verdict.ok()) return Fail(verdict.error());
  Say(fmt::format(
      "{}\n  lineage {}, revision {}, states kept from revision {}\n  {} resources in {} versions\n  {} audit "
      "records, the last one's hash is {}",
      flags.word, verdict->lineage, verdict->revision, verdict->oldest_state, verdict->resources, verdict->versions,
      verdict->audit_records, verdict->audit_head));
  for (const std::string& finding : verdict->findings) Say("  wrong: " + finding);
  Say(verdict->findings.empty() ? "  sound" : "  NOT sound");
  return verdict->findings.empty() ? 0 : 1;
}

int Reset(const Flags& flags) {
  const auto reset =
      ResetPasswordOf(flags.values.at("--state-dir"), flags.word.empty() ? "admin" : flags.word, Clock::Real());
  if (!reset.ok()) return Fail(reset.error());
  return Say(fmt::format("{} has a new password; it is in {}", reset->user_fqn, reset->path));
}

struct Verb {
  const char* name;
  const char* file_flag;
  bool needs_word, has_state, has_replace;
  int (*run)(const Flags& flags);
};
constexpr Verb kVerbs[] = {{"backup", "--to", true, true, false, Backup},
                           {"restore", "--from", true, true, true, RestoreState},
                           {"verify", "", true, false, false, VerifyFile},
                           {"reset-password", "", false, true, false, Reset}};

}  // namespace

std::optional<int> RunVerb(int argc, const char* const* argv) {
  const std::string_view name = argc > 1 ? argv[1] : "";
  const auto* verb =
      std::find_if(std::begin(kVerbs), std::end(kVerbs), [&](const Verb& each) { return name == each.name; });
  if (verb == std::end(kVerbs)) return std::nullopt;
  const std::vector<std::string> arguments(argv + 2, argv + argc);
  if (std::any_of(arguments.begin(), arguments.end(),
                  [](const auto& word) { return word == "--help" || word == "-h"; })) {
    std::printf("%s", kVerbsHelp);
    return 0;
  }
  Flags flags = Read(arguments, verb->file_flag, verb->has_state, verb->has_replace);
  if (flags.wrong.empty() && verb->needs_word && flags.word.empty()) flags.wrong = std::string(name) + " wants a FILE";
  if (!flags.wrong.empty()) {
    std::fprintf(stderr, "weir-server: %s\n%s", flags.wrong.c_str(), kVerbsHelp);
    return 2;
  }
  return verb->run(flags);
}

}  // namespace weir::recovery
