#include <algorithm>
#include <charconv>
#include <map>

#include "api/weir/v2/history.pb.h"
#include "libs/resource/kinds.h"
#include "libs/rpc/time.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/services/differences.h"
#include "mgmt-server/services/page_tokens.h"
#include "mgmt-server/services/past.h"
#include "mgmt-server/services/services.h"

namespace weir::services {
namespace {

constexpr size_t kScanned = 20'000;  // Versions that one call looks at, but always a whole revision.
constexpr size_t kShown = 5'000;     // Changes in one answer, but always a whole revision.
constexpr size_t kOfRevision = 500;  // Changes of one revision in an answer.
constexpr size_t kBatch = 1'000;

// What the calls about the past stand on.
struct Desk {
  const Backends& backends;
  PageTokens tokens;
};

Status CheckPage(int page_size, const std::string& fqn, bool fqn_required) {
  Error error = InvalidArgument("INVALID_REQUEST", "the question cannot be answered");
  if (page_size < 0 || page_size > 1000) {
    error.violations.push_back({.field = "pageSize", .description = "must be 1 to 1000"});
  }
  if (!fqn.empty() || fqn_required) {
    const auto parsed = resource::ParseFqn(fqn);
    if (!parsed.ok()) error.violations.push_back({.field = "fqn", .description = parsed.error().message});
  }
  if (error.violations.empty()) return {};
  return error;
}
size_t PageSize(int asked) { return asked == 0 ? 100 : static_cast<size_t>(asked); }

// The page goes on below this number.
Result<int64_t> Below(const Desk& desk, const std::string& question, const std::string& token) {
  if (token.empty()) return INT64_MAX >> 20;
  WEIR_ASSIGN(const std::string last, desk.tokens.Open(question, token));
  int64_t number = 0;
  std::from_chars(last.data(), last.data() + last.size(), number);
  return number;
}

v2::RevisionChange::What WhatOf(const store::Change& change) {
  if (change.deleted) return v2::RevisionChange::DELETED;
  return change.created ? v2::RevisionChange::CREATED : v2::RevisionChange::UPDATED;
}

// Of one revision what the caller may see, newest first as it comes from the store.
class Gathered {
 public:
  Gathered(PastRights& rights, const std::string& below) : rights_(&rights), below_(&below) {}

  Status Take(const store::Change& change) {
    number_ = change.revision;
    WEIR_ASSIGN(const bool may, rights_->May(authz::Right::kRead, change.fqn, change.uid, change.revision));
    hides_ |= !may;
    if (!may || (!below_->empty() && !resource::IsAtOrBelow(change.fqn, *below_))) return {};
    const auto [place, first] = by_uid_.emplace(change.uid, changes_.size());
    if (first) return changes_.push_back(change), Status();
    changes_[place->second].created |= change.created;  // An older version of the same write.
    return {};
  }
  int64_t number() const { return number_; }
  bool empty() const { return changes_.empty(); }

  Result<v2::Revision> Render(const store::Store& store) {
    v2::Revision out;
    out.set_number(number_);
    const auto revision = store.GetRevision(number_);
    if (!revision.ok() && revision.error().reason != "REVISION_UNKNOWN") return revision.error();
    if (revision.ok()) {
      *out.mutable_time() = rpc::ToTimestamp(revision->time);
      out.set_author(revision->principal);
      out.set_request_id(revision->request_id);
      if (!hides_) out.set_message(revision->message);
      if (!hides_) out.set_change_set(revision->change_set);
    }
    std::reverse(changes_.begin(), changes_.end());
    for (const store::Change& change : changes_) {
      if (out.changes_size() == static_cast<int>(kOfRevision)) break;
      v2::RevisionChange& one = *out.add_changes();
      one.set_what(WhatOf(change));
      one.set_fqn(change.fqn);
      one.set_kind(change.kind);
      one.set_uid(change.uid);
    }
    out.set_more_changes(static_cast<int>(changes_.size()) - out.changes_size());
    return out;
  }

 private:
  PastRights* rights_;
  const std::string* below_;
  int64_t number_ = 0;
  bool hides_ = false;
  std::vector<store::Change> changes_;
  std::map<std::string, size_t> by_uid_;
};

class RevisionPage {
 public:
  RevisionPage(const Desk& desk, PastRights& rights, const v2::ListRevisionsRequest& request)
      : desk_(desk), rights_(rights), request_(request), gathered_(rights, request.fqn()) {}

  // True once the page is full; `last` is then where the next begins.
  Result<bool> Fill(int64_t below, v2::ListRevisionsResponse& response, int64_t* last) {
    store::ChangesQuery query{.revisions_below = below, .limit = kBatch};
    while (true) {
      WEIR_ASSIGN(const auto changes, desk_.backends.store->Changes(query));
      for (const store::Change& change : changes) {
        if (change.revision != gathered_.number() && gathered_.number() != 0) {
          WEIR_TRY(Close(response));
          *last = change.revision + 1;
          if (Full(response)) return true;
        }
        WEIR_TRY(gathered_.Take(change));
        ++scanned_;
      }
      if (changes.size() == kBatch) {
        query.below = changes.back().place;
        continue;
      }
      WEIR_TRY(Close(response));
      return false;
    }
  }

 private:
  Status Close(v2::ListRevisionsResponse& response) {
    if (!gathered_.empty()) {
      WEIR_ASSIGN(*response.add_items(), gathered_.Render(*desk_.backends.store));
      shown_ += static_cast<size_t>(response.items(response.items_size() - 1).changes_size());
    }
    gathered_ = Fresh();
    return {};
  }
  bool Full(const v2::ListRevisionsResponse& response) const {
    return static_cast<size_t>(response.items_size()) >= PageSize(request_.page_size()) || scanned_ >= kScanned ||
           shown_ >= kShown;
  }
  Gathered Fresh() { return {rights_, request_.fqn()}; }

  const Desk& desk_;
  PastRights& rights_;
  const v2::ListRevisionsRequest& request_;
  Gathered gathered_;
  size_t scanned_ = 0, shown_ = 0;
};

Result<v2::ListRevisionsResponse> ListRevisions(const Desk& desk, CallContext& call,
                                                const v2::ListRevisionsRequest& request) {
  WEIR_TRY(CheckPage(request.page_size(), request.fqn(), false));
  const std::string question = fmt::format("revisions {} {}", request.fqn(), call.principal.uid);
  WEIR_ASSIGN(const int64_t below, Below(desk, question, request.page_token()));
  WEIR_ASSIGN(const Past::Turn turn, desk.backends.past->TakeTurn(call));
  PastRights rights(*desk.backends.store, call.principal, desk.backends.store->Read());
  v2::ListRevisionsResponse response;
  response.set_oldest_state(rights.now().history_floor());
  int64_t last = 0;
  WEIR_ASSIGN(const bool more, RevisionPage(desk, rights, request).Fill(below, response, &last));
  if (more) {
    WEIR_ASSIGN(*response.mutable_next_page_token(), desk.tokens.Make(question, std::to_string(last)));
  }
  return response;
}

Result<v2::ResourceVersion> Render(const store::Store& store, const store::StoredResource& version, bool document) {
  v2::ResourceVersion out;
  out.set_fqn(version.fqn);
  out.set_kind(version.kind);
  out.set_uid(version.uid);
  out.set_revision(version.revision);
  *out.mutable_time() = rpc::ToTimestamp(version.update_time);
  out.set_resource_version(version.etag);
  out.set_deleted(version.deleted);
  const auto revision = store.GetRevision(version.revision);
  if (!revision.ok() && revision.error().reason != "REVISION_UNKNOWN") return revision.error();
  if (revision.ok()) out.set_author(revision->principal);
  if (!document || version.deleted) return out;
  WEIR_ASSIGN(const MessagePtr message, ToMessage(version));
  out.set_document(DocumentText(*message));
  return out;
}

// Before the disk is asked: whether there can be a version under this name that he may read. Each is judged by whoever
// has the name now, or by something above it (PastRights), or by the installation.
bool MayEverRead(const store::View& now, const authn::Principal& principal, const std::string& fqn) {
  const bool bindings = resource::IsAccessBindings(fqn);
  const auto right = bindings ? authz::Right::kSetPolicy : authz::Right::kRead;
  if (authz::Authorize(now, principal, right, "").ok()) return true;
  const auto subject = resource::ParseFqn(bindings ? resource::ParentFqn(fqn) : fqn);
  for (std::string at = fqn; subject.ok() && !at.empty(); at = resource::ParentFqn(at)) {
    const store::ResourcePtr there = now.Get(at);
    if (there != nullptr && authz::AllowedOn(now, principal, right, subject->kind, *there)) return true;
  }
  return false;
}
Status CheckMayEverRead(const Desk& desk, const CallContext& call, const std::string& fqn) {
  return MayEverRead(*desk.backends.store->Read(), call.principal, fqn) ? Status() : authz::Missing(fqn);
}

// A batch ends between two revisions: the next begins with what is left here.
void LeaveLastRevision(std::vector<store::ResourcePtr>& versions) {
  const int64_t last = versions.back()->revision;
  if (versions.front()->revision == last) return;
  while (versions.back()->revision == last) versions.pop_back();
}

Result<v2::ListVersionsResponse> ListVersions(const Desk& desk, CallContext& call,
                                              const v2::ListVersionsRequest& request) {
  WEIR_TRY(CheckPage(request.page_size(), request.fqn(), true));
  WEIR_TRY(CheckMayEverRead(desk, call, request.fqn()));
  const std::string question = fmt::format("versions {} {}", request.fqn(), call.principal.uid);
  WEIR_ASSIGN(int64_t below, Below(desk, question, request.page_token()));
  WEIR_ASSIGN(const Past::Turn turn, desk.backends.past->TakeTurn(call));
  const store::Store& store = *desk.backends.store;
  PastRights rights(store, call.principal, store.Read());
  v2::ListVersionsResponse response;
  const size_t page_size = PageSize(request.page_size());
  for (size_t scanned = 0; scanned < kScanned;) {
    WEIR_ASSIGN(auto versions, store.History(request.fqn(), kBatch, below));
    const bool end = versions.size() < kBatch;
    if (!end) LeaveLastRevision(versions);
    std::string_view before;
    for (size_t i = 0; i < versions.size(); ++i) {
      const store::StoredResource& version = *versions[i];
      const bool same = i > 0 && version.revision == versions[i - 1]->revision;
      if (same && version.uid == before) continue;  // Within one write: nobody ever saw it.
      before = version.uid;
      if (!same && static_cast<size_t>(response.items_size()) >= page_size) {
        WEIR_ASSIGN(*response.mutable_next_page_token(),
                    desk.tokens.Make(question, std::to_string(version.revision + 1)));
        return response;
      }
      WEIR_ASSIGN(const bool may, rights.MayRead(version));
      if (!may) continue;
      WEIR_ASSIGN(*response.add_items(), Render(store, version, false));
    }
    scanned += versions.size();
    if (end) break;
    below = versions.back()->revision;
  }
  if (response.items().empty() && request.page_token().empty()) return authz::Missing(request.fqn());
  return response;
}

Result<v2::ResourceVersion> GetResourceAt(const Desk& desk, CallContext& call,
                                          const v2::GetResourceAtRequest& request) {
  WEIR_TRY(CheckPage(0, request.fqn(), true));
  WEIR_TRY(CheckMayEverRead(desk, call, request.fqn()));
  WEIR_ASSIGN(const Past::Turn turn, desk.backends.past->TakeTurn(call));
  WEIR_ASSIGN(const int64_t revision, desk.backends.past->Resolve("asOf", request.as_of_revision(),
                                                                  request.has_as_of_time(), request.as_of_time()));
  WEIR_ASSIGN(const store::ViewPtr then, desk.backends.past->ViewAt(call, turn, revision));
  PastRights rights(*desk.backends.store, call.principal, desk.backends.store->Read());
  WEIR_ASSIGN(const store::ResourcePtr version, rights.Seen(*then, request.fqn()));
  if (version == nullptr) return authz::Missing(request.fqn());
  return Render(*desk.backends.store, *version, true);
}

Result<v2::DiffResourceResponse> DiffResource(const Desk& desk, CallContext& call,
                                              const v2::DiffResourceRequest& request) {
  WEIR_TRY(CheckPage(0, request.fqn(), true));
  WEIR_TRY(CheckMayEverRead(desk, call, request.fqn()));
  WEIR_ASSIGN(const Past::Turn turn, desk.backends.past->TakeTurn(call));
  WEIR_ASSIGN(const int64_t from, desk.backends.past->Resolve("from", request.from_revision(), request.has_from_time(),
                                                              request.from_time()));
  WEIR_ASSIGN(const int64_t to,
              desk.backends.past->Resolve("to", request.to_revision(), request.has_to_time(), request.to_time()));
  WEIR_ASSIGN(const store::ViewPtr before, desk.backends.past->ViewAt(call, turn, from));
  WEIR_ASSIGN(const store::ViewPtr after, desk.backends.past->ViewAt(call, turn, to));
  PastRights rights(*desk.backends.store, call.principal, desk.backends.store->Read());
  WEIR_ASSIGN(const store::ResourcePtr was, rights.Seen(*before, request.fqn()));
  WEIR_ASSIGN(const store::ResourcePtr is, rights.Seen(*after, request.fqn()));
  if (was == nullptr && is == nullptr) return authz::Missing(request.fqn());
  v2::DiffResourceResponse response;
  response.set_fqn(request.fqn());
  response.set_from_revision(from);
  response.set_to_revision(to);
  MessagePtr from_message, to_message;
  if (was != nullptr) {
    response.set_from_uid(was->uid);
    WEIR_ASSIGN(from_message, ToMessage(*was));
  }
  if (is != nullptr) {
    response.set_to_uid(is->uid);
    WEIR_ASSIGN(to_message, ToMessage(*is));
  }
  for (v2::FieldDifference& field : FieldDifferences(from_message.get(), to_message.get())) {
    *response.add_fields() = std::move(field);
  }
  return response;
}

template <typename Request, typename Response>
void Add(MethodTable& table, const std::shared_ptr<Desk>& desk, const std::string& name,
         Result<Response> (*function)(const Desk&, CallContext&, const Request&)) {
  table.Add<Request, Response>(
      "weir.v2.Revisions." + name,
      [desk, function](CallContext& call, const Request& request) { return function(*desk, call, request); });
}

}  // namespace

void AddRevisions(MethodTable& table, const Backends& backends) {
  const auto desk = std::make_shared<Desk>(Desk{backends, PageTokens(*backends.store)});
  Add(table, desk, "ListRevisions", ListRevisions);
  Add(table, desk, "ListVersions", ListVersions);
  Add(table, desk, "GetResourceAt", GetResourceAt);
  Add(table, desk, "DiffResource", DiffResource);
}

}  // namespace weir::services
