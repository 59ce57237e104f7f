#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "libs/base/mutex.h"
#include "libs/base/result.h"
#include "mgmt-server/services/call.h"
#include "mgmt-server/store/store.h"

namespace google::protobuf {
class Message;
}

namespace weir::services {

// How much a tenant may take of the server: as its organization's setting says, else the default.
struct Quota {
  int64_t objects = 50'000;
  int64_t watches = 200;
};
Quota QuotaOf(const store::View& view, std::string_view tenant);
// FQN of the tenant that a name lies in, or is; "" = in none.
std::string_view TenantOf(std::string_view fqn);
// Objects below a tenant.
int64_t ObjectsOf(const store::View& view, std::string_view tenant);
// Before an object is made. RESOURCE_EXHAUSTED QUOTA_EXCEEDED; never for a name that lies in no tenant.
Status CheckObjects(const store::View& view, std::string_view fqn);
// Whether a write changes the quotas of an organization's setting (`before` null = it is new): that needs set-policy on
// the organization.
bool ChangesQuotas(const google::protobuf::Message* before, const google::protobuf::Message& after);
// Whether there are quotas in it: without it the default is theirs.
Result<bool> SetsQuotas(const store::StoredResource& stored);

// Whose watches there are. Thread-safe.
class WatchQuota {
 public:
  // A place, given back with its last copy. RESOURCE_EXHAUSTED QUOTA_EXCEEDED.
  Result<std::shared_ptr<const void>> Take(const store::View& view, std::string_view tenant);
  int64_t Used(const store::View& view, std::string_view tenant) const;

 private:
  struct Taken {
    mutable Mutex mutex;
    std::map<std::string, int64_t> by_uid WEIR_GUARDED_BY(mutex);
  };
  const std::shared_ptr<Taken> taken_ = std::make_shared<Taken>();
};

}  // namespace weir::services
