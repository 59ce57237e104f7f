#pragma once

#include <array>

#include "mgmt-server/store/sqlite/database.h"
#include "mgmt-server/store/txn.h"

namespace weir::store {

// The rows of a transaction, through statements prepared once.
class SqliteRows : public RowWriter {
 public:
  Status Prepare(Database& database);

  // The first error since the last call; a caller who overlooked it must not be committed.
  Status TakeError();

  Status PutVersion(const StoredResource& resource) override;
  Status PutInstallationRole(std::string_view role, std::string_view user_uid) override;
  Status DeleteInstallationRole(std::string_view role, std::string_view user_uid) override;
  Status PutCredential(const Credential& credential) override;
  Status DeleteCredential(std::string_view user_uid) override;
  Status PutSession(const Session& session) override;
  Status DeleteSession(std::string_view token_hash) override;
  Status PutUsedAssertion(const UsedAssertion& assertion) override;
  Status DeleteUsedAssertion(std::string_view id) override;
  Status PutKey(const KeptKey& key, std::string_view answer) override;
  Status DeleteKey(std::string_view principal_uid, std::string_view key) override;
  Status PutJoinToken(const JoinToken& token) override;
  Status DeleteJoinToken(std::string_view token_hash) override;
  Status PutCaMaterial(std::string_view name, std::string_view blob) override;
  Status DeleteCaMaterial(std::string_view name) override;
  Status PutFactsState(const ClusterFacts& facts) override;
  Status PutFact(std::string_view cluster_uid, bool service, std::string_view key, std::string_view body) override;
  Status DeleteFact(std::string_view cluster_uid, bool service, std::string_view key) override;
  Status DeleteFacts(std::string_view cluster_uid) override;
  Status PutAudit(const AuditRow& row) override;
  Status PutLineage(std::string_view lineage) override;
  Status PutChangeSet(const ChangeSetRow& row) override;
  Status DeleteChangeSet(std::string_view fqn) override;
  Status PutOverlay(const OverlayRow& row) override;
  Status DeleteOverlay(std::string_view fqn) override;
  Status PutRevision(const Revision& revision, std::string_view mark) override;
  Status PutHistoryFloor(int64_t floor) override;
  Status PutAuditAnchor(const AuditAnchor& anchor) override;
  Result<int64_t> DropForgotten(int64_t history_floor, int64_t audit_anchor, int64_t most,
                                WallTime revisions_before) override;
  Status PutFactsSequence(uint64_t sequence);

 private:
  enum Sql : size_t {
    kPutVersion,
    kPutInstallationRole,
    kDeleteInstallationRole,
    kPutCredential,
    kDeleteCredential,
    kPutSession,
    kDeleteSession,
    kPutUsedAssertion,
    kDeleteUsedAssertion,
    kPutKey,
    kDeleteKey,
    kPutJoinToken,
    kDeleteJoinToken,
    kPutCaMaterial,
    kDeleteCaMaterial,
    kPutFactsState,
    kPutFact,
    kDeleteFact,
    kDeleteFacts,
    kPutAudit,
    kPutLineage,
    kPutFactsSequence,
    kPutRevision,
    kPutHistoryFloor,
    kPutAuditAnchor,
    kPutChangeSet,
    kDeleteChangeSet,
    kPutOverlay,
    kDeleteOverlay,
    kCount
  };
  struct Text {
    Sql which;
    const char* text;
  };
  static const Text kTexts[kCount];
  Status Run(Statement& statement);
  Status Note(Status status);  // For TakeError.
  Result<int64_t> DropVersions(int64_t floor, int64_t most);

  Database* database_ = nullptr;
  std::array<Statement, kCount> sql_;
  Status error_;
  int64_t place_revision_ = 0;
  int64_t place_ = 0;
};

}  // namespace weir::store
