#include "mgmt-server/compile/facts.h"

#include "libs/facts/check.h"

namespace weir::compile {
namespace {

std::string HostKey(const agent::v1::Service& service) { return service.namespace_() + "/" + facts::HostOf(service); }

}  // namespace

// Within one change a host may go from one service to another, in any order: who has it now keeps it.
void Facts::ForgetHost(const agent::v1::Service& service) {
  const auto found = by_host_.find(HostKey(service));
  if (found != by_host_.end() && found->second.get() == &service) by_host_.erase(found);
}

void Facts::PutService(std::shared_ptr<const agent::v1::Service> service) {
  auto& stored = by_name_[facts::KeyOf(*service)];
  if (stored != nullptr) ForgetHost(*stored);
  stored = std::move(service);
  by_host_.insert_or_assign(HostKey(*stored), stored);
}

void Facts::RemoveService(const std::string& name) {
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) return;
  ForgetHost(*found->second);
  by_name_.erase(found);
}

const agent::v1::Service* Facts::FindService(const std::string& host) const {
  const auto found = by_host_.find(host);
  return found == by_host_.end() ? nullptr : found->second.get();
}

}  // namespace weir::compile
