#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libs/ngac/graph.h"
#include "libs/xds/protocol/position.h"
#include "mgmt-server/store/records.h"

namespace weir::store {

struct ListQuery {
  std::string parent;      // FQN; everything below it. "" = everything.
  std::string kind;        // "" = every kind, AccessBindings included.
  size_t page_size = 100;  // 1 to 1000.
  std::string page_token;  // From the previous page; "" = from the start.
};
struct Page {
  std::vector<ResourcePtr> items;  // In fqn order.
  std::string next_page_token;     // "" = that was all.
};

// Everything that is stored and present, in memory, as of one commit. Immutable once published; a copy costs a few
// pointers. Readable from any thread without a lock. Inside a write it is the state with this transaction's changes so
// far.
class View {
 public:
  explicit View(std::vector<std::string> rights = {}) : graph_(std::move(rights)) {}

  int64_t revision() const { return revision_; }
  // The names of this history, oldest first, at least one once loaded. The last is the present one; every other was
  // given up by an administrator who adopted this state in its place.
  const std::vector<std::string>& lineages() const { return lineages_; }
  // Where this state stands, as agents keep it.
  xds::Position position() const { return {lineages_, mark_.empty() ? "0-" : mark_}; }
  uint64_t facts_sequence() const { return facts_sequence_; }

  // Null when it does not exist.
  ResourcePtr Get(std::string_view fqn) const;
  ResourcePtr GetByUid(std::string_view uid) const;
  Page List(const ListQuery& query) const;
  // Every resource of the kind ("" = all kinds) below `parent` ("" = all), in fqn order, until visit returns false.
  void ForEach(std::string_view parent, std::string_view kind,
               const std::function<bool(const ResourcePtr&)>& visit) const;
  // The same of one kind, beginning after the FQN `after` ("" = from the first).
  void ForEachAfter(std::string_view parent, std::string_view kind, std::string_view after,
                    const std::function<bool(const ResourcePtr&)>& visit) const;
  size_t resource_count() const { return by_fqn_.size(); }
  // Of all kinds, bindings too, below an FQN; costs no more where there are many.
  size_t CountBelow(std::string_view fqn) const {
    const std::string below(fqn);
    return by_fqn_.CountBefore(below + '0') - by_fqn_.CountBefore(below + '/');  // The character behind '/'.
  }

  // What is not the same in `after`, by FQN; null = it is not there. Costs what was changed between the two.
  void VisitDifferences(const View& after,
                        const std::function<void(const ResourcePtr& before, const ResourcePtr& after)>& visit) const;
  // The same of what agents reported, by the clusters' uids.
  void VisitFactDifferences(
      const View& after,
      const std::function<void(const ClusterFactsPtr& before, const ClusterFactsPtr& after)>& visit) const;

  // Who may what: what store::Policy says of the resources and roles here.
  const ngac::Graph& graph() const { return graph_; }
  bool HasInstallationRole(std::string_view role, std::string_view user_uid) const {
    return installation_roles_.Contains(std::pair(std::string(role), std::string(user_uid)));
  }
  // In the order of roles; stops when `visit` returns false.
  void ForEachInstallationRole(
      const std::function<bool(const std::string& role, const std::string& user_uid)>& visit) const;

  // Null when there are none.
  const Credential* FindCredential(std::string_view user_uid) const { return credentials_.Find(user_uid); }
  size_t credential_count() const { return credentials_.size(); }
  const Session* FindSession(std::string_view token_hash) const { return sessions_.Find(token_hash); }
  // Of writes with an idempotency key; null = it was not used, or is kept no more.
  const KeptKey* FindKey(std::string_view principal_uid, std::string_view key) const {
    return kept_keys_.Find(KeyName(principal_uid, key));
  }
  size_t KeysOf(std::string_view principal_uid) const {
    const std::string uid(principal_uid);
    return kept_keys_.CountBefore(uid + '\1') - kept_keys_.CountBefore(uid + '\0');
  }
  size_t key_count() const { return kept_keys_.size(); }
  // Of their answers.
  size_t KeyBytesOf(std::string_view principal_uid) const {
    const size_t* bytes = key_bytes_of_.Find(principal_uid);
    return bytes == nullptr ? 0 : *bytes;
  }
  size_t key_bytes() const { return key_bytes_; }
  void ForEachKey(const std::function<void(const KeptKey&)>& visit) const;
  const JoinToken* FindJoinToken(std::string_view token_hash) const { return join_tokens_.Find(token_hash); }
  const std::string* FindCaMaterial(std::string_view name) const { return ca_material_.Find(name); }
  ClusterFactsPtr Facts(std::string_view cluster_uid) const;
  void ForEachFacts(const std::function<void(const ClusterFactsPtr&)>& visit) const;
  void ForEachSession(const std::function<void(const Session&)>& visit) const;
  void ForEachUsedAssertion(const std::function<void(const UsedAssertion&)>& visit) const;
  void ForEachJoinToken(const std::function<void(const JoinToken&)>& visit) const;

  ChangeSetPtr FindChangeSet(std::string_view fqn) const;
  // Those of an organization ("" = of all), in the order of their names, until visit returns false.
  void ForEachChangeSet(std::string_view organization, const std::function<bool(const ChangeSetPtr&)>& visit) const;

  // Of the rollouts that are on their way, in the order of change sets. The same pointer as before = the same row.
  std::vector<OverlayPtr> Overlays() const;
  OverlayPtr FindOverlay(std::string_view change_set) const;

  // States older than this one are not kept (Txn::ForgetHistory).
  int64_t history_floor() const { return history_floor_; }

  int64_t audit_count() const { return audit_count_; }           // Of all that ever were.
  const std::string& audit_head() const { return audit_head_; }  // Hash of the last record; "" = none.
  const AuditAnchor& audit_anchor() const { return audit_anchor_; }

 private:
  friend class Txn;
  friend class ViewLoader;

  static std::string KeyName(std::string_view principal_uid, std::string_view key) {
    return std::string(principal_uid).append(1, '\0').append(key);
  }
  void SetKey(KeptKey key);
  void EraseKey(const std::string& name);
  void CountKey(const KeptKey& key, bool comes);
  void PutResource(ResourcePtr resource);
  void EraseResource(const StoredResource& resource);

  int64_t revision_ = 0;
  std::string mark_;  // Of `revision_`: see xds::Position.
  std::vector<std::string> lineages_;
  uint64_t facts_sequence_ = 0;
  PersistentMap<std::string, ResourcePtr> by_fqn_;
  PersistentMap<std::string, ResourcePtr> by_kind_;  // "<kind>\0<fqn>"
  PersistentMap<std::string, ResourcePtr> by_uid_;
  ngac::Graph graph_;
  PersistentMap<std::pair<std::string, std::string>, ngac::Nothing> installation_roles_;  // {role, uid of the user}
  PersistentMap<std::string, Credential> credentials_;
  PersistentMap<std::string, Session> sessions_;
  PersistentMap<std::string, UsedAssertion> used_assertions_;
  PersistentMap<std::string, KeptKey> kept_keys_;    // KeyName
  PersistentMap<std::string, size_t> key_bytes_of_;  // Of each principal that has some.
  size_t key_bytes_ = 0;
  PersistentMap<std::string, JoinToken> join_tokens_;
  PersistentMap<std::string, std::string> ca_material_;
  PersistentMap<std::string, ClusterFactsPtr> facts_;
  PersistentMap<std::string, ChangeSetPtr> change_sets_;  // By FQN.
  PersistentMap<std::string, OverlayPtr> overlays_;       // By FQN of their change set.
  int64_t history_floor_ = 0;
  int64_t audit_count_ = 0;
  std::string audit_head_;
  AuditAnchor audit_anchor_;
};
using ViewPtr = std::shared_ptr<const View>;

// Fills a view from stored rows; for implementations of Store only.
class ViewLoader {
 public:
  explicit ViewLoader(View& view) : view_(view) {}
  void SetRevision(int64_t revision, std::string mark = {}) {
    view_.revision_ = revision;
    view_.mark_ = std::move(mark);
  }
  void AddLineage(std::string lineage) { view_.lineages_.push_back(std::move(lineage)); }
  void SetFactsSequence(uint64_t sequence) { view_.facts_sequence_ = sequence; }
  void Add(ResourcePtr resource) { view_.PutResource(std::move(resource)); }
  // The resources of another state, and nothing else of it; then Put and Remove lead from there to this one.
  void CopyResources(const View& from) {
    view_.by_fqn_ = from.by_fqn_;
    view_.by_kind_ = from.by_kind_;
    view_.by_uid_ = from.by_uid_;
  }
  void Put(ResourcePtr resource) {
    Remove(resource->fqn);
    view_.PutResource(std::move(resource));
  }
  void Remove(std::string_view fqn) {
    if (const ResourcePtr there = view_.Get(fqn)) view_.EraseResource(*there);
  }
  void SetHistoryFloor(int64_t floor) { view_.history_floor_ = floor; }
  void SetAuditAnchor(AuditAnchor anchor) { view_.audit_anchor_ = std::move(anchor); }
  void Add(Credential row) {
    auto key = row.user_uid;
    view_.credentials_.Set(std::move(key), std::move(row));
  }
  void Add(Session row) {
    auto key = row.token_hash;
    view_.sessions_.Set(std::move(key), std::move(row));
  }
  void Add(UsedAssertion row) {
    auto key = row.id;
    view_.used_assertions_.Set(std::move(key), std::move(row));
  }
  void Add(KeptKey row) { view_.SetKey(std::move(row)); }
  void Add(JoinToken row) {
    auto key = row.token_hash;
    view_.join_tokens_.Set(std::move(key), std::move(row));
  }
  void AddCaMaterial(std::string name, std::string blob) { view_.ca_material_.Set(std::move(name), std::move(blob)); }
  void Add(ClusterFactsPtr facts) { view_.facts_.Set(facts->cluster_uid, facts); }
  void Add(ChangeSetPtr set) { view_.change_sets_.Set(set->fqn, set); }
  void Add(OverlayPtr overlay) { view_.overlays_.Set(overlay->fqn, overlay); }
  void AddInstallationRole(std::string role, std::string user_uid) {
    view_.installation_roles_.Set({std::move(role), std::move(user_uid)}, {});
  }
  void SetAuditHead(int64_t count, std::string hash) {
    view_.audit_count_ = count;
    view_.audit_head_ = std::move(hash);
  }
  ngac::Graph& graph() { return view_.graph_; }

 private:
  View& view_;
};

}  // namespace weir::store
