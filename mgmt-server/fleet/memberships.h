#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "api/weir/agent/v1/agent.pb.h"
#include "libs/base/clock.h"
#include "libs/base/result.h"
#include "libs/identity/generation.h"
#include "mgmt-server/audit/rate_limiter.h"
#include "mgmt-server/store/store.h"

namespace weir::ca {
class ServerCa;
}

namespace weir::fleet {

// "<cluster>.<organization domain>"; "" = the organization is unknown.
std::string TrustDomainOf(const store::View& view, std::string_view cluster);

// Whose agent somebody is. By uid: a name that was deleted and created again is another cluster.
struct Member {
  std::string cluster;  // FQN, when it was looked at.
  identity::ClusterGeneration generation;
  std::string root_sha256;  // Of the mesh root that its chain leads to.
};

// What is certain of a caller who may be refused all the same: what the root signed, or the row of a join token.
struct Caller {
  std::string uid;       // Of the cluster that he comes from, which may be gone; "" = nobody knows.
  std::string identity;  // The SPIFFE id of a verified certificate.
};

// Who belongs to the fleet: joins, renewals, and whether a certificate still counts. All of them, refusals too, stand
// in the audit; of refusals at most 20 at once and one each 30 s, for each action, cluster and source by itself, so
// that nobody's hide another's: 256 of these are told apart, what is beyond shares one per action. Thread-safe.
class Memberships {
 public:
  Memberships(store::Store& store, const ca::ServerCa& ca, const Clock& clock);

  // Uses the token and raises the generation: whoever was this cluster's agent before is it no longer. A CSR that is
  // refused leaves the token unused. `peer`: address, for the audit.
  Result<agent::v1::JoinResponse> Join(const agent::v1::JoinRequest& request, const std::string& peer);
  // The next intermediate of the same generation, for who presents `chain_pem`.
  Result<agent::v1::JoinResponse> Renew(const std::string& chain_pem, const std::string& csr_pem,
                                        const std::string& peer);

  // Whose agent presents this chain (rpc::PeerChain). UNAUTHENTICATED PEER_IDENTITY_MISSING, CERTIFICATE_REFUSED;
  // PERMISSION_DENIED CLUSTER_UNKNOWN (the uid is nobody's), MEMBERSHIP_ENDED, NOT_THE_AGENT (of that cluster, and
  // somebody else in it). `caller`: what is known, also of who is refused.
  Result<Member> MemberOf(const std::string& chain_pem, Caller* caller = nullptr) const;
  // Logs a refusal, and writes it into the audit when it is called; null when the bound says no.
  std::function<void()> RefusalRecord(const std::string& action, const Caller& caller, const Error& error,
                                      const std::string& peer);
  // What MemberOf would say now of a member that it has named before: cheap, for streams that stand.
  Status StillValid(const Member& member) const { return StillValid(*store_.Read(), member); }
  static Status StillValid(const store::View& view, const Member& member);
  // A restored store may know a lower generation than the root has signed: what is seen counts from then on, so that
  // nothing older does and no generation is given twice. Writes only then.
  Status RecordGeneration(const Member& member);

 private:
  Result<agent::v1::JoinResponse> Sign(const store::View& view, const store::StoredResource& cluster,
                                       uint64_t generation, const std::string& csr_pem) const;
  Caller OwnerOf(const std::string& join_token) const;
  Result<agent::v1::JoinResponse> DoJoin(const agent::v1::JoinRequest& request, const std::string& peer);
  Result<agent::v1::JoinResponse> DoRenew(const Member& member, const std::string& csr_pem, const std::string& peer);

  store::Store& store_;
  const ca::ServerCa& ca_;
  const Clock& clock_;
  audit::RateLimiter refusals_;
  audit::RateLimiter renewals_;
};

}  // namespace weir::fleet
