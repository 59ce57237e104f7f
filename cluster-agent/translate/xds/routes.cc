#include "cluster-agent/translate/xds/envoy.h"
#include "envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.pb.h"

namespace weir::agent::envoy_v3 {
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

// What our engine does by itself (one move to another endpoint), as near as Envoy has fields for it.
void AddRetry(route::RetryPolicy* retry) {
  retry->set_retry_on("connect-failure,refused-stream");
  retry->mutable_num_retries()->set_value(3);
  retry->set_host_selection_retry_max_attempts(5);
  auto* predicate = retry->add_retry_host_predicate();
  predicate->set_name("envoy.retry_host_predicates.previous_hosts");
  Pack(::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate(),
       predicate->mutable_typed_config());
}

void SetAction(const mesh::v1::Route& from, const Intent& intent, NodeProfile profile, route::Route* to) {
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
  if (!intent.destination_sets.contains(from.destination_set())) {
    to->mutable_direct_response()->set_status(503);
    return;
  }
  auto* action = to->mutable_route();
  action->set_cluster(from.destination_set());
  if (from.has_timeout())
    *action->mutable_timeout() = from.timeout();
  else
    SetMilliseconds(15'000, action->mutable_timeout());
  if (profile.hardened) AddRetry(action->mutable_retry_policy());
}

}  // namespace

void MakeVirtualHost(const std::string& name, const mesh::v1::Host& host, const Intent& intent, NodeProfile profile,
                     route::VirtualHost* out) {
  out->set_name(name);
  out->add_domains(host.hostname());
  for (const mesh::v1::Route& from : host.routes()) {
    const auto add = [&]() {
      auto* to = out->add_routes();
      to->set_name(from.name());
      SetAction(from, intent, profile, to);
      return to->mutable_match();
    };
    if (from.match().empty()) add()->set_prefix("/");
    for (const mesh::v1::RouteMatch& match : from.match()) {
      auto* to = add();
      if (match.has_exact())
        to->set_path(match.exact());
      else
        to->set_prefix(match.has_prefix() ? match.prefix() : "/");
    }
  }
}

}  // namespace weir::agent::envoy_v3
