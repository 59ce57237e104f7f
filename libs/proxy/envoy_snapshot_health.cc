#include "libs/dialect/dialect.h"
#include "libs/proxy/envoy_snapshot_values.h"

namespace weir::proxy::envoy_v3 {
namespace {

namespace core = ::envoy::config::core::v3;
using std::chrono::milliseconds;

Result<milliseconds> Between(const google::protobuf::Duration& duration, milliseconds least, milliseconds most,
                             const std::string& path) {
  WEIR_ASSIGN(const milliseconds value, Milliseconds(duration, path));
  if (value < least || value > most) {
    return Refuse("{} must be {} ms to {} ms", path, least.count(), most.count());
  }
  return value;
}

Result<uint32_t> Threshold(const google::protobuf::UInt32Value& value, const std::string& path) {
  if (value.value() < 1 || value.value() > 100) return Refuse("{} must be 1 to 100", path);
  return value.value();
}

Status ReadHttp(const core::HealthCheck::HttpHealthCheck& from, const std::string& path, HealthCheck* out) {
  out->kind = HealthCheck::Kind::kHttp;
  out->host = from.host();
  out->path = from.path();
  if (!out->path.starts_with('/')) return Refuse("{}.path '{}' does not begin with '/'", path, out->path);
  for (const std::string* text : {&out->host, &out->path}) {
    const bool clean = text->find_first_of(std::string_view("\0\r\n \t", 5)) == std::string::npos;
    if (!clean) return Refuse("{}: host and path must be free of spaces and control characters", path);
  }
  // As in Envoy: where nothing is said only 200 is.
  out->unhealthy_from = from.expected_statuses().empty() ? 201 : 300;
  for (const auto& range : from.expected_statuses()) {
    if (range.start() != 200 || range.end() != 300) return Refuse("{}.expected_statuses: [200, 300) is served", path);
  }
  if (from.codec_client_type() != ::envoy::type::v3::HTTP1)
    return Refuse("{}.codec_client_type: HTTP1 is served", path);
  if (from.method() != core::METHOD_UNSPECIFIED && from.method() != core::GET)
    return Refuse("{}.method: GET is served", path);
  return {};
}

}  // namespace

Result<milliseconds> Milliseconds(const google::protobuf::Duration& duration, const std::string& path) {
  if (duration.seconds() < 0 || duration.nanos() < 0 || duration.seconds() > 86'400) {
    return Refuse("{} must be between 0 and 24 h", path);
  }
  return milliseconds(duration.seconds() * 1000 + (duration.nanos() + 999'999) / 1'000'000);
}

WeirMetadata::WeirMetadata(const core::Metadata& metadata, std::string path) : path_(std::move(path)) {
  const auto found = metadata.filter_metadata().find(std::string(dialect::kMetadata));
  if (found != metadata.filter_metadata().end()) ours_ = &found->second;
}

const google::protobuf::Value* WeirMetadata::Find(std::string_view key) const {
  if (ours_ == nullptr) return nullptr;
  const auto found = ours_->fields().find(std::string(key));
  return found == ours_->fields().end() ? nullptr : &found->second;
}

Error WeirMetadata::Wrong(std::string_view key, std::string_view wanted) const {
  return Refuse("{} {}.{} must be {}", path_, dialect::kMetadata, key, wanted);
}

Result<std::string> WeirMetadata::Text(std::string_view key) const {
  const auto* value = Find(key);
  if (value == nullptr) return std::string();
  if (!value->has_string_value()) return Wrong(key, "a text");
  return value->string_value();
}

Result<bool> WeirMetadata::Flag(std::string_view key) const {
  const auto* value = Find(key);
  if (value == nullptr) return false;
  if (!value->has_bool_value()) return Wrong(key, "true or false");
  return value->bool_value();
}

Result<std::optional<std::vector<std::string>>> WeirMetadata::Texts(std::string_view key) const {
  std::optional<std::vector<std::string>> texts;
  const auto* value = Find(key);
  if (value == nullptr) return texts;
  if (!value->has_list_value()) return Wrong(key, "a list of texts");
  texts.emplace();
  for (const auto& one : value->list_value().values()) {
    if (!one.has_string_value()) return Wrong(key, "a list of texts");
    texts->push_back(one.string_value());
  }
  return texts;
}

Result<milliseconds> WeirMetadata::Milliseconds(std::string_view key, milliseconds otherwise) const {
  const auto* value = Find(key);
  if (value == nullptr) return otherwise;
  const double number = value->has_number_value() ? value->number_value() : -1;
  if (!(number >= 0 && number <= 3'600'000)) return Wrong(key, "0 to 3600000");
  return milliseconds(static_cast<int64_t>(number));
}

Result<HealthCheck> ReadHealthCheck(const core::HealthCheck& from, const std::string& path) {
  HealthCheck out;
  WEIR_ASSIGN(out.interval, Between(from.interval(), milliseconds(100), milliseconds(3'600'000), path + ".interval"));
  WEIR_ASSIGN(out.timeout, Between(from.timeout(), milliseconds(10), milliseconds(60'000), path + ".timeout"));
  WEIR_ASSIGN(out.down_after, Threshold(from.unhealthy_threshold(), path + ".unhealthy_threshold"));
  WEIR_ASSIGN(out.up_after, Threshold(from.healthy_threshold(), path + ".healthy_threshold"));
  if (from.has_http_health_check()) {
    WEIR_TRY(ReadHttp(from.http_health_check(), path + ".http_health_check", &out));
  } else if (from.has_tcp_health_check()) {
    out.kind = HealthCheck::Kind::kTcp;
    out.path.clear();
  } else {
    return InvalidArgument("BAD_RESOURCE", "{}: one of http_health_check, tcp_health_check is required", path);
  }
  return out;
}

}  // namespace weir::proxy::envoy_v3
