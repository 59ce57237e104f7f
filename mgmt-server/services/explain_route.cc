#include <algorithm>
#include <map>
#include <optional>

#include "api/weir/v2/traffic.pb.h"
#include "libs/resource/kinds.h"
#include "libs/rpc/time.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/services/past.h"
#include "mgmt-server/services/services.h"
#include "mgmt-server/status/asked_request.h"
#include "mgmt-server/store/store.h"

namespace weir::services {
namespace {

constexpr int kMostHeaders = 100;
constexpr size_t kMostText = 64 * 1024;  // Of a request: more than any gateway takes.
constexpr int kMostItems = 200;
constexpr int kMostChanges = 8;         // Of one item.
constexpr size_t kMostLookedAt = 1000;  // Changes of one revision; of a larger one nobody is told the message.
constexpr Duration kPatience = std::chrono::seconds(2);

bool HasControl(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) { return c == '\r' || c == '\n' || c == '\0'; });
}

// Part of the first line: a blank would make two of it.
void CheckWord(std::string_view field, std::string_view text, std::vector<FieldViolation>& violations) {
  if (!HasControl(text) && text.find_first_of(" \t") == std::string_view::npos) return;
  violations.push_back({.field = std::string(field), .description = "must not hold blanks or control characters"});
}

Status CheckAsked(const v2::ExplainRouteRequest& request) {
  Error error = InvalidArgument("INVALID_REQUEST", "this cannot be asked");
  if (request.host().empty()) error.violations.push_back({.field = "host", .description = "required"});
  CheckWord("host", request.host(), error.violations);
  CheckWord("path", request.path(), error.violations);
  CheckWord("method", request.method(), error.violations);
  size_t size = request.path().size() + request.host().size() + request.method().size();
  for (int i = 0; i < request.headers_size(); ++i) {
    const std::string& line = request.headers(i);
    size += line.size();
    const size_t colon = line.find(':');
    const std::string field = fmt::format("headers[{}]", i);
    if (colon == std::string::npos || colon == 0 || HasControl(line)) {
      error.violations.push_back({.field = field, .description = "must be one line: \"name: value\""});
    }
  }
  if (request.headers_size() > kMostHeaders) {
    error.violations.push_back({.field = "headers", .description = fmt::format("at most {}", kMostHeaders)});
  }
  if (size > kMostText) {
    error.violations.push_back({.field = "path", .description = "path and headers together: at most 64 KiB"});
  }
  if (error.violations.empty()) return {};
  return error;
}

// What the caller may see of the documents that the answer is from, each asked once.
class Sight {
 public:
  Sight(const Backends& backends, const authn::Principal& principal, store::ViewPtr now, store::ViewPtr shown)
      : backends_(backends), rights_(*backends.store, principal, std::move(now)), shown_(std::move(shown)) {}

  // Null = it is not there, or he may not see it.
  Result<store::ResourcePtr> Seen(const std::string& fqn) {
    const auto known = seen_.find(fqn);
    if (known != seen_.end()) return known->second;
    WEIR_ASSIGN(store::ResourcePtr resource, rights_.Seen(*shown_, fqn));
    return seen_[fqn] = std::move(resource);
  }

  // Who wrote last what is there under this name; nullopt = not his to see.
  Result<std::optional<v2::ExplainedChange>> ChangeOf(const std::string& fqn) {
    WEIR_ASSIGN(const store::ResourcePtr resource, Seen(fqn));
    if (resource == nullptr) return std::optional<v2::ExplainedChange>();
    v2::ExplainedChange change;
    change.set_fqn(fqn);
    change.set_revision(resource->revision);
    const auto revision = backends_.store->GetRevision(resource->revision);
    if (!revision.ok()) {
      if (revision.error().code == Code::kOutOfRange || revision.error().code == Code::kNotFound) return {change};
      return revision.error();
    }
    *change.mutable_time() = rpc::ToTimestamp(revision->time);
    change.set_author(revision->principal);
    WEIR_ASSIGN(const bool whole, SeesWhole(resource->revision));
    if (whole) change.set_message(revision->message);
    return {change};
  }

 private:
  Result<bool> SeesWhole(int64_t revision) {
    const auto known = whole_.find(revision);
    if (known != whole_.end()) return known->second;
    WEIR_ASSIGN(const auto changes,
                backends_.store->Changes({.revisions_below = revision + 1, .limit = kMostLookedAt}));
    bool whole = changes.empty() || changes.size() < kMostLookedAt || changes.back().revision != revision;
    for (const store::Change& change : changes) {
      if (!whole || change.revision != revision) break;
      WEIR_ASSIGN(whole, rights_.May(authz::Right::kRead, change.fqn, change.uid, change.revision));
    }
    return whole_[revision] = whole;
  }

  const Backends& backends_;
  PastRights rights_;
  const store::ViewPtr shown_;
  std::map<std::string, store::ResourcePtr> seen_;
  std::map<int64_t, bool> whole_;
};

bool IsObject(const std::string& from) { return from.find('/') != std::string::npos; }

Status CheckFrom(const status::AskedRequest& asked, Sight& sight) {
  if (!IsObject(asked.from)) return {};
  WEIR_ASSIGN(const store::ResourcePtr gateway, sight.Seen(asked.from));
  return gateway == nullptr ? authz::Missing(asked.from) : Status();
}

// Why the answer is empty. A cluster that he may not read is, as a word of his, as one that never was.
Error NothingSeen(const status::AskedRequest& asked, bool earlier, Sight& sight) {
  if (!asked.from.empty() && !IsObject(asked.from)) {
    const auto cluster = sight.Seen(resource::ClusterFqn(resource::OrganizationFqn(asked.parent), asked.from));
    if (!cluster.ok()) return cluster.error();
    if (*cluster == nullptr) {
      Error error = InvalidArgument("INVALID_REQUEST", "there is no cluster {} that you may read about", asked.from);
      error.violations.push_back(
          {.field = "from",
           .description = fmt::format("\"{}\" is no cluster that you may read about, and none of your gateways there "
                                      "serves {}; a gateway object is named by its FQN",
                                      asked.from, asked.authority)});
      return error;
    }
  }
  return NotFound(
      "HOST_UNKNOWN",
      "no gateway that you may read about serves {} in {}{}; a gateway that does not know a host answers 404 "
      "no_such_host{}",
      asked.authority, asked.parent, asked.from.empty() ? "" : " at " + asked.from,
      earlier ? ". Of a namespace that its workspace has lost since then nothing is told" : "");
}

const std::string& SourceOf(const v2::ExplainedRoute& item) {
  return item.has_rule() ? item.rule().source() : item.source();
}

// Leaves of an item what the caller may see.
Status Finish(Sight& sight, v2::ExplainedRoute& item) {
  for (v2::ExplainedShare& share : *item.mutable_shares()) {
    google::protobuf::RepeatedPtrField<v2::ExplainedHop> hops;
    hops.Swap(share.mutable_hops());
    for (v2::ExplainedHop& hop : hops) {
      WEIR_ASSIGN(const store::ResourcePtr source, sight.Seen(hop.rule().source()));
      if (source != nullptr) *share.add_hops() = std::move(hop);
    }
  }
  std::vector<v2::ExplainedChange> changes;
  for (const v2::ExplainedChange& part : item.changes()) {
    WEIR_ASSIGN(std::optional<v2::ExplainedChange> change, sight.ChangeOf(part.fqn()));
    if (change) changes.push_back(std::move(*change));
  }
  std::stable_sort(changes.begin(), changes.end(),
                   [](const auto& a, const auto& b) { return a.revision() > b.revision(); });
  if (changes.size() > kMostChanges) changes.resize(kMostChanges);
  *item.mutable_changes() = {changes.begin(), changes.end()};
  return {};
}

Result<v2::ExplainRouteResponse> Explain(const Backends& backends, CallContext& call,
                                         const v2::ExplainRouteRequest& request) {
  const store::ViewPtr now = backends.store->Read();
  // The right before all else: who may not ask learns of no name whether it is there.
  if (!authz::SeesBelow(*now, call.principal, request.parent())) {
    WEIR_TRY(authz::Authorize(*now, call.principal, authz::Right::kRead, request.parent()));
  }
  WEIR_TRY(CheckAsked(request));
  const status::AskedRequest asked = status::ReadAsked(request);
  const bool earlier = request.as_of_revision() != 0 || request.has_as_of_time();
  WEIR_ASSIGN(const Past::Turn turn, backends.past->TakeTurn(call));
  store::ViewPtr shown = now;
  if (earlier) {
    WEIR_ASSIGN(const int64_t revision, backends.past->Resolve("asOf", request.as_of_revision(),
                                                               request.has_as_of_time(), request.as_of_time()));
    WEIR_ASSIGN(shown, backends.past->ViewAt(call, turn, revision));
  }
  Sight sight(backends, call.principal, now, shown);
  WEIR_TRY(CheckFrom(asked, sight));
  WEIR_ASSIGN(std::vector<v2::ExplainedRoute> items,
              backends.fleet->ExplainRoute(asked, earlier ? shown : nullptr, backends.clock->Now() + kPatience));
  v2::ExplainRouteResponse response;
  response.set_revision(shown->revision());
  for (v2::ExplainedRoute& item : items) {
    WEIR_ASSIGN(const store::ResourcePtr source, sight.Seen(SourceOf(item)));
    if (source == nullptr) continue;
    if (response.items_size() == kMostItems) {
      response.set_more_items(response.more_items() + 1);
      continue;
    }
    WEIR_TRY(Finish(sight, item));
    *response.add_items() = std::move(item);
  }
  if (response.items().empty()) return NothingSeen(asked, earlier, sight);
  return response;
}

}  // namespace

void AddExplainRoute(MethodTable& table, const Backends& backends) {
  table.Add<v2::ExplainRouteRequest, v2::ExplainRouteResponse>(
      "weir.v2.Traffic.ExplainRoute", [&backends](CallContext& call, const v2::ExplainRouteRequest& request) {
        return Explain(backends, call, request);
      });
}

}  // namespace weir::services
