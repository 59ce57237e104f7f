#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/flags.h"
#include "libs/base/result.h"

// The command line: `weir VERB ...`, one file per family of verbs.
namespace weir::cli {

// A verb. `run` returns an exit code, or the error that main prints.
struct Command {
  std::string_view name;     // "apply", "cluster token"
  std::string_view summary;  // One line.
  std::string_view help;     // Usage, flags, examples.
  FlagSpec flags;
  Result<int> (*run)(const Flags& flags);
};
const std::vector<Command>& Commands();

Command LoginCommand();
Command LogoutCommand();
Command WhoAmICommand();
Command ContextListCommand();
Command ContextUseCommand();
Command ContextSetCommand();
Command ContextDeleteCommand();
Command ApplyCommand();
Command CreateCommand();
Command EditCommand();
Command DescribeCommand();
Command PlanCommand();
Command DiffCommand();
Command GetCommand();
Command WatchCommand();
Command QuotaCommand();
Command DeleteCommand();
Command KindsCommand();
Command SearchCommand();
Command StatusCommand();
Command GetTrafficCommand();
Command ExplainRouteCommand();
Command GetServicesCommand();
Command ExplainHealthCommand();
Command ExplainFailoverCommand();
Command ClusterTokenCommand();
Command ClusterInstallCommand();
Command ClusterUninstallCommand();
Command ClusterDrainCommand();
Command ClusterStandbyCommand();
Command ClusterMaintenanceCommand();
Command ClusterUndoCommand();
Command ClusterActivateCommand();
Command ClusterRejoinCommand();
Command ClusterRevokeCommand();
Command UserPasswordCommand();
Command UserCreateCommand();
Command TeamCreateCommand();
Command TeamAddCommand();
Command TeamRemoveCommand();
Command RoleCreateCommand();
Command BindGrantCommand();
Command BindRevokeCommand();
Command BindListCommand();
Command AccountCreateCommand();
Command AccountAddKeyCommand();
Command AccountRemoveKeyCommand();
Command AccountListKeysCommand();
Command AccountTokenCommand();
Command EffectiveCommand();
Command ServerStatusCommand();
Command ServerAdoptStateCommand();
Command ServerReplaceRootCommand();
Command ChangesetCreateCommand();
Command ChangesetUpdateCommand();
Command ChangesetGetCommand();
Command ChangesetListCommand();
Command ChangesetPlanCommand();
Command ChangesetApproveCommand();
Command ChangesetRejectCommand();
Command ChangesetCommitCommand();
Command ChangesetAbortCommand();
Command HistoryCommand();
Command HistoryShowCommand();
Command HistoryDiffCommand();
Command RestoreCommand();
Command AuditCommand();
Command CompletionCommand();
Command SupportBundleCommand();

// The commands that begin with this word, with an example of each; "" = there are none.
std::string GroupHelp(const std::string& group);

// What `weir watch` does, for `weir get -w`.
Result<int> Watch(const Flags& flags);

// argv without the program's name -> exit code.
int Main(const std::vector<std::string>& arguments);

Error Usage(std::string_view text);
// "FILE:LINE:COLUMN: field: description" per violation, after the message.
std::string Describe(const Error& error);

// Rows -> text with columns of equal width, the first row being the headings. What a terminal would obey is escaped,
// whatever the source.
std::string Table(std::vector<std::vector<std::string>> rows);

}  // namespace weir::cli
