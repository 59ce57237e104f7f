#include "mgmt-server/invariants/invariant.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>

#include "libs/resource/kinds.h"
#include "mgmt-server/compile/world.h"

namespace weir::invariants {

// Lives until the program ends.
const std::vector<std::string>& KindsOfInvariants() {
  static const auto& kinds = *[] {
    auto* made = new std::vector<std::string>;
    for (const resource::KindInfo& kind : resource::Kinds()) {
      if (kind.rules.invariant) made->push_back(kind.name);
    }
    return made;
  }();
  return kinds;
}

std::optional<Invariant> Read(std::string_view kind, std::string_view fqn, std::string_view uid,
                              std::string_view body) {
  const resource::KindInfo* info = resource::FindKind(kind);
  if (info == nullptr || !info->rules.invariant) return std::nullopt;
  const std::unique_ptr<google::protobuf::Message> message = resource::NewMessage(info->kind);
  if (!message->ParseFromArray(body.data(), static_cast<int>(body.size()))) return std::nullopt;
  Invariant invariant;
  invariant.fqn = fqn;
  invariant.uid = uid;
  invariant.parent = resource::ParentFqn(fqn);
  invariant.organization = resource::OrganizationFqn(fqn);
  if (invariant.parent != invariant.organization) invariant.tenant = invariant.parent;
  invariant.condition = fmt::format("{}", fmt::join(info->rules.summary(*message), ", "));
  invariant.spec = info->rules.invariant(*message);
  return invariant;
}

std::vector<Breach> Worse(const std::vector<Breach>& before, std::vector<Breach> after) {
  std::map<std::string_view, uint64_t> known;
  for (const Breach& breach : before) known[breach.key] = std::max(known[breach.key], breach.depth);
  std::erase_if(after, [&](const Breach& breach) {
    const auto had = known.find(breach.key);
    return had != known.end() && breach.depth <= had->second;
  });
  return after;
}

}  // namespace weir::invariants
