#include "api/weir/v2/cluster.pb.h"
#include "libs/identity/certificates.h"
#include "mgmt-server/authz/authz.h"
#include "mgmt-server/ca/generations.h"
#include "mgmt-server/ca/join_tokens.h"
#include "mgmt-server/services/crud.h"
#include "mgmt-server/services/kept_answers.h"
#include "mgmt-server/services/services.h"

namespace weir::services {
namespace {

// How long an expired token is kept, so that whoever still tries it is told that it has expired.
constexpr std::chrono::hours kRemembered(24);

Result<v2::JoinToken> CreateJoinToken(const Backends& backends, CallContext& call,
                                      const v2::CreateJoinTokenRequest& request) {
  WEIR_ASSIGN(const resource::Fqn fqn, ParseFqnOf(resource::Kind::kCluster, request.fqn()));
  const int32_t ttl = request.ttl_seconds() == 0 ? 900 : request.ttl_seconds();
  if (ttl < 1 || ttl > 86400) {
    Error error = InvalidArgument("INVALID_REQUEST", "lifetime out of range");
    error.violations.push_back({.field = "ttlSeconds", .description = "must be 1 to 86400"});
    return error;
  }
  return backends.Write(call, [&](store::Txn& txn) -> Result<v2::JoinToken> {
    WEIR_ASSIGN(const authz::Decision decision,
                authz::Authorize(txn.view(), call.principal, authz::Right::kJoin, fqn.text));
    const store::ResourcePtr cluster = txn.Get(fqn.text);
    if (cluster == nullptr) return authz::Missing(fqn.text);
    const ca::NewJoinToken minted =
        ca::MintJoinToken(fqn.text, backends.anchor_sha256, *backends.clock, std::chrono::seconds(ttl));
    WEIR_TRY(txn.DeleteJoinTokensBefore(txn.now() - kRemembered));
    WEIR_TRY(txn.PutJoinToken({.token_hash = minted.hash,
                               .cluster_uid = cluster->uid,
                               .created = txn.now(),
                               .expires = minted.expires,
                               .used = false}));
    WEIR_TRY(Record(txn, call, "create-join-token", cluster.get(), cluster.get(), decision.path));
    v2::JoinToken token;
    token.set_token(minted.text);
    token.mutable_expire_time()->set_seconds(std::chrono::system_clock::to_time_t(minted.expires));
    return token;
  });
}

// The generation after the last that was signed: nobody has it until somebody joins.
Result<MessagePtr> Revoke(const Backends& backends, CallContext& call, const v2::RevokeClusterRequest& request) {
  WEIR_ASSIGN(const resource::Fqn fqn, ParseFqnOf(resource::Kind::kCluster, request.fqn()));
  return WriteOnce(backends, call, false, [&](store::Txn& txn) -> Result<MessagePtr> {
    WEIR_ASSIGN(const authz::Decision decision,
                authz::Authorize(txn.view(), call.principal, authz::Right::kJoin, fqn.text));
    const store::ResourcePtr before = txn.Get(fqn.text);
    if (before == nullptr) return authz::Missing(fqn.text);
    WEIR_TRY(txn.DeleteJoinTokensOf(before->uid));
    WEIR_ASSIGN(const store::ResourcePtr after, ca::SetGeneration(txn, *before, ca::GenerationOf(*before) + 1, true));
    WEIR_TRY(Record(txn, call, "revoke", before.get(), after.get(), decision.path));
    return ToMessage(*after);
  });
}

}  // namespace

void AddClusters(MethodTable& table, const Backends& backends, Writes& writes) {
  writes.AlsoDelete(resource::Kind::kCluster, [](store::Txn& txn, const store::StoredResource& cluster) -> Status {
    WEIR_TRY(txn.DeleteFacts(cluster.uid));
    return txn.DeleteJoinTokensOf(cluster.uid);
  });
  table.Add<v2::CreateJoinTokenRequest, v2::JoinToken>(
      "weir.v2.JoinTokens.CreateJoinToken", [&backends](CallContext& call, const v2::CreateJoinTokenRequest& request) {
        return CreateJoinToken(backends, call, request);
      });
  const std::string revoke = "weir.v2.ClusterOperations.RevokeCluster";
  table.Add(revoke, [&backends](CallContext& call, const google::protobuf::Message& request) {
    return Revoke(backends, call, static_cast<const v2::RevokeClusterRequest&>(request));
  });
  table.Then(revoke, AsReported(backends));
}

}  // namespace weir::services
