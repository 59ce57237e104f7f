#include <google/protobuf/empty.pb.h>

#include "api/weir/v2/user.pb.h"
#include "libs/base/admission.h"
#include "mgmt-server/authn/authn.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/services/crud.h"
#include "mgmt-server/services/services.h"

namespace weir::services {
namespace {

Error WrongOldPassword() { return PermissionDenied("OLD_PASSWORD_WRONG", "the old password is wrong"); }

// The hash of the caller's own password, which a stolen token does not know.
Result<std::string> CheckOldPassword(const Backends& backends, CallContext& call, const std::string& old) {
  if (old.empty()) {
    Error error = InvalidArgument("OLD_PASSWORD_MISSING", "one's own password is set with the old one");
    error.violations.push_back({.field = "oldPassword", .description = "required"});
    return error;
  }
  auto checked = backends.authn->CheckPassword(call.principal.fqn, old, SourceOf(call.peer), &call.retry_after);
  if (checked.ok()) return std::move(checked->hash);
  return checked.error().reason == "BAD_CREDENTIALS" ? WrongOldPassword() : std::move(checked).error();
}

// `old_hash`: that of the caller's own password.
Result<authz::Decision> MaySetPassword(const store::View& view, const CallContext& call, const std::string& fqn,
                                       const std::string& old_hash) {
  if (call.principal.fqn == fqn) {
    const store::Credential* now = view.FindCredential(call.principal.uid);
    if (now == nullptr || now->hash != old_hash) return WrongOldPassword();  // It was changed while it was checked.
    return authz::Decision{fqn + " > self"};
  }
  // Not `write`: whoever sets a password can become that user, so it takes the right to say who may do what, and all
  // that the user may.
  WEIR_ASSIGN(authz::Decision decision, authz::Authorize(view, call.principal, authz::Right::kSetPolicy, fqn));
  if (const store::ResourcePtr user = view.Get(fqn)) WEIR_TRY(authz::CheckHoldsAllOf(view, call.principal, *user));
  return decision;
}

Result<google::protobuf::Empty> SetPassword(const Backends& backends, CallContext& call,
                                            const v2::SetPasswordRequest& request) {
  WEIR_ASSIGN(const resource::Fqn fqn, ParseFqnOf(resource::Kind::kUser, request.fqn()));
  // Asked before the hash is worked out, so that only those who may can make the server work.
  std::string old_hash;
  if (call.principal.fqn == fqn.text) {
    WEIR_ASSIGN(old_hash, CheckOldPassword(backends, call, request.old_password()));
  }
  WEIR_TRY(MaySetPassword(*backends.store->Read(), call, fqn.text, old_hash));
  WEIR_ASSIGN(const std::string hash, backends.authn->HashPassword(request.password(), call.principal.uid));
  WEIR_TRY(backends.Write(call, [&](store::Txn& txn) -> Status {
    WEIR_ASSIGN(const authz::Decision decision, MaySetPassword(txn.view(), call, fqn.text, old_hash));
    const store::ResourcePtr user = txn.Get(fqn.text);
    if (user == nullptr) return authz::Missing(fqn.text);
    WEIR_TRY(authn::Authn::SetPassword(txn, user->uid, hash));
    return Record(txn, call, "set-password", user.get(), user.get(), decision.path);
  }));
  return google::protobuf::Empty();
}

}  // namespace

void AddUsers(MethodTable& table, const Backends& backends, Writes& writes) {
  writes.AlsoDelete(resource::Kind::kUser, [](store::Txn& txn, const store::StoredResource& user) -> Status {
    WEIR_TRY(txn.DropKeysOf(user.uid));
    return authn::Authn::ForgetUser(txn, user.uid);
  });
  writes.AlsoDelete(resource::Kind::kServiceAccount,
                    [](store::Txn& txn, const store::StoredResource& account) -> Status {
                      WEIR_TRY(txn.DropKeysOf(account.uid));
                      return txn.DeleteSessionsOf(account.uid);
                    });
  table.Add<v2::SetPasswordRequest, google::protobuf::Empty>(
      "weir.v2.Passwords.SetPassword", [&backends](CallContext& call, const v2::SetPasswordRequest& request) {
        return SetPassword(backends, call, request);
      });
}

}  // namespace weir::services
