#pragma once

#include <functional>
#include <string>
#include <vector>

#include "libs/base/result.h"

namespace google::protobuf {
class Message;
}

namespace weir::bootstrap {

struct Program {
  std::string name;     // "weir-server": first word of help and version.
  std::string purpose;  // One sentence for --help.
  std::string version;
  std::string environment_prefix;  // "WEIR_SERVER_"
  std::string verbs{};             // For --help: what else the program does. Ends with a newline.
  // Fills in what nobody set, once it was checked; so --print-bootstrap shows all that is in effect.
  std::function<void(google::protobuf::Message&)> defaults{};
};

// What the command line asked for. `run` false: --help, --version, --check or --print-bootstrap answered, or
// something is wrong; leave with `exit_code` (0, or 2 for a usage error). Everything to say has been said.
struct Outcome {
  bool run = false;
  int exit_code = 0;
};

// Fills `message`, which holds the defaults at entry: flag over environment over file over default. A flag is the
// field in kebab-case (--state-dir X or --state-dir=X; nested: --log.level; repeated: given repeatedly or
// comma-separated; bool without value = true, --x true and --x=false as well; durations "30s", "1.5h"); the environment
// <PREFIX><FIELD> (WEIR_SERVER_STATE_DIR, nested WEIR_SERVER_LOG_LEVEL); the file, strict YAML or JSON, by --config
// FILE or <PREFIX>CONFIG. `check` sees the filled message; its violations are printed with field and remedy.
Outcome Load(const Program& program, int argc, const char* const* argv, google::protobuf::Message& message,
             const std::function<Status(const google::protobuf::Message&)>& check = {});

// The same without printing or exiting: `arguments` without the program's name. For tests and for programs with
// verbs of their own. INVALID_ARGUMENT BOOTSTRAP_INVALID with a violation per field.
Status Fill(const Program& program, const std::vector<std::string>& arguments, google::protobuf::Message& message);

}  // namespace weir::bootstrap
