#include "mgmt-server/invariant_guard.h"

#include <algorithm>

#include "api/weir/agent/v1/discovery.pb.h"
#include "libs/resource/kinds.h"
#include "mgmt-server/invariants/intent.h"

namespace weir::server {
namespace {

using invariants::Breach;
using invariants::Invariant;
using services::BrokenInvariant;

bool HasAny(const store::View& view) {
  bool any = false;
  for (const std::string& kind : invariants::KindsOfInvariants()) {
    view.ForEach("", kind, [&](const store::ResourcePtr&) { return !(any = true); });
  }
  return any;
}

// What follows from facts by intent is which clusters a list selects; services have no part in that.
compile::Facts WorkloadsOf(const store::ClusterFacts* stored) {
  compile::Facts facts;
  if (stored == nullptr) return facts;
  stored->workloads.VisitAll([&](const std::string& key, const std::string& bytes) {
    auto workload = std::make_shared<agent::v1::Workload>();
    if (workload->ParseFromString(bytes)) facts.workloads[key] = std::move(workload);
    return true;
  });
  return facts;
}

// "spec.minClusters"
std::string FieldOf(const v2::InvariantSpec& spec) {
  return "spec." + v2::InvariantSpec::descriptor()->FindFieldByNumber(spec.condition_case())->json_name();
}

// The line of a breach that the change wrote; else what touches the condition at all.
invariants::Line CauseOf(const Breach& breach, const std::set<std::string>& changed, const std::string& touching,
                         const store::View& after) {
  for (const invariants::Line& line : breach.lines) {
    if (changed.contains(line.fqn) && after.Get(line.fqn) != nullptr) return line;
  }
  const std::string& fqn = touching.empty() ? breach.lines.front().fqn : touching;
  const auto parsed = resource::ParseFqn(fqn);
  if (!parsed.ok() || after.Get(fqn) == nullptr) return {fqn, ""};
  const std::string& servers = resource::Info(parsed->kind).rules.servers;
  return {fqn, servers.empty() ? "spec" : servers};
}

// Below what, and of which kinds, Invariants are held against the change: those at or above what is changed.
std::set<std::pair<std::string, std::string>> Asked(const services::InvariantGuard::Question& question) {
  std::set<std::pair<std::string, std::string>> asked;
  for (const store::ResourceChange& change : question.changes) {
    for (const std::string& kind : invariants::KindsOfInvariants()) {
      if (question.asks_tenants) {
        asked.emplace(resource::OrganizationFqn(change.fqn), kind);
        continue;
      }
      const auto wanted = resource::FindKind(kind)->parent();
      for (std::string at = change.fqn; !at.empty(); at = resource::ParentFqn(at)) {
        const auto parsed = resource::ParseFqn(at);
        if (parsed.ok() && parsed->kind == wanted) asked.emplace(at, kind);
      }
    }
  }
  return asked;
}

bool Refuses(const std::optional<Invariant>& invariant) {
  return invariant && invariant->spec.enforcement() == v2::InvariantSpec::REFUSE;
}

}  // namespace

void InvariantGuard::Put(const store::ResourcePtr& before, const store::ResourcePtr& after) {
  const std::string& fqn = (after != nullptr ? after : before)->fqn;
  if (compile::EffectOf(fqn) == resource::Effect::kNone) return;
  ++followed_;
  if (after == nullptr)
    world_.Remove(fqn);
  else
    world_.PutBody(after->kind, fqn, after->uid, after->body);
}

// Clusters with what is there before all else: what selects by them is found out once.
void InvariantGuard::Follow(const store::View& view) {
  if (!at_) at_.emplace();
  std::vector<std::pair<store::ResourcePtr, store::ResourcePtr>> others;
  at_->VisitDifferences(view, [&](const store::ResourcePtr& before, const store::ResourcePtr& after) {
    const store::StoredResource& any = after != nullptr ? *after : *before;
    if (any.kind != "Cluster") {
      others.emplace_back(before, after);
      return;
    }
    Put(before, after);
    // A name that was deleted and created again is another cluster, with facts of its own.
    if (before != nullptr && after != nullptr && before->uid == after->uid) return;
    world_.SetFacts(any.fqn, WorkloadsOf(after == nullptr ? nullptr : view.Facts(after->uid).get()));
  });
  FollowFacts(view);
  for (const auto& [before, after] : others) Put(before, after);
  at_ = view;
}

void InvariantGuard::FollowFacts(const store::View& view) {
  at_->VisitFactDifferences(view, [&](const store::ClusterFactsPtr& before, const store::ClusterFactsPtr& after) {
    const std::string& uid = (after != nullptr ? after : before)->cluster_uid;
    const store::ResourcePtr cluster = view.GetByUid(uid);
    if (cluster == nullptr) return;
    if (before == nullptr || after == nullptr) {
      ++followed_;
      world_.SetFacts(cluster->fqn, WorkloadsOf(after.get()));
      return;
    }
    before->workloads.VisitDifferences(after->workloads,
                                       [&](const std::string& key, const std::string*, const std::string* bytes) {
                                         ++followed_;
                                         agent::v1::Workload workload;
                                         if (bytes != nullptr && workload.ParseFromString(*bytes))
                                           world_.PutWorkload(cluster->fqn, workload);
                                         else
                                           world_.RemoveWorkload(cluster->fqn, key);
                                       });
  });
}

void InvariantGuard::Prepare(const store::View& view) {
  if (HasAny(view)) Follow(view);
}

const Invariant* InvariantGuard::Read(const store::ResourcePtr& stored) {
  if (stored == nullptr) return nullptr;
  Parsed& parsed = parsed_[stored->fqn];
  if (parsed.resource != stored) {
    parsed = {stored, invariants::Read(stored->kind, stored->fqn, stored->uid, stored->body)};
  }
  return parsed.invariant ? &*parsed.invariant : nullptr;
}

// One that refuses, as far as it has to do with the change; with its breaches after it.
std::optional<InvariantGuard::Concerned> InvariantGuard::Consider(const Question& question,
                                                                  const store::StoredResource& stored,
                                                                  const invariants::Touched& touched) {
  const store::ResourcePtr was = question.before.Get(stored.fqn);
  Concerned concerned;
  if (was != nullptr && was->uid == stored.uid && was->etag != stored.etag) {
    concerned.before = invariants::Read(was->kind, was->fqn, was->uid, was->body);
    if (!Refuses(concerned.before)) concerned.before.reset();
  }
  const Invariant* now = Read(question.after.Get(stored.fqn));
  if (now == nullptr || now->spec.enforcement() == v2::InvariantSpec::ALARM) return std::nullopt;
  if (was != nullptr && was->uid == stored.uid && was->etag == stored.etag) concerned.before = *now;
  concerned.same = concerned.before && concerned.before->spec.SerializeAsString() == now->spec.SerializeAsString();
  if (concerned.same) {
    if (!touched.Concerns(*now)) return std::nullopt;
  }
  ++judged_;
  concerned.breaches = invariants::JudgeIntent(world_, *now, concerned.same ? &touched : nullptr);
  if (concerned.breaches.empty()) return std::nullopt;
  concerned.invariant = *now;
  return concerned;
}

std::vector<BrokenInvariant> InvariantGuard::Judge(const Question& question) {
  if (!HasAny(question.after)) {
    if (!HasAny(question.before)) {
      world_ = compile::World();
      at_.reset();
      parsed_.clear();
    }
    return {};
  }
  if (parsed_.size() > 2 * question.after.resource_count() + 1024) parsed_.clear();
  std::set<std::string> changed;
  for (const store::ResourceChange& change : question.changes) changed.insert(change.fqn);
  invariants::Touched touched;
  Follow(question.before);
  touched.Add(world_, changed);
  Follow(question.after);
  touched.Add(world_, changed);
  std::vector<Concerned> broken;
  for (const auto& [parent, kind] : Asked(question)) {
    question.after.ForEach(parent, kind, [&](const store::ResourcePtr& stored) {
      if (auto concerned = Consider(question, *stored, touched)) broken.push_back(std::move(*concerned));
      return true;
    });
  }
  if (broken.empty()) return {};
  Follow(question.before);  // Asked only when something is broken: was it before?
  return Worsened(question, std::move(broken), changed, touched);
}

// With the World as it was.
std::vector<BrokenInvariant> InvariantGuard::Worsened(const Question& question, std::vector<Concerned> broken,
                                                      const std::set<std::string>& changed,
                                                      const invariants::Touched& touched) const {
  std::vector<BrokenInvariant> found;
  for (Concerned& each : broken) {
    std::vector<Breach> before;
    if (each.before) before = invariants::JudgeIntent(world_, *each.before, each.same ? &touched : nullptr);
    for (Breach& breach : invariants::Worse(before, std::move(each.breaches))) {
      const invariants::Line cause = each.same
                                         ? CauseOf(breach, changed, touched.CauseOf(each.invariant), question.after)
                                         : invariants::Line{each.invariant.fqn, FieldOf(each.invariant.spec)};
      BrokenInvariant& out = found.emplace_back();
      out.fqn = each.invariant.fqn;
      out.uid = each.invariant.uid;
      out.condition = each.invariant.condition;
      out.what = std::move(breach.message);
      out.document = cause.fqn;
      out.field = cause.field;
      // How clusters stand is seen by whoever routes to them.
      for (const invariants::Line& line : breach.lines) {
        if (compile::EffectOf(line.fqn) != resource::Effect::kCluster) out.about.push_back(line.fqn);
      }
    }
  }
  return found;
}

}  // namespace weir::server
