#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mgmt-server/authz/authz.h"
#include "mgmt-server/services/call.h"
#include "mgmt-server/services/outflow.h"
#include "mgmt-server/services/watch_positions.h"
#include "mgmt-server/services/watch_scope.h"
#include "mgmt-server/store/store.h"

// How one state of the store becomes the next, and what of that a watch tells.
namespace weir::services {

// One resource in two states; either may be null. What is told of it is made once, however many are told. Not
// thread-safe.
class Delta {
 public:
  // `revision`: of a DELETED; 0 = not said.
  Delta(store::ResourcePtr before, store::ResourcePtr after, int64_t revision)
      : before_(std::move(before)), after_(std::move(after)), revision_(revision) {}

  const store::ResourcePtr& before() const { return before_; }
  const store::ResourcePtr& after() const { return after_; }
  // Whether the filter fits; the resource must be there.
  bool FitsBefore(const WatchScope& scope) { return Fits(scope, before_, read_before_); }
  bool FitsAfter(const WatchScope& scope) { return Fits(scope, after_, read_after_); }
  const std::shared_ptr<const Said>& Added();
  const std::shared_ptr<const Said>& Modified();
  const std::shared_ptr<const Said>& Deleted();

 private:
  using Message = std::shared_ptr<const google::protobuf::Message>;
  static const Message& Read(const store::ResourcePtr& resource, Message& known);
  static bool Fits(const WatchScope& scope, const store::ResourcePtr& resource, Message& known);

  const store::ResourcePtr before_, after_;
  const int64_t revision_;
  Message read_before_, read_after_;
  std::shared_ptr<const Said> added_, modified_, deleted_;
};

// A BOOKMARK.
std::shared_ptr<const Said> Bookmark(bool initial_end);

// From one revision to the next. Not thread-safe.
struct Step {
  store::ViewPtr before, after;
  WatchPosition position;  // Of `after`.
  std::vector<Delta> deltas;
  std::vector<std::string> owners;      // Whose bindings changed, of those that are there before and after.
  bool subjects = false;                // A user or a team changed.
  bool anything = false;                // More than this says: compare all.
  std::map<std::string, bool> changed;  // By principal, once asked: whether he has other roles.
  bool ChangedRoles(const authn::Principal& principal);
};
// `event` null: many changes at once.
Step MakeStep(store::ViewPtr before, store::ViewPtr after, const store::ChangeEvent* event);

// Who is told.
struct Watching {
  WatchScope scope;
  authn::Principal principal;
};

// Appends what the watch is told of a delta. `now`: the present, whose rights must allow what is shown, too.
void Tell(const Watching& watching, const store::View& before, const store::View& after, const store::View& now,
          Delta& delta, std::vector<Outflow::Item>& items);

// All the differences between two states below some name, a part at a time.
class Walk {
 public:
  // `before` null = nothing was there. `base`: only at or below it; "" = all of the scope. `revision`: of what is gone.
  Walk(store::ViewPtr before, store::ViewPtr after, std::string base, int64_t revision)
      : before_(std::move(before)), after_(std::move(after)), base_(std::move(base)), revision_(revision) {}

  // Appends the next part: looks at some hundred resources, tells some 256 KiB. True: that was all.
  bool Next(const Watching& watching, const store::View& now, std::vector<Outflow::Item>& items);
  const store::ViewPtr& after() const { return after_; }

 private:
  size_t Compare(const Watching& watching, const store::View& now, const std::string& fqn,
                 std::vector<Outflow::Item>& items);

  const store::ViewPtr before_, after_;
  const std::string base_;
  const int64_t revision_;
  bool base_done_ = false;
  size_t kind_ = 0;
  std::string behind_;  // FQN of the last that was looked at, of the kind.
};

// Names below which the rights of the watch changed in this step, at least; one at most: their nearest common owner.
// nullopt = nowhere.
std::optional<std::string> MovedBelow(const Watching& watching, Step& step);

}  // namespace weir::services
