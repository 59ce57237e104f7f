#pragma once

#include <fmt/format.h>

#include <string>
#include <vector>

#include "api/weir/v2/gateway_types.pb.h"
#include "libs/resource/checks.h"

// What the settings of an organization, a tenant and a workspace have in common.
namespace weir::resource {

template <typename Setting>
void CheckFailover(const Setting& setting, Checker& check) {
  check.Failover(setting.spec().failover_settings(), "spec.failoverSettings");
}

template <typename Setting>
std::vector<std::string> FailoverSummary(const Setting& setting) {
  const v2::FailoverSettings& failover = setting.spec().failover_settings();
  std::vector<std::string> parts{v2::FailoverSettings::Mode_Name(failover.mode())};
  for (const auto& pair : failover.regional_failover())
    parts.push_back(fmt::format("{} -> {}", pair.from(), pair.to()));
  return parts;
}

}  // namespace weir::resource
