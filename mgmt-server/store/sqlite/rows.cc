#include "mgmt-server/store/sqlite/rows.h"

#include "mgmt-server/store/sqlite/schema.h"

namespace weir::store {

const SqliteRows::Text SqliteRows::kTexts[] = {
    {kPutVersion,
     "INSERT INTO versions(id, uid, fqn, kind, etag, body, owners, deleted, create_time, update_time) "
     "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"},
    {kPutInstallationRole, "INSERT OR IGNORE INTO installation_roles(role, user_uid) VALUES(?, ?)"},
    {kDeleteInstallationRole, "DELETE FROM installation_roles WHERE role = ? AND user_uid = ?"},
    {kPutCredential, "INSERT OR REPLACE INTO credentials(user_uid, hash, changed) VALUES(?, ?, ?)"},
    {kDeleteCredential, "DELETE FROM credentials WHERE user_uid = ?"},
    {kPutSession, "INSERT OR REPLACE INTO sessions VALUES(?, ?, ?, ?, ?)"},
    {kDeleteSession, "DELETE FROM sessions WHERE token_hash = ?"},
    {kPutUsedAssertion, "INSERT INTO used_assertions(id, account_uid, expires) VALUES(?, ?, ?)"},
    {kDeleteUsedAssertion, "DELETE FROM used_assertions WHERE id = ?"},
    {kPutKey, "INSERT OR REPLACE INTO kept_answers VALUES(?, ?, ?, ?, ?)"},
    {kDeleteKey, "DELETE FROM kept_answers WHERE principal_uid = ? AND key = ?"},
    {kPutJoinToken, "INSERT OR REPLACE INTO join_tokens VALUES(?, ?, ?, ?, ?)"},
    {kDeleteJoinToken, "DELETE FROM join_tokens WHERE token_hash = ?"},
    {kPutCaMaterial, "INSERT OR REPLACE INTO ca_material(name, content) VALUES(?, ?)"},
    {kDeleteCaMaterial, "DELETE FROM ca_material WHERE name = ?"},
    {kPutFactsState,
     "INSERT INTO cluster_facts(cluster_uid, sequence, agent_sequence, hash, last_seen, agent_version) "
     "VALUES(?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT(cluster_uid) DO UPDATE SET sequence = ?2, agent_sequence = ?3, "
     "hash = ?4, last_seen = ?5, agent_version = ?6"},
    {kPutFact, "INSERT OR REPLACE INTO facts(cluster_uid, service, key, body) VALUES(?, ?, ?, ?)"},
    {kDeleteFact, "DELETE FROM facts WHERE cluster_uid = ? AND service = ? AND key = ?"},
    {kDeleteFacts, "DELETE FROM cluster_facts WHERE cluster_uid = ?"},
    {kPutAudit, "INSERT INTO audit(" WEIR_AUDIT_COLUMNS ") VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"},
    {kPutLineage, "INSERT INTO lineages(id) VALUES(?)"},
    {kPutFactsSequence, "UPDATE counters SET value = ? WHERE name = 'facts_sequence'"},
    {kPutRevision,
     "INSERT INTO revisions(revision, time, mark, principal, principal_uid, request_id, message, change_set) "
     "VALUES(?, ?, ?, ?, ?, ?, ?, ?)"},
    {kPutHistoryFloor, "UPDATE counters SET value = ? WHERE name = 'history_floor'"},
    {kPutAuditAnchor, "UPDATE audit_anchor SET sequence = ?, hash = ?"},
    {kPutChangeSet,
     "INSERT OR REPLACE INTO change_sets(fqn, uid, author_uid, open, created, body) VALUES(?, ?, ?, ?, ?, ?)"},
    {kDeleteChangeSet, "DELETE FROM change_sets WHERE fqn = ?"},
    {kPutOverlay, "INSERT OR REPLACE INTO overlays(fqn, body) VALUES(?, ?)"},
    {kDeleteOverlay, "DELETE FROM overlays WHERE fqn = ?"},
};

Status SqliteRows::Prepare(Database& database) {
  static_assert(std::size(kTexts) == kCount);
  database_ = &database;
  for (const Text& each : kTexts) {
    WEIR_ASSIGN(sql_[each.which], database.Prepare(each.text));
  }
  return {};
}

Status SqliteRows::TakeError() { return std::exchange(error_, Status()); }

Status SqliteRows::Note(Status status) {
  if (!status.ok() && error_.ok()) error_ = status;
  return status;
}
Status SqliteRows::Run(Statement& statement) { return Note(statement.Run()); }

Status SqliteRows::PutVersion(const StoredResource& resource) {
  place_ = resource.revision == place_revision_ ? place_ + 1 : 0;
  place_revision_ = resource.revision;
  if (place_ >> kPlaceBits != 0) {
    error_ = ResourceExhausted("TOO_MANY_CHANGES", "one write changes more than {} resources", 1 << kPlaceBits);
    return error_;
  }
  const std::string owners = PackOwners(resource.field_owners);
  return Run(sql_[kPutVersion]
                 .Int(resource.revision << kPlaceBits | place_)
                 .Text(resource.uid)
                 .Text(resource.fqn)
                 .Text(resource.kind)
                 .Text(resource.etag)
                 .Blob(resource.body)
                 .Blob(owners)
                 .Int(resource.deleted ? 1 : 0)
                 .Int(ToMicros(resource.create_time))
                 .Int(ToMicros(resource.update_time)));
}

Status SqliteRows::PutInstallationRole(std::string_view role, std::string_view user_uid) {
  return Run(sql_[kPutInstallationRole].Text(role).Text(user_uid));
}
Status SqliteRows::DeleteInstallationRole(std::string_view role, std::string_view user_uid) {
  return Run(sql_[kDeleteInstallationRole].Text(role).Text(user_uid));
}
Status SqliteRows::PutCredential(const Credential& credential) {
  return Run(sql_[kPutCredential].Text(credential.user_uid).Text(credential.hash).Int(ToMicros(credential.changed)));
}
Status SqliteRows::DeleteCredential(std::string_view user_uid) { return Run(sql_[kDeleteCredential].Text(user_uid)); }
Status SqliteRows::PutSession(const Session& session) {
  return Run(sql_[kPutSession]
                 .Blob(session.token_hash)
                 .Text(session.user_uid)
                 .Int(ToMicros(session.created))
                 .Int(ToMicros(session.expires))
                 .Text(session.key_thumbprint));
}
Status SqliteRows::PutKey(const KeptKey& key, std::string_view answer) {
  return Run(sql_[kPutKey]
                 .Text(key.principal_uid)
                 .Text(key.key)
                 .Blob(key.request_hash)
                 .Int(ToMicros(key.created))
                 .Blob(answer));
}

Status SqliteRows::DeleteKey(std::string_view principal_uid, std::string_view key) {
  return Run(sql_[kDeleteKey].Text(principal_uid).Text(key));
}

Status SqliteRows::DeleteSession(std::string_view token_hash) { return Run(sql_[kDeleteSession].Blob(token_hash)); }
Status SqliteRows::PutUsedAssertion(const UsedAssertion& assertion) {
  return Run(sql_[kPutUsedAssertion].Blob(assertion.id).Text(assertion.account_uid).Int(ToMicros(assertion.expires)));
}
Status SqliteRows::DeleteUsedAssertion(std::string_view id) { return Run(sql_[kDeleteUsedAssertion].Blob(id)); }
Status SqliteRows::PutJoinToken(const JoinToken& token) {
  return Run(sql_[kPutJoinToken]
                 .Blob(token.token_hash)
                 .Text(token.cluster_uid)
                 .Int(ToMicros(token.created))
                 .Int(ToMicros(token.expires))
                 .Int(token.used ? 1 : 0));
}
Status SqliteRows::DeleteJoinToken(std::string_view token_hash) { return Run(sql_[kDeleteJoinToken].Blob(token_hash)); }
Status SqliteRows::PutCaMaterial(std::string_view name, std::string_view blob) {
  return Run(sql_[kPutCaMaterial].Text(name).Blob(blob));
}
Status SqliteRows::DeleteCaMaterial(std::string_view name) { return Run(sql_[kDeleteCaMaterial].Text(name)); }
Status SqliteRows::PutFactsState(const ClusterFacts& facts) {
  return Run(sql_[kPutFactsState]
                 .Text(facts.cluster_uid)
                 .Int(static_cast<int64_t>(facts.sequence))
                 .Int(static_cast<int64_t>(facts.agent_sequence))
                 .Text(facts.hash)
                 .Int(ToMicros(facts.last_seen))
                 .Text(facts.agent_version));
}
Status SqliteRows::PutFact(std::string_view cluster_uid, bool service, std::string_view key, std::string_view body) {
  return Run(sql_[kPutFact].Text(cluster_uid).Int(service ? 1 : 0).Text(key).Blob(body));
}
Status SqliteRows::DeleteFact(std::string_view cluster_uid, bool service, std::string_view key) {
  return Run(sql_[kDeleteFact].Text(cluster_uid).Int(service ? 1 : 0).Text(key));
}
Status SqliteRows::DeleteFacts(std::string_view cluster_uid) { return Run(sql_[kDeleteFacts].Text(cluster_uid)); }

Status SqliteRows::PutAudit(const AuditRow& row) {
  Statement& insert = sql_[kPutAudit];
  insert.Int(row.sequence).Int(ToMicros(row.time)).Int(row.revision);
  for (const std::string* field : {&row.principal, &row.principal_uid, &row.action, &row.fqn, &row.uid,
                                   &row.before_etag, &row.after_etag, &row.path, &row.peer, &row.request_id}) {
    insert.Text(*field);
  }
  return Run(insert.Blob(row.hash));
}

Status SqliteRows::PutLineage(std::string_view lineage) { return Run(sql_[kPutLineage].Text(lineage)); }

Status SqliteRows::PutChangeSet(const ChangeSetRow& row) {
  return Run(sql_[kPutChangeSet]
                 .Text(row.fqn)
                 .Text(row.uid)
                 .Text(row.author_uid)
                 .Int(row.open ? 1 : 0)
                 .Int(ToMicros(row.created))
                 .Blob(row.body));
}
Status SqliteRows::DeleteChangeSet(std::string_view fqn) { return Run(sql_[kDeleteChangeSet].Text(fqn)); }

Status SqliteRows::PutOverlay(const OverlayRow& row) { return Run(sql_[kPutOverlay].Text(row.fqn).Blob(row.body)); }
Status SqliteRows::DeleteOverlay(std::string_view fqn) { return Run(sql_[kDeleteOverlay].Text(fqn)); }

Status SqliteRows::PutFactsSequence(uint64_t sequence) {
  return Run(sql_[kPutFactsSequence].Int(static_cast<int64_t>(sequence)));
}

}  // namespace weir::store
