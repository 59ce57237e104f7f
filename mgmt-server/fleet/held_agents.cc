#include "mgmt-server/fleet/held_agents.h"

#include "libs/base/mutex.h"
#include "libs/obs/log.h"
#include "mgmt-server/store/store.h"

namespace weir::fleet {
namespace {

constexpr std::string_view kPrefix = "held:";
constexpr int kMostNames = 20;  // Of each kind of change and type.
constexpr const char* kRemedy =
    "it keeps what it serves and gets nothing new; restore a newer backup, or let this state count with `weir server "
    "adopt-state`";

}  // namespace

std::string HeldAgents::KeyOf(const std::string& cluster) { return std::string(kPrefix) + cluster; }

bool HeldAgents::IsHeldKey(std::string_view key) { return key.starts_with(kPrefix); }

std::string HeldAgents::WhyNot(const xds::Position& held) const {
  const xds::Position ours = store_.Read()->position();
  const Status may = xds::MayFollow(held, ours);
  if (!may.ok() && may.error().reason == "STATE_OLDER") {
    return fmt::format("its agent acknowledged revision {}, this server's state is at revision {}", held.revision(),
                       ours.revision());
  }
  if (!may.ok()) return "its agent acknowledged the state of another server or of another history";
  if (held.lineages.back() != ours.lineages.back() || held.revision() == 0) return "";
  // The same lineage, and not newer: but is it the same past?
  const auto mark = store_.MarkOf(held.revision());
  if (mark.ok() && *mark == held.mark) return "";
  if (!mark.ok() && mark.error().code != Code::kNotFound) return "";  // The disk does not answer: no evidence.
  return fmt::format("its agent acknowledged a revision {} that this server's state does not know: the two grew apart",
                     held.revision());
}

std::string HeldAgents::KeyFor(const std::string& cluster, const xds::Node& node) {
  const std::string key = KeyOf(cluster);
  const auto said = node.metadata.find(std::string(xds::kOriginKey));
  std::string why;
  if (said != node.metadata.end()) {
    const auto held = xds::ParsePosition(said->second);
    why = held.ok() ? WhyNot(*held) : "its agent acknowledged a state that it cannot name";
  }
  MutexLock lock(mutex_);
  if (why.empty()) {
    held_.erase(key);
    return cluster;
  }
  obs::Log(obs::Level::kError, "an agent acknowledged what this state does not know; nothing is pushed to it",
           {{"cluster", cluster}, {"reason", why}});
  held_[key] = {cluster, why + "; " + kRemedy, {}};
  return key;
}

void HeldAgents::NoteServed(const std::string& key, const xds::AckEvent& event) {
  MutexLock lock(mutex_);
  const auto found = held_.find(key);
  if (found == held_.end()) return;
  auto& names = found->second.serves[event.type_url];
  for (const xds::NamedVersion& resource : event.accepted_resources) names[resource.name] = resource.version;
}

void HeldAgents::OnStream(const std::string& key, bool opened) {
  MutexLock lock(mutex_);
  size_t& open = streams_[key];
  if (opened) {
    ++open;
  } else if (open <= 1) {
    streams_.erase(key);
    held_.erase(key);
  } else {
    --open;
  }
}

std::string HeldAgents::Reason(const std::string& cluster) const {
  MutexLock lock(mutex_);
  const auto found = held_.find(KeyOf(cluster));
  return found == held_.end() ? "" : found->second.reason;
}

std::vector<HeldAgent> HeldAgents::List() const {
  MutexLock lock(mutex_);
  std::vector<HeldAgent> list;
  for (const auto& [key, agent] : held_) list.push_back(agent);
  return list;
}

v2::HeldCluster WhatGoesBack(const HeldAgent& agent, const xds::SnapshotPtr& ours) {
  v2::HeldCluster held;
  held.set_cluster(agent.cluster);
  held.set_reason(agent.reason);
  if (ours == nullptr) return held;
  for (const auto& [url, resources] : ours->types) {
    const auto served_of_type = agent.serves.find(url);
    static const std::map<std::string, std::string> kNone;
    const auto& served = served_of_type == agent.serves.end() ? kNone : served_of_type->second;
    v2::HeldIntent intent;
    intent.set_type(url.substr(url.rfind('.') + 1));
    std::map<char, int> counts;
    const auto count = [&](char sign, const std::string& name) {
      if (++counts[sign] <= kMostNames) intent.add_names(sign + name);
    };
    for (const auto& [name, version] : served) {
      const auto here = resources->find(name);
      if (here == resources->end()) {
        count('-', name);
      } else if (here->second->version != version) {
        count('~', name);
      }
    }
    for (const auto& [name, resource] : *resources) {
      if (!served.contains(name)) count('+', name);
    }
    intent.set_removed(counts['-']);
    intent.set_changed(counts['~']);
    intent.set_added(counts['+']);
    if (!intent.names().empty()) *held.add_intents() = std::move(intent);
  }
  return held;
}

}  // namespace weir::fleet
