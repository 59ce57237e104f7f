#include "libs/facts/check.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "api/weir/agent/v1/discovery.pb.h"
#include "libs/base/text.h"

namespace weir::facts {
namespace {

constexpr size_t kMaxQuoted = 64;

std::string Quoted(std::string_view text) { return "\"" + CleanText(text, kMaxQuoted) + "\""; }

bool HasControl(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
}

// The violations of one fact.
class Fact {
 public:
  explicit Fact(const std::string& path) : path_(path) {}

  void Require(bool holds, const std::string& field, std::string description) {
    if (!holds) violations.push_back({path_ + field, std::move(description)});
  }
  template <typename Message>
  void CheckName(const Message& message, std::set<std::string>& seen) {
    const bool named = IsLabel(message.name());
    const bool placed = IsLabel(message.namespace_());
    Require(named, ".name",
            fmt::format("{} must be a DNS label (a-z, 0-9, \"-\", at most 63 characters)", Quoted(message.name())));
    Require(placed, ".namespace",
            fmt::format("{} must be a DNS label (a-z, 0-9, \"-\")", Quoted(message.namespace_())));
    if (!named || !placed) return;
    Require(seen.insert(KeyOf(message)).second, ".name",
            fmt::format("\"{}\" is declared twice in namespace \"{}\"", message.name(), message.namespace_()));
  }
  template <typename Labels>
  void CheckLabels(const Labels& labels, const std::string& field) {
    Require(labels.size() <= static_cast<size_t>(kMaxLabels), field, fmt::format("more than {} labels", kMaxLabels));
    for (const auto& [key, value] : labels) {
      Require(
          !key.empty() && key.size() <= kMaxLabelKey && !HasControl(key), field,
          fmt::format("the key {} must be 1 to {} characters without control characters", Quoted(key), kMaxLabelKey));
      Require(value.size() <= kMaxLabelValue && !HasControl(value), field,
              fmt::format("the value of {} must be at most {} characters without control characters", Quoted(key),
                          kMaxLabelValue));
      if (violations.size() > static_cast<size_t>(kMaxLabels)) return;
    }
  }

  std::vector<FieldViolation> violations;

 private:
  const std::string& path_;
};

}  // namespace

bool IsLabel(std::string_view text) {
  if (text.empty() || text.size() > 63 || text.front() == '-' || text.back() == '-') return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
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

bool IsAddress(std::string_view text) {
  if (text.size() >= INET6_ADDRSTRLEN || text.find('\0') != std::string_view::npos) return false;
  char literal[INET6_ADDRSTRLEN] = {};
  std::memcpy(literal, text.data(), text.size());
  in_addr v4{};
  if (inet_pton(AF_INET, literal, &v4) == 1) {
    const uint32_t address = ntohl(v4.s_addr);
    return address != INADDR_ANY && address != INADDR_BROADCAST && (address >> 28) != 0xe;
  }
  in6_addr v6{};
  if (inet_pton(AF_INET6, literal, &v6) != 1) return false;
  return !IN6_IS_ADDR_UNSPECIFIED(&v6) && !IN6_IS_ADDR_MULTICAST(&v6);
}

std::string KeyOf(const agent::v1::Workload& workload) { return workload.namespace_() + "/" + workload.name(); }
std::string KeyOf(const agent::v1::Service& service) { return service.namespace_() + "/" + service.name(); }

std::string HostOf(const agent::v1::Service& service) {
  if (!service.host().empty()) return service.host();
  return fmt::format("{}.{}.svc.cluster.local", service.name(), service.namespace_());
}

std::vector<FieldViolation> Checker::Check(const agent::v1::Workload& workload, const std::string& path) {
  Fact fact(path);
  fact.CheckName(workload, workloads_);
  fact.Require(workload.service_account().empty() || IsLabel(workload.service_account()), ".serviceAccount",
               fmt::format("{} must be a DNS label", Quoted(workload.service_account())));
  fact.CheckLabels(workload.labels(), ".labels");
  fact.Require(!workload.addresses().empty(), ".addresses", "at least one IP address is needed");
  fact.Require(workload.addresses_size() <= kMaxAddresses, ".addresses",
               fmt::format("more than {} addresses", kMaxAddresses));
  for (int i = 0; i < std::min(workload.addresses_size(), kMaxAddresses); ++i) {
    fact.Require(IsAddress(workload.addresses(i)), fmt::format(".addresses[{}]", i),
                 fmt::format("{} is not an IP address that can be connected to", Quoted(workload.addresses(i))));
  }
  fact.Require(workload.ports().size() <= static_cast<size_t>(kMaxPorts), ".ports",
               fmt::format("more than {} ports", kMaxPorts));
  if (workload.ports().size() > static_cast<size_t>(kMaxPorts)) return std::move(fact.violations);
  std::set<uint32_t> bound;
  for (const auto& [declared, port] : workload.ports()) {
    fact.Require(IsPort(declared), ".ports", fmt::format("{} is not a port (1 to 65535)", declared));
    const std::string field = fmt::format(".ports[{}]", declared);
    fact.Require(IsPort(port), field, fmt::format("{} is not a port (1 to 65535)", port));
    fact.Require(bound.insert(port).second, field, fmt::format("two declared ports bind to {}", port));
  }
  return std::move(fact.violations);
}

std::vector<FieldViolation> Checker::Check(const agent::v1::Service& service, const std::string& path) {
  Fact fact(path);
  fact.CheckName(service, services_);
  const bool host_is_name = service.host().empty() || IsDnsName(service.host());
  fact.Require(host_is_name, ".host", fmt::format("{} must be a DNS name", Quoted(service.host())));
  if (fact.violations.empty()) {
    fact.Require(
        hosts_.insert(service.namespace_() + "/" + HostOf(service)).second, ".host",
        fmt::format("host \"{}\" belongs to two services of namespace \"{}\"", HostOf(service), service.namespace_()));
  }
  fact.Require(!service.ports().empty(), ".ports", "at least one port is needed");
  fact.Require(service.ports_size() <= kMaxPorts, ".ports", fmt::format("more than {} ports", kMaxPorts));
  std::set<uint32_t> seen;
  for (int i = 0; i < std::min(service.ports_size(), kMaxPorts); ++i) {
    const std::string field = fmt::format(".ports[{}]", i);
    fact.Require(IsPort(service.ports(i)), field, fmt::format("{} is not a port (1 to 65535)", service.ports(i)));
    fact.Require(seen.insert(service.ports(i)).second, field, fmt::format("{} is listed twice", service.ports(i)));
  }
  fact.Require(!service.selector().empty(), ".selector", "at least one label is needed");
  fact.CheckLabels(service.selector(), ".selector");
  if (service.has_health_check()) {
    const std::string& check = service.health_check().path();
    fact.Require(check.empty() || check.front() == '/', ".healthCheck.path", "must begin with \"/\"");
    fact.Require(check.size() <= kMaxPath && !HasControl(check) && check.find(' ') == std::string::npos,
                 ".healthCheck.path",
                 fmt::format("must be at most {} characters without spaces and control characters", kMaxPath));
    const uint32_t port = service.health_check().port();
    fact.Require(port == 0 || IsPort(port), ".healthCheck.port", "is not a port (1 to 65535)");
  }
  return std::move(fact.violations);
}

std::vector<FieldViolation> CheckAll(const agent::v1::Discovery& discovery) {
  std::vector<FieldViolation> all;
  Checker checker;
  const auto check = [&](const auto& facts, const char* field, size_t most) {
    if (static_cast<size_t>(facts.size()) > most) {
      all.push_back({field, fmt::format("{} of them; a cluster may have {}", facts.size(), most)});
      return;
    }
    for (int i = 0; i < facts.size(); ++i) {
      std::vector<FieldViolation> found = checker.Check(facts[i], fmt::format("{}[{}]", field, i));
      std::move(found.begin(), found.end(), std::back_inserter(all));
    }
  };
  check(discovery.workloads(), "workloads", kMaxWorkloads);
  check(discovery.services(), "services", kMaxServices);
  return all;
}

}  // namespace weir::facts
