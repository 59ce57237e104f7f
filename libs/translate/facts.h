#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.h"
#include "libs/facts/check.h"

namespace weir::agent::v1 {
class Workload;
class Service;
class FactsDelta;
class Discovery;
}  // namespace weir::agent::v1

namespace weir::translate {

namespace v1 = agent::v1;  // Of the agents: workloads, services.

// What runs in this cluster, as discovered: keys are "<namespace>/<name>". Copies share the messages.
struct Facts {
  std::map<std::string, std::shared_ptr<const v1::Workload>> workloads;
  std::map<std::string, std::shared_ptr<const v1::Service>> services;
};

// Fills the defaults (service account, service host) and keys the reading; call after facts::CheckAll found it valid.
Facts FactsFrom(const v1::Discovery& discovery);

// SHA-256 (hex) over all facts: workloads, then services, each by key and serialized deterministically
// (weir.agent.v1.FactsDelta.hash).
std::string HashFacts(const Facts& facts);

// Fills upserts, removals and hash of `delta` so that it leads from `from` to `to`; false = nothing differs.
bool DiffFacts(const Facts& from, const Facts& to, v1::FactsDelta* delta);

// What says the same in both is the same object in `to` as in `from`: who follows differences by pointer finds those
// that are any.
void ShareFacts(const Facts& from, Facts* to);

// Everything, marked full.
void FullFacts(const Facts& facts, v1::FactsDelta* delta);

using facts::HostOf;
using facts::KeyOf;

// spiffe://<trust domain>/ns/<namespace>/sa/<service account>
std::string SpiffeIdOf(std::string_view trust_domain, const v1::Workload& workload);

// The port that `declared` binds to on this workload's machine.
uint32_t BoundPort(const v1::Workload& workload, uint32_t declared);

// The workloads a service selects, in key order.
std::vector<const v1::Workload*> EndpointsOf(const Facts& facts, const v1::Service& service);

}  // namespace weir::translate
