#include "mgmt-server/fleet/memberships.h"

#include <algorithm>

#include "api/weir/v2/organization.pb.h"
#include "libs/base/admission.h"
#include "libs/base/text.h"
#include "libs/identity/certificates.h"
#include "libs/identity/spiffe_id.h"
#include "libs/obs/log.h"
#include "libs/resource/kinds.h"
#include "libs/rpc/server.h"
#include "mgmt-server/audit/audit.h"
#include "mgmt-server/ca/ca.h"
#include "mgmt-server/ca/generations.h"
#include "mgmt-server/ca/join_tokens.h"
#include "mgmt-server/compile/compile.h"
#include "mgmt-server/fleet/fleet.h"

namespace weir::fleet {
namespace {

constexpr double kBurst = 20;
constexpr Duration kEach = std::chrono::seconds(30);
constexpr size_t kToldApart = 256;  // Of which each may cause 20 records at once.
constexpr size_t kMostIdentity = 256;

std::string LastSegment(std::string_view fqn) { return std::string(fqn.substr(fqn.rfind('/') + 1)); }

Status Record(store::Txn& txn, std::string action, const store::StoredResource& cluster,
              const store::StoredResource& after, std::string path, const std::string& peer) {
  return audit::Append(txn, {.principal = "",
                             .principal_uid = "",
                             .action = std::move(action),
                             .fqn = cluster.fqn,
                             .uid = cluster.uid,
                             .before_etag = cluster.etag,
                             .after_etag = after.etag,
                             .path = std::move(path),
                             .peer = peer,
                             .request_id = ""});
}

Result<store::ResourcePtr> Raised(store::Txn& txn, const store::StoredResource& cluster, const Member& member) {
  return ca::SetGeneration(txn, cluster, std::max(ca::GenerationOf(cluster), member.generation.generation));
}

std::string Beside(uint64_t left_out) {
  return left_out == 0 ? "" : fmt::format(" (and {} more that are not recorded)", left_out);
}

}  // namespace

std::string TrustDomainOf(const store::View& view, std::string_view cluster) {
  const store::ResourcePtr organization = view.Get(resource::OrganizationFqn(cluster));
  if (organization == nullptr) return "";
  v2::Organization message;
  const bool said = message.ParseFromString(organization->body) && !message.spec().domain().empty();
  return LastSegment(cluster) + "." +
         (said ? message.spec().domain() : LastSegment(organization->fqn) + ".weir.internal");
}

std::function<void(const std::string& chain_pem, const Error& why)> LogRefusedClients(const Clock& clock) {
  return [bound = std::make_shared<audit::RateLimiter>(clock, kBurst, kEach)](const std::string& chain_pem,
                                                                              const Error& why) {
    const auto left_out = bound->Take("");
    if (!left_out) return;
    const auto says = identity::ReadCertificate(chain_pem);
    obs::Log(obs::Level::kWarn, "certificate-refused",
             {{"reason", why.message},
              {"says", says.ok() ? CleanText(says->spiffe_id, kMostIdentity) : ""},
              {"serial", says.ok() ? says->serial : ""},
              {"left_out", std::to_string(*left_out)}});
  };
}

Memberships::Memberships(store::Store& store, const ca::ServerCa& ca, const Clock& clock)
    : store_(store),
      ca_(ca),
      clock_(clock),
      refusals_(clock, kBurst, kEach, kToldApart),
      renewals_(clock, 10, std::chrono::minutes(10)) {}

Result<agent::v1::JoinResponse> Memberships::Sign(const store::View& view, const store::StoredResource& cluster,
                                                  uint64_t generation, const std::string& csr_pem) const {
  agent::v1::JoinResponse response;
  response.set_cluster(LastSegment(cluster.fqn));
  response.set_organization(LastSegment(resource::OrganizationFqn(cluster.fqn)));
  response.set_trust_domain(TrustDomainOf(view, cluster.fqn));
  WEIR_ASSIGN(*response.mutable_intermediate_pem(),
              ca_.SignIntermediate(csr_pem, response.trust_domain(), {cluster.uid, generation}));
  response.set_root_pem(ca_.mesh_roots_pem());
  return response;
}

Result<agent::v1::JoinResponse> Memberships::Join(const agent::v1::JoinRequest& request, const std::string& peer) {
  auto joined = DoJoin(request, peer);
  if (!joined.ok()) {
    if (const auto write = RefusalRecord("join-refused", OwnerOf(request.token()), joined.error(), peer)) write();
  } else {
    obs::Log(obs::Level::kInfo, "cluster joined", {{"cluster", joined->cluster()}, {"peer", peer}});
  }
  return joined;
}

// For which cluster a token was made, whether it can still be used or not.
Caller Memberships::OwnerOf(const std::string& join_token) const {
  const auto hash = ca::JoinTokenHash(join_token);
  if (!hash.ok()) return {};
  const store::ViewPtr view = store_.Read();
  const store::JoinToken* token = view->FindJoinToken(*hash);
  return token == nullptr ? Caller() : Caller{token->cluster_uid, ""};
}

Result<agent::v1::JoinResponse> Memberships::DoJoin(const agent::v1::JoinRequest& request, const std::string& peer) {
  WEIR_ASSIGN(const std::string hash, ca::JoinTokenHash(request.token()));
  return store_.Write([&](store::Txn& txn) -> Result<agent::v1::JoinResponse> {
    WEIR_ASSIGN(const store::JoinToken token, txn.UseJoinToken(hash));
    const store::ResourcePtr cluster = txn.view().GetByUid(token.cluster_uid);
    if (cluster == nullptr) return Unauthenticated("JOIN_TOKEN_UNKNOWN", "the token's cluster does not exist any more");
    const uint64_t generation = ca::GenerationOf(*cluster) + 1;
    WEIR_ASSIGN(auto response, Sign(txn.view(), *cluster, generation, request.csr_pem()));
    WEIR_ASSIGN(const store::ResourcePtr after, ca::SetGeneration(txn, *cluster, generation));
    WEIR_TRY(Record(txn, "join", *cluster, *after, fmt::format("join token; generation {}", generation), peer));
    return response;
  });
}

Result<agent::v1::JoinResponse> Memberships::Renew(const std::string& chain_pem, const std::string& csr_pem,
                                                   const std::string& peer) {
  Caller caller;
  const auto member = MemberOf(chain_pem, &caller);
  auto renewed = member.ok() ? DoRenew(*member, csr_pem, peer) : member.error();
  if (!renewed.ok()) {
    if (const auto write = RefusalRecord("renew-refused", caller, renewed.error(), peer)) write();
  }
  return renewed;
}

Result<agent::v1::JoinResponse> Memberships::DoRenew(const Member& member, const std::string& csr_pem,
                                                     const std::string& peer) {
  const auto recorded = renewals_.Take(member.generation.uid);
  return store_.Write([&](store::Txn& txn) -> Result<agent::v1::JoinResponse> {
    WEIR_ASSIGN(const store::ResourcePtr cluster, ca::ClusterOf(txn.view(), member.generation));
    WEIR_ASSIGN(auto response, Sign(txn.view(), *cluster, member.generation.generation, csr_pem));
    WEIR_ASSIGN(const store::ResourcePtr after, Raised(txn, *cluster, member));
    if (recorded) {
      WEIR_TRY(Record(txn, "renew", *cluster, *after,
                      fmt::format("generation {}{}", member.generation.generation, Beside(*recorded)), peer));
    }
    return response;
  });
}

std::function<void()> Memberships::RefusalRecord(const std::string& action, const Caller& caller, const Error& error,
                                                 const std::string& peer) {
  const auto recorded = refusals_.Take(fmt::format("{} {} {}", action, caller.uid, rpc::PeerSource(peer)), action);
  if (!recorded) return nullptr;
  const store::ResourcePtr found = caller.uid.empty() ? nullptr : store_.Read()->GetByUid(caller.uid);
  const std::string cluster = found == nullptr ? "" : found->fqn;
  const std::string identity = CleanText(caller.identity, kMostIdentity);
  obs::Log(obs::Level::kWarn, action,
           {{"reason", error.reason},
            {"cluster", cluster},
            {"uid", caller.uid},
            {"identity", identity},
            {"peer", peer},
            {"left_out", std::to_string(*recorded)}});
  audit::Record record{.principal = "",
                       .principal_uid = "",
                       .action = action,
                       .fqn = cluster,
                       .uid = caller.uid,
                       .before_etag = "",
                       .after_etag = "",
                       .path = error.reason + (identity.empty() ? "" : " " + identity) + Beside(*recorded),
                       .peer = peer,
                       .request_id = ""};
  return [this, record = std::move(record)] {
    const Status written = store_.Write([&](store::Txn& txn) { return audit::Append(txn, record); });
    if (!written.ok()) {
      obs::Log(obs::Level::kError, "a refusal is not in the audit", {{"error", written.error().ToString()}});
    }
  };
}

// The chain is verified here once more: gRPC tells what the peer sent, not what of it led to the root.
Result<Member> Memberships::MemberOf(const std::string& chain_pem, Caller* caller) const {
  if (chain_pem.empty()) {
    return Unauthenticated("PEER_IDENTITY_MISSING", "an agent's client certificate is required");
  }
  WEIR_ASSIGN(const std::vector<std::string> roots, identity::SplitBundle(ca_.mesh_roots_pem()));
  auto verified = identity::VerifyChain(chain_pem, roots.front(), clock_);
  size_t root = 0;
  while (!verified.ok() && ++root < roots.size()) verified = identity::VerifyChain(chain_pem, roots[root], clock_);
  if (!verified.ok()) return std::move(verified).error();
  const identity::CertificateFacts& facts = *verified;
  if (caller != nullptr) *caller = {facts.cluster ? facts.cluster->uid : "", facts.spiffe_id};
  const store::ViewPtr view = store_.Read();
  if (!facts.cluster) {
    return PermissionDenied(
        "CLUSTER_UNKNOWN",
        "the certificate of {} names no cluster's membership; join again with a token of `weir cluster rejoin`",
        facts.spiffe_id);
  }
  WEIR_ASSIGN(const store::ResourcePtr cluster, ca::ClusterOf(*view, *facts.cluster));
  if (facts.spiffe_id != identity::AgentSpiffeId(TrustDomainOf(*view, cluster->fqn))) {
    return PermissionDenied("NOT_THE_AGENT", "\"{}\" is not the identity of the agent of {}", facts.spiffe_id,
                            cluster->fqn);
  }
  WEIR_ASSIGN(std::string root_sha256, identity::CertificateSha256(roots[root]));
  return Member{cluster->fqn, *facts.cluster, std::move(root_sha256)};
}

Status Memberships::RecordGeneration(const Member& member) {
  const auto known = ca::ClusterOf(*store_.Read(), member.generation);
  if (!known.ok()) return known.error();
  if (ca::GenerationOf(**known) >= member.generation.generation) return {};
  return store_.Write([&](store::Txn& txn) -> Status {
    WEIR_ASSIGN(const store::ResourcePtr cluster, ca::ClusterOf(txn.view(), member.generation));
    WEIR_ASSIGN(const store::ResourcePtr after, Raised(txn, *cluster, member));
    return Record(txn, "membership-seen", *cluster, *after,
                  fmt::format("generation {}, signed before this state was restored", member.generation.generation),
                  "");
  });
}

Status Memberships::StillValid(const store::View& view, const Member& member) {
  const auto cluster = ca::ClusterOf(view, member.generation);
  return cluster.ok() ? Status() : Status(cluster.error());
}

}  // namespace weir::fleet
