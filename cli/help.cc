#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iostream>
#include <optional>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/terminal.h"
#include "libs/base/text.h"
#include "libs/process/version.h"

namespace weir::cli {
namespace {

constexpr std::string_view kIntroduction = R"(weir: steer requests between clusters

You write documents (YAML) that say what you want; the server stores them, and every gateway that is
concerned gets its part and acknowledges it. A first walk:

  weir login admin --server 127.0.0.1:9443 --ca-file server-anchor.pem    once; asks for the password
  weir plan -f gateways/                                         what it would change, at each gateway
  weir apply -f gateways/ --wait                                 store a folder, wait until it is served
  weir status                                                    how far everything has come
  weir get tier1gateway shop -o yaml                             what is stored, ready to edit and apply
  weir get traffic shop.example.com                              what the gateways do with requests right now
  weir explain route shop.example.com/cart                       which rule takes a request, and who gets it
  weir explain health shop.example.com                           why a cluster can or cannot serve them
  weir explain failover shop.example.com --without cluster1      where they would go if it were lost

Commands:
)";

constexpr std::string_view kClosing = R"(
`weir COMMAND --help` tells more. Every command takes
  --server HOST:PORT   gRPC address of weir-server        (WEIR_SERVER; default: where you logged in)
  --ca-file FILE       PEM of the server anchor           (WEIR_CA_FILE; default: as at login)
  --org NAME           organization                       (WEIR_ORG; default: as at login, else "default")
  --context NAME       one of `weir context list`         (WEIR_CONTEXT; default: the current one)
and WEIR_TOKEN instead of `weir login`, WEIR_HOME instead of ~/.config/weir.

)";

constexpr size_t kNameColumn = 21;  // Longer than any command's name.

void PrintHelp(std::ostream& out) {
  out << kIntroduction;
  for (const Command& command : Commands()) {
    out << "  " << command.name << std::string(kNameColumn - command.name.size(), ' ') << command.summary << "\n";
  }
  out << "  version              which weir this is\n" << kClosing << "\nExit codes:\n";
  for (const ExitCode& one : ExitCodes()) out << fmt::format("  {}   {}\n", static_cast<int>(one.code), one.meaning);
}

// The command whose name is the first words; the longest wins.
const Command* Find(const std::vector<std::string>& arguments, size_t& words) {
  const Command* found = nullptr;
  words = 0;
  for (const Command& command : Commands()) {
    size_t count = 0;
    bool fits = true;
    for (std::string_view rest = command.name; fits && !rest.empty(); ++count) {
      const std::string_view word = rest.substr(0, rest.find(' '));
      fits = count < arguments.size() && arguments[count] == word;
      rest.remove_prefix(std::min(rest.size(), word.size() + 1));
    }
    if (fits && count > words) words = count, found = &command;
  }
  return found;
}

// The first example in the help of a command: its lines that begin as an example does.
std::string ExampleOf(const Command& command) {
  const std::string_view help = command.help;
  for (size_t at = help.find("\n\n"); at != std::string_view::npos && at < help.size();) {
    const size_t end = std::min(help.find('\n', at + 1), help.size());
    const std::string_view line = help.substr(at + 1, end - at - 1);
    if (line.starts_with("  ") && line.find(fmt::format("weir {}", command.name)) != std::string_view::npos)
      return std::string(line) + "\n";
    at = end;
  }
  return "";
}

// Scripts must not take half an output for a whole one.
int Flushed(int code) {
  errno = 0;
  std::cout.flush();
  if (std::cout.good()) return code;
  std::cerr << "weir: cannot write to standard output" << (errno != 0 ? std::string(": ") + std::strerror(errno) : "")
            << "\n";
  return code == kExitOk ? kExitRefused : code;
}

int Fail(const Error& error, std::string_view command) {
  std::cerr << "weir: " << Describe(error) << "\n";
  if (error.reason == "USAGE" && !command.empty()) std::cerr << "See weir " << command << " --help\n";
  if (error.reason == "SERVER_UNREACHABLE" && error.code == Code::kUnavailable) {
    std::cerr << "Is weir-server running there, and is --ca-file its server-anchor.pem?\n";
  }
  if (error.code == Code::kUnauthenticated && command != "login") std::cerr << "Log in with: weir login USER\n";
  return ExitOf(error);
}

// Who may do what.
std::vector<Command> AccessCommands() {
  return {EffectiveCommand(),        UserCreateCommand(),      UserPasswordCommand(),  TeamCreateCommand(),
          TeamAddCommand(),          TeamRemoveCommand(),      RoleCreateCommand(),    BindGrantCommand(),
          BindRevokeCommand(),       BindListCommand(),        AccountCreateCommand(), AccountAddKeyCommand(),
          AccountRemoveKeyCommand(), AccountListKeysCommand(), AccountTokenCommand()};
}

// In the order in which help lists them: first what one does with resources.
std::vector<Command> CommandsOfResources() {
  return {LoginCommand(),         LogoutCommand(),
          WhoAmICommand(),        ContextListCommand(),
          ContextUseCommand(),    ContextSetCommand(),
          ContextDeleteCommand(), ApplyCommand(),
          CreateCommand(),        EditCommand(),
          DescribeCommand(),      PlanCommand(),
          DiffCommand(),          GetCommand(),
          KindsCommand(),         SearchCommand(),
          GetTrafficCommand(),    GetServicesCommand(),
          StatusCommand(),        ExplainRouteCommand(),
          ExplainHealthCommand(), ExplainFailoverCommand(),
          DeleteCommand()};
}

std::vector<Command> ChangesetCommands() {
  return {ChangesetCreateCommand(), ChangesetUpdateCommand(), ChangesetGetCommand(),
          ChangesetListCommand(),   ChangesetPlanCommand(),   ChangesetApproveCommand(),
          ChangesetRejectCommand(), ChangesetCommitCommand(), ChangesetAbortCommand()};
}

// Then clusters, users, the server and what was.
std::vector<Command> OtherCommands() {
  return {ClusterTokenCommand(),
          ClusterInstallCommand(),
          ClusterUninstallCommand(),
          ClusterDrainCommand(),
          ClusterStandbyCommand(),
          ClusterMaintenanceCommand(),
          ClusterActivateCommand(),
          ClusterUndoCommand(),
          ClusterRejoinCommand(),
          ClusterRevokeCommand(),
          ServerStatusCommand(),
          ServerAdoptStateCommand(),
          ServerReplaceRootCommand(),
          HistoryCommand(),
          HistoryShowCommand(),
          HistoryDiffCommand(),
          RestoreCommand(),
          AuditCommand(),
          SupportBundleCommand(),
          CompletionCommand(),
          WatchCommand(),
          QuotaCommand()};
}

}  // namespace

const std::vector<Command>& Commands() {
  static const std::vector<Command> kCommands = [] {
    std::vector<Command> all = CommandsOfResources();
    for (const auto& more : {ChangesetCommands(), OtherCommands(), AccessCommands()})
      all.insert(all.end(), more.begin(), more.end());
    return all;
  }();
  return kCommands;
}

namespace {

// `weir cluster` alone, or with a word that is none of its commands; nullopt = it is no group.
std::optional<int> TellOfGroup(const std::vector<std::string>& asked, bool help_first) {
  const std::string text = GroupHelp(asked[0]);
  if (text.empty()) return std::nullopt;
  const bool wanted = asked.size() == 1 ? help_first : asked.size() == 2 && (asked[1] == "--help" || asked[1] == "-h");
  (wanted ? std::cout : std::cerr) << text;
  return wanted ? kExitOk : kExitUsage;
}

int Dispatch(const std::vector<std::string>& arguments) {
  if (arguments.empty()) {
    PrintHelp(std::cerr);
    return kExitUsage;
  }
  if (arguments[0] == "version" || arguments[0] == "--version") {
    const bool help = arguments.size() == 2 && (arguments[1] == "--help" || arguments[1] == "-h");
    if (arguments.size() > 1 && !help) return Fail(Usage("version takes no arguments"), "version");
    std::cout << "weir " << process::kVersion << "\n";
    return kExitOk;
  }
  if (arguments[0] == "__complete") return PrintCandidates({arguments.begin() + 1, arguments.end()});
  size_t words = 0;
  std::vector<std::string> asked = arguments;
  const bool help_first = arguments[0] == "help" || arguments[0] == "--help" || arguments[0] == "-h";
  if (help_first) asked.erase(asked.begin());
  if (asked.empty()) {
    PrintHelp(std::cout);
    return kExitOk;
  }
  const Command* command = Find(asked, words);
  if (command == nullptr) {
    if (const auto code = TellOfGroup(asked, help_first)) return *code;
    std::cerr << "weir: no command \"" << asked[0] << "\"; `weir help` lists them\n";
    return kExitUsage;
  }
  const std::vector<std::string> rest(asked.begin() + static_cast<long>(words), asked.end());
  const bool wants_help = help_first || std::any_of(rest.begin(), rest.end(),
                                                    [](const auto& word) { return word == "--help" || word == "-h"; });
  if (wants_help) {
    std::cout << "weir " << command->name << ": " << command->summary << "\n\n" << command->help;
    return kExitOk;
  }
  auto flags = ParseFlags(rest, WithCommonFlags(command->flags));
  if (!flags.ok()) return Fail(flags.error(), command->name);
  auto code = command->run(*flags);
  return code.ok() ? *code : Fail(code.error(), command->name);
}

}  // namespace

int Main(const std::vector<std::string>& arguments) { return Flushed(Dispatch(arguments)); }

std::string GroupHelp(const std::string& group) {
  std::string verbs, examples;
  for (const Command& command : Commands()) {
    if (!command.name.starts_with(group + " ")) continue;
    verbs += fmt::format("  {:<{}}{}\n", command.name, kNameColumn, command.summary);
    examples += ExampleOf(command);
  }
  if (verbs.empty()) return "";
  return fmt::format("Usage: weir {0} COMMAND\n\n{1}\nExamples:\n{2}\n`weir {0} COMMAND --help` tells more.\n", group,
                     verbs, examples);
}

Error Usage(std::string_view text) { return InvalidArgument("USAGE", "{}", text); }

std::string Describe(const Error& error) {
  std::string out = Printable(error.message, true);
  if (error.reason != "USAGE" && !error.reason.empty()) out += fmt::format(" ({})", error.reason);
  for (const FieldViolation& violation : error.violations) {
    out += "\n  ";
    if (violation.line > 0) out += fmt::format("{}:{}: ", violation.line, violation.column);
    if (!violation.field.empty()) out += Printable(violation.field) + ": ";
    out += Printable(violation.description);
  }
  return out;
}

std::string Table(std::vector<std::vector<std::string>> rows) {
  std::vector<size_t> widths;
  for (auto& row : rows) {
    for (std::string& cell : row) cell = Printable(cell);
  }
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  const bool colours = ShowsColours();
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += colours ? Painted(row[i]) : row[i];
      if (i + 1 < row.size()) line.append(widths[i] - row[i].size() + 3, ' ');
    }
    line.resize(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

}  // namespace weir::cli
