#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "api/weir/v2/watch.pb.h"
#include "libs/resource/filter.h"
#include "libs/resource/kinds.h"
#include "mgmt-server/services/call.h"
#include "mgmt-server/store/records.h"

namespace weir::services {

// What a watch is about, as far as rights do not decide it.
class WatchScope {
 public:
  // INVALID_ARGUMENT INVALID_REQUEST, BAD_FQN, BAD_FILTER.
  static Result<WatchScope> Read(const v2::WatchRequest& request);

  // FQN of the deepest resource that is named; "" = none. All that is watched lies at or below it.
  const std::string& prefix() const { return prefix_; }
  // FQN of the one resource that is watched with what is below it; "" = there is a "-" in the name, or none at all.
  const std::string& root() const { return root_; }
  const std::vector<const resource::KindInfo*>& kinds() const { return kinds_; }
  bool filters() const { return !filters_.empty(); }
  // By kind and place.
  bool Holds(std::string_view kind, std::string_view fqn) const;
  bool Matches(std::string_view kind, const google::protobuf::Message& message) const;
  // Two texts are equal when the questions are.
  const std::string& text() const { return text_; }

 private:
  Status ReadParent(const std::string& parent);
  Status ReadKinds(std::string_view names);

  std::string prefix_, root_;
  std::vector<std::string> segments_;
  std::vector<const resource::KindInfo*> kinds_;
  std::map<std::string, resource::Filter, std::less<>> filters_;  // By kind.
  std::string text_;
};

}  // namespace weir::services
