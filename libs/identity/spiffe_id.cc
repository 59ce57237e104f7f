#include "libs/identity/spiffe_id.h"

namespace weir::identity {
namespace {

constexpr std::string_view kScheme = "spiffe://";
constexpr std::string_view kAgentPath = "/weir-agent";

bool DomainCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

bool PathCharacter(char c) { return DomainCharacter(c) || (c >= 'A' && c <= 'Z'); }

bool ValidPath(std::string_view path) {
  while (!path.empty()) {
    if (path.front() != '/') return false;
    path.remove_prefix(1);
    const std::string_view segment = path.substr(0, path.find('/'));
    if (segment.empty() || segment == "." || segment == "..") return false;
    for (char c : segment) {
      if (!PathCharacter(c)) return false;
    }
    path.remove_prefix(segment.size());
  }
  return true;
}

}  // namespace

Result<SpiffeId> SpiffeId::Parse(std::string_view uri) {
  const auto malformed = [&](std::string_view why) {
    return InvalidArgument("SPIFFE_ID_MALFORMED", "\"{}\" is not a SPIFFE id: {}", uri.substr(0, 256), why);
  };
  if (uri.size() > 2048) return malformed("longer than 2048 bytes");
  if (!uri.starts_with(kScheme)) return malformed("it must start with spiffe://");
  const std::string_view rest = uri.substr(kScheme.size());
  const std::string_view domain = rest.substr(0, rest.find('/'));
  if (domain.empty() || domain.size() > 255) return malformed("the trust domain must have 1 to 255 characters");
  for (char c : domain) {
    if (!DomainCharacter(c)) return malformed("the trust domain may hold only a-z, 0-9, '.', '-' and '_'");
  }
  const std::string_view path = rest.substr(domain.size());
  if (!ValidPath(path)) return malformed("path segments must be non-empty and of A-Z, a-z, 0-9, '.', '-' and '_'");
  return SpiffeId{std::string(domain), std::string(path)};
}

std::string WorkloadSpiffeId(std::string_view trust_domain, std::string_view ns, std::string_view service_account) {
  return fmt::format("spiffe://{}/ns/{}/sa/{}", trust_domain, ns, service_account);
}

std::string AgentSpiffeId(std::string_view trust_domain) {
  return fmt::format("spiffe://{}{}", trust_domain, kAgentPath);
}

std::string TrustDomainOfAgent(std::string_view spiffe_id) {
  auto id = SpiffeId::Parse(spiffe_id);
  return id.ok() && id->path == kAgentPath ? std::move(id->trust_domain) : std::string();
}

std::string AgentDnsName(std::string_view trust_domain) { return fmt::format("agent.{}", trust_domain); }

}  // namespace weir::identity
