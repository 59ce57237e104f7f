#include "cluster-agent/discovery/discovery.h"

#include "api/weir/agent/v1/discovery.pb.h"

namespace weir::agent {

Facts FactsFrom(const v1::Discovery& discovery) {
  Facts facts;
  for (const v1::Workload& from : discovery.workloads()) {
    auto workload = std::make_shared<v1::Workload>(from);
    if (workload->service_account().empty()) workload->set_service_account("default");
    facts.workloads[KeyOf(*workload)] = std::move(workload);
  }
  for (const v1::Service& from : discovery.services()) {
    auto service = std::make_shared<v1::Service>(from);
    service->set_host(HostOf(from));
    facts.services[KeyOf(*service)] = std::move(service);
  }
  return facts;
}

}  // namespace weir::agent
