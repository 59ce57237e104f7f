#pragma once

#include <vector>

#include "libs/base/result.h"
#include "libs/document/document.h"

namespace weir::services {

// Documents as people have them for TSB, brought into our form before they are read; what each kind says elsewhere
// stands in its rules (resource::Moved). Positions stay those of the text.
//
// Any document: `kind: List` becomes its items. One of *.tsb.tetrate.io/v2: apiVersion in lower case, the place in
// annotations (tsb.tetrate.io/tenant), names and texts in `spec` (displayName, description, etag, fqn,
// configGenerationMetadata, deletionProtectionEnabled), TenantAccessBindings and its like, and what the kind moves. A
// value that stands in both places, and differs, is a violation.
// `organization`: name of the caller's, for what documents of TSB have at the top; "" = he has none.
std::vector<document::Node> InOurForm(std::vector<document::Node> documents, std::string_view organization,
                                      std::vector<FieldViolation>& violations);

}  // namespace weir::services
