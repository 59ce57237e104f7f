#include "libs/xds/protocol/types.h"

#include <fmt/format.h>

#include "libs/base/ids.h"

namespace weir::xds {

std::string ContentVersion(std::string_view value) { return fmt::format("{:016x}", Fnv1a(value)); }

ResourcePtr MakeResource(std::string name, std::string value, Duration ttl) {
  auto resource = std::make_shared<Resource>();
  resource->version = ContentVersion(value);
  resource->name = std::move(name);
  resource->value = std::move(value);
  resource->ttl = ttl;
  return resource;
}

const Resources& Snapshot::Of(std::string_view type_url) const {
  static const Resources none;
  const auto found = types.find(type_url);
  return found == types.end() || found->second == nullptr ? none : *found->second;
}

const Resource* Snapshot::Find(std::string_view type_url, std::string_view name) const {
  const Resources& resources = Of(type_url);
  const auto found = resources.find(name);
  return found == resources.end() ? nullptr : found->second.get();
}

size_t Snapshot::Count() const {
  size_t count = 0;
  for (const auto& [type, resources] : types) count += resources ? resources->size() : 0;
  return count;
}

std::string EncodeHeartbeat(uint64_t sequence) {
  std::string bytes;
  bytes += '\x0a';  // Field 1, length-delimited.
  bytes += static_cast<char>(kHeartbeatName.size());
  bytes += kHeartbeatName;
  bytes += '\x10';  // Field 2, varint.
  do {
    const auto low = static_cast<unsigned char>(sequence & 0x7f);
    sequence >>= 7;
    bytes += static_cast<char>(sequence ? low | 0x80 : low);
  } while (sequence != 0);
  return bytes;
}

}  // namespace weir::xds
