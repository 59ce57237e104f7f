#pragma once

#include <string_view>

#include "libs/base/result.h"
#include "mgmt-server/authn/principal.h"

namespace google::protobuf {
class Message;
}
namespace weir::store {
class View;
}

namespace weir::services {

// References that need a right elsewhere (libs/resource/references.h says what needs what). `before`: what is stored,
// null for a new one; what it has already asks for nothing. Other kinds are always ok.
//
// A tier-1 server that names another tenant sends its requests to that tenant's gateways, which then let it in. So who
// writes it needs the right write on that tenant, for every host that is new (docs/adr/0003). The errors of authz for
// that tenant: PERMISSION_DENIED RIGHT_MISSING, or NOT_FOUND RESOURCE_MISSING where the caller may not even read it,
// each with the field. Workspace.spec.privileged asks the same of the organization.
Status CheckRights(const store::View& view, const authn::Principal& principal, std::string_view fqn,
                   const google::protobuf::Message* before, const google::protobuf::Message& after);

}  // namespace weir::services
