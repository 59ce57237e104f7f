#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "libs/base/mutex.h"
#include "mgmt-server/services/backends.h"
#include "mgmt-server/store/store.h"

namespace weir::v2 {
class Service;
}

namespace weir::services {

// The services that agents report, as resources: one of the kind Service for each name and namespace of an
// organization. Derived from the facts of a state, never stored; what did not change since the last time is kept.
// Thread-safe.
class Registry {
 public:
  // A view that holds these services and nothing else.
  store::ViewPtr Of(const store::View& state);
  // How many clusters were read so far: one whose facts did not change is not read again.
  size_t clusters_read() const;

 private:
  // What one cluster says: "<name>.<namespace>" -> its part, serialized.
  using Parts = std::map<std::string, std::string>;
  struct Cluster {
    std::string fqn;
    uint64_t sequence = 0;  // Of its facts, and one more; 0 = it has none.
    bool connected = false;
    Parts parts;
  };
  static Parts Read(const std::string& cluster, const store::ClusterFacts* facts);
  store::ResourcePtr Make(const std::string& fqn) const WEIR_REQUIRES(mutex_);

  mutable Mutex mutex_;
  std::map<std::string, Cluster> clusters_ WEIR_GUARDED_BY(mutex_);  // By uid.
  store::ViewPtr view_ WEIR_GUARDED_BY(mutex_) = std::make_shared<const store::View>();
  size_t read_ WEIR_GUARDED_BY(mutex_) = 0;
};

// Which services, and which of their clusters, somebody may see (service.proto). Of one call, on one state.
class ServiceSight {
 public:
  ServiceSight(const store::View& view, const authn::Principal& principal) : view_(view), principal_(principal) {}
  // Leaves the clusters that he may see; false = none.
  bool Narrow(const std::string& organization, v2::Service& service);

 private:
  struct Territory;
  const Territory& Of(const std::string& organization);

  const store::View& view_;
  const authn::Principal& principal_;
  std::map<std::string, std::shared_ptr<const Territory>> territories_;  // By organization.
};

// Its health is what gateways say now, which no view holds.
void AddHealth(const FleetView& fleet, const std::string& organization, v2::Service& service);

}  // namespace weir::services
