#pragma once

#include <google/protobuf/timestamp.pb.h>

#include "libs/base/clock.h"

namespace weir::rpc {

google::protobuf::Timestamp ToTimestamp(WallTime time);  // To the nanosecond.
// For ClientContext::set_deadline and Server::Shutdown: gRPC goes by the system's clock, whatever ours is.
std::chrono::system_clock::time_point DeadlineIn(Duration time);

WallTime FromTimestamp(const google::protobuf::Timestamp& time);

}  // namespace weir::rpc
