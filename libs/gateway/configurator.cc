#include "libs/gateway/configurator.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <tuple>
#include <utility>

#include "libs/base/mutex.h"
#include "libs/base/walk.h"
#include "libs/dialect/dialect.h"

namespace weir::gateway {
namespace {

struct Difference {
  std::vector<proxy::EnvoyResource> upserts;
  std::vector<proxy::EnvoyResourceName> removals;
};

Difference Between(const xds::Snapshot& from, const xds::Snapshot& to) {
  Difference difference;
  for (const std::string_view type : xds::kEnvoyTypes) {
    const xds::Resources& before = from.Of(type);
    const xds::Resources& after = to.Of(type);
    if (&before == &after) continue;  // Unchanged types share their map.
    WalkBoth(before, after, [&](const std::string& name, const xds::ResourcePtr* old, const xds::ResourcePtr* now) {
      if (now == nullptr) {
        difference.removals.push_back({std::string(type), name});
      } else if (old == nullptr || (*old != *now && (*old)->value != (*now)->value)) {
        difference.upserts.push_back({std::string(type), name, (*now)->value});
      }
    });
  }
  return difference;
}

// `view` with what was there before in the place of what is bad.
xds::SnapshotPtr Without(const xds::SnapshotPtr& view, const xds::Snapshot& before,
                         const std::vector<proxy::Refusal>& refused) {
  std::shared_ptr<xds::Snapshot> taken;
  std::map<std::string, std::shared_ptr<xds::Resources>> changed;
  for (const proxy::Refusal& refusal : refused) {
    if (refusal.held) continue;
    if (taken == nullptr) taken = std::make_shared<xds::Snapshot>(*view);
    auto& resources = changed[refusal.type_url];
    if (resources == nullptr) resources = std::make_shared<xds::Resources>(view->Of(refusal.type_url));
    const xds::Resources& old = before.Of(refusal.type_url);
    if (const auto found = old.find(refusal.name); found != old.end())
      (*resources)[refusal.name] = found->second;
    else
      resources->erase(refusal.name);
  }
  for (auto& [type, resources] : changed) taken->types[type] = std::move(resources);
  return taken == nullptr ? view : taken;
}

void AddUnbound(const proxy::Engine& engine, std::vector<proxy::Refusal>* refused) {
  for (proxy::UnboundListener& listener : engine.Unbound()) {
    refused->push_back({std::string(xds::kListener), std::move(listener.resource), std::move(listener.error), true});
  }
}

}  // namespace

Configurator::Configurator(Role& role, proxy::Engine& engine)
    : role_(role), engine_(engine), builder_(role_), built_(std::make_shared<xds::Snapshot>()) {}

proxy::BuiltSnapshot Configurator::Build(const xds::Snapshot& view) {
  const Difference difference = Between(*built_, view);
  return builder_.Apply(difference.upserts, difference.removals, std::to_string(++version_));
}

void Configurator::Apply(xds::SnapshotPtr view, Done done) {
  MutexLock lock(mutex_);
  const xds::SnapshotPtr before = built_;
  proxy::BuiltSnapshot built = Build(*view);
  Outcome outcome;
  outcome.taken = built_ = Without(view, *before, built.refused);
  outcome.refused = std::move(built.refused);
  std::shared_ptr<const proxy::Snapshot> snapshot = built.snapshot;
  auto adapted = role_.Adapt(snapshot);
  if (adapted.ok())
    snapshot = std::move(*adapted);
  else
    outcome.status = std::move(adapted).error();
  if (const Status trust = ServeIdentity(built); !trust.ok()) {
    outcome.refused.push_back({std::string(xds::kSecret), std::string(dialect::kTrustSecret), trust.error(), true});
  }
  if (outcome.status.ok()) {
    waiting_ = built.waiting;
    held_.clear();
    std::copy_if(outcome.refused.begin(), outcome.refused.end(), std::back_inserter(held_),
                 [](const proxy::Refusal& refusal) { return refusal.held; });
  }
  lock.Unlock();
  if (!outcome.status.ok()) return Finish(std::move(outcome), before, done);
  auto after = [this, before, done = std::move(done), outcome = std::move(outcome)](Status status) mutable {
    outcome.status = std::move(status);
    AddUnbound(engine_, &outcome.refused);
    Finish(std::move(outcome), before, done);
  };
  engine_.Apply(std::move(snapshot), std::move(after));
}

void Configurator::Retry(Done done) {
  engine_.OpenMissing([this, done = std::move(done)](Status status) {
    Outcome outcome;
    {
      MutexLock lock(mutex_);
      outcome.refused = held_;
      outcome.taken = built_;
    }
    outcome.status = std::move(status);
    AddUnbound(engine_, &outcome.refused);
    done(std::move(outcome));
  });
}

std::vector<std::string> Configurator::Unserved() const {
  std::vector<proxy::Refusal> held;
  {
    MutexLock lock(mutex_);
    held = held_;
  }
  AddUnbound(engine_, &held);
  std::vector<std::string> out;
  for (const proxy::Refusal& refusal : held) {
    if (refusal.type_url == xds::kListener) {
      out.push_back(fmt::format("listener {}: {}", refusal.name, refusal.error.message));
    }
  }
  return out;
}

// What the engine does not take as a whole leaves the builder as it was, so that the next one is compared with what is
// served.
void Configurator::Finish(Outcome outcome, const xds::SnapshotPtr& before, const Done& done) {
  {
    MutexLock lock(mutex_);
    if (outcome.status.ok()) {
      serving_ = true;
    } else {
      Build(*before);
      built_ = before;
    }
  }
  done(std::move(outcome));
}

Status Configurator::SetLeaf(const Leaf& leaf, const std::string& fallback_roots) {
  MutexLock lock(mutex_);
  const auto old = leaf_;
  leaf_ = leaf;
  fallback_roots_ = fallback_roots;
  const Status status = engine_.SetIdentity(IdentityWith(leaf));
  if (!status.ok()) leaf_ = old;
  return status;
}

proxy::Identity Configurator::IdentityWith(const Leaf& leaf) const {
  return {leaf.chain_pem, leaf.key_pem, trust_pem_.empty() ? fallback_roots_ : trust_pem_, generations_};
}

Status Configurator::ServeIdentity(const proxy::BuiltSnapshot& built) {
  const bool same_generations =
      generations_ == built.generations ||
      (generations_ != nullptr && built.generations != nullptr && *generations_ == *built.generations);
  if (built.trust_pem == trust_pem_ && same_generations) return {};
  const auto before =
      std::pair(std::exchange(trust_pem_, built.trust_pem), std::exchange(generations_, built.generations));
  if (!leaf_) return {};
  Status status = engine_.SetIdentity(IdentityWith(*leaf_));
  if (!status.ok()) std::tie(trust_pem_, generations_) = before;
  return status;
}

std::string Configurator::RootsInUse() const {
  MutexLock lock(mutex_);
  return trust_pem_;
}

bool Configurator::LeafEnded() const {
  MutexLock lock(mutex_);
  return leaf_ && generations_ != nullptr && !generations_->Admits(leaf_->facts.cluster);
}

std::vector<std::string> Configurator::Waiting() const {
  MutexLock lock(mutex_);
  return waiting_;
}

bool Configurator::Serving() const {
  MutexLock lock(mutex_);
  return serving_;
}

}  // namespace weir::gateway
