#pragma once

#include <cstddef>
#include <string>

#include "api/weir/v2/plan.pb.h"
#include "libs/document/differences.h"

namespace weir::plan {

// How much of an answer is left for details.
class Budget {
 public:
  explicit Budget(size_t bytes) : left_(bytes) {}
  bool Take(size_t bytes) {
    if (bytes > left_)
      left_ = 0;  // What comes later is not shown instead: an answer has a beginning.
    else
      left_ -= bytes;
    return left_ > 0;
  }
  bool spent() const { return left_ == 0; }

 private:
  size_t left_;
};

template <typename To>
void SetFields(const document::Differences& differences, To* to) {
  for (const document::Difference& line : differences.lines) {
    v2::FieldChange& field = *to->add_fields();
    field.set_field(line.path);
    if (line.before) field.set_before(*line.before);
    if (line.after) field.set_after(*line.after);
  }
  to->set_more_fields(static_cast<int32_t>(differences.more));
}

inline v2::PlannedResource::Change KindOf(bool was, bool is) {
  return !was ? v2::PlannedResource::ADDED : is ? v2::PlannedResource::CHANGED : v2::PlannedResource::REMOVED;
}
template <typename To>
void CountIn(v2::PlannedResource::Change change, To* to) {
  if (change == v2::PlannedResource::ADDED) to->set_added(to->added() + 1);
  if (change == v2::PlannedResource::CHANGED) to->set_changed(to->changed() + 1);
  if (change == v2::PlannedResource::REMOVED) to->set_removed(to->removed() + 1);
}

inline constexpr document::DifferenceLimits kFieldsOfResource{.lines = 20, .value = 240};

}  // namespace weir::plan
