#include "api/weir/v2/session.pb.h"
#include "libs/base/admission.h"
#include "mgmt-server/audit/audit.h"
#include "mgmt-server/authn/authn.h"
#include "mgmt-server/services/services.h"
#include "mgmt-server/store/store.h"

namespace weir::services {
namespace {

Status RecordSession(const Backends& backends, const CallContext& call, const authn::Principal& who,
                     const char* action) {
  return backends.store->Write([&](store::Txn& txn) {
    return audit::Append(txn, {.principal = who.fqn,
                               .principal_uid = who.uid,
                               .action = action,
                               .fqn = who.fqn,
                               .uid = who.uid,
                               .before_etag = "",
                               .after_etag = "",
                               .path = "",
                               .peer = call.peer,
                               .request_id = call.request_id});
  });
}

v2::LoginResponse Answer(const authn::Login& login) {
  v2::LoginResponse response;
  response.set_token(login.token);
  response.mutable_expire_time()->set_seconds(
      std::chrono::duration_cast<std::chrono::seconds>(login.expires.time_since_epoch()).count());
  return response;
}

}  // namespace

void AddSessions(MethodTable& table, const Backends& backends) {
  using google::protobuf::Empty;
  table.Add<v2::LoginRequest, v2::LoginResponse>(
      "weir.v2.Sessions.Login",
      [&backends](CallContext& call, const v2::LoginRequest& request) -> Result<v2::LoginResponse> {
        WEIR_ASSIGN(const authn::Login login,
                    backends.authn->LogIn(request.organization(), request.user(), request.password(),
                                          SourceOf(call.peer), &call.retry_after));
        WEIR_TRY(RecordSession(backends, call, login.principal, "login"));
        return Answer(login);
      },
      /*anonymous=*/true);
  table.Add<v2::ExchangeAssertionRequest, v2::LoginResponse>(
      "weir.v2.Sessions.ExchangeAssertion",
      [&backends](CallContext& call, const v2::ExchangeAssertionRequest& request) -> Result<v2::LoginResponse> {
        WEIR_ASSIGN(const authn::Login login,
                    backends.authn->LogInByAssertion(request.assertion(), "weir-server:" + backends.anchor_sha256,
                                                     SourceOf(call.peer), &call.retry_after));
        WEIR_TRY(RecordSession(backends, call, login.principal, "login"));
        return Answer(login);
      },
      /*anonymous=*/true);
  table.Add<Empty, Empty>("weir.v2.Sessions.Logout", [&backends](CallContext& call, const Empty&) -> Result<Empty> {
    WEIR_TRY(backends.authn->LogOut(call.token));
    WEIR_TRY(RecordSession(backends, call, call.principal, "logout"));
    return Empty();
  });
  table.Add<Empty, v2::WhoAmIResponse>("weir.v2.Sessions.WhoAmI",
                                       [](CallContext& call, const Empty&) -> Result<v2::WhoAmIResponse> {
                                         v2::WhoAmIResponse response;
                                         response.set_fqn(call.principal.fqn);
                                         return response;
                                       });
}

}  // namespace weir::services
