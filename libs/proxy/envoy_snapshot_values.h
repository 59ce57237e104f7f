#pragma once

// Single values of Envoy messages. Internal to envoy_snapshot*.cc.

#include <google/protobuf/any.pb.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "envoy/config/core/v3/base.pb.h"
#include "envoy/config/core/v3/health_check.pb.h"
#include "libs/base/result.h"
#include "libs/proxy/envoy_snapshot_pieces.h"
#include "libs/proxy/snapshot.h"

namespace weir::proxy::envoy_v3 {

// A field that is known, with a value that cannot be obeyed.
template <typename... Args>
Error Refuse(fmt::format_string<Args...> format, Args&&... args) {
  return InvalidArgument("UNSUPPORTED_VALUE", format, std::forward<Args>(args)...);
}

template <typename Message>
Result<Message> Parse(const std::string& bytes) {
  Message message;
  if (!message.ParseFromString(bytes))
    return InvalidArgument("BAD_RESOURCE", "not a {}", Message::descriptor()->full_name());
  WEIR_TRY(CheckFields(message));
  return message;
}

// The inner message of a typed_config; CheckFields has walked it already.
template <typename Message>
Result<Message> Unpack(const google::protobuf::Any& any, const std::string& path) {
  const std::string& wanted = Message::descriptor()->full_name();
  Message message;
  if (any.type_url().substr(any.type_url().rfind('/') + 1) != wanted) {
    return Refuse("{} of type {} is not served here; {} is", path, any.type_url(), wanted);
  }
  if (!message.ParseFromString(any.value())) return InvalidArgument("BAD_RESOURCE", "{} is not a {}", path, wanted);
  return message;
}

inline Status CheckName(const std::string& resource, const std::string& inside) {
  if (resource.empty() || resource == inside) return {};
  return InvalidArgument("BAD_RESOURCE", "name is '{}' inside", inside);
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
