#pragma once

#include <google/protobuf/timestamp.pb.h>

#include "libs/base/clock.h"

namespace weir::rpc {

google::protobuf::Timestamp ToTimestamp(WallTime time);  // To the nanosecond.
WallTime FromTimestamp(const google::protobuf::Timestamp& time);

}  // namespace weir::rpc
