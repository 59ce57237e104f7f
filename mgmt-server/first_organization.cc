#include "mgmt-server/first_organization.h"

#include <memory>
#include <utility>

#include "api/weir/v2/organization.pb.h"
#include "libs/resource/validate.h"
#include "mgmt-server/audit/audit.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/services/writes.h"

namespace weir::server {

Status EnsureOrganization(store::Store& store, const std::string& name, const std::string& domain) {
  return store.Write([&](store::Txn& txn) -> Status {
    if (txn.view().resource_count() > 0) return {};
    v2::Organization organization;
    organization.mutable_metadata()->set_name(name);
    organization.mutable_spec()->set_domain(domain);
    WEIR_ASSIGN(const resource::Fqn fqn, resource::ParseFqn("organizations/" + name));
    services::Draft draft = services::MakeDraft(fqn, std::make_unique<v2::Organization>(std::move(organization)));
    WEIR_TRY(resource::ToStatus(fqn.text, draft.violations));
    WEIR_ASSIGN(const store::ResourcePtr stored, txn.Put({.kind = "Organization",
                                                          .fqn = fqn.text,
                                                          .body = services::Serialize(*draft.message),
                                                          .field_owners = {},
                                                          .expected_etag = ""}));
    WEIR_TRY(authz::OnCreate(txn, *stored, {}));
    return audit::Append(txn, {.principal = "",
                               .principal_uid = "",
                               .action = "create",
                               .fqn = stored->fqn,
                               .uid = stored->uid,
                               .before_etag = "",
                               .after_etag = stored->etag,
                               .path = "first start",
                               .peer = "",
                               .request_id = ""});
  });
}

}  // namespace weir::server
