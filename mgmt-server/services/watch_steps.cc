#include "mgmt-server/services/watch_steps.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <set>

#include "libs/document/document.h"
#include "mgmt-server/services/writes.h"

namespace weir::services {
namespace {

constexpr size_t kLookedAt = 256;     // Resources of a part of a walk.
constexpr size_t kTold = 256u << 10;  // Bytes of a part, about.

std::shared_ptr<const Said> Say(v2::WatchEvent event, std::shared_ptr<const google::protobuf::Message> resource) {
  const auto shared = std::make_shared<const v2::WatchEvent>(std::move(event));
  const auto json = [shared, resource] {
    document::Node node = document::FromMessage(*shared);
    if (resource != nullptr) node.Add("resource", document::FromMessage(*resource));
    std::string text = document::WriteJson(node);
    while (text.ends_with('\n')) text.pop_back();
    return text;
  };
  const auto bytes = [shared, resource] {
    v2::WatchEvent whole = *shared;
    if (resource != nullptr) whole.mutable_resource()->PackFrom(*resource);
    return whole.SerializeAsString();
  };
  return std::make_shared<const Said>(v2::WatchEvent::Type_Name(shared->type()), json, bytes);
}

v2::WatchEvent EventOf(v2::WatchEvent::Type type, const store::StoredResource& resource) {
  v2::WatchEvent event;
  event.set_type(type);
  event.set_kind(resource.kind);
  event.set_fqn(resource.fqn);
  event.set_uid(resource.uid);
  event.set_revision(resource.revision);
  return event;
}

authz::Right RightFor(const store::StoredResource& resource) {
  return resource.kind == authz::kBindingsKind ? authz::Right::kSetPolicy : authz::Right::kRead;
}

bool May(const store::View& view, const Watching& watching, const store::StoredResource& resource) {
  return authz::Allowed(view, watching.principal, RightFor(resource), resource);
}

// What was decided by the rights of an earlier moment is not shown against those of now. What is gone by now was his
// to see.
bool StillMay(const store::View& now, const Watching& watching, const store::StoredResource& resource) {
  return now.GetByUid(resource.uid) == nullptr || May(now, watching, resource);
}

}  // namespace

const Delta::Message& Delta::Read(const store::ResourcePtr& resource, Message& known) {
  if (known == nullptr) {
    auto read = ToMessage(*resource);
    if (read.ok()) known = std::move(read).value();
  }
  return known;
}

bool Delta::Fits(const WatchScope& scope, const store::ResourcePtr& resource, Message& known) {
  if (!scope.filters()) return true;
  const Message& message = Read(resource, known);
  return message != nullptr && scope.Matches(resource->kind, *message);
}

const std::shared_ptr<const Said>& Delta::Added() {
  if (added_ == nullptr) added_ = Say(EventOf(v2::WatchEvent::ADDED, *after_), Read(after_, read_after_));
  return added_;
}
const std::shared_ptr<const Said>& Delta::Modified() {
  if (modified_ == nullptr) modified_ = Say(EventOf(v2::WatchEvent::MODIFIED, *after_), Read(after_, read_after_));
  return modified_;
}
const std::shared_ptr<const Said>& Delta::Deleted() {
  if (deleted_ == nullptr) {
    v2::WatchEvent event = EventOf(v2::WatchEvent::DELETED, *before_);
    event.set_revision(revision_);
    deleted_ = Say(std::move(event), nullptr);
  }
  return deleted_;
}

std::shared_ptr<const Said> Bookmark(bool initial_end) {
  const auto make = [](bool end) {
    v2::WatchEvent event;
    event.set_type(v2::WatchEvent::BOOKMARK);
    event.set_initial_end(end);
    return Say(std::move(event), nullptr);
  };
  static const std::shared_ptr<const Said> end = make(true), other = make(false);
  return initial_end ? end : other;
}

bool Step::ChangedRoles(const authn::Principal& principal) {
  const auto [known, fresh] = changed.try_emplace(principal.uid, false);
  if (fresh) known->second = !authz::SameRoles(*before, *after, principal);
  return known->second;
}

Step MakeStep(store::ViewPtr before, store::ViewPtr after, const store::ChangeEvent* event) {
  Step step;
  step.before = std::move(before);
  step.after = std::move(after);
  step.position = WatchPosition::Of(*step.after);
  step.anything = event == nullptr;
  if (event == nullptr) return step;
  std::set<std::string, std::less<>> names;  // A name may have changed hands within the revision.
  for (const store::ResourceChange& change : event->changes) {
    if (!names.insert(change.fqn).second) continue;
    store::ResourcePtr was = step.before->Get(change.fqn), is = step.after->Get(change.fqn);
    if (was == is) continue;
    const authz::Moves moves = authz::MovedBy(change.kind);
    step.subjects |= moves == authz::Moves::kOfSubjects;
    step.anything |= moves == authz::Moves::kAnything;
    if (moves == authz::Moves::kBelowOwner) {
      std::string owner = resource::ParentFqn(change.fqn);
      const store::ResourcePtr owned = step.before->Get(owner), owns = step.after->Get(owner);
      if (owned != nullptr && owns != nullptr && owned->uid == owns->uid) step.owners.push_back(std::move(owner));
    }
    step.deltas.emplace_back(std::move(was), std::move(is), event->revision);
  }
  return step;
}

void Tell(const Watching& watching, const store::View& before, const store::View& after, const store::View& now,
          Delta& delta, std::vector<Outflow::Item>& items) {
  const store::StoredResource* was = delta.before().get();
  const store::StoredResource* is = delta.after().get();
  const store::StoredResource& one = is != nullptr ? *is : *was;
  if (!watching.scope.Holds(one.kind, one.fqn)) return;
  const bool shown = was != nullptr && May(before, watching, *was) && delta.FitsBefore(watching.scope);
  const bool shows = is != nullptr && May(after, watching, *is) && delta.FitsAfter(watching.scope);
  const bool same = was != nullptr && is != nullptr && was->uid == is->uid;
  if (shown && !(shows && same)) items.push_back({delta.Deleted(), ""});
  if (!shows || (same && shown && was->etag == is->etag) || !StillMay(now, watching, *is)) return;
  items.push_back({same && shown ? delta.Modified() : delta.Added(), ""});
}

size_t Walk::Compare(const Watching& watching, const store::View& now, const std::string& fqn,
                     std::vector<Outflow::Item>& items) {
  store::ResourcePtr was = before_ == nullptr ? nullptr : before_->Get(fqn), is = after_->Get(fqn);
  if (was == nullptr && is == nullptr) return 0;
  static const store::View nothing;
  Delta delta(std::move(was), std::move(is), revision_);
  const size_t told = items.size();
  Tell(watching, before_ == nullptr ? nothing : *before_, *after_, now, delta, items);
  const size_t size = delta.after() == nullptr ? 100 : delta.after()->body.size() + 100;
  return items.size() > told ? size : 0;
}

bool Walk::Next(const Watching& watching, const store::View& now, std::vector<Outflow::Item>& items) {
  const auto& kinds = watching.scope.kinds();
  const std::string& base = base_.empty() ? watching.scope.prefix() : base_;
  size_t told = 0, looked_at = 0;
  if (!base_done_ && !base.empty()) told += Compare(watching, now, base, items);
  base_done_ = true;
  while (kind_ < kinds.size() && looked_at < kLookedAt && told < kTold) {
    std::set<std::string> names;
    const auto collect = [&](const store::View& view) {
      size_t count = 0;
      view.ForEachAfter(base, kinds[kind_]->name, behind_, [&](const store::ResourcePtr& resource) {
        names.insert(resource->fqn);
        return ++count < kLookedAt;
      });
      return count < kLookedAt;
    };
    bool whole = collect(*after_);
    // Behind the first so many of both nothing is left out that comes before the last of these.
    if (before_ != nullptr) whole &= collect(*before_);
    for (const std::string& name : names) {
      if (looked_at >= kLookedAt || told >= kTold) {
        whole = false;
        break;
      }
      told += Compare(watching, now, name, items);
      behind_ = name;
      ++looked_at;
    }
    if (!whole) continue;
    ++kind_;
    behind_.clear();
  }
  return kind_ >= kinds.size();
}

namespace {

// Whether the watch may see another of its kinds at a place than before.
bool RightsMoved(const Watching& watching, const Step& step, const store::StoredResource& was,
                 const store::StoredResource& is) {
  const auto moved = [&](authz::Right right, resource::Kind kind) {
    return authz::AllowedOn(*step.before, watching.principal, right, kind, was) !=
           authz::AllowedOn(*step.after, watching.principal, right, kind, is);
  };
  for (const resource::KindInfo* kind : watching.scope.kinds()) {
    if (kind->kind != resource::Kind::kAccessBindings) {
      if (moved(authz::Right::kRead, kind->kind)) return true;
      continue;
    }
    for (const resource::KindInfo& owner : resource::Kinds()) {  // Bindings are seen by the right on what has them.
      if (moved(authz::Right::kSetPolicy, owner.kind)) return true;
    }
  }
  return false;
}

}  // namespace

std::optional<std::string> MovedBelow(const Watching& watching, Step& step) {
  if (step.anything || (step.subjects && step.ChangedRoles(watching.principal))) return "";
  std::optional<std::string> moved;
  for (const std::string& owner : step.owners) {
    const std::string& prefix = watching.scope.prefix();
    if (!prefix.empty() && !resource::IsAtOrBelow(owner, prefix) && !resource::IsAtOrBelow(prefix, owner)) continue;
    const store::ResourcePtr was = step.before->Get(owner), is = step.after->Get(owner);
    // Whoever has a right on a kind at an owner has it on all of that kind below. So nothing moves there unless it
    // moves on the owner.
    if (!RightsMoved(watching, step, *was, *is)) continue;
    if (moved) return "";
    moved = !prefix.empty() && resource::IsAtOrBelow(prefix, owner) ? "" : owner;
  }
  return moved;
}

}  // namespace weir::services
