#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "api/weir/agent/v1/discovery.pb.h"

namespace weir::compile {

// What is known of one cluster's machines.
struct Facts {
  std::map<std::string, std::shared_ptr<const agent::v1::Workload>> workloads;  // By "<namespace>/<name>".
  bool connected = false;
  // When not connected: when the agent was last heard of. The epoch = never.
  std::chrono::system_clock::time_point as_of{};

  void PutService(std::shared_ptr<const agent::v1::Service> service);
  void RemoveService(const std::string& name);  // "<namespace>/<name>"
  // By "<namespace>/<host>", as routes name it; nullptr = there is none.
  const agent::v1::Service* FindService(const std::string& host) const;

  using Services = std::map<std::string, std::shared_ptr<const agent::v1::Service>>;  // By "<namespace>/<name>".
  const Services& services() const { return by_name_; }

 private:
  void ForgetHost(const agent::v1::Service& service);

  Services by_name_;
  Services by_host_;
};

}  // namespace weir::compile
