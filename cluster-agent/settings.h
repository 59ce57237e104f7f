#pragma once

#include "libs/base/clock.h"

namespace google::protobuf {
class Duration;
}

namespace weir::agent {

Duration ToDuration(const google::protobuf::Duration& duration);

}  // namespace weir::agent
