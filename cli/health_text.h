#pragma once

#include <google/protobuf/timestamp.pb.h>

#include <string>
#include <string_view>

#include "api/weir/v2/traffic.pb.h"

namespace weir::cli {

std::string Ago(const google::protobuf::Timestamp& time);  // "40 s ago"

// What a gateway says of a cluster: one sentence, and below it a line for each observation, each begun with `indent`.
std::string HealthText(const v2::ClusterHealth& health, std::string_view indent);
// The observations alone.
std::string EvidenceText(const v2::ClusterHealth& health, std::string_view indent);

}  // namespace weir::cli
