#include "libs/rpc/time.h"

#include <google/protobuf/util/time_util.h>

namespace weir::rpc {

google::protobuf::Timestamp ToTimestamp(WallTime time) {
  return google::protobuf::util::TimeUtil::NanosecondsToTimestamp(
      std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count());
}

WallTime FromTimestamp(const google::protobuf::Timestamp& time) {
  return WallTime(std::chrono::duration_cast<WallTime::duration>(std::chrono::seconds(time.seconds()) +
                                                                 std::chrono::nanoseconds(time.nanos())));
}

}  // namespace weir::rpc
