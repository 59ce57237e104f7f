#include "mgmt-server/recovery/reset_password.h"

#include <unistd.h>

#include "libs/base/file.h"
#include "libs/base/ids.h"
#include "libs/process/state_lock.h"
#include "libs/resource/kinds.h"
#include "mgmt-server/audit/audit.h"
#include "mgmt-server/authn/authn.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/recovery/state_folder.h"
#include "mgmt-server/store/sqlite/sqlite_store.h"

namespace weir::recovery {
namespace {

Result<store::ResourcePtr> FindUser(const store::View& view, const std::string& user) {
  std::vector<store::ResourcePtr> found;
  view.ForEach("", "User", [&](const store::ResourcePtr& each) {
    if (each->fqn == user || resource::LastName(each->fqn) == user) found.push_back(each);
    return true;
  });
  if (found.size() == 1) return found.front();
  if (found.empty()) return NotFound("USER_UNKNOWN", "there is no user {}", user);
  return InvalidArgument("USER_AMBIGUOUS", "{} and {} are called so; give the full name", found[0]->fqn, found[1]->fqn);
}

Status Store(store::Store& store, const std::string& fqn, const std::string& hash) {
  return store.Write([&](store::Txn& txn) -> Status {
    const store::ResourcePtr user = txn.Get(fqn);
    if (user == nullptr) return authz::Missing(fqn);
    WEIR_TRY(authn::Authn::SetPassword(txn, user->uid, hash));
    audit::Record record;
    record.action = "reset-password";
    record.fqn = user->fqn;
    record.uid = user->uid;
    record.before_etag = record.after_etag = user->etag;
    record.path = fmt::format("weir-server reset-password, by the system's user {}", ::getuid());
    return audit::Append(txn, std::move(record));
  });
}

}  // namespace

Result<ResetPassword> ResetPasswordOf(const std::string& state_dir, const std::string& user, const Clock& clock) {
  WEIR_ASSIGN(const bool empty, CheckStateFolder(state_dir));
  if (empty) return NotFound("STORE_MISSING", "{} holds no state of a server", state_dir);
  WEIR_ASSIGN(const auto lock, process::StateLock::Take(state_dir, "weir-server",
                                                        "stop it first (clusters go on serving), or have another "
                                                        "administrator set it: weir user password"));
  HistoryKeeper history;
  store::SqliteOptions options;
  options.path = StorePath(state_dir);
  options.clock = &clock;
  options.committed = [&](const store::Standing& now) { history.Follow(now); };
  options.closing = [&](const store::Standing& now) { return history.End(now); };
  WEIR_ASSIGN(const auto store, store::OpenSqlite(options, authz::TenancyPolicy()));
  const xds::Position position = store->Read()->position();
  WEIR_TRY(history.Begin(state_dir, {position.lineages.back(), position.revision(), {}}));
  WEIR_ASSIGN(const store::ResourcePtr found, FindUser(*store->Read(), user));
  authn::Options authn_options;
  authn_options.clock = &clock;
  const std::string password = RandomHex(16);
  WEIR_ASSIGN(const std::string hash, authn::Authn(*store, authn_options).HashPassword(password));
  // The file first: a password that is stored but written nowhere would lock everybody out.
  ResetPassword reset{found->fqn, state_dir + "/password-" + std::string(resource::LastName(found->fqn))};
  WEIR_TRY(WriteFileAtomic(reset.path, password + "\n", 0600));
  WEIR_TRY(Store(*store, found->fqn, hash));
  return reset;
}

}  // namespace weir::recovery
