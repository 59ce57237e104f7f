#include "libs/translate/facts.h"

#include "api/weir/agent/v1/agent.pb.h"
#include "api/weir/agent/v1/discovery.pb.h"
#include "libs/base/labels.h"
#include "libs/base/sha256.h"
#include "libs/translate/bytes.h"

namespace weir::translate {
namespace {

template <typename Message>
bool SameMessage(const std::shared_ptr<const Message>& a, const std::shared_ptr<const Message>& b) {
  return a == b || (a->ByteSizeLong() == b->ByteSizeLong() && Bytes(*a) == Bytes(*b));
}

template <typename Map, typename Field>
bool DiffMap(const Map& from, const Map& to, Field* upserts, google::protobuf::RepeatedPtrField<std::string>* removed) {
  bool differs = false;
  for (const auto& [key, message] : to) {
    const auto old = from.find(key);
    if (old != from.end() && SameMessage(old->second, message)) continue;
    *upserts->Add() = *message;
    differs = true;
  }
  for (const auto& [key, message] : from) {
    if (to.contains(key)) continue;
    *removed->Add() = key;
    differs = true;
  }
  return differs;
}

}  // namespace

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

std::string HashFacts(const Facts& facts) {
  std::string all;
  const auto add = [&all](char kind, const std::string& key, const std::string& bytes) {
    all += fmt::format("{}{}\n{}\n", kind, key, bytes.size());
    all += bytes;
  };
  for (const auto& [key, workload] : facts.workloads) add('w', key, Bytes(*workload));
  for (const auto& [key, service] : facts.services) add('s', key, Bytes(*service));
  return Sha256Hex(all);
}

bool DiffFacts(const Facts& from, const Facts& to, v1::FactsDelta* delta) {
  const bool workloads =
      DiffMap(from.workloads, to.workloads, delta->mutable_workloads(), delta->mutable_removed_workloads());
  const bool services =
      DiffMap(from.services, to.services, delta->mutable_services(), delta->mutable_removed_services());
  delta->set_hash(HashFacts(to));
  return workloads || services;
}

void ShareFacts(const Facts& from, Facts* to) {
  const auto share = [](const auto& before, auto* after) {
    for (auto& [key, message] : *after) {
      const auto old = before.find(key);
      if (old != before.end() && SameMessage(old->second, message)) message = old->second;
    }
  };
  share(from.workloads, &to->workloads);
  share(from.services, &to->services);
}

void FullFacts(const Facts& facts, v1::FactsDelta* delta) {
  delta->set_full(true);
  DiffFacts({}, facts, delta);
}

std::string SpiffeIdOf(std::string_view trust_domain, const v1::Workload& workload) {
  return fmt::format("spiffe://{}/ns/{}/sa/{}", trust_domain, workload.namespace_(),
                     workload.service_account().empty() ? "default" : workload.service_account());
}

uint32_t BoundPort(const v1::Workload& workload, uint32_t declared) {
  const auto bound = workload.ports().find(declared);
  return bound == workload.ports().end() ? declared : bound->second;
}

std::vector<const v1::Workload*> EndpointsOf(const Facts& facts, const v1::Service& service) {
  std::vector<const v1::Workload*> endpoints;
  if (service.selector().empty()) return endpoints;
  const std::string prefix = service.namespace_() + "/";
  for (auto at = facts.workloads.lower_bound(prefix); at != facts.workloads.end() && at->first.starts_with(prefix);
       ++at) {
    if (LabelsMatch(service.selector(), at->second->labels()) && at->second->addresses_size() > 0) {
      endpoints.push_back(at->second.get());
    }
  }
  return endpoints;
}

}  // namespace weir::translate
