#pragma once

#include "libs/identity/jws.h"

namespace weir::v2 {
class Jwk;
}

namespace weir::resource {

identity::PublicJwk KeyOf(const v2::Jwk& jwk);

}  // namespace weir::resource
