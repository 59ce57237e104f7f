#include "cluster-agent/link/membership.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include "api/weir/agent/v1/agent.grpc.pb.h"
#include "api/weir/agent/v1/agent.pb.h"
#include "cluster-agent/link/answers.h"
#include "libs/base/last_good_file.h"
#include "libs/identity/spiffe_id.h"
#include "libs/identity/token.h"
#include "libs/rpc/channel.h"
#include "libs/rpc/time.h"

namespace weir::agent {
namespace {

constexpr LastGoodKind kKind{"weir-membership", 2, true, 1u << 20};
constexpr std::string_view kKeyBegin = "-----BEGIN PRIVATE KEY-----";
constexpr std::string_view kWorkloadKey = "workload-key";
constexpr std::string_view kCertificateBegin = "-----BEGIN CERTIFICATE-----";

Result<std::string> TakeLine(std::string_view* rest, std::string_view name) {
  const size_t end = rest->find('\n');
  const std::string_view line = rest->substr(0, end);
  if (end == std::string_view::npos || !line.starts_with(name)) {
    return Error{Code::kDataLoss, "MEMBERSHIP_UNREADABLE", fmt::format("line \"{}\" is missing", name), {}, {}};
  }
  rest->remove_prefix(end + 1);
  return std::string(line.substr(std::min(line.size(), name.size() + 1)));
}

// What the server answered, with the key that was made here; believed only after a check.
Result<Membership> Accept(const v1::JoinResponse& response, std::string key_pem, const std::string& anchor_pem,
                          std::string workload_key, const Clock& clock) {
  Membership membership;
  membership.cluster = response.cluster();
  membership.organization = response.organization();
  membership.trust_domain = response.trust_domain();
  membership.intermediate = {response.intermediate_pem(), std::move(key_pem)};
  membership.anchor_pem = anchor_pem;
  membership.root_pem = response.root_pem();
  membership.workload_key = std::move(workload_key);
  WEIR_TRY(CheckMembership(membership, clock));
  return membership;
}

void SetDeadline(grpc::ClientContext* context, Duration timeout) { context->set_deadline(rpc::DeadlineIn(timeout)); }

}  // namespace

std::string Membership::ToText() const {
  return fmt::format("cluster {}\norganization {}\ntrust-domain {}\n{} {}\n{}{}{}{}", cluster, organization,
                     trust_domain, kWorkloadKey, workload_key, intermediate.key_pem, intermediate.certificate_pem,
                     anchor_pem, root_pem);
}

Result<Membership> Membership::Parse(std::string_view text) {
  Membership membership;
  WEIR_ASSIGN(membership.cluster, TakeLine(&text, "cluster"));
  WEIR_ASSIGN(membership.organization, TakeLine(&text, "organization"));
  WEIR_ASSIGN(membership.trust_domain, TakeLine(&text, "trust-domain"));
  if (text.starts_with(kWorkloadKey)) {
    WEIR_ASSIGN(membership.workload_key, TakeLine(&text, kWorkloadKey));
  }
  const size_t intermediate = text.find(kCertificateBegin);
  const auto next = [&](size_t at) { return at == std::string_view::npos ? at : text.find(kCertificateBegin, at + 1); };
  const size_t anchor = next(intermediate), root = next(anchor);
  if (!text.starts_with(kKeyBegin) || root == std::string_view::npos) {
    return Error{Code::kDataLoss, "MEMBERSHIP_UNREADABLE", "key, intermediate, anchor or root is missing", {}, {}};
  }
  membership.intermediate.key_pem = text.substr(0, intermediate);
  membership.intermediate.certificate_pem = text.substr(intermediate, anchor - intermediate);
  membership.anchor_pem = text.substr(anchor, root - anchor);
  membership.root_pem = text.substr(root);
  return membership;
}

identity::PeerRule Membership::ServerRule() const {
  auto rule = identity::ServerPeer(anchor_pem);
  return rule.ok() ? std::move(*rule) : identity::PeerRule();  // CheckMembership has seen it; else it accepts nobody.
}

Result<Leaf> NewLeaf(const Membership& membership, const std::string& spiffe_id, const std::string& dns_name,
                     Duration lifetime, const Clock& clock) {
  Leaf leaf;
  WEIR_ASSIGN(leaf.key_pem, identity::NewKey());
  identity::LeafRequest request;
  WEIR_ASSIGN(request.csr_pem, identity::MakeCsr(leaf.key_pem));
  request.spiffe_id = spiffe_id;
  if (!dns_name.empty()) request.dns_names.push_back(dns_name);
  request.lifetime = lifetime;
  WEIR_ASSIGN(const std::string certificate, identity::SignLeaf(membership.intermediate, request, clock));
  WEIR_ASSIGN(const identity::CertificateFacts facts, identity::ReadCertificate(certificate));
  leaf.chain_pem = certificate + membership.intermediate.certificate_pem;
  leaf.not_after = facts.not_after;
  leaf.renew_at = clock.Now() + identity::RenewIn(facts, clock.Wall());
  return leaf;
}

Result<Leaf> NewAgentLeaf(const Membership& membership, Duration lifetime, const Clock& clock) {
  return NewLeaf(membership, identity::AgentSpiffeId(membership.trust_domain),
                 identity::AgentDnsName(membership.trust_domain), lifetime, clock);
}

Status CheckMembership(const Membership& membership, const Clock& clock) {
  if (membership.cluster.empty() || membership.trust_domain.empty()) {
    return FailedPrecondition("MEMBERSHIP_FOREIGN", "the membership names no cluster");
  }
  WEIR_ASSIGN(const identity::CertificateFacts facts,
              identity::ReadCertificate(membership.intermediate.certificate_pem));
  if (facts.not_before > clock.Wall()) {
    return FailedPrecondition("CLOCK_BEHIND",
                              "the intermediate of cluster {} is not yet valid: it begins at {}, and this machine's "
                              "clock says {}; set the clock and start again",
                              membership.cluster, Rfc3339(facts.not_before), Rfc3339(clock.Wall()));
  }
  if (facts.not_after <= clock.Wall()) {
    return FailedPrecondition(
        "MEMBERSHIP_EXPIRED",
        "the intermediate of cluster {} ran out at {}, and this machine's clock says {}; set the clock "
        "if it is ahead, else join again with a new token",
        membership.cluster, Rfc3339(facts.not_after), Rfc3339(clock.Wall()));
  }
  WEIR_TRY(identity::CheckKeyMatches(membership.intermediate.certificate_pem, membership.intermediate.key_pem));
  if (!facts.is_authority) return FailedPrecondition("MEMBERSHIP_FOREIGN", "the certificate may not sign");
  if (const auto server = identity::ServerPeer(membership.anchor_pem); !server.ok()) {
    return FailedPrecondition("MEMBERSHIP_FOREIGN", "the membership's anchor is {}", server.error().message);
  }
  // A leaf made with it must verify: that covers the chain to the mesh root and the name constraints.
  WEIR_ASSIGN(const Leaf leaf, NewAgentLeaf(membership, std::chrono::minutes(1), clock));
  const auto verified = identity::VerifyChain(leaf.chain_pem, membership.root_pem, clock);
  if (!verified.ok()) {
    return FailedPrecondition("MEMBERSHIP_FOREIGN", "the intermediate does not sign for {} under this root: {}",
                              membership.trust_domain, verified.error().message);
  }
  return {};
}

Result<StoredMembership> LoadMembership(const std::string& path, const Clock& clock) {
  StoredMembership stored;
  WEIR_ASSIGN(LastGoodBody read, ReadLastGoodFile(path, kKind, [&](std::string_view body) -> Status {
                WEIR_ASSIGN(stored.membership, Membership::Parse(body));
                return CheckMembership(stored.membership, clock);
              }));
  stored.generation = read.generation;
  stored.refused = std::move(read.refused);
  return stored;
}

Status SaveMembership(const std::string& path, const Membership& membership) {
  return WriteLastGoodFile(path, kKind, membership.ToText());
}

Result<Membership> Join(const std::string& server, const std::string& token_text, const Clock& clock,
                        Duration timeout) {
  WEIR_ASSIGN(const identity::JoinToken token, identity::JoinToken::Parse(token_text));
  WEIR_ASSIGN(const std::string anchor_pem, rpc::FetchAnchor(server, token.anchor_sha256, timeout));
  WEIR_ASSIGN(std::string key_pem, identity::NewKey());
  rpc::ChannelOptions options;
  options.target = server;
  WEIR_ASSIGN(options.peer, identity::ServerPeer(anchor_pem));
  WEIR_ASSIGN(const auto channel, rpc::MakeChannel(options));
  v1::JoinRequest request;
  request.set_token(token_text);
  WEIR_ASSIGN(*request.mutable_csr_pem(), identity::MakeCsr(key_pem));
  grpc::ClientContext context;
  SetDeadline(&context, timeout);
  v1::JoinResponse response;
  const grpc::Status status = v1::ClusterJoin::NewStub(channel)->Join(&context, request, &response);
  if (!status.ok()) return FromServer(status);
  if (response.cluster() != token.cluster()) {
    return FailedPrecondition("MEMBERSHIP_FOREIGN", "the token is for cluster {}, the server answered for {}",
                              token.cluster(), response.cluster());
  }
  return Accept(response, std::move(key_pem), anchor_pem, identity::NewWorkloadKey(), clock);
}

Result<Membership> Renew(const std::string& server, const Membership& current, const Leaf& agent_leaf,
                         const Clock& clock, Duration timeout) {
  WEIR_ASSIGN(std::string key_pem, identity::NewKey());
  rpc::ChannelOptions options;
  options.target = server;
  options.peer = current.ServerRule();
  options.chain_pem = agent_leaf.chain_pem;
  options.key_pem = agent_leaf.key_pem;
  WEIR_ASSIGN(const auto channel, rpc::MakeChannel(options));
  v1::RenewRequest request;
  WEIR_ASSIGN(*request.mutable_csr_pem(), identity::MakeCsr(key_pem));
  grpc::ClientContext context;
  SetDeadline(&context, timeout);
  v1::JoinResponse response;
  const grpc::Status status = v1::ClusterJoin::NewStub(channel)->Renew(&context, request, &response);
  if (!status.ok()) return FromServer(status);
  if (response.trust_domain() != current.trust_domain || response.cluster() != current.cluster) {
    return FailedPrecondition("MEMBERSHIP_FOREIGN", "renewal of {} was answered for {}", current.trust_domain,
                              response.trust_domain());
  }
  return Accept(response, std::move(key_pem), current.anchor_pem, current.workload_key, clock);
}

}  // namespace weir::agent
