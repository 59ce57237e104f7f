#include "mgmt-server/store/txn.h"

#include <algorithm>
#include <chrono>

#include "libs/base/ids.h"
#include "mgmt-server/store/bytes.h"

namespace weir::store {
namespace {

WallTime ToMicroseconds(WallTime time) { return std::chrono::floor<std::chrono::microseconds>(time); }

Error EtagMismatch(std::string_view fqn) {
  return Aborted("ETAG_MISMATCH", "{} was changed since it was read; read it again and repeat the change", fqn);
}

}  // namespace

Txn::Txn(View& view, RowWriter& rows, const Policy& policy, WallTime now)
    : view_(view), rows_(rows), policy_(policy), now_(ToMicroseconds(now)), revision_(view.revision() + 1) {}

void Txn::Note(const StoredResource& resource) {
  changed_ = true;
  view_.revision_ = revision_;
  if (!event_) {
    event_ = ChangeEvent{revision_, {}};
    view_.mark_ = resource.etag;
  }
  event_->changes.push_back({resource.kind, resource.fqn, resource.uid, resource.deleted});
}

Status Txn::Finish() {
  if (!event_) return {};
  auto& changes = event_->changes;
  // A name changed twice: its last state is what counts, and a deletion of an earlier uid of the name that lives on
  // still stands beside it. Versions of one uid collapse.
  std::stable_sort(changes.begin(), changes.end(),
                   [](const ResourceChange& a, const ResourceChange& b) { return std::tie(a.fqn) < std::tie(b.fqn); });
  std::vector<ResourceChange> last;
  for (ResourceChange& change : changes) {
    if (!last.empty() && last.back().fqn == change.fqn && last.back().uid == change.uid) last.pop_back();
    last.push_back(std::move(change));
  }
  changes = std::move(last);
  Revision revision = author_ ? std::move(*author_) : Revision();
  revision.number = revision_;
  revision.time = now_;
  revision.message = std::move(note_.message);
  revision.change_set = std::move(note_.change_set);
  return rows_.PutRevision(revision, view_.mark_);
}

// Into a copy: a change that the policy refuses half-way leaves the graph as it was.
Status Txn::ApplyChange(const StoredResource* before, const StoredResource* after) {
  ngac::Graph graph = view_.graph_;
  WEIR_TRY(policy_.ApplyChange(view_, before, after, graph));
  view_.graph_ = std::move(graph);
  return {};
}

Status Txn::ApplyRoleChange(std::string_view role, std::string_view user_uid, bool given) {
  ngac::Graph graph = view_.graph_;
  WEIR_TRY(policy_.ApplyRoleChange(role, user_uid, given, graph));
  view_.graph_ = std::move(graph);
  return {};
}

Result<ResourcePtr> Txn::Put(PutResource put) {
  const ResourcePtr stored = view_.Get(put.fqn);
  if (put.expected_etag) {
    if (put.expected_etag->empty() && stored) {
      return AlreadyExists("RESOURCE_EXISTS", "{} exists already", put.fqn);
    }
    if (!put.expected_etag->empty() && (!stored || stored->etag != *put.expected_etag)) return EtagMismatch(put.fqn);
  }
  if (stored && stored->kind != put.kind) {
    return FailedPrecondition("KIND_MISMATCH", "{} is a {}, not a {}", put.fqn, stored->kind, put.kind);
  }
  if (stored && stored->body == put.body && stored->field_owners == put.field_owners) return stored;
  auto next = std::make_shared<StoredResource>();
  next->kind = std::move(put.kind);
  next->fqn = std::move(put.fqn);
  next->uid = stored ? stored->uid : NewUid();
  next->revision = revision_;
  next->etag = fmt::format("{}-{}", revision_, RandomHex(4));
  next->body = std::move(put.body);
  next->field_owners = std::move(put.field_owners);
  next->create_time = stored ? stored->create_time : now_;
  next->update_time = now_;
  WEIR_TRY(CheckBytes(view_, stored.get(), *next));
  WEIR_TRY(ApplyChange(stored.get(), next.get()));
  WEIR_TRY(rows_.PutVersion(*next));
  view_.PutResource(next);
  Note(*next);
  return ResourcePtr(next);
}

Result<ResourcePtr> Txn::Delete(std::string_view fqn, const std::optional<std::string>& expected_etag) {
  const ResourcePtr stored = view_.Get(fqn);
  if (!stored) return NotFound("RESOURCE_MISSING", "{} does not exist", fqn);
  if (expected_etag && !expected_etag->empty() && *expected_etag != stored->etag) return EtagMismatch(fqn);
  StoredResource gone = *stored;
  gone.deleted = true;
  gone.revision = revision_;
  gone.etag = fmt::format("{}-{}", revision_, RandomHex(4));
  gone.body.clear();
  gone.update_time = now_;
  WEIR_TRY(ApplyChange(stored.get(), nullptr));
  WEIR_TRY(rows_.PutVersion(gone));
  view_.EraseResource(*stored);
  Note(gone);
  return stored;
}

Status Txn::PutInstallationRole(std::string_view role, std::string_view user_uid) {
  if (view_.HasInstallationRole(role, user_uid)) return {};
  changed_ = true;
  WEIR_TRY(ApplyRoleChange(role, user_uid, true));
  WEIR_TRY(rows_.PutInstallationRole(role, user_uid));
  view_.installation_roles_.Set({std::string(role), std::string(user_uid)}, {});
  return {};
}

Status Txn::DeleteInstallationRole(std::string_view role, std::string_view user_uid) {
  if (!view_.HasInstallationRole(role, user_uid)) return {};
  changed_ = true;
  WEIR_TRY(ApplyRoleChange(role, user_uid, false));
  WEIR_TRY(rows_.DeleteInstallationRole(role, user_uid));
  view_.installation_roles_.Erase(std::pair(std::string(role), std::string(user_uid)));
  return {};
}

Status Txn::PutCredential(Credential credential) {
  changed_ = true;
  WEIR_TRY(rows_.PutCredential(credential));
  view_.credentials_.Set(credential.user_uid, credential);
  return {};
}

Status Txn::DeleteCredential(std::string_view user_uid) {
  if (!view_.credentials_.Contains(user_uid)) return {};
  changed_ = true;
  WEIR_TRY(rows_.DeleteCredential(user_uid));
  view_.credentials_.Erase(user_uid);
  return {};
}

Status Txn::PutSession(Session session) {
  changed_ = true;
  session.created = ToMicroseconds(session.created);
  session.expires = ToMicroseconds(session.expires);
  WEIR_TRY(rows_.PutSession(session));
  view_.sessions_.Set(session.token_hash, session);
  return {};
}

Status Txn::DeleteSession(std::string_view token_hash) {
  if (!view_.sessions_.Contains(token_hash)) return {};
  changed_ = true;
  WEIR_TRY(rows_.DeleteSession(token_hash));
  view_.sessions_.Erase(token_hash);
  return {};
}

Status Txn::DeleteSessionsOf(std::string_view user_uid) {
  std::vector<std::string> ended;
  view_.ForEachSession([&](const Session& session) {
    if (session.user_uid == user_uid) ended.push_back(session.token_hash);
  });
  for (const std::string& hash : ended) WEIR_TRY(DeleteSession(hash));
  return {};
}

Status Txn::PutJoinToken(JoinToken token) {
  changed_ = true;
  token.created = ToMicroseconds(token.created);
  token.expires = ToMicroseconds(token.expires);
  WEIR_TRY(rows_.PutJoinToken(token));
  view_.join_tokens_.Set(token.token_hash, token);
  return {};
}

Result<JoinToken> CheckJoinToken(const View& view, std::string_view token_hash, WallTime now) {
  const JoinToken* stored = view.FindJoinToken(token_hash);
  if (stored == nullptr)
    return Unauthenticated("JOIN_TOKEN_UNKNOWN",
                           "this join token is not known; make another with `weir cluster token`");
  if (stored->used)
    return Unauthenticated("JOIN_TOKEN_USED",
                           "this join token was used before; make another with `weir cluster token`");
  if (stored->expires <= now)
    return Unauthenticated("JOIN_TOKEN_EXPIRED", "this join token has expired; make another with `weir cluster token`");
  return *stored;
}

Result<JoinToken> Txn::UseJoinToken(std::string_view token_hash) {
  WEIR_ASSIGN(JoinToken token, CheckJoinToken(view_, token_hash, now_));
  token.used = true;
  WEIR_TRY(PutJoinToken(token));
  return token;
}

template <typename Goes>
Status Txn::DeleteJoinTokens(Goes goes) {
  std::vector<std::string> gone;
  view_.ForEachJoinToken([&](const JoinToken& token) {
    if (goes(token)) gone.push_back(token.token_hash);
  });
  for (const std::string& hash : gone) {
    changed_ = true;
    WEIR_TRY(rows_.DeleteJoinToken(hash));
    view_.join_tokens_.Erase(hash);
  }
  return {};
}

Status Txn::DeleteJoinTokensOf(std::string_view cluster_uid) {
  return DeleteJoinTokens([&](const JoinToken& token) { return token.cluster_uid == cluster_uid; });
}

Status Txn::DeleteJoinTokensBefore(WallTime expired) {
  return DeleteJoinTokens([&](const JoinToken& token) { return token.expires < expired; });
}

Status Txn::PutCaMaterial(std::string name, std::string blob) {
  changed_ = true;
  WEIR_TRY(rows_.PutCaMaterial(name, blob));
  view_.ca_material_.Set(std::move(name), std::move(blob));
  return {};
}

Status Txn::DeleteCaMaterial(std::string_view name) {
  if (view_.FindCaMaterial(name) == nullptr) return {};
  changed_ = true;
  WEIR_TRY(rows_.DeleteCaMaterial(name));
  view_.ca_material_.Erase(name);
  return {};
}

Status Txn::ApplyFacts(const FactsChange& change) {
  const ClusterFactsPtr stored = view_.Facts(change.cluster_uid);
  auto next = stored ? std::make_shared<ClusterFacts>(*stored) : std::make_shared<ClusterFacts>();
  FactsEvent event;
  const auto merge = [&](bool service, PersistentMap<std::string, std::string>& present,
                         const std::map<std::string, std::string>& upserts, const std::vector<std::string>& removals,
                         std::vector<std::string>& touched) -> Status {
    for (const auto& [key, body] : upserts) {
      const std::string* old = present.Find(key);
      if (old != nullptr && *old == body) continue;
      WEIR_TRY(rows_.PutFact(change.cluster_uid, service, key, body));
      present.Set(key, body);
      touched.push_back(key);
    }
    std::vector<std::string> gone = removals;
    if (change.full) {
      present.VisitAll([&](const std::string& key, const std::string&) {
        if (!upserts.contains(key)) gone.push_back(key);
        return true;
      });
    }
    for (const std::string& key : gone) {
      if (upserts.contains(key) || !present.Contains(key)) continue;
      WEIR_TRY(rows_.DeleteFact(change.cluster_uid, service, key));
      present.Erase(key);
      touched.push_back(key);
    }
    return {};
  };
  next->cluster_uid = change.cluster_uid;
  next->agent_sequence = change.agent_sequence;
  next->hash = change.hash;
  next->last_seen = now_;
  next->sequence = view_.facts_sequence_ + 1;
  WEIR_TRY(rows_.PutFactsState(*next));  // First: the rows of the facts refer to it.
  WEIR_TRY(merge(false, next->workloads, change.workloads, change.removed_workloads, event.workloads));
  WEIR_TRY(merge(true, next->services, change.services, change.removed_services, event.services));
  changed_ = true;
  view_.facts_sequence_ = next->sequence;
  event.sequence = next->sequence;
  event.cluster_uid = change.cluster_uid;
  view_.facts_.Set(change.cluster_uid, std::move(next));
  facts_events_.push_back(std::move(event));
  return {};
}

Status Txn::SetLastSeen(std::string_view cluster_uid, WallTime last_seen) {
  const ClusterFactsPtr stored = view_.Facts(cluster_uid);
  if (stored == nullptr || stored->last_seen >= last_seen) return {};
  auto next = std::make_shared<ClusterFacts>(*stored);
  next->last_seen = last_seen;
  changed_ = true;
  WEIR_TRY(rows_.PutFactsState(*next));
  view_.facts_.Set(next->cluster_uid, next);
  return {};
}

Status Txn::SetConnection(std::string_view cluster_uid, bool connected, std::string_view agent_version,
                          std::optional<WallTime> last_seen) {
  const ClusterFactsPtr stored = view_.Facts(cluster_uid);
  auto next = stored ? std::make_shared<ClusterFacts>(*stored) : std::make_shared<ClusterFacts>();
  next->cluster_uid = std::string(cluster_uid);
  next->connected = connected;
  next->last_seen = last_seen.value_or(now_);
  if (!agent_version.empty()) next->agent_version = std::string(agent_version);
  next->sequence = view_.facts_sequence_ + 1;
  changed_ = true;
  WEIR_TRY(rows_.PutFactsState(*next));
  FactsEvent event;
  event.sequence = view_.facts_sequence_ = next->sequence;
  event.cluster_uid = next->cluster_uid;
  event.connection_changed = true;
  view_.facts_.Set(next->cluster_uid, next);
  facts_events_.push_back(std::move(event));
  return {};
}

Status Txn::DeleteFacts(std::string_view cluster_uid) {
  if (!view_.Facts(cluster_uid)) return {};
  changed_ = true;
  WEIR_TRY(rows_.DeleteFacts(cluster_uid));
  FactsEvent event;
  event.sequence = ++view_.facts_sequence_;
  event.cluster_uid = std::string(cluster_uid);
  event.removed = true;
  view_.facts_.Erase(cluster_uid);
  facts_events_.push_back(std::move(event));
  return {};
}

Status Txn::AdoptState() {
  const std::string lineage = xds::NewLineage();
  changed_ = true;
  WEIR_TRY(rows_.PutLineage(lineage));
  view_.lineages_.push_back(lineage);
  return {};
}

Status Txn::AppendAudit(AuditRow row) {
  if (row.sequence != view_.audit_count_ + 1) {
    return Internal("AUDIT_OUT_OF_ORDER", "audit record {} follows {}", row.sequence, view_.audit_count_);
  }
  changed_ = true;
  WEIR_TRY(rows_.PutAudit(row));
  if (row.revision == revision_ && !author_) {
    author_.emplace();
    author_->principal = row.principal;
    author_->principal_uid = row.principal_uid;
    author_->request_id = row.request_id;
  }
  view_.audit_count_ = row.sequence;
  view_.audit_head_ = row.hash;
  return {};
}

Status Txn::ForgetHistory(int64_t floor, int64_t kept) {
  if (floor <= view_.history_floor_) return {};
  if (floor > view_.revision_ - kept) {
    return OutOfRange("RETENTION_TOO_NEW", "the last {} revisions are always kept", kept);
  }
  changed_ = true;
  WEIR_TRY(rows_.PutHistoryFloor(floor));
  view_.history_floor_ = floor;
  return {};
}

Status Txn::ForgetAudit(AuditAnchor anchor, int64_t kept) {
  if (anchor.sequence <= view_.audit_anchor_.sequence) return {};
  if (anchor.sequence > view_.audit_count_ - kept) {
    return OutOfRange("RETENTION_TOO_NEW", "the last {} audit records are always kept", kept);
  }
  changed_ = true;
  WEIR_TRY(rows_.PutAuditAnchor(anchor));
  view_.audit_anchor_ = std::move(anchor);
  return {};
}

Result<int64_t> Txn::DropForgotten(int64_t most, WallTime revisions_before) {
  WEIR_ASSIGN(const int64_t dropped,
              rows_.DropForgotten(view_.history_floor_, view_.audit_anchor_.sequence, most, revisions_before));
  changed_ |= dropped > 0;
  return dropped;
}

}  // namespace weir::store
