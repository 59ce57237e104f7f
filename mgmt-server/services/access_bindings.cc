#include "api/weir/v2/access_bindings.pb.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/services/crud.h"
#include "mgmt-server/services/kept_answers.h"
#include "mgmt-server/services/services.h"

namespace weir::services {
namespace {

Status CheckFqn(const std::string& fqn) {
  WEIR_TRY(ParseFqnOf(resource::Kind::kAccessBindings, fqn));
  return {};
}

Result<v2::AccessBindings> Get(const Backends& backends, CallContext& call,
                               const v2::GetAccessBindingsRequest& request) {
  WEIR_TRY(CheckFqn(request.fqn()));
  const store::ViewPtr view = backends.store->Read();
  WEIR_TRY(authz::Authorize(*view, call.principal, authz::Right::kSetPolicy, request.fqn()));
  return authz::ReadBindings(*view, request.fqn());
}

// `change` runs inside the write; what it did is recorded and the new bindings are answered.
template <typename Change>
Result<v2::AccessBindings> Write(const Backends& backends, CallContext& call, const std::string& fqn, Change change) {
  WEIR_TRY(CheckFqn(fqn));
  return WriteOnce(backends, call, false, [&](store::Txn& txn) -> Result<v2::AccessBindings> {
    WEIR_ASSIGN(const authz::BindingsChange done, change(txn));
    if (done.after != done.before) {
      WEIR_TRY(Record(txn, call, "set-policy", done.before.get(), done.after.get(), done.decision.path));
    }
    return authz::ReadBindings(txn.view(), fqn);
  });
}

Result<v2::AccessBindings> Update(const Backends& backends, CallContext& call,
                                  const v2::UpdateAccessBindingsRequest& request) {
  const std::string etag = EtagText(request.access_bindings().metadata().resource_version());
  if (etag.empty() && call.if_match.empty()) {
    Error error = InvalidArgument("ETAG_REQUIRED", "an update names the version it replaces");
    error.violations.push_back(
        {.field = "metadata.resourceVersion", .description = "must be the one that was read (or send it as If-Match)"});
    return error;
  }
  return Write(backends, call, request.fqn(), [&](store::Txn& txn) {
    const store::ResourcePtr stored = txn.Get(request.fqn());
    const std::string wanted = WantedEtag(call, etag, stored.get());
    return authz::SetBindings(txn, call.principal, request.fqn(), request.access_bindings(), wanted);
  });
}

Result<v2::AccessBindings> Grant(const Backends& backends, CallContext& call, const v2::ChangeAccessRequest& request) {
  return Write(backends, call, request.fqn(), [&](store::Txn& txn) {
    return authz::Grant(txn, call.principal, request.fqn(), request.role(), request.subject());
  });
}

Result<v2::AccessBindings> Revoke(const Backends& backends, CallContext& call, const v2::ChangeAccessRequest& request) {
  return Write(backends, call, request.fqn(), [&](store::Txn& txn) {
    return authz::Revoke(txn, call.principal, request.fqn(), request.role(), request.subject());
  });
}

template <typename Request>
void Add(MethodTable& table, const Backends& backends, const std::string& name,
         Result<v2::AccessBindings> (*function)(const Backends&, CallContext&, const Request&)) {
  table.Add<Request, v2::AccessBindings>(
      "weir.v2.AccessBindingsService." + name,
      [&backends, function](CallContext& call, const Request& request) { return function(backends, call, request); });
}

}  // namespace

void AddAccessBindings(MethodTable& table, const Backends& backends) {
  Add(table, backends, "GetAccessBindings", Get);
  Add(table, backends, "UpdateAccessBindings", Update);
  Add(table, backends, "GrantAccess", Grant);
  Add(table, backends, "RevokeAccess", Revoke);
}

}  // namespace weir::services
