#pragma once

// Single values of Envoy messages. Internal to envoy_snapshot*.cc.

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "envoy/config/core/v3/base.pb.h"
#include "envoy/config/core/v3/health_check.pb.h"
#include "libs/base/result.h"
#include "libs/proxy/snapshot.h"

namespace weir::proxy::envoy_v3 {

// A field that is known, with a value that cannot be obeyed.
template <typename... Args>
Error Refuse(fmt::format_string<Args...> format, Args&&... args) {
  return InvalidArgument("UNSUPPORTED_VALUE", format, std::forward<Args>(args)...);
}

// 0 to 24 h, rounded up.
Result<std::chrono::milliseconds> Milliseconds(const google::protobuf::Duration& duration, const std::string& path);

// filter_metadata["dev.weir"]: what Envoy has no field for. A value of another type is refused by name; keys that are
// not asked for only name things.
class WeirMetadata {
 public:
  WeirMetadata(const ::envoy::config::core::v3::Metadata& metadata, std::string path);

  Result<std::string> Text(std::string_view key) const;                               // "" = not there.
  Result<bool> Flag(std::string_view key) const;                                      // false = not there.
  Result<std::optional<std::vector<std::string>>> Texts(std::string_view key) const;  // Nullopt = not there.
  // 0 to 1 h.
  Result<std::chrono::milliseconds> Milliseconds(std::string_view key, std::chrono::milliseconds otherwise) const;

 private:
  const google::protobuf::Value* Find(std::string_view key) const;
  Error Wrong(std::string_view key, std::string_view wanted) const;

  const google::protobuf::Struct* ours_ = nullptr;
  const std::string path_;
};

// One entry of Envoy's Cluster.health_checks; `port` stays 0: it stands with the endpoints.
Result<HealthCheck> ReadHealthCheck(const ::envoy::config::core::v3::HealthCheck& from, const std::string& path);

}  // namespace weir::proxy::envoy_v3
