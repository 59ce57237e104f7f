#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mgmt-server/store/store.h"

namespace weir::services {

// The gateway objects of every kind below a resource ("" = all), until `fn` answers false.
void ForEachGateway(const store::View& view, std::string_view parent,
                    const std::function<bool(const store::ResourcePtr&)>& fn);

// Which gateways may have a host, without a look at all of them. It only grows: what is gone or was rolled back is
// found too, and whoever asks looks at the store before he believes it.
class HostIndex {
 public:
  void Add(std::string_view host, const std::string& gateway);
  // Gateways with this very host.
  const std::set<std::string>& Of(std::string_view host) const;
  // Those below `tenant` with it, with a pattern that covers it or, where it is a pattern, with a host below it. Of the
  // hosts of other tenants it costs nothing.
  std::set<std::string> Meeting(std::string_view host, std::string_view tenant) const;
  size_t size() const { return size_; }
  void Clear() { *this = HostIndex(); }

 private:
  using Hosts = std::map<std::string, std::set<std::string>, std::less<>>;

  // By the host backwards, so that those below one suffix stand together; of all, and of each tenant.
  Hosts gateways_;
  std::map<std::string, Hosts, std::less<>> of_tenants_;
  size_t size_ = 0;
};

// Pairs of tier-2 gateways of two workspaces of a tenant that answer for one host: stored before docs/adr/0017, or
// written by somebody who may write both.
std::vector<std::pair<std::string, std::string>> SharedHosts(const store::View& view);

}  // namespace weir::services
