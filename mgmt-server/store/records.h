#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "libs/base/clock.h"
#include "libs/ngac/persistent_map.h"

namespace weir::store {

class View;

// One version of one resource, as stored. Never changes.
struct StoredResource {
  std::string kind;      // "Tenant"
  std::string fqn;       // "organizations/o/tenants/t"
  std::string uid;       // RFC 4122; a name that is deleted and created again gets a new one.
  int64_t revision = 0;  // Of the commit that stored this version.
  std::string etag;      // Changes with every stored version.
  std::string body;      // Serialized weir.v2 message. The output-only metadata need not be in it: it stands here.
  std::map<std::string, std::string> field_owners;  // Field path -> manager.
  bool deleted = false;                             // Only in history.
  WallTime create_time;
  WallTime update_time;
};
using ResourcePtr = std::shared_ptr<const StoredResource>;

// A local user's password.
struct Credential {
  std::string user_uid;
  std::string hash;  // Encoded argon2id.
  WallTime changed;
};

struct Session {
  std::string token_hash;  // SHA-256 of the bearer token, 32 bytes. The token itself is nowhere.
  std::string user_uid;
  WallTime created;
  WallTime expires;
  std::string key_thumbprint;  // RFC 7638, of the service account's key that it was got with; "" = of a user.
};

// An assertion that a service account signed in with, kept until it is over, so that nobody signs in with it again.
struct UsedAssertion {
  std::string id;  // SHA-256 of the account's uid and of what the assertion calls itself, 32 bytes.
  std::string account_uid;
  WallTime expires;
};

struct JoinToken {
  std::string token_hash;  // SHA-256, 32 bytes.
  std::string cluster_uid;
  WallTime created;
  WallTime expires;
  bool used = false;
};

// A write that came with an idempotency key, as long as the key is kept. What was answered lies on the disk only
// (Store::KeptAnswer).
struct KeptKey {
  std::string principal_uid;
  std::string key;
  std::string request_hash;  // SHA-256 of what was asked, 32 bytes.
  WallTime created;
  size_t bytes = 0;  // Of the answer; Txn::PutKey fills it in.
};
inline constexpr std::chrono::hours kKeyLifetime(24);  // From then on the key is as if it had never been used.

// A change set (api/weir/v2/change_set.proto): no part of the tree, so no resource and no revision.
struct ChangeSetRow {
  std::string fqn;  // "organizations/o/changesets/NAME"
  std::string uid;
  std::string author_uid;
  bool open = false;  // Neither committed nor given up.
  WallTime created;
  std::string body;  // Serialized weir.v2.ChangeSet.
};
using ChangeSetPtr = std::shared_ptr<const ChangeSetRow>;

// What stands ahead of the resources while a change set is rolled out; it ends with the rollout.
struct OverlayRow {
  std::string fqn;   // Of the change set.
  std::string body;  // Serialized weir.v2.RolloutOverlay.
};
using OverlayPtr = std::shared_ptr<const OverlayRow>;

// What an agent reported of its cluster. Keys are "<namespace>/<name>", values serialized weir.agent.v1 messages.
struct ClusterFacts {
  std::string cluster_uid;
  uint64_t sequence = 0;        // Of the store's facts feed, at the last change.
  uint64_t agent_sequence = 0;  // FactsDelta.sequence of the last delta taken in.
  std::string hash;             // FactsDelta.hash; "" = none.
  bool connected = false;       // Always false after a restart, until the agent is heard again.
  WallTime last_seen;           // As stored: at most some 30 s before the last heartbeat.
  std::string agent_version;
  PersistentMap<std::string, std::string> workloads;
  PersistentMap<std::string, std::string> services;
};
using ClusterFactsPtr = std::shared_ptr<const ClusterFacts>;

// One link of the audit chain; see mgmt-server/audit for the meaning of the fields.
struct AuditRow {
  int64_t sequence = 0;  // From 1, without gaps.
  WallTime time;         // Whole microseconds.
  int64_t revision = 0;  // 0 when the write stored no resource version.
  std::string principal;
  std::string principal_uid;
  std::string action;
  std::string fqn;
  std::string uid;
  std::string before_etag;
  std::string after_etag;
  std::string path;
  std::string peer;
  std::string request_id;
  std::string hash;  // 32 bytes.
};

// Who made a revision, and why; it outlives the audit records of the same write.
struct Revision {
  int64_t number = 0;
  WallTime time;          // By the server's clock: may go back where the clock did.
  std::string principal;  // FQN of the user; "" = the server itself.
  std::string principal_uid;
  std::string request_id;
  std::string message;     // In the author's words; "" = none.
  std::string change_set;  // Of what it was a part; "" = of nothing.
};
// What a transaction says of its own revision.
struct RevisionNote {
  std::string message;
  std::string change_set;
};

// The last audit record that is not kept any more, from which the chain goes on; 0 and "" = all are kept.
struct AuditAnchor {
  int64_t sequence = 0;
  std::string hash;
};

// Feed of resources: one event per revision.
struct ResourceChange {
  std::string kind;
  std::string fqn;
  std::string uid;
  bool deleted = false;
};
struct ChangeEvent {
  int64_t revision = 0;
  std::vector<ResourceChange> changes;  // In fqn order.
  // The whole state as this revision left it, while it is one of the last (Store::kStates); null afterwards.
  std::weak_ptr<const View> state = {};
};

// Feed of facts: one event per facts sequence.
struct FactsEvent {
  uint64_t sequence = 0;
  std::string cluster_uid;
  std::vector<std::string> workloads;  // Keys upserted or removed.
  std::vector<std::string> services;
  bool connection_changed = false;
  bool removed = false;  // The cluster and all its facts are gone.
  // True when events were skipped (too old to resume from): read everything anew. The other fields are empty then.
  bool resync = false;
};

}  // namespace weir::store
