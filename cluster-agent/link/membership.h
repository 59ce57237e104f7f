#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "libs/base/clock.h"
#include "libs/base/result.h"
#include "libs/identity/certificates.h"
#include "libs/identity/peer.h"

namespace weir::agent {

// What makes this agent the agent of its cluster: the intermediate CA that the server signed, and whom to trust.
// Kept in one file (0600, two generations), so that key and certificate never disagree.
struct Membership {
  std::string cluster;
  std::string organization;
  std::string trust_domain;
  identity::Authority intermediate;
  std::string anchor_pem;  // The server anchor: who weir-server is, as the join token said.
  std::string root_pem;    // One or more mesh roots, the one that signs first.
  // Secret, 64 hex digits: what the tokens of workloads are made from. A join makes another, a renewal keeps it, so
  // that a token opens nothing beyond the membership in which it was given out. "" = a membership from before there
  // were such keys.
  std::string workload_key = {};

  // Who has to answer at the server's address.
  identity::PeerRule ServerRule() const;

  std::string ToText() const;  // Secret.
  // DATA_LOSS MEMBERSHIP_UNREADABLE.
  static Result<Membership> Parse(std::string_view text);
};

// A leaf with its key, as a TLS end presents it.
struct Leaf {
  std::string chain_pem;  // Leaf, then the intermediate.
  std::string key_pem;
  WallTime not_after;
  MonoTime renew_at;
};

// A key of its own and a leaf of the cluster's intermediate for it.
Result<Leaf> NewLeaf(const Membership& membership, const std::string& spiffe_id, const std::string& dns_name,
                     Duration lifetime, const Clock& clock);
// The agent's own: URI spiffe://<domain>/weir-agent, DNS agent.<domain>.
Result<Leaf> NewAgentLeaf(const Membership& membership, Duration lifetime, const Clock& clock);

// FAILED_PRECONDITION CLOCK_BEHIND, MEMBERSHIP_{EXPIRED,FOREIGN} unless the intermediate stands under the mesh root, is
// an authority, has this key, has begun and has not run out, and the anchor is one.
Status CheckMembership(const Membership& membership, const Clock& clock);

struct StoredMembership {
  Membership membership;
  int generation = 1;                // 1 newest, 2 older.
  std::vector<std::string> refused;  // Why the newer one was passed over.
  bool joined_now = false;           // By a token, in this start.
  std::string unused_token;          // Why a join token that was given is not used.
};
// The newest of `<path>.1` and `<path>.2` that is whole and passes CheckMembership; files: docs/formats/last-good.md.
// NOT_FOUND LAST_GOOD_MISSING when there is none yet, else why the newest was refused.
Result<StoredMembership> LoadMembership(const std::string& path, const Clock& clock);
Status SaveMembership(const std::string& path, const Membership& membership);

// Joins: takes the anchor that verifies the server and whose SHA-256 the token carries, makes a key here, sends the CSR
// and the token to whom that anchor names, and checks what comes back; the mesh root is in the answer. Errors of the
// server (JOIN_TOKEN_USED, ...) pass.
Result<Membership> Join(const std::string& server, const std::string& token_text, const Clock& clock,
                        Duration timeout = std::chrono::seconds(10));

// The next intermediate, with a new key, asked for over mTLS by the agent's leaf; and the mesh roots as they are now.
Result<Membership> Renew(const std::string& server, const Membership& current, const Leaf& agent_leaf,
                         const Clock& clock, Duration timeout = std::chrono::seconds(10));

}  // namespace weir::agent
