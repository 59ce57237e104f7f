#pragma once

#include "api/weir/agent/v1/traffic.pb.h"
#include "api/weir/v2/traffic.pb.h"

namespace weir::status {

// What a gateway says of one cluster, as the API says it.
inline v2::ClusterHealth MessageOf(const agent::v1::ClusterHealth& health) {
  v2::ClusterHealth out;
  out.set_cluster(health.cluster());
  out.set_can_serve(health.can_serve());
  out.set_reason(health.reason());
  out.set_returning(health.returning());
  if (health.has_since()) *out.mutable_since() = health.since();
  for (const auto& seen : health.evidence()) {
    v2::HealthEvidence& evidence = *out.add_evidence();
    evidence.set_endpoint(seen.endpoint());
    evidence.set_source(seen.source());
    evidence.set_healthy(seen.healthy());
    evidence.set_text(seen.text());
    if (seen.has_time()) *evidence.mutable_time() = seen.time();
  }
  return out;
}

}  // namespace weir::status
