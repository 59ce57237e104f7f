#include <google/protobuf/struct.pb.h>

#include <algorithm>
#include <cmath>

#include "envoy/config/core/v3/extension.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "libs/dialect/dialect.h"
#include "libs/proxy/envoy_snapshot_pieces.h"
#include "libs/proxy/envoy_snapshot_values.h"

namespace weir::proxy::envoy_v3 {
namespace {

namespace core = ::envoy::config::core::v3;
namespace tls = ::envoy::extensions::transport_sockets::tls::v3;

// Envoy's place for validators of one's own; nobody else is told of it.
Result<std::shared_ptr<const identity::ValidGenerations>> ReadGenerations(const core::TypedExtensionConfig& from) {
  const std::string at = "validation_context.custom_validator_config";
  if (from.name() != dialect::kGenerations) return Refuse("{}.name '{}' is not served", at, from.name());
  WEIR_ASSIGN(const auto lowest, Unpack<google::protobuf::Struct>(from.typed_config(), at + ".typed_config"));
  constexpr std::chrono::seconds kLongestGrace(3600);
  // A Struct holds doubles: above 2^53 - 1 two generations would read as one.
  constexpr double kLargestExact = 9007199254740991;
  auto out = std::make_shared<identity::ValidGenerations>();
  for (const auto& [uid, value] : lowest.fields()) {
    const double number = value.number_value();
    if (!value.has_number_value() || number < 1 || number > kLargestExact || number != std::floor(number)) {
      return Refuse("{}: the generation of {} is not a whole number from 1 to 2^53 - 1", at, uid);
    }
    out->lowest[uid] = static_cast<uint64_t>(number);
  }
  if (const auto grace = out->lowest.extract(std::string(dialect::kExpiredGrace)); !grace.empty()) {
    out->expired_grace = std::min(std::chrono::seconds(grace.mapped()), kLongestGrace);
  }
  return std::shared_ptr<const identity::ValidGenerations>(std::move(out));
}

}  // namespace

Result<std::shared_ptr<const TrustPiece>> ReadTrust(const std::string& name, const std::string& bytes) {
  WEIR_ASSIGN(const auto from, Parse<tls::Secret>(bytes));
  WEIR_TRY(CheckName(name, from.name()));
  if (from.name() != dialect::kTrustSecret || !from.has_validation_context()) {
    return Refuse("only the secret 'trust' with a validation_context is served; keys are made by the gateway itself");
  }
  const auto& context = from.validation_context();
  auto out = std::make_shared<TrustPiece>();
  out->roots_pem = context.trusted_ca().has_inline_bytes() ? context.trusted_ca().inline_bytes()
                                                           : context.trusted_ca().inline_string();
  if (out->roots_pem.find("-----BEGIN CERTIFICATE-----") == std::string::npos) {
    return InvalidArgument("BAD_RESOURCE", "validation_context.trusted_ca holds no PEM certificate");
  }
  if (context.has_custom_validator_config()) {
    WEIR_ASSIGN(out->generations, ReadGenerations(context.custom_validator_config()));
  }
  return std::shared_ptr<const TrustPiece>(std::move(out));
}

}  // namespace weir::proxy::envoy_v3
