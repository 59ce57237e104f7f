#include <google/protobuf/util/time_util.h>

#include "api/weir/v2/cluster.pb.h"
#include "libs/resource/admin_state.h"
#include "libs/resource/checks.h"
#include "libs/resource/kinds/rules.h"

namespace weir::resource {
namespace {

void Check(const v2::Cluster& cluster, Checker& check) {
  const v2::ClusterSpec& spec = cluster.spec();
  check.LabelText(spec.locality().region(), "spec.locality.region");
  check.LabelText(spec.locality().zone(), "spec.locality.zone");
  check.LabelText(spec.network(), "spec.network");
  check.Require(v2::AdminState_IsValid(spec.admin_state()), "spec.adminState",
                "must be ACTIVE, DRAINING, STANDBY or MAINTENANCE");
  if (spec.has_capacity()) {
    const uint64_t rate = spec.capacity().requests_per_second();
    check.Require(rate >= 1 && rate <= 1'000'000'000, "spec.capacity.requestsPerSecond",
                  "must be 1 to 1000000000; leave capacity out when it is not known");
  }
  check.Require(spec.locality().zone().empty() || !spec.locality().region().empty(), "spec.locality.region",
                "required with a zone");
}

// A document that sets another admin state ends what the verbs said: no end or undo of theirs comes back with the
// state.
void Stamp(const v2::Cluster* stored, const google::protobuf::Timestamp& /*now*/, v2::Cluster& wanted) {
  if (stored == nullptr || stored->spec().admin_state() == wanted.spec().admin_state()) return;
  if (wanted.has_state()) wanted.mutable_state()->clear_admin_changes();
}

// "DRAINING until 2026-01-01T00:00:00Z (kernel upgrade)"
std::string AdminText(const v2::Cluster& cluster) {
  std::string text = v2::AdminState_Name(cluster.spec().admin_state());
  const v2::AdminChange* change = AdminChangeOf(cluster);
  if (change == nullptr) return text;
  if (change->has_expire_time()) {
    text += " until " + google::protobuf::util::TimeUtil::ToString(change->expire_time());
  }
  return change->reason().empty() ? text : fmt::format("{} ({})", text, change->reason());
}

std::vector<std::string> Summary(const v2::Cluster& cluster) {
  const v2::ClusterState& state = cluster.state();
  std::vector<std::string> parts;
  if (!state.problems().empty()) {
    parts.push_back(fmt::format("{}: {}", state.problems(0).source(), state.problems(0).text()));
  }
  if (cluster.spec().admin_state() != v2::ACTIVE) parts.push_back(AdminText(cluster));
  parts.push_back(state.connected() ? "connected"
                  : state.has_last_seen()
                      ? "not connected since " + google::protobuf::util::TimeUtil::ToString(state.last_seen())
                      : "never joined");
  parts.push_back(fmt::format("{} workloads", state.workloads()));
  parts.push_back(fmt::format("{} services", state.services()));
  return parts;
}

}  // namespace

KindRules ClusterRules() {
  return RulesOf<v2::Cluster>{
      .summary = Summary,
      .stamp = Stamp,
      .check = Check,
      .output_only = {"state"},
      .keep_if_unset = {"spec.adminState"},
      .moved = {{"spec.labels", "metadata.labels"}},
      .not_served = {{"ClusterSpec",
                      {"tokenTtl"},
                      "ttlSeconds of the join token: weir cluster token NAME --ttl; an agent renews its certificate "
                      "by itself"},
                     {"ClusterSpec",
                      {"trustDomain"},
                      "every cluster is the trust domain <name>.<domain of the organization>: leave it out"},
                     {"ClusterSpec", {"serviceAccount", "installTemplate"}, "weir cluster token NAME"},
                     {"ClusterSpec",
                      {"namespaceScope", "namespaceScoping", "namespaces"},
                      "spec.namespaceSelector of workspaces"},
                     {"ClusterSpec", {"state"}, "it is the server's word: leave it out"},
                     {"Locality", {"subzone"}, "zone"}},
      .effect = Effect::kCluster,
  }
      .Rules();
}

}  // namespace weir::resource
