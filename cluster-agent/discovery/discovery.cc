#include "cluster-agent/discovery/discovery.h"

#include <arpa/inet.h>

#include <set>

#include "api/weir/agent/v1/discovery.pb.h"

namespace weir::agent {
namespace {

bool IsLabel(std::string_view text) {  // RFC 1123 label.
  if (text.empty() || text.size() > 63 || text.front() == '-' || text.back() == '-') return false;
  for (const char c : text) {
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')) return false;
  }
  return true;
}

bool IsDnsName(std::string_view text) {
  if (text.empty() || text.size() > 253) return false;
  for (size_t from = 0;;) {
    const size_t dot = text.find('.', from);
    if (!IsLabel(text.substr(from, dot == std::string_view::npos ? dot : dot - from))) return false;
    if (dot == std::string_view::npos) return true;
    from = dot + 1;
  }
}

bool IsAddress(const std::string& text) {
  unsigned char buffer[sizeof(in6_addr)];
  return inet_pton(AF_INET, text.c_str(), buffer) == 1 || inet_pton(AF_INET6, text.c_str(), buffer) == 1;
}

bool IsPort(uint32_t port) { return port >= 1 && port <= 65535; }

class Checker {
 public:
  explicit Checker(std::vector<FieldViolation>& violations) : violations_(violations) {}

  void Check(const v1::Discovery& discovery) {
    for (int i = 0; i < discovery.workloads_size(); ++i) Check(discovery.workloads(i), fmt::format("workloads[{}]", i));
    for (int i = 0; i < discovery.services_size(); ++i) Check(discovery.services(i), fmt::format("services[{}]", i));
  }

 private:
  void Require(bool holds, std::string field, std::string description) {
    if (!holds) violations_.push_back({std::move(field), std::move(description)});
  }

  template <typename Message>
  void CheckName(const Message& message, const std::string& path, std::set<std::string>* seen) {
    Require(IsLabel(message.name()), path + ".name", "must be a DNS label (a-z, 0-9, \"-\", at most 63 characters)");
    Require(IsLabel(message.namespace_()), path + ".namespace", "must be a DNS label (a-z, 0-9, \"-\")");
    Require(seen->insert(KeyOf(message)).second, path + ".name",
            fmt::format("\"{}\" is declared twice in namespace \"{}\"", message.name(), message.namespace_()));
  }

  void Check(const v1::Workload& workload, const std::string& path) {
    CheckName(workload, path, &workloads_);
    if (!workload.service_account().empty()) {
      Require(IsLabel(workload.service_account()), path + ".serviceAccount", "must be a DNS label");
    }
    Require(!workload.addresses().empty(), path + ".addresses", "at least one IP address is needed");
    for (int i = 0; i < workload.addresses_size(); ++i) {
      Require(IsAddress(workload.addresses(i)), fmt::format("{}.addresses[{}]", path, i),
              fmt::format("\"{}\" is not an IP address", workload.addresses(i)));
    }
    std::set<uint32_t> bound;
    for (const auto& [declared, port] : workload.ports()) {
      Require(IsPort(declared), path + ".ports", fmt::format("{} is not a port (1 to 65535)", declared));
      Require(IsPort(port), fmt::format("{}.ports[{}]", path, declared),
              fmt::format("{} is not a port (1 to 65535)", port));
      Require(bound.insert(port).second, fmt::format("{}.ports[{}]", path, declared),
              fmt::format("two declared ports bind to {}", port));
    }
  }

  void Check(const v1::Service& service, const std::string& path) {
    CheckName(service, path, &services_);
    if (!service.host().empty()) Require(IsDnsName(service.host()), path + ".host", "must be a DNS name");
    Require(
        hosts_.insert(service.namespace_() + "/" + HostOf(service)).second, path + ".host",
        fmt::format("host \"{}\" belongs to two services of namespace \"{}\"", HostOf(service), service.namespace_()));
    Require(!service.ports().empty(), path + ".ports", "at least one port is needed");
    std::set<uint32_t> seen;
    for (int i = 0; i < service.ports_size(); ++i) {
      const std::string field = fmt::format("{}.ports[{}]", path, i);
      Require(IsPort(service.ports(i)), field, fmt::format("{} is not a port (1 to 65535)", service.ports(i)));
      Require(seen.insert(service.ports(i)).second, field, fmt::format("{} is listed twice", service.ports(i)));
    }
    Require(!service.selector().empty(), path + ".selector", "at least one label is needed");
    if (service.has_health_check()) {
      const v1::HealthCheck& check = service.health_check();
      Require(check.path().empty() || check.path().front() == '/', path + ".healthCheck.path", "must begin with \"/\"");
      Require(check.port() == 0 || IsPort(check.port()), path + ".healthCheck.port", "is not a port (1 to 65535)");
    }
  }

  std::vector<FieldViolation>& violations_;
  std::set<std::string> workloads_, services_, hosts_;
};

}  // namespace

void ValidateDiscovery(const v1::Discovery& discovery, std::vector<FieldViolation>& violations) {
  Checker(violations).Check(discovery);
}

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
