#include "mgmt-server/plan_answers.h"

#include <utility>

#include "mgmt-server/compile/keys.h"
#include "mgmt-server/plan/preview.h"
#include "mgmt-server/push/pusher.h"

namespace weir::server {
namespace {

constexpr int kMostTries = 3;

void Put(const std::string& fqn, const store::ResourcePtr& resource, compile::World* world) {
  if (resource == nullptr)
    world->Remove(fqn);
  else
    world->PutBody(resource->kind, fqn, resource->uid, resource->body);
}

// What is left of the facts of a cluster that goes counts nowhere.
compile::Change ApplyTo(compile::World* world, const services::PlanQuestion& question) {
  compile::Change change;
  for (const auto& each : question.changes) {
    change.fqns.insert(each.fqn);
    Put(each.fqn, each.after, world);
  }
  return change;
}

plan::Question Ask(const Clock& clock, const services::PlanQuestion& question) {
  plan::Question out;
  const MonoTime begun = clock.Now();
  out.documents = question.documents;
  out.may_read = question.may_read;
  out.go_on = [&clock, &question]() -> Status {
    WEIR_TRY(question.go_on());
    if (clock.Now() < question.deadline) return {};
    return DeadlineExceeded("PLAN_TOO_SLOW", "what would change could not be found out in time; plan fewer documents");
  };
  out.in_time = [&clock, &question, begun] { return clock.Now() < begun + (question.deadline - begun) / 2; };
  return out;
}

Result<services::PlanEffect> Answer(const plan::Question& question) {
  WEIR_ASSIGN(plan::Preview preview, plan::PreviewOf(question));
  return services::PlanEffect{std::move(preview.seen), std::move(preview.digest)};
}

// What the clusters of `keys` are told, if it is still what `world` says. What a rollout tells some of them is not
// stored: of these it is found out by compiling.
bool CopyIntents(const push::Pusher& pusher, const compile::World& world, const compile::KeysByCluster& keys,
                 std::map<std::string, compile::ClusterIntent>* intents) {
  for (const auto& [cluster, unused] : keys) {  // One after the other: a push waits for no more than one of them.
    bool same = false;
    pusher.Read([&](const compile::Compilation& compilation) {
      same = compilation.world().revision == world.revision &&
             compilation.world().facts_sequence == world.facts_sequence && compilation.world().roots() == world.roots();
      if (same && !compilation.IsAhead(cluster)) (*intents)[cluster] = compilation.Of(cluster);
    });
    if (!same) return false;
  }
  return true;
}

}  // namespace

Result<services::PlanEffect> PlanFrom(compile::World world, std::map<std::string, compile::ClusterIntent> intents,
                                      const Clock& clock, MeasuredTraffic traffic,
                                      const services::PlanQuestion& question) {
  plan::Question asked = Ask(clock, question);
  asked.traffic = std::move(traffic);
  asked.before = world;
  asked.after = std::move(world);
  asked.change = ApplyTo(&asked.after, question);
  asked.intents = std::move(intents);
  return Answer(asked);
}

namespace {

Status WaitUntilCompiled(const push::Pusher& pusher, const Clock& clock, const services::PlanQuestion& question) {
  if (pusher.WaitFor(question.revision, clock, question.deadline)) return {};
  return Unavailable("NOT_COMPILED", "what is stored is not compiled yet; plan again in a moment");
}

// What is compiled now. `later`: somebody wrote since; then all but what the question touches is as it is now.
compile::World WorldFor(const push::Pusher& pusher, const services::PlanQuestion& question, bool* later) {
  compile::World world;
  pusher.Read([&](const compile::Compilation& compilation) { world = compilation.world(); });
  *later = world.revision != question.revision;
  if (*later) {
    for (const auto& each : question.changes) Put(each.fqn, each.before, &world);
  }
  return world;
}

// The hosts that a piece of intent is about; of a listener all that it has.
void AddHosts(const compile::Key& key, const std::set<compile::Key>& all, std::set<std::string>* hosts) {
  if (key.type == compile::kListener) {
    for (const compile::Key& other : all) {
      if (other.type == compile::kHost && other.name.starts_with(key.name + "/")) AddHosts(other, all, hosts);
    }
  } else if (key.type == compile::kHost) {
    if (const auto name = compile::ParseHostName(key.name)) hosts->insert(name->hostname);
  } else if (key.type == compile::kDestinationSet) {
    if (const auto name = compile::ParseDestinationSetName(key.name)) hosts->insert(name->host.hostname);
  } else if (key.type == compile::kServiceEndpoints) {
    if (const auto name = compile::ParseEndpointsName(key.name)) hosts->insert(name->hostname);
  }
}

}  // namespace

Result<services::Concerned> ConcernedFrom(compile::World world, const services::PlanQuestion& question) {
  compile::World after = world;
  const compile::Change change = ApplyTo(&after, question);
  services::Concerned concerned;
  for (const auto& [cluster, keys] : compile::Affected(world, after, change)) {
    WEIR_TRY(question.go_on());
    std::set<compile::Key> all;
    for (const compile::Key& key : keys) {
      const auto was = compile::CompileKey(world, cluster, key), is = compile::CompileKey(after, cluster, key);
      if (was.has_value() == is.has_value() && (!was || was->bytes == is->bytes)) continue;
      concerned.clusters.insert(cluster);
      if (key.type == compile::kListener && all.empty()) all = compile::KeysOf(after, cluster);
      AddHosts(key, all, &concerned.hosts);
    }
  }
  return concerned;
}

Result<services::Concerned> ConcernedBy(const push::Pusher& pusher, const Clock& clock,
                                        const services::PlanQuestion& question) {
  WEIR_TRY(WaitUntilCompiled(pusher, clock, question));
  bool later = false;
  return ConcernedFrom(WorldFor(pusher, question, &later), question);
}

Result<services::PlanEffect> Plan(const push::Pusher& pusher, const Clock& clock, MeasuredTraffic traffic,
                                  const services::PlanQuestion& question) {
  WEIR_TRY(WaitUntilCompiled(pusher, clock, question));
  plan::Question asked = Ask(clock, question);
  asked.traffic = std::move(traffic);
  for (int tries = 1;; ++tries) {
    WEIR_TRY(asked.go_on());
    bool later = false;
    asked.before = WorldFor(pusher, question, &later);
    asked.after = asked.before;
    asked.change = ApplyTo(&asked.after, question);
    asked.intents.clear();
    if (later || tries == kMostTries) return Answer(asked);
    const auto keys = compile::Affected(asked.before, asked.after, asked.change);
    if (CopyIntents(pusher, asked.before, keys, &asked.intents)) return Answer(asked);
  }
}

}  // namespace weir::server
