#include <google/protobuf/message.h>

#include <algorithm>
#include <map>
#include <optional>

#include "api/weir/v2/metadata.pb.h"
#include "api/weir/v2/search.pb.h"
#include "api/weir/v2/service.pb.h"
#include "libs/base/text.h"
#include "libs/resource/gateways.h"
#include "libs/resource/kinds.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/services/page_tokens.h"
#include "mgmt-server/services/registry.h"
#include "mgmt-server/services/services.h"

namespace weir::services {
namespace {

// `piece` is in lower case.
bool Holds(std::string_view text, std::string_view piece) {
  return std::search(text.begin(), text.end(), piece.begin(), piece.end(),
                     [](char a, char b) { return AsciiLower(a) == b; }) != text.end();
}

// What a resource shows of the text that is looked for; nullopt = nothing.
std::optional<v2::SearchHit> HitOf(const store::StoredResource& resource, const std::string& piece) {
  const resource::KindInfo* kind = resource::FindKind(resource.kind);
  std::shared_ptr<google::protobuf::Message> message = kind == nullptr ? nullptr : resource::NewMessage(kind->kind);
  if (message == nullptr || !message->ParseFromString(resource.body)) return std::nullopt;
  const v2::Metadata& metadata = resource::MetadataOf(*message);
  v2::SearchHit hit;
  hit.set_fqn(resource.fqn);
  hit.set_kind(kind->name);
  hit.set_display_name(metadata.display_name());
  const auto found = [&](const char* field, std::string_view text) {
    if (!Holds(text, piece)) return false;
    hit.set_field(field);
    hit.set_text(std::string(text));
    return true;
  };
  if (found("name", resource::LastName(resource.fqn)) || found("displayName", metadata.display_name())) return hit;
  const std::map<std::string, std::string> labels(metadata.labels().begin(), metadata.labels().end());
  for (const auto& [key, value] : labels) {
    if (found("label", fmt::format("{}={}", key, value))) return hit;
  }
  const resource::GatewayForm form = resource::FormOf(message);
  if (form.gateway == nullptr) return std::nullopt;
  for (const v2::HttpServer& server : form.gateway->spec().http()) {
    if (found("host", server.hostname())) return hit;
  }
  return std::nullopt;
}

std::optional<v2::SearchHit> HitOf(const std::string& fqn, const v2::Service& service, const std::string& piece) {
  v2::SearchHit hit;
  hit.set_fqn(fqn);
  hit.set_kind("Service");
  const bool named = Holds(resource::LastName(fqn), piece);
  const auto& hosts = service.state().hosts();
  const auto host = std::find_if(hosts.begin(), hosts.end(), [&](const auto& each) { return Holds(each, piece); });
  if (!named && host == hosts.end()) return std::nullopt;
  hit.set_field(named ? "name" : "host");
  hit.set_text(named ? std::string(resource::LastName(fqn)) : *host);
  return hit;
}

// Exact names, then those that begin so, then all others; each by FQN.
std::string KeyOf(const v2::SearchHit& hit, const std::string& piece) {
  const std::string_view name = resource::LastName(hit.fqn());
  const char rank = name == piece ? '0' : name.starts_with(piece) ? '1' : '2';
  return std::string(1, rank) + hit.fqn();
}

Status CheckRequest(const v2::SearchRequest& request) {
  Error error = InvalidArgument("INVALID_REQUEST", "the question cannot be answered");
  const auto violate = [&](const char* field, const char* text) { error.violations.push_back({field, text, 0, 0}); };
  if (request.q().size() < 2 || request.q().size() > 128 || HasControl(request.q(), false)) {
    violate("q", "must be 2 to 128 bytes of text");
  }
  if (request.page_size() < 0 || request.page_size() > 100) violate("pageSize", "must be 1 to 100");
  if (!request.parent().empty() && !resource::ParseFqn(request.parent()).ok()) {
    violate("parent", "must be the full name of a resource, like organizations/o/tenants/t");
  }
  if (error.violations.empty()) return {};
  return error;
}

// The first `most` hits behind `after` in the order of their keys, of what the caller may read.
std::map<std::string, v2::SearchHit> FirstHits(const store::View& view, const CallContext& call,
                                               const v2::SearchRequest& request, const std::string& piece,
                                               const std::string& after, size_t most, const store::View& services) {
  std::map<std::string, v2::SearchHit> first;
  const auto take = [&](std::optional<v2::SearchHit> hit) {
    if (!hit) return;
    std::string key = KeyOf(*hit, piece);
    if (!after.empty() && key <= after) return;
    first.emplace(std::move(key), std::move(*hit));
    if (first.size() > most) first.erase(std::prev(first.end()));
  };
  // "key=value" stands nowhere as one text.
  const std::string_view rough = std::string_view(piece).substr(0, piece.find('='));
  const auto look = [&](const store::ResourcePtr& resource) {
    if (resource->kind == authz::kBindingsKind) return true;
    if (!Holds(resource->fqn, rough) && !Holds(resource->body, rough)) return true;  // Without reading it.
    if (!authz::Allowed(view, call.principal, authz::Right::kRead, *resource)) return true;
    take(HitOf(*resource, piece));
    return true;
  };
  if (const store::ResourcePtr top = view.Get(request.parent()); top != nullptr) look(top);
  view.ForEach(request.parent(), "", look);
  ServiceSight sight(view, call.principal);
  services.ForEach(request.parent(), "", [&](const store::ResourcePtr& resource) {
    v2::Service service;
    if (!Holds(resource->fqn, piece) && !Holds(resource->body, piece)) return true;
    if (!service.ParseFromString(resource->body)) return true;
    if (sight.Narrow(resource::ParentFqn(resource->fqn), service)) take(HitOf(resource->fqn, service, piece));
    return true;
  });
  return first;
}

Result<v2::SearchResponse> Find(const Backends& backends, Registry& registry, const PageTokens& tokens,
                                CallContext& call, const v2::SearchRequest& request) {
  WEIR_TRY(CheckRequest(request));
  const std::string piece = AsciiLower(request.q());
  const PageTokens::Question question =
      fmt::format("search {} {} {}:{}", call.principal.uid, request.parent(), piece.size(), piece);
  std::string after;
  if (!request.page_token().empty()) {
    WEIR_ASSIGN(after, tokens.Open(question, request.page_token()));
  }
  const int page_size = request.page_size() == 0 ? 20 : request.page_size();
  v2::SearchResponse response;
  std::string last;
  const store::ViewPtr view = backends.store->Read();
  // Before any work, which would tell how much there is.
  if (!request.parent().empty() && !authz::SeesBelow(*view, call.principal, request.parent()) &&
      !authz::Authorize(*view, call.principal, authz::Right::kRead, request.parent()).ok()) {
    return response;
  }
  const store::ViewPtr services = registry.Of(*view);
  for (auto& [key, hit] :
       FirstHits(*view, call, request, piece, after, static_cast<size_t>(page_size) + 1, *services)) {
    if (response.items_size() == page_size) {
      WEIR_ASSIGN(*response.mutable_next_page_token(), tokens.Make(question, last));
      break;
    }
    *response.add_items() = std::move(hit);
    last = key;
  }
  return response;
}

}  // namespace

void AddSearch(MethodTable& table, const Backends& backends, std::shared_ptr<Registry> registry) {
  const auto tokens = std::make_shared<const PageTokens>(*backends.store);
  table.Add<v2::SearchRequest, v2::SearchResponse>(
      "weir.v2.Search.Search", [&backends, registry, tokens](CallContext& call, const v2::SearchRequest& request) {
        return Find(backends, *registry, *tokens, call, request);
      });
}

}  // namespace weir::services
