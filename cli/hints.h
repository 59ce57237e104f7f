#pragma once

#include "libs/base/result.h"

namespace weir::cli {

// Says in the message what gRPC's own words do not: that it was the wrong port that answered, and which one to use.
Error WithHint(Error error);

}  // namespace weir::cli
