#include "cluster-agent/serve/snapshots.h"

#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "libs/dialect/dialect.h"
#include "libs/translate/bytes.h"

namespace weir::agent {

xds::ResourcePtr IdentitySecret(const Leaf& leaf) {
  envoy::extensions::transport_sockets::tls::v3::Secret secret;
  secret.set_name(std::string(dialect::kIdentitySecret));
  secret.mutable_tls_certificate()->mutable_certificate_chain()->set_inline_string(leaf.chain_pem);
  secret.mutable_tls_certificate()->mutable_private_key()->set_inline_string(leaf.key_pem);
  return xds::MakeResource(std::string(dialect::kIdentitySecret), translate::Bytes(secret));
}

xds::SnapshotPtr NextSnapshot(const translate::NodeConfig& config, const xds::ResourcePtr& identity,
                              const xds::Snapshot* before) {
  auto snapshot = std::make_shared<xds::Snapshot>();
  bool changed = before == nullptr;
  for (const auto& [url, named] : config.types) {
    auto resources = std::make_shared<xds::Resources>();
    for (const auto& [name, resource] : named) resources->emplace_hint(resources->end(), name, resource->resource);
    if (identity != nullptr && url == xds::kSecret) resources->emplace(identity->name, identity);
    const auto old = before == nullptr ? snapshot->types.end() : before->types.find(url);
    if (before != nullptr && old != before->types.end() && *old->second == *resources) {
      snapshot->types[url] = old->second;
    } else {
      snapshot->types[url] = std::move(resources);
      changed = true;
    }
  }
  return changed ? snapshot : nullptr;
}

}  // namespace weir::agent
