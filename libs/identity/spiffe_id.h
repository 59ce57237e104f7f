#pragma once

#include <string>
#include <string_view>

#include "libs/base/result.h"

namespace weir::identity {

// spiffe://<trust domain><path>; the strict grammar of the SPIFFE-ID standard: lower-case trust domain of
// [a-z0-9._-], path segments of [A-Za-z0-9._-], none empty, "." or "..", no query, at most 2048 bytes.
struct SpiffeId {
  std::string trust_domain;
  std::string path;  // "/ns/shop/sa/web"; "" is allowed and names the domain itself.

  // INVALID_ARGUMENT SPIFFE_ID_MALFORMED.
  static Result<SpiffeId> Parse(std::string_view uri);
  std::string ToString() const { return "spiffe://" + trust_domain + path; }
  bool operator==(const SpiffeId&) const = default;
};

// "spiffe://<domain>/ns/<ns>/sa/<service account>"; the caller vouches for valid parts.
std::string WorkloadSpiffeId(std::string_view trust_domain, std::string_view ns, std::string_view service_account);
// "spiffe://<domain>/weir-agent": what an agent presents to the server and to workloads.
std::string AgentSpiffeId(std::string_view trust_domain);
// The trust domain of an agent's id; "" = it is somebody else's.
std::string TrustDomainOfAgent(std::string_view spiffe_id);
// "agent.<domain>": DNS name in the agent's certificate, for data planes that send it as SNI. It proves nothing.
std::string AgentDnsName(std::string_view trust_domain);

}  // namespace weir::identity
