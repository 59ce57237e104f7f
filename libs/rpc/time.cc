#include "libs/rpc/time.h"

#include <google/protobuf/util/time_util.h>

namespace weir::rpc {

google::protobuf::Timestamp ToTimestamp(WallTime time) {
  return google::protobuf::util::TimeUtil::NanosecondsToTimestamp(
      std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count());
}

std::chrono::system_clock::time_point DeadlineIn(Duration time) {
  return Clock::Real().Wall() + std::chrono::duration_cast<WallTime::duration>(time);
}

WallTime FromTimestamp(const google::protobuf::Timestamp& time) {
  return WallTime(std::chrono::duration_cast<WallTime::duration>(std::chrono::seconds(time.seconds()) +
                                                                 std::chrono::nanoseconds(time.nanos())));
}

}  // namespace weir::rpc
