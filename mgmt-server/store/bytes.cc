#include "mgmt-server/store/bytes.h"

#include "libs/resource/kinds.h"
#include "mgmt-server/store/view.h"

namespace weir::store {
namespace {

// All that is stored lies in the server's memory.
constexpr size_t kMostOfObject = 1 << 20;  // Bytes of one, with the names of who set its fields.
constexpr size_t kMostBelow = 256 << 20;   // Bytes of the bodies of all below the first two names: of a tenant.
constexpr size_t kWithoutWeighing = 4096;  // Of so few bytes the number of objects is bound enough.

}  // namespace

Status CheckBytes(const View& view, const StoredResource* before, const StoredResource& next) {
  const size_t had = before == nullptr ? 0 : before->body.size();
  if (next.body.size() <= had || next.body.size() <= kWithoutWeighing) return {};
  size_t size = next.body.size();
  for (const auto& [field, manager] : next.field_owners) size += field.size() + manager.size();
  if (size > kMostOfObject) {
    return InvalidArgument("OBJECT_TOO_LARGE",
                           "{} would have {} bytes, stored; one object has {} at most: divide it into several",
                           next.fqn, size, kMostOfObject);
  }
  const std::string_view owner = resource::FirstNames(next.fqn, 2);
  if (owner == next.fqn || view.CountBelow(owner) < kMostBelow / kMostOfObject) return {};
  size_t held = next.body.size() - had;
  view.ForEach(owner, "", [&](const ResourcePtr& each) { return (held += each->body.size()) <= kMostBelow; });
  if (held <= kMostBelow) return {};
  return ResourceExhausted("TOO_MANY_BYTES",
                           "what lies in {} would have more than {} bytes; delete what is not used, or make it smaller",
                           owner, kMostBelow);
}

}  // namespace weir::store
