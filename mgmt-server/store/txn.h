#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.h"
#include "mgmt-server/store/policy.h"
#include "mgmt-server/store/view.h"

namespace weir::store {

// Where the rows go: what SQLite and PostgreSQL do differently. Called on the writer's thread, inside a transaction.
class RowWriter {
 public:
  virtual ~RowWriter() = default;
  virtual Status PutVersion(const StoredResource& resource) = 0;  // Also a deletion (deleted = true).
  virtual Status PutInstallationRole(std::string_view role, std::string_view user_uid) = 0;
  virtual Status DeleteInstallationRole(std::string_view role, std::string_view user_uid) = 0;
  virtual Status PutCredential(const Credential& credential) = 0;
  virtual Status DeleteCredential(std::string_view user_uid) = 0;
  virtual Status PutSession(const Session& session) = 0;
  virtual Status DeleteSession(std::string_view token_hash) = 0;
  virtual Status PutUsedAssertion(const UsedAssertion& assertion) = 0;
  virtual Status DeleteUsedAssertion(std::string_view id) = 0;
  virtual Status PutKey(const KeptKey& key, std::string_view answer) = 0;
  virtual Status DeleteKey(std::string_view principal_uid, std::string_view key) = 0;
  virtual Status PutJoinToken(const JoinToken& token) = 0;
  virtual Status DeleteJoinToken(std::string_view token_hash) = 0;
  virtual Status PutCaMaterial(std::string_view name, std::string_view blob) = 0;
  virtual Status DeleteCaMaterial(std::string_view name) = 0;
  virtual Status PutFactsState(const ClusterFacts& facts) = 0;  // All but workloads and services.
  virtual Status PutFact(std::string_view cluster_uid, bool service, std::string_view key, std::string_view body) = 0;
  virtual Status DeleteFact(std::string_view cluster_uid, bool service, std::string_view key) = 0;
  virtual Status DeleteFacts(std::string_view cluster_uid) = 0;
  virtual Status PutAudit(const AuditRow& row) = 0;
  virtual Status PutRevision(const Revision& revision, std::string_view mark) = 0;
  virtual Status PutHistoryFloor(int64_t floor) = 0;
  virtual Status PutAuditAnchor(const AuditAnchor& anchor) = 0;
  // See Txn::DropForgotten.
  virtual Result<int64_t> DropForgotten(int64_t history_floor, int64_t audit_anchor, int64_t most,
                                        WallTime revisions_before) = 0;
  virtual Status PutLineage(std::string_view lineage) = 0;
  virtual Status PutChangeSet(const ChangeSetRow& row) = 0;
  virtual Status DeleteChangeSet(std::string_view fqn) = 0;
  virtual Status PutOverlay(const OverlayRow& row) = 0;
  virtual Status DeleteOverlay(std::string_view fqn) = 0;
};

// The record of a join token that may be used now. UNAUTHENTICATED JOIN_TOKEN_UNKNOWN, JOIN_TOKEN_EXPIRED,
// JOIN_TOKEN_USED.
Result<JoinToken> CheckJoinToken(const View& view, std::string_view token_hash, WallTime now);

struct PutResource {
  std::string kind;
  std::string fqn;
  std::string body;
  std::map<std::string, std::string> field_owners;
  // What the caller believes is stored: unset = do not compare, "" = must not exist, else the etag.
  std::optional<std::string> expected_etag;
};

struct FactsChange {
  std::string cluster_uid;
  bool full = false;                             // The maps replace everything.
  std::map<std::string, std::string> workloads;  // "<namespace>/<name>" -> serialized weir.agent.v1.Workload
  std::map<std::string, std::string> services;
  std::vector<std::string> removed_workloads;
  std::vector<std::string> removed_services;
  uint64_t agent_sequence = 0;
  std::string hash;
};

// One caller's part of a transaction: reads see its own changes, an error takes back all of them. Lives only while the
// function given to Store::Write runs, on the writer's thread: no slow work in there (hash passwords before).
class Txn {
 public:
  // For implementations of Store. `now` is cut to microseconds; `revision` is what this caller's versions will carry.
  Txn(View& view, RowWriter& rows, const Policy& policy, WallTime now);
  Txn(const Txn&) = delete;
  Txn& operator=(const Txn&) = delete;

  const View& view() const { return view_; }
  const ngac::Graph& graph() const { return view_.graph(); }
  ResourcePtr Get(std::string_view fqn) const { return view_.Get(fqn); }
  // The number this caller's commit has if it stores a resource version.
  int64_t revision() const { return revision_; }
  WallTime now() const { return now_; }

  // Creates or replaces. ABORTED ETAG_MISMATCH; ALREADY_EXISTS RESOURCE_EXISTS (expected_etag "" and it exists).
  // A body and owners equal to what is stored change nothing: the stored version is returned. The permission graph
  // follows (store::Policy), or refuses the change.
  Result<ResourcePtr> Put(PutResource put);
  // NOT_FOUND RESOURCE_MISSING; ABORTED ETAG_MISMATCH when `expected_etag` is set and another. Returns what it was.
  Result<ResourcePtr> Delete(std::string_view fqn, const std::optional<std::string>& expected_etag = std::nullopt);

  // A role on the installation itself, which has no resource to hang it on. Nothing happens when it is already so.
  Status PutInstallationRole(std::string_view role, std::string_view user_uid);
  Status DeleteInstallationRole(std::string_view role, std::string_view user_uid);

  Status PutCredential(Credential credential);
  Status DeleteCredential(std::string_view user_uid);
  Status PutSession(Session session);
  Status DeleteSession(std::string_view token_hash);  // Nothing happens when there is none.
  Status DeleteSessionsOf(std::string_view user_uid);
  // UNAUTHENTICATED ASSERTION_USED when it is there already. Forgets those that are over.
  Status PutUsedAssertion(UsedAssertion assertion);
  // The answer to a write with an idempotency key; takes the place of one of the same principal and key.
  Status PutKey(KeptKey key, std::string_view answer);
  // Of idempotency keys that came before this, at most about `most`; how many there were.
  Result<int64_t> DropKeys(WallTime before, int64_t most);
  // Of one who is gone.
  Status DropKeysOf(const std::string& principal_uid);
  Status PutJoinToken(JoinToken token);
  // Marks it used and returns it; errors of CheckJoinToken.
  Result<JoinToken> UseJoinToken(std::string_view token_hash);
  Status DeleteJoinTokensOf(std::string_view cluster_uid);
  // Join tokens that expired before this.
  Status DeleteJoinTokensBefore(WallTime expired);
  Status PutCaMaterial(std::string name, std::string blob);
  Status DeleteCaMaterial(std::string_view name);

  // Creates or replaces. No revision and no event: whoever stores one says what else becomes of it.
  Status PutChangeSet(ChangeSetRow row);
  Status DeleteChangeSet(std::string_view fqn);  // Nothing happens when there is none.
  // No revision and no event either: who pushes compares.
  Status PutOverlay(OverlayRow row);
  Status DeleteOverlay(std::string_view fqn);  // Nothing happens when there is none.

  // Facts: own sequence, never a revision. Only keys whose bytes differ are written.
  Status ApplyFacts(const FactsChange& change);
  // Not for each heartbeat: when the agent comes or goes. `last_seen` unset = now.
  Status SetConnection(std::string_view cluster_uid, bool connected, std::string_view agent_version,
                       std::optional<WallTime> last_seen = std::nullopt);
  // Now and then while it is there, so that a server that is killed knows about when. No event: nothing is made of it.
  Status SetLastSeen(std::string_view cluster_uid, WallTime last_seen);
  Status DeleteFacts(std::string_view cluster_uid);

  // Gives this state a new lineage: it is adopted in place of whatever grew under the older ones elsewhere. What agents
  // acknowledged of those yields to it from the next push on.
  Status AdoptState();

  // Sequence, time, revision and hash are filled in by mgmt-server/audit; use audit::Append.
  Status AppendAudit(AuditRow row);

  // What is to stand at this caller's revision; the author is that of its first audit record.
  void Annotate(RevisionNote note) { note_ = std::move(note); }

  // Retention. States below `floor` are kept no more: from now on they are REVISION_UNKNOWN, and DropForgotten takes
  // their rows away. Never back; OUT_OF_RANGE RETENTION_TOO_NEW for one of the last kKeptRevisions, which the feed and
  // the agents that are behind still ask for.
  static constexpr int64_t kKeptRevisions = 5000;
  Status ForgetHistory(int64_t floor, int64_t kept = kKeptRevisions);
  // The same of audit records up to this one, from which the chain goes on; the last kKeptAudit stay. Use
  // audit::Forget, which leaves a record of it.
  static constexpr int64_t kKeptAudit = 1000;
  Status ForgetAudit(AuditAnchor anchor, int64_t kept = kKeptAudit);
  // Deletes at most about `most` rows of what is forgotten, and at most as many authors and marks of forgotten
  // revisions from before that time: agents that were away name their state by them. How many it deleted; 0 = none are
  // left. Of any size of store, a small write.
  Result<int64_t> DropForgotten(int64_t most, WallTime revisions_before);

  // For implementations of Store: what this caller changed.
  bool changed() const { return changed_; }
  const std::optional<ChangeEvent>& event() const { return event_; }
  const std::vector<FactsEvent>& facts_events() const { return facts_events_; }
  Status Finish();  // Orders the event, writes down whose it is; once, after the caller's function succeeded.

 private:
  // Principal and key of each.
  Result<int64_t> Drop(const std::vector<std::pair<std::string, std::string>>& keys);
  void Note(const StoredResource& resource);
  Status ApplyChange(const StoredResource* before, const StoredResource* after);
  Status ApplyRoleChange(std::string_view role, std::string_view user_uid, bool given);
  template <typename Goes>
  Status DeleteJoinTokens(Goes goes);

  View& view_;
  RowWriter& rows_;
  const Policy& policy_;
  const WallTime now_;
  const int64_t revision_;
  bool changed_ = false;
  std::optional<ChangeEvent> event_;
  std::optional<Revision> author_;  // Of the event, once an audit record named one.
  RevisionNote note_;
  std::vector<FactsEvent> facts_events_;
};

}  // namespace weir::store
