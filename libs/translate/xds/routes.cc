#include "envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.pb.h"
#include "envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config.pb.h"
#include "libs/dialect/dialect.h"
#include "libs/traffic/reason.h"
#include "libs/translate/xds/envoy.h"

namespace weir::translate::envoy_v3 {
namespace {

route::RedirectAction::RedirectResponseCode RedirectCode(uint32_t code) {
  switch (code) {
    case 302:
      return route::RedirectAction::FOUND;
    case 303:
      return route::RedirectAction::SEE_OTHER;
    case 307:
      return route::RedirectAction::TEMPORARY_REDIRECT;
    case 308:
      return route::RedirectAction::PERMANENT_REDIRECT;
    default:
      return route::RedirectAction::MOVED_PERMANENTLY;
  }
}

constexpr std::string_view kOnFailure = "connect-failure,refused-stream,retriable-headers";
constexpr std::string_view kOnAnything = "connect-failure,refused-stream,retriable-headers,reset,gateway-error";
constexpr std::string_view kOnLoss = "connect-failure,refused-stream,retriable-headers,reset";

// What our engine does by itself (one move to another cluster), as near as Envoy has fields for it. Envoy leaves out
// hosts, not clusters, and picks by weight until it finds another: so more attempts, and many picks for each.
void AddRetry(std::string_view retry_on, const mesh::v1::DestinationSet& set, route::RetryPolicy* retry) {
  retry->set_retry_on(std::string(retry_on));
  retry->mutable_num_retries()->set_value(3);
  retry->set_host_selection_retry_max_attempts(100);
  SetMilliseconds(2, retry->mutable_retry_back_off()->mutable_base_interval());
  SetMilliseconds(20, retry->mutable_retry_back_off()->mutable_max_interval());
  // What the next tier says reached nobody is repeated whatever it does.
  for (const traffic::Reason reason : {traffic::Reason::kNoClusterCanServe, traffic::Reason::kConnectFailed}) {
    auto* header = retry->add_retriable_headers();
    header->set_name(std::string(dialect::kReasonHeader));
    header->mutable_string_match()->set_exact(std::string(Word(reason)));
  }
  auto* predicate = retry->add_retry_host_predicate();
  predicate->set_name("envoy.retry_host_predicates.previous_hosts");
  Pack(::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate(),
       predicate->mutable_typed_config());
  if (!OneBeforeOthers(set)) return;
  ::envoy::extensions::retry::priority::previous_priorities::v3::PreviousPrioritiesConfig others;
  others.set_update_frequency(1);
  retry->mutable_retry_priority()->set_name("envoy.retry_priorities.previous_priorities");
  Pack(others, retry->mutable_retry_priority()->mutable_typed_config());
}

// Envoy decides by the route what may be repeated: the same route three times, for safe methods, for requests that say
// so themselves, and for the rest.
void AddRepeatable(const route::Route& plain, const mesh::v1::Route& from, const mesh::v1::DestinationSet& set,
                   route::VirtualHost* out) {
  const std::string_view safe = set.has_service() ? kOnLoss : kOnAnything;
  const auto add = [&](std::string_view retry_on) {
    auto* to = out->add_routes();
    *to = plain;
    AddRetry(retry_on, set, to->mutable_route()->mutable_retry_policy());
    return to;
  };
  if (from.idempotent()) {
    add(safe);
    return;
  }
  auto* method = add(safe)->mutable_match()->add_headers();
  method->set_name(":method");
  method->mutable_string_match()->mutable_safe_regex()->set_regex("GET|HEAD|OPTIONS|TRACE");
  auto* key = add(safe)->mutable_match()->add_headers();
  key->set_name("idempotency-key");
  key->set_present_match(true);
  add(kOnFailure);
}

// From outside nothing below this path is answered.
void HideOwnPaths(route::VirtualHost* out) {
  auto* to = out->add_routes();
  to->mutable_match()->set_path_separated_prefix(std::string(dialect::kOwnPaths));
  to->mutable_direct_response()->set_status(404);
}

// Said in full: Envoy cuts each answer after 15 s where a route is silent.
void SetTimes(const mesh::v1::Route& from, route::RouteAction* action) {
  SetMilliseconds(0, action->mutable_timeout());
  if (from.has_timeout()) *action->mutable_timeout() = from.timeout();
  if (from.has_idle_timeout()) {
    *action->mutable_idle_timeout() = from.idle_timeout();
  } else if (from.timeout().seconds() * 1'000 > kIdleMs) {
    *action->mutable_idle_timeout() =
        from.timeout();  // Whoever waits that long for the whole waits for its first byte.
  }
}

// `set`: where it leads; null: nowhere (yet).
void SetAction(const mesh::v1::Route& from, const mesh::v1::DestinationSet* set, route::Route* to) {
  if (from.has_redirect()) {
    auto* redirect = to->mutable_redirect();
    if (!from.redirect().authority().empty()) redirect->set_host_redirect(from.redirect().authority());
    if (!from.redirect().path().empty()) redirect->set_path_redirect(from.redirect().path());
    redirect->set_response_code(RedirectCode(from.redirect().code()));
    return;
  }
  if (from.has_direct_response()) {
    to->mutable_direct_response()->set_status(from.direct_response().status());
    if (!from.direct_response().body().empty()) {
      to->mutable_direct_response()->mutable_body()->set_inline_string(from.direct_response().body());
    }
    return;
  }
  if (set == nullptr) {
    to->mutable_direct_response()->set_status(503);
    return;
  }
  auto* action = to->mutable_route();
  action->set_cluster(DestinationName(*set));
  SetTimes(from, action);
  if (from.idempotent()) WeirMetadataValue(dialect::key::kIdempotent, to->mutable_metadata()).set_bool_value(true);
}

}  // namespace

void MakeVirtualHost(const HostInput& input, route::VirtualHost* out) {
  const mesh::v1::Host& host = *input.host.message;
  const NodeProfile& profile = input.profile;
  out->set_name(input.name);
  out->add_domains(host.hostname());
  if (host.on_mesh() && !profile.stock_envoy) {
    auto* callers = WeirMetadataValue(dialect::key::kCallers, out->mutable_metadata()).mutable_list_value();
    std::set<std::string> ids(host.allowed_callers().begin(), host.allowed_callers().end());
    ids.insert(input.also.begin(), input.also.end());
    for (const std::string& caller : ids) callers->add_values()->set_string_value(caller);
  }
  if (profile.stock_envoy) HideOwnPaths(out);
  size_t next = 0;
  for (const mesh::v1::Route& from : host.routes()) {
    const mesh::v1::DestinationSet* set = from.has_destination_set() ? input.sets[next++].message.get() : nullptr;
    const auto add = [&](const mesh::v1::RouteMatch& match) {
      route::Route to;
      to.set_name(from.name());
      if (match.has_exact())
        to.mutable_match()->set_path(match.exact());
      else
        to.mutable_match()->set_prefix(match.has_prefix() ? match.prefix() : "/");
      SetAction(from, set, &to);
      if (profile.stock_envoy && set != nullptr)
        AddRepeatable(to, from, *set, out);
      else
        *out->add_routes() = std::move(to);
    };
    if (from.match().empty()) add({});
    for (const mesh::v1::RouteMatch& match : from.match()) add(match);
  }
}

}  // namespace weir::translate::envoy_v3
