#include "mgmt-server/authn/administrator.h"

#include "api/weir/v2/organization.pb.h"
#include "api/weir/v2/user.pb.h"
#include "libs/base/file.h"
#include "libs/base/ids.h"
#include "mgmt-server/audit/audit.h"
#include "mgmt-server/authz/authz.h"

namespace weir::authn {
namespace {

// Creates what is not there; the creator is nobody.
Result<store::ResourcePtr> Ensure(store::Txn& txn, const std::string& kind, const std::string& fqn,
                                  const std::string& body) {
  if (store::ResourcePtr stored = txn.Get(fqn)) return stored;
  WEIR_ASSIGN(store::ResourcePtr created, txn.Put({kind, fqn, body, {}, ""}));
  WEIR_TRY(authz::OnCreate(txn, *created, {}));
  audit::Record record;
  record.action = "create";
  record.fqn = fqn;
  record.uid = created->uid;
  record.after_etag = created->etag;
  record.path = "first start";
  WEIR_TRY(audit::Append(txn, std::move(record)));
  return created;
}

}  // namespace

Result<Administrator> EnsureAdministrator(store::Store& store, const Authn& authn,
                                          const AdministratorOptions& options) {
  Administrator administrator;
  const std::string organization_fqn = "organizations/" + options.organization;
  administrator.user_fqn = organization_fqn + "/users/" + options.user;
  administrator.password_path = options.state_dir + "/admin-password";
  if (store.Read()->credential_count() > 0) return administrator;

  v2::Organization organization;
  organization.mutable_metadata()->set_name(options.organization);
  organization.mutable_spec()->set_domain(options.organization + ".weir.internal");
  v2::User user;
  user.mutable_metadata()->set_name(options.user);
  user.mutable_metadata()->set_organization(options.organization);
  user.mutable_metadata()->set_display_name("Administrator");
  user.mutable_spec();

  const std::string password = RandomHex(16);
  WEIR_ASSIGN(const std::string hash, authn.HashPassword(password));
  // The file first: a password that is stored but written nowhere would lock everyone out.
  WEIR_TRY(WriteFileAtomic(administrator.password_path, password + "\n", 0600));
  WEIR_TRY(store.Write([&](store::Txn& txn) -> Status {
    if (txn.view().credential_count() > 0) {
      return FailedPrecondition("ADMINISTRATOR_EXISTS", "there is an administrator already");
    }
    WEIR_TRY(Ensure(txn, "Organization", organization_fqn, organization.SerializeAsString()));
    WEIR_ASSIGN(const store::ResourcePtr admin, Ensure(txn, "User", administrator.user_fqn, user.SerializeAsString()));
    WEIR_TRY(Authn::SetPassword(txn, admin->uid, hash));
    return authz::GrantInstallation(txn, organization_fqn, admin->uid);
  }));
  administrator.created = true;
  return administrator;
}

}  // namespace weir::authn
