#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/clock.h"
#include "libs/gateway/settings.h"
#include "libs/process/version.h"
#include "libs/xds/protocol/types.h"

namespace weir::gateway {

using process::kVersion;

// "What I run", as the admin door tells it. No secret is in it.
struct Report {
  std::string program;
  const Settings* settings = nullptr;
  std::string not_ready;  // Why; "" = ready.
  bool connected = false;
  std::string spiffe_id;
  WallTime identity_until;
  std::string last_good;  // What it started from; "" = nothing.
  std::vector<std::string> last_good_refused;
  std::vector<std::string> waiting;
  uint64_t updates_served = 0;
  uint64_t updates_refused = 0;
  std::string last_refusal;
  xds::SnapshotPtr accepted;
};

std::string ToJson(const Report& report);
void AppendMetrics(std::string& out, const Report& report);

}  // namespace weir::gateway
