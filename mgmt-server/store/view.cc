#include "mgmt-server/store/view.h"

#include <algorithm>

namespace weir::store {
namespace {

std::string KindKey(std::string_view kind, std::string_view fqn) {
  std::string key(kind);
  key.push_back('\0');
  key.append(fqn);
  return key;
}

}  // namespace

ResourcePtr View::Get(std::string_view fqn) const {
  const ResourcePtr* found = by_fqn_.Find(fqn);
  return found == nullptr ? nullptr : *found;
}

ResourcePtr View::GetByUid(std::string_view uid) const {
  const ResourcePtr* found = by_uid_.Find(uid);
  return found == nullptr ? nullptr : *found;
}

void View::ForEach(std::string_view parent, std::string_view kind,
                   const std::function<bool(const ResourcePtr&)>& visit) const {
  std::string prefix(parent);
  if (!prefix.empty()) prefix.push_back('/');
  const std::string from = kind.empty() ? prefix : KindKey(kind, prefix);
  const auto step = [&](const std::string& key, const ResourcePtr& resource) {
    return key.starts_with(from) && visit(resource);
  };
  if (kind.empty()) {
    by_fqn_.VisitFrom(from, step);
  } else {
    by_kind_.VisitFrom(from, step);
  }
}

void View::ForEachAfter(std::string_view parent, std::string_view kind, std::string_view after,
                        const std::function<bool(const ResourcePtr&)>& visit) const {
  std::string prefix(parent);
  if (!prefix.empty()) prefix.push_back('/');
  const std::string all = KindKey(kind, prefix);
  by_kind_.VisitFrom(std::max(all, KindKey(kind, after)), [&](const std::string& key, const ResourcePtr& resource) {
    if (!key.starts_with(all)) return false;
    return resource->fqn == after || visit(resource);
  });
}

Page View::List(const ListQuery& query) const {
  const size_t size = std::clamp<size_t>(query.page_size, 1, 1000);
  Page page;
  const std::string prefix = query.parent.empty() ? "" : query.parent + "/";
  const std::string lead = query.kind.empty() ? "" : KindKey(query.kind, "");
  const std::string all = lead + prefix;
  const std::string from = std::max(all, lead + query.page_token);
  const auto step = [&](const std::string& key, const ResourcePtr& resource) {
    if (!key.starts_with(all)) return false;
    if (!query.page_token.empty() && resource->fqn <= query.page_token) return true;
    if (page.items.size() == size) {
      page.next_page_token = page.items.back()->fqn;
      return false;
    }
    page.items.push_back(resource);
    return true;
  };
  if (query.kind.empty()) {
    by_fqn_.VisitFrom(from, step);
  } else {
    by_kind_.VisitFrom(from, step);
  }
  return page;
}

ClusterFactsPtr View::Facts(std::string_view cluster_uid) const {
  const ClusterFactsPtr* found = facts_.Find(cluster_uid);
  return found == nullptr ? nullptr : *found;
}

namespace {

template <typename Pointer, typename Visit>
void VisitDifferencesOf(const PersistentMap<std::string, Pointer>& before,
                        const PersistentMap<std::string, Pointer>& after, const Visit& visit) {
  before.VisitDifferences(after, [&](const std::string&, const Pointer* was, const Pointer* is) {
    visit(was == nullptr ? Pointer() : *was, is == nullptr ? Pointer() : *is);
  });
}

}  // namespace

void View::VisitDifferences(
    const View& after, const std::function<void(const ResourcePtr& before, const ResourcePtr& after)>& visit) const {
  VisitDifferencesOf(by_fqn_, after.by_fqn_, visit);
}
void View::VisitFactDifferences(
    const View& after,
    const std::function<void(const ClusterFactsPtr& before, const ClusterFactsPtr& after)>& visit) const {
  VisitDifferencesOf(facts_, after.facts_, visit);
}

void View::ForEachFacts(const std::function<void(const ClusterFactsPtr&)>& visit) const {
  facts_.VisitAll([&](const std::string&, const ClusterFactsPtr& facts) {
    visit(facts);
    return true;
  });
}

ChangeSetPtr View::FindChangeSet(std::string_view fqn) const {
  const ChangeSetPtr* found = change_sets_.Find(fqn);
  return found == nullptr ? nullptr : *found;
}

std::vector<OverlayPtr> View::Overlays() const {
  std::vector<OverlayPtr> overlays;
  overlays_.VisitAll([&](const std::string&, const OverlayPtr& overlay) {
    overlays.push_back(overlay);
    return true;
  });
  return overlays;
}

OverlayPtr View::FindOverlay(std::string_view change_set) const {
  const OverlayPtr* found = overlays_.Find(change_set);
  return found == nullptr ? nullptr : *found;
}

void View::ForEachChangeSet(std::string_view organization,
                            const std::function<bool(const ChangeSetPtr&)>& visit) const {
  std::string prefix(organization);
  if (!prefix.empty()) prefix.push_back('/');
  change_sets_.VisitFrom(
      prefix, [&](const std::string& fqn, const ChangeSetPtr& set) { return fqn.starts_with(prefix) && visit(set); });
}

void View::ForEachSession(const std::function<void(const Session&)>& visit) const {
  sessions_.VisitAll([&](const std::string&, const Session& session) {
    visit(session);
    return true;
  });
}
void View::ForEachUsedAssertion(const std::function<void(const UsedAssertion&)>& visit) const {
  used_assertions_.VisitAll([&](const std::string&, const UsedAssertion& used) {
    visit(used);
    return true;
  });
}

void View::CountKey(const KeptKey& key, bool comes) {
  const size_t of_one = KeyBytesOf(key.principal_uid);
  const size_t now = comes ? of_one + key.bytes : of_one - key.bytes;
  key_bytes_ += now - of_one;
  if (now == 0)
    key_bytes_of_.Erase(key.principal_uid);
  else
    key_bytes_of_.Set(key.principal_uid, now);
}

void View::SetKey(KeptKey key) {
  std::string name = KeyName(key.principal_uid, key.key);
  EraseKey(name);
  CountKey(key, true);
  kept_keys_.Set(std::move(name), std::move(key));
}

void View::EraseKey(const std::string& name) {
  const KeptKey* there = kept_keys_.Find(name);
  if (there == nullptr) return;
  CountKey(*there, false);
  kept_keys_.Erase(name);
}

void View::ForEachKey(const std::function<void(const KeptKey&)>& visit) const {
  kept_keys_.VisitAll([&](const std::string&, const KeptKey& key) {
    visit(key);
    return true;
  });
}

void View::ForEachJoinToken(const std::function<void(const JoinToken&)>& visit) const {
  join_tokens_.VisitAll([&](const std::string&, const JoinToken& token) {
    visit(token);
    return true;
  });
}

void View::ForEachInstallationRole(
    const std::function<bool(const std::string& role, const std::string& user_uid)>& visit) const {
  installation_roles_.VisitAll(
      [&](const auto& role_and_user, ngac::Nothing) { return visit(role_and_user.first, role_and_user.second); });
}

void View::PutResource(ResourcePtr resource) {
  by_fqn_.Set(resource->fqn, resource);
  by_kind_.Set(KindKey(resource->kind, resource->fqn), resource);
  by_uid_.Set(resource->uid, resource);
}

void View::EraseResource(const StoredResource& resource) {
  by_kind_.Erase(KindKey(resource.kind, resource.fqn));
  by_uid_.Erase(resource.uid);
  const std::string fqn = resource.fqn;
  by_fqn_.Erase(fqn);
}

}  // namespace weir::store
