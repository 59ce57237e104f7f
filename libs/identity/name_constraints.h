#pragma once

#include <string>

#include "libs/base/result.h"
#include "libs/identity/openssl.h"

// Only for .cc files of this folder.
namespace weir::identity {

// Adds the CRITICAL name constraints of a cluster's intermediate: URIs of host `trust_domain`, DNS names of it and
// below it, and nothing else: no IP address, no e-mail address, and no directory name either, so that a leaf's subject
// must be empty and no verifier can take a common name for a host (RFC 5280 4.2.1.10).
Status ConstrainNames(X509* intermediate, const std::string& trust_domain);

}  // namespace weir::identity
