#include <google/protobuf/empty.pb.h>

#include "api/weir/v2/user.pb.h"
#include "mgmt-server/authn/authn.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/services/crud.h"
#include "mgmt-server/services/services.h"

namespace weir::services {
namespace {

Result<authz::Decision> MaySetPassword(const store::View& view, const CallContext& call, const std::string& fqn) {
  if (call.principal.fqn == fqn) return authz::Decision{fqn + " > self"};
  // Not `write`: whoever sets a password can become that user, so it takes the right to say who may do what.
  return authz::Authorize(view, call.principal, authz::Right::kSetPolicy, fqn);
}

Result<google::protobuf::Empty> SetPassword(const Backends& backends, CallContext& call,
                                            const v2::SetPasswordRequest& request) {
  WEIR_ASSIGN(const resource::Fqn fqn, ParseFqnOf(resource::Kind::kUser, request.fqn()));
  // Asked before the hash is worked out, so that only those who may can make the server work.
  WEIR_TRY(MaySetPassword(*backends.store->Read(), call, fqn.text));
  WEIR_ASSIGN(const std::string hash, backends.authn->HashPassword(request.password(), call.principal.uid));
  WEIR_TRY(backends.store->Write([&](store::Txn& txn) -> Status {
    WEIR_ASSIGN(const authz::Decision decision, MaySetPassword(txn.view(), call, fqn.text));
    const store::ResourcePtr user = txn.Get(fqn.text);
    if (user == nullptr) return authz::Missing(fqn.text);
    WEIR_TRY(authn::Authn::SetPassword(txn, user->uid, hash));
    return Record(txn, call, "set-password", user.get(), user.get(), decision.path);
  }));
  return google::protobuf::Empty();
}

}  // namespace

void AddUsers(MethodTable& table, const Backends& backends, Writes& writes) {
  AddCrud(table, backends, writes, resource::Kind::kUser);
  table.Add<v2::SetPasswordRequest, google::protobuf::Empty>(
      "weir.v2.Passwords.SetPassword", [&backends](CallContext& call, const v2::SetPasswordRequest& request) {
        return SetPassword(backends, call, request);
      });
}

}  // namespace weir::services
