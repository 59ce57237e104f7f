#include "api/weir/v2/cluster.pb.h"
#include "libs/identity/certificates.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/ca/join_tokens.h"
#include "mgmt-server/services/crud.h"
#include "mgmt-server/services/services.h"

namespace weir::services {
namespace {

Result<v2::JoinToken> CreateJoinToken(const Backends& backends, CallContext& call,
                                      const v2::CreateJoinTokenRequest& request) {
  WEIR_ASSIGN(const resource::Fqn fqn, ParseFqnOf(resource::Kind::kCluster, request.fqn()));
  const int32_t ttl = request.ttl_seconds() == 0 ? 900 : request.ttl_seconds();
  if (ttl < 1 || ttl > 86400) {
    Error error = InvalidArgument("INVALID_REQUEST", "lifetime out of range");
    error.violations.push_back({.field = "ttlSeconds", .description = "must be 1 to 86400"});
    return error;
  }
  return backends.store->Write([&](store::Txn& txn) -> Result<v2::JoinToken> {
    WEIR_ASSIGN(const authz::Decision decision,
                authz::Authorize(txn.view(), call.principal, authz::Right::kWrite, fqn.text));
    const store::ResourcePtr cluster = txn.Get(fqn.text);
    if (cluster == nullptr) return authz::Missing(fqn.text);
    const ca::NewJoinToken minted =
        ca::MintJoinToken(fqn.text, backends.root_sha256, *backends.clock, std::chrono::seconds(ttl));
    WEIR_TRY(txn.PutJoinToken({.token_hash = minted.record.hash,
                               .cluster_uid = cluster->uid,
                               .created = txn.now(),
                               .expires = WallTime(std::chrono::seconds(minted.record.expires_unix_seconds)),
                               .used = false}));
    WEIR_TRY(Record(txn, call, "create-join-token", cluster.get(), cluster.get(), decision.path));
    v2::JoinToken token;
    token.set_token(minted.text);
    token.mutable_expire_time()->set_seconds(minted.record.expires_unix_seconds);
    return token;
  });
}

}  // namespace

void AddClusters(MethodTable& table, const Backends& backends, Writes& writes) {
  AddCrud(table, backends, writes, resource::Kind::kCluster);
  table.Add<v2::CreateJoinTokenRequest, v2::JoinToken>(
      "weir.v2.JoinTokens.CreateJoinToken", [&backends](CallContext& call, const v2::CreateJoinTokenRequest& request) {
        return CreateJoinToken(backends, call, request);
      });
}

}  // namespace weir::services
