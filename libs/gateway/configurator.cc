#include "libs/gateway/configurator.h"

#include "libs/base/walk.h"

namespace weir::gateway {
namespace {

constexpr std::string_view kTypes[] = {xds::kCluster, xds::kEndpoints,   xds::kListener,
                                       xds::kRoute,   xds::kVirtualHost, xds::kSecret};

struct Difference {
  std::vector<proxy::EnvoyResource> upserts;
  std::vector<proxy::EnvoyResourceName> removals;
};

Difference Between(const xds::Snapshot& from, const xds::Snapshot& to) {
  Difference difference;
  for (const std::string_view type : kTypes) {
    const xds::Resources& before = from.Of(type);
    const xds::Resources& after = to.Of(type);
    if (&before == &after) continue;  // Unchanged types share their map.
    WalkBoth(before, after, [&](const std::string& name, const xds::ResourcePtr* old, const xds::ResourcePtr* now) {
      if (now == nullptr) {
        difference.removals.push_back({std::string(type), name});
      } else if (old == nullptr || (*old != *now && (*old)->version != (*now)->version)) {
        difference.upserts.push_back({std::string(type), name, (*now)->value});
      }
    });
  }
  return difference;
}

}  // namespace

Configurator::Configurator(const Role& role, proxy::Engine& engine)
    : role_(role), engine_(engine), built_(std::make_shared<xds::Snapshot>()) {}

Result<proxy::BuiltSnapshot> Configurator::Build(const xds::Snapshot& view) {
  const Difference difference = Between(*built_, view);
  return builder_.Apply(difference.upserts, difference.removals, std::to_string(++version_));
}

void Configurator::Apply(xds::SnapshotPtr view, Done done) {
  std::unique_lock lock(mutex_);
  const xds::SnapshotPtr before = built_;
  auto built = Build(*view);
  if (!built.ok()) {
    lock.unlock();
    return done(std::move(built).error());
  }
  built_ = view;
  Status status = role_.check ? role_.check(*built->snapshot) : Status();
  std::shared_ptr<const proxy::Snapshot> snapshot = built->snapshot;
  if (status.ok() && role_.adapt) {
    auto adapted = role_.adapt(snapshot);
    if (adapted.ok())
      snapshot = std::move(*adapted);
    else
      status = std::move(adapted).error();
  }
  if (status.ok()) status = ServeIdentity(built->trust_pem);
  if (status.ok()) waiting_ = built->waiting;
  lock.unlock();
  if (!status.ok()) return Finish(std::move(status), before, done);
  engine_.Apply(std::move(snapshot),
                [this, before, done = std::move(done)](Status outcome) { Finish(std::move(outcome), before, done); });
}

// A refused snapshot leaves the builder as it was before, so that the next one is compared with what is served.
void Configurator::Finish(Status outcome, const xds::SnapshotPtr& before, const Done& done) {
  {
    std::lock_guard lock(mutex_);
    if (outcome.ok()) {
      serving_ = true;
    } else {
      const auto back = Build(*before);
      if (back.ok()) built_ = before;
    }
  }
  done(std::move(outcome));
}

std::vector<std::string> Configurator::FindBad(const xds::SnapshotPtr& view, const std::string& type_url,
                                               const std::vector<std::string>& names) {
  std::lock_guard lock(mutex_);
  std::vector<std::string> bad;
  const xds::SnapshotPtr before = built_;
  for (const std::string& name : names) {
    const xds::Resource* resource = view->Find(type_url, name);
    if (resource == nullptr) continue;
    const proxy::EnvoyResource one{type_url, name, resource->value};
    if (!builder_.Apply({&one, 1}, {}, "trial").ok()) bad.push_back(name);
  }
  // Back to what is served: everything that was tried either had an older content or was not there.
  std::vector<proxy::EnvoyResource> upserts;
  std::vector<proxy::EnvoyResourceName> removals;
  for (const std::string& name : names) {
    const xds::Resource* old = before->Find(type_url, name);
    if (old != nullptr)
      upserts.push_back({type_url, name, old->value});
    else
      removals.push_back({type_url, name});
  }
  if (!builder_.Apply(upserts, removals, "trial").ok()) bad = names;
  return bad;
}

Status Configurator::SetLeaf(const Leaf& leaf, const std::string& fallback_roots) {
  std::lock_guard lock(mutex_);
  const auto old = leaf_;
  leaf_ = leaf;
  fallback_roots_ = fallback_roots;
  const Status status =
      engine_.SetIdentity({leaf.chain_pem, leaf.key_pem, trust_pem_.empty() ? fallback_roots_ : trust_pem_});
  if (!status.ok()) leaf_ = old;
  return status;
}

Status Configurator::ServeIdentity(const std::string& trust_pem) {
  if (trust_pem == trust_pem_) return {};
  if (leaf_) {
    WEIR_TRY(engine_.SetIdentity({leaf_->chain_pem, leaf_->key_pem, trust_pem.empty() ? fallback_roots_ : trust_pem}));
  }
  trust_pem_ = trust_pem;
  return {};
}

std::vector<std::string> Configurator::Waiting() const {
  std::lock_guard lock(mutex_);
  return waiting_;
}

bool Configurator::Serving() const {
  std::lock_guard lock(mutex_);
  return serving_;
}

}  // namespace weir::gateway
